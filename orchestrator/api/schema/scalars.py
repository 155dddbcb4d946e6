"""Scalars with a form of their own (times, quantities, base64): whether a value is in canonical form, and making it so.

Every `is_…` is quick and sure when it says yes; when it says no, the matching `as_…` decides, and says what is wrong.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import re
from typing import Any

from orchestrator.api import quantities

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

_time_matches = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z").fullmatch
_micro_time_matches = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z").fullmatch
_rfc3339_matches = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})T([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]+))?(Z|[+-][0-9]{2}:[0-9]{2})"
).fullmatch
_base64_matches = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?").fullmatch


class WrongValue(ValueError):
    """The value does not fit its field; the text is Kubernetes'."""


def is_int32(value: int) -> bool:
    """Whether it fits into 32 bits."""
    return INT32_MIN <= value <= INT32_MAX


def is_int64(value: int) -> bool:
    """Whether it fits into 64 bits."""
    return INT64_MIN <= value <= INT64_MAX


def is_number(value: Any) -> bool:
    """Whether it is a JSON number."""
    return type(value) is int or type(value) is float


def is_int_or_string(value: Any) -> bool:
    """Whether it is a string or a 32-bit integer."""
    return type(value) is str or (type(value) is int and INT32_MIN <= value <= INT32_MAX)


def is_quantity(value: Any) -> bool:
    """Whether it is a quantity, as a string without blanks around it."""
    if type(value) is not str or value != value.strip():
        return False
    try:
        quantities.parse(value)
    except quantities.BadQuantity:
        return False
    return True


def as_quantity(value: Any) -> str:
    """The quantity as a string, otherwise as it was written; raises `WrongValue`."""
    _checked_quantity(value)
    return str(value).strip()


def is_amount(value: Any) -> bool:
    """Whether it is an amount of a resource in the form that is kept."""
    if type(value) is not str:
        return False
    try:
        return quantities.canonical_amount(value) == value
    except quantities.BadQuantity:
        return False


def as_amount(value: Any) -> str:
    """The amount in the form that is kept; raises `WrongValue`."""
    _checked_quantity(value)
    return quantities.canonical_amount(value)


def _checked_quantity(value: Any) -> None:
    try:
        quantities.parse(value if type(value) in (str, int, float) else "no quantity")
    except quantities.BadQuantity as exc:
        raise WrongValue(str(exc)) from None


def is_base64(value: str) -> bool:
    """Whether it is standard base64 with padding."""
    return _base64_matches(value) is not None


def as_base64(value: str) -> str:
    """The canonical form (line breaks removed, as Go does); raises `WrongValue`."""
    joined = value.replace("\n", "").replace("\r", "")
    try:
        return base64.b64encode(binascii.a2b_base64(joined, strict_mode=True)).decode()
    except (binascii.Error, ValueError):
        bad = re.search(r"[^A-Za-z0-9+/]", joined)
        at = bad.start() if bad else len(joined) // 4 * 4
        raise WrongValue(f"illegal base64 data at input byte {at}") from None


def is_time(value: str) -> bool:
    """Whether it is a UTC timestamp of whole seconds."""
    return _time_matches(value) is not None and _exists(value)


def is_micro_time(value: str) -> bool:
    """Whether it is a UTC timestamp with six decimals."""
    return _micro_time_matches(value) is not None and _exists(value)


def _exists(value: str) -> bool:
    """Whether the calendar has the moment: there is no 30th of February."""
    try:
        datetime.datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def as_time(value: str) -> str:
    """The timestamp in UTC and whole seconds; raises `WrongValue`."""
    return _moment(value).isoformat(timespec="seconds") + "Z"


def as_micro_time(value: str) -> str:
    """The timestamp in UTC with six decimals; raises `WrongValue`."""
    return _moment(value).isoformat(timespec="microseconds") + "Z"


def _moment(value: str) -> datetime.datetime:
    matched = _rfc3339_matches(value)
    if matched is None:
        form = "2006-01-02T15:04:05Z07:00"
        raise WrongValue(f'parsing time "{value}" as "{form}": cannot parse "{value}" as "2006"')
    fraction = ((matched[3] or "") + "000000")[:6]
    zone = "+00:00" if matched[4] == "Z" else matched[4]
    try:
        moment = datetime.datetime.fromisoformat(f"{matched[1]}T{matched[2]}.{fraction}{zone}")
        return moment.astimezone(datetime.UTC).replace(tzinfo=None)
    except (ValueError, OverflowError) as exc:
        part = next((word for word in ("month", "hour", "minute", "second") if str(exc).startswith(word)), "day")
        raise WrongValue(f'parsing time "{value}": {part} out of range') from None
