"""YAML read and written as Kubernetes does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from orchestrator.api import codec, yaml_text
from orchestrator.api.codec import Malformed
from tests.support.api import a_full_pod, json_objects, unhurried


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
    read = yaml_text.decode(f"a: {text}\n".encode())[0]["a"]
    assert (type(read), read) == (type(value), value)


def test_yaml_may_be_json_and_its_aliases_are_copies() -> None:
    assert yaml_text.decode(codec.encode(a_full_pod())) == (a_full_pod(), [])
    obj, _ = yaml_text.decode(b"a: &x {k: 1}\nb: *x\nc: {<<: *x, l: 2}\n")
    assert obj == {"a": {"k": 1}, "b": {"k": 1}, "c": {"k": 1, "l": 2}}
    assert obj["a"] is not obj["b"]


def test_of_several_documents_the_first_counts() -> None:
    assert yaml_text.decode(b"a: 1\n---\nb: 2\n") == ({"a": 1}, [])


_LAUGHS = b"a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n" + b"".join(
    b"a%d: &a%d [%s]\n" % (n, n, b",".join([b"*a%d" % (n - 1)] * 10)) for n in range(1, 8)
)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a: &x " + b"long " * 100_000 + b"\nb: [" + b"*x, " * 50_000 + b"]", "yaml: document contains excessive"),
        (b"a: [" + b"1," * 900_000 + b"]", "yaml: document contains excessive aliasing"),
        (b"a: b: c", "yaml: mapping values are not allowed in this context"),
        (b"a: \x01", "yaml: control characters are not allowed"),
        (b"a: \xff", "yaml: invalid leading UTF-8 octet"),
        (b'a: "\\ud800"', "yaml: "),
        (b"a: !!int b", "yaml: line 1: cannot decode !!str `b` as a !!int"),
        (b"<<: 1", "yaml: line 1: map merge requires map or sequence of maps as the value"),
        (b"- " * 5000 + b"x", "exceeded max depth"),
        (b"{" * 100_000, ""),
        (b"a: &x [*x]", "yaml: anchor 'x' value contains itself"),
        (_LAUGHS, "yaml: document contains excessive aliasing"),
        (b"a: !!python/object/apply:os.system [x]", "yaml: "),
        (b"a: [1", "yaml: line 1: did not find expected ',' or ']'"),
        (b"? [a]\n: b", "yaml: line 1: a key must be a string"),
    ],
    ids=[
        "text-repeated",
        "huge-list",
        "broken-map",
        "control",
        "encoding",
        "surrogate",
        "tag",
        "merge",
        "deep",
        "deep-flow",
        "recursive",
        "laughs",
        "objects",
        "broken",
        "odd-key",
    ],
)
def test_yaml_that_is_no_good_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(Malformed) as caught:
        yaml_text.decode(data)
    assert str(caught.value).startswith(f"error converting YAML to JSON: {message}")


def test_yaml_that_is_no_object_is_refused() -> None:
    with pytest.raises(Malformed):
        yaml_text.decode(b"just a string")


def test_keys_of_yaml_that_occur_twice_are_told_and_the_last_counts() -> None:
    obj, duplicates = yaml_text.decode(b"a: 1\nb:\n  c: 1\n  c: 2\n  c: 3\na: 4\n")
    assert obj == {"a": 4, "b": {"c": 3}}
    assert duplicates == [
        'line 4: key "c" already set in map',
        'line 5: key "c" already set in map',
        'line 6: key "a" already set in map',
    ]


def test_a_document_of_many_keys_is_read_in_time_that_its_length_allows() -> None:
    # Looking each key up among all would take hours here.
    data = b"a:\n" + b"".join(b"  k%d: 1\n" % n for n in range(40_000)) + b"  k0: 2\n"
    obj, duplicates = yaml_text.decode(data)
    assert len(obj["a"]) == 40_000
    assert duplicates == ['line 40002: key "k0" already set in map']


@pytest.mark.parametrize("key", ["<<", "? a", "y", "1", "~", "a: b", " x ", "#", "1e3", "0o7", "22:22", "2001-01-01"])
def test_strings_are_written_so_that_they_stay_strings(key: str) -> None:
    obj = {"a": {key: [key]}, "b": [key, "x\ny\n", "\x85é"]}
    assert yaml_text.decode(yaml_text.encode(obj)) == (obj, [])


@unhurried
@given(json_objects)
def test_what_was_written_as_yaml_reads_the_same(obj: Any) -> None:
    assert yaml_text.decode(yaml_text.encode(obj)) == (obj, [])
