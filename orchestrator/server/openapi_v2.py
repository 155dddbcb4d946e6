"""The one thing that kubectl looks for in the old OpenAPI v2 document: that Namespaces take `fieldValidation`.

It asks there, and only there, before it applies a `List`, and expects protobuf (gnostic's `openapi.v2.Document`). The
schemas are in the v3 documents; this one has the single operation that the question is about.
"""

from __future__ import annotations

from functools import lru_cache

MEDIA_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"

# Field numbers of gnostic's messages.
_DOCUMENT_SWAGGER, _DOCUMENT_INFO, _DOCUMENT_PATHS = 1, 2, 8
_INFO_TITLE, _INFO_VERSION = 1, 2
_PATHS_PATH = 2
_NAMED_NAME, _NAMED_VALUE = 1, 2
_PATH_ITEM_PATCH = 7
_OPERATION_PARAMETERS, _OPERATION_EXTENSION = 8, 13
_ITEM_PARAMETER, _PARAMETER_NON_BODY, _NON_BODY_QUERY = 1, 2, 3
_QUERY_IN, _QUERY_NAME, _QUERY_TYPE = 2, 4, 6
_ANY_YAML = 2


@lru_cache(maxsize=1)
def document() -> bytes:
    """The body of `/openapi/v2`."""
    kind = _text(_NAMED_NAME, "x-kubernetes-group-version-kind") + _message(
        _NAMED_VALUE, _text(_ANY_YAML, 'group: ""\nkind: Namespace\nversion: v1\n')
    )
    names = ("dryRun", "fieldManager", "fieldValidation", "force")
    patch = b"".join(_message(_OPERATION_PARAMETERS, _query_parameter(name)) for name in names)
    patch += _message(_OPERATION_EXTENSION, kind)
    path = _text(_NAMED_NAME, "/api/v1/namespaces/{name}") + _message(_NAMED_VALUE, _message(_PATH_ITEM_PATCH, patch))
    info = _text(_INFO_TITLE, "Kubernetes") + _text(_INFO_VERSION, "v1.36.0")
    return (
        _text(_DOCUMENT_SWAGGER, "2.0")
        + _message(_DOCUMENT_INFO, info)
        + _message(_DOCUMENT_PATHS, _message(_PATHS_PATH, path))
    )


def _query_parameter(name: str) -> bytes:
    query = _text(_QUERY_IN, "query") + _text(_QUERY_NAME, name) + _text(_QUERY_TYPE, "string")
    return _message(_ITEM_PARAMETER, _message(_PARAMETER_NON_BODY, _message(_NON_BODY_QUERY, query)))


def _text(field: int, value: str) -> bytes:
    return _message(field, value.encode())


def _message(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
