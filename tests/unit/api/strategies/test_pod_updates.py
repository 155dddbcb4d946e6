"""What may change in a pod once it exists, and how its status may move."""

from __future__ import annotations

import pytest

from orchestrator.api.strategies.pods import PODS_STRATEGY, validate_ephemeral_containers_update
from tests.support.manifests import (
    a_container,
    a_pod,
    a_typical_pod,
    changed,
    created,
    status_refusals,
    update_refusals,
    updated,
)

STORED = created(PODS_STRATEGY, a_typical_pod())
UPDATABLE = (
    "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing "
    "tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n"
)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec/containers/0/image", "nginx:1.17"),
        ("spec/activeDeadlineSeconds", 10),
        ("spec/tolerations/2", {"operator": "Exists"}),
        ("spec/tolerations/0/tolerationSeconds", 1),
        ("metadata/labels", {"app": "other"}),
    ],
)
def test_what_may_change(path, value):
    assert update_refusals(PODS_STRATEGY, changed(STORED, path, value), STORED) == []


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("spec/containers/0/command", ["sleep"], "spec.containers[0].command"),
        ("spec/containers/0/resources/limits/memory", "256Mi", "spec.containers[0].resources"),
        ("spec/nodeName", "n1", "spec.nodeName"),
        ("spec/volumes/0/configMap/name", "other", "spec.volumes"),
        ("spec/terminationGracePeriodSeconds", 1, "spec.terminationGracePeriodSeconds"),
        ("spec/hostPID", True, "spec.hostPID"),
    ],
)
def test_what_may_not_change(path, value, field):
    found = update_refusals(PODS_STRATEGY, changed(STORED, path, value), STORED)
    assert found[-1] == f"{UPDATABLE}changed: {field}"


def test_containers_are_neither_added_nor_removed():
    more = changed(STORED, "spec/containers/1", created(PODS_STRATEGY, a_pod())["spec"]["containers"][0])
    more["spec"]["containers"][1]["name"] = "more"
    assert update_refusals(PODS_STRATEGY, more, STORED) == [
        "spec.containers: Forbidden: pod updates may not add or remove containers"
    ]


def test_tolerations_are_only_added():
    fewer = changed(STORED, "spec/tolerations/0")
    assert update_refusals(PODS_STRATEGY, fewer, STORED) == [
        "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param(10, 5, [], id="sooner"),
        pytest.param(None, 5, [], id="first"),
        pytest.param(
            5,
            10,
            ["spec.activeDeadlineSeconds: Invalid value: 10: must be less than or equal to previous value"],
            id="later",
        ),
        pytest.param(
            5,
            None,
            ["spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil value"],
            id="never",
        ),
    ],
)
def test_the_deadline_only_comes_nearer(old, new, expected):
    stored = created(PODS_STRATEGY, a_pod(**({"activeDeadlineSeconds": old} if old else {})))
    wanted = created(PODS_STRATEGY, a_pod(**({"activeDeadlineSeconds": new} if new else {})))
    assert update_refusals(PODS_STRATEGY, wanted, stored) == expected


def test_the_quality_of_service_stays():
    grown = changed(STORED, "spec/containers/0/resources", {})
    found = update_refusals(PODS_STRATEGY, grown, STORED)
    assert found[0] == 'metadata: Invalid value: "Burstable": Pod QoS is immutable'


def test_gates_are_only_removed_and_let_the_node_selector_grow():
    stored = created(PODS_STRATEGY, a_pod(schedulingGates=[{"name": "a.b/c"}], nodeSelector={"x": "y"}))
    narrower = changed(stored, "spec/nodeSelector/disk", "ssd")
    assert update_refusals(PODS_STRATEGY, narrower, stored) == []
    more = changed(stored, "spec/schedulingGates/1", {"name": "a.b/d"})
    assert update_refusals(PODS_STRATEGY, more, stored) == [
        "spec.schedulingGates[1].name: Forbidden: only deletion is allowed, but found new scheduling gate 'a.b/d'"
    ]


def test_an_update_keeps_the_status_and_the_debugging_containers():
    stored = changed(STORED, "status/phase", "Running")
    stored["spec"]["ephemeralContainers"] = [a_container("debug")]
    new = updated(PODS_STRATEGY, changed(STORED, "status/phase", "Failed"), stored)
    assert new["status"] == stored["status"]
    assert [container["name"] for container in new["spec"]["ephemeralContainers"]] == ["debug"]


def test_debugging_containers_are_only_added():
    debug = created(PODS_STRATEGY, a_pod(containers=[a_container("debug", image="busybox:1.36")]))
    (container,) = debug["spec"]["containers"]
    del container["resources"]
    one = changed(STORED, "spec/ephemeralContainers", [container])
    assert validate_ephemeral_containers_update(one, STORED) == []
    assert [str(p) for p in validate_ephemeral_containers_update(STORED, one)] == [
        'spec.ephemeralContainers: Forbidden: existing ephemeral containers "debug" may not be removed\n'
    ]
    probed = changed(one, "spec/ephemeralContainers/0/ports", [{"containerPort": 1, "protocol": "TCP"}])
    assert [str(p) for p in validate_ephemeral_containers_update(probed, STORED)] == [
        "spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container"
    ]


def test_a_pod_does_not_become_a_mirror():
    mirror = changed(STORED, "metadata/annotations", {"kubernetes.io/config.mirror": "x"})
    assert update_refusals(PODS_STRATEGY, mirror, STORED) == [
        'metadata.annotations[kubernetes.io/config.mirror]: Invalid value: "x": must set spec.nodeName if mirror pod '
        "annotation is set",
        "metadata.annotations[kubernetes.io/config.mirror]: Forbidden: may not add mirror pod annotation",
    ]


def with_state(manifest, state, *, kind="containerStatuses"):
    return changed(manifest, f"status/{kind}", [{"name": "main", "state": state}])


ENDED = {"terminated": {"exitCode": 0}}
RUNNING = {"running": {}}


@pytest.mark.parametrize(
    ("policy", "exit_code", "refused"),
    [("Always", 0, False), ("OnFailure", 1, False), ("OnFailure", 0, True), ("Never", 1, True)],
)
def test_an_ended_container_stays_ended_unless_it_may_restart(policy, exit_code, refused):
    pod = created(PODS_STRATEGY, a_pod(restartPolicy=policy))
    old = with_state(pod, {"terminated": {"exitCode": exit_code}})
    words = ["status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"]
    assert status_refusals(PODS_STRATEGY, with_state(pod, RUNNING), old) == (words if refused else [])


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param(
            {"podIPs": [{"ip": "10.244.0.1"}], "hostIP": "1.2.3.4", "hostIPs": [{"ip": "1.2.3.4"}]}, [], id="good"
        ),
        pytest.param(
            {"podIPs": [{"ip": "x"}]},
            ['status.podIPs[0]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'],
            id="no-address",
        ),
        pytest.param({"podIPs": [{"ip": "10.0.0.1"}, {"ip": "2001:db8::1"}]}, [], id="one-of-each-family"),
        pytest.param(
            {"podIPs": [{"ip": "10.0.0.1"}, {"ip": "2001:db8::1"}, {"ip": "10.0.0.2"}]},
            [
                'status.podIPs: Invalid value: [{"ip":"10.0.0.1"},{"ip":"2001:db8::1"},{"ip":"10.0.0.2"}]: may specify '
                "no more than one IP for each IP family"
            ],
            id="three",
        ),
        pytest.param(
            {"podIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}]},
            [
                'status.podIPs: Invalid value: [{"ip":"10.0.0.1"},{"ip":"10.0.0.2"}]: may specify no more than one IP '
                "for each IP family"
            ],
            id="two-of-a-family",
        ),
        pytest.param(
            {"hostIP": "1.2.3.4", "hostIPs": [{"ip": "1.2.3.5"}]},
            ['status.hostIPs[0].ip: Invalid value: "1.2.3.5": must be equal to `hostIP`'],
            id="host-addresses-disagree",
        ),
    ],
)
def test_addresses_of_the_status(status, expected):
    assert status_refusals(PODS_STRATEGY, {**STORED, "status": status}, STORED) == expected


def test_a_status_update_keeps_the_spec_and_the_class():
    new = changed(STORED, "spec/nodeName", "n1")
    new["status"] = {"phase": "Running"}
    PODS_STRATEGY.prepare_status_update(new, STORED)
    assert new["spec"] == STORED["spec"]
    assert new["status"] == {"phase": "Running", "qosClass": "Burstable"}


def test_selectable_fields():
    pod = changed(changed(STORED, "spec/nodeName", "n1"), "status/podIP", "10.244.0.5")
    assert PODS_STRATEGY.selectable_fields(pod) == {
        "spec.nodeName": "n1",
        "spec.restartPolicy": "Always",
        "spec.schedulerName": "default-scheduler",
        "spec.serviceAccountName": "default",
        "spec.hostNetwork": "false",
        "status.phase": "Pending",
        "status.podIP": "10.244.0.5",
        "status.nominatedNodeName": "",
    }


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param({"podIP": "10.0.0.1"}, ("10.0.0.1", [{"ip": "10.0.0.1"}]), id="one-given"),
        pytest.param({"podIPs": [{"ip": "10.0.0.1"}]}, ("10.0.0.1", [{"ip": "10.0.0.1"}]), id="list-given"),
        pytest.param(
            {"podIP": "10.0.0.2", "podIPs": [{"ip": "10.0.0.1"}]}, ("10.0.0.2", [{"ip": "10.0.0.2"}]), id="disagreeing"
        ),
    ],
)
def test_the_address_and_the_list_of_addresses_are_one_fact(status, expected):
    pod = {**STORED, "status": status}
    PODS_STRATEGY.prepare_status_update(pod, STORED)
    assert (pod["status"]["podIP"], pod["status"]["podIPs"]) == expected
