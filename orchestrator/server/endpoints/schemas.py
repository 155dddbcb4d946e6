"""`/openapi/v2` and `/openapi/v3`: documents with entity tags, compressed for whoever takes that."""

from __future__ import annotations

import asyncio
import gzip

from orchestrator.machinery.errors import NotAcceptable
from orchestrator.server import refusals
from orchestrator.server.answers import Answer
from orchestrator.server.core import Call
from orchestrator.server.negotiation import JSON, preferred, takes_gzip
from orchestrator.server.openapi import documents

# The last one is how kubectl asks; it is answered by the other name, which is a well-formed one.
_V2_TYPES = (JSON, documents.PROTOBUF, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf")
#: What a document is depends on these, so that nobody's cache mixes them up.
_VARY = ("Vary", "Accept-Encoding, Accept")


async def answer(call: Call, path: str) -> Answer:
    """Answer a path below `/openapi/`. Raises `NotFound`, or `NotAcceptable` for v2 in a form that it does not have."""
    match path.removeprefix("/openapi/").split("/", 1):
        case ["v3"]:
            return _index(call)
        case ["v3", group_version]:
            return await _v3(call, group_version)
        case ["v2"]:
            return await _v2(call)
    raise refusals.no_such_resource()


def _index(call: Call) -> Answer:
    body, tag = documents.index(call.kinds)
    headers = [("ETag", f'"{tag}"')]
    return Answer(status=304, headers=headers) if is_known(call, tag) else Answer(body, headers=headers)


async def _v3(call: Call, group_version: str) -> Answer:
    tag = documents.tag_of_v3(call.kinds, group_version)
    if tag is None:
        raise refusals.no_such_resource()
    if preferred(call.http.headers.get("Accept", ""), (JSON,)) is None:
        raise NotAcceptable(f"only the following media types are accepted: {JSON}")
    headers = [("ETag", f'"{tag}"'), _VARY]
    if asked := call.request.query.get("hash"):
        if asked != tag:
            # An address is good for one content for ever: that of another time leads to what there is now.
            return Answer(status=301, headers=[*headers, ("Location", documents.url_of_v3(group_version, tag))])
        headers.append(("Cache-Control", "public, immutable"))
    if is_known(call, tag):
        return Answer(status=304, headers=headers)
    return await _sent(call, await documents.v3_document(call.kinds, group_version), JSON, headers)


async def _v2(call: Call) -> Answer:
    content_type = preferred(call.http.headers.get("Accept", ""), _V2_TYPES)
    if content_type is None:
        raise NotAcceptable(f"only the following media types are accepted: {', '.join(_V2_TYPES)}")
    form: documents.Form = "json" if content_type == JSON else "protobuf"
    tag = documents.tag_of_v2(call.kinds, form)
    headers = [("ETag", f'"{tag}"'), _VARY]
    if is_known(call, tag):
        return Answer(status=304, headers=headers)
    document = await documents.v2_document(call.kinds, form)
    return await _sent(call, document, JSON if form == "json" else documents.PROTOBUF, headers)


def is_known(call: Call, tag: str) -> bool:
    """Whether the client says that it has the document with this tag."""
    known = call.http.headers.get("If-None-Match", "").split(",")
    return any(one.strip().removeprefix("W/") in (f'"{tag}"', "*") for one in known)


async def _sent(call: Call, compressed: bytes, content_type: str, headers: list[tuple[str, str]]) -> Answer:
    if takes_gzip(call.http.headers.get("Accept-Encoding", "")):
        return Answer(compressed, content_type=content_type, headers=[*headers, ("Content-Encoding", "gzip")])
    return Answer(await asyncio.to_thread(gzip.decompress, compressed), content_type=content_type, headers=headers)
