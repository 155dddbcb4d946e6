"""What ends when the kinds that are served are replaced."""

from __future__ import annotations

from orchestrator.api.kinds import BUILT_IN
from orchestrator.api.resources import CONFIGMAPS, CORE_EVENTS, EVENTS, PODS, Resource
from orchestrator.server.served import Served
from orchestrator.server.watches import PLAIN, Filter, Progress, Watcher


class Forgotten:
    def __init__(self) -> None:
        self.resources: list[Resource] = []

    def forget(self, resource: Resource) -> None:
        self.resources.append(resource)


def a_watcher() -> Watcher:
    return Watcher(Filter(), PLAIN, Progress())


def test_only_what_went_ends_and_is_forgotten() -> None:
    cache = Forgotten()
    served = Served(cache)
    pods, configmaps = (BUILT_IN.find("", "v1", plural) for plural in ("pods", "configmaps"))
    assert pods is not None
    assert configmaps is not None
    gone, stays, left = a_watcher(), a_watcher(), a_watcher()
    with served.watched(pods, gone), served.watched(configmaps, stays):
        with served.watched(pods, left):
            pass
        served.replace(BUILT_IN.replaced(drop=[PODS]))
        assert (gone.take().has_ended, stays.take().has_ended, left.take().has_ended) == (True, False, False)
    assert cache.resources == [PODS]


def test_what_is_stored_for_another_kind_too_is_kept() -> None:
    cache = Forgotten()
    served = Served(cache)
    served.replace(BUILT_IN.replaced(drop=[EVENTS]))
    assert cache.resources == []
    served.replace(served.kinds.replaced(drop=[CORE_EVENTS]))
    assert cache.resources == [CORE_EVENTS]


def test_a_watch_whose_kind_went_while_it_was_opened_ends_at_once() -> None:
    served = Served(Forgotten())
    configmaps = BUILT_IN.find("", "v1", "configmaps")
    assert configmaps is not None
    served.replace(BUILT_IN.replaced(drop=[CONFIGMAPS]))
    watcher = a_watcher()
    with served.watched(configmaps, watcher):
        assert watcher.take().has_ended
