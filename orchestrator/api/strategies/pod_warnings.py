"""What to tell the author of a pod or template though it is accepted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from orchestrator.api import quantities
from orchestrator.api.memo import memo
from orchestrator.api.support.gaps import gap_warnings

_DEPRECATED_LABELS = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
}
_DEPRECATED_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": 'non-functional in v1.16+; use the "priorityClassName" field instead',
    "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
    "security.alpha.kubernetes.io/unsafe-sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
}
_DEPRECATED_VOLUMES = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "deprecated in v1.11, and disabled by default in v1.33+",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}
_BYTES = ("memory", "ephemeral-storage")
_KINDS = ("initContainers", "containers", "ephemeralContainers")
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_NULL_SELECTOR = "a null labelSelector results in matching no pod"


def pod_warnings(spec: Mapping[str, Any], meta: Mapping[str, Any], path: str) -> list[str]:
    """The warnings for a pod (`path` empty) or a template (`path` is `spec.template`)."""
    prefix = f"{path}." if path else ""
    at = f"{prefix}spec"
    warnings: list[str] = []
    for key in spec.get("nodeSelector") or ():
        if words := _DEPRECATED_LABELS.get(key):
            warnings.append(f"{at}.nodeSelector[{key}]: {words}")
    if affinity := spec.get("affinity"):
        warnings += _affinity(affinity, f"{at}.affinity")
    for index, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        field, key = f"{at}.topologySpreadConstraints[{index}]", constraint.get("topologyKey", "")
        if words := _DEPRECATED_LABELS.get(key):
            warnings.append(f"{field}.topologyKey: {key} is {words}")
        if constraint.get("labelSelector") is None:
            warnings.append(f"{field}.labelSelector: {_NULL_SELECTOR}")
    for key in meta.get("annotations") or ():
        if words := _DEPRECATED_ANNOTATIONS.get(key):
            warnings.append(f"{prefix}metadata.annotations[{key}]: {words}")
    for index, volume in enumerate(spec.get("volumes") or ()):
        warnings += [
            f"{at}.volumes[{index}].{kind}: {_DEPRECATED_VOLUMES[kind]}"
            for kind in volume
            if kind in _DEPRECATED_VOLUMES
        ]
    if aliases := spec.get("hostAliases"):
        warnings += _repeated(aliases, "ip", f"{at}.hostAliases")
    if secrets := spec.get("imagePullSecrets"):
        field = f"{at}.imagePullSecrets"
        warnings += _repeated(secrets, "name", field)
        warnings += [
            f'{field}[{i}].name: invalid empty name ""' for i, one in enumerate(secrets) if not one.get("name")
        ]
    ports = 0
    for container, field in _containers(spec, at):
        warnings += _container(container, field)
        ports += len(container.get("ports") or ())
    if ports > 1:
        warnings += _ports(spec, at)
    grace_s = spec.get("terminationGracePeriodSeconds")
    if grace_s is not None and grace_s < 0:
        words = "must be >= 0; negative values are invalid and will be treated as 1"
        warnings.append(f"{at}.terminationGracePeriodSeconds: {words}")
    return warnings + gap_warnings("v1.PodSpec", spec, at)


def _containers(spec: Mapping[str, Any], at: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    for kind in _KINDS:
        for index, container in enumerate(spec.get(kind) or ()):
            yield container, f"{at}.{kind}[{index}]"


def _affinity(affinity: Mapping[str, Any], path: str) -> list[str]:
    warnings: list[str] = []
    nodes = affinity.get("nodeAffinity") or {}
    terms = [
        (term, f"{path}.nodeAffinity.{_REQUIRED}.nodeSelectorTerms[{index}]")
        for index, term in enumerate((nodes.get(_REQUIRED) or {}).get("nodeSelectorTerms") or ())
    ]
    terms += [
        (term.get("preference") or {}, f"{path}.nodeAffinity.{_PREFERRED}[{index}].preference")
        for index, term in enumerate(nodes.get(_PREFERRED) or ())
    ]
    for term, field in terms:
        for index, requirement in enumerate(term.get("matchExpressions") or ()):
            key = requirement.get("key", "")
            if words := _DEPRECATED_LABELS.get(key):
                warnings.append(f"{field}.matchExpressions[{index}].key: {key} is {words}")
    for kind in ("podAffinity", "podAntiAffinity"):
        pods = affinity.get(kind) or {}
        for index, term in enumerate(pods.get(_REQUIRED) or ()):
            if term.get("labelSelector") is None:
                warnings.append(f"{path}.{kind}.{_REQUIRED}[{index}].labelSelector: {_NULL_SELECTOR}")
        for index, term in enumerate(pods.get(_PREFERRED) or ()):
            if (term.get("podAffinityTerm") or {}).get("labelSelector") is None:
                field = f"{path}.{kind}.{_PREFERRED}[{index}].podAffinityTerm.labelSelector"
                warnings.append(f"{field}: {_NULL_SELECTOR}")
    return warnings


def _repeated(items: Sequence[Mapping[str, Any]], key: str, path: str) -> list[str]:
    warnings: list[str] = []
    seen: set[str] = set()
    for index, item in enumerate(items):
        value = item.get(key, "")
        if value in seen:
            warnings.append(f"{path}[{index}].{key}: duplicate {key} {json.dumps(value)}")
        seen.add(value)
    return warnings


def _container(container: Mapping[str, Any], path: str) -> list[str]:
    warnings: list[str] = []
    for kind, amounts in (container.get("resources") or {}).items():
        for name in _BYTES if kind != "claims" else ():
            if (value := amounts.get(name)) is not None and _is_fractional(value):
                words = f"fractional byte value {json.dumps(str(value))} is invalid, must be an integer"
                warnings.append(f"{path}.resources.{kind}[{name}]: {words}")
    return warnings + _env(container.get("env") or (), f"{path}.env")


def _env(variables: Sequence[Mapping[str, Any]], path: str) -> list[str]:
    warnings: list[str] = []
    if len({variable.get("name") for variable in variables}) == len(variables):
        return warnings
    seen: set[str] = set()
    for index, variable in enumerate(variables):
        name, value = variable.get("name", ""), variable.get("value", "")
        reference = f"$({name})"
        # Building on the previous value, as in PATH=$(PATH):/opt, is what a second definition is for.
        builds_on = "valueFrom" not in variable and value != reference and reference in value
        if name in seen and not builds_on:
            words = f"hides previous definition of {json.dumps(name)}, which may be dropped when using apply"
            warnings.append(f"{path}[{index}]: {words}")
        seen.add(name)
    return warnings


@memo(entries_max=1024)
def _is_fractional(value: str | int | float) -> bool:
    try:
        return quantities.parse(value).nano % 10**9 != 0
    except quantities.BadQuantity:
        return False


def _ports(spec: Mapping[str, Any], at: str) -> list[str]:
    warnings: list[str] = []
    groups: dict[tuple[int, str], _Ports] = {}
    for container, path in _containers(spec, at):
        for index, port in enumerate(container.get("ports") or ()):
            field = f"{path}.ports[{index}]"
            group = groups.setdefault((port.get("containerPort", 0), port.get("protocol", "")), _Ports())
            host_port, host_ip = port.get("hostPort", 0), port.get("hostIP", "")
            for there, where in group.clashing(host_port, host_ip):
                warnings.append(f"{field}: {_clash((host_port, host_ip), there)} with {where}")
                if len(warnings) == _CLASHES_MAX:
                    return warnings
            group.add(host_port, host_ip, field)
    return warnings


# More are told to nobody: the headers of an answer would not hold them.
_CLASHES_MAX = 100
_OnHost = tuple[int, str]  # host port and host address


class _Ports:
    """Ports of one number and protocol, found again by where they are on the host: comparing all is quadratic."""

    def __init__(self) -> None:
        self._all: list[tuple[_OnHost, str]] = []
        self._by_address: dict[_OnHost, list[int]] = {}
        self._with_address: dict[int, list[int]] = {}

    def add(self, host_port: int, host_ip: str, field: str) -> None:
        self._by_address.setdefault((host_port, host_ip), []).append(len(self._all))
        if host_ip or not host_port:
            self._with_address.setdefault(host_port, []).append(len(self._all))
        self._all.append(((host_port, host_ip), field))

    def clashing(self, host_port: int, host_ip: str) -> Sequence[tuple[_OnHost, str]]:
        """Those added before that a port there clashes with, in their order."""
        if not host_port:
            return self._all
        found = {*self._by_address.get((host_port, host_ip), ()), *self._with_address.get(0, ())}
        if host_ip:
            found.update(self._by_address.get((host_port, ""), ()))
        else:
            found.update(self._with_address.get(host_port, ()))
        return [self._all[at] for at in sorted(found)]


def _clash(one: _OnHost, other: _OnHost) -> str:
    if one == other:
        return "duplicate port definition"
    if not one[0] or not other[0]:
        return "overlapping port definition"
    return "dangerously ambiguous port definition"
