"""ReplicaSets, Deployments, StatefulSets and ControllerRevisions: defaults, rules, what a client may not set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from orchestrator.api.objects import Object
from orchestrator.api.problems import Problem, required
from orchestrator.api.strategies.pod_defaults import default_claim_spec, default_template
from orchestrator.api.strategies.pod_warnings import pod_warnings
from orchestrator.api.strategies.rules import immutable, is_label, nonnegative
from orchestrator.api.strategies.spec_status import Named, SpecAndStatus
from orchestrator.api.strategies.workload_rules import (
    validate_collisions,
    validate_counts,
    validate_deployment,
    validate_replicaset,
    validate_statefulset,
    validate_statefulset_change,
)
from orchestrator.api.support.gaps import gap_warnings

_HISTORY = 10
_PROGRESS_DEADLINE_S = 600
_SHARE = "25%"


class _Workload(SpecAndStatus):
    """What the three have in common: replicas, a selector, a template, counts in their status."""

    counts: ClassVar[Sequence[str]] = ()

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        if spec.get("replicas") is None:
            spec["replicas"] = 1
        default_template(spec.setdefault("template", {}))
        self.default_spec(spec)

    def default_spec(self, spec: Object) -> None:
        """The defaults only this kind has."""

    def validate_status_update(self, obj: Object, old: Object) -> Sequence[Problem]:
        status, before = obj.get("status") or {}, old.get("status") or {}
        return [
            *self._metadata(obj, old),
            *validate_counts(status, self.counts),
            *validate_collisions(status, before),
        ]

    def warnings(self, obj: Object, old: Object | None) -> Sequence[str]:
        template = (obj.get("spec") or {}).get("template") or {}
        warnings: list[str] = []
        if old is None:
            name = (obj.get("metadata") or {}).get("name", "")
            if messages := is_label(name):
                listed = " ".join(messages)
                warnings.append(
                    "metadata.name: this is used in Pod names and hostnames, which can result in surprising "
                    f"behavior; a DNS label is recommended: [{listed}]"
                )
        elif template == ((old.get("spec") or {}).get("template") or {}):
            return warnings
        return warnings + pod_warnings(template.get("spec") or {}, template.get("metadata") or {}, "spec.template")


class _ReplicaSets(_Workload):
    initial_status: ClassVar[Mapping[str, Any]] = {"replicas": 0}
    counts = ("fullyLabeledReplicas", "readyReplicas", "availableReplicas")

    def rules(self, obj: Object) -> Sequence[Problem]:
        return validate_replicaset(obj["spec"])

    def changes(self, obj: Object, old: Object) -> Sequence[Problem]:
        return _same_selector(obj, old)

    def selectable_fields(self, obj: Object) -> Mapping[str, str]:
        return {"status.replicas": str((obj.get("status") or {}).get("replicas", 0))}


class _Deployments(_Workload):
    counts = ("updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas")

    def default_spec(self, spec: Object) -> None:
        strategy = _section(spec, "strategy")
        if not strategy.get("type"):
            strategy["type"] = "RollingUpdate"
        if strategy["type"] == "RollingUpdate":
            rolling = _section(strategy, "rollingUpdate")
            for name in ("maxUnavailable", "maxSurge"):
                if rolling.get(name) is None:
                    rolling[name] = _SHARE
        if spec.get("revisionHistoryLimit") is None:
            spec["revisionHistoryLimit"] = _HISTORY
        if spec.get("progressDeadlineSeconds") is None:
            spec["progressDeadlineSeconds"] = _PROGRESS_DEADLINE_S

    def rules(self, obj: Object) -> Sequence[Problem]:
        return validate_deployment(obj["spec"])

    def changes(self, obj: Object, old: Object) -> Sequence[Problem]:
        return _same_selector(obj, old)


class _StatefulSets(_Workload):
    initial_status: ClassVar[Mapping[str, Any]] = {"replicas": 0, "availableReplicas": 0}
    counts = ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")

    def name_rule(self, name: str) -> Sequence[str]:
        # Its pods' host names are made from it.
        return is_label(name)

    def default_spec(self, spec: Object) -> None:
        if not spec.get("podManagementPolicy"):
            spec["podManagementPolicy"] = "OrderedReady"
        strategy = _section(spec, "updateStrategy")
        if not strategy.get("type"):
            strategy["type"] = "RollingUpdate"
        if strategy["type"] == "RollingUpdate":
            rolling = _section(strategy, "rollingUpdate")
            if rolling.get("partition") is None:
                rolling["partition"] = 0
        retention = _section(spec, "persistentVolumeClaimRetentionPolicy")
        for name in ("whenDeleted", "whenScaled"):
            if not retention.get(name):
                retention[name] = "Retain"
        if spec.get("revisionHistoryLimit") is None:
            spec["revisionHistoryLimit"] = _HISTORY
        for claim in spec.get("volumeClaimTemplates") or ():
            claim.update(apiVersion="v1", kind="PersistentVolumeClaim")
            default_claim_spec(claim.setdefault("spec", {}))
            claim["status"] = {**(claim.get("status") or {}), "phase": "Pending"}

    def rules(self, obj: Object) -> Sequence[Problem]:
        return validate_statefulset(obj["spec"])

    def changes(self, obj: Object, old: Object) -> Sequence[Problem]:
        return validate_statefulset_change(obj["spec"], old.get("spec") or {})

    def validate_status_update(self, obj: Object, old: Object) -> Sequence[Problem]:
        status, before = obj.get("status") or {}, old.get("status") or {}
        return [
            *self._metadata(obj, old),
            *validate_counts(status, self.counts, "status.readyReplicas"),
            *validate_collisions(status, before),
        ]

    def warnings(self, obj: Object, old: Object | None) -> Sequence[str]:
        spec = obj.get("spec") or {}
        template = spec.get("template") or {}
        warnings: list[str] = []
        if old is None or template != ((old.get("spec") or {}).get("template") or {}):
            warnings += pod_warnings(template.get("spec") or {}, template.get("metadata") or {}, "spec.template")
        if (spec.get("revisionHistoryLimit") or 0) < 0:
            words = "a negative value retains all historical revisions; a value >= 0 is recommended"
            warnings.append(f"spec.revisionHistoryLimit: {words}")
        return warnings + gap_warnings("v1.StatefulSetSpec", spec, "spec")


class _ControllerRevisions(Named):
    has_generation = False

    def rules(self, obj: Object) -> Sequence[Problem]:
        problems = [] if obj.get("data") is not None else [required("data", "data is mandatory")]
        return problems + nonnegative("revision", obj.get("revision"))

    def changes(self, obj: Object, old: Object) -> Sequence[Problem]:
        return immutable("data", obj.get("data"), old.get("data"))


def _section(parent: Object, name: str) -> Object:
    """A part of the object that is there after this, empty if need be."""
    section: Object = parent.get(name) or {}
    parent[name] = section
    return section


def _same_selector(obj: Object, old: Object) -> Sequence[Problem]:
    return immutable("spec.selector", obj["spec"].get("selector"), (old.get("spec") or {}).get("selector"))


REPLICASETS_STRATEGY = _ReplicaSets()
DEPLOYMENTS_STRATEGY = _Deployments()
STATEFULSETS_STRATEGY = _StatefulSets()
CONTROLLERREVISIONS_STRATEGY = _ControllerRevisions()
