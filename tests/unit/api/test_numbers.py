"""Numbers in foreign text are read as Go reads them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from orchestrator.api.numbers import BadNumber, parse_decimal, parse_int32, parse_int64, parse_uint64


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (parse_int64, "0", 0),
        (parse_int64, "+7", 7),
        (parse_int64, "-007", -7),
        (parse_int64, "9223372036854775807", 2**63 - 1),
        (parse_int64, "-9223372036854775808", -(2**63)),
        (parse_int64, "0" * 5000 + "1", 1),
        (parse_int32, "2147483647", 2**31 - 1),
        (parse_int32, "-2147483648", -(2**31)),
        (parse_uint64, "18446744073709551615", 2**64 - 1),
        (parse_decimal, "1.5", 1.5),
        (parse_decimal, ".5e-3", 0.0005),
        (parse_decimal, "-2", -2.0),
    ],
)
def test_numbers_are_read(parse: Callable[[str], float], text: str, value: float) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    "text", ["", " 1", "1 ", "1_0", "\uff11\uff10", "\u0663", "0x10", "1.0", "1e3", "+", "--1", "1\n", "²"]
)
def test_what_python_would_take_for_a_whole_number_is_none(text: str) -> None:
    with pytest.raises(BadNumber) as caught:
        parse_int64(text)
    assert str(caught.value) == f'strconv.ParseInt: parsing "{text}": invalid syntax'


@pytest.mark.parametrize(
    ("parse", "text", "message"),
    [
        (parse_int64, "99999999999999999999", 'strconv.ParseInt: parsing "99999999999999999999": value out of range'),
        (parse_int64, "9" * 3_000_000, f'strconv.ParseInt: parsing "{"9" * 256}": value out of range'),
        (parse_int64, "9223372036854775808", 'strconv.ParseInt: parsing "9223372036854775808": value out of range'),
        (parse_int64, "-9223372036854775809", 'strconv.ParseInt: parsing "-9223372036854775809": value out of range'),
        (parse_int32, "2147483648", 'strconv.ParseInt: parsing "2147483648": value out of range'),
        (parse_int32, "-2147483649", 'strconv.ParseInt: parsing "-2147483649": value out of range'),
        (parse_uint64, "18446744073709551616", 'strconv.ParseUint: parsing "18446744073709551616": value out of range'),
        (parse_uint64, "-1", 'strconv.ParseUint: parsing "-1": invalid syntax'),
        (parse_uint64, "+1", 'strconv.ParseUint: parsing "+1": invalid syntax'),
        (parse_decimal, "nan", 'strconv.ParseFloat: parsing "nan": invalid syntax'),
        (parse_decimal, "1e999", 'strconv.ParseFloat: parsing "1e999": value out of range'),
        (parse_decimal, "1_0.5", 'strconv.ParseFloat: parsing "1_0.5": invalid syntax'),
    ],
    ids=[
        "range",
        "very-long",
        "64-bits-signed",
        "64-bits-signed-below",
        "32-bits",
        "32-bits-below",
        "64-bits",
        "unsigned",
        "unsigned-plus",
        "nan",
        "infinite",
        "underscore",
    ],
)
def test_what_is_no_number_is_refused_in_gos_words(parse: Callable[[str], float], text: str, message: str) -> None:
    with pytest.raises(BadNumber) as caught:
        parse(text)
    assert str(caught.value) == message
