"""The documents as they are sent: made once for a snapshot of the kinds, off the event loop, and kept compressed."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import threading
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Literal

from orchestrator.api import codec
from orchestrator.api.kinds import Kinds
from orchestrator.api.schema import definitions
from orchestrator.server.openapi import gnostic, v2, v3

Form = Literal["json", "protobuf"]

#: The content type of gnostic's document.
PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
# One at a time: making one keeps a processor busy, and whoever asks for the same meanwhile gets it with the first.
_MAKING = threading.Lock()


def index(kinds: Kinds) -> tuple[bytes, str]:
    """The body of `/openapi/v3`, with its tag: for each group and version the URL of its document and its content."""
    return kinds.derived(_index)


def tag_of_v3(kinds: Kinds, path: str) -> str | None:
    """The entity tag of the document of `api/v1` or `apis/GROUP/VERSION`; None if there is no such document."""
    group_version = kinds.derived(v3.group_versions).get(path)
    return None if group_version is None else kinds.derived(_tag, "v3", *group_version)


def tag_of_v2(kinds: Kinds, form: Form) -> str:
    """The entity tag of the v2 document in a form."""
    return kinds.derived(_tag, f"v2 {form}", "", "")


async def v3_document(kinds: Kinds, path: str) -> bytes:
    """A document that there is, compressed with gzip."""
    return await _made(kinds, _v3_compressed, path)


async def v2_document(kinds: Kinds, form: Form) -> bytes:
    """The v2 document, compressed with gzip."""
    return await _made(kinds, _v2_compressed, form)


async def _made(kinds: Kinds, make: Callable[[Kinds, str], bytes], which: str) -> bytes:
    known = kinds.known(make, which)
    return known if known is not None else await asyncio.to_thread(_make, kinds, make, which)


def _make(kinds: Kinds, make: Callable[[Kinds, str], bytes], which: str) -> bytes:
    with _MAKING:
        return kinds.derived(make, which)


def _v3_compressed(kinds: Kinds, path: str) -> bytes:
    return _compressed(v3.document(kinds, *v3.group_versions(kinds)[path]))


def _v2_compressed(kinds: Kinds, form: str) -> bytes:
    document = v2.document(kinds)
    return _compressed(codec.encode(document) if form == "json" else gnostic.encode(document))


def _compressed(document: bytes) -> bytes:
    return gzip.compress(document, mtime=0)


def url_of_v3(path: str, tag: str) -> str:
    """Where a document is with the content that has this tag."""
    return f"/openapi/v3/{path}?hash={tag}"


def _index(kinds: Kinds) -> tuple[bytes, str]:
    paths = {
        path: {"serverRelativeURL": url_of_v3(path, kinds.derived(_tag, "v3", *group_version))}
        for path, group_version in kinds.derived(v3.group_versions).items()
    }
    body = codec.encode({"paths": paths})
    return body, hashlib.sha256(body).hexdigest().upper()


def _tag(kinds: Kinds, dialect: str, group: str, version: str) -> str:
    """Changes with everything a document is made of: the definitions, the rows it tells of, and this code."""
    rows = kinds.of(group, version) if version else kinds.rows
    told = [
        (row.resource, row.singular, row.verbs, row.subresources, row.definition and codec.encode(row.definition))
        for row in rows
    ]
    return hashlib.sha256(_sources() + dialect.encode() + repr(told).encode()).hexdigest().upper()


@lru_cache(maxsize=1)
def _sources() -> bytes:
    own = sorted(Path(__file__).parent.glob("*.py"))
    return b"".join(_digest(path) for path in (definitions.path_of_definitions(), *own))


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
