"""Compute resources: names, quantities, requests against limits."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from orchestrator.api import quantities
from orchestrator.api.memo import memo
from orchestrator.api.objects import Object
from orchestrator.api.problems import Problem, duplicate, forbidden, invalid, required
from orchestrator.api.strategies.rules import NEGATIVE, Problems, is_qualified_name

_COMPUTE = frozenset({"cpu", "memory"})
_CONTAINER = frozenset({"cpu", "memory", "ephemeral-storage"})
_COUNTED = frozenset(
    {
        "pods",
        "services",
        "replicationcontrollers",
        "resourcequotas",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "services.nodeports",
        "services.loadbalancers",
    }
)
_STANDARD = _CONTAINER | _COUNTED | {"storage", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"}
_STANDARD |= {"requests.storage", "requests.ephemeral-storage", "limits.ephemeral-storage"}
_HUGE_PAGES = "hugepages-"
_NOT_INTEGER = "must be an integer"


def default_requests(resources: Object) -> None:
    """Requests that are not given are the limits."""
    limits = resources.get("limits")
    if not limits:
        return
    requests = resources.get("requests")
    if requests is None:
        requests = resources["requests"] = {}
    for name, value in limits.items():
        if name not in requests:
            requests[name] = value


def validate_requirements(resources: Mapping[str, Any], path: str, claims: Collection[str] = ()) -> Problems:
    """The rules of a container's `resources`; `claims` are the names in the pod's `resourceClaims`."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    problems: Problems = []
    for name, value in limits.items():
        if faults := _amount(name, value):
            problems += [_at(f"{path}.limits[{name}]", fault) for fault in faults]
    for name, value in requests.items():
        if faults := _amount(name, value):
            problems += [_at(f"{path}.requests[{name}]", fault) for fault in faults]
        if value != limits.get(name):
            problems += _request_within_limit(name, value, limits.get(name), path)
    if (_COMPUTE.isdisjoint(limits) and _COMPUTE.isdisjoint(requests)) and any(
        name.startswith(_HUGE_PAGES) for name in (*limits, *requests)
    ):
        problems.append(forbidden(path, "HugePages require cpu or memory"))
    if wanted := resources.get("claims"):
        problems += _claims(wanted, f"{path}.claims", claims)
    return problems


def validate_amount(name: str, value: Any, field: str) -> Problems:
    """The rules of one quantity of one resource, wherever it is given (a node's capacity, a pod's overhead)."""
    return [_at(field, fault) for fault in _quantity(name, str(value))]


def is_overcommit_allowed(name: str) -> bool:
    """Only Kubernetes' own resources but huge pages may be requested below their limit."""
    return _is_native(name) and not name.startswith(_HUGE_PAGES)


def is_extended(name: str) -> bool:
    """A resource some device plugin or operator advertises, like `example.com/gpu`."""
    return not _is_native(name) and not name.startswith("requests.") and not is_qualified_name(f"requests.{name}")


def _is_native(name: str) -> bool:
    return "/" not in name or "kubernetes.io/" in name


def _at(field: str, fault: Problem) -> Problem:
    return Problem(field, fault.reason, fault.message)


def _amount(name: str, value: Any) -> tuple[Problem, ...]:
    return _name_and_quantity(name, value if isinstance(value, str) else str(value))


# The same few amounts come back in every pod; the cached problems carry no field, it is put in when reported.
@memo(entries_max=4096)
def _name_and_quantity(name: str, value: str) -> tuple[Problem, ...]:
    faults = _container_resource(name) + _quantity(name, value)
    if name.startswith(_HUGE_PAGES) and not _is_multiple(value, name.removeprefix(_HUGE_PAGES)):
        faults.append(invalid("", value, f"{value} is not positive integer multiple of {name}"))
    return tuple(faults)


def _container_resource(name: str) -> Problems:
    if name in _CONTAINER:
        return []
    if messages := is_qualified_name(name):
        return [invalid("", name, message) for message in messages]
    if "/" not in name and not name.startswith(_HUGE_PAGES):
        faults = []
        if name not in _STANDARD:
            faults.append(invalid("", name, "must be a standard resource type or fully qualified"))
        return [*faults, invalid("", name, "must be a standard resource for containers")]
    if not _is_native(name) and not is_extended(name):
        return [invalid("", name, "doesn't follow extended resource name standard")]
    return []


def _quantity(name: str, value: str) -> Problems:
    try:
        quantity = quantities.parse(value)
    except quantities.BadQuantity as exc:
        return [invalid("", value, str(exc))]
    faults: Problems = []
    if quantity.nano < 0:
        faults.append(invalid("", value, NEGATIVE))
    if (name in _COUNTED or is_extended(name)) and quantity.milli % 1000:
        faults.append(invalid("", value, _NOT_INTEGER))
    return faults


def _is_multiple(value: str, page: str) -> bool:
    try:
        size, amount = quantities.parse(page).nano, quantities.parse(value).nano
    except quantities.BadQuantity:
        return True
    return size > 0 and amount >= 0 and amount % size == 0


def _request_within_limit(name: str, request: Any, limit: Any, path: str) -> Problems:
    field = f"{path}.requests"
    if limit is None:
        if is_overcommit_allowed(name):
            return []
        return [required(f"{path}.limits", "Limit must be set for non overcommitable resources")]
    try:
        order = quantities.compare(request, limit)
    except quantities.BadQuantity:
        return []  # already reported where it stands
    if order and not is_overcommit_allowed(name):
        return [invalid(field, str(request), f"must be equal to {name} limit of {limit}")]
    if order > 0:
        return [invalid(field, str(request), f"must be less than or equal to {name} limit of {limit}")]
    return []


def _claims(wanted: list[Object], path: str, claims: Collection[str]) -> Problems:
    problems: Problems = []
    seen: set[str] = set()
    for index, claim in enumerate(wanted):
        field, name = f"{path}[{index}]", claim.get("name", "")
        if not name:
            problems.append(required(field))
            continue
        if name in seen:
            problems.append(duplicate(field, name))
        seen.add(name)
        if name not in claims:
            known = f": {', '.join(sorted(claims))}" if claims else " which is empty"
            words = f'Not found: "{name}": must be one of the names in pod.spec.resourceClaims{known}'
            problems.append(Problem(field, "FieldValueNotFound", words))
    return problems
