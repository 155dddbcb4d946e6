"""Equal parts of views are one object: pods of one template differ in little, and a cache may hold 150,000 of them.

What is shared must never be written to; nobody writes to a view.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, TypeVar

from orchestrator.api import codec
from orchestrator.api.views.meta import ObjectMeta, View

V = TypeVar("V", bound=View)
H = TypeVar("H", bound=Hashable)
T = TypeVar("T")

# More distinct parts than any sound cluster has; each costs a few hundred bytes. Past it sharing starts over: objects
# stay what they are, and equal parts that come from then on are shared among themselves.
_KEPT_MAX = 65_536


class Sharing:
    """Gives back one object for all that are equal. One for each cache; bounded, whatever is put into it."""

    def __init__(self, *, kept_max: int = _KEPT_MAX) -> None:
        self._kept_max = kept_max
        self._values: dict[tuple[type, Hashable], Hashable] = {}
        self._mappings: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
        self._views: dict[tuple[type, bytes], View] = {}

    def value(self, value: H) -> H:
        """A text, or anything else that can be hashed: a tuple of views without mappings in them."""
        return self._one(self._values, (type(value), value), value)

    def mapping(self, pairs: dict[str, str]) -> dict[str, str]:
        """Labels, annotations, selectors."""
        key = tuple(pairs.items())
        found = self._mappings.get(key)
        if found is None:
            found = {self.value(name): self.value(text) for name, text in pairs.items()}
            self._one(self._mappings, key, found)
        return found

    def view(self, view: V) -> V:
        """A view of any kind, told apart by what it would be on the wire."""
        return self._one(self._views, (type(view), codec.encode(view)), view)

    def metadata(self, meta: ObjectMeta) -> ObjectMeta:
        """What is read of an object that many others are like; annotations, finalizers and ages are left out."""
        return ObjectMeta(
            name=meta.name,
            namespace=self.value(meta.namespace),
            uid=meta.uid,
            resource_version=meta.resource_version,
            deletion_timestamp=meta.deletion_timestamp,
            labels=self.mapping(meta.labels),
            owner_references=self.value(meta.owner_references),
        )

    def _one(self, kept: dict[Any, Any], key: Hashable, value: T) -> T:
        found: T | None = kept.get(key)
        if found is None:
            if len(kept) >= self._kept_max:
                kept.clear()
            found = kept[key] = value
        return found
