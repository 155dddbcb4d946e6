"""Environment variables of containers: names, and the references their values come from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.api import names
from orchestrator.api.problems import invalid, not_supported, required
from orchestrator.api.strategies.rules import Problems, each, is_subdomain, projected_path, qualified_name

_is_plain_name = re.compile(r"[A-Za-z_][A-Za-z0-9_]*").fullmatch
_SUBSCRIPT = re.compile(r"(metadata\.\w+)\['(.*)'\]")

ENV_FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
VOLUME_FIELDS = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
# What a field path may name at all; which of them fit depends on where it is used.
_KNOWN_FIELDS = frozenset({*ENV_FIELDS, *VOLUME_FIELDS, "spec.restartPolicy", "status.phase"})
_RESOURCES = (
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
)
_HUGE_PAGES = ("limits.hugepages-", "requests.hugepages-")
_BYTE_DIVISORS = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
_DIVISORS = {
    "cpu": ("1m", "1"),
    "memory": _BYTE_DIVISORS,
    "ephemeral-storage": _BYTE_DIVISORS,
    "hugepages": _BYTE_DIVISORS,
}
_DIVISOR_WORDS = {"ephemeral-storage": "local ephemeral storage"}
_SOURCES = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"


def validate_env(variables: Sequence[Mapping[str, Any]], path: str) -> Problems:
    """The rules of a container's `env`."""
    problems: Problems = []
    for index, variable in enumerate(variables):
        name = variable.get("name", "")
        if not _is_plain_name(name):
            field = f"{path}[{index}].name"
            problems += each(field, name, names.is_relaxed_env_var_name(name)) if name else [required(field)]
        if (source := variable.get("valueFrom")) is not None:
            problems += _value_from(source, variable.get("value", ""), f"{path}[{index}].valueFrom")
    return problems


def validate_env_from(sources: Sequence[Mapping[str, Any]], path: str) -> Problems:
    """The rules of a container's `envFrom`."""
    problems: Problems = []
    for index, source in enumerate(sources):
        field = f"{path}[{index}]"
        if prefix := source.get("prefix"):
            problems += each(f"{field}.prefix", prefix, names.is_relaxed_env_var_name(prefix))
        given = [kind for kind in ("configMapRef", "secretRef") if source.get(kind) is not None]
        for kind in given:
            name = source[kind].get("name")
            problems += _reference(f"{field}.{kind}.name", name) if name else [required(f"{field}.{kind}.name")]
        if not given:
            problems.append(invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"))
        elif len(given) > 1:
            problems.append(invalid(path, "", "may not have more than one field specified at a time"))
    return problems


def validate_field_ref(source: Mapping[str, Any], allowed: Sequence[str], path: str) -> Problems:
    """The rules of a `fieldRef`; `allowed` are the fields that fit where it is used."""
    if not source.get("apiVersion"):
        return [required(f"{path}.apiVersion")]
    field_path = source.get("fieldPath")
    if not field_path:
        return [required(f"{path}.fieldPath")]
    if field_path in allowed:
        return []
    field = f"{path}.fieldPath"
    if source["apiVersion"] != "v1":
        version = source["apiVersion"]
        return [invalid(field, field_path, f"error converting fieldPath: unsupported pod version: {version}")]
    if subscripted := _SUBSCRIPT.fullmatch(field_path):
        parent, key = subscripted.groups()
        match parent:
            case "metadata.annotations":
                return qualified_name(path, key.lower())
            case "metadata.labels":
                return qualified_name(path, key)
        return [invalid(path, parent, "does not support subscript")]
    if field_path not in _KNOWN_FIELDS:
        words = f"error converting fieldPath: field label not supported: {field_path}"
        return [invalid(field, field_path, words)]
    return [not_supported(field, field_path, allowed)]


def validate_resource_ref(source: Mapping[str, Any], path: str, *, in_volume: bool) -> Problems:
    """The rules of a `resourceFieldRef`; a volume has to say whose resource it means."""
    problems: Problems = []
    name = source.get("resource", "")
    if in_volume and not source.get("containerName"):
        problems.append(required(f"{path}.containerName"))
    elif not name:
        problems.append(required(f"{path}.resource"))
    elif name not in _RESOURCES and not name.startswith(_HUGE_PAGES):
        problems.append(not_supported(f"{path}.resource", name, _RESOURCES))
    divisor = str(source.get("divisor", "0"))
    kind = name.partition(".")[2].partition("-")[0] if name.startswith(_HUGE_PAGES) else name.partition(".")[2]
    allowed = _DIVISORS.get(kind)
    if divisor != "0" and allowed and divisor not in allowed:
        listed = "1m and 1" if kind == "cpu" else ", ".join(allowed)
        words = f"only divisor's values {listed} are supported with the {_DIVISOR_WORDS.get(kind, kind)} resource"
        problems.append(invalid(f"{path}.divisor", name, words))
    return problems


def _value_from(source: Mapping[str, Any], value: str, path: str) -> Problems:
    problems: Problems = []
    given = [kind for kind, reference in source.items() if reference is not None]
    for kind in given:
        reference, field = source[kind], f"{path}.{kind}"
        match kind:
            case "fieldRef":
                problems += validate_field_ref(reference, ENV_FIELDS, field)
            case "resourceFieldRef":
                problems += validate_resource_ref(reference, field, in_volume=False)
            case "configMapKeyRef" | "secretKeyRef":
                problems += _key_ref(reference, field)
            case "fileKeyRef":
                problems += _file_ref(reference, field)
    if not given:
        problems.append(invalid(path, "", f"must specify one of: {_SOURCES}"))
    elif value:
        problems.append(invalid(path, "", "may not be specified when `value` is not empty"))
    elif len(given) > 1:
        problems.append(invalid(path, "", "may not have more than one field specified at a time"))
    return problems


def _reference(field: str, name: str) -> Problems:
    return each(field, name, is_subdomain(name))


def _key_ref(reference: Mapping[str, Any], path: str) -> Problems:
    problems = _reference(f"{path}.name", reference.get("name", ""))
    key = reference.get("key")
    problems += each(f"{path}.key", key, names.is_config_map_key(key)) if key else [required(f"{path}.key")]
    return problems


def _file_ref(reference: Mapping[str, Any], path: str) -> Problems:
    problems: Problems = []
    key = reference.get("key")
    problems += each(f"{path}.key", key, names.is_relaxed_env_var_name(key)) if key else [required(f"{path}.key")]
    if not reference.get("volumeName"):
        problems.append(required(f"{path}.volumeName"))
    file = reference.get("path")
    problems += projected_path(f"{path}.path", file) if file else [required(f"{path}.path")]
    return problems
