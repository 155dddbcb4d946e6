"""The gaps: every field that is accepted and that nobody implements, with what is done about it. Nothing is ignored.

A test reads the published definitions against this table and the one of `implemented.py`: each field of each served
kind's spec is in one of them, or in both, where only some values are implemented. Whoever implements a field takes it
out here and puts it in there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Outcome(Enum):
    """What becomes of an object that uses the field."""

    #: It is not accepted at all.
    REFUSED = "refused"
    #: A pod waits, and says for what: in its PodScheduled condition, or, where the node waits, in its events.
    PENDING = "pending"
    #: It is accepted, and the client is told in a `Warning` header that the field does nothing.
    WARNED = "warned"
    #: It is kept, and means nothing here: a note for clients, or for a part that a cluster may do without.
    INERT = "inert"


def _is_given(value: Any) -> bool:
    return bool(value)


@dataclass(frozen=True, slots=True)
class Gap:
    """What is done (`outcome`) by whom, and why. `applies` says which values of the field are meant."""

    outcome: Outcome
    by: str
    why: str
    applies: Callable[[Any], bool] = _is_given

    @property
    def is_whole(self) -> bool:
        """Whether the field is not implemented at all; otherwise only some of its values are not."""
        return self.applies is _is_given


def _is(*values: object) -> Callable[[Any], bool]:
    return lambda given: given in values


def _has(field: str, *values: object) -> Callable[[Any], bool]:
    return lambda given: isinstance(given, Mapping) and given.get(field) in values


_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_SCHEDULER, _AGENT, _SERVER = "scheduler", "node agent", "API server"

_BETWEEN_PODS = Gap(Outcome.PENDING, _SCHEDULER, "affinity between pods is not implemented")
_PREFERENCE = Gap(Outcome.WARNED, _SERVER, "preferences between pods are not implemented")
_APP_ARMOR = Gap(Outcome.PENDING, _SCHEDULER, "profiles of one's own are not implemented", _has("type", "Localhost"))
_SELINUX = Gap(Outcome.WARNED, _SERVER, "SELinux labels are not implemented")
_WINDOWS = Gap(Outcome.WARNED, _SERVER, "there are no Windows nodes")
_CLAIM = Gap(Outcome.PENDING, _SCHEDULER, "persistent volume claims are not implemented")
_NOT_MOUNTED = Gap(Outcome.PENDING, _AGENT, "no volume plugin mounts it: the pod waits with FailedMount")
_LATER = "changing the resources of a running pod is not implemented, so this is never asked"

_NOT_MOUNTED_VOLUMES = (
    "awsElasticBlockStore azureDisk azureFile cephfs cinder csi fc flexVolume flocker gcePersistentDisk gitRepo "
    "glusterfs image iscsi nfs photonPersistentDisk portworxVolume quobyte rbd scaleIO storageos vsphereVolume"
)

#: By the name of the definition, then by field. What is below a field that is here needs no entry of its own.
GAPS: Mapping[str, Mapping[str, Gap]] = {
    "v1.PodSpec": {
        "ephemeralContainers": Gap(Outcome.REFUSED, _SERVER, "they cannot be set on create, and not be added later"),
        "hostUsers": Gap(Outcome.PENDING, _SCHEDULER, "user namespaces are not implemented", _is(False)),
        "hostnameOverride": Gap(Outcome.WARNED, _SERVER, "the hostname is as without it"),
        "os": Gap(Outcome.PENDING, _SCHEDULER, "all nodes run Linux", _has("name", "windows")),
        "preemptionPolicy": Gap(Outcome.INERT, _SCHEDULER, "nobody is preempted: what does not fit waits, and says so"),
        "resourceClaims": Gap(Outcome.PENDING, _SCHEDULER, "dynamic resource allocation is not implemented"),
        "resources": Gap(
            Outcome.PENDING,
            _SCHEDULER,
            "resources of the pod as a whole are not implemented",
            lambda given: any(given.values()),
        ),
        "runtimeClassName": Gap(Outcome.REFUSED, _SERVER, "there are no RuntimeClasses"),
        "schedulingGroup": Gap(Outcome.PENDING, _SCHEDULER, "scheduling in groups is not implemented"),
    },
    "v1.TopologySpreadConstraint": {
        "whenUnsatisfiable": Gap(
            Outcome.PENDING, _SCHEDULER, "topology spread is not implemented", _is("DoNotSchedule")
        ),
        "topologyKey": Gap(Outcome.WARNED, _SERVER, "topology spread is not implemented"),
        "maxSkew": Gap(Outcome.INERT, _SERVER, "part of the constraint"),
        "minDomains": Gap(Outcome.INERT, _SERVER, "part of the constraint"),
        "labelSelector": Gap(Outcome.INERT, _SERVER, "part of the constraint"),
        "matchLabelKeys": Gap(Outcome.INERT, _SERVER, "part of the constraint"),
        "nodeAffinityPolicy": Gap(Outcome.INERT, _SERVER, "part of the constraint"),
        "nodeTaintsPolicy": Gap(Outcome.INERT, _SERVER, "part of the constraint"),
    },
    "v1.PodAffinity": {_REQUIRED: _BETWEEN_PODS, _PREFERRED: _PREFERENCE},
    "v1.PodAntiAffinity": {_REQUIRED: _BETWEEN_PODS, _PREFERRED: _PREFERENCE},
    "v1.PodSecurityContext": {
        "appArmorProfile": _APP_ARMOR,
        "fsGroupChangePolicy": Gap(Outcome.INERT, _AGENT, "groups are set on what is made, which is never much"),
        "seLinuxChangePolicy": _SELINUX,
        "seLinuxOptions": _SELINUX,
        "supplementalGroupsPolicy": Gap(
            Outcome.PENDING, _SCHEDULER, "groups of the image are always merged", _is("Strict")
        ),
        "windowsOptions": _WINDOWS,
    },
    "v1.SecurityContext": {
        "appArmorProfile": _APP_ARMOR,
        "procMount": Gap(Outcome.WARNED, _SERVER, "/proc is always masked", _is("Unmasked")),
        "seLinuxOptions": _SELINUX,
        "windowsOptions": _WINDOWS,
    },
    "v1.Container": {
        "resizePolicy": Gap(Outcome.INERT, _AGENT, _LATER),
        # Always makes a sidecar of an init container.
        "restartPolicy": Gap(
            Outcome.WARNED, _SERVER, "restarts follow the pod's restartPolicy", _is("Never", "OnFailure")
        ),
        "restartPolicyRules": Gap(Outcome.WARNED, _SERVER, "restarts follow the pod's restartPolicy"),
        "volumeDevices": Gap(Outcome.PENDING, _SCHEDULER, "it names a persistent volume claim, which is waited for"),
    },
    "v1.ResourceRequirements": {
        "claims": Gap(Outcome.PENDING, _SCHEDULER, "it names one of resourceClaims, which are waited for"),
    },
    "v1.VolumeMount": {
        "recursiveReadOnly": Gap(
            Outcome.WARNED, _SERVER, "mounts below a read-only mount are as they are", _is("Enabled")
        ),
    },
    "v1.EnvVarSource": {
        "fileKeyRef": Gap(Outcome.PENDING, _AGENT, "the container waits with CreateContainerConfigError"),
    },
    "v1.Probe": {
        "grpc": Gap(Outcome.WARNED, _SERVER, "gRPC probes are not implemented, and fail"),
    },
    "v1.Volume": {
        **dict.fromkeys(_NOT_MOUNTED_VOLUMES.split(), _NOT_MOUNTED),
        "ephemeral": _CLAIM,
        "persistentVolumeClaim": _CLAIM,
    },
    "v1.VolumeProjection": {"clusterTrustBundle": _NOT_MOUNTED, "podCertificate": _NOT_MOUNTED},
    "v1.StatefulSetSpec": {
        "persistentVolumeClaimRetentionPolicy": Gap(
            Outcome.WARNED,
            _SERVER,
            "persistent volume claims are not implemented",
            lambda given: "Delete" in given.values(),
        ),
        "volumeClaimTemplates": Gap(
            Outcome.PENDING, "StatefulSet controller", "its pods wait for claims, which are not implemented"
        ),
    },
    "v1.ServiceSpec": {
        "allocateLoadBalancerNodePorts": Gap(Outcome.WARNED, _SERVER, "node ports are always allocated", _is(False)),
        "healthCheckNodePort": Gap(Outcome.INERT, "proxy", "nobody asks it without a load balancer"),
        "loadBalancerClass": Gap(Outcome.INERT, _SERVER, "for whoever implements load balancers"),
        "loadBalancerIP": Gap(Outcome.INERT, _SERVER, "for whoever implements load balancers"),
        "trafficDistribution": Gap(Outcome.WARNED, _SERVER, "traffic goes to all endpoints alike"),
    },
    "v1.ServicePort": {
        "protocol": Gap(Outcome.WARNED, _SERVER, "the proxy forwards TCP and UDP", _is("SCTP")),
    },
    "v1.NodeSpec": {
        "configSource": Gap(Outcome.WARNED, _SERVER, "Kubernetes took it out"),
        "externalID": Gap(Outcome.INERT, _SERVER, "Kubernetes took it out"),
        "providerID": Gap(Outcome.INERT, _SERVER, "a note of whoever made the machine"),
    },
    "v1.Endpoint": {
        "deprecatedTopology": Gap(Outcome.INERT, _SERVER, "kept for clients of v1beta1"),
    },
    "v1.LeaseSpec": {
        "preferredHolder": Gap(Outcome.INERT, _SERVER, "a word between those that compete for the lease"),
        "strategy": Gap(Outcome.INERT, _SERVER, "a word between those that compete for the lease"),
    },
}

#: The fields that lead from one definition to others with gaps: how a spec is walked without its schema.
LEADS: Mapping[str, Mapping[str, str]] = {
    "v1.PodSpec": {
        "affinity": "v1.Affinity",
        "containers": "v1.Container",
        "initContainers": "v1.Container",
        "securityContext": "v1.PodSecurityContext",
        "topologySpreadConstraints": "v1.TopologySpreadConstraint",
        "volumes": "v1.Volume",
    },
    "v1.Affinity": {"podAffinity": "v1.PodAffinity", "podAntiAffinity": "v1.PodAntiAffinity"},
    "v1.Container": {
        "env": "v1.EnvVar",
        "livenessProbe": "v1.Probe",
        "readinessProbe": "v1.Probe",
        "resources": "v1.ResourceRequirements",
        "securityContext": "v1.SecurityContext",
        "startupProbe": "v1.Probe",
        "volumeMounts": "v1.VolumeMount",
    },
    "v1.EnvVar": {"valueFrom": "v1.EnvVarSource"},
    "v1.ServiceSpec": {"ports": "v1.ServicePort"},
    "v1.Volume": {"projected": "v1.ProjectedVolumeSource"},
    "v1.ProjectedVolumeSource": {"sources": "v1.VolumeProjection"},
}

_NONE: Mapping[str, Any] = {}


def gaps_in(definition: str, obj: Mapping[str, Any], path: str) -> Sequence[tuple[str, Gap]]:
    """The gaps that an object of this definition, found at `path`, has values for. Pod templates are not entered."""
    # Every created pod is asked for, and hardly any has a gap: paths are made in a second look, where there is one.
    return list(_look(definition, obj, path)) if _has_gap(definition, obj) else []


def _has_gap(definition: str, obj: Mapping[str, Any]) -> bool:
    gaps, leads = GAPS.get(definition, _NONE), LEADS.get(definition, _NONE)
    for field, value in obj.items():
        if field in gaps:
            if value is not None and gaps[field].applies(value):
                return True
        elif value and field in leads:
            below = leads[field]
            for item in (value,) if isinstance(value, dict) else value:
                if _has_gap(below, item):
                    return True
    return False


def _look(definition: str, obj: Mapping[str, Any], path: str) -> Iterator[tuple[str, Gap]]:
    gaps, leads = GAPS.get(definition, _NONE), LEADS.get(definition, _NONE)
    for field, value in obj.items():
        at = f"{path}.{field}"
        if field in gaps:
            if value is not None and gaps[field].applies(value):
                yield at, gaps[field]
        elif value and field in leads:
            if isinstance(value, dict):
                yield from _look(leads[field], value, at)
            else:
                for index, item in enumerate(value):
                    yield from _look(leads[field], item, f"{at}[{index}]")


def gap_warnings(definition: str, obj: Mapping[str, Any], path: str) -> list[str]:
    """What to tell the author of an accepted object: each of its fields that does nothing, or makes it wait."""
    words = {Outcome.PENDING: "pods with it stay pending", Outcome.WARNED: "it is ignored"}
    return [
        f"{at}: not implemented, {words[gap.outcome]}: {gap.why}"
        for at, gap in gaps_in(definition, obj, path)
        if gap.outcome in words
    ]
