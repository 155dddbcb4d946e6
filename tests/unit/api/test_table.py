from __future__ import annotations

from typing import Any

import pytest

from orchestrator.api import table
from orchestrator.api.kinds import BUILT_IN
from orchestrator.api.printing.durations import seconds_of
from tests.support.api import a_full_pod

BORN = "2026-01-01T00:00:00Z"
NOW = seconds_of(BORN) + 90


def cells(api_version: str, kind: str, *, wide: bool = False, **fields: Any) -> dict[str, Any]:
    """The row of an object named `x`: column -> cell, without name and age."""
    row = BUILT_IN.by_kind(api_version, kind)
    assert row is not None
    metadata = {"name": "x", "creationTimestamp": BORN} | fields.pop("metadata", {})
    rendered = table.render(row.columns, [{"metadata": metadata, **fields}], now=NOW, include_object="None")
    pairs = zip(rendered["columnDefinitions"], rendered["rows"][0]["cells"], strict=True)
    hidden = ("Name", "Age")
    return {c["name"]: cell for c, cell in pairs if c["name"] not in hidden and (wide or not c["priority"])}


def pod_cells(status: dict[str, Any], *, wide: bool = False, **fields: Any) -> dict[str, Any]:
    spec = fields.pop("spec", {"containers": [{"name": "a"}]})
    return cells("v1", "Pod", wide=wide, spec=spec, status={"phase": "Running", **status}, **fields)


RUNNING = {"running": {"startedAt": BORN}}
READY = {"type": "Ready", "status": "True"}
ENDED = {"terminated": {"exitCode": 1, "finishedAt": "2026-01-01T00:01:00Z"}}


def a_status(name: str = "a", state: Any = RUNNING, **fields: Any) -> dict[str, Any]:
    return {"name": name, "state": state, "ready": state is RUNNING, **fields}


def waiting(reason: str) -> dict[str, Any]:
    return {"waiting": {"reason": reason}}


def ended(exit_code: int, **fields: Any) -> dict[str, Any]:
    return {"terminated": {"exitCode": exit_code, **fields}}


INIT_TWO = {"containers": [{"name": "a"}], "initContainers": [{"name": "i"}, {"name": "j"}]}
SIDECAR = {"containers": [{"name": "a"}], "initContainers": [{"name": "s", "restartPolicy": "Always"}]}


@pytest.mark.parametrize(
    ("status", "fields", "ready", "word", "restarts"),
    [
        pytest.param({"phase": "Pending"}, {}, "0/1", "Pending", "0", id="pending"),
        pytest.param({"containerStatuses": [a_status()]}, {}, "1/1", "Running", "0", id="running"),
        pytest.param(
            {"phase": "Pending", "containerStatuses": [a_status(state=waiting("ContainerCreating"))]},
            {}, "0/1", "ContainerCreating", "0", id="creating",
        ),
        pytest.param(
            {"containerStatuses": [a_status(state=waiting("CrashLoopBackOff"), restartCount=3, lastState=ENDED)]},
            {}, "0/1", "CrashLoopBackOff", "3 (30s ago)", id="crash-loop",
        ),
        pytest.param(
            {"phase": "Succeeded", "containerStatuses": [a_status(state=ended(0, reason="Completed"))]},
            {}, "0/1", "Completed", "0", id="completed",
        ),
        pytest.param(
            {"phase": "Failed", "containerStatuses": [a_status(state=ended(1, reason="Error"))]},
            {}, "0/1", "Error", "0", id="failed",
        ),
        pytest.param({"containerStatuses": [a_status(state=ended(3))]}, {}, "0/1", "ExitCode:3", "0", id="exit-code"),
        pytest.param(
            {"containerStatuses": [a_status(state=ended(137, signal=9))]}, {}, "0/1", "Signal:9", "0", id="signal"
        ),
        pytest.param(
            {"containerStatuses": [a_status("a", ended(0, reason="Completed")), a_status("b")]},
            {"spec": {"containers": [{"name": "a"}, {"name": "b"}]}}, "1/2", "NotReady", "0", id="one-of-two-is-done",
        ),
        pytest.param(
            {"containerStatuses": [a_status("a", ended(0, reason="Completed")), a_status("b")], "conditions": [READY]},
            {"spec": {"containers": [{"name": "a"}, {"name": "b"}]}}, "1/2", "Running", "0", id="done-but-ready",
        ),
        pytest.param(
            {"containerStatuses": [a_status()]}, {"metadata": {"deletionTimestamp": BORN}},
            "1/1", "Terminating", "0", id="terminating",
        ),
        pytest.param(
            {"phase": "Succeeded"}, {"metadata": {"deletionTimestamp": BORN}}, "0/1", "Succeeded", "0",
            id="a-finished-pod-is-not-terminating",
        ),
        pytest.param(
            {"reason": "NodeLost"}, {"metadata": {"deletionTimestamp": BORN}}, "0/1", "Unknown", "0", id="node-lost"
        ),
        pytest.param({"phase": "Failed", "reason": "Evicted"}, {}, "0/1", "Evicted", "0", id="evicted"),
        pytest.param(
            {"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}]},
            {}, "0/1", "SchedulingGated", "0", id="gated",
        ),
        pytest.param(
            {"phase": "Pending", "initContainerStatuses": [a_status("i", ended(0)), a_status("j")]},
            {"spec": INIT_TWO}, "0/1", "Init:1/2", "0", id="init-running",
        ),
        pytest.param(
            {"phase": "Pending", "initContainerStatuses": [a_status("i", waiting("PodInitializing"))]},
            {"spec": INIT_TWO}, "0/1", "Init:0/2", "0", id="init-waiting-for-the-pod",
        ),
        pytest.param(
            {"initContainerStatuses": [
                a_status("i", waiting("CrashLoopBackOff"), restartCount=2, lastState=ENDED)
            ]},
            {"spec": INIT_TWO}, "0/1", "Init:CrashLoopBackOff", "2 (30s ago)", id="init-crash-loop",
        ),
        pytest.param(
            {"initContainerStatuses": [a_status("i", ended(1, reason="Error"))]},
            {"spec": INIT_TWO}, "0/1", "Init:Error", "0", id="init-error",
        ),
        pytest.param(
            {"initContainerStatuses": [a_status("i", ended(2))]},
            {"spec": INIT_TWO}, "0/1", "Init:ExitCode:2", "0", id="init-exit-code",
        ),
        pytest.param(
            {
                "initContainerStatuses": [a_status("i", ended(0), restartCount=5), a_status("j", ended(0))],
                "containerStatuses": [a_status(restartCount=1)],
            },
            {"spec": INIT_TWO}, "1/1", "Running", "1", id="restarts-of-init-containers-are-forgotten",
        ),
        pytest.param(
            {
                "initContainerStatuses": [a_status("s", started=True, restartCount=2)],
                "containerStatuses": [a_status(restartCount=1)],
            },
            {"spec": SIDECAR}, "2/2", "Running", "3", id="sidecars-count",
        ),
    ],
)  # fmt: skip
def test_pods(status: dict[str, Any], fields: dict[str, Any], ready: str, word: str, restarts: str) -> None:
    assert pod_cells(status, **fields) == {"Ready": ready, "Status": word, "Restarts": restarts}


def test_pods_wide() -> None:
    spec = {
        "containers": [{"name": "a"}],
        "nodeName": "n1",
        "readinessGates": [{"conditionType": "g1"}, {"conditionType": "g2"}],
    }
    status = {
        "podIPs": [{"ip": "10.244.0.5"}],
        "nominatedNodeName": "n2",
        "conditions": [{"type": "g1", "status": "True"}],
    }
    wide = pod_cells(status, wide=True, spec=spec)
    assert [wide[name] for name in ("IP", "Node", "Nominated Node", "Readiness Gates")] == [
        "10.244.0.5", "n1", "n2", "1/2"]  # fmt: skip
    bare = pod_cells({}, wide=True)
    assert [bare[name] for name in ("IP", "Node", "Nominated Node", "Readiness Gates")] == ["<none>"] * 4


TEMPLATE = {"spec": {"containers": [{"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1"}]}}
SELECTOR = {"matchLabels": {"app": "web"}}


def test_workloads() -> None:
    spec = {"replicas": 3, "selector": SELECTOR, "template": TEMPLATE}
    status = {"replicas": 3, "readyReplicas": 2, "updatedReplicas": 1, "availableReplicas": 2}
    tail = {"Containers": "a,b", "Images": "a:1,b:1", "Selector": "app=web"}
    assert cells("apps/v1", "Deployment", wide=True, spec=spec, status=status) == {
        "Ready": "2/3", "Up-to-date": 1, "Available": 2, **tail}  # fmt: skip
    assert cells("apps/v1", "ReplicaSet", wide=True, spec=spec, status=status) == {
        "Desired": 3, "Current": 3, "Ready": 2, **tail}  # fmt: skip
    assert cells("apps/v1", "StatefulSet", spec=spec, status={}) == {"Ready": "0/3"}
    owner = {"controller": True, "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web"}
    assert cells("apps/v1", "ControllerRevision", revision=4, metadata={"ownerReferences": [owner]}) == {
        "Controller": "statefulset.apps/web", "Revision": 4}  # fmt: skip


PORT = {"port": 80, "protocol": "TCP"}


@pytest.mark.parametrize(
    ("spec", "status", "expected"),
    [
        ({"type": "ClusterIP", "clusterIP": "10.96.0.1", "ports": [PORT, {"port": 53, "protocol": "UDP"}]}, {},
         ("ClusterIP", "10.96.0.1", "<none>", "80/TCP,53/UDP")),
        ({"type": "ClusterIP", "clusterIP": "None"}, {}, ("ClusterIP", "None", "<none>", "<none>")),
        ({"type": "NodePort", "clusterIP": "10.96.0.2", "ports": [{**PORT, "nodePort": 30080}]}, {},
         ("NodePort", "10.96.0.2", "<none>", "80:30080/TCP")),
        ({"type": "LoadBalancer", "clusterIP": "10.96.0.3", "ports": [PORT]}, {},
         ("LoadBalancer", "10.96.0.3", "<pending>", "80/TCP")),
        ({"type": "LoadBalancer", "clusterIP": "10.96.0.3", "externalIPs": ["1.2.3.4"], "ports": [PORT]},
         {"loadBalancer": {"ingress": [{"ip": "9.9.9.9"}, {"hostname": "lb"}]}},
         ("LoadBalancer", "10.96.0.3", "9.9.9.9,lb,1.2.3.4", "80/TCP")),
        ({"type": "ExternalName", "externalName": "example.com"}, {},
         ("ExternalName", "<none>", "example.com", "<none>")),
    ],
)  # fmt: skip
def test_services(spec: dict[str, Any], status: dict[str, Any], expected: tuple[str, ...]) -> None:
    assert tuple(cells("v1", "Service", spec=spec, status=status).values()) == expected


def test_a_services_selector_is_wide() -> None:
    wide = cells("v1", "Service", wide=True, spec={"selector": {"b": "2", "a": "1"}})
    assert wide["Selector"] == "a=1,b=2"


@pytest.mark.parametrize(
    ("subsets", "shown"),
    [
        ([], "<none>"),
        ([{"addresses": [{"ip": "1.1.1.1"}, {"ip": "1.1.1.2"}], "ports": [PORT]}], "1.1.1.1:80,1.1.1.2:80"),
        ([{"addresses": [{"ip": f"1.1.1.{n}"} for n in range(5)], "ports": [PORT]}],
         "1.1.1.0:80,1.1.1.1:80,1.1.1.2:80 + 2 more..."),
        ([{"addresses": [{"ip": "1.1.1.1"}]}], "1.1.1.1"),
        ([{"addresses": [{"ip": "fd00::1"}], "ports": [PORT]}], "[fd00::1]:80"),
        ([{"notReadyAddresses": [{"ip": "1.1.1.1"}], "ports": [PORT]}], ""),
    ],
)  # fmt: skip
def test_endpoints(subsets: list[Any], shown: str) -> None:
    assert cells("v1", "Endpoints", subsets=subsets) == {"Endpoints": shown}


def test_endpoint_slices() -> None:
    endpoints = [{"addresses": ["1.1.1.1"]}, {"addresses": ["1.1.1.2"]}]
    assert cells("discovery.k8s.io/v1", "EndpointSlice", addressType="IPv4", ports=[PORT], endpoints=endpoints) == {
        "AddressType": "IPv4", "Ports": "80", "Endpoints": "1.1.1.1,1.1.1.2"}  # fmt: skip
    assert cells("discovery.k8s.io/v1", "EndpointSlice", addressType="IPv4") == {
        "AddressType": "IPv4", "Ports": "<unset>", "Endpoints": "<unset>"}  # fmt: skip


@pytest.mark.parametrize(
    ("conditions", "unschedulable", "shown"),
    [
        ([{"type": "Ready", "status": "True"}], False, "Ready"),
        ([{"type": "Ready", "status": "Unknown"}], False, "NotReady"),
        ([{"type": "Ready", "status": "True"}], True, "Ready,SchedulingDisabled"),
        ([], False, "Unknown"),
    ],
)
def test_nodes(conditions: list[Any], unschedulable: bool, shown: str) -> None:
    labels = {"node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/control-plane": ""}
    status = {"conditions": conditions, "nodeInfo": {"kubeletVersion": "v1.36.0"}}
    spec = {"unschedulable": unschedulable}
    assert cells("v1", "Node", metadata={"labels": labels}, spec=spec, status=status) == {
        "Status": shown, "Roles": "control-plane,worker", "Version": "v1.36.0"}  # fmt: skip


def test_nodes_wide() -> None:
    status = {
        "addresses": [{"type": "Hostname", "address": "n1"}, {"type": "InternalIP", "address": "10.0.0.1"}],
        "nodeInfo": {"osImage": "Debian", "containerRuntimeVersion": "docker://20.10"},
    }
    wide = cells("v1", "Node", wide=True, status=status)
    assert list(wide.values())[3:] == ["10.0.0.1", "<none>", "Debian", "<unknown>", "docker://20.10"]
    assert wide["Roles"] == "<none>"


def test_configuration() -> None:
    assert cells("v1", "ConfigMap", data={"a": "1"}, binaryData={"b": ""}) == {"Data": 2}
    assert cells("v1", "Secret", type="Opaque", data={"a": "1"}) == {"Type": "Opaque", "Data": 1}
    assert cells("v1", "ServiceAccount") == {"Secrets": 0}
    assert cells("v1", "Namespace", status={"phase": "Active"}) == {"Status": "Active"}
    assert cells("coordination.k8s.io/v1", "Lease", spec={"holderIdentity": "n1"}) == {"Holder": "n1"}


def test_events_in_both_forms() -> None:
    seen, last = "2026-01-01T00:00:10Z", "2026-01-01T00:01:20Z"
    core = {
        "type": "Warning", "reason": "BackOff", "message": "no luck\n", "count": 4,
        "involvedObject": {"kind": "Pod", "name": "web", "fieldPath": "spec.containers{a}"},
        "source": {"component": "kubelet", "host": "n1"}, "firstTimestamp": seen, "lastTimestamp": last,
    }  # fmt: skip
    expected = {
        "Last Seen": "10s", "Type": "Warning", "Reason": "BackOff", "Object": "pod/web",
        "Subobject": "spec.containers{a}", "Source": "kubelet, n1", "Message": "no luck", "First Seen": "80s",
        "Count": 4,
    }  # fmt: skip
    assert cells("v1", "Event", wide=True, **core) == expected
    new = {
        "type": "Warning", "reason": "BackOff", "note": "no luck", "regarding": core["involvedObject"],
        "reportingController": "kubelet", "reportingInstance": "n1", "eventTime": seen,
        "series": {"count": 4, "lastObservedTime": last},
    }  # fmt: skip
    assert cells("events.k8s.io/v1", "Event", wide=True, **new) == expected
    del new["series"]
    assert cells("events.k8s.io/v1", "Event", wide=True, **new)["Last Seen"] == "80s"
    assert cells("events.k8s.io/v1", "Event", wide=True, **new)["Count"] == 1


@pytest.mark.parametrize(
    ("status", "word"),
    [
        ({}, "Pending"),
        ({"conditions": [{"type": "Approved"}]}, "Approved"),
        ({"conditions": [{"type": "Approved"}], "certificate": "eA=="}, "Approved,Issued"),
        ({"conditions": [{"type": "Denied"}]}, "Denied"),
        ({"conditions": [{"type": "Approved"}, {"type": "Failed"}]}, "Approved,Failed"),
    ],
)
def test_signing_requests(status: dict[str, Any], word: str) -> None:
    spec = {"signerName": "kubernetes.io/kubelet-serving", "username": "system:node:n1", "expirationSeconds": 3600}
    assert cells("certificates.k8s.io/v1", "CertificateSigningRequest", spec=spec, status=status) == {
        "SignerName": "kubernetes.io/kubelet-serving", "Requestor": "system:node:n1", "RequestedDuration": "60m",
        "Condition": word}  # fmt: skip


@pytest.mark.parametrize("row", BUILT_IN.rows, ids=lambda row: row.resource.group_resource)
def test_every_kind_prints_an_object_that_has_only_a_name(row: Any) -> None:
    rendered = table.render(row.columns, [{"metadata": {"name": "x"}}], now=NOW)
    assert len(rendered["rows"][0]["cells"]) == len(rendered["columnDefinitions"])
    assert rendered["rows"][0]["cells"][[c["format"] for c in rendered["columnDefinitions"]].index("name")] == "x"
    assert all(column["description"] for column in rendered["columnDefinitions"])


def test_a_table_carries_what_a_list_carries() -> None:
    row = BUILT_IN.find("", "v1", "pods")
    assert row is not None
    pod = a_full_pod()
    rendered = table.render(row.columns, [pod], now=NOW, revision=7, continue_token="c", remaining=3)
    assert rendered["apiVersion"] == "meta.k8s.io/v1"
    assert rendered["metadata"] == {"resourceVersion": "7", "continue": "c", "remainingItemCount": 3}
    assert rendered["rows"][0]["object"] == {
        "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": pod["metadata"]}  # fmt: skip
    assert table.render(row.columns, [pod], now=NOW, include_object="Object")["rows"][0]["object"] == pod
    assert "object" not in table.render(row.columns, [pod], now=NOW, include_object="None")["rows"][0]
    assert table.render(row.columns, [pod], now=NOW, with_columns=False)["columnDefinitions"] is None


def test_columns_are_for_everybody_or_for_wide_tables() -> None:
    columns = [column for row in BUILT_IN.rows for column in row.columns]
    assert {column.priority for column in columns} == {0, 1}, "kubectl shows what has a priority in wide tables alone"
    assert all(column.description for column in columns)
