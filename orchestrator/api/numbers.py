"""Numbers in foreign text: one strict reading, Go's, for queries, headers, tokens and file contents.

Python's own `int` and `float` take underscores, blanks, other alphabets' digits and any size; a test of the repository
holds that they are not used on what others wrote.
"""

from __future__ import annotations

import math
import re

INT32_MIN, INT32_MAX = -(1 << 31), (1 << 31) - 1
INT64_MIN, INT64_MAX = -(1 << 63), (1 << 63) - 1
UINT64_MAX = (1 << 64) - 1

_whole_matches = re.compile(r"[+-]?[0-9]+", re.ASCII).fullmatch
_decimal_matches = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?", re.ASCII).fullmatch
# More digits than any 64-bit number has, leading zeros aside.
_DIGITS_MAX = 40
_SHOWN_MAX = 256


class BadNumber(ValueError):
    """The text is no such number; the message is that of Go's `strconv`."""

    def __init__(self, function: str, text: str, why: str) -> None:
        super().__init__(f'strconv.{function}: parsing "{text[:_SHOWN_MAX]}": {why}')


def parse_int64(text: str) -> int:
    """A decimal integer of 64 bits; raises `BadNumber`."""
    return _whole("ParseInt", text, INT64_MIN, INT64_MAX)


def parse_int32(text: str) -> int:
    """A decimal integer of 32 bits; raises `BadNumber`."""
    return _whole("ParseInt", text, INT32_MIN, INT32_MAX)


def saturated_int32(digits: str) -> int:
    """The number that a pattern has found to be decimal digits, at most what 32 bits hold."""
    try:
        return parse_int32(digits)
    except BadNumber:
        return INT32_MAX


def parse_uint64(text: str) -> int:
    """A decimal integer of 64 bits without a sign; raises `BadNumber`."""
    if text[:1] in ("+", "-"):
        raise BadNumber("ParseUint", text, "invalid syntax")
    return _whole("ParseUint", text, 0, UINT64_MAX)


def parse_decimal(text: str) -> float:
    """A finite decimal number; raises `BadNumber`."""
    if len(text) > _SHOWN_MAX or not _decimal_matches(text):
        raise BadNumber("ParseFloat", text, "invalid syntax")
    value = float(text)
    if math.isinf(value):
        raise BadNumber("ParseFloat", text, "value out of range")
    return value


def _whole(function: str, text: str, low: int, high: int) -> int:
    if not _whole_matches(text):
        raise BadNumber(function, text, "invalid syntax")
    digits = text.lstrip("+-").lstrip("0")
    if len(digits) > _DIGITS_MAX:
        raise BadNumber(function, text, "value out of range")
    value = int(digits or "0")
    if text[0] == "-":
        value = -value
    if not low <= value <= high:
        raise BadNumber(function, text, "value out of range")
    return value
