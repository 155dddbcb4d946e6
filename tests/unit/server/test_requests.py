"""Methods and URLs read as requests."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.api.kinds import BUILT_IN
from orchestrator.server.requests import parse

PODS = "/api/v1/namespaces/default/pods"


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        # verb, group, resource, namespace, name, subresource
        pytest.param("GET", PODS, ("list", "", "pods", "default", "", ""), id="list"),
        pytest.param("GET", f"{PODS}?watch=true", ("watch", "", "pods", "default", "", ""), id="watch"),
        pytest.param("GET", f"{PODS}?watch=0", ("list", "", "pods", "default", "", ""), id="watch-not-meant"),
        pytest.param("POST", PODS, ("create", "", "pods", "default", "", ""), id="create"),
        pytest.param("DELETE", PODS, ("deletecollection", "", "pods", "default", "", ""), id="delete-collection"),
        pytest.param("GET", f"{PODS}/a", ("get", "", "pods", "default", "a", ""), id="get"),
        pytest.param("PUT", f"{PODS}/a", ("update", "", "pods", "default", "a", ""), id="update"),
        pytest.param("PATCH", f"{PODS}/a/status", ("patch", "", "pods", "default", "a", "status"), id="patch-status"),
        pytest.param("DELETE", f"{PODS}/a", ("delete", "", "pods", "default", "a", ""), id="delete"),
        pytest.param("GET", f"{PODS}/a?watch=1", ("get", "", "pods", "default", "a", ""), id="one-is-not-watched"),
        pytest.param("POST", f"{PODS}/a/exec?command=sh", ("create", "", "pods", "default", "a", "exec"), id="exec"),
        pytest.param("GET", "/api/v1/pods", ("list", "", "pods", "", "", ""), id="all-namespaces"),
        pytest.param("GET", "/api/v1/nodes/n1", ("get", "", "nodes", "", "n1", ""), id="without-namespace"),
        pytest.param("GET", "/api/v1/namespaces", ("list", "", "namespaces", "", "", ""), id="namespaces"),
        pytest.param("GET", "/api/v1/namespaces/x", ("get", "", "namespaces", "x", "x", ""), id="namespace"),
        pytest.param(
            "PUT", "/api/v1/namespaces/x/finalize", ("update", "", "namespaces", "x", "x", "finalize"), id="finalize"
        ),
        pytest.param(
            "GET",
            "/apis/apps/v1/namespaces/x/deployments/d/scale",
            ("get", "apps", "deployments", "x", "d", "scale"),
            id="group",
        ),
        pytest.param("GET", "/api/v1/namespaces/a%2Fb/pods", ("list", "", "pods", "a/b", "", ""), id="escaped"),
        pytest.param("GET", "/api/v1", ("get", "", "", "", "", ""), id="discovery"),
        pytest.param("GET", "/apis/apps/v1", ("get", "", "", "", "", ""), id="discovery-of-group"),
        pytest.param("GET", f"{PODS}?watch", ("watch", "", "pods", "default", "", ""), id="watch-without-value"),
        pytest.param("GET", f"{PODS}?watch=yes", ("watch", "", "pods", "default", "", ""), id="watch-by-any-word"),
        pytest.param("GET", f"{PODS}?watch=False", ("list", "", "pods", "default", "", ""), id="watch-false"),
        pytest.param("GET", f"{PODS}?watch=0&watch=1", ("list", "", "pods", "default", "", ""), id="the-first-counts"),
        pytest.param(
            "GET", "/api/v1/watch/namespaces/x/pods", ("watch", "", "pods", "x", "", ""), id="deprecated-watch"
        ),
        pytest.param("GET", "/api/v1/watch/pods", ("watch", "", "pods", "", "", ""), id="deprecated-watch-of-all"),
        pytest.param(
            "GET", "/api/v1/watch/namespaces/x/pods/a/b", ("watch", "", "pods", "x", "a", ""), id="deprecated-of-one"
        ),
        pytest.param(
            "GET", "/apis/apps/v1/watch/deployments", ("watch", "apps", "deployments", "", "", ""), id="of-a-group"
        ),
        pytest.param("GET", "/api/v1/watch/namespaces", ("watch", "", "namespaces", "", "", ""), id="of-namespaces"),
        pytest.param("HEAD", "/api/v1/watch/pods", ("head", "", "pods", "", "", ""), id="a-head-has-no-end-to-come"),
        pytest.param("HEAD", f"{PODS}?watch=1", ("list", "", "pods", "default", "", ""), id="nor-does-a-list-of-heads"),
        pytest.param("PUT", "/api/v1/watch/pods", ("put", "", "pods", "", "", ""), id="only-read-there"),
        pytest.param("GET", f"http://10.0.0.1:6443{PODS}/a", ("get", "", "pods", "default", "a", ""), id="absolute"),
        pytest.param("GET", f"https://h{PODS}?watch=1", ("watch", "", "pods", "default", "", ""), id="absolute-query"),
        pytest.param("GET", "http://h?x=/api/v1/pods", ("get", "", "", "", "", ""), id="absolute-without-path"),
        pytest.param("GET", "/version", ("get", "", "", "", "", ""), id="plain-path"),
    ],
)
def test_parse(method: str, target: str, expected: tuple[str, ...]) -> None:
    request = parse(BUILT_IN, method, target)
    found = (
        request.verb, request.group, request.resource, request.namespace, request.name, request.subresource
    )  # fmt: skip
    assert found == expected


def test_the_row_is_found_where_there_is_one() -> None:
    known, unknown = parse(BUILT_IN, "GET", PODS), parse(BUILT_IN, "GET", "/apis/nothing.io/v1/things")
    assert known.kind is not None
    assert known.kind.resource.kind == "Pod"
    assert unknown.kind is None
    assert unknown.resource == "things"


@settings(deadline=None)
@given(method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "TRACE"]), target=st.text(max_size=60))
def test_any_target_is_read_without_failing(method: str, target: str) -> None:
    parse(BUILT_IN, method, "/" + target)
    parse(BUILT_IN, method, "/api/v1/" + target)
    parse(BUILT_IN, method, "/apis/apps/v1/namespaces/" + target)


def test_of_repeated_parameters_the_first_counts() -> None:
    request = parse(BUILT_IN, "DELETE", f"{PODS}?labelSelector=a%3D1&labelSelector=b&limit=&limit=5")
    assert request.query == {"labelSelector": "a=1", "limit": ""}


@pytest.mark.parametrize(
    ("query", "expected"),
    [("", False), ("f", True), ("f=", True), ("f=no", True), ("f=0", False), ("f=FALSE", False), ("f=00", True)],
)
def test_booleans_are_true_whenever_they_are_there_but_for_zero_and_false(query: str, expected: bool) -> None:
    assert parse(BUILT_IN, "GET", f"{PODS}?{query}").flag("f") is expected


@pytest.mark.parametrize("target", [f"{PODS}?{'a&' * 200_000}", "/api/v1" + "/a" * 100_000], ids=["query", "path"])
def test_what_is_too_long_to_read_has_a_fault(target: str) -> None:
    assert parse(BUILT_IN, "GET", target).fault == "the URL is too long"
