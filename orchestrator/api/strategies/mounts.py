"""What a container mounts: volumes as directories, volumes as block devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.api.problems import forbidden, invalid, not_found, not_supported, required
from orchestrator.api.strategies.rules import Problems, descending_path, no_backsteps

_PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")
_RECURSIVE = ("Disabled", "Enabled", "IfPossible")


def validate_mounts(container: Mapping[str, Any], volumes: Mapping[str, Any], path: str) -> Problems:
    """The rules of `volumeMounts` and `volumeDevices`; `volumes` are the pod's valid ones by name."""
    problems: Problems = []
    mounts = container.get("volumeMounts") or ()
    devices = container.get("volumeDevices") or ()
    seen: set[str] = set()
    for index, mount in enumerate(mounts):
        name, where = mount.get("name", ""), mount.get("mountPath", "")
        if not name or not where or where in seen or name not in volumes or len(mount) > 2:
            problems += _mount(mount, index, f"{path}.volumeMounts", volumes, seen, container)
        seen.add(where)
    if devices:
        problems += _overlaps_of_mounts(mounts, devices, f"{path}.volumeMounts")
        problems += _devices(devices, mounts, volumes, f"{path}.volumeDevices")
    return problems


def _mount(
    mount: Mapping[str, Any],
    index: int,
    path: str,
    volumes: Mapping[str, Any],
    seen: set[str],
    container: Mapping[str, Any],
) -> Problems:
    problems: Problems = []
    field = f"{path}[{index}]"
    name, where = mount.get("name", ""), mount.get("mountPath", "")
    if not name:
        problems.append(required(f"{field}.name"))
    if name not in volumes:
        problems.append(not_found(f"{field}.name", name))
    if not where:
        problems.append(required(f"{field}.mountPath"))
    if where in seen:
        problems.append(invalid(f"{field}.mountPath", where, "must be unique"))
    # Kubernetes reports these on the list, not on the item.
    if sub_path := mount.get("subPath"):
        problems += descending_path(f"{path}.subPath", sub_path)
    if expression := mount.get("subPathExpr"):
        if sub_path:
            words = "subPathExpr and subPath are mutually exclusive"
            problems.append(invalid(f"{field}.subPathExpr", expression, words))
        problems += descending_path(f"{path}.subPathExpr", expression)
    if (propagation := mount.get("mountPropagation")) is not None:
        problems += _propagation(propagation, f"{path}.mountPropagation", container)
    if (recursive := mount.get("recursiveReadOnly")) is not None:
        problems += _recursive_read_only(recursive, mount, f"{path}.recursiveReadOnly")
    return problems


def _propagation(propagation: str, field: str, container: Mapping[str, Any]) -> Problems:
    if propagation not in _PROPAGATIONS:
        return [not_supported(field, propagation, _PROPAGATIONS)]
    if propagation == "Bidirectional" and not (container.get("securityContext") or {}).get("privileged"):
        words = "Bidirectional mount propagation is available only to privileged containers"
        return [forbidden(field, words)]
    return []


def _recursive_read_only(recursive: str, mount: Mapping[str, Any], field: str) -> Problems:
    if recursive not in _RECURSIVE:
        return [not_supported(field, recursive, _RECURSIVE)]
    problems: Problems = []
    if recursive != "Disabled":
        if not mount.get("readOnly"):
            problems.append(forbidden(field, "may only be specified when readOnly is true"))
        if mount.get("mountPropagation") not in (None, "None"):
            words = "may only be specified when mountPropagation is None or not specified"
            problems.append(forbidden(field, words))
    return problems


def _overlaps_of_mounts(
    mounts: Sequence[Mapping[str, Any]], devices: Sequence[Mapping[str, Any]], path: str
) -> Problems:
    names = {device.get("name") for device in devices}
    paths = {device.get("devicePath") for device in devices}
    problems: Problems = []
    for index, mount in enumerate(mounts):
        name, where = mount.get("name"), mount.get("mountPath")
        if name in names:
            problems.append(invalid(f"{path}[{index}].name", name, "must not already exist in volumeDevices"))
        if where in paths:
            words = "must not already exist as a path in volumeDevices"
            problems.append(invalid(f"{path}[{index}].mountPath", where, words))
    return problems


def _devices(
    devices: Sequence[Mapping[str, Any]],
    mounts: Sequence[Mapping[str, Any]],
    volumes: Mapping[str, Any],
    path: str,
) -> Problems:
    problems: Problems = []
    names: set[str] = set()
    paths: set[str] = set()
    mounted = {mount.get("name") for mount in mounts}
    mount_paths = {mount.get("mountPath") for mount in mounts}
    for index, device in enumerate(devices):
        field, name, where = f"{path}[{index}]", device.get("name", ""), device.get("devicePath", "")
        if not name:
            problems.append(required(f"{field}.name"))
        if name in names:
            problems.append(invalid(f"{field}.name", name, "must be unique"))
        if name not in volumes:
            problems.append(not_found(f"{field}.name", name))
        elif "persistentVolumeClaim" not in volumes[name] and "ephemeral" not in volumes[name]:
            words = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            problems.append(invalid(f"{field}.name", name, words))
        if not where:
            problems.append(required(f"{field}.devicePath"))
        if where in paths:
            problems.append(invalid(f"{field}.devicePath", where, "must be unique"))
        if no_backsteps(field, where):
            problems.append(invalid(f"{field}.devicePath", where, "can not contain backsteps ('..')"))
        else:
            paths.add(where)
        if name in mounted:
            problems.append(invalid(f"{field}.name", name, "must not already exist in volumeMounts"))
        if where in mount_paths:
            words = "must not already exist as a path in volumeMounts"
            problems.append(invalid(f"{field}.devicePath", where, words))
        names.add(name)
    return problems
