from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.api.selectors import (
    EVERYTHING,
    NOTHING,
    TOKENS_MAX,
    BadSelector,
    parse_field_selector,
    parse_label_selector,
    selector_of,
)
from tests.support.api import unhurried


@pytest.mark.parametrize(
    ("text", "labels", "selected"),
    [
        ("", {}, True),
        ("  ", {"a": "b"}, True),
        ("a=b", {"a": "b"}, True),
        ("a==b", {"a": "c"}, False),
        ("a=", {"a": ""}, True),
        ("a=", {}, False),
        ("a!=b", {}, True),
        ("a!=b", {"a": "b"}, False),
        ("a", {"a": ""}, True),
        ("!a", {"a": "x"}, False),
        ("! a", {}, True),
        ("a in (b, c)", {"a": "c"}, True),
        ("a in (b,c)", {}, False),
        ("a notin (b,c)", {}, True),
        ("a notin (b,c)", {"a": "b"}, False),
        ("a in (b),c=d", {"a": "b"}, False),
        ("a in (b),c=d", {"a": "b", "c": "d"}, True),
        ("a>1", {"a": "2"}, True),
        ("a<1", {"a": "2"}, False),
        ("a>1", {"a": "x"}, False),
        ("in in (in)", {"in": "in"}, True),
        ("example.com/x=y", {"example.com/x": "y"}, True),
    ],
)
def test_label_selectors(text: str, labels: dict[str, str], selected: bool) -> None:
    selector = parse_label_selector(text)
    assert selector.matches(labels) is selected
    assert parse_label_selector(str(selector)) == selector


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a=b,", "found '', expected: identifier after ','"),
        ("=b", "found '=', expected: !, identifier, or 'end of string'"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("a>x", 'unable to parse requirement: values[0]: Invalid value: "x": '),
        ("a/b/c=d", 'unable to parse requirement: <nil>: Invalid value: "a/b/c": a valid label key must consist of'),
        ("a=ä", 'unable to parse requirement: values[0][a]: Invalid value: "ä": a valid label must be'),
        (",".join(["a"] * 2000), "more than 1000 requirements"),
    ],
)
def test_label_selectors_that_cannot_be_understood(text: str, message: str) -> None:
    with pytest.raises(BadSelector) as caught:
        parse_label_selector(text)
    assert str(caught.value).startswith(message)


def test_selectors_of_objects() -> None:
    selector = selector_of(
        {
            "matchLabels": {"app": "web"},
            "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["a", "b"]},
                {"key": "old", "operator": "DoesNotExist"},
            ],
        }
    )
    assert str(selector) == "app=web,!old,tier in (a,b)"
    assert selector.matches({"app": "web", "tier": "b"})
    assert not selector.matches({"app": "web", "tier": "b", "old": ""})
    assert selector.exact() == {"app": "web"}
    with pytest.raises(BadSelector, match='"Like" is not a valid label selector operator'):
        selector_of({"matchExpressions": [{"key": "a", "operator": "Like"}]})


def test_no_selector_selects_nothing_and_an_empty_one_everything() -> None:
    assert selector_of(None) is NOTHING
    assert not NOTHING.matches({})
    assert selector_of({}) == EVERYTHING
    assert EVERYTHING.is_empty
    assert EVERYTHING.matches(None)
    assert not NOTHING.is_empty
    assert parse_field_selector("").is_empty
    assert not parse_field_selector("metadata.name=a").is_empty


def test_a_selector_may_have_so_many_words_and_no_more() -> None:
    # `key in (x,x,…)`: three words before the list and one behind it, and each value but the last has a comma.
    def with_words(count: int) -> str:
        values, odd = divmod(count - 4 + 1, 2)
        assert not odd
        return f"key in ({','.join(['x'] * values)})"

    most = TOKENS_MAX - (TOKENS_MAX - 4 + 1) % 2
    assert parse_label_selector(with_words(most)).matches({"key": "x"})
    with pytest.raises(BadSelector, match="words and signs"):
        parse_label_selector(with_words(most + 2))


_labels = st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz"), max_size=3)


@unhurried
@given(_labels, _labels)
def test_a_map_of_labels_selects_its_supersets(wanted: dict[str, str], labels: dict[str, str]) -> None:
    assert selector_of({"matchLabels": wanted}).matches(labels) == (wanted.items() <= labels.items())


@pytest.mark.parametrize(
    ("text", "fields", "selected"),
    [
        ("", {}, True),
        ("spec.nodeName=n1", {"spec.nodeName": "n1"}, True),
        ("spec.nodeName==n1", {"spec.nodeName": "n2"}, False),
        ("spec.nodeName=", {}, True),
        ("spec.nodeName!=", {}, False),
        ("a=1,b!=2", {"a": "1", "b": "3"}, True),
        ("a=1,b!=2", {"a": "1", "b": "2"}, False),
        (r"a=x\,y\=z\\", {"a": "x,y=z\\"}, True),
    ],
)
def test_field_selectors(text: str, fields: dict[str, str], selected: bool) -> None:
    selector = parse_field_selector(text)
    assert selector.matches(fields) is selected
    assert parse_field_selector(str(selector)) == selector


def test_a_field_selector_tells_the_value_for_an_index() -> None:
    selector = parse_field_selector("spec.nodeName=n1,status.phase!=Failed")
    assert selector.exact("spec.nodeName") == "n1"
    assert selector.exact("status.phase") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x", "invalid selector: 'x'; can't understand 'x'"),
        ("a=b=c", "invalid field selector: unescaped character in value: b=c"),
        (r"a=\x", r"invalid field selector: invalid escape sequence: \x"),
    ],
)
def test_field_selectors_that_cannot_be_understood(text: str, message: str) -> None:
    with pytest.raises(BadSelector) as caught:
        parse_field_selector(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "text", ["a in (" + "b," * 500_000 + ")", "a," * 500_000, "!" * 1_000_000, "a=" + "," * 500_000]
)
def test_a_selector_of_a_megabyte_is_refused_before_all_of_it_is_read(text: str) -> None:
    with pytest.raises(BadSelector):
        parse_label_selector(text)
