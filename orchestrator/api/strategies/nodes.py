"""Nodes: addresses for pods that are given once, taints, capacity."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence

from orchestrator.api.objects import Object
from orchestrator.api.problems import Problem, duplicate, forbidden, invalid
from orchestrator.api.strategies.requirements import validate_amount
from orchestrator.api.strategies.rules import Problems, network, repeated
from orchestrator.api.strategies.scheduling import validate_taints
from orchestrator.api.strategies.spec_status import SpecAndStatus, keep, tie_first

_RESOURCE_LISTS = ("capacity", "allocatable")


class _Nodes(SpecAndStatus):
    has_generation = False
    namespaced = False

    def prepare_create(self, obj: Object) -> None:
        """A node comes with its status: the agent that registers it is the one who knows."""

    def prepare_status_update(self, obj: Object, old: Object) -> None:
        keep(obj, old, "spec")
        self.default(obj)

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        tie_first(spec, "podCIDR", "podCIDRs")
        status = obj.setdefault("status", {})
        if status.get("capacity") and not status.get("allocatable"):
            status["allocatable"] = dict(status["capacity"])

    def rules(self, obj: Object) -> Sequence[Problem]:
        problems = _resources(obj)
        if taints := (obj.get("spec") or {}).get("taints"):
            # Kubernetes reports taints on the metadata.
            problems += validate_taints(taints, "metadata.taints")
        return problems + _pod_ranges((obj.get("spec") or {}).get("podCIDRs") or ())

    def changes(self, obj: Object, old: Object) -> Sequence[Problem]:
        problems: Problems = []
        spec, before = obj.get("spec") or {}, old.get("spec") or {}
        if (ranges := before.get("podCIDRs")) and spec.get("podCIDRs") != ranges:
            words = 'node updates may not change podCIDR except from "" to valid'
            problems.append(forbidden("spec.podCIDRs", words))
        if (provider := before.get("providerID")) and spec.get("providerID", "") != provider:
            words = 'node updates may not change providerID except from "" to valid'
            problems.append(forbidden("spec.providerID", words))
        if spec.get("externalID", "") != before.get("externalID", ""):
            problems.append(forbidden("spec.externalID", "may not be updated"))
        return problems

    def validate_status_update(self, obj: Object, old: Object) -> Sequence[Problem]:
        addresses = (obj.get("status") or {}).get("addresses") or ()
        told = repeated((address.get("type", ""), address.get("address", "")) for address in addresses)
        problems = [*self._metadata(obj, old), *_resources(obj)]
        return problems + [duplicate(f"status.addresses[{index}]", addresses[index]) for index in told]

    def selectable_fields(self, obj: Object) -> Mapping[str, str]:
        return {"spec.unschedulable": "true" if (obj.get("spec") or {}).get("unschedulable") else "false"}

    def warnings(self, obj: Object, old: Object | None) -> Sequence[str]:
        spec = obj.get("spec") or {}
        warnings: list[str] = []
        if spec.get("configSource") is not None:
            warnings.append("spec.configSource: deprecated in v1.22, support removal is planned in v1.26")
        if spec.get("externalID"):
            warnings.append("spec.externalID: this field is deprecated, and is unused by Kubernetes")
        return warnings


def _resources(obj: Object) -> Problems:
    problems: Problems = []
    status = obj.get("status") or {}
    for kind in _RESOURCE_LISTS:
        for name, value in (status.get(kind) or {}).items():
            problems += validate_amount(name, value, f"status.{kind}.{name}")
    return problems


def _pod_ranges(ranges: Sequence[str]) -> Problems:
    problems: Problems = []
    for index, value in enumerate(ranges):
        problems += network(f"spec.podCIDRs[{index}]", value)
    if problems or len(ranges) < 2:
        return problems
    families = {ipaddress.ip_network(value, strict=False).version for value in ranges}
    if len(families) < 2 or len(ranges) > 2:
        words = "may specify no more than one CIDR for each IP family"
        problems.append(invalid("spec.podCIDRs", list(ranges), words))
    return problems + [duplicate(f"spec.podCIDRs[{index}]", ranges[index]) for index in repeated(ranges)]


NODES_STRATEGY = _Nodes()
