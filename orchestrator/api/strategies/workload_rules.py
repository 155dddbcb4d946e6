"""The rules of the kinds that make pods: selectors and templates, rolling updates, and counts in their status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.api import selectors
from orchestrator.api.problems import forbidden, invalid, not_supported, required
from orchestrator.api.strategies.metadata import validate_label_selector
from orchestrator.api.strategies.pod_spec import validate_template
from orchestrator.api.strategies.rules import (
    Problems,
    at_most_all,
    count_or_percent,
    is_label,
    label,
    nonnegative,
    percent,
    supported_if_set,
)
from orchestrator.api.strategies.volumes import validate_claim_spec

_MORE_THAN_REPLICAS = "cannot be greater than status.replicas"
_RETENTION = ("Retain", "Delete")
# What may change in a StatefulSet; the rest is what its pods and claims were made from.
_STATEFULSET_CHANGEABLE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)


def validate_replicaset(spec: Mapping[str, Any]) -> Problems:
    """The rules of a ReplicaSet's spec."""
    problems = nonnegative("spec.replicas", spec.get("replicas"))
    problems += nonnegative("spec.minReadySeconds", spec.get("minReadySeconds"))
    # Kubernetes says deployment here, too.
    problems += _selector(spec, "empty selector is invalid for deployment")
    return problems + _template(spec, spec.get("template") or {}, "ReplicaSet")


def validate_deployment(spec: Mapping[str, Any]) -> Problems:
    """The rules of a Deployment's spec."""
    problems = nonnegative("spec.replicas", spec.get("replicas"))
    problems += _selector(spec, "empty selector is invalid for deployment")
    # A Deployment's pods are a ReplicaSet's.
    problems += _template(spec, spec.get("template") or {}, "ReplicaSet")
    problems += _deployment_strategy(spec.get("strategy") or {})
    ready_s, deadline_s = spec.get("minReadySeconds", 0), spec.get("progressDeadlineSeconds")
    problems += nonnegative("spec.minReadySeconds", ready_s)
    problems += nonnegative("spec.revisionHistoryLimit", spec.get("revisionHistoryLimit"))
    if deadline_s is not None:
        field = "spec.progressDeadlineSeconds"
        problems += nonnegative(field, deadline_s)
        if deadline_s <= ready_s:
            problems.append(invalid(field, deadline_s, "must be greater than minReadySeconds"))
    return problems


def validate_statefulset(spec: Mapping[str, Any]) -> Problems:
    """The rules of a StatefulSet's spec."""
    problems: Problems = []
    policy = spec.get("podManagementPolicy", "")
    if policy not in ("OrderedReady", "Parallel"):
        words = "must be 'OrderedReady' or 'Parallel'"
        problems.append(invalid("spec.podManagementPolicy", policy, words))
    problems += _statefulset_strategy(spec.get("updateStrategy") or {})
    retention = spec.get("persistentVolumeClaimRetentionPolicy") or {}
    for name in ("whenDeleted", "whenScaled"):
        field = f"spec.persistentVolumeClaimRetentionPolicy.{name}"
        problems += supported_if_set(field, retention.get(name), _RETENTION)
    problems += nonnegative("spec.replicas", spec.get("replicas"))
    problems += nonnegative("spec.minReadySeconds", spec.get("minReadySeconds"))
    problems += nonnegative("spec.ordinals.start", (spec.get("ordinals") or {}).get("start"))
    if service := spec.get("serviceName"):
        problems += label("spec.serviceName", service)
    problems += _selector(spec, "empty selector is invalid for statefulset")
    claims = spec.get("volumeClaimTemplates") or ()
    template = _with_claims(spec.get("template") or {}, claims)
    problems += _template(spec, template, "StatefulSet")
    for index, claim in enumerate(claims):
        problems += _claim(claim, f"spec.volumeClaimTemplates[{index}]")
    return problems


def validate_statefulset_change(spec: Mapping[str, Any], before: Mapping[str, Any]) -> Problems:
    """Which changes of a StatefulSet's spec are refused."""
    fixed = (spec.keys() | before.keys()) - set(_STATEFULSET_CHANGEABLE)
    if all(spec.get(name) == before.get(name) for name in fixed):
        return []
    listed = ", ".join(f"'{name}'" for name in _STATEFULSET_CHANGEABLE[:-1])
    words = (
        f"updates to statefulset spec for fields other than {listed} and '{_STATEFULSET_CHANGEABLE[-1]}' are forbidden"
    )
    return [forbidden("spec", words)]


def validate_counts(status: Mapping[str, Any], counts: Sequence[str], ready_words: str = "readyReplicas") -> Problems:
    """The rules of a workload's status: no count below zero, none above the replicas, none available but ready."""
    problems: Problems = []
    for name in ("replicas", *counts, "terminatingReplicas", "observedGeneration", "collisionCount"):
        problems += nonnegative(f"status.{name}", status.get(name))
    replicas = status.get("replicas", 0)
    for name in counts:
        if name != "unavailableReplicas" and (count := status.get(name, 0)) > replicas:
            problems.append(invalid(f"status.{name}", count, _MORE_THAN_REPLICAS))
    available = status.get("availableReplicas", 0)
    if available > status.get("readyReplicas", 0):
        words = f"cannot be greater than {ready_words}"
        problems.append(invalid("status.availableReplicas", available, words))
    return problems


def validate_collisions(status: Mapping[str, Any], before: Mapping[str, Any]) -> Problems:
    """The count of name collisions only grows: names are made from it."""
    count, was = status.get("collisionCount"), before.get("collisionCount")
    if was is None or (count is not None and count >= was):
        return []
    return [invalid("status.collisionCount", count or 0, "cannot be decremented")]


def _selector(spec: Mapping[str, Any], empty_words: str) -> Problems:
    selector = spec.get("selector")
    if selector is None:
        return [required("spec.selector")]
    problems = validate_label_selector(selector, "spec.selector")
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        problems.append(invalid("spec.selector", selector, empty_words))
    return problems


def _template(spec: Mapping[str, Any], template: Mapping[str, Any], maker: str) -> Problems:
    problems: Problems = []
    labels = (template.get("metadata") or {}).get("labels")
    try:
        selector = selectors.selector_of(spec.get("selector"))
    except selectors.BadSelector:
        return [invalid("spec.selector", spec.get("selector"), "invalid label selector")]
    if not selector.is_empty and not selector.matches(labels):
        words = "`selector` does not match template `labels`"
        problems.append(invalid("spec.template.metadata.labels", labels, words))
    problems += validate_template(template, "spec.template")
    pod = template.get("spec") or {}
    if (policy := pod.get("restartPolicy")) != "Always":
        problems.append(not_supported("spec.template.spec.restartPolicy", policy, ("Always",)))
    if pod.get("activeDeadlineSeconds") is not None:
        words = f"activeDeadlineSeconds in {maker} is not Supported"
        problems.append(forbidden("spec.template.spec.activeDeadlineSeconds", words))
    return problems


def _with_claims(template: Mapping[str, Any], claims: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The template with the volumes its pods will have: a claim's volume takes the place of one of the same name."""
    if not claims:
        return template
    spec = template.get("spec") or {}
    names = [name for claim in claims if (name := (claim.get("metadata") or {}).get("name"))]
    volumes = [volume for volume in spec.get("volumes") or () if volume.get("name") not in names]
    # A name that is no label is reported once, with the claim it belongs to.
    volumes += [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in names if not is_label(name)]
    return {**template, "spec": {**spec, "volumes": volumes}}


def _claim(claim: Mapping[str, Any], path: str) -> Problems:
    name = (claim.get("metadata") or {}).get("name", "")
    problems = label(f"{path}.metadata.name", name) if name else [required(f"{path}.metadata.name")]
    return problems + validate_claim_spec(claim.get("spec") or {}, f"{path}.spec")


def _deployment_strategy(strategy: Mapping[str, Any]) -> Problems:
    rolling = strategy.get("rollingUpdate")
    field = "spec.strategy.rollingUpdate"
    match strategy.get("type"):
        case "Recreate":
            if rolling is None:
                return []
            return [forbidden(field, "may not be specified when strategy `type` is 'Recreate'")]
        case "RollingUpdate":
            if rolling is None:
                return [required(field, "this should be defaulted and never be nil")]
        case _:
            return [not_supported("spec.strategy", strategy, ("Recreate", "RollingUpdate"))]
    unavailable, surge = rolling.get("maxUnavailable", 0), rolling.get("maxSurge", 0)
    problems = count_or_percent(f"{field}.maxUnavailable", unavailable)
    problems += count_or_percent(f"{field}.maxSurge", surge)
    if _number(unavailable) == 0 and _number(surge) == 0:
        words = "may not be 0 when `maxSurge` is 0"
        problems.append(invalid(f"{field}.maxUnavailable", unavailable, words))
    return problems + at_most_all(f"{field}.maxUnavailable", unavailable)


def _number(value: int | str) -> int | None:
    return value if isinstance(value, int) else percent(value)


def _statefulset_strategy(strategy: Mapping[str, Any]) -> Problems:
    rolling = strategy.get("rollingUpdate")
    field = "spec.updateStrategy.rollingUpdate"
    match strategy.get("type"):
        case "OnDelete":
            if rolling is None:
                return []
            return [invalid(field, rolling, "only allowed for updateStrategy 'RollingUpdate'")]
        case "RollingUpdate":
            if rolling is None:
                return []
        case None | "":
            return [required("spec.updateStrategy")]
        case _:
            return [invalid("spec.updateStrategy", strategy, "must be 'RollingUpdate' or 'OnDelete'")]
    problems = nonnegative(f"{field}.partition", rolling.get("partition"))
    if (unavailable := rolling.get("maxUnavailable")) is not None:
        at = f"{field}.maxUnavailable"
        problems += count_or_percent(at, unavailable)
        if _number(unavailable) == 0:
            problems.append(invalid(at, unavailable, "cannot be 0"))
        problems += at_most_all(at, unavailable)
    return problems
