"""IPAddresses and ServiceCIDRs."""

from __future__ import annotations

import pytest

from orchestrator.api.strategies.service_networks import IPADDRESSES_STRATEGY, SERVICECIDRS_STRATEGY
from orchestrator.api.strategies.services import SERVICES_STRATEGY
from tests.support.manifests import created, refusals, update_refusals

OWNER = {"group": "", "resource": "services", "namespace": "default", "name": "web"}


def an_address(address: str = "10.96.0.7", **parent):
    return {"metadata": {"name": address}, "spec": {"parentRef": {**OWNER, **parent}}}


def a_cidr(*cidrs: str):
    return {"metadata": {"name": "more"}, "spec": {"cidrs": list(cidrs)}}


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        pytest.param(an_address(), [], id="good"),
        pytest.param(an_address("2001:db8::1"), [], id="the-other-family"),
        pytest.param(
            an_address("web"),
            ['metadata.name: Invalid value: "web": ParseAddr("web"): unable to parse IP'],
            id="not-an-address",
        ),
        pytest.param(
            an_address("2001:db8:0::1"),
            ['metadata.name: Invalid value: "2001:db8:0::1": must be a canonical format IP address'],
            id="not-canonical",
        ),
        pytest.param(
            {"metadata": {"name": "10.96.0.7"}, "spec": {}},
            ["spec.parentRef: Required value"],
            id="of-nobody",
        ),
        pytest.param(
            an_address(resource="", name="", group="No"),
            [
                'spec.parentRef.group: Invalid value: "No": a lowercase RFC 1123 subdomain must consist of lower case '
                "alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character "
                "(e.g. 'example.com', regex used for validation is "
                "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
                "spec.parentRef.resource: Required value",
                "spec.parentRef.name: Required value",
            ],
            id="of-nothing-nameable",
        ),
        pytest.param(
            an_address(namespace="a/b"),
            ["spec.parentRef.namespace: Invalid value: \"a/b\": may not contain '/'"],
            id="a-path",
        ),
    ],
)
def test_an_address_says_whose_it_is(address, expected):
    assert refusals(IPADDRESSES_STRATEGY, address) == expected


def test_an_address_does_not_change_hands():
    old = created(IPADDRESSES_STRATEGY, an_address())
    assert update_refusals(IPADDRESSES_STRATEGY, an_address(), old) == []
    taken = {"metadata": {"name": "10.96.0.7"}, "spec": {"parentRef": {**OWNER, "name": "db"}}}
    [refusal] = update_refusals(IPADDRESSES_STRATEGY, taken, old)
    assert refusal.startswith("spec.parentRef: Invalid value: ")
    assert refusal.endswith(": field is immutable")


@pytest.mark.parametrize(
    ("cidrs", "expected"),
    [
        pytest.param(["10.96.0.0/16"], [], id="one"),
        pytest.param(["10.96.0.0/16", "2001:db8::/112"], [], id="one-of-each"),
        pytest.param([], ["spec.cidrs: Required value: at least one CIDR required"], id="none"),
        pytest.param(
            ["10.0.0.0/8", "10.0.0.0/9", "::/1"],
            ["spec.cidrs: Invalid value: …: may only hold up to 2 values"],
            id="three",
        ),
        pytest.param(
            ["10.0.0.0/16", "10.1.0.0/16"],
            [
                "spec.cidrs: Invalid value: …: may specify no more than one IP for each IP family, "
                "i.e 192.168.0.0/24 and 2001:db8::/64"
            ],
            id="two-of-one-family",
        ),
        pytest.param(
            ["10.96.0.1/16"],
            ['spec.cidrs[0]: Invalid value: "10.96.0.1/16": must not have bits set beyond the prefix length'],
            id="host-bits",
        ),
        pytest.param(
            ["10.96.0.0/016"],
            ['spec.cidrs[0]: Invalid value: "10.96.0.0/016": must not have leading 0s in IP or prefix length'],
            id="leading-zero",
        ),
        pytest.param(
            ["10.96.0.0/255.255.0.0"],
            [
                'spec.cidrs[0]: Invalid value: "10.96.0.0/255.255.0.0": must be a valid CIDR value, '
                "(e.g. 10.9.8.0/24 or 2001:db8::/64)"
            ],
            id="a-mask",
        ),
    ],
)
def test_the_networks_of_services(cidrs, expected):
    said = refusals(SERVICECIDRS_STRATEGY, a_cidr(*cidrs))
    if expected and "…" in expected[0]:  # the value shown is the whole spec
        start, _, end = expected[0].partition("…")
        assert [(one[: len(start)], one[-len(end) :]) for one in said] == [(start, end)]
    else:
        assert said == expected


@pytest.mark.parametrize(
    ("new", "refused"),
    [
        pytest.param(["10.96.0.0/16"], False, id="the-same"),
        pytest.param(["10.96.0.0/16", "2001:db8::/112"], False, id="the-other-family-comes"),
        pytest.param(["10.97.0.0/16"], True, id="another"),
        pytest.param(["10.97.0.0/16", "2001:db8::/112"], True, id="another-and-the-other-family"),
    ],
)
def test_a_network_stays_what_it_is(new, refused):
    old = created(SERVICECIDRS_STRATEGY, a_cidr("10.96.0.0/16"))
    assert bool(update_refusals(SERVICECIDRS_STRATEGY, a_cidr(*new), old)) is refused


@pytest.mark.parametrize("strategy", [SERVICECIDRS_STRATEGY, SERVICES_STRATEGY], ids=["ServiceCIDR", "Service"])
def test_a_condition_has_reason_and_message_though_they_be_empty(strategy):
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    obj = {"metadata": {"name": "x"}, "spec": {}, "status": {"conditions": [ready, {**ready, "reason": "Said"}]}}
    strategy.prepare_status_update(obj, {"metadata": {"name": "x"}, "spec": {}})
    assert obj["status"]["conditions"] == [
        {**ready, "reason": "", "message": ""},
        {**ready, "reason": "Said", "message": ""},
    ]
