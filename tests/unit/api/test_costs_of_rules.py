"""No rule compares each item of a list with each other one: a list may have as many as three megabytes hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.api.kinds import BUILT_IN
from orchestrator.api.objects import Object
from orchestrator.api.strategies.base import Strategy

_COUNT = 300


class Compared(str):
    """A text that counts how often one of its sort is compared with another."""

    __slots__ = ()
    times = 0

    def __eq__(self, other: object) -> bool:
        Compared.times += 1
        return str.__eq__(self, other) is True

    __hash__ = str.__hash__


def _strategy(api_version: str, kind: str) -> Strategy:
    row = BUILT_IN.by_kind(api_version, kind)
    assert row is not None
    return row.strategy


def _texts(template: str, first: int = 0) -> list[Compared]:
    return [Compared(template.format(number // 200, number % 200)) for number in range(first, first + _COUNT)]


def _usages() -> Any:
    request = {"metadata": {"name": "r"}, "spec": {"usages": _texts("u{}-{}"), "signerName": "a.b/c", "request": ""}}
    return _strategy("certificates.k8s.io/v1", "CertificateSigningRequest").validate_create(request)


def _pod_cidrs() -> Any:
    node = {"metadata": {"name": "n"}, "spec": {"podCIDRs": _texts("10.{}.{}.0/24"), "podCIDR": "10.0.0.0/24"}}
    return _strategy("v1", "Node").validate_create(node)


def _node_addresses() -> Any:
    addresses = [{"type": Compared("InternalIP"), "address": text} for text in _texts("10.0.{}.{}")]
    node = {"metadata": {"name": "n"}, "spec": {}, "status": {"addresses": addresses}}
    return _strategy("v1", "Node").validate_status_update(node, node)


def _pod_ips() -> Any:
    pod = _a_pod()
    ips = [{"ip": text} for text in _texts("10.0.{}.{}")]
    return _strategy("v1", "Pod").validate_status_update({**pod, "status": {"podIPs": ips, "hostIPs": ips}}, pod)


def _label_keys() -> Any:
    term = {
        "topologyKey": "zone",
        "labelSelector": {"matchLabels": {"a": "b"}},
        "matchLabelKeys": _texts("a{}-{}"),
        "mismatchLabelKeys": _texts("b{}-{}"),
    }
    affinity = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    return _strategy("v1", "Pod").validate_create(_a_pod(affinity=affinity))


def _a_pod(**spec: Any) -> Object:
    pod: Object = {
        "metadata": {"name": "p", "namespace": "default"},
        "spec": {"containers": [{"name": "c", "image": "i"}], **spec},
    }
    _strategy("v1", "Pod").default(pod)
    return pod


@pytest.mark.parametrize(
    "judge",
    [
        pytest.param(_usages, id="usages-of-a-certificate"),
        pytest.param(_pod_cidrs, id="networks-of-a-node"),
        pytest.param(_node_addresses, id="addresses-of-a-node"),
        pytest.param(_pod_ips, id="addresses-of-a-pod"),
        pytest.param(_label_keys, id="label-keys-of-an-affinity"),
    ],
)
def test_items_are_compared_about_as_often_as_there_are_some(judge: Callable[[], Any]) -> None:
    Compared.times = 0
    judge()
    assert Compared.times < 30 * _COUNT
