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


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("0777", 511),
        ("0x1F", 31),
        ("1_000", 1000),
        ("22:22", "22:22"),
        ("2001-01-01", "2001-01-01"),
        ("1.5", 1.5),
        ("1e3", 1000),
        ("1e-3", 0.001),
        ("1e400", "1e400"),
        ("08", 8),
        ("yes", True),
        ("off", False),
        ("y", True),
        ("N", False),
        ("yup", "yup"),
        ("~", None),
        ("", None),
        ("'1'", "1"),
        ("1.2.3", "1.2.3"),
        ("{x: 1, 2: w, true: z}", {"x": 1, "2": "w", "true": "z"}),
    ],
)
def test_yaml_scalars_are_read_as_kubernetes_reads_them(text: str, value: Any) -> None:
    read = codec.decode_yaml(f"a: {text}\n".encode())["a"]
    assert (type(read), read) == (type(value), value)


def test_yaml_may_be_json_and_its_aliases_are_copies() -> None:
    assert codec.decode_yaml(codec.encode(a_full_pod())) == a_full_pod()
    obj = codec.decode_yaml(b"a: &x {k: 1}\nb: *x\nc: {<<: *x, l: 2}\n")
    assert obj == {"a": {"k": 1}, "b": {"k": 1}, "c": {"k": 1, "l": 2}}
    assert obj["a"] is not obj["b"]


def test_of_several_documents_the_first_counts() -> None:
    assert codec.decode_yaml(b"a: 1\n---\nb: 2\n") == {"a": 1}


_LAUGHS = b"a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n" + b"".join(
    b"a%d: &a%d [%s]\n" % (n, n, b",".join([b"*a%d" % (n - 1)] * 10)) for n in range(1, 8)
)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a: 1\nb:\n  c: 1\n  c: 2\n", 'yaml: line 3: key "c" already set in map'),
        (b"- " * 5000 + b"x", "exceeded max depth"),
        (b"{" * 100_000, ""),
        (b"a: &x [*x]", "yaml: anchor 'x' value contains itself"),
        (_LAUGHS, "yaml: document contains excessive aliasing"),
        (b"a: !!python/object/apply:os.system [x]", "yaml: "),
        (b"a: [1", "yaml: "),
        (b"? [a]\n: b", "yaml: line 1: a key must be a string"),
    ],
    ids=["duplicate", "deep", "deep-flow", "recursive", "laughs", "objects", "broken", "odd-key"],
)
def test_yaml_that_is_no_good_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(Malformed) as caught:
        codec.decode_yaml(data)
    assert str(caught.value).startswith(f"error converting YAML to JSON: {message}")


def test_yaml_that_is_no_object_is_refused() -> None:
    with pytest.raises(Malformed):
        codec.decode_yaml(b"just a string")
