"""Which container is meant, where its agent is, and what the agent is asked."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiDict

from orchestrator.api.codec import decode_into, encode
from orchestrator.machinery.errors import ApiError, BadRequest, Invalid, ServiceUnavailable
from orchestrator.server.streams import options
from orchestrator.server.streams.targets import Kubelet, NodeView, PodView, chosen_container, kubelet_of
from tests.support.api import unhurried


def a_pod(*containers: str, init: tuple[str, ...] = ()) -> PodView:
    spec = {"containers": [{"name": name} for name in containers], "initContainers": [{"name": name} for name in init]}
    return decode_into(encode({"metadata": {"name": "web"}, "spec": spec}), PodView)


def a_node(*addresses: tuple[str, str], port: int | None = None) -> NodeView:
    status: dict[str, Any] = {"addresses": [{"type": kind, "address": address} for kind, address in addresses]}
    if port is not None:
        status["daemonEndpoints"] = {"kubeletEndpoint": {"Port": port}}
    return decode_into(encode({"metadata": {"name": "n1"}, "status": status}), NodeView)


@pytest.mark.parametrize(
    ("pod", "name", "expected"),
    [
        pytest.param(a_pod("main"), "", "main", id="the-only-one"),
        pytest.param(a_pod("a", "b"), "b", "b", id="the-one-named"),
        pytest.param(a_pod("a", init=("i",)), "i", "i", id="an-init-container-by-name"),
        pytest.param(a_pod("a", init=("i",)), "", "a", id="init-containers-do-not-count"),
    ],
)
def test_the_container(pod: PodView, name: str, expected: str) -> None:
    assert chosen_container(pod, name) == expected


@pytest.mark.parametrize(
    ("pod", "name", "words"),
    [
        (a_pod("a", "b"), "", "a container name must be specified for pod web, choose one of: [a b]"),
        (
            a_pod("a", "b", init=("i",)),
            "",
            "a container name must be specified for pod web, choose one of: [a b] or one of the init containers: [i]",
        ),
        (a_pod("a"), "x", "container x is not valid for pod web"),
    ],
)
def test_no_container(pod: PodView, name: str, words: str) -> None:
    with pytest.raises(BadRequest) as refused:
        chosen_container(pod, name)
    assert refused.value.message == words


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        pytest.param(a_node(("InternalIP", "10.0.0.1")), Kubelet("10.0.0.1", 10250), id="the-usual-port"),
        pytest.param(
            a_node(("Hostname", "n1"), ("InternalIP", "10.0.0.1"), port=1234),
            Kubelet("10.0.0.1", 1234),
            id="its-own-port-and-the-address-before-the-name",
        ),
        pytest.param(a_node(("Hostname", "n1")), Kubelet("n1", 10250), id="by-name-if-there-is-nothing-else"),
    ],
)
def test_the_agent(node: NodeView, expected: Kubelet) -> None:
    assert kubelet_of(node) == expected


def test_a_node_without_an_address_cannot_be_asked() -> None:
    with pytest.raises(ServiceUnavailable, match="no preferred addresses found"):
        kubelet_of(a_node())


def test_urls_keep_repeated_parameters_and_ipv6_brackets() -> None:
    url = Kubelet("fd00::1", 10250).url("/exec/d/p/c", (("command", "sh"), ("command", "a b&c")))
    assert str(url) == "https://[fd00::1]:10250/exec/d/p/c?command=sh&command=a+b%26c"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param({}, (), id="plain"),
        pytest.param(
            {"follow": "true", "previous": "false", "tailLines": "0", "limitBytes": "10", "container": "x"},
            (("follow", "true"), ("tailLines", "0"), ("limitBytes", "10")),
            id="all-that-matters",
        ),
        pytest.param(
            {"follow": "yes", "timestamps": "", "previous": "0"},
            (("follow", "true"), ("timestamps", "true")),
            id="booleans-as-kubernetes-reads-them",
        ),
        pytest.param(
            {"sinceTime": "2026-01-01T00:00:00Z"}, (("sinceTime", "2026-01-01T00:00:00Z"),), id="since-a-moment"
        ),
    ],
)
def test_log_options(query: dict[str, str], expected: tuple[tuple[str, str], ...]) -> None:
    assert options.for_logs(MultiDict(query)) == expected


@pytest.mark.parametrize(
    ("query", "error", "words"),
    [
        ({"tailLines": "-1"}, Invalid, "tailLines: Invalid value: -1: must be greater than or equal to 0"),
        ({"limitBytes": "0"}, Invalid, "limitBytes: Invalid value: 0: must be greater than 0"),
        ({"sinceSeconds": "0"}, Invalid, "sinceSeconds: Invalid value: 0: must be greater than 0"),
        ({"sinceSeconds": "5", "sinceTime": "x"}, Invalid, "at most one of `sinceTime` or `sinceSeconds`"),
        ({"tailLines": "1_000"}, BadRequest, "invalid syntax"),
        ({"tailLines": str(1 << 63)}, BadRequest, "value out of range"),
    ],
)
def test_bad_log_options(query: dict[str, str], error: type[ApiError], words: str) -> None:
    with pytest.raises(error) as refused:
        options.for_logs(MultiDict(query))
    assert words in refused.value.message


def test_exec_says_the_kubelets_words_for_the_streams() -> None:
    query = MultiDict([("stdin", "1"), ("stdout", "true"), ("tty", "t"), ("command", "sh"), ("command", "-c")])
    expected = (("input", "1"), ("output", "1"), ("tty", "1"), ("command", "sh"), ("command", "-c"))
    assert options.for_streams(query) == expected
    with pytest.raises(BadRequest, match="you must specify at least 1 of stdin, stdout, stderr"):
        options.for_streams(MultiDict({"command": "sh", "tty": "1"}))


@unhurried
@given(
    st.dictionaries(
        st.sampled_from(["follow", "previous", "tailLines", "sinceSeconds", "limitBytes", "sinceTime"]), st.text()
    )
)
def test_whatever_is_asked_is_answered_or_refused(query: dict[str, str]) -> None:
    try:
        options.for_logs(MultiDict(query))
    except ApiError as refused:
        assert refused.status_code in (400, 422)  # noqa: PT017 - both are as good as an answer
