"""The whole pod as the node agent reads it: spec in full, status as far as it is carried over."""

from __future__ import annotations

from typing import Any

import msgspec

from orchestrator.api.views.meta import Condition, ObjectMeta, View

# `v1.IntOrString`, and quantities, which clients may write as numbers too.
IntOrString = int | str
Quantity = str | int | float


class KeySelector(View, frozen=True):
    """A key of a ConfigMap or a Secret."""

    name: str = ""
    key: str = ""
    optional: bool = False


class FieldSelector(View, frozen=True):
    """A field of the pod: `metadata.name`, `status.podIP` and so on."""

    api_version: str = "v1"
    field_path: str = ""


class ResourceSelector(View, frozen=True):
    """A limit or request of a container, divided by `divisor` and rounded up."""

    container_name: str = ""
    resource: str = ""
    divisor: Quantity = "0"


class EnvSource(View, frozen=True):
    """Where the value of a variable comes from; exactly one is set."""

    field_ref: FieldSelector | None = None
    resource_field_ref: ResourceSelector | None = None
    config_map_key_ref: KeySelector | None = None
    secret_key_ref: KeySelector | None = None


class EnvVar(View, frozen=True):
    """One environment variable."""

    name: str = ""
    value: str = ""
    value_from: EnvSource | None = None


class NamedSource(View, frozen=True):
    """A ConfigMap or Secret by name."""

    name: str = ""
    optional: bool = False


class EnvFromSource(View, frozen=True):
    """All keys of a ConfigMap or Secret as variables."""

    prefix: str = ""
    config_map_ref: NamedSource | None = None
    secret_ref: NamedSource | None = None


class ContainerPort(View, frozen=True):
    """A port that a container serves; `host_port` publishes it on the node."""

    name: str = ""
    container_port: int = 0
    host_port: int = 0
    protocol: str = "TCP"
    host_ip: str = msgspec.field(default="", name="hostIP")


class ResourceRequirements(View, frozen=True):
    """Requests and limits by resource name."""

    limits: dict[str, Quantity] = {}
    requests: dict[str, Quantity] = {}


class VolumeMount(View, frozen=True):
    """Where a volume appears in a container."""

    name: str = ""
    mount_path: str = ""
    sub_path: str = ""
    sub_path_expr: str = ""
    read_only: bool = False
    mount_propagation: str | None = None


class HttpHeader(View, frozen=True):
    """A header of an HTTP probe or hook."""

    name: str = ""
    value: str = ""


class ExecAction(View, frozen=True):
    """Run a command in the container."""

    command: tuple[str, ...] = ()


class HttpGetAction(View, frozen=True):
    """An HTTP request to the container."""

    path: str = "/"
    port: IntOrString = 0
    host: str = ""
    scheme: str = "HTTP"
    http_headers: tuple[HttpHeader, ...] = ()


class TcpSocketAction(View, frozen=True):
    """A TCP connection to the container."""

    port: IntOrString = 0
    host: str = ""


class GrpcAction(View, frozen=True):
    """A gRPC health check."""

    port: int = 0
    service: str | None = None


class SleepAction(View, frozen=True):
    """Wait."""

    seconds: int = 0


class Probe(View, frozen=True):
    """How and how often to ask a container whether it is well."""

    exec: ExecAction | None = None
    http_get: HttpGetAction | None = None
    tcp_socket: TcpSocketAction | None = None
    grpc: GrpcAction | None = None
    initial_delay_seconds: int = 0
    timeout_seconds: int = 1
    period_seconds: int = 10
    success_threshold: int = 1
    failure_threshold: int = 3
    termination_grace_period_seconds: int | None = None


class LifecycleHandler(View, frozen=True):
    """What a lifecycle hook does; exactly one is set."""

    exec: ExecAction | None = None
    http_get: HttpGetAction | None = None
    tcp_socket: TcpSocketAction | None = None
    sleep: SleepAction | None = None


class Lifecycle(View, frozen=True):
    """The hooks of a container."""

    post_start: LifecycleHandler | None = None
    pre_stop: LifecycleHandler | None = None
    stop_signal: str | None = None


class Capabilities(View, frozen=True):
    """POSIX capabilities added and dropped."""

    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


class SeccompProfile(View, frozen=True):
    """The seccomp profile: RuntimeDefault, Unconfined or Localhost."""

    type: str = ""
    localhost_profile: str = ""


class AppArmorProfile(View, frozen=True):
    """The AppArmor profile: RuntimeDefault, Unconfined or Localhost."""

    type: str = ""


class PodOS(View, frozen=True):
    """The system that the pod is for: linux or windows."""

    name: str = ""


class ResourceClaim(View, frozen=True):
    """A device that the pod claims."""

    name: str = ""


class SecurityContext(View, frozen=True):
    """The security settings of one container; they win over the pod's."""

    capabilities: Capabilities | None = None
    privileged: bool | None = None
    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    read_only_root_filesystem: bool | None = None
    allow_privilege_escalation: bool | None = None
    seccomp_profile: SeccompProfile | None = None
    app_armor_profile: AppArmorProfile | None = None


class Sysctl(View, frozen=True):
    """A kernel parameter of the pod's namespaces."""

    name: str = ""
    value: str = ""


class PodSecurityContext(View, frozen=True):
    """The security settings of all containers of a pod."""

    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    supplemental_groups: tuple[int, ...] = ()
    supplemental_groups_policy: str = ""
    fs_group: int | None = None
    sysctls: tuple[Sysctl, ...] = ()
    seccomp_profile: SeccompProfile | None = None
    app_armor_profile: AppArmorProfile | None = None


class Container(View, frozen=True):
    """A container, init containers included."""

    name: str = ""
    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    ports: tuple[ContainerPort, ...] = ()
    env_from: tuple[EnvFromSource, ...] = ()
    env: tuple[EnvVar, ...] = ()
    resources: ResourceRequirements = ResourceRequirements()
    restart_policy: str | None = None
    volume_mounts: tuple[VolumeMount, ...] = ()
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    startup_probe: Probe | None = None
    lifecycle: Lifecycle | None = None
    termination_message_path: str = "/dev/termination-log"
    termination_message_policy: str = "File"
    image_pull_policy: str = ""
    security_context: SecurityContext | None = None
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False


class KeyToPath(View, frozen=True):
    """A key of a ConfigMap or Secret and the file it becomes."""

    key: str = ""
    path: str = ""
    mode: int | None = None


class EmptyDirSource(View, frozen=True):
    """A directory that lives as long as the pod."""

    medium: str = ""
    size_limit: Quantity | None = None


class HostPathSource(View, frozen=True):
    """A path of the node."""

    path: str = ""
    type: str = ""


class ConfigMapSource(View, frozen=True):
    """Files from a ConfigMap."""

    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    default_mode: int | None = None
    optional: bool = False


class SecretSource(View, frozen=True):
    """Files from a Secret."""

    secret_name: str = ""
    items: tuple[KeyToPath, ...] = ()
    default_mode: int | None = None
    optional: bool = False


class SecretProjection(View, frozen=True):
    """Files from a Secret within a projected volume."""

    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    optional: bool = False


class DownwardFile(View, frozen=True):
    """A file with a field of the pod."""

    path: str = ""
    field_ref: FieldSelector | None = None
    resource_field_ref: ResourceSelector | None = None
    mode: int | None = None


class DownwardSource(View, frozen=True):
    """Files with fields of the pod."""

    items: tuple[DownwardFile, ...] = ()
    default_mode: int | None = None


class TokenProjection(View, frozen=True):
    """A service account token, kept fresh."""

    audience: str = ""
    expiration_seconds: int = 3600
    path: str = ""


class Projection(View, frozen=True):
    """One source of a projected volume."""

    config_map: ConfigMapSource | None = None
    secret: SecretProjection | None = None
    downward_api: DownwardSource | None = msgspec.field(default=None, name="downwardAPI")
    service_account_token: TokenProjection | None = None


class ProjectedSource(View, frozen=True):
    """Several sources in one directory."""

    sources: tuple[Projection, ...] = ()
    default_mode: int | None = None


class Volume(View, frozen=True):
    """A volume of the pod; exactly one source is set."""

    name: str = ""
    empty_dir: EmptyDirSource | None = None
    host_path: HostPathSource | None = None
    config_map: ConfigMapSource | None = None
    secret: SecretSource | None = None
    downward_api: DownwardSource | None = msgspec.field(default=None, name="downwardAPI")
    projected: ProjectedSource | None = None


class DnsOption(View, frozen=True):
    """An option of resolv.conf."""

    name: str = ""
    value: str | None = None


class DnsConfig(View, frozen=True):
    """What is added to, or with policy None makes up, the pod's resolv.conf."""

    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[DnsOption, ...] = ()


class HostAlias(View, frozen=True):
    """An extra line of the pod's /etc/hosts."""

    ip: str = ""
    hostnames: tuple[str, ...] = ()


class ReadinessGate(View, frozen=True):
    """A condition that somebody else sets and readiness waits for."""

    condition_type: str = ""


class LocalReference(View, frozen=True):
    """A Secret in the pod's namespace."""

    name: str = ""


class PodSpec(View, frozen=True):
    """What the pod is to be."""

    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    volumes: tuple[Volume, ...] = ()
    restart_policy: str = "Always"
    termination_grace_period_seconds: int | None = None
    active_deadline_seconds: int | None = None
    dns_policy: str = "ClusterFirst"
    dns_config: DnsConfig | None = None
    node_selector: dict[str, str] = {}
    service_account_name: str = ""
    automount_service_account_token: bool | None = None
    node_name: str = ""
    host_network: bool = False
    host_pid: bool = msgspec.field(default=False, name="hostPID")
    host_ipc: bool = msgspec.field(default=False, name="hostIPC")
    host_users: bool | None = None
    os: PodOS | None = None
    resources: ResourceRequirements | None = None
    resource_claims: tuple[ResourceClaim, ...] = ()
    share_process_namespace: bool = False
    security_context: PodSecurityContext | None = None
    image_pull_secrets: tuple[LocalReference, ...] = ()
    hostname: str = ""
    subdomain: str = ""
    set_hostname_as_fqdn: bool | None = msgspec.field(default=None, name="setHostnameAsFQDN")
    host_aliases: tuple[HostAlias, ...] = ()
    enable_service_links: bool = True
    readiness_gates: tuple[ReadinessGate, ...] = ()
    priority: int | None = None
    priority_class_name: str = ""


class PodStatus(View, frozen=True):
    """What is kept of the status: phase, times, addresses and everybody's conditions."""

    phase: str = ""
    reason: str = ""
    message: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")
    start_time: str | None = None
    qos_class: str = ""
    conditions: tuple[Condition, ...] = ()
    # Kept as they are: only compared and carried over.
    container_statuses: tuple[dict[str, Any], ...] = ()
    init_container_statuses: tuple[dict[str, Any], ...] = ()


class Pod(View, frozen=True):
    """A pod."""

    metadata: ObjectMeta = ObjectMeta()
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def grace_s(self) -> float:
        """How long its containers get to stop."""
        if self.metadata.deletion_grace_period_seconds is not None:
            return float(self.metadata.deletion_grace_period_seconds)
        given = self.spec.termination_grace_period_seconds
        return 30.0 if given is None else float(given)

    @property
    def is_terminal(self) -> bool:
        """Whether the API already says that it ran to its end."""
        return self.status.phase in ("Succeeded", "Failed")
