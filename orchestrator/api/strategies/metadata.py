"""What every kind's metadata must obey: names, labels, annotations, owners, finalizers; and label selectors."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from orchestrator.api.objects import Object
from orchestrator.api.problems import Problem, forbidden, invalid, required, too_long
from orchestrator.api.strategies.rules import (
    Problems,
    each,
    immutable,
    is_label,
    is_label_value,
    is_qualified_name,
    nonnegative,
    qualified_name,
)

#: Takes a name, gives the messages of what is wrong with it.
NameRule = Callable[[str], Sequence[str]]

ANNOTATIONS_SIZE_MAX = 256 * 1024
_STANDARD_FINALIZERS = frozenset({"kubernetes", "orphan", "foregroundDeletion"})
_FIXED = ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")


def validate_object_meta(
    obj: Object, *, namespaced: bool, name_rule: NameRule, old: Object | None = None
) -> list[Problem]:
    """All rules the metadata breaks; with `old`, the rules of a change. The resourceVersion is the server's."""
    meta = obj.get("metadata") or {}
    problems: Problems = []
    if old is None:
        problems += _names(meta, namespaced=namespaced, name_rule=name_rule)
    else:
        problems += _unchanged(meta, old.get("metadata") or {})
    problems += nonnegative("metadata.generation", meta.get("generation"))
    if labels := meta.get("labels"):
        problems += validate_labels(labels, "metadata.labels")
    if annotations := meta.get("annotations"):
        problems += validate_annotations(annotations, "metadata.annotations")
    if owners := meta.get("ownerReferences"):
        problems += _owners(owners)
    if finalizers := meta.get("finalizers"):
        problems += _finalizers(finalizers)
    return problems


def validate_labels(labels: Mapping[str, str], path: str) -> Problems:
    """Keys must be qualified names, values short and plain."""
    problems: Problems = []
    for key, value in labels.items():
        if messages := is_qualified_name(key):
            problems += each(path, key, messages)
        if messages := is_label_value(value):
            problems += each(path, value, messages)
    return problems


def validate_annotations(annotations: Mapping[str, str], path: str) -> Problems:
    """Keys must be qualified names but for their case; all of it together must not be too large."""
    problems: Problems = []
    size = 0
    for key, value in annotations.items():
        if is_qualified_name(key) and (messages := is_qualified_name(key.lower())):
            problems += each(path, key, messages)
        size += len(key.encode()) + len(value.encode())
    if size > ANNOTATIONS_SIZE_MAX:
        problems.append(too_long(path, ANNOTATIONS_SIZE_MAX))
    return problems


def validate_label_selector(selector: Mapping[str, Any] | None, path: str) -> Problems:
    """The rules of a `LabelSelector`; None selects nothing and is fine here."""
    if not selector:
        return []
    problems = validate_labels(selector.get("matchLabels") or {}, f"{path}.matchLabels")
    for index, expression in enumerate(selector.get("matchExpressions") or ()):
        problems += _requirement(expression, f"{path}.matchExpressions[{index}]")
    return problems


def _requirement(expression: Mapping[str, Any], path: str) -> Problems:
    problems: Problems = []
    operator, values = expression.get("operator", ""), expression.get("values") or ()
    match operator:
        case "In" | "NotIn":
            if not values:
                words = "must be specified when `operator` is 'In' or 'NotIn'"
                problems.append(required(f"{path}.values", words))
        case "Exists" | "DoesNotExist":
            if values:
                words = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                problems.append(forbidden(f"{path}.values", words))
        case _:
            problems.append(invalid(f"{path}.operator", operator, "not a valid selector operator"))
    problems += qualified_name(f"{path}.key", expression.get("key", ""))
    for index, value in enumerate(values):
        problems += each(f"{path}.values[{index}]", value, is_label_value(value))
    return problems


def _names(meta: Mapping[str, Any], *, namespaced: bool, name_rule: NameRule) -> Problems:
    problems: Problems = []
    if prefix := meta.get("generateName"):
        # The random end makes a trailing dash harmless, so the rule sees a letter in its place.
        stem = prefix[:-2] + "a" if len(prefix) > 1 and prefix.endswith("-") else prefix
        problems += each("metadata.generateName", prefix, name_rule(stem))
    name = meta.get("name")
    if not name:
        problems.append(required("metadata.name", "name or generateName is required"))
    elif messages := name_rule(name):
        problems += each("metadata.name", name, messages)
    namespace = meta.get("namespace")
    if not namespaced:
        if namespace:
            problems.append(forbidden("metadata.namespace", "not allowed on this type"))
    elif not namespace:
        problems.append(required("metadata.namespace"))
    elif messages := is_label(namespace):
        problems += each("metadata.namespace", namespace, messages)
    return problems


def _unchanged(meta: Mapping[str, Any], old: Mapping[str, Any]) -> Problems:
    problems: Problems = []
    if old.get("deletionTimestamp"):
        added = sorted(set(meta.get("finalizers") or ()) - set(old.get("finalizers") or ()))
        if added:
            shown = "[]string{" + ", ".join(json.dumps(name) for name in added) + "}"
            words = f"no new finalizers can be added if the object is being deleted, found new finalizers {shown}"
            problems.append(forbidden("metadata.finalizers", words))
    for field in _FIXED:
        # A client that leaves one out gets the stored value: the server fills it in.
        if (value := meta.get(field)) is not None:
            problems += immutable(f"metadata.{field}", value, old.get(field))
    return problems


def _owners(owners: Sequence[Mapping[str, Any]]) -> Problems:
    path = "metadata.ownerReferences"
    problems: Problems = []
    controller = ""
    for owner in owners:
        api_version, kind = owner.get("apiVersion", ""), owner.get("kind", "")
        if api_version.count("/") > 1 or not api_version.rpartition("/")[2]:
            problems.append(invalid(f"{path}.apiVersion", api_version, "version must not be empty"))
        problems += [
            invalid(f"{path}.{field}", "", "must not be empty")
            for field in ("kind", "name", "uid")
            if not owner.get(field)
        ]
        if api_version == "v1" and kind == "Event":
            problems.append(invalid(path, owner, "/v1, Kind=Event is disallowed from being an owner"))
        if owner.get("controller"):
            current = f"{kind}/{owner.get('name', '')}"
            if controller:
                words = (
                    'Only one reference can have Controller set to true. Found "true" in references for '
                    f"{controller} and {current}"
                )
                problems.append(invalid(path, owners, words))
            else:
                controller = current
    return problems


def _finalizers(finalizers: Sequence[str]) -> Problems:
    path = "metadata.finalizers"
    problems: Problems = []
    for name in finalizers:
        problems += qualified_name(path, name)
    if "orphan" in finalizers and "foregroundDeletion" in finalizers:
        words = "finalizer orphan and foregroundDeletion cannot be both set"
        problems.append(invalid(path, finalizers, words))
    for index, name in enumerate(finalizers):
        problems += standard_finalizer(f"{path}[{index}]", name)
    return problems


def standard_finalizer(field: str, name: str) -> Problems:
    """A finalizer without a domain that is not one of Kubernetes' own."""
    if "/" in name or name in _STANDARD_FINALIZERS:
        return []
    return [invalid(field, name, "name is neither a standard finalizer name nor is it fully qualified")]
