"""Services: defaults, rules, and the fields that come and go with the type."""

from __future__ import annotations

import pytest

from orchestrator.api.strategies.services import SERVICES_STRATEGY
from tests.support.manifests import (
    a_meta,
    a_service,
    changed,
    created,
    refusals,
    status_refusals,
    update_refusals,
    updated,
)

STORED = changed(
    changed(created(SERVICES_STRATEGY, a_service()), "spec/clusterIP", "10.96.0.5"), "spec/clusterIPs", ["10.96.0.5"]
)
NODE_PORT = changed(changed(STORED, "spec/type", "NodePort"), "spec/ports/0/nodePort", 30080)
NODE_PORT["spec"]["externalTrafficPolicy"] = "Cluster"


def test_defaults_of_a_service():
    assert created(SERVICES_STRATEGY, a_service()) == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": a_meta("web"),
        "spec": {
            "type": "ClusterIP",
            "selector": {"app": "web"},
            "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
            "sessionAffinity": "None",
            "internalTrafficPolicy": "Cluster",
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
        },
        "status": {"loadBalancer": {}},
    }


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param(
            {"sessionAffinity": "ClientIP"},
            {"sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}}},
            id="affinity-lasts-three-hours",
        ),
        pytest.param({"sessionAffinityConfig": {"clientIP": {}}}, {"sessionAffinityConfig": None}, id="no-affinity"),
        pytest.param({"type": "NodePort"}, {"externalTrafficPolicy": "Cluster"}, id="node-port"),
        pytest.param(
            {"type": "LoadBalancer"},
            {"externalTrafficPolicy": "Cluster", "allocateLoadBalancerNodePorts": True},
            id="load-balancer",
        ),
        pytest.param(
            {"type": "ExternalName", "externalName": "example.com"},
            {"internalTrafficPolicy": None, "ipFamilies": None, "ipFamilyPolicy": None},
            id="external-name",
        ),
        pytest.param({"clusterIP": "None"}, {"clusterIPs": ["None"], "ipFamilyPolicy": "SingleStack"}, id="headless"),
        pytest.param(
            {"clusterIP": "None", "selector": None},
            {"ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "RequireDualStack"},
            id="headless-without-selector",
        ),
    ],
)
def test_defaults_by_type(spec, expected):
    found = created(SERVICES_STRATEGY, a_service(**spec))["spec"]
    assert {name: found.get(name) for name in expected} == expected


def test_a_named_target_port_stays():
    obj = created(SERVICES_STRATEGY, a_service(ports=[{"port": 80, "targetPort": "http"}]))
    assert obj["spec"]["ports"] == [{"port": 80, "targetPort": "http", "protocol": "TCP"}]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({}, [], id="good"),
        pytest.param({"ports": []}, ["spec.ports: Required value"], id="no-ports"),
        pytest.param({"ports": [], "clusterIP": "None"}, [], id="headless-without-ports"),
        pytest.param(
            {"ports": [{"port": 80}, {"port": 81}]},
            ["spec.ports[0].name: Required value", "spec.ports[1].name: Required value"],
            id="two-ports-have-names",
        ),
        pytest.param(
            {"ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "a"}]},
            ['spec.ports[1].name: Duplicate value: "a"'],
            id="two-of-a-name",
        ),
        pytest.param(
            {"ports": [{"port": 0}]},
            [
                "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
                "spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive",
            ],
            id="no-port",
        ),
        pytest.param(
            {"ports": [{"port": 80, "name": "a"}, {"port": 80, "name": "b"}]},
            ['spec.ports[1]: Duplicate value: {"protocol":"TCP","port":80,"targetPort":0}'],
            id="port-twice",
        ),
        pytest.param(
            {"ports": [{"port": 80, "nodePort": 30000}]},
            ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
            id="node-port-without-type",
        ),
        pytest.param(
            {
                "type": "NodePort",
                "ports": [{"port": 80, "name": "a", "nodePort": 30000}, {"port": 81, "name": "b", "nodePort": 30000}],
            },
            ["spec.ports[1].nodePort: Duplicate value: 30000"],
            id="node-port-twice",
        ),
        pytest.param(
            {"type": "Magic"},
            [
                'spec.type: Unsupported value: "Magic": supported values: "ClusterIP", "ExternalName", '
                '"LoadBalancer", "NodePort"'
            ],
            id="type",
        ),
        pytest.param(
            {"type": "NodePort", "clusterIP": "None"},
            ["spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services"],
            id="headless-node-port",
        ),
        pytest.param(
            {"sessionAffinity": "Cookie"},
            ['spec.sessionAffinity: Unsupported value: "Cookie": supported values: "ClientIP", "None"'],
            id="affinity",
        ),
        pytest.param(
            {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 86401}}},
            [
                "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 86401: must be greater than 0 and "
                "less than 86400"
            ],
            id="affinity-timeout",
        ),
        pytest.param(
            {"clusterIP": "nowhere"},
            [
                'spec.clusterIPs[0]: Invalid value: "nowhere": must be a valid IP address, (e.g. 10.9.8.7 or '
                "2001:db8::ffff)"
            ],
            id="address",
        ),
        pytest.param(
            {"clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.2"]},
            ['spec.clusterIPs: Invalid value: ["10.96.0.2"]: first value must match `clusterIP`'],
            id="two-addresses",
        ),
        pytest.param(
            {"clusterIP": "10.96.0.1", "ipFamilies": ["IPv6"]},
            ['spec.clusterIPs[0]: Invalid value: "10.96.0.1": expected an IPv6 value as indicated by `ipFamilies[0]`'],
            id="family",
        ),
        pytest.param(
            {"ipFamilies": ["IPv6"]},
            ['spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster'],
            id="family-of-other-clusters",
        ),
        pytest.param({"ipFamilyPolicy": "PreferDualStack"}, [], id="two-families-if-there-are"),
        pytest.param(
            {"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4", "IPv6"]},
            [
                'spec.ipFamilyPolicy: Invalid value: "SingleStack": must be RequireDualStack or PreferDualStack when '
                "multiple 'ipFamilies' are specified",
                'spec.ipFamilies[1]: Invalid value: "IPv6": not configured on this cluster',
            ],
            id="two-families-of-one",
        ),
        pytest.param(
            {"ipFamilyPolicy": "RequireDualStack"},
            [
                'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack '
                "services"
            ],
            id="two-families-in-any-case",
        ),
        pytest.param({"type": "ExternalName"}, ["spec.externalName: Required value"], id="no-external-name"),
        pytest.param(
            {"type": "ExternalName", "externalName": "example.com.", "clusterIP": "10.96.0.9"},
            ["spec.clusterIPs: Forbidden: may not be set for ExternalName services"],
            id="external-name-with-address",
        ),
        pytest.param(
            {"externalIPs": ["127.0.0.1"]},
            [
                'spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, '
                "::1/128)"
            ],
            id="external-loopback",
        ),
        pytest.param(
            {"externalTrafficPolicy": "Local"},
            ['spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services'],
            id="external-policy",
        ),
        pytest.param(
            {"internalTrafficPolicy": "Some"},
            ['spec.internalTrafficPolicy: Unsupported value: "Some": supported values: "Cluster", "Local"'],
            id="internal-policy",
        ),
        pytest.param(
            {"loadBalancerClass": "a.b/c"},
            ["spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'"],
            id="class",
        ),
        pytest.param(
            {"loadBalancerSourceRanges": ["x"], "type": "LoadBalancer"},
            [
                'spec.LoadBalancerSourceRanges[0]: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 '
                "or 2001:db8::/64)"
            ],
            id="source-ranges",
        ),
    ],
)
def test_rules(spec, expected):
    assert refusals(SERVICES_STRATEGY, a_service(**spec)) == expected


def test_a_name_is_a_label_that_starts_with_a_letter():
    (only,) = refusals(SERVICES_STRATEGY, changed(a_service(), "metadata/name", "1st"))
    assert only.startswith('metadata.name: Invalid value: "1st": a DNS-1035 label must consist of lower case')


def test_an_update_that_leaves_out_what_was_given_out_keeps_it():
    assert updated(SERVICES_STRATEGY, a_service(), STORED)["spec"] == STORED["spec"]
    assert updated(SERVICES_STRATEGY, a_service(type="NodePort"), NODE_PORT)["spec"] == NODE_PORT["spec"]


def test_an_address_is_for_life():
    assert update_refusals(SERVICES_STRATEGY, changed(STORED, "spec/clusterIP", "10.96.0.6"), STORED) == [
        'spec.clusterIPs[0]: Invalid value: ["10.96.0.6"]: may not change once set'
    ]
    assert update_refusals(SERVICES_STRATEGY, a_service(clusterIP="None"), STORED) == [
        'spec.clusterIPs[0]: Invalid value: ["None"]: may not change once set'
    ]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({"clusterIPs": ["10.96.0.5"], "ipFamilyPolicy": "SingleStack"}, [], id="given-up-on-purpose"),
        pytest.param(
            {"clusterIPs": ["10.96.0.5"], "ipFamilyPolicy": "PreferDualStack"},
            [
                "spec.ipFamilyPolicy: Invalid value: \"PreferDualStack\": must be set to 'SingleStack' when releasing "
                "the secondary clusterIP"
            ],
            id="given-up-by-mistake",
        ),
        pytest.param(
            {"clusterIP": "10.96.0.6", "clusterIPs": ["10.96.0.6"], "ipFamilyPolicy": "SingleStack"},
            ['spec.clusterIPs[0]: Invalid value: ["10.96.0.6"]: may not change once set'],
            id="and-the-first-is-another",
        ),
    ],
)
def test_of_two_addresses_the_second_may_be_given_up(spec, expected):
    before = {**STORED, "spec": {**STORED["spec"], "clusterIPs": ["10.96.0.5", "10.96.0.7"]}}
    new = {**before, "spec": {**before["spec"], **spec}}
    found = [text for text in update_refusals(SERVICES_STRATEGY, new, before) if "ipFamilies" not in text]
    assert found == expected


def test_node_ports_go_with_the_type():
    obj = updated(SERVICES_STRATEGY, changed(NODE_PORT, "spec/type", "ClusterIP"), NODE_PORT)
    assert obj["spec"] == STORED["spec"]
    assert update_refusals(SERVICES_STRATEGY, changed(NODE_PORT, "spec/type", "ClusterIP"), NODE_PORT) == []


def test_addresses_go_when_it_becomes_a_name():
    new = changed(changed(STORED, "spec/type", "ExternalName"), "spec/externalName", "example.com")
    spec = updated(SERVICES_STRATEGY, new, STORED)["spec"]
    assert not {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"} & spec.keys()
    assert update_refusals(SERVICES_STRATEGY, new, STORED) == []


def test_status_of_a_load_balancer():
    balanced = created(SERVICES_STRATEGY, a_service(type="LoadBalancer"))
    ingress = {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}
    assert status_refusals(SERVICES_STRATEGY, {**balanced, "status": ingress}, balanced) == []
    assert status_refusals(SERVICES_STRATEGY, {**STORED, "status": ingress}, STORED) == [
        "status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'"
    ]


def test_selectable_fields():
    assert SERVICES_STRATEGY.selectable_fields(STORED) == {"spec.clusterIP": "10.96.0.5", "spec.type": "ClusterIP"}


def test_warnings():
    headless = created(SERVICES_STRATEGY, a_service(clusterIP="None", sessionAffinity="ClientIP"))
    assert SERVICES_STRATEGY.warnings(headless, None) == ["spec.SessionAffinity is ignored for headless services"]
