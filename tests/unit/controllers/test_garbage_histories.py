"""Whole histories of owners and what they own, drawn by chance: deletions of every sort, circles, and faults.

When all is done, nothing is stuck in its deletion, nothing that has a living owner is gone, and nothing is left whose
owners are.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from orchestrator.api.objects import Object
from orchestrator.api.resources import CONFIGMAPS, SECRETS, Resource
from orchestrator.controllers.garbage.shell import GarbageController
from orchestrator.controllers.registry import Registered
from orchestrator.machinery.errors import ApiError
from tests.support.simulation import SimulatedApi, a_simulated_api, controlled

pytestmark = pytest.mark.looptime

GARBAGE = (Registered("garbage", ("all",), GarbageController),)
KINDS = (CONFIGMAPS, SECRETS)
NAMES = 6

Step = tuple[Any, ...]
WHO = st.integers(0, NAMES - 1)
STEPS = st.one_of(
    st.tuples(st.just("make"), WHO, st.lists(st.tuples(WHO, st.booleans()), max_size=3)),
    st.tuples(st.just("make"), WHO, st.lists(st.tuples(WHO, st.booleans()), max_size=3)),
    st.tuples(st.just("own"), WHO, WHO, st.booleans()),
    st.tuples(st.just("own"), WHO, WHO, st.booleans()),
    st.tuples(st.just("disown"), WHO),
    st.tuples(st.just("delete"), WHO, st.sampled_from(["Background", "Foreground", "Foreground", "Orphan"])),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 0.01, 0.4, 3.0])),
    st.tuples(st.just("lose-watches")),
    st.tuples(st.just("restart")),
    st.tuples(st.just("lag"), st.sampled_from([0.0, 0.001, 0.3, 2.0])),
    st.tuples(st.just("lose-answers"), st.sampled_from([0.0, 0.3])),
)


class World:
    """Six objects of two kinds, the controller that collects them, and what a user does to them."""

    def __init__(self, api: SimulatedApi, dice: random.Random) -> None:
        self.api, self.dice = api, dice
        self.process = AsyncExitStack()
        self.deleted: set[str] = set()

    async def start(self) -> None:
        await self.process.enter_async_context(controlled(self.api, GARBAGE))

    def kind(self, number: int) -> Resource:
        return KINDS[number % 2]

    def find(self, number: int) -> Object | None:
        try:
            return self.api.one(self.kind(number), f"default/o{number}")
        except KeyError:
            return None

    def reference(self, number: int, blocks: bool) -> Object | None:
        owner = self.find(number)
        if owner is None:
            return None
        return {
            "apiVersion": "v1",
            "kind": self.kind(number).kind,
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
            "blockOwnerDeletion": blocks,
        }

    async def happens(self, step: Step) -> None:
        api = self.api
        match step:
            case ("make", number, owners):
                if self.find(number) is None:
                    found = {owner: self.reference(owner, blocks) for owner, blocks in owners}
                    references = [one for one in found.values() if one is not None]
                    kind = self.kind(number)
                    meta = {"name": f"o{number}", "namespace": "default", "ownerReferences": references}
                    await api.put(kind, {"apiVersion": "v1", "kind": kind.kind, "metadata": meta})
            case ("own", number, owner, blocks):
                reference = self.reference(owner, blocks)
                if reference is None or self.find(number) is None:
                    return
                uid = reference["uid"]

                def change(obj: Object) -> None:
                    references = obj["metadata"].setdefault("ownerReferences", [])
                    if all(one["uid"] != uid for one in references):
                        references.append(reference)

                await api.change(self.kind(number), f"default/o{number}", change)
            case ("disown", number):
                if self.find(number) is not None:
                    await api.change(
                        self.kind(number),
                        f"default/o{number}",
                        lambda obj: obj["metadata"].pop("ownerReferences", None),
                    )
            case ("delete", number, propagation):
                obj = self.find(number)
                if obj is not None:
                    self.deleted.add(obj["metadata"]["uid"])
                    await api.delete(self.kind(number), f"o{number}", "default", propagation=propagation)
            case ("wait", seconds):
                await asyncio.sleep(seconds)
            case ("lose-watches",):
                api.client.lose_watches()
            case ("restart",):
                await self.process.aclose()
                await self.start()
            case ("lag", seconds):
                api.client.watch_lag_s = seconds
            case ("lose-answers", share):
                api.client.loses_answer = lambda method, resource: self.dice.random() < share


@settings(
    max_examples=12,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
@given(history=st.lists(STEPS, max_size=25), seed=st.integers(0, 2**32))
async def test_what_has_an_owner_stays_what_lost_all_goes_and_nothing_is_stuck(history: list[Step], seed: int) -> None:
    async with a_simulated_api() as api:
        world = World(api, random.Random(seed))
        broken: list[str] = []
        lost: list[str] = []

        def look(type_: str, resource: Resource, obj: Object) -> None:
            """Whoever goes was deleted by a user, or had owners, all of them gone or going."""
            meta = obj["metadata"]
            if resource not in KINDS or not meta["name"].startswith("o"):
                return
            if (type_ == "DELETED" or meta.get("deletionTimestamp")) and meta["uid"] not in world.deleted:
                here = {one["metadata"]["uid"]: one for kind in KINDS for one in api.all(kind)}
                owners = [here.get(one["uid"]) for one in meta.get("ownerReferences") or ()]
                if not owners:
                    broken.append(f"{meta['name']} had no owners")
                elif meta["uid"] not in lost and any(
                    one is not None and not one["metadata"].get("deletionTimestamp") for one in owners
                ):
                    broken.append(f"{meta['name']} had a living owner")
                lost.append(meta["uid"])

        api.observers.append(look)
        async with world.process:
            await world.start()
            for step in history:
                with suppress(ApiError):  # what cannot be does not happen
                    await world.happens(step)
            api.client.watch_lag_s = 0.001
            api.client.loses_answer = lambda method, resource: False
            await asyncio.sleep(300)
            here = {
                one["metadata"]["uid"]: one
                for kind in KINDS
                for one in api.all(kind)
                if one["metadata"]["name"].startswith("o")
            }
            stuck = {
                o["metadata"]["name"]: o["metadata"] for o in here.values() if o["metadata"].get("deletionTimestamp")
            }
            assert not stuck
            for one in here.values():
                owners = [reference["uid"] for reference in one["metadata"].get("ownerReferences") or ()]
                assert not owners or all(uid in here for uid in owners), one
            assert not broken
