"""Which scalar fields Kubernetes writes even when they are zero: where zero, false or empty is not the same as unset.

Everywhere else Go's `omitempty` leaves a zero out, and a decoder of a form that cannot tell the two apart (protobuf)
has to do the same. Found by sending zeros through kubectl's own types, as of v1.33, and by the API's documentation.
"""

from __future__ import annotations

_TABLE = """
AWSElasticBlockStoreVolumeSource: volumeID
AppArmorProfile: localhostProfile type
AzureDiskVolumeSource: cachingMode diskName diskURI fsType kind readOnly
AzureFileVolumeSource: secretName shareName
CSIVolumeSource: driver fsType readOnly
CertificateSigningRequestSpec: expirationSeconds
CinderVolumeSource: volumeID
ClientIPConfig: timeoutSeconds
ClusterTrustBundleProjection: name optional path signerName
Condition: message reason status type
ConfigMap: immutable
ConfigMapEnvSource: optional
ConfigMapKeySelector: key optional
ConfigMapProjection: optional
ConfigMapVolumeSource: defaultMode optional
Container: name restartPolicy
ContainerPort: containerPort
ContainerResizePolicy: resourceName restartPolicy
ContainerStateTerminated: exitCode
ContainerStatus: image imageID name ready restartCount started stopSignal
ControllerRevision: revision
DaemonEndpoint: Port
DeleteOptions: gracePeriodSeconds ignoreStoreReadErrorWithClusterBreakingPotential orphanDependents propagationPolicy
DeploymentCondition: status type
DeploymentSpec: progressDeadlineSeconds replicas revisionHistoryLimit
DeploymentStatus: collisionCount terminatingReplicas
DownwardAPIVolumeFile: mode path
DownwardAPIVolumeSource: defaultMode
Endpoint: hostname nodeName zone
EndpointAddress: nodeName
EndpointConditions: ready serving terminating
EndpointPort: appProtocol name port protocol
EnvVar: name
EphemeralContainer: name restartPolicy
EventSeries: count
FCVolumeSource: lun
FileKeySelector: optional
FlexVolumeSource: driver
GCEPersistentDiskVolumeSource: pdName
GRPCAction: port service
GitRepoVolumeSource: repository
GlusterfsVolumeSource: endpoints path
HTTPHeader: name value
HostAlias: ip
HostIP: ip
HostPathVolumeSource: path type
ISCSIVolumeSource: initiatorName iqn lun targetPortal
KeyToPath: key mode path
LabelSelectorRequirement: key operator
LeaseSpec: holderIdentity leaseDurationSeconds leaseTransitions preferredHolder strategy
Lifecycle: stopSignal
LinuxContainerUser: gid uid
LoadBalancerIngress: ipMode
LocalObjectReference: name
ModifyVolumeStatus: status
NFSVolumeSource: path server
NodeSelectorRequirement: key operator
ObjectFieldSelector: fieldPath
ObjectMeta: deletionGracePeriodSeconds
OwnerReference: apiVersion blockOwnerDeletion controller kind name uid
PersistentVolumeClaimCondition: status type
PersistentVolumeClaimSpec: storageClassName volumeAttributesClassName volumeMode
PersistentVolumeClaimStatus: currentVolumeAttributesClassName
PersistentVolumeClaimVolumeSource: claimName
PhotonPersistentDiskVolumeSource: pdID
PodAffinityTerm: topologyKey
PodCertificateProjection: maxExpirationSeconds
PodCondition: status type
PodDNSConfigOption: value
PodIP: ip
PodOS: name
PodReadinessGate: conditionType
PodResourceClaim: name resourceClaimName resourceClaimTemplateName
PodResourceClaimStatus: name resourceClaimName
PodSchedulingGate: name
PodSecurityContext: fsGroup fsGroupChangePolicy runAsGroup runAsNonRoot runAsUser seLinuxChangePolicy
PodSecurityContext: supplementalGroupsPolicy
PodSpec: activeDeadlineSeconds automountServiceAccountToken enableServiceLinks hostUsers hostnameOverride
PodSpec: preemptionPolicy priority runtimeClassName setHostnameAsFQDN shareProcessNamespace
PodSpec: terminationGracePeriodSeconds
PortStatus: error port protocol
PortworxVolumeSource: volumeID
Preconditions: resourceVersion uid
PreferredSchedulingTerm: weight
Probe: terminationGracePeriodSeconds
ProjectedVolumeSource: defaultMode
QuobyteVolumeSource: registry volume
RBDVolumeSource: image
ReplicaSetCondition: status type
ReplicaSetSpec: replicas
ReplicaSetStatus: replicas terminatingReplicas
ResourceClaim: name
ResourceFieldSelector: resource
ResourceHealth: resourceID
ResourceStatus: name
RollingUpdateStatefulSetStrategy: partition
ScaleIOVolumeSource: gateway system
SeccompProfile: localhostProfile type
Secret: immutable
SecretEnvSource: optional
SecretKeySelector: key optional
SecretProjection: optional
SecretVolumeSource: defaultMode optional
SecurityContext: allowPrivilegeEscalation privileged procMount readOnlyRootFilesystem runAsGroup runAsNonRoot
SecurityContext: runAsUser
ServiceAccount: automountServiceAccountToken
ServiceAccountTokenProjection: expirationSeconds path
ServicePort: appProtocol port
ServiceSpec: allocateLoadBalancerNodePorts internalTrafficPolicy ipFamilyPolicy loadBalancerClass trafficDistribution
SleepAction: seconds
StatefulSetCondition: status type
StatefulSetOrdinals: start
StatefulSetSpec: replicas revisionHistoryLimit serviceName
StatefulSetStatus: availableReplicas collisionCount replicas
SubjectAccessReviewStatus: allowed
Sysctl: name value
TokenRequestSpec: expirationSeconds
Toleration: tolerationSeconds
TopologySpreadConstraint: maxSkew minDomains nodeAffinityPolicy nodeTaintsPolicy topologyKey whenUnsatisfiable
TypedLocalObjectReference: apiGroup kind name
TypedObjectReference: apiGroup kind name namespace
Volume: name
VolumeDevice: devicePath name
VolumeMount: mountPath mountPropagation name recursiveReadOnly
VolumeMountStatus: mountPath name recursiveReadOnly
VsphereVirtualDiskVolumeSource: volumePath
WeightedPodAffinityTerm: weight
WindowsSecurityContextOptions: gmsaCredentialSpec gmsaCredentialSpecName hostProcess runAsUserName
"""


def _parsed() -> frozenset[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for line in _TABLE.strip().splitlines():
        struct, _, fields = line.partition(": ")
        found.update((f"v1.{struct}", field) for field in fields.split())
    return frozenset(found)


#: (struct as `Schema.name` has it, field).
WRITTEN_WHEN_ZERO = _parsed()
