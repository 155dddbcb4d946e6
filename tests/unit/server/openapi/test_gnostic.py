"""The protobuf form of the OpenAPI v2 document, read back with the field numbers of gnostic's own definition."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from orchestrator.api import codec
from orchestrator.api.kinds import BUILT_IN
from orchestrator.server.openapi import gnostic, v2


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def fields(data: bytes) -> list[tuple[int, Any]]:
    """A message's fields as they come: numbers with integers, doubles, or bytes."""
    found: list[tuple[int, Any]] = []
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
            found.append((key >> 3, value))
        elif key & 7 == 1:
            found.append((key >> 3, struct.unpack_from("<d", data, at)[0]))
            at += 8
        else:
            assert key & 7 == 2
            length, at = varint(data, at)
            assert at + length <= len(data)
            found.append((key >> 3, data[at : at + length]))
            at += length
    return found


def at(data: bytes, *path: int) -> bytes:
    """The first field at each number on the way."""
    for number in path:
        data = next(value for found, value in fields(data) if found == number)
    return data


def entries(data: bytes, number: int) -> dict[str, bytes]:
    """A map: entries of a name and a value, of which the value may be empty."""
    pairs = (dict(fields(value)) for found, value in fields(data) if found == number)
    return {pair[1].decode(): pair.get(2, b"") for pair in pairs}


def schema(described: dict[str, Any]) -> list[tuple[int, Any]]:
    (only,) = entries(at(gnostic.encode({"definitions": {"X": described}}), 9), 1).values()
    return fields(only)


@pytest.mark.parametrize(
    ("described", "expected"),
    [
        ({"$ref": "#/definitions/Y", "description": "d"}, [(1, b"#/definitions/Y"), (4, b"d")]),
        ({"type": "integer", "format": "int32"}, [(22, b"\x0a\x07integer"), (2, b"int32")]),
        ({"minimum": 0.5, "maxLength": 300, "uniqueItems": True}, [(9, 0.5), (11, 300), (16, 1)]),
        ({"required": ["a", "b"]}, [(19, b"a"), (19, b"b")]),
        ({"enum": ["A"]}, [(20, b'\x12\x03"A"')]),
        ({"items": {"format": "f"}}, [(23, b"\x0a\x03\x12\x01f")]),
        ({"additionalProperties": {"format": "f"}}, [(21, b"\x0a\x03\x12\x01f")]),
        ({"additionalProperties": False}, [(21, b"\x10\x00")]),
        ({"properties": {"p": {"format": "f"}}}, [(25, b"\x0a\x08\x0a\x01p\x12\x03\x12\x01f")]),
        ({"allOf": [{"format": "f"}]}, [(24, b"\x12\x01f")]),
        ({"x-k": ["a"]}, [(31, b'\x0a\x03x-k\x12\x07\x12\x05["a"]')]),
    ],
)
def test_a_schema_is_written_with_gnostics_numbers(described: dict[str, Any], expected: list[tuple[int, Any]]) -> None:
    assert schema(described) == expected


def test_the_whole_document_can_be_read_back() -> None:
    document = v2.document(BUILT_IN)
    encoded = gnostic.encode(document)
    assert at(encoded, 1) == b"2.0"
    assert at(encoded, 2, 1) == b"Kubernetes"
    assert entries(at(encoded, 12), 1) == {"BearerToken": b""}
    assert fields(at(entries(at(encoded, 13), 1)["BearerToken"], 2)) == [
        (4, b"Bearer Token authentication"),
        (1, b"apiKey"),
        (2, b"authorization"),
        (3, b"header"),
    ]
    paths, definitions = entries(at(encoded, 8), 2), entries(at(encoded, 9), 1)
    assert paths.keys() == document["paths"].keys()
    assert definitions.keys() == document["definitions"].keys()
    for name, definition in definitions.items():
        described = document["definitions"][name]
        own = dict(fields(definition))
        assert own.get(4, b"").decode() == described.get("description", "")
        assert entries(own.get(25, b""), 1).keys() == described.get("properties", {}).keys()


def test_kubectl_finds_which_operations_take_field_validation() -> None:
    """It looks through all paths for the patch of a kind, by its extension, and then for the query parameter's name."""
    patch = at(entries(at(gnostic.encode(v2.document(BUILT_IN)), 8), 2)["/api/v1/namespaces/{name}"], 8)
    extensions = entries(patch, 13)
    kind = codec.decode(at(extensions["x-kubernetes-group-version-kind"], 2))
    assert kind == {"group": "", "kind": "Namespace", "version": "v1"}
    parameters = [at(value, 1) for number, value in fields(patch) if number == 8]
    in_query = [dict(fields(at(one, 2, 3))) for one in parameters if dict(fields(one)).get(2)]
    assert {one[2] for one in in_query} == {b"query"}
    assert b"fieldValidation" in {one[4] for one in in_query}
