"""The old OpenAPI document: what kubectl asks it for, in the form kubectl reads."""

from __future__ import annotations

from orchestrator.server import openapi_v2


def test_it_says_that_a_namespaces_patch_takes_field_validation() -> None:
    document = openapi_v2.document()
    for word in (b"2.0", b"/api/v1/namespaces/{name}", b"fieldValidation", b"dryRun", b"kind: Namespace"):
        assert word in document


def test_every_field_is_a_length_and_as_many_bytes() -> None:
    def fields(data: bytes) -> list[tuple[int, bytes]]:
        found, at = [], 0
        while at < len(data):
            key, at = varint(data, at)
            assert key & 7 == 2
            length, at = varint(data, at)
            assert at + length <= len(data)
            found.append((key >> 3, data[at : at + length]))
            at += length
        return found

    def varint(data: bytes, at: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            byte = data[at]
            value |= (byte & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if byte < 0x80:
                return value, at

    top = fields(openapi_v2.document())
    assert [number for number, _ in top] == [1, 2, 8]
    (path,) = fields(top[2][1])
    (name, item) = fields(path[1])
    assert name == (1, b"/api/v1/namespaces/{name}")
    ((operation, patch),) = fields(item[1])
    assert operation == 7
    assert [number for number, _ in fields(patch)] == [8, 8, 8, 8, 13]
