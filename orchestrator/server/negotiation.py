"""What form of answer a client asks for in its `Accept` header. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from orchestrator.api.memo import memo
from orchestrator.api.numbers import BadNumber, parse_decimal

JSON = "application/json"
YAML = "application/yaml"

As = Literal["", "Table", "PartialObjectMetadata", "PartialObjectMetadataList"]


@dataclass(frozen=True, slots=True)
class Accepted:
    """The first form in the header that we have: JSON, or else YAML. `is_acceptable` is False when there is none."""

    as_: As = ""
    version: str = "v1"
    is_acceptable: bool = True
    is_yaml: bool = False


ANYTHING = Accepted()
_NOTHING = Accepted(is_acceptable=False)
FORMS: tuple[As, ...] = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")


def accepted(header: str, forms: tuple[As, ...] = FORMS) -> Accepted:
    """Read an `Accept` header for something that can be had in these forms; an empty one accepts anything."""
    return _accepted(header, forms) if header else ANYTHING


@memo(entries_max=256)
def _accepted(header: str, forms: tuple[As, ...]) -> Accepted:
    if not header.strip():
        return ANYTHING
    clauses = [_clause(text) for text in header.split(",")]
    # Stable: of equal weight, the first named comes first.
    for _, media_type, parameters in sorted(clauses, key=lambda clause: -clause[0]):
        if media_type in ("*/*", "application/*"):
            media_type = JSON
        if media_type not in (JSON, YAML):
            continue
        as_ = parameters.get("as", "")
        if not as_:
            return Accepted(is_yaml=media_type == YAML)
        group, version = parameters.get("g", "meta.k8s.io"), parameters.get("v", "v1")
        if group == "meta.k8s.io" and version in ("v1", "v1beta1") and as_ in forms:
            return Accepted(as_, version, is_yaml=media_type == YAML)
    return _NOTHING


def preferred(header: str, offered: Sequence[str]) -> str | None:
    """Which of these media types an `Accept` header wants most; None if it wants none of them."""
    clauses = [_clause(text) for text in header.split(",") if text.strip()] or [(1.0, "*/*", {})]
    for weight, wanted, _ in sorted(clauses, key=lambda clause: -clause[0]):
        for media_type in offered:
            if weight > 0 and wanted in (media_type, "*/*", f"{media_type.partition('/')[0]}/*"):
                return media_type
    return None


def takes_gzip(header: str) -> bool:
    """Whether an `Accept-Encoding` header lets an answer be compressed."""
    return any(weight > 0 and coding in ("gzip", "*") for weight, coding, _ in map(_clause, header.split(",")))


def _clause(text: str) -> tuple[float, str, dict[str, str]]:
    media_type, *rest = (part.strip() for part in text.split(";"))
    parameters = dict(part.split("=", 1) for part in rest if "=" in part)
    try:
        weight = parse_decimal(parameters.pop("q", "1"))
    except BadNumber:
        weight = 1.0
    return weight, media_type.lower(), parameters
