"""Where a pod may run: tolerations, affinity, topology spread; and the taints of nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.api.problems import Problem, duplicate, forbidden, invalid, not_supported, required
from orchestrator.api.strategies.metadata import validate_label_selector
from orchestrator.api.strategies.rules import (
    NOT_POSITIVE,
    Problems,
    each,
    is_label,
    is_label_value,
    is_qualified_name,
    is_subdomain,
    qualified_name,
)

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_SCHEDULE_ACTIONS = ("DoNotSchedule", "ScheduleAnyway")
_INCLUSION_POLICIES = ("Honor", "Ignore")
_ALL_KEYS = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def validate_tolerations(tolerations: Sequence[Mapping[str, Any]], path: str) -> Problems:
    """The rules of a pod's tolerations."""
    problems: Problems = []
    for index, toleration in enumerate(tolerations):
        key, operator = toleration.get("key", ""), toleration.get("operator", "")
        effect = toleration.get("effect", "")
        if key and (messages := is_qualified_name(key)):
            problems += each(f"{path}[{index}].key", key, messages)
        if not key and operator != "Exists":
            problems.append(invalid(f"{path}[{index}].operator", operator, _ALL_KEYS))
        if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
            words = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            problems.append(invalid(f"{path}[{index}].effect", effect, words))
        value = toleration.get("value", "")
        if operator == "Exists":
            if value:
                words = "value must be empty when `operator` is 'Exists'"
                problems.append(invalid(f"{path}[{index}].operator", toleration, words))
        elif operator not in ("", "Equal"):
            problems.append(not_supported(f"{path}[{index}].operator", operator, ("Equal", "Exists")))
        elif messages := is_label_value(value):
            problems.append(invalid(f"{path}[{index}].operator", value, ";".join(messages)))
        if effect and effect not in _EFFECTS:
            problems.append(not_supported(f"{path}[{index}].effect", effect, _EFFECTS))
    return problems


def validate_taints(taints: Sequence[Mapping[str, Any]], path: str) -> Problems:
    """The rules of a node's taints: well-formed, and one for each key and effect."""
    problems: Problems = []
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(taints):
        field, key, effect = f"{path}[{index}]", taint.get("key", ""), taint.get("effect", "")
        problems += qualified_name(f"{field}.key", key)
        value = taint.get("value", "")
        if messages := is_label_value(value):
            problems.append(invalid(f"{field}.value", value, ";".join(messages)))
        if not effect:
            problems.append(required(f"{field}.effect"))
        elif effect not in _EFFECTS:
            problems.append(not_supported(f"{field}.effect", effect, _EFFECTS))
        if (key, effect) in seen:
            fault = duplicate(field, taint)
            words = f"{fault.message}: taints must be unique by key and effect pair"
            problems.append(Problem(field, fault.reason, words))
        seen.add((key, effect))
    return problems


def validate_affinity(affinity: Mapping[str, Any], path: str) -> Problems:
    """The rules of a pod's affinity to nodes and to other pods."""
    problems: Problems = []
    if nodes := affinity.get("nodeAffinity"):
        field = f"{path}.nodeAffinity"
        if (selector := nodes.get(_REQUIRED)) is not None:
            problems += _node_selector(selector, f"{field}.{_REQUIRED}")
        for index, term in enumerate(nodes.get(_PREFERRED) or ()):
            item = f"{field}.{_PREFERRED}[{index}]"
            problems += _weight(term, item)
            problems += _node_term(term.get("preference") or {}, f"{item}.preference")
    for kind in ("podAffinity", "podAntiAffinity"):
        pods = affinity.get(kind) or {}
        for index, term in enumerate(pods.get(_REQUIRED) or ()):
            problems += _pod_term(term, f"{path}.{kind}.{_REQUIRED}[{index}]")
        for index, term in enumerate(pods.get(_PREFERRED) or ()):
            item = f"{path}.{kind}.{_PREFERRED}[{index}]"
            problems += _weight(term, item)
            problems += _pod_term(term.get("podAffinityTerm") or {}, f"{item}.podAffinityTerm")
    return problems


def _weight(term: Mapping[str, Any], path: str) -> Problems:
    weight = term.get("weight", 0)
    return [] if 0 < weight <= 100 else [invalid(f"{path}.weight", weight, "must be in the range 1-100")]


def _node_selector(selector: Mapping[str, Any], path: str) -> Problems:
    terms = selector.get("nodeSelectorTerms") or ()
    field = f"{path}.nodeSelectorTerms"
    if not terms:
        return [required(field, "must have at least one node selector term")]
    problems: Problems = []
    for index, term in enumerate(terms):
        problems += _node_term(term, f"{field}[{index}]")
    return problems


def _node_term(term: Mapping[str, Any], path: str) -> Problems:
    problems: Problems = []
    for index, requirement in enumerate(term.get("matchExpressions") or ()):
        problems += _node_requirement(requirement, f"{path}.matchExpressions[{index}]")
    for index, requirement in enumerate(term.get("matchFields") or ()):
        problems += _node_field(requirement, f"{path}.matchFields[{index}]")
    return problems


def _node_requirement(requirement: Mapping[str, Any], path: str) -> Problems:
    problems: Problems = []
    operator, values = requirement.get("operator", ""), requirement.get("values") or ()
    field = f"{path}.values"
    match operator:
        case "In" | "NotIn":
            if not values:
                problems.append(required(field, "must be specified when `operator` is 'In' or 'NotIn'"))
        case "Exists" | "DoesNotExist":
            if values:
                words = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                problems.append(forbidden(field, words))
        case "Gt" | "Lt":
            if len(values) != 1:
                words = "must be specified single value when `operator` is 'Lt' or 'Gt'"
                problems.append(required(field, words))
        case _:
            problems.append(invalid(f"{path}.operator", operator, "not a valid selector operator"))
    problems += qualified_name(f"{path}.key", requirement.get("key", ""))
    for index, value in enumerate(values):
        problems += each(f"{field}[{index}]", value, is_label_value(value))
    return problems


def _node_field(requirement: Mapping[str, Any], path: str) -> Problems:
    problems: Problems = []
    operator, values = requirement.get("operator", ""), requirement.get("values") or ()
    if operator not in ("In", "NotIn"):
        problems.append(invalid(f"{path}.operator", operator, "not a valid selector operator"))
    elif len(values) != 1:
        words = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        problems.append(required(f"{path}.values", words))
    if (key := requirement.get("key", "")) != "metadata.name":
        problems.append(invalid(f"{path}.key", key, "not a valid field selector key"))
        return problems
    for index, value in enumerate(values):
        problems += each(f"{path}.values[{index}]", value, is_subdomain(value))
    return problems


def _pod_term(term: Mapping[str, Any], path: str) -> Problems:
    selector = term.get("labelSelector")
    problems = validate_label_selector(selector, f"{path}.labelSelector")
    problems += validate_label_selector(term.get("namespaceSelector"), f"{path}.namespaceSelector")
    for namespace in term.get("namespaces") or ():
        problems += each(f"{path}.namespace", namespace, is_label(namespace))
    matched, mismatched = term.get("matchLabelKeys") or (), term.get("mismatchLabelKeys") or ()
    for name, keys in (("matchLabelKeys", matched), ("mismatchLabelKeys", mismatched)):
        if keys and selector is None:
            words = "must not be specified when labelSelector is not set"
            problems.append(forbidden(f"{path}.{name}", words))
        else:
            for index, key in enumerate(keys):
                problems += qualified_name(f"{path}.{name}[{index}]", key)
    unmatched = frozenset(mismatched)
    for index, key in enumerate(matched):
        if key in unmatched:
            words = "exists in both matchLabelKeys and mismatchLabelKeys"
            problems.append(invalid(f"{path}.matchLabelKeys[{index}]", key, words))
    key = term.get("topologyKey", "")
    if not key:
        problems.append(required(f"{path}.topologyKey", "can not be empty"))
    return problems + qualified_name(f"{path}.topologyKey", key)


def validate_spread(constraints: Sequence[Mapping[str, Any]], path: str) -> Problems:
    """The rules of a pod's topology spread constraints."""
    problems: Problems = []
    pairs = [(constraint.get("topologyKey"), constraint.get("whenUnsatisfiable")) for constraint in constraints]
    last = {pair: index for index, pair in enumerate(pairs)}
    for index, (constraint, pair) in enumerate(zip(constraints, pairs, strict=True)):
        field = f"{path}[{index}]"
        problems += _spread(constraint, field)
        if last[pair] > index:
            words = f"{{{pair[0]}, {pair[1]}}}"
            problems.append(duplicate(f"{field}.{{topologyKey, whenUnsatisfiable}}", words))
    return problems


def _spread(constraint: Mapping[str, Any], path: str) -> Problems:
    problems: Problems = []
    skew, action = constraint.get("maxSkew", 0), constraint.get("whenUnsatisfiable", "")
    if skew <= 0:
        problems.append(invalid(f"{path}.maxSkew", skew, NOT_POSITIVE))
    if not constraint.get("topologyKey"):
        problems.append(required(f"{path}.topologyKey", "can not be empty"))
    if action not in _SCHEDULE_ACTIONS:
        problems.append(not_supported(f"{path}.whenUnsatisfiable", action, _SCHEDULE_ACTIONS))
    if (domains := constraint.get("minDomains")) is not None:
        if domains <= 0:
            problems.append(invalid(f"{path}.minDomains", domains, NOT_POSITIVE))
        if action != "DoNotSchedule":
            words = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
            problems.append(invalid(f"{path}.minDomains", domains, words))
    for name in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
        if (policy := constraint.get(name)) is not None and policy not in _INCLUSION_POLICIES:
            problems.append(not_supported(f"{path}.{name}", policy, _INCLUSION_POLICIES))
    problems += _spread_keys(constraint, path)
    return problems + validate_label_selector(constraint.get("labelSelector"), f"{path}.labelSelector")


def _spread_keys(constraint: Mapping[str, Any], path: str) -> Problems:
    keys = constraint.get("matchLabelKeys") or ()
    if not keys:
        return []
    field = f"{path}.matchLabelKeys"
    problems: Problems = []
    selector = constraint.get("labelSelector")
    if selector is None:
        problems.append(forbidden(field, "must not be specified when labelSelector is not set"))
        selector = {}
    selected = {*(selector.get("matchLabels") or ())}
    selected |= {expression.get("key") for expression in selector.get("matchExpressions") or ()}
    for index, key in enumerate(keys):
        problems += qualified_name(f"{field}[{index}]", key)
        if key in selected:
            words = "exists in both matchLabelKeys and labelSelector"
            problems.append(invalid(f"{field}[{index}]", key, words))
    return problems
