"""The memory of own writes."""

from __future__ import annotations

import pytest

from orchestrator.api.views.meta import MetaView
from orchestrator.controllers.own_writes import OwnWrites
from orchestrator.machinery.errors import RetryLater
from tests.support.controllers import CREATED, meta


class Cache:
    def __init__(self):
        self.revision = 0
        self.objects = {}

    def get(self, key):
        return self.objects.get(key)


def test_own_writes_are_waited_for():
    cache, own = Cache(), OwnWrites()
    own.require_seen("k")
    own.wrote("k", cache, meta("a", resourceVersion="7"))
    own.wrote("k", cache, meta("b", resourceVersion="5"))
    cache.revision = 6
    with pytest.raises(RetryLater):
        own.require_seen("k")
    own.require_seen("other")
    cache.revision = 7
    own.require_seen("k")


def test_own_deletes_are_waited_for_but_not_namesakes():
    cache, own = Cache(), OwnWrites()
    cache.objects["default/a"] = MetaView(metadata=meta("a"))
    own.deleted("k", cache, meta("a"))
    with pytest.raises(RetryLater):
        own.require_seen("k")
    cache.objects["default/a"] = MetaView(metadata=meta("a", uid="another"))
    own.require_seen("k")
    cache.objects["default/a"] = MetaView(metadata=meta("a"))
    own.deleted("k", cache, meta("a"))
    cache.objects["default/a"] = MetaView(metadata=meta("a", deletionTimestamp=CREATED))
    own.require_seen("k")
