"""Pod templates: when two are the same, and the short hash that tells them apart in names and labels."""

from __future__ import annotations

import json
from typing import Any

from orchestrator.api.codec import copied
from orchestrator.api.objects import Object
from orchestrator.api.strategies.pod_defaults import default_template

#: The label by which a Deployment tells the pods of its ReplicaSets apart.
TEMPLATE_HASH = "pod-template-hash"

# Kubernetes' alphabet for generated names: no vowels, so no words, and no 0, 1, 3 to misread.
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def short_hash(value: Any, *, collisions: int = 0) -> str:
    """A short name-safe hash of a JSON value, independent of the order of its keys.

    `collisions` makes another hash of the same value, for when the first one's name is taken.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    if collisions:
        text += f"#{collisions}"
    number = 2166136261  # FNV-1a, 32 bits: what is wanted is short, not unforgeable
    for byte in text.encode():
        number = ((number ^ byte) * 16777619) & 0xFFFFFFFF
    return "".join(_ALPHABET[int(digit) % len(_ALPHABET)] for digit in str(number))


def without_hash_label(template: Object) -> Object:
    """The template without the label that a Deployment put there; the input is left as it is."""
    metadata = template.get("metadata") or {}
    labels = metadata.get("labels") or {}
    if TEMPLATE_HASH not in labels:
        return template
    kept = {key: value for key, value in labels.items() if key != TEMPLATE_HASH}
    return {**template, "metadata": {**metadata, "labels": kept}}


def same_template(one: Object, other: Object) -> bool:
    """Whether two templates make the same pods, hash labels aside.

    Each is compared as it would be stored today: one that an older release stored lacks the defaults that came since,
    and that is no change of its user's.
    """
    if _meaning(without_hash_label(one)) == _meaning(without_hash_label(other)):
        return True
    return _meaning(_as_of_today(one)) == _meaning(_as_of_today(other))


def _as_of_today(template: Object) -> Object:
    fresh = copied(without_hash_label(template))
    default_template(fresh)
    return fresh


def _meaning(template: Object) -> Object:
    metadata = {key: value for key, value in (template.get("metadata") or {}).items() if value}
    return {**template, "metadata": metadata}
