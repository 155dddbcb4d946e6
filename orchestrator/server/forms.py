"""Objects in the form that a client asked for: as they are, as rows of a table, or their metadata only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from orchestrator.api import codec, table
from orchestrator.api.kinds import Kind
from orchestrator.api.numbers import parse_uint64
from orchestrator.api.objects import Object
from orchestrator.api.printing.columns import Column
from orchestrator.api.problems import invalid
from orchestrator.machinery.errors import BadRequest, NotAcceptable
from orchestrator.server.answers import Answer, Listed
from orchestrator.server.conversion import decoded, served
from orchestrator.server.core import Call
from orchestrator.server.negotiation import accepted
from orchestrator.server.watches import PLAIN, Form, Shape, revision_of

# Objects rendered at a time: some milliseconds, after which others get the loop.
_BATCH = 50


def check(call: Call) -> None:
    """Raises `NotAcceptable` when the client accepts nothing that we have, or a form that the answer cannot have."""
    if not call.accepted.is_acceptable:
        raise NotAcceptable("only the following media types are accepted: application/json, application/yaml")
    asked, verb = call.accepted.as_, call.request.verb
    is_list = verb in ("list", "deletecollection")
    if verb != "watch" and asked == ("PartialObjectMetadata" if is_list else "PartialObjectMetadataList"):
        group, kind = call.kind.resource.group, call.kind.resource.kind
        found = f"a list (*{group.partition('.')[0] or 'core'}.{kind}List)"
        if not is_list:
            found = f"not a list (*{group.partition('.')[0] or 'core'}.{kind})"
        raise NotAcceptable(f"you requested {asked}, but the requested object is {found}")


def check_untabled(call: Call) -> None:
    """For what is no stored object. Raises `NotAcceptable` when the client takes it in other forms only."""
    if not accepted(call.http.headers.get("Accept", ""), ()).is_acceptable:
        raise NotAcceptable("only the following media types are accepted: application/json")


def one(call: Call, kind: Kind, value: bytes, status: int = 200) -> Answer:
    """One stored object as an answer."""
    match call.accepted.as_:
        case "Table":
            return Answer.of(_table(call, kind, [value], revision=revision_of(value)), status)
        case "PartialObjectMetadata":
            return Answer.of(table.partial(decoded(kind, value)), status)
        case _:
            return Answer(served(kind, value), status)


def made(call: Call, obj: Object, columns: Sequence[Column], status: int = 200) -> Answer:
    """An object that is made for the answer of a stored one (its Scale), with columns of its own."""
    match call.accepted.as_:
        case "Table":
            rendered = table.render(
                columns,
                [obj],
                now=call.core.clock.now(),
                include_object=_include_object(call),
                revision=parse_uint64(obj["metadata"]["resourceVersion"]),
            )
            return Answer.of(rendered, status)
        case "PartialObjectMetadata":
            return Answer.of(table.partial(obj), status)
        case _:
            return Answer.of(obj, status)


def many(
    call: Call, kind: Kind, values: Sequence[bytes], *, revision: int, continue_token: str, remaining: int | None
) -> Answer:
    """A list of stored objects as an answer."""
    match call.accepted.as_:
        case "Table":
            whole = _table(
                call, kind, values[:_BATCH], revision=revision, continue_token=continue_token, remaining=remaining
            )
            if len(values) <= _BATCH:
                return Answer.of(whole)
            return Answer(rendered=_table_in_pieces(call, kind, values, whole))
        case "PartialObjectMetadataList":
            head = _list_head("PartialObjectMetadataList", "meta.k8s.io/v1", revision, continue_token, remaining)
            encoded = (codec.encode(table.partial(decoded(kind, value))) for value in values)
            return Answer(rendered=_list_in_pieces(head, encoded))
        case _:
            head = _list_head(
                f"{kind.resource.kind}List", kind.resource.api_version, revision, continue_token, remaining
            )
            if kind.stored_as:
                return Answer(rendered=_list_in_pieces(head, (served(kind, value) for value in values)))
    return Answer(parts=Listed(head, values, b"]}\n"))


def _list_in_pieces(head: bytes, items: Iterable[bytes]) -> Iterator[bytes]:
    """A list whose items are made while it is sent: nobody holds all of them, however slowly the client reads."""
    yield head
    separator = b""
    for batch in _batches(items):
        yield separator + b",".join(batch)
        separator = b","
    yield b"]}\n"


def _table_in_pieces(call: Call, kind: Kind, values: Sequence[bytes], first: Object) -> Iterator[bytes]:
    """`first` is the table with the first batch of rows; the others are made while it is sent."""
    yield codec.encode(first).removesuffix(b"]}")
    for start in range(_BATCH, len(values), _BATCH):
        rows = _table(call, kind, values[start : start + _BATCH])["rows"]
        yield b"," + codec.encode(rows)[1:-1]
    yield b"]}\n"


def _batches(items: Iterable[bytes]) -> Iterator[list[bytes]]:
    iterator = iter(items)
    while batch := list(islice(iterator, _BATCH)):
        yield batch


def _list_head(kind: str, api_version: str, revision: int, continue_token: str, remaining: int | None) -> bytes:
    meta = table.list_metadata(revision=revision, continue_token=continue_token, remaining=remaining)
    opening = codec.encode({"kind": kind, "apiVersion": api_version, "metadata": meta})
    return opening[:-1] + b',"items":['


def _table(
    call: Call,
    kind: Kind,
    values: Sequence[bytes],
    *,
    revision: int | None = None,
    continue_token: str = "",
    remaining: int | None = None,
) -> Object:
    return table.render(
        kind.columns,
        (decoded(kind, value) for value in values),
        now=call.core.clock.now(),
        include_object=_include_object(call),
        revision=revision,
        continue_token=continue_token,
        remaining=remaining,
    )


def _include_object(call: Call) -> str:
    """What a table's rows shall carry of their objects. Raises `BadRequest` for a word that means nothing."""
    asked = call.request.query.get("includeObject", "")
    if not table.is_valid_include_object(asked):
        problem = invalid("includeObject", asked, "must be 'Metadata', 'Object', 'None', or empty")
        raise BadRequest(f"Unable to convert to Table as requested: {problem}")
    return asked or "Metadata"


def form_of(call: Call, kind: Kind) -> Form:
    """How a watch's events show their objects. Forms of one key are the same for everybody."""
    served_as = (kind.resource.api_version, kind.resource.plural) if kind.stored_as else ()
    match call.accepted.as_:
        case "Table":
            return _table_form(call, kind, served_as)
        case "PartialObjectMetadata" | "PartialObjectMetadataList":
            return Form(
                (*served_as, "metadata"),
                Shape.METADATA,
                lambda value: codec.encode(table.partial(decoded(kind, value))),
            )
        case _:
            return Form(served_as, Shape.OBJECT, lambda value: served(kind, value)) if served_as else PLAIN


#: How a table without its columns begins to say so. What comes before cannot hold this text: it is a revision.
_NO_COLUMNS = b'"columnDefinitions":null'


def _table_form(call: Call, kind: Kind, served_as: tuple[str, ...]) -> Form:
    """Rows for everybody alike; a client gets the columns once, with its first row."""
    include_object = _include_object(call)
    columns = codec.encode([column.as_definition() for column in kind.columns])

    def encode(value: bytes) -> bytes:
        rendered = table.render(
            kind.columns,
            [decoded(kind, value)],
            now=call.core.clock.now(),
            include_object=include_object,
            revision=revision_of(value),
            with_columns=False,
        )
        return codec.encode(rendered)

    def opening(line: bytes) -> bytes:
        return line.replace(_NO_COLUMNS, b'"columnDefinitions":%b' % columns, 1)

    return Form((*served_as, "table", include_object), Shape.TABLE, encode, opening)
