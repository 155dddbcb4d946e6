"""Columns of what the cluster itself is made of: nodes, namespaces, leases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestrator.api.objects import Object
from orchestrator.api.printing.columns import AGE, NAME, NONE, UNKNOWN, Column, joined

_ROLE_PREFIX = "node-role.kubernetes.io/"


def _status(node: Object, now: float) -> str:
    conditions = (node.get("status") or {}).get("conditions") or ()
    ready = next((condition for condition in conditions if condition.get("type") == "Ready"), None)
    words = ["Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"]
    if (node.get("spec") or {}).get("unschedulable"):
        words.append("SchedulingDisabled")
    return ",".join(words)


def _roles(node: Object, now: float) -> str:
    labels = node["metadata"].get("labels") or {}
    roles = {key.removeprefix(_ROLE_PREFIX) for key in labels if key.startswith(_ROLE_PREFIX)}
    roles.add(labels.get("kubernetes.io/role", ""))
    return joined(sorted(roles - {""}))


def _info(field: str, empty: str = UNKNOWN) -> Callable[[Object, float], Any]:
    return lambda node, now: ((node.get("status") or {}).get("nodeInfo") or {}).get(field) or empty


def _address(type_: str) -> Callable[[Object, float], str]:
    def cell(node: Object, now: float) -> str:
        addresses = (node.get("status") or {}).get("addresses") or ()
        return next((a.get("address", "") for a in addresses if a.get("type") == type_), NONE)

    return cell


NAMESPACES = (
    NAME,
    Column("Status", lambda obj, now: (obj.get("status") or {}).get("phase", ""), description="Active or Terminating."),
    AGE,
)
NODES = (
    NAME,
    Column("Status", _status, description="Whether the node is ready, and takes new pods."),
    Column("Roles", _roles, description="The node's roles, from its labels."),
    AGE,
    Column("Version", _info("kubeletVersion", ""), description="The node agent's version."),
    Column("Internal-IP", _address("InternalIP"), priority=1, description="The node's address in the cluster."),
    Column("External-IP", _address("ExternalIP"), priority=1, description="The node's address outside."),
    Column("OS-Image", _info("osImage"), priority=1, description="The node's operating system."),
    Column("Kernel-Version", _info("kernelVersion"), priority=1, description="The node's kernel."),
    Column("Container-Runtime", _info("containerRuntimeVersion"), priority=1, description="What runs its containers."),
)
LEASES = (
    NAME,
    Column("Holder", lambda obj, now: (obj.get("spec") or {}).get("holderIdentity", ""), description="Who holds it."),
    AGE,
)
