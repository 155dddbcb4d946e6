from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.api import quantities
from orchestrator.api.quantities import BadQuantity, Format, Quantity
from tests.support.api import unhurried


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("0", "0"), ("0Gi", "0"), ("1", "1"), (1, "1"), (0.5, "500m"), ("0.5", "500m"), ("1000m", "1"),
        ("1500m", "1500m"),
        ("0.1", "100m"), ("100u", "100u"), ("0.000001", "1u"), ("1n", "1n"), ("1000", "1k"), ("12345", "12345"),
        ("100k", "100k"), ("1000k", "1M"), ("1E", "1E"), ("-1500m", "-1500m"), ("+5", "5"), (".5", "500m"), ("5.", "5"),
        ("1024Mi", "1Gi"), ("1.5Gi", "1536Mi"), ("1000Mi", "1000Mi"), ("1Ki", "1Ki"), ("0.5Ki", "512"),
        ("512Ki", "512Ki"),
        ("0.1Ki", "102400m"), ("2048Ei", "9223372036854775807"), ("1e3", "1e3"), ("1E3", "1e3"), ("100e3", "100e3"),
        ("1e-3", "1e-3"), ("12e4", "120e3"), ("1.0000000001", "1000000001n"), (" 1Gi ", "1Gi"),
        ("9999999Ei", "9223372036854775807"), ("10000000000000000000", "10E"),
    ],
)  # fmt: skip
def test_canonical_form(text: str | float, canonical: str) -> None:
    assert quantities.canonical(text) == canonical


_FORMAT = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
_SUFFIX = "unable to parse quantity's suffix"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", _FORMAT), ("abc", _FORMAT), ("1 Gi", _FORMAT), ("1.2.3", _FORMAT), ("+", _FORMAT), (".", _FORMAT),
        ("0x1", _FORMAT), ("1e", _SUFFIX), ("1kk", _SUFFIX), ("1ki", _SUFFIX), ("1mi", _SUFFIX),
        ("1Zi", _FORMAT), ("1Q", _FORMAT), ("1e99999", _SUFFIX),
        ("9" * 1000, _FORMAT),
    ],
)  # fmt: skip
def test_what_is_no_quantity_is_refused(text: str, message: str) -> None:
    with pytest.raises(BadQuantity) as caught:
        quantities.parse(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("left", "right", "sign"),
    [("1Gi", "1024Mi", 0), ("1000m", "1", 0), ("100m", "0.2", -1), ("1G", "1Gi", -1), ("1.0000000001", "1", 1)],
)
def test_comparison_is_exact(left: str, right: str, sign: int) -> None:
    assert quantities.compare(left, right) == sign


def test_whole_units_and_thousandths_are_rounded_up() -> None:
    assert quantities.parse_milli("100u") == 1
    assert quantities.parse_milli("1.5") == 1500
    assert quantities.parse_bytes("1.5Gi") == 1536 * 2**20
    assert quantities.parse_bytes("1500m") == 2


def test_huge_amounts_stay_within_64_bits() -> None:
    assert quantities.parse_bytes("1e99") == quantities.parse_milli("1e99") == 2**63 - 1
    assert quantities.parse_milli("-9E") == -(2**63) + 1


def test_amounts_of_resources_are_kept_in_thousandths() -> None:
    assert quantities.canonical_amount("100u") == "1m"
    assert quantities.canonical_amount("0.0015") == "2m"
    assert quantities.canonical_amount("1024Mi") == "1Gi"
    assert quantities.canonical_amount("0.1Ki") == "102400m"


def test_sums_keep_the_first_format() -> None:
    assert str(quantities.parse("1Gi") + quantities.parse("512Mi")) == "1536Mi"
    assert str(quantities.parse("0") + quantities.parse("1Gi")) == "1Gi"
    assert str(quantities.parse("1Gi") - quantities.parse("1Gi")) == "0"


def test_amounts_have_a_form() -> None:
    assert quantities.format_milli(1500) == "1500m"
    assert quantities.format_milli(2000) == "2"


@unhurried
@given(st.integers(-(2**80), 2**80), st.sampled_from(Format))
def test_the_canonical_form_stands_for_the_same_amount_and_is_stable(nano: int, format_: Format) -> None:
    # A binary amount that no power of two divides has no suffix, and without one it reads as a decimal: 125000 is 125k.
    text = quantities.canonical(str(Quantity(nano, format_)))
    assert quantities.canonical(text) == text
    assert quantities.parse(text).nano == nano
