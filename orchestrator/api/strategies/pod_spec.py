"""The rules of a pod's spec, whether the pod's own or in a template."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.api import names
from orchestrator.api.numbers import BadNumber, parse_int32
from orchestrator.api.problems import duplicate, forbidden, invalid, not_supported, required
from orchestrator.api.strategies.containers import (
    Surroundings,
    validate_containers,
    validate_ephemeral_containers,
    validate_host_network_ports,
    validate_init_containers,
)
from orchestrator.api.strategies.metadata import validate_annotations, validate_labels
from orchestrator.api.strategies.requirements import validate_amount, validate_requirements
from orchestrator.api.strategies.rules import (
    INT32_MAX,
    Problems,
    each,
    ip_address,
    is_subdomain,
    label,
    one_of,
    qualified_name,
    subdomain,
    unique,
)
from orchestrator.api.strategies.scheduling import validate_affinity, validate_spread, validate_tolerations
from orchestrator.api.strategies.security_context import validate_host_namespaces, validate_pod_security
from orchestrator.api.strategies.volumes import validate_volumes

RESTART_POLICIES = ("Always", "OnFailure", "Never")
_DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_PREEMPTION_POLICIES = ("PreemptLowerPriority", "Never")
_SYSTEMS = ("linux", "windows")
_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_MIRROR = "kubernetes.io/config.mirror"
# What the C library's resolver can take.
_NAMESERVERS_MAX = 3
_SEARCHES_MAX = 32
_SEARCH_CHARACTERS_MAX = 2048
# Fields that few pods have; a pod with none of them skips their rules together.
_RARE = frozenset(
    {
        "dnsConfig",
        "hostAliases",
        "readinessGates",
        "schedulingGates",
        "resourceClaims",
        "overhead",
        "os",
        "resources",
        "hostname",
        "subdomain",
        "runtimeClassName",
        "priorityClassName",
        "activeDeadlineSeconds",
        "shareProcessNamespace",
        "hostUsers",
        "imagePullSecrets",
    }
)


def validate_template(template: Mapping[str, Any], path: str) -> Problems:
    """The rules of a pod template: its labels, annotations and spec."""
    meta = template.get("metadata") or {}
    spec = template.get("spec") or {}
    problems = validate_labels(meta.get("labels") or {}, f"{path}.labels")
    if annotations := meta.get("annotations"):
        problems += validate_annotations(annotations, f"{path}.annotations")
        problems += validate_pod_annotations(annotations, spec, f"{path}.annotations")
    problems += validate_pod_spec(spec, f"{path}.spec", is_pod=False)
    if spec.get("ephemeralContainers"):
        words = "ephemeral containers not allowed in pod template"
        problems.append(forbidden(f"{path}.spec.ephemeralContainers", words))
    return problems


def validate_pod_annotations(annotations: Mapping[str, str], spec: Mapping[str, Any], path: str) -> Problems:
    """The annotations that mean something to pods."""
    problems: Problems = []
    if (mirrored := annotations.get(_MIRROR)) is not None and not spec.get("nodeName"):
        words = "must set spec.nodeName if mirror pod annotation is set"
        problems.append(invalid(f"{path}[{_MIRROR}]", mirrored, words))
    if (cost := annotations.get(_DELETION_COST)) is not None and not _is_int32(cost):
        problems.append(invalid(f"{path}[{_DELETION_COST}]", cost, "must be a 32bit integer"))
    return problems


def _is_int32(text: str) -> bool:
    # As Kubernetes reads it: no plus sign, no leading zeros.
    digits = text.removeprefix("-")
    if text == "-0" or digits.startswith("+") or (digits.startswith("0") and digits != "0"):
        return False
    try:
        parse_int32(text)
    except BadNumber:
        return False
    return True


def validate_pod_spec(spec: Mapping[str, Any], path: str, *, is_pod: bool) -> Problems:
    """All rules of the spec at `path`; it must have been defaulted."""
    get = spec.get
    problems: Problems = []
    if get("terminationGracePeriodSeconds") is None:
        problems.append(required(f"{path}.terminationGracePeriodSeconds"))
    by_name: dict[str, Any] = {}
    if volumes := get("volumes"):
        by_name, problems_of_volumes = validate_volumes(volumes, f"{path}.volumes")
        problems += problems_of_volumes
    rare = not _RARE.isdisjoint(spec)
    pod = Surroundings(
        volumes=by_name,
        grace_s=get("terminationGracePeriodSeconds"),
        restart_policy=get("restartPolicy", ""),
        host_users=get("hostUsers") is not False,
        is_pod=is_pod,
        claims=[claim.get("name", "") for claim in get("resourceClaims") or ()] if rare else (),
    )
    containers = get("containers") or ()
    problems += validate_containers(containers, f"{path}.containers", pod)
    if first := get("initContainers"):
        problems += validate_init_containers(first, containers, f"{path}.initContainers", pod)
    if get("ephemeralContainers"):
        problems += validate_ephemeral_containers(spec, f"{path}.ephemeralContainers", pod)
    if get("hostNetwork"):
        problems += validate_host_network_ports(containers, f"{path}.containers", is_pod=is_pod)
    problems += _choices(spec, path)
    if context := get("securityContext"):
        problems += validate_pod_security(context, spec, path)
    problems += _placement(spec, path)
    if rare or get("dnsPolicy") == "None":
        problems += _rare(spec, path)
    return problems


def _choices(spec: Mapping[str, Any], path: str) -> Problems:
    """Fields with a handful of values, and names."""
    problems: Problems = []
    get = spec.get
    if get("restartPolicy") not in RESTART_POLICIES:
        problems += one_of(f"{path}.restartPolicy", get("restartPolicy"), RESTART_POLICIES)
    if get("dnsPolicy") not in _DNS_POLICIES:
        problems += one_of(f"{path}.dnsPolicy", get("dnsPolicy"), _DNS_POLICIES)
    policy = get("preemptionPolicy")
    if policy is not None and policy not in _PREEMPTION_POLICIES:
        problems += one_of(f"{path}.preemptionPolicy", policy, _PREEMPTION_POLICIES)
    for name in ("serviceAccountName", "nodeName"):
        if (value := get(name)) and (messages := is_subdomain(value)):
            problems += each(f"{path}.{name}", value, messages)
    return problems


def _placement(spec: Mapping[str, Any], path: str) -> Problems:
    problems: Problems = []
    get = spec.get
    if selector := get("nodeSelector"):
        problems += validate_labels(selector, f"{path}.nodeSelector")
    if affinity := get("affinity"):
        problems += validate_affinity(affinity, f"{path}.affinity")
    if spread := get("topologySpreadConstraints"):
        problems += validate_spread(spread, f"{path}.topologySpreadConstraints")
    if tolerations := get("tolerations"):
        problems += validate_tolerations(tolerations, f"{path}.tolerations")
    return problems


def _rare(spec: Mapping[str, Any], path: str) -> Problems:
    get = spec.get
    problems = _resource_claims(spec, path)
    problems += _dns_config(spec, f"{path}.dnsConfig")
    for index, gate in enumerate(get("readinessGates") or ()):
        problems += qualified_name(f"{path}.readinessGates[{index}].conditionType", gate.get("conditionType", ""))
    gates: set[str] = set()
    for index, gate in enumerate(get("schedulingGates") or ()):
        field, name = f"{path}.schedulingGates[{index}]", gate.get("name", "")
        problems += qualified_name(field, name) + unique(field, name, gates)
    problems += validate_host_namespaces(spec, path)
    deadline = get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= INT32_MAX:
        words = names.range_message(1, INT32_MAX)
        problems.append(invalid(f"{path}.activeDeadlineSeconds", deadline, words))
    for name in ("hostname", "subdomain"):
        if value := get(name):
            problems += label(f"{path}.{name}", value)
    for index, alias in enumerate(get("hostAliases") or ()):
        field = f"{path}.hostAliases[{index}]"
        problems += ip_address(f"{field}.ip", alias.get("ip", ""))
        for position, host in enumerate(alias.get("hostnames") or ()):
            problems += subdomain(f"{field}.hostnames[{position}]", host)
    for name in ("priorityClassName", "runtimeClassName"):
        if value := get(name):
            problems += subdomain(f"{path}.{name}", value)
    for name, value in (get("overhead") or {}).items():
        problems += validate_amount(name, value, f"{path}.overhead.limits[{name}]")
    if resources := get("resources"):
        problems += validate_requirements(resources, f"{path}.resources")
    if (system := get("os")) is not None:
        problems += _system(system.get("name", ""), f"{path}.os")
    return problems


def _system(name: str, path: str) -> Problems:
    if not name:
        return [required(f"{path}.name", "cannot be empty")]
    return [] if name in _SYSTEMS else [not_supported(path, name, _SYSTEMS)]


def _dns_config(spec: Mapping[str, Any], path: str) -> Problems:
    config = spec.get("dnsConfig")
    servers = (config or {}).get("nameservers") or ()
    if spec.get("dnsPolicy") == "None":
        if config is None:
            return [required(path, "must provide `dnsConfig` when `dnsPolicy` is None")]
        if not servers:
            words = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            return [required(f"{path}.nameservers", words)]
    if config is None:
        return []
    problems: Problems = []
    if len(servers) > _NAMESERVERS_MAX:
        words = f"must not have more than {_NAMESERVERS_MAX} nameservers"
        problems.append(invalid(f"{path}.nameservers", servers, words))
    for index, server in enumerate(servers):
        problems += ip_address(f"{path}.nameservers[{index}]", server)
    searches = config.get("searches") or ()
    if len(searches) > _SEARCHES_MAX:
        words = f"must not have more than {_SEARCHES_MAX} search paths"
        problems.append(invalid(f"{path}.searches", searches, words))
    if len(" ".join(searches)) > _SEARCH_CHARACTERS_MAX:
        words = f"must not have more than {_SEARCH_CHARACTERS_MAX} characters (including spaces) in the search list"
        problems.append(invalid(f"{path}.searches", searches, words))
    for index, search in enumerate(searches):
        if search != ".":
            # A lone dot, the root, is a search path of its own.
            problems += subdomain(f"{path}.searches[{index}]", search.removesuffix("."))
    for index, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            problems.append(required(f"{path}.options[{index}]", "must not be empty"))
    return problems


def _resource_claims(spec: Mapping[str, Any], path: str) -> Problems:
    problems: Problems = []
    seen: set[str] = set()
    for index, claim in enumerate(spec.get("resourceClaims") or ()):
        field, name = f"{path}.resourceClaims[{index}]", claim.get("name", "")
        if not name:
            problems.append(required(f"{field}.name"))
        elif name in seen:
            problems.append(duplicate(f"{field}.name", name))
        else:
            problems += label(f"{field}.name", name)
            seen.add(name)
        given = [key for key in ("resourceClaimName", "resourceClaimTemplateName") if claim.get(key) is not None]
        if len(given) > 1:
            words = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            problems.append(invalid(field, claim, words))
        if not given:
            words = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            problems.append(invalid(field, claim, words))
        for key in given:
            problems += subdomain(f"{field}.{key}", claim[key])
    return problems
