"""What may change in a pod once it exists: images, the deadline, tolerations, gates; and how its status may move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.api import names
from orchestrator.api.objects import Object
from orchestrator.api.problems import duplicate, forbidden, invalid, required
from orchestrator.api.strategies.qos import qos_class
from orchestrator.api.strategies.rules import (
    INT32_MAX,
    Problems,
    each,
    ip_address,
    is_subdomain,
    parse_ip,
    qualified_name,
    repeated,
)

_UPDATABLE = (
    "`spec.containers[*].image`",
    "`spec.initContainers[*].image`",
    "`spec.activeDeadlineSeconds`",
    "`spec.tolerations` (only additions to existing tolerations)",
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
)
_MIRROR = "kubernetes.io/config.mirror"
_SYSTEM_CONDITIONS = frozenset({"PodScheduled", "Ready", "Initialized"})


def validate_pod_change(new: Object, old: Object) -> Problems:
    """Which changes of spec and annotations are refused. Stops early where Kubernetes does."""
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    problems = validate_annotation_change(new, old)
    if spec == before:
        return problems
    for kind in ("containers", "initContainers"):
        containers, existing = spec.get(kind) or (), before.get(kind) or ()
        if len(containers) != len(existing):
            return [*problems, forbidden(f"spec.{kind}", "pod updates may not add or remove containers")]
        for index, container in enumerate(containers):
            if not container.get("image"):
                problems.append(required(f"spec.{kind}[{index}].image"))
    faults, stop = _deadline(spec.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds"))
    problems += faults
    if stop:
        return problems
    problems += _tolerations(spec.get("tolerations") or (), before.get("tolerations") or ())
    problems += _gates(spec.get("schedulingGates") or (), before.get("schedulingGates") or ())
    if qos_class(spec) != qos_class(before):
        current = (new.get("status") or {}).get("qosClass", "")
        problems.append(invalid("metadata", current, "Pod QoS is immutable"))
    changed = _changed_fields(spec, before)
    if changed:
        # Kubernetes prints a Go diff here; the names of the fields say as much.
        words = f"pod updates may not change fields other than {','.join(_UPDATABLE)}\nchanged: {', '.join(changed)}"
        problems.append(forbidden("spec", words))
    return problems


def validate_annotation_change(new: Object, old: Object) -> Problems:
    """A static pod's mirror stays one, and nothing else becomes one."""
    mirror = ((new.get("metadata") or {}).get("annotations") or {}).get(_MIRROR)
    was = ((old.get("metadata") or {}).get("annotations") or {}).get(_MIRROR)
    if mirror == was:
        return []
    verb = "add" if was is None else "remove or update"
    return [forbidden(f"metadata.annotations[{_MIRROR}]", f"may not {verb} mirror pod annotation")]


def _changed_fields(spec: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    gated = bool(before.get("schedulingGates"))
    changed: list[str] = []
    for name in sorted(spec.keys() | before.keys()):
        value, was = spec.get(name), before.get(name)
        if value == was or (not value and not was and not isinstance(value, (int, str))):
            continue
        match name:
            case "activeDeadlineSeconds" | "tolerations" | "schedulingGates":
                continue
            case "containers" | "initContainers":
                changed += _changed_containers(name, value or (), was or ())
            case "terminationGracePeriodSeconds" if was is not None and was < 0 and value == 1:
                continue
            case "nodeSelector" if gated and (was or {}).items() <= (value or {}).items():
                continue
            case _:
                changed.append(f"spec.{name}")
    return changed


def _changed_containers(kind: str, new: Sequence[Object], old: Sequence[Object]) -> list[str]:
    changed: list[str] = []
    for index, (container, was) in enumerate(zip(new, old, strict=True)):
        for name in sorted(container.keys() | was.keys()):
            if name != "image" and container.get(name) != was.get(name) and (container.get(name) or was.get(name)):
                changed.append(f"spec.{kind}[{index}].{name}")
    return changed


def _deadline(new: int | None, old: int | None) -> tuple[Problems, bool]:
    field = "spec.activeDeadlineSeconds"
    if new is None:
        if old is None:
            return [], False
        return [invalid(field, None, "must not update from a positive integer to nil value")], False
    if not 0 <= new <= INT32_MAX:
        return [invalid(field, new, names.range_message(0, INT32_MAX))], True
    if old is not None and old < new:
        return [invalid(field, new, "must be less than or equal to previous value")], True
    return [], False


def _tolerations(new: Sequence[Object], old: Sequence[Object]) -> Problems:
    present = [_without_seconds(toleration) for toleration in new]
    if all(_without_seconds(toleration) in present for toleration in old):
        return []
    words = "existing toleration can not be modified except its tolerationSeconds"
    return [forbidden("spec.tolerations", words)]


def _without_seconds(toleration: Object) -> Object:
    return {name: value for name, value in toleration.items() if name != "tolerationSeconds"}


def _gates(new: Sequence[Object], old: Sequence[Object]) -> Problems:
    existing = {gate.get("name") for gate in old}
    return [
        forbidden(
            f"spec.schedulingGates[{index}].name",
            f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'",
        )
        for index, gate in enumerate(new)
        if gate.get("name") not in existing
    ]


def validate_ephemeral_containers_change(new: Object, old: Object) -> Problems:
    """For the `ephemeralcontainers` subresource: containers may be added, never changed or removed."""
    by_name = {c.get("name"): c for c in (new.get("spec") or {}).get("ephemeralContainers") or ()}
    problems: Problems = []
    for container in (old.get("spec") or {}).get("ephemeralContainers") or ():
        name = container.get("name")
        if name not in by_name:
            words = f'existing ephemeral containers "{name}" may not be removed\n'
            problems.append(forbidden("spec.ephemeralContainers", words))
        elif by_name[name] != container:
            words = f'existing ephemeral containers "{name}" may not be changed\n'
            problems.append(forbidden("spec.ephemeralContainers", words))
    return problems


def validate_pod_status(new: Object, old: Object) -> Problems:
    """The rules of a pod's new status against the one before."""
    spec, status, before = old.get("spec") or {}, new.get("status") or {}, old.get("status") or {}
    problems: Problems = []
    for index, condition in enumerate(status.get("conditions") or ()):
        if (kind := condition.get("type", "")) not in _SYSTEM_CONDITIONS:
            problems += qualified_name(f"metadata.conditions[{index}].Type", kind)
    nominated = status.get("nominatedNodeName")
    if nominated and nominated != before.get("nominatedNodeName"):
        problems += each("status.nominatedNodeName", nominated, is_subdomain(nominated))
    policy = spec.get("restartPolicy", "Always")
    sidecars = {c.get("name") for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"}
    for kind, restart, spared in (
        ("containerStatuses", policy, _restarting(spec)),
        ("initContainerStatuses", policy, sidecars),
        ("ephemeralContainerStatuses", "Never", set[str | None]()),
    ):
        problems += _container_states(status.get(kind) or (), before.get(kind) or (), f"status.{kind}", restart, spared)
    problems += _pod_ips(status.get("podIPs") or ())
    return problems + _host_ips(status)


def _restarting(spec: Mapping[str, Any]) -> set[str | None]:
    """Containers whose own restart policy lets them leave the terminated state."""
    return {
        c.get("name") for c in spec.get("containers") or () if c.get("restartPolicy") or c.get("restartPolicyRules")
    }


def _container_states(
    new: Sequence[Object], old: Sequence[Object], path: str, restart_policy: str, spared: set[str | None]
) -> Problems:
    if restart_policy == "Always":
        return []
    by_name = {status.get("name"): status for status in new}
    problems: Problems = []
    for index, status in enumerate(old):
        terminated = (status.get("state") or {}).get("terminated")
        name = status.get("name")
        if terminated is None or name in spared or name not in by_name:
            continue
        if terminated.get("exitCode", 0) != 0 and restart_policy == "OnFailure":
            continue
        if (by_name[name].get("state") or {}).get("terminated") is None:
            words = "may not be transitioned to non-terminated state"
            problems.append(forbidden(f"{path}[{index}].state", words))
    return problems


def _pod_ips(addresses: Sequence[Object]) -> Problems:
    return _addresses([address.get("ip", "") for address in addresses], "status.podIPs", addresses)


def _host_ips(status: Mapping[str, Any]) -> Problems:
    addresses = status.get("hostIPs") or ()
    if not addresses:
        return []
    values = [address.get("ip", "") for address in addresses]
    problems: Problems = []
    if values[0] != status.get("hostIP", ""):
        problems.append(invalid("status.hostIPs[0].ip", values[0], "must be equal to `hostIP`"))
    return problems + _addresses(values, "status.hostIPs", addresses)


def _addresses(values: Sequence[str], path: str, shown: Sequence[Object]) -> Problems:
    problems: Problems = []
    for index, value in enumerate(values):
        problems += ip_address(f"{path}[{index}]", value)
    if problems or len(values) < 2:
        return problems
    families = {address.version for value in values if (address := parse_ip(value)) is not None}
    if len(families) < 2 or len(values) > 2:
        problems.append(invalid(path, shown, "may specify no more than one IP for each IP family"))
    return problems + [duplicate(f"{path}[{index}]", shown[index]) for index in repeated(values)]
