"""Columns of what makes pods: ReplicaSets, Deployments, StatefulSets and their revisions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestrator.api.objects import Object
from orchestrator.api.printing.columns import AGE, NAME, NONE, Column, joined
from orchestrator.api.selectors import BadSelector, selector_of


def _spec(obj: Object) -> dict[str, Any]:
    return obj.get("spec") or {}


def _count(field: str) -> Callable[[Object, float], int]:
    return lambda obj, now: (obj.get("status") or {}).get(field, 0)


def _wanted(obj: Object, now: float) -> int:
    wanted: int = _spec(obj).get("replicas", 0)
    return wanted


def _ready(obj: Object, now: float) -> str:
    return f"{(obj.get('status') or {}).get('readyReplicas', 0)}/{_wanted(obj, now)}"


def _of_containers(field: str) -> Callable[[Object, float], str]:
    def cell(obj: Object, now: float) -> str:
        template = (_spec(obj).get("template") or {}).get("spec") or {}
        return joined([container.get(field, "") for container in template.get("containers") or ()], "")

    return cell


def _selector(obj: Object, now: float) -> str:
    try:
        return str(selector_of(_spec(obj).get("selector"))) or NONE
    except BadSelector:
        return "<error>"


def _controller(obj: Object, now: float) -> str:
    owner = next((o for o in obj["metadata"].get("ownerReferences") or () if o.get("controller")), None)
    if owner is None:
        return NONE
    group = owner.get("apiVersion", "").rpartition("/")[0]
    return f"{owner.get('kind', '').lower()}{'.' if group else ''}{group}/{owner.get('name', '')}"


_READY = Column("Ready", _ready, description="How many of the wanted pods are ready.")
_CONTAINERS = Column(
    "Containers", _of_containers("name"), priority=1, description="Names of the template's containers."
)
_IMAGES = Column("Images", _of_containers("image"), priority=1, description="Images of the template's containers.")
_SELECTOR = Column("Selector", _selector, priority=1, description="Which pods belong to it.")

REPLICASETS = (
    NAME,
    Column("Desired", _wanted, type="integer", description="How many pods are wanted."),
    Column("Current", _count("replicas"), type="integer", description="How many pods there are."),
    Column("Ready", _count("readyReplicas"), type="integer", description="How many pods are ready."),
    AGE,
    _CONTAINERS,
    _IMAGES,
    _SELECTOR,
)
DEPLOYMENTS = (
    NAME,
    _READY,
    Column("Up-to-date", _count("updatedReplicas"), type="integer", description="How many pods have the new template."),
    Column("Available", _count("availableReplicas"), type="integer", description="How many pods are available."),
    AGE,
    _CONTAINERS,
    _IMAGES,
    _SELECTOR,
)
STATEFULSETS = (NAME, _READY, AGE, _CONTAINERS, _IMAGES)
CONTROLLERREVISIONS = (
    NAME,
    Column("Controller", _controller, description="The object this is a revision of."),
    Column("Revision", lambda obj, now: obj.get("revision", 0), type="integer", description="Its number."),
    AGE,
)

#: The `scale` of any of them.
SCALES = (
    NAME,
    Column("Desired", _wanted, type="integer", description="How many replicas there shall be."),
    Column("Available", _count("replicas"), type="integer", description="How many replicas there are."),
    AGE,
)
