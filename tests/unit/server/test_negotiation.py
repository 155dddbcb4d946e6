"""What clients ask for in `Accept` and `Accept-Encoding`."""

from __future__ import annotations

import pytest

from orchestrator.server.negotiation import Accepted, accepted, preferred, takes_gzip

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", Accepted()),
        ("*/*", Accepted()),
        ("application/*", Accepted()),
        ("text/html, application/json", Accepted()),
        ("text/html", Accepted(is_acceptable=False)),
        (TABLE, Accepted("Table")),
        (f"{TABLE},application/json", Accepted("Table")),
        (f"application/json,{TABLE}", Accepted()),
        (f"application/json;q=0.5,{TABLE}", Accepted("Table")),
        ("application/json;as=Table;v=v1beta1;g=meta.k8s.io", Accepted("Table", "v1beta1")),
        ("application/json;as=Table;v=v2;g=meta.k8s.io", Accepted(is_acceptable=False)),
        ("application/json;as=Table;v=v1;g=other.io", Accepted(is_acceptable=False)),
        ("application/json;as=Chair", Accepted(is_acceptable=False)),
    ],
)
def test_the_first_form_that_can_be_had(header: str, expected: Accepted) -> None:
    assert accepted(header) == expected


@pytest.mark.parametrize(
    ("header", "is_acceptable"), [(TABLE, False), (f"{TABLE},application/json", True), ("", True), ("*/*", True)]
)
def test_what_has_no_forms_can_be_had_as_itself(header: str, is_acceptable: bool) -> None:
    assert accepted(header, ()) == Accepted(is_acceptable=is_acceptable)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", "a/json"),
        ("*/*", "a/json"),
        ("a/*", "a/json"),
        ("b/proto", "b/proto"),
        ("B/Proto", "b/proto"),
        ("b/proto, a/json", "b/proto"),
        ("a/json;q=0.1, b/proto;q=0.9", "b/proto"),
        ("a/json;q=0", None),
        ("c/html", None),
        ("c/html, b/proto;q=0.1", "b/proto"),
        ("c/*, */*;q=0.1", "a/json"),
    ],
)
def test_the_type_that_is_wanted_most(header: str, expected: str | None) -> None:
    assert preferred(header, ("a/json", "b/proto")) == expected


@pytest.mark.parametrize(
    ("header", "takes"),
    [
        ("gzip", True),
        ("deflate, gzip;q=0.5", True),
        ("*", True),
        ("", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("br", False),
    ],
)
def test_who_takes_gzip(header: str, takes: bool) -> None:
    assert takes_gzip(header) is takes
