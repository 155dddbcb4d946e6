"""Pods from the API's word to the containers and back, on a runtime in memory and in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from node_agent.pods import labels
from node_agent.pods.shell import PodShell
from node_agent.runtime.base import Phase
from orchestrator.api.views.configuration import ConfigMap
from orchestrator.machinery.errors import Unreachable
from tests.support.runtime import PodSide, a_container, a_pod

pytestmark = pytest.mark.looptime


async def test_a_pod_runs_and_goes(tmp_path):
    async with PodSide(tmp_path) as side:
        side.pods.set(a_pod(volumes=[{"name": "e", "emptyDir": {}}]))
        status = await side.wait_phase("web", "Running")
        assert status["podIP"].startswith("10.244.0.")
        assert status["containerStatuses"][0]["ready"]
        assert side.events.reasons == ["Pulled", "Created", "Started"]
        assert (tmp_path / "pods" / "uid-web" / "volumes" / "e").is_dir()

        side.pods.set(a_pod(deleted=True))
        await side.wait(lambda: side.api.taken_off == ["uid-web"])
        assert list(await side.runtime.list()) == []
        assert not (tmp_path / "pods" / "uid-web").exists()
        assert side.api.status("web")["phase"] == "Failed"  # it was killed


async def test_a_container_that_ends_is_started_again_later_and_later(tmp_path):
    async with PodSide(tmp_path) as side:
        side.pods.set(a_pod(containers=[a_container(command=["exit", "3"])]))
        await side.wait(lambda: side.api.status("web") is not None)

        def reason() -> str:
            state = side.api.status("web")["containerStatuses"][0]["state"]
            return state.get("waiting", {}).get("reason", "")

        await side.wait(lambda: reason() == "CrashLoopBackOff")
        began = side.context.clock.now()
        await side.wait(lambda: side.api.status("web")["containerStatuses"][0]["restartCount"] == 3)
        assert 29 < side.context.clock.now() - began < 31  # ten seconds, then twenty
        assert "BackOff" in side.events.reasons
        assert len(await side.runtime.list()) <= 4  # the sandbox, the last two, perhaps one about to be removed


async def test_init_containers_come_first_and_in_order(tmp_path):
    async with PodSide(tmp_path) as side:
        inits = [a_container("one", command=["exit", "0"]), a_container("two", command=["exit", "0"])]
        side.pods.set(a_pod(initContainers=inits))
        status = await side.wait_phase("web", "Running")
        order = [
            state.labels[labels.CONTAINER_NAME]
            for state in sorted(await side.runtime.list(), key=lambda state: state.id)
        ]
        assert order == ["POD", "one", "two", "main"]
        assert [one["ready"] for one in status["initContainerStatuses"]] == [True, True]


async def test_a_pod_that_runs_to_its_end(tmp_path):
    async with PodSide(tmp_path) as side:
        side.pods.set(a_pod(restartPolicy="Never", containers=[a_container(command=["exit", "0"])]))
        await side.wait_phase("web", "Succeeded")
        await side.wait(lambda: not side.running("POD"))
        assert [one["reason"] for one in side.api.status("web")["conditions"] if one["type"] == "Ready"] == [
            "PodCompleted"
        ]


async def test_a_missing_config_map_is_waited_for(tmp_path):
    async with PodSide(tmp_path) as side:
        container = a_container(envFrom=[{"configMapRef": {"name": "cm"}}])
        side.pods.set(a_pod(containers=[container]))

        def reason() -> str:
            status = side.api.status("web") or {"containerStatuses": [{"state": {}}]}
            return status["containerStatuses"][0]["state"].get("waiting", {}).get("reason", "")

        await side.wait(lambda: reason() == "CreateContainerConfigError")
        side.api.objects[("configmaps", "cm")] = ConfigMap(data={"A": "1"})
        await side.wait_phase("web", "Running")
        (container_id,) = side.running()
        assert "A=1" in side.runtime.specs[container_id].env


async def test_an_image_is_pulled_once_for_all_and_backs_off_where_it_is_missing(tmp_path):
    async with PodSide(tmp_path) as side:
        side.runtime.registry.add("nginx:1")
        for name in ("a", "b"):
            side.pods.set(a_pod(name, containers=[a_container(image="nginx:1")]))
        side.pods.set(a_pod("c", containers=[a_container(image="nowhere:1")]))
        await side.wait_phase("a", "Running")
        await side.wait_phase("b", "Running")
        assert side.runtime.pulled.count("nginx:1") == 1

        def reason() -> str:
            return side.api.status("c")["containerStatuses"][0]["state"].get("waiting", {}).get("reason", "")

        await side.wait(lambda: reason() == "ImagePullBackOff")
        began = side.context.clock.now()
        side.runtime.registry.add("nowhere:1")
        await side.wait_phase("c", "Running")
        assert side.context.clock.now() - began < 11


async def test_an_agent_that_starts_again_adopts_what_runs(tmp_path):
    async with PodSide(tmp_path) as first:
        first.pods.set(a_pod())
        await first.wait_phase("web", "Running")
    before = {state.id for state in await first.runtime.list()}
    async with PodSide(tmp_path, runtime=first.runtime) as second:
        second.pods.set(a_pod())
        await second.wait_phase("web", "Running")
        assert {state.id for state in await second.runtime.list()} == before
        assert second.events.reasons == []


async def test_a_runtime_that_is_down_changes_no_status(tmp_path):
    async with PodSide(tmp_path) as side:
        side.pods.set(a_pod())
        await side.wait_phase("web", "Running")
        told = len(side.api.statuses)
        side.runtime.is_down = True
        await side.wait(lambda: side.context.watch.why_down is not None)
        side.pods.set(a_pod(labels={"a": "b"}))
        await side.wait(lambda: side.context.clock.now() > 60)
        assert len(side.api.statuses) == told
        side.runtime.is_down = False
        await side.wait(lambda: side.context.watch.why_down is None)
        (container_id,) = side.running()
        side.runtime.end(container_id, 1)
        await side.wait(lambda: side.api.status("web")["containerStatuses"][0]["restartCount"] == 1)


async def test_a_pod_that_vanishes_from_the_api_is_ended_without_a_word(tmp_path):
    async with PodSide(tmp_path) as side:
        pod = a_pod()
        side.pods.set(pod)
        await side.wait_phase("web", "Running")
        told = len(side.api.statuses)
        side.pods.remove(pod)
        await side.wait(lambda: not side.workers.uids)
        assert list(await side.runtime.list()) == []
        assert (len(side.api.statuses), side.api.taken_off) == (told, [])


async def test_containers_that_nobody_knows_are_swept_away(tmp_path):
    async with PodSide(tmp_path) as first:
        first.pods.set(a_pod())
        await first.wait_phase("web", "Running")
    async with PodSide(tmp_path, runtime=first.runtime) as second:
        await second.wait(lambda: not second.context.watch.states())
        await second.wait(lambda: not (tmp_path / "pods" / "uid-web").exists())


async def test_what_ignores_its_signal_is_killed_after_the_grace_and_the_grace_can_be_shortened(tmp_path):
    async with PodSide(tmp_path) as side:
        side.pods.set(a_pod())
        await side.wait_phase("web", "Running")
        side.runtime.ignores_signals.update(side.running())
        began = side.context.clock.now()
        side.pods.set(a_pod(deleted=True, grace_s=300))
        await side.wait(lambda: side.context.clock.now() > began + 5)
        assert side.running()
        side.pods.set(a_pod(deleted=True, grace_s=10))
        await side.wait(lambda: bool(side.api.taken_off))
        assert 9 < side.context.clock.now() - began < 12


async def test_a_namesake_gets_its_own_containers(tmp_path):
    import msgspec

    async with PodSide(tmp_path) as side:
        old = a_pod()
        side.pods.set(old)
        await side.wait_phase("web", "Running")
        meta = msgspec.structs.replace(old.metadata, uid="uid-other")
        side.pods.set(msgspec.structs.replace(old, metadata=meta))
        await side.wait(lambda: side.workers.uids == {"uid-other"} and len(side.running()) == 1)
        (container_id,) = side.running()
        assert side.context.watch.get(container_id).labels[labels.POD_UID] == "uid-other"


async def test_a_port_that_is_taken_refuses_the_second_pod(tmp_path):
    async with PodSide(tmp_path) as side:
        for name in ("a", "b"):
            side.pods.set(a_pod(name, containers=[a_container(ports=[{"containerPort": 1, "hostPort": 8080}])]))
        await side.wait_phase("a", "Running")
        status = await side.wait_phase("b", "Failed")
        assert status["reason"] == "NodePorts"


async def test_without_the_api_pods_go_on_and_are_told_of_later(tmp_path):
    async with PodSide(tmp_path) as side:
        side.pods.set(a_pod())
        await side.wait_phase("web", "Running")
        side.api.is_unreachable = True
        (container_id,) = side.running()
        side.runtime.end(container_id, 1)
        await side.wait(lambda: side.running() not in ([], [container_id]))
        assert side.api.status("web")["containerStatuses"][0]["restartCount"] == 0
        side.api.is_unreachable = False
        await side.wait(lambda: side.api.status("web")["containerStatuses"][0]["restartCount"] == 1)


async def test_a_sandbox_that_dies_is_replaced_with_all_that_was_in_it(tmp_path):
    async with PodSide(tmp_path) as side:
        side.pods.set(a_pod())
        await side.wait_phase("web", "Running")
        (sandbox,) = side.running("POD")
        (main,) = side.running()
        side.runtime.end(sandbox, 137)
        await side.wait(lambda: side.running("POD") not in ([], [sandbox]) and side.running() not in ([], [main]))
        (main,) = side.running()
        assert side.runtime.specs[main].network == f"container:{side.running('POD')[0]}"
        assert all(state.phase is Phase.RUNNING or state.id for state in await side.runtime.list())


@pytest.mark.parametrize(
    ("newer", "told_again"), [pytest.param(True, True, id="newer"), pytest.param(False, False, id="older")]
)
async def test_what_others_say_of_readiness_is_put_right_unless_it_is_old(tmp_path, newer, told_again):
    import msgspec

    async with PodSide(tmp_path) as side:
        side.pods.set(a_pod())
        await side.wait_phase("web", "Running")
        told = len(side.api.statuses)
        others = a_pod(status={"conditions": [{"type": "Ready", "status": "False"}]})
        meta = msgspec.structs.replace(others.metadata, resource_version=str(told + 1 if newer else told - 1))
        side.pods.set(msgspec.structs.replace(others, metadata=meta))
        began = side.context.clock.now()
        await side.wait(lambda: side.context.clock.now() > began + 10)
        assert (len(side.api.statuses) > told) is told_again
        ready = next(one for one in side.api.status("web")["conditions"] if one["type"] == "Ready")
        assert ready["status"] == "True"


async def test_a_probed_pod_stays_ready_through_starts_of_the_agent_and_stops_of_the_runtime(tmp_path):
    container = a_container(readinessProbe={"exec": {"command": ["check"]}, "periodSeconds": 5})
    async with PodSide(tmp_path) as first:
        first.pods.set(a_pod(containers=[container]))
        await first.wait(lambda: is_ready(first))
        status = {key: value for key, value in first.api.status("web").items() if value is not None}
        first.runtime.is_down = True
        await first.wait(lambda: first.context.clock.now() > 60)
        first.runtime.is_down = False
        await first.wait(lambda: first.context.watch.why_down is None)
        began = first.context.clock.now()
        await first.wait(lambda: first.context.clock.now() > began + 20)
        ups_and_downs = [readiness(one) for _, one in first.api.statuses]
        assert ups_and_downs == sorted(ups_and_downs)  # once ready, it was never said to be otherwise

    async with PodSide(tmp_path, runtime=first.runtime) as second:
        second.runtime.exec_codes[("check",)] = (
            1  # the first answer will be bad, which is not enough to change anything
        )
        second.pods.set(a_pod(containers=[container], status=status))
        await second.wait(lambda: bool(second.api.statuses))
        assert readiness(second.api.statuses[0][1]) == "True"
        await second.wait(lambda: not is_ready(second))  # three bad answers are


def readiness(status: dict[str, Any]) -> str:
    return next((one["status"] for one in status.get("conditions", ()) if one["type"] == "Ready"), "False")


def is_ready(side: PodSide) -> bool:
    return readiness(side.api.status("web") or {}) == "True"


async def test_interruptions_that_are_far_apart_are_each_got_over_at_once(tmp_path, monkeypatch):
    interrupted: list[float] = []
    looks: list[float] = []
    look = PodShell._look

    async def look_or_fail(shell):
        now = side.context.clock.monotonic()
        if interrupted and interrupted[-1] == now:
            raise Unreachable("no answer")
        looks.append(now)
        return await look(shell)

    async with PodSide(tmp_path) as side:
        side.pods.set(a_pod())
        await side.wait_phase("web", "Running")
        monkeypatch.setattr(PodShell, "_look", look_or_fail)
        for _ in range(8):
            await asyncio.sleep(100)
            interrupted.append(side.context.clock.monotonic())
            side.workers.find("default", "web").wake()
            await side.wait(lambda: looks[-1:] > interrupted[-1:])
            assert looks[-1] - interrupted[-1] < 1


async def test_an_agent_that_starts_again_and_cannot_read_a_pod_leaves_its_containers_and_files(tmp_path):
    async with PodSide(tmp_path) as first:
        first.pods.set(a_pod())
        await first.wait_phase("web", "Running")
    async with PodSide(tmp_path, runtime=first.runtime) as second:
        second.pods.undecodable_uids = frozenset({"uid-web"})
        await second.wait(lambda: second.context.clock.now() > 120)
        assert second.running()
        assert (tmp_path / "pods" / "uid-web").exists()
