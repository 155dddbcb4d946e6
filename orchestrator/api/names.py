"""The rules for names, labels and their like: each function returns the faults of a value, in Kubernetes' words.

The rules and the sentences are those of `k8s.io/apimachinery/pkg/util/validation` and `pkg/api/validate/content`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = _LABEL + r"(\." + _LABEL + ")*"
_LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = f"({_QUALIFIED})?"
_PERCENT = "[0-9]+%"
_HEADER = "[-A-Za-z0-9]+"
_ENV_NAME = "[-._a-zA-Z][-._a-zA-Z0-9]*"
_CONFIG_KEY = "[-._a-zA-Z0-9]+"

_label_matches = re.compile(_LABEL, re.ASCII).fullmatch
_subdomain_matches = re.compile(_SUBDOMAIN).fullmatch
_label_1035_matches = re.compile(_LABEL_1035).fullmatch
_qualified_matches = re.compile(_QUALIFIED).fullmatch
_label_value_matches = re.compile(_LABEL_VALUE).fullmatch
_percent_matches = re.compile(_PERCENT).fullmatch
_header_matches = re.compile(_HEADER).fullmatch
_env_name_matches = re.compile(_ENV_NAME).fullmatch
_config_key_matches = re.compile(_CONFIG_KEY).fullmatch
_printable_matches = re.compile(r"[\x20-\x3c\x3e-\x7e]*").fullmatch
_port_name_matches = re.compile("[-a-z0-9]+").fullmatch

LABEL_LENGTH_MAX = 63
SUBDOMAIN_LENGTH_MAX = 253

#: A rule of this module: the value's faults.
Rule = Callable[[str], list[str]]


def max_length_message(length: int) -> str:
    """What to say of a value longer than `length` bytes."""
    return f"must be no more than {length} bytes"


def range_message(low: int, high: int) -> str:
    """What to say of a number outside `low`..`high`."""
    return f"must be between {low} and {high}, inclusive"


def regex_message(message: str, pattern: str, *examples: str) -> str:
    """What to say of a value that does not match its pattern."""
    if not examples:
        return f"{message} (regex used for validation is '{pattern}')"
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"{message} (e.g. {shown}regex used for validation is '{pattern}')"


_LABEL_MESSAGE = regex_message(
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    "and must start and end with an alphanumeric character",
    _LABEL,
    "my-name",
    "123-abc",
)
_SUBDOMAIN_MESSAGE = regex_message(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character",
    _SUBDOMAIN,
    "example.com",
)
_LABEL_1035_MESSAGE = regex_message(
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', "
    "start with an alphabetic character, and end with an alphanumeric character",
    _LABEL_1035,
    "my-name",
    "abc-123",
)
_QUALIFIED_MESSAGE = regex_message(
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
    _QUALIFIED,
    "MyName",
    "my.name",
    "123-abc",
)
_LABEL_VALUE_MESSAGE = regex_message(
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character",
    _LABEL_VALUE,
    "MyValue",
    "my_value",
    "12345",
)


def _length(value: str) -> int:
    return len(value) if value.isascii() else len(value.encode("utf-8", "replace"))


def is_dns1123_label(value: str) -> list[str]:
    """The rule for namespaces, container and port-less names."""
    faults: list[str] = []
    if _length(value) > LABEL_LENGTH_MAX:
        faults.append(max_length_message(LABEL_LENGTH_MAX))
    if not _label_matches(value):
        faults.append("must not contain dots" if _subdomain_matches(value) else _LABEL_MESSAGE)
    return faults


def is_dns1123_subdomain(value: str) -> list[str]:
    """The rule for the names of most objects."""
    faults: list[str] = []
    if _length(value) > SUBDOMAIN_LENGTH_MAX:
        faults.append(max_length_message(SUBDOMAIN_LENGTH_MAX))
    if not _subdomain_matches(value):
        faults.append(_SUBDOMAIN_MESSAGE)
    return faults


def is_dns1035_label(value: str) -> list[str]:
    """The rule for services' names."""
    faults: list[str] = []
    if _length(value) > LABEL_LENGTH_MAX:
        faults.append(max_length_message(LABEL_LENGTH_MAX))
    if not _label_1035_matches(value):
        faults.append(_LABEL_1035_MESSAGE)
    return faults


def is_qualified_name(value: str) -> list[str]:
    """The rule for label keys, annotation keys, resource and condition names: `name` or `prefix.example/name`."""
    prefix, slash, name = value.partition("/")
    if "/" in name:
        return [
            f"a valid label key {_QUALIFIED_MESSAGE} with an optional DNS subdomain prefix and '/' "
            "(e.g. 'example.com/MyName')"
        ]
    faults: list[str] = []
    if not slash:
        name = prefix
    elif not prefix:
        faults.append("prefix part must be non-empty")
    else:
        faults += [f"prefix part {fault}" for fault in is_dns1123_subdomain(prefix)]
    if not name:
        faults.append("name part must be non-empty")
    elif _length(name) > LABEL_LENGTH_MAX:
        faults.append(f"name part {max_length_message(LABEL_LENGTH_MAX)}")
    if not _qualified_matches(name):
        faults.append(f"name part {_QUALIFIED_MESSAGE}")
    return faults


def is_valid_label_value(value: str) -> list[str]:
    """The rule for the values of labels."""
    faults: list[str] = []
    if _length(value) > LABEL_LENGTH_MAX:
        faults.append(max_length_message(LABEL_LENGTH_MAX))
    if not _label_value_matches(value):
        faults.append(_LABEL_VALUE_MESSAGE)
    return faults


def is_valid_port_name(value: str) -> list[str]:
    """The rule for ports' names (RFC 6335, lower case)."""
    faults: list[str] = []
    if _length(value) > 15:
        faults.append(max_length_message(15))
    if not _port_name_matches(value):
        faults.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", value):
        faults.append("must contain at least one letter (a-z)")
    if "--" in value:
        faults.append("must not contain consecutive hyphens")
    if value.startswith("-") or value.endswith("-"):
        faults.append("must not begin or end with a hyphen")
    return faults


def is_valid_percent(value: str) -> list[str]:
    """A whole percentage such as `25%`."""
    if _percent_matches(value):
        return []
    message = "a valid percent string must be a numeric string followed by an ending '%'"
    return [regex_message(message, _PERCENT, "1%", "93%")]


def is_http_header_name(value: str) -> list[str]:
    """The rule for headers in probes and hooks."""
    if _header_matches(value):
        return []
    return [
        regex_message("a valid HTTP header must consist of alphanumeric characters or '-'", _HEADER, "X-Header-Name")
    ]


def is_env_var_name(value: str) -> list[str]:
    """The strict rule for environment variables (the keys that `envFrom` takes over)."""
    faults: list[str] = []
    if not _env_name_matches(value):
        message = (
            "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', "
            "and must not start with a digit"
        )
        faults.append(regex_message(message, _ENV_NAME, "my.env-name", "MY_ENV.NAME", "MyEnvName1"))
    return faults + _path_like(value)


def is_relaxed_env_var_name(value: str) -> list[str]:
    """The rule for environment variables in pods: printable ASCII without `=`."""
    faults: list[str] = []
    if not value:
        faults.append("environment variable name must be non-empty")
    if not _printable_matches(value):
        faults.append(
            "a valid environment variable name must consist only of printable ASCII characters other than '='"
        )
    return faults


def is_config_map_key(value: str) -> list[str]:
    """The rule for the keys of ConfigMaps and Secrets."""
    faults: list[str] = []
    if _length(value) > SUBDOMAIN_LENGTH_MAX:
        faults.append(max_length_message(SUBDOMAIN_LENGTH_MAX))
    if not _config_key_matches(value):
        message = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
        faults.append(regex_message(message, _CONFIG_KEY, "key.name", "KEY_NAME", "key-name"))
    return faults + _path_like(value)


def is_valid_path_segment(value: str) -> list[str]:
    """The rule every object's name keeps whatever its kind: it must fit into a URL path."""
    if value in (".", ".."):
        return [f"may not be '{value}'"]
    return [f"may not contain '{character}'" for character in "/%" if character in value]


def is_valid_ip(value: str) -> list[str]:
    """An IPv4 or IPv6 address in canonical notation."""
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        return ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]
    return []


def _path_like(value: str) -> list[str]:
    if value == ".":
        return ["must not be '.'"]
    if value == "..":
        return ["must not be '..'"]
    if value.startswith(".."):
        return ["must not start with '..'"]
    return []
