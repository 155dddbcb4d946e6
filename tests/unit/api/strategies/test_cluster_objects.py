"""Namespaces, nodes and leases."""

from __future__ import annotations

import pytest

from orchestrator.api.strategies.leases import LEASES_STRATEGY
from orchestrator.api.strategies.namespaces import NAMESPACES_STRATEGY, Finalize
from orchestrator.api.strategies.nodes import NODES_STRATEGY
from tests.support.manifests import a_meta, changed, created, refusals, status_refusals, update_refusals, updated

NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
NODE = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "n1"},
    "spec": {"podCIDR": "10.244.1.0/24", "providerID": "wherry://n1"},
    "status": {"capacity": {"cpu": "4", "memory": "8Gi", "pods": "110"}},
}
LEASE = {"metadata": a_meta("n1", "kube-node-lease"), "spec": {"holderIdentity": "n1", "leaseDurationSeconds": 40}}


def test_a_namespace_is_active_and_named_by_a_label():
    assert created(NAMESPACES_STRATEGY, NAMESPACE) == {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "shop", "labels": {"kubernetes.io/metadata.name": "shop"}},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }


def test_a_namespaces_name_is_a_label():
    assert refusals(NAMESPACES_STRATEGY, NAMESPACE) == []
    assert refusals(NAMESPACES_STRATEGY, changed(NAMESPACE, "metadata/name", "a.b")) == [
        'metadata.name: Invalid value: "a.b": must not contain dots'
    ]


def test_finalizers_of_a_namespace_change_only_through_their_subresource():
    stored = created(NAMESPACES_STRATEGY, NAMESPACE)
    emptied = changed(stored, "spec", {})
    assert updated(NAMESPACES_STRATEGY, emptied, stored)["spec"] == {"finalizers": ["kubernetes"]}
    assert Finalize().validate(NAMESPACES_STRATEGY, emptied, stored) == []
    mine = changed(stored, "spec/finalizers", ["mine"])
    assert [str(p) for p in Finalize().validate(NAMESPACES_STRATEGY, mine, stored)] == [
        'spec.finalizers: Invalid value: "mine": name is neither a standard finalizer name nor is it fully qualified'
    ]


def test_a_namespaces_phase_follows_its_deletion():
    stored = created(NAMESPACES_STRATEGY, NAMESPACE)
    assert stored["status"] == {"phase": "Active"}
    plain = {**NAMESPACE}
    NAMESPACES_STRATEGY.default(plain)
    assert plain["status"] == {"phase": "Active"}
    written_once = {**NAMESPACE, "status": {"phase": "Terminating"}}
    NAMESPACES_STRATEGY.default(written_once)
    assert written_once["status"] == {"phase": "Terminating"}, "what is stored is not given another phase"
    ending = changed(stored, "status/phase", "Terminating")
    assert status_refusals(NAMESPACES_STRATEGY, stored, stored) == []
    assert status_refusals(NAMESPACES_STRATEGY, ending, stored) == [
        "status.Phase: Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty"
    ]
    dying = changed(stored, "metadata/deletionTimestamp", "2026-01-01T00:00:00Z")
    assert status_refusals(NAMESPACES_STRATEGY, {**dying, "status": {"phase": "Terminating"}}, dying) == []
    assert NAMESPACES_STRATEGY.selectable_fields(ending) == {"status.phase": "Terminating", "name": "shop"}


def test_a_node_keeps_its_status_and_all_of_it_is_allocatable():
    amounts = {"cpu": "4", "memory": "8Gi", "pods": "110"}
    node = created(NODES_STRATEGY, NODE)
    assert node["spec"] == {
        "podCIDR": "10.244.1.0/24",
        "podCIDRs": ["10.244.1.0/24"],
        "providerID": "wherry://n1",
    }
    assert node["status"] == {"capacity": amounts, "allocatable": amounts}


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        pytest.param(
            "spec/taints",
            [{"key": "a", "effect": "NoSchedule"}, {"key": "a", "effect": "NoSchedule"}],
            [
                'metadata.taints[1]: Duplicate value: {"key":"a","effect":"NoSchedule"}: taints must be unique by key '
                "and effect pair"
            ],
            id="taint-twice",
        ),
        pytest.param(
            "spec/taints", [{"key": "a"}], ["metadata.taints[0].effect: Required value"], id="taint-without-effect"
        ),
        pytest.param(
            "spec/podCIDR",
            "10.244.1.0",
            [
                'spec.podCIDRs[0]: Invalid value: "10.244.1.0": must be a valid CIDR value, (e.g. 10.9.8.0/24 or '
                "2001:db8::/64)"
            ],
            id="no-range",
        ),
        pytest.param(
            "status/capacity",
            {"pods": "1500m"},
            [
                'status.capacity.pods: Invalid value: "1500m": must be an integer',
                'status.allocatable.pods: Invalid value: "1500m": must be an integer',
            ],
            id="half-a-pod",
        ),
        pytest.param(
            "metadata/namespace", "x", ["metadata.namespace: Forbidden: not allowed on this type"], id="scope"
        ),
    ],
)
def test_rules_of_nodes(path, value, expected):
    assert refusals(NODES_STRATEGY, changed(NODE, path, value)) == expected


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("spec/unschedulable", True, []),
        ("spec/taints", [{"key": "a", "effect": "NoExecute"}], []),
        (
            "spec/podCIDR",
            "10.244.2.0/24",
            ['spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid'],
        ),
        (
            "spec/providerID",
            "other",
            ['spec.providerID: Forbidden: node updates may not change providerID except from "" to valid'],
        ),
    ],
)
def test_changes_of_nodes(path, value, expected):
    stored = created(NODES_STRATEGY, NODE)
    assert update_refusals(NODES_STRATEGY, changed(stored, path, value), stored) == expected


def test_the_first_address_range_may_be_given_later():
    stored = created(NODES_STRATEGY, changed(NODE, "spec", {}))
    assert update_refusals(NODES_STRATEGY, changed(stored, "spec/podCIDR", "10.244.1.0/24"), stored) == []


def test_a_nodes_addresses_are_listed_once():
    stored = created(NODES_STRATEGY, NODE)
    address = {"type": "InternalIP", "address": "1.2.3.4"}
    assert status_refusals(NODES_STRATEGY, changed(stored, "status/addresses", [address, address]), stored) == [
        'status.addresses[1]: Duplicate value: {"type":"InternalIP","address":"1.2.3.4"}'
    ]


def test_unschedulable_can_be_selected():
    assert NODES_STRATEGY.selectable_fields(NODE) == {"spec.unschedulable": "false"}
    cordoned = changed(NODE, "spec/unschedulable", True)
    assert NODES_STRATEGY.selectable_fields(cordoned) == {"spec.unschedulable": "true"}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({}, [], id="good"),
        pytest.param(
            {"leaseDurationSeconds": 0},
            ["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"],
            id="duration",
        ),
        pytest.param(
            {"leaseTransitions": -1},
            ["spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0"],
            id="transitions",
        ),
        pytest.param(
            {"preferredHolder": "n2"},
            ["spec.preferredHolder: Forbidden: may only be specified if `strategy` is defined"],
            id="preferred-holder",
        ),
        pytest.param(
            {"strategy": "Newest"},
            ['spec.strategy.strategy: Unsupported value: "Newest": supported values: "OldestEmulationVersion"'],
            id="strategy",
        ),
    ],
)
def test_rules_of_leases(spec, expected):
    lease = {**LEASE, "spec": {**LEASE["spec"], **spec}}
    assert refusals(LEASES_STRATEGY, lease) == expected
    assert update_refusals(LEASES_STRATEGY, lease, LEASE) == expected


def test_a_lease_may_be_created_by_an_update_but_not_taken_blindly():
    assert not LEASES_STRATEGY.must_exist_for_update
    assert not LEASES_STRATEGY.allows_unconditional_update
