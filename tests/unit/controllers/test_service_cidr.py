"""ServiceCIDRs: ready where they are served, kept while they are used."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from orchestrator.api.views.cluster import ServiceCidr, ServiceCidrSpec, ServiceCidrStatus
from orchestrator.api.views.meta import ObjectMeta
from orchestrator.controllers.service_cidr.decide import FINALIZER, Decision, decide

NOW = "2026-01-31T12:00:00Z"


def a_cidr(
    *cidrs: str, name: str = "kubernetes", finalizers: tuple[str, ...] = (), deleted: bool = False
) -> ServiceCidr:
    meta = ObjectMeta(name=name, finalizers=finalizers, deletion_timestamp=NOW if deleted else None)
    return ServiceCidr(metadata=meta, spec=ServiceCidrSpec(cidrs or ("10.96.0.0/16",)))


def decided(cidr: ServiceCidr, *others: ServiceCidr, addresses: tuple[str, ...] = ()) -> Decision:
    return decide(cidr, others, addresses, served="10.96.0.0/16", now=NOW)


@pytest.mark.parametrize(
    ("cidrs", "status", "reason"),
    [
        pytest.param(("10.96.0.0/16",), "True", "", id="the-clusters-own"),
        pytest.param(("10.96.7.0/24",), "True", "", id="a-part-of-it"),
        pytest.param(("10.97.0.0/16",), "False", "NotServed", id="another"),
        pytest.param(("10.0.0.0/8",), "False", "NotServed", id="a-larger-one"),
        pytest.param(("10.96.7.0/24", "2001:db8::/112"), "False", "NotServed", id="another-family-as-well"),
    ],
)
def test_it_is_ready_where_nodes_lead_it_to_their_proxies(cidrs: tuple[str, ...], status: str, reason: str) -> None:
    decision = decided(a_cidr(*cidrs))
    assert decision.finalizers == (FINALIZER,)
    assert decision.conditions is not None
    assert [(one.type, one.status, one.reason) for one in decision.conditions] == [("Ready", status, reason)]


def test_what_is_so_already_is_not_written() -> None:
    cidr = a_cidr(finalizers=("a/b", FINALIZER))
    conditions = decided(cidr).conditions
    assert conditions is not None
    assert decided(replace(cidr, status=ServiceCidrStatus(conditions))) == Decision()


@pytest.mark.parametrize(
    ("others", "addresses", "stays"),
    [
        pytest.param((), (), False, id="nothing-in-it"),
        pytest.param((), ("10.96.0.7",), True, id="an-address-in-it"),
        pytest.param((), ("10.97.0.7", "2001:db8::1"), False, id="addresses-elsewhere"),
        pytest.param((a_cidr("10.96.0.0/20", name="b"),), ("10.96.0.7",), False, id="another-covers-it"),
        pytest.param((a_cidr("10.96.0.0/24", name="b"),), ("10.96.9.7",), True, id="another-does-not"),
        pytest.param((a_cidr(name="b", deleted=True),), ("10.96.0.7",), True, id="the-other-goes-as-well"),
    ],
)
def test_one_that_is_being_deleted_stays_while_it_is_used(
    others: tuple[ServiceCidr, ...], addresses: tuple[str, ...], stays: bool
) -> None:
    decision = decided(a_cidr(finalizers=(FINALIZER, "a/b"), deleted=True), *others, addresses=addresses)
    if stays:
        assert decision.finalizers is None
        assert decision.conditions is not None
        assert decision.conditions[0].reason == "Terminating"
    else:
        assert decision == Decision(finalizers=("a/b",))
