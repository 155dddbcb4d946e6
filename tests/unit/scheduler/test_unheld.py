"""What nothing implements is never quietly left out: the pod waits, and says for what."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.api import codec
from orchestrator.api.support.gaps import GAPS, Outcome, gaps_in
from orchestrator.api.views.scheduling import PodView
from tests.support.scheduling import a_node, a_table, placed

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_TERM = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "db"}}}
_STRICT = {"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}
_LOCALHOST = {"appArmorProfile": {"type": "Localhost", "localhostProfile": "p"}}
_CLAIM = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}

#: For each gap that the scheduler minds: a spec that falls into it, and what the pod is told.
SAMPLES: dict[tuple[str, str], tuple[dict[str, Any], str]] = {
    ("v1.PodAntiAffinity", _REQUIRED): (
        {"affinity": {"podAntiAffinity": {_REQUIRED: [_TERM]}}},
        f"spec.affinity.podAntiAffinity.{_REQUIRED} is not implemented",
    ),
    ("v1.PodAffinity", _REQUIRED): (
        {"affinity": {"podAffinity": {_REQUIRED: [_TERM]}}},
        f"spec.affinity.podAffinity.{_REQUIRED} is not implemented",
    ),
    ("v1.TopologySpreadConstraint", "whenUnsatisfiable"): (
        {"topologySpreadConstraints": [{**_STRICT, "whenUnsatisfiable": "ScheduleAnyway"}, _STRICT]},
        "spec.topologySpreadConstraints[1].whenUnsatisfiable=DoNotSchedule is not implemented",
    ),
    ("v1.PodSpec", "resources"): (
        {"resources": {"requests": {"cpu": "1"}}},
        "spec.resources is not implemented",
    ),
    ("v1.PodSpec", "resourceClaims"): (
        {"resourceClaims": [{"name": "gpu", "resourceClaimName": "gpu"}]},
        "spec.resourceClaims is not implemented",
    ),
    ("v1.ResourceRequirements", "claims"): (
        {
            "resourceClaims": [{"name": "gpu", "resourceClaimName": "gpu"}],
            "containers": [{"name": "c", "resources": {"claims": [{"name": "gpu"}]}}],
        },
        "spec.resourceClaims is not implemented",
    ),
    ("v1.PodSpec", "schedulingGroup"): (
        {"schedulingGroup": {"podGroupName": "g"}},
        "spec.schedulingGroup is not implemented",
    ),
    ("v1.PodSpec", "hostUsers"): ({"hostUsers": False}, "spec.hostUsers=false is not implemented"),
    ("v1.PodSpec", "os"): ({"os": {"name": "windows"}}, "spec.os.name=windows: all nodes run Linux"),
    ("v1.PodSecurityContext", "supplementalGroupsPolicy"): (
        {"securityContext": {"supplementalGroupsPolicy": "Strict"}},
        "spec.securityContext.supplementalGroupsPolicy=Strict is not implemented",
    ),
    ("v1.PodSecurityContext", "appArmorProfile"): (
        {"securityContext": _LOCALHOST},
        "spec.securityContext.appArmorProfile.type=Localhost is not implemented",
    ),
    ("v1.SecurityContext", "appArmorProfile"): (
        {"initContainers": [{"name": "i", "securityContext": _LOCALHOST}]},
        "spec.initContainers[0].securityContext.appArmorProfile.type=Localhost is not implemented",
    ),
    ("v1.Volume", "persistentVolumeClaim"): ({"volumes": [_CLAIM]}, 'persistentvolumeclaim "data" not found'),
    ("v1.Volume", "ephemeral"): (
        {"volumes": [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}]},
        'waiting for ephemeral volume controller to create the persistentvolumeclaim "p-scratch"',
    ),
    ("v1.Container", "volumeDevices"): (
        {
            "volumes": [_CLAIM],
            "containers": [{"name": "c", "volumeDevices": [{"name": "data", "devicePath": "/dev/xvda"}]}],
        },
        'persistentvolumeclaim "data" not found',
    ),
}


def test_there_is_a_sample_of_every_gap_that_the_scheduler_minds() -> None:
    minded = {
        (definition, field)
        for definition, gaps in GAPS.items()
        for field, gap in gaps.items()
        if gap.outcome is Outcome.PENDING and gap.by == "scheduler"
    }
    assert minded == set(SAMPLES)


@pytest.mark.parametrize("gap", [pytest.param(gap, id=".".join(gap)) for gap in SAMPLES])
def test_a_pod_with_a_demand_that_nothing_implements_stays_pending_and_says_which(gap: tuple[str, str]) -> None:
    spec, told = SAMPLES[gap]
    spec = {"containers": [{"name": "c"}], **spec}
    assert GAPS[gap[0]][gap[1]] in [found for _, found in gaps_in("v1.PodSpec", spec, "spec")]
    pod = codec.decode_into(codec.encode({"metadata": {"name": "p", "uid": "u"}, "spec": spec}), PodView)
    assert placed(pod, a_table(a_node("n1"), a_node("n2"))) == f"0/2 nodes are available: {told}."


def test_wishes_that_nothing_implements_do_not_keep_a_pod_waiting() -> None:
    spec = {
        "containers": [{"name": "c", "securityContext": {"appArmorProfile": {"type": "RuntimeDefault"}}}],
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1}]}},
        "topologySpreadConstraints": [{**_STRICT, "whenUnsatisfiable": "ScheduleAnyway"}],
        "hostUsers": True,
        "os": {"name": "linux"},
        "resources": {},
        "volumes": [{"name": "v", "emptyDir": {}}],
    }
    pod = codec.decode_into(codec.encode({"metadata": {"name": "p", "uid": "u"}, "spec": spec}), PodView)
    assert placed(pod, a_table(a_node("n1"))) == "n1"
