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
