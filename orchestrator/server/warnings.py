"""What clients are told though their request succeeds: bounded as Kubernetes bounds it, and safe in a header. Pure."""

from __future__ import annotations

from collections.abc import Sequence

# Kubernetes' own: as long as all warnings together fit into the first, they go out whole; else each is cut to the
# second, until the first is reached.
_TOTAL_MAX = 4 * 1024
_ITEM_MAX = 256
# Clients give up on answers with more header lines than a hundred (Python's do); ours have a dozen of their own.
_COUNT_MAX = 64


def headers_of(texts: Sequence[str]) -> list[tuple[str, str]]:
    """The `Warning` headers for these texts, each text once."""
    plain = [_plain(text) for text in dict.fromkeys(texts) if text]
    if sum(map(len, plain)) > _TOTAL_MAX:
        plain = _cut(plain)
    return [("Warning", f'299 - "{_quoted(text)}"') for text in plain[:_COUNT_MAX]]


def _cut(texts: Sequence[str]) -> list[str]:
    kept: list[str] = []
    written = 0
    for text in texts:
        if written >= _TOTAL_MAX:
            break
        kept.append(text[:_ITEM_MAX])
        written += len(kept[-1])
    return kept


def _plain(text: str) -> str:
    """Without what would end the header, or the terminal that shows it."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else " " for character in text)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
