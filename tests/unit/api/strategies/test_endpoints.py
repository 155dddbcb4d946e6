"""Endpoints and EndpointSlices."""

from __future__ import annotations

import pytest

from orchestrator.api.strategies.endpoints import ENDPOINTS_STRATEGY, ENDPOINTSLICES_STRATEGY
from tests.support.manifests import a_meta, created, refusals, update_refusals

IP = "must be a valid IP address"
EXAMPLES = "(e.g. 10.9.8.7 or 2001:db8::ffff)"


def endpoints(*subsets):
    return {"metadata": a_meta("web"), "subsets": list(subsets)}


def a_slice(**fields):
    return {
        "metadata": a_meta("web-abc"),
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.244.0.1"]}],
        "ports": [{"port": 80}],
        **fields,
    }


def test_defaults():
    obj = created(ENDPOINTS_STRATEGY, endpoints({"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}))
    assert obj["subsets"][0]["ports"] == [{"port": 80, "protocol": "TCP"}]
    assert created(ENDPOINTSLICES_STRATEGY, a_slice())["ports"] == [{"name": "", "port": 80, "protocol": "TCP"}]


@pytest.mark.parametrize(
    ("subset", "expected"),
    [
        pytest.param({"addresses": [{"ip": "10.0.0.1"}]}, [], id="good"),
        pytest.param({}, [": Required value: must specify `addresses` or `notReadyAddresses`"], id="empty"),
        pytest.param(
            {"addresses": [{"ip": "x"}]},
            [
                f'.addresses[0].ip: Invalid value: "x": {IP}, {EXAMPLES}',
                f'.addresses[0].ip: Invalid value: "x": {IP}',
            ],
            id="no-address",
        ),
        pytest.param(
            {"notReadyAddresses": [{"ip": "169.254.1.1", "hostname": "a.b"}]},
            [
                '.notReadyAddresses[0].hostname: Invalid value: "a.b": must not contain dots',
                '.notReadyAddresses[0].ip: Invalid value: "169.254.1.1": may not be in the link-local range '
                "(169.254.0.0/16, fe80::/10)",
            ],
            id="link-local",
        ),
        pytest.param(
            {"addresses": [{"ip": "0.0.0.0"}]},
            ['.addresses[0].ip: Invalid value: "0.0.0.0": may not be unspecified (0.0.0.0)'],
            id="unspecified",
        ),
        pytest.param(
            {"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}, {"port": 81, "name": "b"}]},
            [".ports[0].name: Required value"],
            id="two-ports-have-names",
        ),
        pytest.param(
            {"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80, "protocol": "QUIC"}]},
            ['.ports[0].protocol: Unsupported value: "QUIC": supported values: "SCTP", "TCP", "UDP"'],
            id="protocol",
        ),
    ],
)
def test_rules_of_endpoints(subset, expected):
    assert refusals(ENDPOINTS_STRATEGY, endpoints(subset)) == [f"subsets[0]{e}" for e in expected]


def test_endpoints_are_deprecated():
    assert ENDPOINTS_STRATEGY.warnings(endpoints(), None) == (
        "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, [], id="good"),
        pytest.param({"addressType": ""}, ["addressType: Required value"], id="no-type"),
        pytest.param(
            {"addressType": "IP"},
            ['addressType: Unsupported value: "IP": supported values: "FQDN", "IPv4", "IPv6"'],
            id="old-type",
        ),
        pytest.param(
            {"endpoints": [{"addresses": []}]},
            ["endpoints[0].addresses: Required value: must contain at least 1 address"],
            id="no-address",
        ),
        pytest.param(
            {"endpoints": [{"addresses": ["::1"]}]},
            [
                'endpoints[0].addresses[0]: Invalid value: "::1": must be a valid IPv4 address',
                'endpoints[0].addresses[0]: Invalid value: "::1": may not be in the loopback range (127.0.0.0/8, '
                "::1/128)",
            ],
            id="other-family",
        ),
        pytest.param({"addressType": "FQDN", "endpoints": [{"addresses": ["db.example.com."]}]}, [], id="domain"),
        pytest.param(
            {"endpoints": [{"addresses": ["10.0.0.1"]}] * 1001},
            ["endpoints: Too many: 1001: must have at most 1000 items"],
            id="too-many",
        ),
        pytest.param(
            {"endpoints": [{"addresses": ["10.0.0.1"], "nodeName": "N", "hostname": "a.b"}]},
            None,
            id="names",
        ),
        pytest.param(
            {"ports": [{"name": "a", "port": 1}, {"name": "a", "port": 2}]},
            ['ports[1].name: Duplicate value: "a"'],
            id="port-name-twice",
        ),
        pytest.param(
            {"endpoints": [{"addresses": ["10.0.0.1"], "hints": {"forZones": [{"name": "z"}, {"name": "z"}]}}]},
            ['endpoints[0].hints.forZones[1].name: Duplicate value: "z"'],
            id="zone-twice",
        ),
    ],
)
def test_rules_of_slices(fields, expected):
    found = refusals(ENDPOINTSLICES_STRATEGY, a_slice(**fields))
    if expected is None:
        assert [problem.partition(": ")[0] for problem in found] == ["endpoints[0].nodeName", "endpoints[0].hostname"]
    else:
        assert found == expected


def test_a_slices_family_is_for_life():
    stored = created(ENDPOINTSLICES_STRATEGY, a_slice())
    new = a_slice(addressType="IPv6", endpoints=[])
    assert update_refusals(ENDPOINTSLICES_STRATEGY, new, stored) == [
        'addressType: Invalid value: "IPv6": field is immutable'
    ]
