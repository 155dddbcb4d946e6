"""Which kinds the server serves at this moment, and what ends when one of them goes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from orchestrator.api.kinds import BUILT_IN, Kind, Kinds
from orchestrator.api.resources import Resource
from orchestrator.server.watches import Watcher


class Forgets(Protocol):
    """What of the watch cache is needed here."""

    def forget(self, resource: Resource) -> None:
        """Keep nothing of a resource but its objects."""
        ...


class Served:
    """Holds the snapshot that requests are read by; each request keeps the one it began with."""

    def __init__(self, cache: Forgets, kinds: Kinds = BUILT_IN) -> None:
        self._cache = cache
        self._watchers: dict[Resource, set[Watcher]] = {}
        self.kinds = kinds

    def replace(self, kinds: Kinds) -> None:
        """Serve these kinds from the next request on. Watches of kinds that went, or became others, end."""
        assert kinds.generation > self.kinds.generation, "a snapshot older than the one served"
        before, self.kinds = self.kinds, kinds
        for row in before.gone_in(kinds):
            for watcher in self._watchers.pop(row.resource, ()):
                watcher.end()
        for storage in {row.storage for row in before.rows} - {row.storage for row in kinds.rows}:
            self._cache.forget(storage)

    @contextmanager
    def watched(self, kind: Kind, watcher: Watcher) -> Iterator[None]:
        """Within the block, the watcher ends when its kind goes; at once, if it has gone since the request came."""
        resource = kind.resource
        if self.kinds.find(resource.group, resource.version, resource.plural) != kind:
            watcher.end()
        there = self._watchers.setdefault(resource, set())
        there.add(watcher)
        try:
            yield
        finally:
            there.discard(watcher)
            if not there and self._watchers.get(resource) is there:
                del self._watchers[resource]
