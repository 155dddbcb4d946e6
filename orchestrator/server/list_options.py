"""What a list, a watch or a deletion of a collection is asked to read: its parameters and what they mean. Pure.

Which combinations make no sense, in which words, and which state each of the others reads is Kubernetes' own.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from orchestrator.api import codec
from orchestrator.api.codec import Malformed
from orchestrator.api.numbers import INT64_MAX, BadNumber, parse_int64, parse_uint64
from orchestrator.api.problems import Problem, forbidden, not_supported
from orchestrator.machinery.errors import BadRequest, Invalid
from orchestrator.server.requests import is_set

Match = Literal["", "Exact", "NotOlderThan"]

_TOKEN_VERSION = "meta.k8s.io/v1"
# On the wire, the revision of a token that goes on with whatever is there by then.
_NEWEST = -1
_MATCH, _INITIAL = "resourceVersionMatch", "sendInitialEvents"


class Position(NamedTuple):
    """Where an object is within its collection."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Token:
    """Where a list in pages goes on: behind which object, as of which revision (None: as it is by then)."""

    revision: int | None
    after: Position

    def encode(self) -> str:
        """As it stands in `metadata.continue`."""
        revision = _NEWEST if self.revision is None else self.revision
        body = {"v": _TOKEN_VERSION, "rv": revision, "start": "/".join(self.after)}
        return base64.urlsafe_b64encode(codec.encode(body)).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Token:
        """Raises `BadRequest`."""
        try:
            body = codec.decode(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        except (binascii.Error, Malformed, ValueError) as exc:
            raise BadRequest("continue key is not valid") from exc
        if body.get("v") != _TOKEN_VERSION:
            raise BadRequest("continue key is not valid: server does not recognize this encoded version")
        revision, start = body.get("rv"), body.get("start")
        if type(revision) is not int or revision == 0 or not _NEWEST <= revision <= INT64_MAX:
            raise BadRequest(
                f"continue key is not valid: incorrect encoded start resourceVersion (version {_TOKEN_VERSION})"
            )
        if not isinstance(start, str) or not start:
            raise BadRequest(f"continue key is not valid: encoded start key empty (version {_TOKEN_VERSION})")
        namespace, _, name = start.rpartition("/")
        if not name or "/" in namespace:
            raise BadRequest("continue key is not valid")
        return cls(None if revision == _NEWEST else revision, Position(namespace, name))


@dataclass(frozen=True, slots=True)
class Newest:
    """Read what is there now, every acknowledged write included; behind a position, if there is one."""

    after: Position | None = None


@dataclass(frozen=True, slots=True)
class NotOlderThan:
    """Read what the cache shows, once it shows this revision."""

    revision: int


@dataclass(frozen=True, slots=True)
class Exactly:
    """Read what was there at a revision; behind a position, if this is not the first page."""

    revision: int
    after: Position | None = None


Reading = Newest | NotOlderThan | Exactly


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOptions:
    """The parameters that go together, checked. `revision` is None where none was named."""

    revision: int | None = None
    match: Match = ""
    limit: int = 0
    token: Token | None = None
    timeout_s: int = 0
    bookmarks: bool = False
    initial_events: bool | None = None

    def reading(self) -> Reading:
        """Which state a list shows."""
        if self.token is not None:
            if self.token.revision is None:
                return Newest(self.token.after)
            return Exactly(self.token.revision, self.token.after)
        if self.revision is None:
            return Newest()
        # From the time before there was a choice: the first page at a revision means that very revision.
        if self.match == "Exact" or (not self.match and self.limit and self.revision):
            return Exactly(self.revision)
        return NotOlderThan(self.revision)

    @property
    def page(self) -> int:
        """How many objects there are to a page; 0 is all. What any state will do for is not cut into pages."""
        return 0 if self.revision == 0 and self.token is None else self.limit


def parse(query: Mapping[str, str], *, is_watch: bool) -> ListOptions:
    """Read the parameters. Raises `BadRequest` for what they are not, `Invalid` for what they are not together."""
    match, revision = query.get(_MATCH, ""), query.get("resourceVersion", "")
    initial_events = is_set(query[_INITIAL]) if _INITIAL in query else None
    limit, timeout_s = (_integer(query.get(name, "")) for name in ("limit", "timeoutSeconds"))
    asked = (match, initial_events, query.get("continue", ""))
    problems = _of_watch(*asked) if is_watch else _of_list(*asked, revision)
    if problems:
        raise Invalid.of(group="meta.k8s.io", kind="ListOptions", name="", problems=problems)
    token = Token.decode(query["continue"]) if query.get("continue") and not is_watch else None
    if token is not None and revision not in ("", "0"):
        raise BadRequest("specifying resource version is not allowed when using continue")
    return ListOptions(
        revision=revision_of(revision) if revision else None,
        match=match,  # type: ignore[arg-type]  # one of the three: the others are problems
        limit=max(0, limit),
        token=token,
        timeout_s=timeout_s,
        bookmarks=is_set(query.get("allowWatchBookmarks")),
        initial_events=initial_events,
    )


def revision_of(text: str) -> int:
    """A resourceVersion parameter; empty is 0. Raises `BadRequest`."""
    try:
        return parse_uint64(text) if text else 0
    except BadNumber as exc:
        raise BadRequest(f'resourceVersion: Invalid value: "{text}": {exc}') from exc


def _integer(text: str) -> int:
    try:
        return parse_int64(text) if text else 0
    except BadNumber as exc:
        raise BadRequest(str(exc)) from exc


def _of_list(match: str, initial_events: bool | None, token: str, revision: str) -> list[Problem]:
    problems: list[Problem] = []
    if match:
        if not revision:
            problems.append(forbidden(_MATCH, f"{_MATCH} is forbidden unless resourceVersion is provided"))
        if token:
            problems.append(forbidden(_MATCH, f"{_MATCH} is forbidden when continue is provided"))
        if match not in ("Exact", "NotOlderThan"):
            problems.append(not_supported(_MATCH, match, ("Exact", "NotOlderThan", "")))
        if match == "Exact" and revision == "0":
            problems.append(forbidden(_MATCH, f'{_MATCH} "exact" is forbidden for resourceVersion "0"'))
    if initial_events is not None:
        problems.append(forbidden(_INITIAL, f"{_INITIAL} is forbidden for list"))
    return problems


def _of_watch(match: str, initial_events: bool | None, token: str) -> list[Problem]:
    problems: list[Problem] = []
    if initial_events is not None and match != "NotOlderThan":
        problems.append(forbidden(_MATCH, f"{_INITIAL} requires setting {_MATCH} to NotOlderThan"))
    if match:
        if initial_events is None:
            problems.append(forbidden(_MATCH, f"{_MATCH} is forbidden for watch unless {_INITIAL} is provided"))
        if match != "NotOlderThan":
            problems.append(not_supported(_MATCH, match, ("NotOlderThan",)))
        if token:
            problems.append(forbidden(_MATCH, f"{_MATCH} is forbidden when continue is provided"))
    return problems
