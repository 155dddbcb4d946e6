"""Rules in the form of RBAC: what a rule covers, and how a client is shown the rules that hold for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from orchestrator.server.authorization.base import Attributes

READ = ("get", "list", "watch")
EVERYTHING = ("*",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Verbs on resources (`pods`, `pods/status`, `*`) of API groups, or on paths (`/api/*`); `*` is all.

    `names` narrows it to objects of these names; `namespaces` to these namespaces. Empty means no such limit.
    """

    verbs: tuple[str, ...]
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()


def covers(rule: Rule, attributes: Attributes) -> bool:
    """Whether the rule allows what the attributes say."""
    if not _within(rule.verbs, attributes.verb):
        return False
    if not attributes.resource:
        return any(_path_matches(pattern, attributes.path) for pattern in rule.paths)
    wanted = f"{attributes.resource}/{attributes.subresource}" if attributes.subresource else attributes.resource
    return (
        _within(rule.groups, attributes.group)
        and (
            _within(rule.resources, wanted)
            or (bool(attributes.subresource) and f"*/{attributes.subresource}" in rule.resources)
        )
        and (not rule.names or attributes.name in rule.names)
        and (not rule.namespaces or attributes.namespace in rule.namespaces)
    )


def as_review(rules: Iterable[Rule], *, namespace: str, incomplete: bool) -> dict[str, Any]:
    """The `status` of a SelfSubjectRulesReview. `incomplete`: authorizers that are no lists of rules allow more."""
    resource_rules: list[dict[str, Any]] = []
    path_rules: list[dict[str, Any]] = []
    for rule in rules:
        if rule.namespaces and namespace not in rule.namespaces:
            continue
        if rule.resources:
            shown: dict[str, Any] = {
                "verbs": list(rule.verbs),
                "apiGroups": list(rule.groups),
                "resources": list(rule.resources),
            }
            if rule.names:
                shown["resourceNames"] = list(rule.names)
            resource_rules.append(shown)
        if rule.paths:
            path_rules.append({"verbs": list(rule.verbs), "nonResourceURLs": list(rule.paths)})
    return {"resourceRules": resource_rules, "nonResourceRules": path_rules, "incomplete": incomplete}


def _within(allowed: tuple[str, ...], value: str) -> bool:
    return value in allowed or "*" in allowed


def _path_matches(pattern: str, path: str) -> bool:
    return path.startswith(pattern[:-1]) if pattern.endswith("*") else path == pattern
