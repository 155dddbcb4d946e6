"""Whole histories of services, their pods and hand-written Endpoints, drawn by chance, with faults in any order.

When the history ends and the faults with it, slices and Endpoints say of each service what its pods are, and once.
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
from orchestrator.api.resources import ENDPOINTS, ENDPOINTSLICES, PODS, SERVICES
from orchestrator.controllers.registry import CONTROLLERS
from orchestrator.machinery.errors import ApiError
from tests.support.simulation import SimulatedApi, a_simulated_api, controlled

pytestmark = pytest.mark.looptime

ENDPOINT_CONTROLLERS = tuple(
    one for one in CONTROLLERS if one.name in ("endpointslice", "endpoints", "endpointslice-mirroring", "garbage")
)
Step = tuple[Any, ...]
SERVICE, POD, APP = st.integers(0, 1), st.integers(0, 4), st.sampled_from(["a", "b"])
STEPS = st.one_of(
    st.tuples(st.just("service"), SERVICE, st.sampled_from(["a", "b", None]), st.sampled_from([80, 81]), st.booleans()),
    st.tuples(st.just("service"), SERVICE, st.sampled_from(["a", "b", None]), st.sampled_from([80, 81]), st.booleans()),
    st.tuples(st.just("no-service"), SERVICE),
    st.tuples(st.just("write"), SERVICE, st.lists(st.integers(1, 4), max_size=3, unique=True), st.booleans()),
    st.tuples(st.just("unwrite"), SERVICE),
    st.tuples(st.just("pod"), POD, APP, st.booleans()),
    st.tuples(st.just("pod"), POD, APP, st.booleans()),
    st.tuples(st.just("no-pod"), POD),
    st.tuples(st.just("label"), POD, APP),
    st.tuples(st.just("ready"), POD, st.booleans()),
    st.tuples(st.just("no-slice"), st.integers(0, 3)),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 0.01, 0.4, 3.0])),
    st.tuples(st.just("lose-watches")),
    st.tuples(st.just("restart")),
    st.tuples(st.just("lag"), st.sampled_from([0.0, 0.001, 0.3, 2.0])),
    st.tuples(st.just("lose-answers"), st.sampled_from([0.0, 0.3])),
)


class World:
    """Two services, five pods, the controllers of their endpoints, and what users and agents do to them."""

    def __init__(self, api: SimulatedApi, dice: random.Random) -> None:
        self.api, self.dice = api, dice
        self.process = AsyncExitStack()
        self.addresses = 1

    async def start(self) -> None:
        await self.process.enter_async_context(controlled(self.api, ENDPOINT_CONTROLLERS))

    def has(self, resource: Any, name: str) -> bool:
        try:
            self.api.one(resource, f"default/{name}")
        except KeyError:
            return False
        return True

    async def happens(self, step: Step) -> None:
        api = self.api
        match step:
            case ("service", number, app, port, headless):
                spec: Object = {"ports": [{"name": "http", "port": port, "targetPort": 8080 + port}]}
                if app:
                    spec["selector"] = {"app": app}
                if self.has(SERVICES, f"s{number}"):

                    def change(one: Object) -> None:
                        one["spec"].pop("selector", None)
                        one["spec"].update(spec)

                    await api.change(SERVICES, f"default/s{number}", change)
                else:
                    if headless:
                        spec["clusterIP"] = "None"
                    await api.put(
                        SERVICES,
                        {
                            "apiVersion": "v1",
                            "kind": "Service",
                            "metadata": {"name": f"s{number}", "namespace": "default"},
                            "spec": spec,
                        },
                    )
            case ("no-service", number):
                await api.remove(SERVICES, f"default/s{number}")
            case ("write", number, hosts, ready):
                name = f"s{number}"
                subset: Object = {
                    "ports": [{"name": "http", "port": 1234}],
                    "addresses" if ready else "notReadyAddresses": [{"ip": f"192.0.2.{h}"} for h in hosts],
                }
                subsets = [subset] if hosts else []
                if self.has(SERVICES, name) and api.one(SERVICES, f"default/{name}")["spec"].get("selector"):
                    return
                if self.has(ENDPOINTS, name):
                    await api.change(ENDPOINTS, f"default/{name}", lambda one: one.update(subsets=subsets))
                else:
                    await api.put(
                        ENDPOINTS,
                        {
                            "apiVersion": "v1",
                            "kind": "Endpoints",
                            "metadata": {"name": name, "namespace": "default"},
                            "subsets": subsets,
                        },
                    )
            case ("unwrite", number):
                await api.remove(ENDPOINTS, f"default/s{number}")
            case ("pod", number, app, ready):
                if self.has(PODS, f"p{number}"):
                    return
                self.addresses += 1
                address = f"10.244.0.{self.addresses}"
                await api.put(
                    PODS,
                    {
                        "apiVersion": "v1",
                        "kind": "Pod",
                        "metadata": {"name": f"p{number}", "namespace": "default", "labels": {"app": app}},
                        "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}]},
                        "status": {
                            "phase": "Running",
                            "podIP": address,
                            "podIPs": [{"ip": address}],
                            "conditions": [{"type": "Ready", "status": str(ready)}],
                        },
                    },
                )
            case ("no-pod", number):
                await api.remove(PODS, f"default/p{number}")
            case ("label", number, app):
                await api.change(PODS, f"default/p{number}", lambda pod: pod["metadata"].update(labels={"app": app}))
            case ("ready", number, ready):
                await api.change(
                    PODS,
                    f"default/p{number}",
                    lambda pod: pod["status"].update(conditions=[{"type": "Ready", "status": str(ready)}]),
                )
            case ("no-slice", number):
                slices = sorted(one["metadata"]["name"] for one in api.all(ENDPOINTSLICES, "default"))
                if slices:
                    await api.remove(ENDPOINTSLICES, f"default/{slices[number % len(slices)]}")
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
@given(history=st.lists(STEPS, max_size=30), seed=st.integers(0, 2**32))
async def test_slices_and_endpoints_come_to_what_the_pods_are(history: list[Step], seed: int) -> None:
    async with a_simulated_api() as api:
        world = World(api, random.Random(seed))
        async with world.process:
            await world.start()
            for step in history:
                with suppress(ApiError):  # what cannot be does not happen
                    await world.happens(step)
            api.client.watch_lag_s = 0.001
            api.client.loses_answer = lambda method, resource: False
            await asyncio.sleep(200)
            services = {one["metadata"]["name"]: one for one in api.all(SERVICES, "default")}
            for name, service in services.items():
                slices = [
                    one
                    for one in api.all(ENDPOINTSLICES, "default")
                    if one["metadata"]["labels"].get("kubernetes.io/service-name") == name
                ]
                shown = sorted(
                    (address, bool(e["conditions"]["ready"]), tuple(p["port"] for p in one.get("ports") or ()))
                    for one in slices
                    for e in one.get("endpoints") or ()
                    for address in e["addresses"]
                )
                try:
                    endpoints: Object = api.one(ENDPOINTS, f"default/{name}")
                except KeyError:
                    endpoints = {}
                listed = sorted(
                    (a["ip"], ready, tuple(p["port"] for p in s["ports"]))
                    for s in endpoints.get("subsets") or ()
                    for ready, key in ((True, "addresses"), (False, "notReadyAddresses"))
                    for a in s.get(key) or ()
                )
                selector = service["spec"].get("selector")
                if selector:
                    port = 8080 + service["spec"]["ports"][0]["port"]
                    wanted = sorted(
                        (pod["status"]["podIP"], pod["status"]["conditions"][0]["status"] == "True", (port,))
                        for pod in api.all(PODS, "default")
                        if pod["metadata"]["labels"] == selector
                    )
                    assert shown == wanted
                    assert len(slices) == 1
                    assert listed == wanted
                elif endpoints and not any("managed-by" in key for key in endpoints["metadata"].get("labels") or ()):
                    assert shown == listed
            before = len(api.writes)
            await asyncio.sleep(100)
            assert [w for w in api.writes[before:] if w[1] != "events"] == []
