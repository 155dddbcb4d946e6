"""Security contexts of pods and containers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.api.problems import duplicate, forbidden, invalid, not_supported, required, too_long
from orchestrator.api.strategies.rules import Problems, descending_path, supported_if_set, user_or_group_id

_PROFILE_TYPES = ("Localhost", "RuntimeDefault", "Unconfined")
_PROFILE_PATH_MAX = 4095  # PATH_MAX without its end
_SYSCTL_LENGTH_MAX = 253
_SYSCTL = r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
_is_sysctl = re.compile(_SYSCTL).match
_IPC_SYSCTLS = ("kernel.shm", "kernel.msg", "fs.mqueue.")


def validate_container_security(context: Mapping[str, Any], path: str, *, host_users: bool) -> Problems:
    """The rules of a container's `securityContext`."""
    problems = user_or_group_id(f"{path}.runAsUser", context.get("runAsUser"))
    problems += user_or_group_id(f"{path}.runAsGroup", context.get("runAsGroup"))
    if (proc := context.get("procMount")) is not None:
        problems += supported_if_set(f"{path}.procMount", proc, ("Default", "Unmasked"))
        if host_users and proc == "Unmasked":
            problems.append(invalid(f"{path}.procMount", proc, "`hostUsers` must be false to use `Unmasked`"))
    problems += _profiles(context, path)
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            words = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            problems.append(invalid(path, context, words))
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            words = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            problems.append(invalid(path, context, words))
    return problems


def validate_pod_security(context: Mapping[str, Any], spec: Mapping[str, Any], spec_path: str) -> Problems:
    """The rules of a pod's `securityContext`, with the host namespaces beside it."""
    path = f"{spec_path}.securityContext"
    problems: Problems = []
    for name in ("fsGroup", "runAsUser", "runAsGroup"):
        problems += user_or_group_id(f"{path}.{name}", context.get(name))
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        problems += user_or_group_id(f"{path}.supplementalGroups[{index}]", group)
    if sysctls := context.get("sysctls"):
        problems += _sysctls(sysctls, spec, f"{path}.sysctls")
    policy = context.get("fsGroupChangePolicy")
    problems += supported_if_set(f"{path}.fsGroupChangePolicy", policy, ("Always", "OnRootMismatch"))
    problems += _profiles(context, path)
    policy = context.get("supplementalGroupsPolicy")
    return problems + supported_if_set(f"{path}.supplementalGroupsPolicy", policy, ("Merge", "Strict"))


def validate_host_namespaces(spec: Mapping[str, Any], path: str) -> Problems:
    """Which of the host's namespaces a pod may combine."""
    problems: Problems = []
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        field, words = f"{path}.shareProcessNamespace", "ShareProcessNamespace and HostPID cannot both be enabled"
        problems.append(invalid(field, True, words))
    if spec.get("hostUsers") is False:
        words = "when `pod.Spec.HostUsers` is false"
        # The capitals are Kubernetes' own.
        fields = (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC"))
        problems += [forbidden(f"{path}.{shown}", words) for name, shown in fields if spec.get(name)]
    return problems


def _profiles(context: Mapping[str, Any], path: str) -> Problems:
    problems: Problems = []
    if seccomp := context.get("seccompProfile"):
        problems += _seccomp(seccomp, f"{path}.seccompProfile")
    if armor := context.get("appArmorProfile"):
        problems += _app_armor(armor, f"{path}.appArmorProfile")
    return problems


def _seccomp(profile: Mapping[str, Any], path: str) -> Problems:
    problems: Problems = []
    kind, local = profile.get("type", ""), profile.get("localhostProfile")
    if not kind:
        problems.append(required(f"{path}.type", "type is required when seccompProfile is set"))
    elif kind not in _PROFILE_TYPES:
        problems.append(not_supported(f"{path}.type", kind, _PROFILE_TYPES))
    field = f"{path}.localhostProfile"
    if kind == "Localhost":
        if local is None:
            problems.append(required(field, "must be set when seccomp type is Localhost"))
        else:
            problems += descending_path(field, local)
    elif local is not None:
        problems.append(invalid(field, profile, "can only be set when seccomp type is Localhost"))
    return problems


def _app_armor(profile: Mapping[str, Any], path: str) -> Problems:
    kind, local = profile.get("type", ""), profile.get("localhostProfile")
    field = f"{path}.localhostProfile"
    match kind:
        case "Localhost":
            if local is None or (not local):
                return [required(field, "must be set when AppArmor type is Localhost")]
            if local != local.strip():
                return [invalid(field, local, "must not be padded with whitespace")]
            return [too_long(field, _PROFILE_PATH_MAX)] if len(local.encode()) > _PROFILE_PATH_MAX else []
        case "RuntimeDefault" | "Unconfined":
            if local is None:
                return []
            return [invalid(field, local, "can only be set when AppArmor type is Localhost")]
        case "":
            return [required(f"{path}.type", "type is required when appArmorProfile is set")]
        case _:
            return [not_supported(f"{path}.type", kind, _PROFILE_TYPES)]


def _sysctls(sysctls: Sequence[Mapping[str, Any]], spec: Mapping[str, Any], path: str) -> Problems:
    problems: Problems = []
    seen: set[str] = set()
    for index, sysctl in enumerate(sysctls):
        field, name = f"{path}[{index}].name", sysctl.get("name", "")
        if not name:
            problems.append(required(field))
        elif len(name) > _SYSCTL_LENGTH_MAX or not _is_sysctl(name):
            words = f"must have at most {_SYSCTL_LENGTH_MAX} characters and match regex {_SYSCTL}"
            problems.append(invalid(field, name, words))
        elif name in seen:
            problems.append(duplicate(field, name))
        seen.add(name)
        dotted = name.replace("/", ".")
        if spec.get("hostNetwork") and dotted.startswith("net."):
            problems.append(invalid(field, name, "may not be specified when 'hostNetwork' is true"))
        elif spec.get("hostIPC") and (dotted.startswith(_IPC_SYSCTLS) or dotted == "kernel.sem"):
            problems.append(invalid(field, name, "may not be specified when 'hostIPC' is true"))
    return problems
