"""Which list and watch parameters go together, and which state each combination reads: Kubernetes' own table."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.machinery.errors import BadRequest, Invalid
from orchestrator.server import list_options
from orchestrator.server.list_options import Exactly, Newest, NotOlderThan, Position, Reading, Token

PAGE = Token(7, Position("default", "web"))
NEXT = PAGE.encode()
ANEW = Token(None, Position("default", "web")).encode()


@pytest.mark.parametrize(
    ("query", "reading", "page"),
    [
        pytest.param({}, Newest(), 0, id="nothing"),
        pytest.param({"limit": "5"}, Newest(), 5, id="first-page"),
        pytest.param({"limit": "-5"}, Newest(), 0, id="less-than-nothing-is-no-limit"),
        pytest.param({"resourceVersion": "0"}, NotOlderThan(0), 0, id="any"),
        pytest.param({"resourceVersion": "0", "limit": "5"}, NotOlderThan(0), 0, id="any-is-not-cut"),
        pytest.param({"resourceVersion": "7"}, NotOlderThan(7), 0, id="version"),
        pytest.param({"resourceVersion": "7", "limit": "5"}, Exactly(7), 5, id="first-page-of-a-version"),
        pytest.param(
            {"resourceVersion": "7", "resourceVersionMatch": "NotOlderThan", "limit": "5"},
            NotOlderThan(7), 5, id="page-not-older",
        ),
        pytest.param({"resourceVersion": "0", "resourceVersionMatch": "NotOlderThan"}, NotOlderThan(0), 0, id="any-2"),
        pytest.param({"resourceVersion": "7", "resourceVersionMatch": "Exact"}, Exactly(7), 0, id="exact"),
        pytest.param({"continue": NEXT, "limit": "5"}, Exactly(7, PAGE.after), 5, id="next-page"),
        pytest.param({"continue": NEXT, "resourceVersion": "0", "limit": "5"}, Exactly(7, PAGE.after), 5, id="next-0"),
        pytest.param({"continue": ANEW, "limit": "5"}, Newest(PAGE.after), 5, id="inconsistent-page"),
    ],
)  # fmt: skip
def test_what_a_list_reads(query: dict[str, str], reading: Reading, page: int) -> None:
    options = list_options.parse(query, is_watch=False)
    assert (options.reading(), options.page) == (reading, page)


MATCH = "resourceVersionMatch: Forbidden: resourceVersionMatch"
NEEDS_MATCH = "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"


@pytest.mark.parametrize(
    ("query", "is_watch", "problems"),
    [
        pytest.param(
            {"resourceVersionMatch": "Exact"}, False, [f"{MATCH} is forbidden unless resourceVersion is provided"],
            id="match-alone",
        ),
        pytest.param(
            {"resourceVersionMatch": "Sort", "resourceVersion": "1"}, False,
            ['resourceVersionMatch: Unsupported value: "Sort": supported values: "Exact", "NotOlderThan", ""'],
            id="unknown-match",
        ),
        pytest.param(
            {"resourceVersionMatch": "Exact", "resourceVersion": "0"}, False,
            [f'{MATCH} "exact" is forbidden for resourceVersion "0"'], id="exactly-any",
        ),
        pytest.param(
            {"resourceVersionMatch": "Exact", "continue": NEXT}, False,
            [
                f"{MATCH} is forbidden unless resourceVersion is provided",
                f"{MATCH} is forbidden when continue is provided",
            ],
            id="match-of-a-page",
        ),
        pytest.param(
            {"sendInitialEvents": "false"}, False,
            ["sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"], id="events-of-a-list",
        ),
        pytest.param(
            {"sendInitialEvents": "true"}, True,
            [NEEDS_MATCH],
            id="events-without-match",
        ),
        pytest.param(
            {"resourceVersionMatch": "NotOlderThan"}, True,
            [f"{MATCH} is forbidden for watch unless sendInitialEvents is provided"], id="match-without-events",
        ),
        pytest.param(
            {"resourceVersionMatch": "Exact", "sendInitialEvents": "0", "continue": "x"}, True,
            [
                NEEDS_MATCH,
                'resourceVersionMatch: Unsupported value: "Exact": supported values: "NotOlderThan"',
                f"{MATCH} is forbidden when continue is provided",
            ],
            id="all-of-a-watch",
        ),
    ],
)  # fmt: skip
def test_what_does_not_go_together(query: dict[str, str], is_watch: bool, problems: list[str]) -> None:
    with pytest.raises(Invalid) as refused:
        list_options.parse(query, is_watch=is_watch)
    listed = problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]"
    assert refused.value.message == f'ListOptions.meta.k8s.io "" is invalid: {listed}'
    assert refused.value.details["kind"] == "ListOptions"
    assert [cause["field"] for cause in refused.value.details["causes"]] == [one.split(":")[0] for one in problems]


def token_of(**body: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(body).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"resourceVersion": "x"}, 'strconv.ParseUint: parsing "x": invalid syntax'),
        ({"resourceVersion": "-1"}, "invalid syntax"),
        ({"resourceVersion": "1_0"}, "invalid syntax"),
        ({"limit": "many"}, 'strconv.ParseInt: parsing "many": invalid syntax'),
        ({"limit": "1_0"}, "invalid syntax"),
        ({"limit": "\uff11"}, "invalid syntax"),
        ({"limit": "99999999999999999999"}, "value out of range"),
        ({"timeoutSeconds": "long"}, "invalid syntax"),
        ({"continue": NEXT, "resourceVersion": "7"}, "specifying resource version is not allowed when using continue"),
        ({"continue": "%%"}, "continue key is not valid"),
        ({"continue": token_of(v="meta.k8s.io/v2", rv=1, start="a/b")}, "does not recognize this encoded version"),
        ({"continue": token_of(v="meta.k8s.io/v1", rv=0, start="a/b")}, "incorrect encoded start resourceVersion"),
        ({"continue": token_of(v="meta.k8s.io/v1", rv=-2, start="a/b")}, "incorrect encoded start resourceVersion"),
        ({"continue": token_of(v="meta.k8s.io/v1", rv=1 << 80, start="a/b")}, "incorrect encoded start"),
        ({"continue": token_of(v="meta.k8s.io/v1", rv="1", start="a/b")}, "incorrect encoded start resourceVersion"),
        ({"continue": token_of(v="meta.k8s.io/v1", rv=True, start="a/b")}, "incorrect encoded start resourceVersion"),
        ({"continue": token_of(v="meta.k8s.io/v1", rv=1, start="")}, "encoded start key empty"),
        ({"continue": token_of(v="meta.k8s.io/v1", rv=1, start="../../secrets/x")}, "continue key is not valid"),
    ],
)
def test_what_they_cannot_be(query: dict[str, str], words: str) -> None:
    with pytest.raises(BadRequest) as refused:
        list_options.parse(query, is_watch=False)
    assert words in refused.value.message


def test_a_watch_s_parameters() -> None:
    query = {"sendInitialEvents": "", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "1"}
    options = list_options.parse({**query, "timeoutSeconds": "30"}, is_watch=True)
    assert (options.initial_events, options.bookmarks, options.timeout_s, options.revision) == (True, True, 30, None)
    assert list_options.parse({"resourceVersion": "9"}, is_watch=True).revision == 9
    # A watch has no pages, so it reads no token.
    assert list_options.parse({"resourceVersion": "9", "continue": "%%"}, is_watch=True).token is None


@given(
    revision=st.none() | st.integers(1, 1 << 62), namespace=st.text("ab-", max_size=4), name=st.text("ab.", min_size=1)
)
def test_tokens_come_back_as_they_went(revision: int | None, namespace: str, name: str) -> None:
    token = Token(revision, Position(namespace, name))
    assert Token.decode(token.encode()) == token


@given(text=st.text() | st.binary().map(lambda data: base64.urlsafe_b64encode(data).decode()))
def test_any_token_is_read_or_refused(text: str) -> None:
    with suppress(BadRequest):
        list_options.parse({"continue": text}, is_watch=False)
