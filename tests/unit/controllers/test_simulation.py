"""All controllers together, on a simulated cluster in virtual time."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from orchestrator.api.objects import Object
from orchestrator.api.resources import (
    CONFIGMAPS,
    CONTROLLERREVISIONS,
    CORE_EVENTS,
    DEPLOYMENTS,
    ENDPOINTS,
    ENDPOINTSLICES,
    NAMESPACES,
    NODES,
    PODS,
    REPLICASETS,
    SECRETS,
    SERVICEACCOUNTS,
    SERVICES,
    STATEFULSETS,
    Resource,
)
from orchestrator.controllers.registry import Registered
from orchestrator.controllers.replicaset.shell import ReplicaSetController
from orchestrator.machinery.errors import ApiError, Forbidden, Invalid, ServiceUnavailable, Unreachable
from orchestrator.machinery.metrics import SYNCS
from tests.support.controllers import (
    deployment_body,
    namespace_body,
    owner_body,
    pod_template,
    service_body,
    statefulset_body,
)
from tests.support.simulation import (
    SimulatedApi,
    SimulatedNodes,
    a_simulated_api,
    controlled,
    ready_node,
    until,
)

pytestmark = pytest.mark.looptime


@asynccontextmanager
async def simulated(**config: Any) -> AsyncIterator[tuple[SimulatedApi, SimulatedNodes]]:
    """A cluster of three nodes with every controller running."""
    async with a_simulated_api() as api, SimulatedNodes(api, "n1", "n2", "n3") as nodes, controlled(api, **config):
        yield api, nodes


def ready(api: SimulatedApi, prefix: str = "") -> list[Object]:
    return [
        pod
        for pod in api.all(PODS)
        if pod["metadata"]["name"].startswith(prefix)
        and not pod["metadata"].get("deletionTimestamp")
        and any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions") or ())
    ]


def progressing(api: SimulatedApi, name: str = "default/web") -> str:
    conditions = api.one(DEPLOYMENTS, name)["status"].get("conditions") or ()
    return next((c["reason"] for c in conditions if c["type"] == "Progressing"), "")


def images(api: SimulatedApi) -> set[str]:
    return {pod["spec"]["containers"][0]["image"] for pod in api.all(PODS)}


def set_image(image: str) -> Callable[[Object], None]:
    def change(obj: Object) -> None:
        obj["spec"]["template"]["spec"]["containers"][0]["image"] = image

    return change


async def test_a_deployment_becomes_complete_and_then_nothing_is_written() -> None:
    async with simulated() as (api, _):
        await api.put(DEPLOYMENTS, deployment_body("web", replicas=3))
        await until(lambda: progressing(api) == "NewReplicaSetAvailable")
        status = api.one(DEPLOYMENTS, "default/web")["status"]
        assert (status["replicas"], status["updatedReplicas"], status["availableReplicas"]) == (3, 3, 3)
        assert len(ready(api)) == 3
        assert (
            api.one(DEPLOYMENTS, "default/web")["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"
        )
        await asyncio.sleep(5)
        written = len([write for write in api.writes if write[1] not in ("nodes", "events")])
        await asyncio.sleep(300)
        assert len([write for write in api.writes if write[1] not in ("nodes", "events")]) == written


async def test_a_rolling_update_never_has_too_few_available_or_too_many_pods() -> None:
    async with simulated() as (api, _):
        await api.put(DEPLOYMENTS, deployment_body("web", replicas=4, max_surge=1, max_unavailable=1))
        await until(lambda: progressing(api) == "NewReplicaSetAvailable")
        seen: list[tuple[int, int]] = []

        def observe(type_: str, resource: Any, obj: Object) -> None:
            if resource == PODS:
                alive = [pod for pod in api.all(PODS) if not pod["metadata"].get("deletionTimestamp")]
                seen.append((len(ready(api)), len(alive)))

        api.observers.append(observe)
        await api.change(DEPLOYMENTS, "default/web", set_image("nginx:2"))
        await until(lambda: len(ready(api)) == 4 and images(api) == {"nginx:2"})
        assert min(count for count, _ in seen) >= 3
        assert max(count for _, count in seen) <= 5


async def test_a_rollback_takes_the_old_replica_set_again() -> None:
    async with simulated() as (api, _):
        await api.put(DEPLOYMENTS, deployment_body("web", replicas=2))
        await until(lambda: len(ready(api)) == 2)
        first = {rs["metadata"]["name"] for rs in api.all(REPLICASETS)}
        for image in ("nginx:2", "nginx:1"):
            await api.change(DEPLOYMENTS, "default/web", set_image(image))
            await until(lambda image=image: {p["spec"]["containers"][0]["image"] for p in ready(api)} == {image})  # type: ignore[misc]
            await until(lambda: progressing(api) == "NewReplicaSetAvailable" and len(api.all(PODS)) == 2)
        revisions = {
            rs["metadata"]["name"]: rs["metadata"]["annotations"]["deployment.kubernetes.io/revision"]
            for rs in api.all(REPLICASETS)
        }
        assert len(revisions) == 2
        assert {name for name, revision in revisions.items() if revision == "3"} == first


async def test_a_stuck_rollout_reports_the_missed_deadline_and_keeps_serving() -> None:
    async with simulated() as (api, nodes):
        await api.put(DEPLOYMENTS, deployment_body("web", replicas=4))
        await until(lambda: len(ready(api)) == 4)
        nodes.is_broken = lambda pod: pod["spec"]["containers"][0]["image"] == "broken"
        await api.change(DEPLOYMENTS, "default/web", set_image("broken"))
        await until(lambda: progressing(api) == "ProgressDeadlineExceeded", limit_s=1200)
        assert len(ready(api)) == 3


async def test_scaling_and_pausing() -> None:
    async with simulated() as (api, _):
        await api.put(DEPLOYMENTS, deployment_body("web", replicas=1))
        await until(lambda: len(ready(api)) == 1)
        await api.change(DEPLOYMENTS, "default/web", lambda d: d["spec"].update(paused=True))
        await until(lambda: progressing(api) == "DeploymentPaused")
        await api.change(DEPLOYMENTS, "default/web", set_image("nginx:2"))
        await api.change(DEPLOYMENTS, "default/web", lambda d: d["spec"].update(replicas=5))
        await until(lambda: len(ready(api)) == 5)
        assert {pod["spec"]["containers"][0]["image"] for pod in api.all(PODS)} == {"nginx:1"}
        await api.change(DEPLOYMENTS, "default/web", lambda d: d["spec"].update(paused=False, replicas=2))
        await until(lambda: {p["spec"]["containers"][0]["image"] for p in api.all(PODS)} == {"nginx:2"})
        await until(lambda: len(api.all(PODS)) == 2)


async def test_recreate_never_runs_both_templates() -> None:
    async with simulated() as (api, _):
        await api.put(DEPLOYMENTS, deployment_body("web", replicas=3, strategy="Recreate"))
        await until(lambda: len(ready(api)) == 3)
        mixed: list[set[str]] = []
        api.observers.append(lambda *_: mixed.append({pod["spec"]["containers"][0]["image"] for pod in api.all(PODS)}))
        await api.change(DEPLOYMENTS, "default/web", set_image("nginx:2"))
        await until(lambda: {p["spec"]["containers"][0]["image"] for p in ready(api)} == {"nginx:2"})
        assert all(len(images) <= 1 for images in mixed)


async def test_a_deleted_deployment_takes_everything_with_it() -> None:
    async with simulated() as (api, _):
        await api.put(DEPLOYMENTS, deployment_body("web", replicas=2))
        await until(lambda: len(ready(api)) == 2)
        await api.delete(DEPLOYMENTS, "web", "default", propagation="Background")
        await until(lambda: not api.all(PODS) and not api.all(REPLICASETS))


async def test_foreground_deletion_ends_with_the_owner() -> None:
    async with simulated() as (api, _):
        await api.put(DEPLOYMENTS, deployment_body("web", replicas=2))
        await until(lambda: len(ready(api)) == 2)
        order: list[str] = []
        api.observers.append(lambda type_, resource, obj: order.append(resource.plural) if type_ == "DELETED" else None)
        await api.delete(DEPLOYMENTS, "web", "default", propagation="Foreground")
        await until(lambda: not api.all(DEPLOYMENTS))
        order = [name for name in order if name in ("pods", "replicasets", "deployments")]
        assert order == ["pods", "pods", "replicasets", "deployments"]


async def test_orphaning_deletion_leaves_the_pods() -> None:
    async with simulated() as (api, _):
        await api.put(DEPLOYMENTS, deployment_body("web", replicas=2))
        await until(lambda: len(ready(api)) == 2)
        name = api.all(REPLICASETS)[0]["metadata"]["name"]
        await api.delete(DEPLOYMENTS, "web", "default", propagation="Orphan")
        await until(lambda: not api.all(DEPLOYMENTS))
        await asyncio.sleep(30)
        assert [rs["metadata"]["name"] for rs in api.all(REPLICASETS)] == [name]
        assert not api.all(REPLICASETS)[0]["metadata"].get("ownerReferences")
        assert len(ready(api)) == 2
        # The same Deployment made anew adopts them.
        await api.put(DEPLOYMENTS, deployment_body("web", replicas=2))
        await until(lambda: api.all(REPLICASETS)[0]["metadata"].get("ownerReferences"))
        assert len(api.all(REPLICASETS)) == 1


async def test_a_statefulset_starts_in_order_and_stops_in_reverse() -> None:
    async with simulated() as (api, _):
        events: list[str] = []
        api.observers.append(
            lambda type_, resource, obj: (
                events.append(f"{type_[0]} {obj['metadata']['name']}")
                if resource == PODS and type_ != "MODIFIED"
                else None
            )
        )
        await api.put(STATEFULSETS, statefulset_body("db", replicas=3))
        await until(lambda: len(ready(api)) == 3)
        await api.change(STATEFULSETS, "default/db", lambda sts: sts["spec"].update(replicas=1))
        await until(lambda: len(api.all(PODS)) == 1)
        assert events == ["A db-0", "A db-1", "A db-2", "D db-2", "D db-1"]
        pod = api.one(PODS, "default/db-0")
        labels = pod["metadata"]["labels"]
        assert labels["statefulset.kubernetes.io/pod-name"] == "db-0"
        assert labels["apps.kubernetes.io/pod-index"] == "0"
        assert labels["controller-revision-hash"] == api.all(CONTROLLERREVISIONS)[0]["metadata"]["name"]
        assert (pod["spec"]["hostname"], pod["spec"]["subdomain"]) == ("db-0", "db")


@pytest.mark.parametrize("lag_s", [0.001, 0.7])
async def test_a_statefulset_orphaned_and_applied_again_restarts_nothing(lag_s: float) -> None:
    async with simulated() as (api, _):
        await api.put(STATEFULSETS, statefulset_body("db", replicas=3))
        await until(lambda: len(ready(api)) == 3)
        await api.change(STATEFULSETS, "default/db", set_image("nginx:2"))
        await until(lambda: len(ready(api)) == 3 and images(api) == {"nginx:2"})
        await asyncio.sleep(5)
        api.client.watch_lag_s = lag_s
        before = {pod["metadata"]["uid"] for pod in api.all(PODS)}
        history = {revision["metadata"]["name"] for revision in api.all(CONTROLLERREVISIONS)}
        assert len(history) == 2
        await api.delete(STATEFULSETS, "db", "default", propagation="Orphan")
        await until(lambda: not api.all(STATEFULSETS))
        assert not any(one["metadata"].get("ownerReferences") for one in api.all(CONTROLLERREVISIONS))
        body = statefulset_body("db", replicas=3)
        set_image("nginx:2")(body)
        await api.put(STATEFULSETS, body)
        await asyncio.sleep(60)
        assert {pod["metadata"]["uid"] for pod in api.all(PODS)} == before
        assert {revision["metadata"]["name"] for revision in api.all(CONTROLLERREVISIONS)} == history
        assert all(one["metadata"].get("ownerReferences") for one in api.all(PODS) + api.all(CONTROLLERREVISIONS))
        status = api.one(STATEFULSETS, "default/db")["status"]
        assert (status["updatedReplicas"], status.get("collisionCount", 0)) == (3, 0)


async def test_a_deployment_orphaned_and_applied_again_restarts_nothing_however_late_the_watch() -> None:
    async with simulated() as (api, _):
        await api.put(DEPLOYMENTS, deployment_body("web", replicas=3))
        await until(lambda: len(ready(api)) == 3)
        before = {pod["metadata"]["uid"] for pod in api.all(PODS)}
        api.client.watch_lag_s = 0.7
        await api.delete(DEPLOYMENTS, "web", "default", propagation="Orphan")
        await until(lambda: not api.all(DEPLOYMENTS))
        await api.put(DEPLOYMENTS, deployment_body("web", replicas=3))
        await asyncio.sleep(60)
        assert {pod["metadata"]["uid"] for pod in api.all(PODS)} == before
        assert len(api.all(REPLICASETS)) == 1


async def test_two_pods_lost_at_once_below_the_partition_come_back_as_they_were() -> None:
    async with simulated() as (api, _):
        await api.put(STATEFULSETS, statefulset_body("db", replicas=3))
        await until(lambda: len(ready(api)) == 3)

        def change(sts: Object) -> None:
            sts["spec"]["updateStrategy"] = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}
            set_image("nginx:2")(sts)

        await api.change(STATEFULSETS, "default/db", change)
        await until(lambda: len(ready(api)) == 3 and images(api) == {"nginx:1", "nginx:2"})
        for name in ("db-0", "db-1"):
            await api.remove(PODS, f"default/{name}")
        await until(lambda: len(ready(api)) == 3)
        found = {pod["metadata"]["name"]: pod["spec"]["containers"][0]["image"] for pod in ready(api)}
        assert found == {"db-0": "nginx:1", "db-1": "nginx:1", "db-2": "nginx:2"}


async def test_a_statefulset_rolls_out_down_to_its_partition() -> None:
    async with simulated() as (api, _):
        await api.put(STATEFULSETS, statefulset_body("db", replicas=3))
        await until(lambda: len(ready(api)) == 3)

        def change(sts: Object) -> None:
            sts["spec"]["updateStrategy"] = {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}
            set_image("redis:2")(sts)

        await api.change(STATEFULSETS, "default/db", change)
        await until(lambda: api.one(STATEFULSETS, "default/db")["status"].get("updatedReplicas") == 2)
        await until(lambda: len(ready(api)) == 3)
        images = {p["metadata"]["name"]: p["spec"]["containers"][0]["image"] for p in api.all(PODS)}
        assert images == {"db-0": "nginx:1", "db-1": "redis:2", "db-2": "redis:2"}
        await api.delete(PODS, "db-0", "default")
        await until(lambda: len(ready(api)) == 3)
        assert api.one(PODS, "default/db-0")["spec"]["containers"][0]["image"] == "nginx:1"
        await api.change(
            STATEFULSETS,
            "default/db",
            lambda sts: sts["spec"]["updateStrategy"]["rollingUpdate"].update(partition=0),
        )
        await until(lambda: {p["spec"]["containers"][0]["image"] for p in ready(api)} == {"redis:2"})
        await until(lambda: len(ready(api)) == 3)
        await asyncio.sleep(5)
        status = api.one(STATEFULSETS, "default/db")["status"]
        assert status["currentRevision"] == status["updateRevision"]
        assert status["currentReplicas"] == 3


async def test_services_follow_their_pods() -> None:
    async with simulated() as (api, _):
        await api.put(SERVICES, service_body("web"))
        await api.put(DEPLOYMENTS, deployment_body("web", replicas=3))

        def addresses() -> set[str]:
            return {
                endpoint["addresses"][0]
                for one in api.all(ENDPOINTSLICES)
                for endpoint in one.get("endpoints") or ()
                if endpoint["conditions"]["ready"]
            }

        await until(lambda: len(addresses()) == 3)
        assert addresses() == {pod["status"]["podIP"] for pod in ready(api)}
        [one] = api.all(ENDPOINTSLICES)
        assert one["metadata"]["labels"]["kubernetes.io/service-name"] == "web"
        [subset] = api.one(ENDPOINTS, "default/web")["subsets"]
        assert {address["ip"] for address in subset["addresses"]} == addresses()
        assert subset["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
        await api.delete(SERVICES, "web", "default")
        await until(lambda: not api.all(ENDPOINTSLICES) and not api.all(ENDPOINTS))


async def test_a_cut_node_loses_its_pods_and_comes_back() -> None:
    async with simulated(node_monitor_grace_s=40.0) as (api, _):
        await api.put(DEPLOYMENTS, deployment_body("web", replicas=3, toleration_s=20))
        await api.put(SERVICES, service_body("web"))
        await until(lambda: len(ready(api)) == 3)
        await api.change(NODES, "n2", lambda node: node["metadata"].update(labels={"cut": "yes"}))
        await until(
            lambda: any(t["key"].endswith("unreachable") for t in api.one(NODES, "n2")["spec"].get("taints", ()))
        )
        [condition] = [c for c in api.one(NODES, "n2")["status"]["conditions"] if c["type"] == "Ready"]
        assert (condition["status"], condition["reason"]) == ("Unknown", "NodeStatusUnknown")
        await until(lambda: len(ready(api)) == 2)
        await until(
            lambda: (
                sum(e["conditions"]["ready"] for s in api.all(ENDPOINTSLICES) for e in s.get("endpoints") or ()) == 2
            )
        )
        await until(lambda: len(ready(api)) >= 3, limit_s=60)
        await api.change(NODES, "n2", lambda node: node["metadata"].update(labels={"cut": "no"}))
        await until(lambda: not api.one(NODES, "n2")["spec"].get("taints"))
        await until(lambda: len(api.all(PODS)) == 3)


async def test_a_deleted_nodes_pods_are_removed() -> None:
    async with simulated(orphan_quarantine_s=10.0) as (api, _):
        await api.put(DEPLOYMENTS, deployment_body("web", replicas=3))
        await until(lambda: len(ready(api)) == 3)
        await api.remove(NODES, "n2")
        await until(
            lambda: len(ready(api)) == 3 and all(p["spec"]["nodeName"] != "n2" for p in api.all(PODS)), limit_s=90
        )


async def test_nodes_get_different_ranges_and_give_them_back() -> None:
    async with simulated() as (api, _):
        await until(lambda: all(node["spec"].get("podCIDR") for node in api.all(NODES)))
        ranges = {node["metadata"]["name"]: node["spec"]["podCIDR"] for node in api.all(NODES)}
        assert set(ranges.values()) == {"10.244.0.0/24", "10.244.1.0/24", "10.244.2.0/24"}
        await api.remove(NODES, "n2")
        await asyncio.sleep(1)
        await api.put(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n4"}})
        await until(lambda: api.one(NODES, "n4")["spec"].get("podCIDR"))
        assert api.one(NODES, "n4")["spec"]["podCIDR"] == ranges["n2"]


async def test_a_namespace_gets_its_account_and_goes_with_all_it_holds() -> None:
    async with simulated() as (api, _):
        await api.put(NAMESPACES, namespace_body("team"))
        await until(lambda: api.all(SERVICEACCOUNTS, "team"))
        await api.put(DEPLOYMENTS, deployment_body("web", namespace="team", replicas=2))
        await api.put(
            CONFIGMAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "team"}}
        )
        await until(lambda: len(ready(api)) == 2)
        await api.delete(NAMESPACES, "team")
        await until(lambda: all(n["metadata"]["name"] != "team" for n in api.all(NAMESPACES)))
        for resource in (PODS, DEPLOYMENTS, REPLICASETS, CONFIGMAPS):
            assert not api.all(resource, "team")


async def test_a_key_that_waits_for_its_own_write_sleeps_until_the_watch_brings_it() -> None:
    async with simulated() as (api, _):
        await asyncio.sleep(5)
        api.client.watch_lag_s = 1.5
        before = _syncs("retry")
        await api.put(DEPLOYMENTS, deployment_body("web", replicas=3))
        await until(lambda: len(ready(api)) == 3)
        await asyncio.sleep(20)
        assert _syncs("retry") - before < 25


def _syncs(result: str) -> float:
    return sum(
        sample.value
        for metric in SYNCS.collect()
        for sample in metric.samples
        if sample.labels.get("result") == result and sample.name.endswith("_total")
    )


@pytest.mark.parametrize("lag_s", [0.0, 0.2, 2.0])
async def test_a_slow_watch_creates_nothing_twice(lag_s: float) -> None:
    async with simulated() as (api, _):
        api.client.watch_lag_s = lag_s
        await api.put(DEPLOYMENTS, deployment_body("web", replicas=5))
        await until(lambda: len(ready(api)) == 5)
        await asyncio.sleep(20)
        assert len([w for w in api.writes if w[:2] == ("create", "pods")]) == 5
        assert len([w for w in api.writes if w[:2] == ("create", "replicasets")]) == 1


@pytest.mark.parametrize("step_s", [0.0, 0.003, 0.05, 0.7])
async def test_controllers_killed_again_and_again_double_nothing(step_s: float) -> None:
    """Each shell is cancelled wherever it happens to be, and the next process starts from empty caches."""
    async with a_simulated_api() as api, SimulatedNodes(api, "n1", "n2"):
        await api.put(DEPLOYMENTS, deployment_body("web", replicas=6))
        await api.put(STATEFULSETS, statefulset_body("db", replicas=3))
        await api.put(SERVICES, service_body("web"))
        for number in range(12):
            async with controlled(api):
                await asyncio.sleep(step_s * number)
        async with controlled(api):
            await until(lambda: len(ready(api, "web")) == 6 and len(ready(api, "db")) == 3)
            await asyncio.sleep(20)
        assert (len(ready(api, "web")), len(ready(api, "db")), len(api.all(PODS))) == (6, 3, 9)
        assert len(api.all(REPLICASETS)) == len(api.all(CONTROLLERREVISIONS)) == len(api.all(ENDPOINTS)) == 1


async def test_lost_answers_lead_to_the_wanted_state_all_the_same() -> None:
    async with simulated() as (api, _):
        dice = random.Random(5)
        api.client.loses_answer = lambda method, resource: dice.random() < 0.3
        await api.put(DEPLOYMENTS, deployment_body("web", replicas=4))
        await api.put(STATEFULSETS, statefulset_body("db", replicas=2))
        await api.put(SERVICES, service_body("web"))
        await until(lambda: len(ready(api)) == 6)
        await api.change(DEPLOYMENTS, "default/web", set_image("nginx:2"))
        await until(lambda: {p["spec"]["containers"][0]["image"] for p in ready(api, "web")} == {"nginx:2"})
        api.client.loses_answer = lambda method, resource: False
        await asyncio.sleep(120)
        assert (len(ready(api, "web")), len(ready(api, "db")), len(api.all(PODS))) == (4, 2, 6)
        assert len({node["spec"]["podCIDR"] for node in api.all(NODES)}) == 3


async def test_refused_pods_are_told_and_tried_again() -> None:
    async with simulated() as (api, _):
        refused = Forbidden('pods "web-" is forbidden: exceeded quota')
        api.client.refuse = lambda method, resource, name: refused if (method, resource) == ("create", PODS) else None
        await api.put(DEPLOYMENTS, deployment_body("web", replicas=20))

        def failure() -> list[str]:
            conditions = api.one(DEPLOYMENTS, "default/web")["status"].get("conditions") or ()
            return [c["message"] for c in conditions if c["type"] == "ReplicaFailure"]

        await until(lambda: failure() == [refused.message])
        api.client.refuse = lambda method, resource, name: None
        await until(lambda: len(ready(api)) == 20 and not failure())


def container_status(restarts: int) -> Object:
    state = {"running": {"startedAt": "2023-11-14T22:13:00Z"}}
    return {"name": "main", "image": "nginx:1", "imageID": "", "ready": True, "restartCount": restarts, "state": state}


async def test_the_least_loss_is_counted_over_the_whole_deployment() -> None:
    async with a_simulated_api() as api:
        for node in ("n1", "n2"):
            await api.put(NODES, ready_node(node))
        sets = {}
        for name, replicas, image in (("web-new", 2, "nginx:2"), ("web-old", 3, "nginx:1")):
            body = deployment_body(name, replicas=replicas)
            labels = {"app": "web", "pod-template-hash": name}
            metadata = {"name": name, "namespace": "default", "labels": labels}
            metadata["ownerReferences"] = [owner_body("Deployment", "web", "uid-web")]
            template = {**pod_template(image, labels=labels)}
            spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
            sets[name] = await api.put(REPLICASETS, {**body, "kind": "ReplicaSet", "metadata": metadata, "spec": spec})
        # Of the new set's pods, the one on n2 is cheaper but for the node's crowd: it was started anew so often.
        placed = [("a", "web-new", "n1", 0), ("b", "web-new", "n2", 9)]
        placed += [(name, "web-old", "n1", 0) for name in ("c", "d", "e")]
        for name, owner, node, restarts in placed:
            rs = sets[owner]
            metadata = {"name": name, "namespace": "default", "labels": rs["spec"]["selector"]["matchLabels"]}
            metadata["ownerReferences"] = [owner_body("ReplicaSet", owner, rs["metadata"]["uid"])]
            condition = {"type": "Ready", "status": "True", "lastTransitionTime": "2023-11-14T22:13:00Z"}
            status = {"phase": "Running", "conditions": [condition], "containerStatuses": [container_status(restarts)]}
            spec = {**rs["spec"]["template"]["spec"], "nodeName": node}
            body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status}
            await api.put(PODS, body)
        only = Registered("replicaset", ("replicasets", "pods"), ReplicaSetController)
        async with controlled(api, (only,)):
            await asyncio.sleep(5)
            assert len(api.all(PODS)) == 5
            await api.change(REPLICASETS, "default/web-new", lambda rs: rs["spec"].update(replicas=1))
            await until(lambda: any(pod["metadata"].get("deletionTimestamp") for pod in api.all(PODS)))
        assert [p["metadata"]["name"] for p in api.all(PODS) if p["metadata"].get("deletionTimestamp")] == ["a"]


async def test_a_replica_set_resized_by_somebody_else_is_decided_on_anew() -> None:
    async with simulated() as (api, _):
        await api.put(DEPLOYMENTS, deployment_body("web", replicas=4, max_surge=1, max_unavailable=1))
        await until(lambda: progressing(api) == "NewReplicaSetAvailable")
        [old] = [rs["metadata"]["name"] for rs in api.all(REPLICASETS)]
        sizes: list[int] = []
        api.observers.append(
            lambda type_, resource, obj: (
                sizes.append(obj["spec"]["replicas"])
                if resource == REPLICASETS and obj["metadata"]["name"] == old
                else None
            )
        )

        async def resize(method: str, resource: Any, name: str) -> None:
            if (method, resource, name) == ("patch", REPLICASETS, old) and 0 not in sizes:
                await api.change(REPLICASETS, f"default/{old}", lambda rs: rs["spec"].update(replicas=0))

        api.client.meanwhile = resize
        await api.change(DEPLOYMENTS, "default/web", set_image("nginx:2"))
        await until(lambda: len(ready(api)) == 4 and images(api) == {"nginx:2"})
        # Decided on the size it had before, the write would have brought old pods back.
        assert set(sizes[sizes.index(0) :]) == {0}


async def test_a_pod_replaced_just_before_it_is_deleted_stays() -> None:
    async with simulated() as (api, _):
        await api.put(STATEFULSETS, statefulset_body("db", replicas=2))
        await until(lambda: len(ready(api)) == 2)
        body = statefulset_body("x")["spec"]["template"]["spec"]
        foreign = {"metadata": {"name": "db-1", "namespace": "default", "labels": {"app": "other"}}, "spec": body}

        async def replace(method: str, resource: Any, name: str) -> None:
            if (method, resource, name) == ("delete", PODS, "db-1"):
                api.client.meanwhile = nothing
                await api.remove(PODS, "default/db-1")
                await api.put(PODS, {"apiVersion": "v1", "kind": "Pod", **foreign})

        async def nothing(method: str, resource: Any, name: str) -> None:
            pass

        api.client.meanwhile = replace
        await api.change(STATEFULSETS, "default/db", lambda sts: sts["spec"].update(replicas=1))
        await until(lambda: api.client.meanwhile is nothing)
        await asyncio.sleep(60)
        assert api.one(PODS, "default/db-1")["metadata"]["labels"] == {"app": "other"}
        assert not api.one(PODS, "default/db-1")["metadata"].get("deletionTimestamp")


async def test_a_pod_replaced_between_two_looks_is_another_endpoint() -> None:
    """Same name, same address, same node, as ready as before: only the uid tells, and the watch did not."""
    async with simulated() as (api, _):
        await api.put(SERVICES, service_body("web"))
        at = "2023-11-14T22:13:00Z"
        condition = {"type": "Ready", "status": "True", "lastTransitionTime": at}
        address = "10.244.9.9"
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "web", "namespace": "default", "labels": {"app": "web"}},
            "spec": {**pod_template()["spec"], "nodeName": "n1"},
            "status": {
                "phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": [condition]
            },
        }  # fmt: skip

        def targets() -> set[str]:
            slices = api.all(ENDPOINTSLICES)
            found = {endpoint["targetRef"]["uid"] for one in slices for endpoint in one.get("endpoints") or ()}
            for one in api.all(ENDPOINTS):
                for subset in one.get("subsets") or ():
                    found |= {address["targetRef"]["uid"] for address in subset.get("addresses") or ()}
            return found

        before = await api.put(PODS, pod)
        await until(lambda: targets() == {before["metadata"]["uid"]})
        away = ServiceUnavailable("starting")
        api.client.refuse = lambda method, resource, name: away if (method, resource) == ("list", PODS) else None
        api.client.lose_watches()
        await api.remove(PODS, "default/web")
        after = await api.put(PODS, pod)
        api.client.refuse = lambda method, resource, name: None
        await until(lambda: targets() == {after["metadata"]["uid"]}, limit_s=30)


async def test_a_race_for_a_pod_is_no_failure_to_create() -> None:
    async with simulated() as (api, _):
        await api.put(DEPLOYMENTS, deployment_body("web", replicas=1))
        await until(lambda: len(ready(api)) == 1)
        [rs] = api.all(REPLICASETS)
        raced = 0

        def lose(method: str, resource: Any, name: str) -> ApiError | None:
            nonlocal raced
            if (method, name) != ("patch", "stray") or raced == 3:
                return None
            raced += 1
            return Invalid(
                "metadata.ownerReferences: Invalid value: Only one reference can have Controller set to true"
            )

        told: list[Object] = []
        api.observers.append(
            lambda type_, resource, obj: (
                told.extend(obj["status"].get("conditions") or ()) if resource == REPLICASETS else None
            )
        )
        api.client.refuse = lose
        stray = {"name": "stray", "namespace": "default", "labels": rs["spec"]["template"]["metadata"]["labels"]}
        await api.put(
            PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": stray, "spec": rs["spec"]["template"]["spec"]}
        )
        await until(lambda: raced == 3 and len(ready(api)) == 1 and len(api.all(PODS)) == 1)
        assert told == []
        assert [e for e in api.all(CORE_EVENTS) if e["type"] == "Warning"] == []


async def test_a_namespace_that_ends_is_no_failure_to_create() -> None:
    async with simulated() as (api, _):
        refused = Forbidden("namespace default is being terminated")
        refused.details = {"causes": [{"reason": "NamespaceTerminating"}]}
        api.client.refuse = lambda method, resource, name: refused if (method, resource) == ("create", PODS) else None
        await api.put(DEPLOYMENTS, deployment_body("web", replicas=20))
        await asyncio.sleep(120)
        [rs] = api.all(REPLICASETS)
        assert not rs["status"].get("conditions")
        assert [e for e in api.all(CORE_EVENTS) if e["type"] == "Warning"] == []


async def test_a_statefulset_blocked_by_a_foreign_pod_says_so_and_goes_on_when_it_is_gone() -> None:
    async with simulated() as (api, _):
        foreign = {"name": "db-1", "namespace": "default", "labels": {"app": "other"}}
        body: Object = {"apiVersion": "v1", "kind": "Pod", "metadata": foreign}
        await api.put(PODS, {**body, "spec": statefulset_body("x")["spec"]["template"]["spec"]})
        await api.put(STATEFULSETS, statefulset_body("db", replicas=3))

        def warnings() -> list[tuple[str, str, str]]:
            return [
                (event["involvedObject"]["kind"], event["reason"], event["message"])
                for event in api.all(CORE_EVENTS)
                if event["type"] == "Warning"
            ]

        await until(lambda: bool(warnings()))
        await asyncio.sleep(300)
        message = 'create Pod db-1 in StatefulSet db failed error: pods "db-1" already exists'
        assert warnings() == [("StatefulSet", "FailedCreate", message)]
        assert sorted(pod["metadata"]["name"] for pod in api.all(PODS)) == ["db-0", "db-1"]
        await api.remove(PODS, "default/db-1")
        # The name is free: the set looks at once, and not only when its back-off ends.
        await until(lambda: len(ready(api, "db")) == 3, limit_s=10)


async def cut(api: SimulatedApi, *names: str, heal: bool = False) -> None:
    """Have the nodes' agents say nothing more, or talk again."""
    for name in names:
        await api.change(NODES, name, lambda node: node["metadata"].update(labels={"cut": "no" if heal else "yes"}))


def evicts(node: Object) -> bool:
    return any(taint["effect"] == "NoExecute" for taint in node["spec"].get("taints") or ())


async def test_no_node_counts_as_silent_while_the_api_was_away() -> None:
    async with simulated() as (api, _):
        await api.put(DEPLOYMENTS, deployment_body("web", replicas=3))
        await until(lambda: len(ready(api)) == 3)
        await asyncio.sleep(15)
        judged: list[str] = []

        def note(type_: str, resource: Resource, obj: Object) -> None:
            unknown = any(c["status"] == "Unknown" for c in (obj.get("status") or {}).get("conditions") or ())
            if resource == NODES and (unknown or obj["spec"].get("taints")):
                judged.append(obj["metadata"]["name"])

        api.observers.append(note)
        away = ServiceUnavailable("starting")
        api.client.refuse = lambda method, resource, name: away
        await cut(api, "n1", "n2", "n3")
        await asyncio.sleep(60)
        api.client.refuse = lambda method, resource, name: None
        # The agents need a moment longer than the controllers: longer than any of these waits to try again.
        await asyncio.sleep(35)
        assert len(ready(api)) == 3
        await cut(api, "n1", "n2", "n3", heal=True)
        await asyncio.sleep(60)
        assert judged == []
        assert len(ready(api)) == 3
        assert len([write for write in api.writes if write[:2] == ("create", "pods")]) == 3


async def test_a_process_that_stood_still_blames_no_node_for_it() -> None:
    async with simulated() as (api, _):
        await asyncio.sleep(15)
        deaf = Unreachable("no answer")
        api.client.refuse = lambda method, resource, name: (
            deaf if (method, name) == ("get", "kube-node-lease") else None
        )
        await cut(api, "n2")
        await asyncio.sleep(60)
        api.client.refuse = lambda method, resource, name: None
        # While it could not hear, n2 was judged; from here on it has its whole grace.
        await cut(api, "n3")
        await asyncio.sleep(38)
        assert not evicts(api.one(NODES, "n3"))
        await until(lambda: evicts(api.one(NODES, "n3")), limit_s=20)


async def test_evictions_are_braked_in_a_zone_of_which_most_is_lost() -> None:
    async with simulated() as (api, _):
        for name in ("n4", "n5", "n6"):
            await api.put(NODES, ready_node(name))
        await asyncio.sleep(15)
        await cut(api, "n1", "n2", "n3", "n4")
        await until(
            lambda: sum(c["status"] == "Unknown" for n in api.all(NODES) for c in n["status"]["conditions"]) >= 4
        )
        await asyncio.sleep(120)
        # Four of six: no more is begun, and the scheduler is told not to use them all the same.
        assert sum(evicts(node) for node in api.all(NODES)) == 0
        assert sum(bool(node["spec"].get("taints")) for node in api.all(NODES)) == 4
        await cut(api, "n3", "n4", heal=True)
        await until(lambda: sum(evicts(node) for node in api.all(NODES)) == 2, limit_s=60)


async def test_nodes_of_a_zone_are_emptied_one_in_ten_seconds() -> None:
    async with simulated() as (api, _):
        for name in ("n4", "n5", "n6", "n7"):
            await api.put(NODES, ready_node(name))
        await asyncio.sleep(15)
        tainted: dict[str, float] = {}

        def note(type_: str, resource: Resource, obj: Object) -> None:
            if resource == NODES and evicts(obj):
                tainted.setdefault(obj["metadata"]["name"], api.clock.monotonic())

        api.observers.append(note)
        await cut(api, "n1", "n2", "n3")
        await until(lambda: len(tainted) == 3)
        began = sorted(tainted.values())
        assert [later - sooner for sooner, later in itertools.pairwise(began)] == pytest.approx([10, 10], abs=0.5)


async def test_a_taint_that_does_not_say_since_when_is_tolerated_for_its_seconds() -> None:
    async with simulated() as (api, _):
        body = deployment_body("web", replicas=3)
        mine = {"key": "mine", "operator": "Exists", "effect": "NoExecute"}
        body["spec"]["template"]["spec"]["tolerations"] = [{**mine, "tolerationSeconds": 30}, mine]
        await api.put(DEPLOYMENTS, body)
        await until(lambda: len(ready(api)) == 3)
        on_n2 = {pod["metadata"]["name"] for pod in api.all(PODS) if pod["spec"]["nodeName"] == "n2"}
        taint = {"key": "mine", "effect": "NoExecute"}
        await api.change(NODES, "n2", lambda node: node["spec"].update(taints=[taint]))
        await asyncio.sleep(29)
        assert on_n2 <= {pod["metadata"]["name"] for pod in ready(api)}
        await until(lambda: not on_n2 & {pod["metadata"]["name"] for pod in ready(api)}, limit_s=3)


async def test_when_all_nodes_fall_silent_nobody_is_evicted() -> None:
    async with simulated() as (api, _):
        await api.put(DEPLOYMENTS, deployment_body("web", replicas=3, toleration_s=0))
        await until(lambda: len(ready(api)) == 3)
        await asyncio.sleep(15)
        await cut(api, "n1", "n2", "n3")
        await asyncio.sleep(200)
        assert len(api.all(PODS)) == 3
        assert not any(pod["metadata"].get("deletionTimestamp") for pod in api.all(PODS))
        assert ready(api) == []


async def test_a_pod_that_stops_serving_leaves_its_service_at_once() -> None:
    async with simulated() as (api, _):
        await api.put(SERVICES, service_body("web"))
        await api.put(DEPLOYMENTS, deployment_body("web", replicas=3))

        def takes_traffic(address: str) -> bool:
            return any(
                address in endpoint["addresses"] and endpoint["conditions"]["ready"]
                for one in api.all(ENDPOINTSLICES)
                for endpoint in one.get("endpoints") or ()
            )

        await until(lambda: len(ready(api)) == 3 and all(takes_traffic(p["status"]["podIP"]) for p in ready(api)))
        gone = ready(api)[0]
        asked = asyncio.get_running_loop().time()
        await api.delete(PODS, gone["metadata"]["name"], "default")
        while takes_traffic(gone["status"]["podIP"]):  # noqa: ASYNC110 - finer than `until` looks
            await asyncio.sleep(0.001)
        # Two passages of the watch (1 ms each here), and no gathering.
        assert asyncio.get_running_loop().time() - asked < 0.03


def config_map(name: str, owner: Object | None = None) -> Object:
    metadata: Object = {"name": name, "namespace": "default"}
    if owner is not None:
        reference = {"apiVersion": "v1", "kind": "Secret", "name": owner["metadata"]["name"]}
        metadata["ownerReferences"] = [{**reference, "uid": owner["metadata"]["uid"]}]
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


def secret(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "default"}}


async def test_an_owner_that_the_cache_does_not_show_yet_is_no_absent_owner() -> None:
    async with simulated() as (api, _):
        await asyncio.sleep(1)
        api.client.watch_lag_s = 5.0
        owner = await api.put(SECRETS, secret("owner"))
        api.client.watch_lag_s = 0.0
        await api.put(CONFIGMAPS, config_map("owned", owner))
        await asyncio.sleep(60)
        assert len(api.all(CONFIGMAPS)) == 1


async def test_a_namesake_is_not_the_owner() -> None:
    async with simulated() as (api, _):
        owner = await api.put(SECRETS, secret("owner"))
        await api.put(CONFIGMAPS, config_map("owned", owner))
        await asyncio.sleep(1)
        await api.remove(SECRETS, "default/owner")
        await api.put(SECRETS, secret("owner"))
        await until(lambda: not api.all(CONFIGMAPS))
        assert len(api.all(SECRETS)) == 1


async def test_what_lost_its_owner_while_nobody_watched_goes_at_the_start() -> None:
    async with a_simulated_api() as api:
        gone = secret("gone")
        gone["metadata"]["uid"] = "uid-of-yesterday"
        await api.put(CONFIGMAPS, config_map("left", gone))
        await api.put(CONFIGMAPS, config_map("free"))
        async with controlled(api):
            await until(lambda: [c["metadata"]["name"] for c in api.all(CONFIGMAPS)] == ["free"])


async def test_pods_of_a_node_that_is_back_in_time_are_ready_again_and_nothing_is_doubled() -> None:
    async with simulated() as (api, _):
        await api.put(DEPLOYMENTS, deployment_body("web", replicas=3, toleration_s=300))
        await until(lambda: len(ready(api)) == 3)
        before = {pod["metadata"]["uid"] for pod in api.all(PODS)}
        await api.change(NODES, "n2", lambda node: node["metadata"].update(labels={"cut": "yes"}))
        await until(lambda: len(ready(api)) == 2)
        await api.change(NODES, "n2", lambda node: node["metadata"].update(labels={"cut": "no"}))
        await until(lambda: len(ready(api)) == 3)
        await asyncio.sleep(60)
        assert {pod["metadata"]["uid"] for pod in api.all(PODS)} == before
        conditions = [c for pod in api.all(PODS) for c in pod["status"]["conditions"] if c["type"] == "Ready"]
        assert all("reason" not in condition for condition in conditions)
