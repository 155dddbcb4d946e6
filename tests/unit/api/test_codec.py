from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given

from orchestrator.api import codec
from orchestrator.api.codec import Malformed
from tests.support.api import a_full_pod, json_objects, unhurried


@unhurried
@given(json_objects)
def test_what_was_encoded_decodes_to_the_same(obj: Any) -> None:
    assert codec.decode(codec.encode(obj)) == obj
    assert codec.copied(obj) == obj


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "unexpected end of JSON input"),
        (b'{"a":', "unexpected end of JSON input"),
        (b"{a: 1}", "invalid character 'a' looking for beginning of object key string"),
        (b'{"a": 1} x', "invalid character 'x' after top-level value"),
        (b'{"a": nope}', "invalid character"),
        (b"[1]", "json: cannot unmarshal array into Go value of type map[string]interface {}"),
        (b'"x"', "json: cannot unmarshal string into Go value of type map[string]interface {}"),
        (b'{"a":"\xff"}', "invalid UTF-8 in JSON string"),
        (b'{"a":' * 300 + b"1" + b"}" * 300, "exceeded max depth"),
        (b"[" * 100_000, "exceeded max depth"),
        (b'{"a": 1e999}', "json: cannot unmarshal number into Go value of type float64"),
    ],
)
def test_malformed_json_is_refused_in_gos_words(data: bytes, message: str) -> None:
    with pytest.raises(Malformed) as caught:
        codec.decode(data)
    assert str(caught.value).startswith(message)


def test_many_brackets_that_are_not_deep_are_fine() -> None:
    obj = {"a": [{"b": ']]]][[[[{{{{\\"'}] * 2000}
    assert codec.decode(codec.encode(obj)) == obj


def test_the_stored_form_takes_its_revision_by_a_splice() -> None:
    pod = a_full_pod()
    pod["metadata"]["resourceVersion"] = "1"
    stored = codec.encode_unstamped(pod)
    assert b"resourceVersion" not in stored
    stamped = codec.stamp(stored, 42)
    assert stamped.startswith(b'{"metadata":{"resourceVersion":"42",')
    assert codec.decode(stamped) == {**pod, "metadata": {**pod["metadata"], "resourceVersion": "42"}}
    assert pod["metadata"]["resourceVersion"] == "1"


def test_an_object_without_metadata_can_be_stamped() -> None:
    assert codec.stamp(codec.encode_unstamped({"kind": "X"}), 7) == b'{"metadata":{"resourceVersion":"7"},"kind":"X"}'


def test_decode_into_reads_just_the_fields_of_the_type() -> None:
    class Named(msgspec.Struct):
        kind: str

    assert codec.decode_into(codec.encode(a_full_pod()), Named) == Named("Pod")
    with pytest.raises(Malformed):
        codec.decode_into(b'{"kind": 1}', Named)


@pytest.mark.parametrize("data", [b'{"k\xddnd":"Pod"}', b'{"kind":"\xdd"}', b'{"other":"\xdd","kind":"\xdd"}'])
def test_what_is_no_utf_8_is_malformed_wherever_it_stands(data: bytes) -> None:
    class Strict(msgspec.Struct, forbid_unknown_fields=True):
        kind: str

    with pytest.raises(Malformed):
        codec.decode_into(data, Strict)
    with pytest.raises(Malformed):
        codec.decode(data)


@pytest.mark.parametrize(
    ("data", "paths"),
    [
        (b'{"a":1,"b":{"c":[{"d":1}]}}', []),
        (b'{ "a" : 1 }', []),
        (b'{"a":"\\u003c"}', []),
        (b'{"a":1,"a":2}', ["a"]),
        (b'{"spec":{"containers":[{"name":"x"},{"image":"a","image":"b","image":"c"}]}}', ["spec.containers[1].image"]),
        (b'{"a":{"x":1},"a":{"y":1,"y":2}}', ["a", "a.y"]),
        (b'{"a":1e2,"a":12345}', ["a"]),
    ],
)
def test_keys_that_occur_twice_are_found_with_their_paths(data: bytes, paths: list[str]) -> None:
    assert codec.duplicate_fields(data, codec.decode(data)) == paths


def test_many_keys_that_occur_twice_are_found_in_time_that_their_number_allows() -> None:
    # Counting each key among all would take hours here, as would spelling out a long path for every value below it.
    data = b"{" + b",".join(b'"k%d":1' % (n % 150_000) for n in range(300_000)) + b"}"
    assert codec.duplicate_fields(data, codec.decode(data)) == [f"k{n}" for n in range(codec.DUPLICATES_MAX)]
    long = b'{"x":1,"x":2,"' + b"k" * 1_000_000 + b'":[' + b"{}," * 300_000 + b'{"a":1,"a":2}]}'
    found = codec.duplicate_fields(long, codec.decode(long))
    assert found[0] == "x"
    assert len(found[1]) < 2_000


def test_half_a_surrogate_pair_is_replaced_as_go_does() -> None:
    assert codec.decode(b'{"a":"x\\ud800y","b":"\\ud83d\\ude00"}') == {"a": "x\ufffdy", "b": "\U0001f600"}
    with pytest.raises(Malformed, match="unexpected end of JSON input"):
        codec.decode(b'{"a":"\\ud800"')
    twice = b'{"\\ud800":1,"\\ud800":2}'
    assert codec.encode(codec.duplicate_fields(twice, codec.decode(twice))) == b'["?"]'
