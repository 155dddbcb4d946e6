"""Kubernetes quantities (`500m`, `1Gi`, `2e3`): exact values, comparison, and the canonical form the API answers with.

The rules are those of `k8s.io/apimachinery/pkg/api/resource`: finer than one nano is rounded up (away from zero), and
binary quantities larger than 2^63-1 are capped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from orchestrator.api.memo import memo
from orchestrator.api.numbers import BadNumber, parse_int64

_NANO = 10**9
_INT64_MAX = 2**63 - 1
_MAX_NANO = _INT64_MAX * _NANO
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL_SUFFIXES = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BINARY_SUFFIXES = {exponent: suffix for suffix, exponent in _BINARY.items()}
#: Longer ones are refused: no real quantity comes near, and exact arithmetic on a megabyte of digits is an attack.
_LENGTH_MAX = 256
_EXPONENT_MAX = 1000

_parts = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?((?:[eE][+-]?[0-9]+)|[a-zA-Z]*)").fullmatch
_PATTERN = "^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"
_looks_right = re.compile(_PATTERN).fullmatch

_FORMAT_WRONG = f"quantities must match the regular expression '{_PATTERN}'"
_SUFFIX_WRONG = "unable to parse quantity's suffix"


class Format(Enum):
    """The family of suffixes a quantity was written with, kept by arithmetic and by the canonical form."""

    DECIMAL_SI = "DecimalSI"
    BINARY_SI = "BinarySI"
    DECIMAL_EXPONENT = "DecimalExponent"


class BadQuantity(ValueError):
    """The text is no quantity; the message is Kubernetes'."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """An exact amount in nano units, with the format it prints in. Compare by `.nano`."""

    nano: int
    format: Format = Format.DECIMAL_SI

    def __str__(self) -> str:
        return _canonical(self.nano, self.format)

    def __add__(self, other: Quantity) -> Quantity:
        # As Kubernetes: the format of the first one that is not zero.
        return Quantity(self.nano + other.nano, self.format if self.nano else other.format)

    def __sub__(self, other: Quantity) -> Quantity:
        return Quantity(self.nano - other.nano, self.format if self.nano else other.format)

    @property
    def value(self) -> int:
        """In whole units (bytes, pieces), rounded up as Kubernetes does; never more than 64 bits hold."""
        return _saturated(_divided_away(self.nano, _NANO))

    @property
    def milli(self) -> int:
        """In thousandths (of a CPU), rounded up as Kubernetes does; never more than 64 bits hold."""
        return _saturated(_divided_away(self.nano, 1_000_000))


@memo(entries_max=4096)
def parse(text: str | int | float) -> Quantity:
    """The quantity that a string, or a JSON number, stands for; raises `BadQuantity`."""
    if not isinstance(text, str):
        text = repr(text) if isinstance(text, float) else str(text)
    text = text.strip()
    matched = _parts(text) if len(text) <= _LENGTH_MAX else None
    if matched is None or not (matched[2] or matched[3]):
        raise BadQuantity(_FORMAT_WRONG)
    sign, whole, fraction, suffix = matched[1], matched[2] or "", matched[3] or "", matched[4]
    digits = int(whole + fraction or "0")
    try:
        base, exponent, format_ = _suffix(suffix)
    except BadQuantity:
        if _looks_right(text):
            raise
        raise BadQuantity(_FORMAT_WRONG) from None
    numerator = digits * _NANO * (2**exponent if base == 2 else 10 ** max(exponent, 0))
    denominator = 10 ** (len(fraction) + (-exponent if base == 10 and exponent < 0 else 0))
    nano = _divided_away(numerator, denominator)
    if format_ is Format.BINARY_SI:
        nano = min(nano, _MAX_NANO)
    return Quantity(-nano if sign == "-" else nano, format_)


@memo(entries_max=4096)
def canonical(text: str | int | float) -> str:
    """Its canonical form: `0.5` is `500m`, `1024Mi` is `1Gi`; raises `BadQuantity`."""
    return str(parse(text))


@memo(entries_max=4096)
def canonical_amount(text: str | int | float) -> str:
    """The form in which the API keeps amounts of resources: canonical, and rounded up to thousandths.

    Raises `BadQuantity`.
    """
    quantity = parse(text)
    return _canonical(_divided_away(quantity.nano, 1_000_000) * 1_000_000, quantity.format)


def parse_milli(text: str | int | float) -> int:
    """Thousandths: the CPU form. Raises `BadQuantity`."""
    return parse(text).milli


def parse_bytes(text: str | int | float) -> int:
    """Whole units: the memory form. Raises `BadQuantity`."""
    return parse(text).value


def format_milli(cpu_milli: int) -> str:
    """Thousandths in canonical form: 1500 is `1500m`, 2000 is `2`."""
    return _canonical(cpu_milli * 1_000_000, Format.DECIMAL_SI)


def compare(left: str | int | float, right: str | int | float) -> Literal[-1, 0, 1]:
    """-1, 0 or 1 as `left` is less than, equal to or more than `right`; raises `BadQuantity`."""
    a, b = parse(left).nano, parse(right).nano
    return -1 if a < b else 1 if a > b else 0


def _suffix(suffix: str) -> tuple[int, int, Format]:
    if suffix in _DECIMAL:
        return 10, _DECIMAL[suffix], Format.DECIMAL_SI
    if suffix in _BINARY:
        return 2, _BINARY[suffix], Format.BINARY_SI
    if suffix[0] in "eE" and len(suffix) > 1 and suffix[1:].lstrip("+-"):
        try:
            exponent = parse_int64(suffix[1:])
        except BadNumber:
            raise BadQuantity(_SUFFIX_WRONG) from None
        if abs(exponent) > _EXPONENT_MAX:
            raise BadQuantity(_SUFFIX_WRONG)
        return 10, exponent, Format.DECIMAL_EXPONENT
    raise BadQuantity(_SUFFIX_WRONG)


def _divided_away(numerator: int, denominator: int) -> int:
    """Integer division, rounding away from zero."""
    return -(-numerator // denominator) if numerator >= 0 else numerator // denominator


def _saturated(value: int) -> int:
    return max(-_INT64_MAX, min(value, _INT64_MAX))


def _canonical(nano: int, format_: Format) -> str:
    if nano == 0:
        return "0"
    if format_ is Format.BINARY_SI and abs(nano) >= 1024 * _NANO and nano % _NANO == 0:
        mantissa, exponent = nano // _NANO, 0
        while mantissa % 1024 == 0 and exponent < 60:
            mantissa, exponent = mantissa // 1024, exponent + 10
        return f"{mantissa}{_BINARY_SUFFIXES.get(exponent, '')}"
    mantissa, exponent = nano, -9
    while mantissa % 1000 == 0 and exponent < 18:
        mantissa, exponent = mantissa // 1000, exponent + 3
    if format_ is Format.DECIMAL_EXPONENT:
        return f"{mantissa}e{exponent}" if exponent else str(mantissa)
    return f"{mantissa}{_DECIMAL_SUFFIXES[exponent]}"
