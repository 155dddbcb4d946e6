"""What a decision about a write knows of the world besides its objects: the time, chance, who asks, what is there."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import msgspec

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
