"""What a decision about a write knows of the world besides its objects: the time, chance, who asks, what is there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

import msgspec

from orchestrator.api.resources import Resource
from orchestrator.machinery.clock import timestamp
from orchestrator.server.admission.base import Admission, Objects
from orchestrator.server.authentication.base import User
from orchestrator.server.dice import Dice
from orchestrator.server.writing.claims import Ledgers


class Facts(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The same facts and objects give the same decision. `name` and `namespace` are the request's.

    `objects` is the watch cache, as a value: a decision awaits nothing, so nothing in there changes while it is taken.
    """

    now: float
    dice: Dice
    user: User
    namespace: str
    name: str
    options: Mapping[str, str]
    is_dry_run: bool
    objects: Objects
    admission: Admission
    ledgers: Ledgers

    @property
    def timestamp(self) -> str:
        """The time as objects carry it."""
        return _timestamp_of_second(int(self.now))


@lru_cache(maxsize=4)
def _timestamp_of_second(second: int) -> str:
    """`timestamp`, remembered: thousands of objects may be made within a second."""
    return timestamp(second)


#: What was read of the cache, and what was there (None: nothing).
Read = tuple[tuple[Resource, str, str, bytes | None], ...]


class Recorded:
    """The cache, noting what is read of it."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._read: dict[tuple[Resource, str, str], bytes | None] = {}
        #: Whether only single objects were asked for: of lists it is not noted what was in them.
        self.is_whole = True

    @property
    def all(self) -> Read:
        """All that was read."""
        return tuple((*place, value) for place, value in self._read.items())

    def get(self, resource: Resource, namespace: str, name: str) -> bytes | None:
        value = self._read[resource, namespace, name] = self._objects.get(resource, namespace, name)
        return value

    def list(self, resource: Resource, namespace: str = "") -> Iterable[bytes]:
        self.is_whole = False
        return self._objects.list(resource, namespace)

    def by_index(self, resource: Resource, index: str, value: str) -> Iterable[bytes]:
        self.is_whole = False
        return self._objects.by_index(resource, index, value)


def is_current(read: Read, objects: Objects) -> bool:
    """Whether everything that was read is as it was."""
    return all(objects.get(resource, namespace, name) == value for resource, namespace, name, value in read)
