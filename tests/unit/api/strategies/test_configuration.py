"""ConfigMaps, Secrets and ServiceAccounts."""

from __future__ import annotations

import base64

import pytest

from orchestrator.api.strategies.configuration import CONFIGMAPS_STRATEGY, SECRETS_STRATEGY, SERVICEACCOUNTS_STRATEGY
from tests.support.manifests import a_meta, changed, created, refusals, update_refusals, updated

IMMUTABLE = "Forbidden: field is immutable when `immutable` is set"


def b64(text):
    return base64.b64encode(text.encode()).decode()


def a_config_map(**fields):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": a_meta("settings"), **fields}


def a_secret(**fields):
    return {"apiVersion": "v1", "kind": "Secret", "metadata": a_meta("keys"), **fields}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({"data": {"a.conf": "x"}, "binaryData": {"b": "AA=="}}, [], id="good"),
        pytest.param(
            {"data": {"a b": "x"}},
            [
                "data[a b]: Invalid value: \"a b\": a valid config key must consist of alphanumeric characters, '-', "
                "'_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is "
                "'[-._a-zA-Z0-9]+')"
            ],
            id="key",
        ),
        pytest.param(
            {"data": {"..": "x"}}, ["data[..]: Invalid value: \"..\": must not be '..'"], id="a-directory-is-no-key"
        ),
        pytest.param(
            {"data": {"a": "x"}, "binaryData": {"a": "AA=="}},
            ['data[a]: Invalid value: "a": duplicate of key present in binaryData'],
            id="key-twice",
        ),
        pytest.param({"data": {"a": "x" * 1048576}}, [], id="as-large-as-may-be"),
        pytest.param(
            {"data": {"a": "x" * 1048577}}, ["[]: Too long: may not be more than 1048576 bytes"], id="too-large"
        ),
        pytest.param(
            {"data": {"a": "é" * 524289}}, ["[]: Too long: may not be more than 1048576 bytes"], id="bytes-count"
        ),
    ],
)
def test_rules_of_config_maps(fields, expected):
    assert refusals(CONFIGMAPS_STRATEGY, a_config_map(**fields)) == expected


def test_what_may_not_change_is_said_before_what_is_wrong_anyway():
    stored = a_config_map(data={"a": "1"}, immutable=True)
    found = update_refusals(CONFIGMAPS_STRATEGY, a_config_map(data={"a b": "1"}, immutable=True), stored)
    assert [text.partition(":")[0] for text in found] == ["data", "data[a b]"]


def test_immutable_config_maps():
    stored = a_config_map(data={"a": "1"}, immutable=True)
    assert update_refusals(CONFIGMAPS_STRATEGY, changed(stored, "metadata/labels", {"a": "b"}), stored) == []
    assert update_refusals(CONFIGMAPS_STRATEGY, a_config_map(data={"a": "2"}), stored) == [
        f"immutable: {IMMUTABLE}",
        f"data: {IMMUTABLE}",
    ]


def test_plain_strings_become_data():
    secret = created(SECRETS_STRATEGY, a_secret(data={"a": b64("1"), "b": b64("2")}, stringData={"b": "3", "c": "4"}))
    assert secret == a_secret(type="Opaque", data={"a": b64("1"), "b": b64("3"), "c": b64("4")})


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, [], id="empty"),
        pytest.param({"data": {"a": b64("x" * 1048576)}}, [], id="as-large-as-may-be"),
        pytest.param(
            {"data": {"a": b64("x" * 1048577)}}, ["data: Too long: may not be more than 1048576 bytes"], id="too-large"
        ),
        pytest.param(
            {"type": "kubernetes.io/tls", "data": {"tls.crt": b64("c")}},
            ["data[tls.key]: Required value"],
            id="tls",
        ),
        pytest.param(
            {"type": "kubernetes.io/basic-auth"},
            ["data[username]: Required value", "data[password]: Required value"],
            id="basic-auth",
        ),
        pytest.param(
            {"type": "kubernetes.io/ssh-auth", "data": {"ssh-privatekey": ""}},
            ["data[ssh-privatekey]: Required value"],
            id="ssh",
        ),
        pytest.param(
            {"type": "kubernetes.io/service-account-token"},
            ["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
            id="token",
        ),
        pytest.param(
            {"type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": '{"auths":{}}'}},
            [],
            id="registry",
        ),
        pytest.param(
            {"type": "kubernetes.io/dockerconfigjson"},
            ["data[.dockerconfigjson]: Required value"],
            id="registry-without-content",
        ),
        pytest.param(
            {"type": "kubernetes.io/dockercfg", "stringData": {".dockercfg": "[]"}},
            [
                'data[.dockercfg]: Invalid value: "<secret contents redacted>": json: cannot unmarshal array into Go '
                "value of type map[string]interface {}"
            ],
            id="registry-with-a-list",
        ),
    ],
)
def test_rules_of_secrets(fields, expected):
    assert refusals(SECRETS_STRATEGY, a_secret(**fields)) == expected


def test_a_secret_never_shows_in_its_refusal():
    secret = a_secret(type="kubernetes.io/dockerconfigjson", stringData={".dockerconfigjson": "hunter2{"})
    (only,) = refusals(SECRETS_STRATEGY, secret)
    assert only.startswith('data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": ')
    assert "hunter2" not in only


def test_a_secrets_type_is_for_life():
    stored = created(SECRETS_STRATEGY, a_secret(type="example.com/mine"))
    assert updated(SECRETS_STRATEGY, a_secret(), stored)["type"] == "example.com/mine"
    assert update_refusals(SECRETS_STRATEGY, a_secret(type="Opaque"), stored) == [
        'type: Invalid value: "Opaque": field is immutable'
    ]
    assert SECRETS_STRATEGY.selectable_fields(stored) == {"type": "example.com/mine"}


def test_immutable_secrets():
    stored = created(SECRETS_STRATEGY, a_secret(stringData={"a": "1"}, immutable=True))
    assert update_refusals(SECRETS_STRATEGY, a_secret(stringData={"a": "2"}, immutable=True), stored) == [
        f"data: {IMMUTABLE}"
    ]


def test_service_accounts_have_good_names():
    assert refusals(SERVICEACCOUNTS_STRATEGY, {"metadata": a_meta("builder")}) == []
    assert refusals(SERVICEACCOUNTS_STRATEGY, {"metadata": a_meta("")}) == [
        "metadata.name: Required value: name or generateName is required"
    ]
