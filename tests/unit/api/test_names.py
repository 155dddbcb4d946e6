from __future__ import annotations

import pytest

from orchestrator.api import names

LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
NAME_PART = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)


@pytest.mark.parametrize(
    ("rule", "value", "faults"),
    [
        (names.is_dns1123_label, "web-1", []),
        (names.is_dns1123_label, "1", []),
        (names.is_dns1123_label, "a" * 63, []),
        (names.is_dns1123_label, "a" * 64, ["must be no more than 63 bytes"]),
        (names.is_dns1123_label, "a.b", ["must not contain dots"]),
        (names.is_dns1123_label, "Web", [LABEL]),
        (names.is_dns1123_label, "-a", [LABEL]),
        (names.is_dns1123_label, "a\n", [LABEL]),
        (names.is_dns1123_label, "", [LABEL]),
        (names.is_dns1123_subdomain, "a.b-c.d", []),
        (names.is_dns1123_subdomain, "a..b", [SUBDOMAIN]),
        (names.is_dns1123_subdomain, "x_y", [SUBDOMAIN]),
        (names.is_dns1123_subdomain, "a" * 254, ["must be no more than 253 bytes"]),
        (names.is_dns1035_label, "web-1", []),
        (names.is_qualified_name, "app", []),
        (names.is_qualified_name, "example.com/App_1.x", []),
        (names.is_qualified_name, "", ["name part must be non-empty", NAME_PART]),
        (names.is_qualified_name, "/x", ["prefix part must be non-empty"]),
        (names.is_qualified_name, "Ex/x", [f"prefix part {SUBDOMAIN}"]),
        (names.is_qualified_name, "a" * 64, ["name part must be no more than 63 bytes"]),
        (names.is_qualified_name, "a b", [NAME_PART]),
        (names.is_valid_label_value, "", []),
        (names.is_valid_label_value, "a_B.1", []),
        (names.is_valid_label_value, "-", [VALUE]),
        (names.is_valid_label_value, "ä", [VALUE]),
        (names.is_valid_port_name, "http-1", []),
        (names.is_valid_port_name, "80", ["must contain at least one letter (a-z)"]),
        (names.is_valid_port_name, "a--b", ["must not contain consecutive hyphens"]),
        (names.is_valid_port_name, "sixteen-letters-", [
            "must be no more than 15 bytes", "must not begin or end with a hyphen"]),
        (names.is_config_map_key, "a.b_c-D", []),
        (names.is_config_map_key, "..", ["must not be '..'"]),
        (names.is_config_map_key, "..a", ["must not start with '..'"]),
        (names.is_relaxed_env_var_name, "A b:1", []),
        (names.is_relaxed_env_var_name, "", ["environment variable name must be non-empty"]),
        (names.is_relaxed_env_var_name, "A=B", [
            "a valid environment variable name must consist only of printable ASCII characters other than '='"]),
        (names.is_valid_path_segment, "a", []),
        (names.is_valid_path_segment, "..", ["may not be '..'"]),
        (names.is_valid_path_segment, ".", ["may not be '.'"]),
        (names.is_valid_path_segment, "...", []),
        (names.is_valid_path_segment, "a/%", ["may not contain '/'", "may not contain '%'"]),
        (names.is_valid_percent, "25%", []),
        (names.is_valid_ip, "10.0.0.1", []),
        (names.is_valid_ip, "2001:db8::1", []),
        (names.is_valid_ip, "fe80::1%eth0", ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]),
        (names.is_valid_ip, "10.0.0.256", ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]),
    ],
)  # fmt: skip
def test_faults_of_names(rule: names.Rule, value: str, faults: list[str]) -> None:
    assert rule(value) == faults


@pytest.mark.parametrize("rule", [names.is_dns1035_label, names.is_env_var_name, names.is_http_header_name])
def test_the_empty_name_breaks_every_rule(rule: names.Rule) -> None:
    assert len(rule("")) == 1


def test_a_range_is_told_with_both_ends() -> None:
    assert names.range_message(1, 65535) == "must be between 1 and 65535, inclusive"
