"""Who implements which of the fields that the API accepts: by definition, then by component. See also `gaps.py`."""

from __future__ import annotations

from collections.abc import Mapping

_SERVER, _SCHEDULER, _AGENT, _PROXY = "API server", "scheduler", "node agent", "proxy"

#: Definitions whose every field one component implements: by component, by the definition's name.
_WHOLE: Mapping[str, str] = {
    _SERVER: (
        "v1.NamespaceSpec v1.EventSeries v1.EventSource v1.ObjectReference v1.OwnerReference "
        "v1.CertificateSigningRequestSpec v1.PodTemplateSpec v1.ObjectMeta v1.ManagedFieldsEntry "
        "v1.IPAddressSpec v1.ParentReference"
    ),
    _SCHEDULER: (
        "v1.NodeAffinity v1.PreferredSchedulingTerm v1.NodeSelector v1.NodeSelectorTerm v1.NodeSelectorRequirement "
        "v1.PodSchedulingGate"
    ),
    _AGENT: (
        "v1.EnvVar v1.ConfigMapKeySelector v1.ObjectFieldSelector v1.ResourceFieldSelector v1.SecretKeySelector "
        "v1.EnvFromSource v1.ConfigMapEnvSource v1.SecretEnvSource v1.Lifecycle v1.LifecycleHandler v1.ExecAction "
        "v1.HTTPGetAction v1.HTTPHeader v1.SleepAction v1.TCPSocketAction v1.ContainerPort v1.Capabilities "
        "v1.SeccompProfile v1.PodDNSConfig v1.PodDNSConfigOption v1.HostAlias v1.LocalObjectReference "
        "v1.PodReadinessGate v1.Sysctl v1.ConfigMapVolumeSource v1.KeyToPath v1.DownwardAPIVolumeSource "
        "v1.DownwardAPIVolumeFile v1.EmptyDirVolumeSource v1.HostPathVolumeSource v1.ProjectedVolumeSource "
        "v1.ConfigMapProjection v1.DownwardAPIProjection v1.SecretProjection v1.ServiceAccountTokenProjection "
        "v1.SecretVolumeSource"
    ),
    _PROXY: "v1.SessionAffinityConfig v1.ClientIPConfig v1.EndpointConditions v1.EndpointHints v1.ForNode v1.ForZone",
    "workload controllers": (
        "v1.LabelSelector v1.LabelSelectorRequirement v1.ReplicaSetSpec v1.DeploymentSpec v1.DeploymentStrategy "
        "v1.RollingUpdateDeployment v1.StatefulSetOrdinals v1.StatefulSetUpdateStrategy "
        "v1.RollingUpdateStatefulSetStrategy"
    ),
    "endpoint controllers": "v1.EndpointSubset v1.EndpointAddress v1.EndpointPort",
}

#: Where several components share a definition, or where some of its fields are gaps.
_BY_FIELD: Mapping[str, Mapping[str, str]] = {
    "v1.NodeSpec": {
        "node controllers": "podCIDR podCIDRs",
        _SCHEDULER: "taints unschedulable",
    },
    "v1.Taint": {_SCHEDULER: "key value effect", "node controllers": "timeAdded"},
    "v1.Toleration": {_SCHEDULER: "key operator value effect", "node controllers": "tolerationSeconds"},
    "v1.PodSpec": {
        _SERVER: "automountServiceAccountToken priorityClassName serviceAccount serviceAccountName",
        _SCHEDULER: (
            "affinity nodeName nodeSelector overhead priority schedulerName schedulingGates tolerations "
            "topologySpreadConstraints"
        ),
        _AGENT: (
            "activeDeadlineSeconds containers dnsConfig dnsPolicy enableServiceLinks hostAliases hostIPC hostNetwork "
            "hostPID hostname imagePullSecrets initContainers readinessGates restartPolicy securityContext "
            "setHostnameAsFQDN shareProcessNamespace subdomain terminationGracePeriodSeconds volumes"
        ),
    },
    "v1.Affinity": {_SCHEDULER: "nodeAffinity podAffinity podAntiAffinity"},
    "v1.Container": {
        _AGENT: (
            "args command env envFrom image imagePullPolicy lifecycle livenessProbe name ports readinessProbe "
            "resources restartPolicy securityContext startupProbe stdin stdinOnce terminationMessagePath "
            "terminationMessagePolicy tty volumeMounts workingDir"
        ),
    },
    "v1.EnvVarSource": {_AGENT: "configMapKeyRef fieldRef resourceFieldRef secretKeyRef"},
    "v1.Probe": {
        _AGENT: (
            "exec failureThreshold httpGet initialDelaySeconds periodSeconds successThreshold tcpSocket "
            "terminationGracePeriodSeconds timeoutSeconds"
        ),
    },
    "v1.ResourceRequirements": {_AGENT: "limits", _SCHEDULER: "requests"},
    "v1.SecurityContext": {
        _AGENT: (
            "allowPrivilegeEscalation capabilities privileged readOnlyRootFilesystem runAsGroup runAsNonRoot "
            "runAsUser seccompProfile"
        ),
    },
    "v1.PodSecurityContext": {
        _AGENT: "fsGroup runAsGroup runAsNonRoot runAsUser seccompProfile supplementalGroups sysctls",
    },
    "v1.VolumeMount": {_AGENT: "mountPath mountPropagation name readOnly subPath subPathExpr"},
    "v1.Volume": {_AGENT: "configMap downwardAPI emptyDir hostPath name projected secret"},
    "v1.VolumeProjection": {_AGENT: "configMap downwardAPI secret serviceAccountToken"},
    "v1.ServiceSpec": {
        _SERVER: "clusterIP clusterIPs ipFamilies ipFamilyPolicy type",
        "endpoint controllers": "publishNotReadyAddresses selector",
        _PROXY: (
            "externalIPs externalName externalTrafficPolicy internalTrafficPolicy loadBalancerSourceRanges ports "
            "sessionAffinity sessionAffinityConfig"
        ),
    },
    "v1.ServicePort": {_PROXY: "name nodePort port protocol", "endpoint controllers": "appProtocol targetPort"},
    "v1.StatefulSetSpec": {
        "workload controllers": (
            "minReadySeconds ordinals podManagementPolicy replicas revisionHistoryLimit selector serviceName template "
            "updateStrategy"
        ),
    },
    "v1.ServiceCIDRSpec": {"network controllers": "cidrs"},
    "v1.Endpoint": {
        "endpoint controllers": "targetRef zone",
        _PROXY: "addresses conditions hints hostname nodeName",
    },
    "v1.LeaseSpec": {
        "whoever competes for it": "acquireTime holderIdentity leaseDurationSeconds leaseTransitions renewTime",
    },
    # Kinds without a spec: what they hold is theirs to keep and others' to read.
    "v1.ConfigMap": {_AGENT: "binaryData data", _SERVER: "immutable"},
    "v1.Secret": {_AGENT: "data", _SERVER: "immutable stringData type"},
    "v1.ServiceAccount": {_SERVER: "automountServiceAccountToken imagePullSecrets secrets"},
    "v1.Endpoints": {"endpoint controllers": "subsets"},
    "v1.EndpointSlice": {_PROXY: "addressType endpoints ports"},
    "v1.ControllerRevision": {"workload controllers": "data revision"},
    "v1.Event": {
        _SERVER: (
            "action count deprecatedCount deprecatedFirstTimestamp deprecatedLastTimestamp deprecatedSource eventTime "
            "firstTimestamp involvedObject lastTimestamp message note reason regarding related reportingComponent "
            "reportingController reportingInstance series source type"
        ),
    },
}


def implementer(definition: str, field: str) -> str | None:
    """The component that implements the field of the definition (`v1.PodSpec`), or None."""
    for component, fields in _BY_FIELD.get(definition, {}).items():
        if field in fields.split():
            return component
    return next((component for component, whole in _WHOLE.items() if definition in whole.split()), None)


def named_fields() -> frozenset[tuple[str, str]]:
    """Every definition and field that is listed by name, to be held against the published definitions."""
    return frozenset(
        (definition, field)
        for definition, by_component in _BY_FIELD.items()
        for fields in by_component.values()
        for field in fields.split()
    )


def named_definitions() -> frozenset[str]:
    """Every definition that is listed, in whole or by field."""
    return frozenset(_BY_FIELD) | {name for whole in _WHOLE.values() for name in whole.split()}
