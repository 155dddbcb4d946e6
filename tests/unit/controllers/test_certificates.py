"""A node gets certificates for itself, and never for the API server's names."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import pytest

from orchestrator.api.views.certificates import SigningRequest, SigningRequestSpec, SigningRequestStatus
from orchestrator.api.views.meta import Condition, ObjectMeta
from orchestrator.controllers.certificates.decide import (
    CLIENT_SIGNER,
    SERVING_SIGNER,
    USER_SIGNER,
    Approve,
    Asked,
    Cluster,
    Delete,
    Deny,
    Fail,
    Leave,
    Sign,
    decide,
)
from orchestrator.controllers.moments import seconds_of

CREATED = "2026-01-01T00:00:00Z"
NOW = seconds_of(CREATED) + 1
CLUSTER = Cluster(
    service_cidr="10.96.0.0/16",
    server_addresses=frozenset({"10.89.0.1"}),
    server_node="control",
    server_names=frozenset({"kubernetes.default.svc.cluster.local", "control", "api.example.org"}),
    addresses={
        "n1": ["10.89.0.11", "10.89.0.13", "2001:db8::11"],
        "n2": ["10.89.0.12", "10.89.0.13", "2001:DB8:0::12"],
    },
)
USAGES = {
    CLIENT_SIGNER: ("digital signature", "client auth"),
    SERVING_SIGNER: ("digital signature", "server auth"),
}


def a_request(
    signer: str, *, username: str = "system:node:n1", groups: tuple[str, ...] = ("system:nodes",), **fields: Any
) -> SigningRequest:
    spec = SigningRequestSpec(
        request="", signer_name=signer, usages=USAGES.get(signer, ()), username=username, groups=groups
    )
    status = SigningRequestStatus(
        conditions=tuple(Condition(type=name, status="True") for name in fields.pop("conditions", ())),
        certificate=fields.pop("certificate", ""),
    )
    return SigningRequest(
        metadata=ObjectMeta(name="csr", creation_timestamp=CREATED),
        spec=msgspec.structs.replace(spec, **fields),
        status=status,
    )


def asked(node: str = "n1", **fields: Any) -> Asked:
    return Asked(**{"common_name": f"system:node:{node}", "organizations": ("system:nodes",), **fields})


#: Names by which clients know the API server, or themselves, and what is no name at all.
UNFIT = (
    "localhost",
    "my.localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "web.team.svc.other.domain",
    "api.example.org",
    "control.",
    "N1",
    "*.example.org",
)
JOINING = {"username": "system:bootstrap:abcdef", "groups": ("system:bootstrappers", "system:authenticated")}
SERVING = asked(dns_names=("n1",), ip_addresses=("10.89.0.11",))


@pytest.mark.parametrize(
    ("request_", "inside"),
    [
        pytest.param(a_request(CLIENT_SIGNER, **JOINING), asked(), id="a-machine-joins"),
        pytest.param(a_request(CLIENT_SIGNER), asked(), id="a-node-renews"),
        pytest.param(
            a_request(CLIENT_SIGNER, usages=("key encipherment", "digital signature", "client auth")),
            asked(),
            id="an-rsa-key",
        ),
        pytest.param(a_request(SERVING_SIGNER), SERVING, id="a-node-serves-at-its-address"),
        pytest.param(a_request(SERVING_SIGNER), asked(ip_addresses=("10.89.0.99",)), id="at-a-new-address"),
        pytest.param(
            a_request(SERVING_SIGNER, username="system:node:control"),
            asked("control", ip_addresses=("10.89.0.1",)),
            id="the-node-on-the-servers-machine-shares-its-address",
        ),
    ],
)
def test_what_a_node_may_have_is_approved_and_then_signed(request_: SigningRequest, inside: Asked) -> None:
    assert isinstance(decide(request_, inside, CLUSTER, now=NOW), Approve)
    approved = msgspec.structs.replace(
        request_, status=SigningRequestStatus(conditions=(Condition(type="Approved", status="True"),))
    )
    is_client = request_.spec.signer_name == CLIENT_SIGNER
    assert decide(approved, inside, CLUSTER, now=NOW) == Sign(
        client=is_client,
        server=not is_client,
        key_encipherment="key encipherment" in request_.spec.usages,
        lifetime_s=365 * 86_400,
    )


@pytest.mark.parametrize(
    ("request_", "inside"),
    [
        pytest.param(a_request(CLIENT_SIGNER, **JOINING), None, id="unreadable"),
        pytest.param(
            a_request(CLIENT_SIGNER, **JOINING), asked(organizations=("system:masters",)), id="an-administrator"
        ),
        pytest.param(
            a_request(CLIENT_SIGNER, **JOINING),
            asked(organizations=("system:nodes", "system:masters")),
            id="a-node-and-an-administrator",
        ),
        pytest.param(a_request(CLIENT_SIGNER, **JOINING), asked(common_name="kubernetes-admin"), id="no-node"),
        pytest.param(a_request(CLIENT_SIGNER, **JOINING), asked(common_name="system:node:"), id="a-nameless-node"),
        pytest.param(a_request(CLIENT_SIGNER, **JOINING), asked(dns_names=("n1",)), id="a-client-with-names"),
        pytest.param(a_request(CLIENT_SIGNER, **JOINING), asked(other_names=1), id="a-client-with-a-uri"),
        pytest.param(
            a_request(CLIENT_SIGNER, usages=("digital signature", "client auth", "server auth"), **JOINING),
            asked(),
            id="more-uses",
        ),
        pytest.param(a_request(CLIENT_SIGNER, username="jane", groups=()), asked(), id="somebody-else"),
        pytest.param(a_request(CLIENT_SIGNER), asked("n2"), id="another-node"),
        pytest.param(a_request(SERVING_SIGNER, **JOINING), SERVING, id="a-joining-machine-does-not-serve-yet"),
        pytest.param(a_request(SERVING_SIGNER), asked(), id="a-server-without-names"),
        pytest.param(
            a_request(SERVING_SIGNER), asked(dns_names=("kubernetes.default.svc",)), id="the-api-servers-service"
        ),
        pytest.param(a_request(SERVING_SIGNER), asked(dns_names=("n2",)), id="another-nodes-name"),
        pytest.param(a_request(SERVING_SIGNER), asked(ip_addresses=("10.96.0.1",)), id="the-service-range"),
        pytest.param(a_request(SERVING_SIGNER), asked(ip_addresses=("127.0.0.1",)), id="loopback"),
        pytest.param(a_request(SERVING_SIGNER), asked(ip_addresses=("10.89.0.1",)), id="the-api-servers-address"),
        pytest.param(a_request(SERVING_SIGNER), asked(ip_addresses=("10.89.0.12",)), id="another-nodes-address"),
        *(
            pytest.param(a_request(SERVING_SIGNER), asked(ip_addresses=(address,)), id=f"{what}-written-otherwise")
            for what, address in {
                "the-api-servers-address": "::ffff:10.89.0.1",
                "the-api-servers-address-in-hex": "::ffff:a59:1",
                "loopback": "::ffff:127.0.0.1",
                "loopback-of-ipv6": "0:0:0:0:0:0:0:1",
                "the-service-range": "::ffff:10.96.0.1",
                "nowhere": "::ffff:0.0.0.0",
                "another-nodes-address": "::ffff:10.89.0.12",
                "another-nodes-ipv6-address": "2001:db8::12",
                "everybodys-address": "224.0.0.1",
            }.items()
        ),
        pytest.param(
            a_request(SERVING_SIGNER), asked(ip_addresses=("10.89.0.13",)), id="an-address-that-another-node-has-too"
        ),
        pytest.param(
            a_request(SERVING_SIGNER, username="system:node:10.89.0.1"),
            asked("10.89.0.1", dns_names=("10.89.0.1",)),
            id="a-node-named-by-the-api-servers-address",
        ),
        *(
            pytest.param(
                a_request(SERVING_SIGNER, username=f"system:node:{name}"),
                asked(name, dns_names=(name,)),
                id=f"a-node-that-calls-itself-{name}",
            )
            for name in UNFIT
        ),
        *(
            pytest.param(a_request(CLIENT_SIGNER, **JOINING), asked(name), id=f"a-machine-that-joins-as-{name}")
            for name in UNFIT
        ),
    ],
)
def test_what_a_node_may_not_have_is_left_and_never_signed(request_: SigningRequest, inside: Asked | None) -> None:
    assert isinstance(decide(request_, inside, CLUSTER, now=NOW), Leave)
    approved_by_hand = msgspec.structs.replace(
        request_, status=SigningRequestStatus(conditions=(Condition(type="Approved", status="True"),))
    )
    assert isinstance(decide(approved_by_hand, inside, CLUSTER, now=NOW), Fail)


@pytest.mark.parametrize(
    ("fields", "age_s", "expected"),
    [
        pytest.param({"certificate": "x"}, 3599, Leave, id="issued-a-while-ago"),
        pytest.param({"certificate": "x"}, 3601, Delete, id="issued-long-ago"),
        pytest.param({"conditions": ("Denied",)}, 3601, Delete, id="denied-long-ago"),
        pytest.param({"conditions": ("Failed", "Approved")}, 10, Leave, id="failed"),
        pytest.param({"username": "jane"}, 86_401, Delete, id="nobody-answered"),
    ],
)
def test_finished_requests_do_not_pile_up(fields: dict[str, Any], age_s: float, expected: type) -> None:
    now = seconds_of(CREATED) + age_s
    assert isinstance(decide(a_request(SERVING_SIGNER, **fields), SERVING, CLUSTER, now=now), expected)


@pytest.mark.parametrize(
    ("fields", "age_s", "again_s"),
    [
        pytest.param({"certificate": "x"}, 600, 3000, id="issued"),
        pytest.param({"username": "jane"}, 400, 86_000, id="not-by-us"),
        pytest.param({"conditions": ("Denied",)}, 0, 3600, id="denied"),
    ],
)
def test_what_is_left_is_looked_at_again_when_its_time_has_come(
    fields: dict[str, Any], age_s: float, again_s: float
) -> None:
    left = decide(a_request(SERVING_SIGNER, **fields), SERVING, CLUSTER, now=seconds_of(CREATED) + age_s)
    assert isinstance(left, Leave)
    assert left.again_s == again_s


def test_users_are_let_in_by_people() -> None:
    inside = Asked(common_name="jane", organizations=("developers",))
    usages = ("client auth", "digital signature")
    request = a_request(USER_SIGNER, username="jane", groups=(), usages=usages)
    assert isinstance(decide(request, inside, CLUSTER, now=NOW), Leave)
    approved = a_request(USER_SIGNER, username="jane", groups=(), usages=usages, conditions=("Approved",))
    assert decide(approved, inside, CLUSTER, now=NOW) == Sign(True, False, False, 365 * 86_400)
    for organizations in (("system:masters",), ("developers", "system:masters")):
        wants_all = Asked(common_name="jane", organizations=organizations)
        assert isinstance(decide(approved, wants_all, CLUSTER, now=NOW), Fail)
    serves_too = msgspec.structs.replace(approved.spec, usages=("client auth", "digital signature", "server auth"))
    assert isinstance(decide(msgspec.structs.replace(approved, spec=serves_too), inside, CLUSTER, now=NOW), Fail)


@pytest.mark.parametrize(
    "usages",
    [
        pytest.param(("client auth",), id="as-documented"),
        pytest.param(("client auth", "digital signature"), id="elliptic"),
        pytest.param(("client auth", "digital signature", "key encipherment"), id="rsa"),
        pytest.param(("key encipherment", "client auth"), id="rsa-without-signature"),
    ],
)
def test_a_users_certificate_may_be_used_as_kubernetes_has_it(usages: tuple[str, ...]) -> None:
    inside = Asked(common_name="jane", organizations=("developers",))
    approved = a_request(USER_SIGNER, username="jane", groups=(), usages=usages, conditions=("Approved",))
    signed = Sign(client=True, server=False, key_encipherment="key encipherment" in usages, lifetime_s=365 * 86_400)
    assert decide(approved, inside, CLUSTER, now=NOW) == signed


@pytest.mark.parametrize(
    ("signer", "usages", "message"),
    [
        (USER_SIGNER, ("client auth", "server auth"), "invalid usage for client certificate: server auth"),
        (USER_SIGNER, ("digital signature",), "missing required usage for client certificate: client auth"),
        (
            CLIENT_SIGNER,
            ("client auth",),
            "usages did not match [client auth digital signature key encipherment]",
        ),
        (
            SERVING_SIGNER,
            ("client auth", "digital signature"),
            "usages did not match [digital signature key encipherment server auth]",
        ),
    ],
)
def test_a_use_that_is_not_the_signers_is_refused_in_its_words(
    signer: str, usages: tuple[str, ...], message: str
) -> None:
    approved = a_request(signer, usages=usages, conditions=("Approved",))
    assert decide(approved, SERVING, CLUSTER, now=NOW) == Fail(message)


def test_nobody_joins_as_a_node_that_is_well() -> None:
    well = dataclasses.replace(CLUSTER, node_is_ready=True)
    joining = a_request(CLIENT_SIGNER, **JOINING)
    assert decide(joining, asked(), well, now=NOW) == Deny(
        'a Node with name "n1" and status "Ready" already exists in the cluster. '
        "You must delete the existing Node or change the name of this new joining Node"
    )
    assert isinstance(decide(joining, asked(), CLUSTER, now=NOW), Approve)
    # The node itself renews what it has.
    assert isinstance(decide(a_request(CLIENT_SIGNER), asked(), well, now=NOW), Approve)


def test_other_signers_requests_are_left_alone() -> None:
    request = a_request("example.com/mine", conditions=("Approved",))
    assert isinstance(decide(request, asked(), CLUSTER, now=NOW), Leave)


@pytest.mark.parametrize(("wanted", "expected"), [(None, 365 * 86_400), (60, 600), (3600, 3600), (10**9, 365 * 86_400)])
def test_a_lifetime_is_kept_within_bounds(wanted: int | None, expected: int) -> None:
    request = a_request(CLIENT_SIGNER, conditions=("Approved",), expiration_seconds=wanted)
    assert decide(request, asked(), CLUSTER, now=NOW) == Sign(True, False, False, expected)
