"""Rules that fields of many kinds share: numbers, ports, addresses, paths, keys.

Each takes the field's path and its value and returns what is wrong, in Kubernetes' words; empty if nothing.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from orchestrator.api import names
from orchestrator.api.memo import memo
from orchestrator.api.numbers import saturated_int32
from orchestrator.api.problems import Problem, duplicate, forbidden, invalid, not_supported, required

Problems = list[Problem]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

INT32_MAX = 2**31 - 1
SIZE_MAX = 1024 * 1024  # a Secret's or ConfigMap's data, all keys together
IMMUTABLE = "field is immutable"
NEGATIVE = "must be greater than or equal to 0"
NOT_POSITIVE = "must be greater than zero"
PROTOCOLS = ("SCTP", "TCP", "UDP")

# The same few names come back in every object; the caches are bounded and hold only the verdict.
is_label = memo(entries_max=4096)(names.is_dns1123_label)
is_subdomain = memo(entries_max=4096)(names.is_dns1123_subdomain)
is_qualified_name = memo(entries_max=4096)(names.is_qualified_name)
is_port_name = memo(entries_max=1024)(names.is_valid_port_name)
is_label_value = memo(entries_max=8192)(names.is_valid_label_value)


def nonnegative(field: str, value: int | None) -> Problems:
    """A count or duration below zero."""
    return [invalid(field, value, NEGATIVE)] if value is not None and value < 0 else []


def each(field: str, value: Any, messages: Iterable[str]) -> Problems:
    """One problem per message of a name rule."""
    return [invalid(field, value, message) for message in messages]


def label(field: str, value: str) -> Problems:
    """Not an RFC 1123 label."""
    return each(field, value, is_label(value))


def subdomain(field: str, value: str) -> Problems:
    """Not an RFC 1123 subdomain."""
    return each(field, value, is_subdomain(value))


def qualified_name(field: str, value: str) -> Problems:
    """Not a qualified name, `[prefix/]name`."""
    return each(field, value, is_qualified_name(value))


def port_number(field: str, value: int) -> Problems:
    """Not a port."""
    return [] if 1 <= value <= 65535 else [invalid(field, value, names.range_message(1, 65535))]


def port_name(field: str, value: str) -> Problems:
    """Not the name of a port."""
    return each(field, value, is_port_name(value))


def port_number_or_name(field: str, value: int | str) -> Problems:
    """Neither a port nor the name of one."""
    if isinstance(value, int):
        return port_number(field, value)
    return port_name(field, value)


def one_of(field: str, value: str | None, supported: Sequence[str]) -> Problems:
    """Missing, or outside its enumeration."""
    if value in supported:
        return []
    return [not_supported(field, value, supported)] if value else [required(field)]


def supported_if_set(field: str, value: str | None, supported: Sequence[str]) -> Problems:
    """Given, and outside its enumeration."""
    return [] if value is None or value in supported else [not_supported(field, value, supported)]


def immutable(field: str, new: Any, old: Any) -> Problems:
    """Changed though it may not change."""
    return [] if new == old else [invalid(field, new, IMMUTABLE)]


@memo(entries_max=4096)
def parse_ip(value: str) -> Address | None:
    """The address a text stands for, or None."""
    try:
        return ipaddress.ip_address(value)
    except ValueError:
        return None


def ip_address(field: str, value: str) -> Problems:
    """Not an IP address of either family."""
    return [] if parse_ip(value) is not None else each(field, value, names.is_valid_ip(value))


def routable_ip(field: str, value: str) -> Problems:
    """An address that no service may send traffic to: unspecified, loopback or link-local."""
    address = parse_ip(value)
    if address is None:
        return [invalid(field, value, "must be a valid IP address")]
    problems: Problems = []
    if address.is_unspecified:
        problems.append(invalid(field, value, f"may not be unspecified ({value})"))
    if address.is_loopback:
        problems.append(invalid(field, value, "may not be in the loopback range (127.0.0.0/8, ::1/128)"))
    if address.is_link_local:
        problems.append(invalid(field, value, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"))
    if address.is_multicast and (value.startswith("224.0.0.") or value.lower().startswith("ff02:")):
        words = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
        problems.append(invalid(field, value, words))
    return problems


def network(field: str, value: str) -> Problems:
    """Not a network in CIDR notation."""
    try:
        if "/" in value:
            ipaddress.ip_network(value, strict=False)
            return []
    except ValueError:
        pass
    return [invalid(field, value, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)")]


def no_backsteps(field: str, value: str) -> Problems:
    """A path that climbs out of its directory."""
    if ".." in value and ".." in value.split("/"):
        return [invalid(field, value, "must not contain '..'")]
    return []


def descending_path(field: str, value: str) -> Problems:
    """A path that is absolute or climbs."""
    problems = no_backsteps(field, value)
    if value.startswith("/"):
        problems.insert(0, invalid(field, value, "must be a relative path"))
    return problems


def projected_path(field: str, value: str) -> Problems:
    """A path below a volume that is absolute, climbs, or collides with the names the writer of volumes reserves."""
    problems = descending_path(field, value)
    if value.startswith("..") and not value.startswith("../") and value != "..":
        problems.append(invalid(field, value, "must not start with '..'"))
    return problems


def file_mode(field: str, value: int | None) -> Problems:
    """Not permission bits."""
    if value is None or 0 <= value <= 0o777:
        return []
    return [invalid(field, value, "must be a number between 0 and 0777 (octal), both inclusive")]


def user_or_group_id(field: str, value: int | None) -> Problems:
    """Not a user or group id."""
    return (
        [] if value is None or 0 <= value <= INT32_MAX else [invalid(field, value, names.range_message(0, INT32_MAX))]
    )


def percent(value: int | str) -> int | None:
    """The number before the percent sign, at most what 32 bits hold, or None where it is not a percentage."""
    return saturated_int32(value[:-1]) if isinstance(value, str) and not names.is_valid_percent(value) else None


def count_or_percent(field: str, value: int | str) -> Problems:
    """Neither a count nor a percentage."""
    if isinstance(value, int):
        return nonnegative(field, value)
    return each(field, value, names.is_valid_percent(value))


def at_most_all(field: str, value: int | str) -> Problems:
    """More than a hundred percent."""
    share = percent(value)
    return [] if share is None or share <= 100 else [invalid(field, value, "must not be greater than 100%")]


def unique(field: str, value: Any, seen: set[Any]) -> Problems:
    """A value that was there before; remembers it in `seen` if not."""
    if value in seen:
        return [duplicate(field, value)]
    seen.add(value)
    return []


def repeated(values: Iterable[Any]) -> Iterator[int]:
    """Where values stand that were there before, in time that their number allows."""
    seen: set[Any] = set()
    for index, value in enumerate(values):
        if value in seen:
            yield index
        seen.add(value)


def unchanged_if_immutable(new: dict[str, Any], old: dict[str, Any], fields: Sequence[str]) -> Problems:
    """What may not change once `immutable` is set on a ConfigMap or Secret."""
    if not old.get("immutable"):
        return []
    words = "field is immutable when `immutable` is set"
    problems = [] if new.get("immutable") else [forbidden("immutable", words)]
    problems += [forbidden(name, words) for name in fields if (new.get(name) or {}) != (old.get(name) or {})]
    return problems
