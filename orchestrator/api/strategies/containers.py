"""Containers of pods: the regular ones, those that run first, and those added for debugging."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.api.problems import duplicate, forbidden, invalid, not_found, required
from orchestrator.api.strategies.environment import validate_env, validate_env_from
from orchestrator.api.strategies.mounts import validate_mounts
from orchestrator.api.strategies.probes import validate_probes
from orchestrator.api.strategies.requirements import validate_requirements
from orchestrator.api.strategies.rules import PROTOCOLS, Problems, is_label, label, one_of, port_name, port_number
from orchestrator.api.strategies.security_context import validate_container_security

_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_MESSAGE_POLICIES = ("File", "FallbackToLogsOnError")
_RESTART_POLICIES = ("Always", "Never", "OnFailure")
_EPHEMERAL_FORBIDDEN = (
    "ports",
    "resources",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
    "resizePolicy",
    "restartPolicy",
)
_SIDECARS_ONLY = ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the rules of a container need to know of its pod."""

    volumes: Mapping[str, Any]
    grace_s: int | None = None
    restart_policy: str = "Always"
    host_users: bool = True
    is_pod: bool = True
    claims: Collection[str] = field(default=())


def validate_containers(containers: Sequence[Mapping[str, Any]], path: str, pod: Surroundings) -> Problems:
    """The rules of the regular containers."""
    if not containers:
        return [required(path)]
    problems: Problems = []
    seen: set[str] = set()
    host_ports: set[str] = set()
    for index, container in enumerate(containers):
        at = f"{path}[{index}]"
        problems += _container(container, at, pod)
        name = container.get("name", "")
        if name in seen:
            problems.append(duplicate(f"{at}.name", name))
        seen.add(name)
        problems += validate_probes(container, at, pod.grace_s)
        if (policy := container.get("restartPolicy")) is not None:
            problems += one_of(f"{at}.restartPolicy", policy, _RESTART_POLICIES)
        if ports := container.get("ports"):
            problems += _host_ports(ports, f"{at}.ports", host_ports)
    return problems


def validate_init_containers(
    containers: Sequence[Mapping[str, Any]], regular: Sequence[Mapping[str, Any]], path: str, pod: Surroundings
) -> Problems:
    """The rules of the containers that run first; those that restart always are sidecars and may have probes."""
    problems: Problems = []
    seen = {container.get("name", "") for container in regular}
    for index, container in enumerate(containers):
        at = f"{path}[{index}]"
        problems += _container(container, at, pod)
        name = container.get("name", "")
        if name in seen:
            problems.append(duplicate(f"{at}.name", name))
        elif name:
            seen.add(name)
        policy = container.get("restartPolicy")
        if policy is not None:
            problems += one_of(f"{at}.restartPolicy", policy, _RESTART_POLICIES)
        # They run one by one, so only ports within one of them can collide.
        problems += _host_ports(container.get("ports") or (), f"{at}.ports", set())
        if policy == "Always":
            problems += validate_probes(container, at, pod.grace_s)
            continue
        words = "may not be set for init containers without restartPolicy=Always"
        problems += [forbidden(f"{at}.{name}", words) for name in _SIDECARS_ONLY if container.get(name) is not None]
        if resize := container.get("resizePolicy"):
            words = "must not be set for init containers without restartPolicy=Always"
            problems.append(invalid(f"{at}.resizePolicy", resize, words))
    return problems


def validate_ephemeral_containers(spec: Mapping[str, Any], path: str, pod: Surroundings) -> Problems:
    """The rules of the containers added for debugging: no ports, no probes, no resources, a name of their own."""
    problems: Problems = []
    words = "cannot be set for an Ephemeral Container"
    others = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    targets = {container.get("name", "") for container in others}
    seen = set(targets)
    for index, container in enumerate(spec.get("ephemeralContainers") or ()):
        at = f"{path}[{index}]"
        problems += _container(container, at, pod)
        name = container.get("name", "")
        if name in seen:
            problems.append(duplicate(f"{at}.name", name))
        seen.add(name)
        target = container.get("targetContainerName")
        if target and target not in targets:
            problems.append(not_found(f"{at}.targetContainerName", target))
        problems += [forbidden(f"{at}.{name}", words) for name in _EPHEMERAL_FORBIDDEN if container.get(name)]
        for position, mount in enumerate(container.get("volumeMounts") or ()):
            problems += [
                forbidden(f"{at}.volumeMounts[{position}].{name}", words)
                for name in ("subPath", "subPathExpr")
                if mount.get(name)
            ]
    return problems


def _container(container: Mapping[str, Any], path: str, pod: Surroundings) -> Problems:
    """What all three sorts of containers share."""
    problems: Problems = []
    get = container.get
    name = get("name", "")
    if not name:
        problems.append(required(f"{path}.name"))
    elif is_label(name):
        problems += label(f"{path}.name", name)
    image = get("image", "")
    if not image:
        problems.append(required(f"{path}.image"))
    elif pod.is_pod and image != image.strip():
        problems.append(invalid(f"{path}.image", image, "must not have leading or trailing whitespace"))
    if get("terminationMessagePolicy") not in _MESSAGE_POLICIES:
        problems += one_of(f"{path}.terminationMessagePolicy", get("terminationMessagePolicy"), _MESSAGE_POLICIES)
    if ports := get("ports"):
        problems += _ports(ports, f"{path}.ports")
    if env := get("env"):
        problems += validate_env(env, f"{path}.env")
    if env_from := get("envFrom"):
        problems += validate_env_from(env_from, f"{path}.envFrom")
    if get("volumeMounts") or get("volumeDevices"):
        problems += validate_mounts(container, pod.volumes, path)
    if get("imagePullPolicy") not in _PULL_POLICIES:
        problems += one_of(f"{path}.imagePullPolicy", get("imagePullPolicy"), _PULL_POLICIES)
    if resources := get("resources"):
        problems += validate_requirements(resources, f"{path}.resources", pod.claims)
    if resize := get("resizePolicy"):
        problems += _resize(resize, f"{path}.resizePolicy", pod.restart_policy)
    if context := get("securityContext"):
        problems += validate_container_security(context, f"{path}.securityContext", host_users=pod.host_users)
    return problems


def _ports(ports: Sequence[Mapping[str, Any]], path: str) -> Problems:
    problems: Problems = []
    seen: set[str] = set()
    for index, port in enumerate(ports):
        if name := port.get("name"):
            if faults := port_name(f"{path}[{index}].name", name):
                problems += faults
            elif name in seen:
                problems.append(duplicate(f"{path}[{index}].name", name))
            seen.add(name)
        number = port.get("containerPort", 0)
        if not number:
            problems.append(required(f"{path}[{index}].containerPort"))
        elif not 0 < number < 65536:
            problems += port_number(f"{path}[{index}].containerPort", number)
        if host_port := port.get("hostPort"):
            problems += port_number(f"{path}[{index}].hostPort", host_port)
        if port.get("protocol") not in PROTOCOLS:
            problems += one_of(f"{path}[{index}].protocol", port.get("protocol"), PROTOCOLS)
    return problems


def _host_ports(ports: Sequence[Mapping[str, Any]], path: str, taken: set[str]) -> Problems:
    problems: Problems = []
    for index, port in enumerate(ports):
        if not (number := port.get("hostPort")):
            continue
        key = f"{port.get('protocol', '')}/{port.get('hostIP', '')}/{number}"
        if key in taken:
            problems.append(duplicate(f"{path}[{index}].hostPort", key))
        taken.add(key)
    return problems


def _resize(policies: Sequence[Mapping[str, Any]], path: str, restart_policy: str) -> Problems:
    problems: Problems = []
    seen: set[str] = set()
    for index, policy in enumerate(policies):
        name, action = policy.get("resourceName", ""), policy.get("restartPolicy", "")
        if name in seen:
            problems.append(duplicate(f"{path}[{index}]", name))
        seen.add(name)
        problems += one_of(path, name, ("cpu", "memory"))
        problems += one_of(path, action, ("NotRequired", "RestartContainer"))
        if restart_policy == "Never" and action != "NotRequired":
            words = "must be 'NotRequired' when `restartPolicy` is 'Never'"
            problems.append(invalid(path, action, words))
    return problems


def validate_host_network_ports(containers: Sequence[Mapping[str, Any]], path: str, *, is_pod: bool) -> Problems:
    """On the host's network a host port is the container's port; a template may leave it open."""
    problems: Problems = []
    words = "must match `containerPort` when `hostNetwork` is true"
    for i, container in enumerate(containers):
        for j, port in enumerate(container.get("ports") or ()):
            host_port = port.get("hostPort", 0)
            if (is_pod or host_port) and host_port != port.get("containerPort", 0):
                problems.append(invalid(f"{path}[{i}].ports[{j}].hostPort", host_port, words))
    return problems
