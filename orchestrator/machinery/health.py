"""Health endpoints in Kubernetes' format: a check for each part of a process that can fail by itself. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

ENDPOINTS = ("healthz", "livez", "readyz")

#: None when all is well, or what is wrong.
Check = Callable[[], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a process and its check; `only_ready` ones say nothing of whether the process lives."""

    name: str
    check: Check
    only_ready: bool = False


#: Answers as long as anybody does.
PING = Part(name="ping", check=lambda: None)


def respond(
    endpoint: str, parts: Sequence[Part], *, only: str = "", verbose: bool = False, excluded: Collection[str] = ()
) -> tuple[int, str] | None:
    """Status and text of `/ENDPOINT`, or of `/ENDPOINT/ONLY`; None if there is no such check.

    The whole answer withholds reasons, as anybody may read it; a single check gives its own.
    """
    asked = [part for part in parts if endpoint == "readyz" or not part.only_ready]
    if only:
        return next((_single(part) for part in asked if part.name == only), None)
    lines: list[str] = []
    failed = False
    for part in asked:
        if part.name in excluded:
            lines.append(f"[+]{part.name} excluded: ok")
        elif part.check() is None:
            lines.append(f"[+]{part.name} ok")
        else:
            failed = True
            lines.append(f"[-]{part.name} failed: reason withheld")
    if unknown := sorted(set(excluded) - {part.name for part in asked}):
        quoted = ", ".join(f'"{name}"' for name in unknown)
        lines.append(f"warn: some health checks cannot be excluded: no matches for {quoted}")
    if failed:
        return 500, "\n".join([*lines, f"{endpoint} check failed", ""])
    return 200, "\n".join([*lines, f"{endpoint} check passed", ""]) if verbose else "ok"


def _single(part: Part) -> tuple[int, str]:
    wrong = part.check()
    return (200, "ok") if wrong is None else (500, f"internal server error: {wrong}\n")
