"""Views for the workload controllers: pods without their containers' details, and what owns pods."""

from __future__ import annotations

import msgspec

from orchestrator.api.views.meta import Condition, LabelSelector, ObjectMeta, View

_NO_RAW = msgspec.Raw(b"{}")


class ContainerPort(View, frozen=True):
    """A port that a service may name."""

    name: str = ""
    container_port: int = 0
    protocol: str = "TCP"


class Container(View, frozen=True):
    """A container, as far as services are concerned. `restart_policy` Always marks a sidecar among init containers."""

    ports: tuple[ContainerPort, ...] = ()
    restart_policy: str | None = None


class Toleration(View, frozen=True):
    """`v1.Toleration`; an empty key with Exists tolerates everything."""

    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""
    toleration_seconds: int | None = None


class PodIP(View, frozen=True):
    """One address of a pod."""

    ip: str = ""


class ContainerStatus(View, frozen=True):
    """How often a container has been started anew."""

    restart_count: int = 0


class PodSpec(View, frozen=True):
    """The part of a pod's spec that controllers read."""

    node_name: str = ""
    hostname: str = ""
    subdomain: str = ""
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    tolerations: tuple[Toleration, ...] = ()


class PodStatus(View, frozen=True):
    """The part of a pod's status that controllers read."""

    phase: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")
    pod_ips: tuple[PodIP, ...] = msgspec.field(default=(), name="podIPs")
    conditions: tuple[Condition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()


class Pod(View, frozen=True):
    """A pod as controllers see it."""

    metadata: ObjectMeta = ObjectMeta()
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    def condition(self, type_: str) -> Condition | None:
        """The condition of that type, if the pod has it."""
        # A loop and not a generator: this is asked for every pod of every service.
        for condition in self.status.conditions:
            if condition.type == type_:
                return condition
        return None

    @property
    def is_ready(self) -> bool:
        """Whether its Ready condition is True."""
        ready = self.condition("Ready")
        return ready is not None and ready.status == "True"

    @property
    def is_finished(self) -> bool:
        """Whether all of its containers ended for good."""
        return self.status.phase in ("Succeeded", "Failed")

    @property
    def is_terminating(self) -> bool:
        """Whether somebody asked for its deletion."""
        return self.metadata.deletion_timestamp is not None

    @property
    def is_active(self) -> bool:
        """Whether it counts as a replica: neither finished nor going."""
        return not self.is_finished and not self.is_terminating


class TemplateMeta(View, frozen=True):
    """The metadata of a pod template."""

    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: tuple[str, ...] = ()


class TemplateLabels(View, frozen=True):
    """A pod template, seen by its metadata alone."""

    metadata: TemplateMeta = TemplateMeta()


class Templated(View, frozen=True):
    """A spec that holds a pod template, kept as the bytes it came in."""

    template: msgspec.Raw = _NO_RAW

    def __post_init__(self) -> None:
        # A Raw points into the buffer it was decoded from (a whole list, perhaps): keep our part, let the rest go.
        msgspec.structs.force_setattr(self, "template", self.template.copy())


class ReplicaSetSpec(Templated, frozen=True):
    """`apps/v1 ReplicaSetSpec`."""

    replicas: int = 1
    min_ready_seconds: int = 0
    selector: LabelSelector = LabelSelector()


class ReplicaSetStatus(View, frozen=True):
    """`apps/v1 ReplicaSetStatus`."""

    replicas: int = 0
    fully_labeled_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    terminating_replicas: int | None = None
    observed_generation: int = 0
    conditions: tuple[Condition, ...] = ()


class ReplicaSet(View, frozen=True):
    """A ReplicaSet."""

    metadata: ObjectMeta = ObjectMeta()
    spec: ReplicaSetSpec = ReplicaSetSpec()
    status: ReplicaSetStatus = ReplicaSetStatus()


class RollingUpdateDeployment(View, frozen=True):
    """How far a rolling update may stray from the wanted count; a number or a percentage."""

    max_unavailable: int | str = "25%"
    max_surge: int | str = "25%"


class DeploymentStrategy(View, frozen=True):
    """`apps/v1 DeploymentStrategy`."""

    type: str = "RollingUpdate"
    rolling_update: RollingUpdateDeployment | None = None


class DeploymentSpec(Templated, frozen=True):
    """`apps/v1 DeploymentSpec`."""

    replicas: int = 1
    selector: LabelSelector = LabelSelector()
    strategy: DeploymentStrategy = DeploymentStrategy()
    min_ready_seconds: int = 0
    revision_history_limit: int | None = None
    paused: bool = False
    progress_deadline_seconds: int | None = None


class DeploymentStatus(View, frozen=True):
    """`apps/v1 DeploymentStatus`."""

    observed_generation: int = 0
    replicas: int = 0
    updated_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    unavailable_replicas: int = 0
    terminating_replicas: int | None = None
    conditions: tuple[Condition, ...] = ()
    collision_count: int = 0


class Deployment(View, frozen=True):
    """A Deployment."""

    metadata: ObjectMeta = ObjectMeta()
    spec: DeploymentSpec = DeploymentSpec()
    status: DeploymentStatus = DeploymentStatus()


class RollingUpdateStatefulSet(View, frozen=True):
    """The first `partition` ordinals keep their revision; a number or a percentage of pods is replaced at once."""

    partition: int = 0
    max_unavailable: int | str | None = None


class StatefulSetUpdateStrategy(View, frozen=True):
    """`apps/v1 StatefulSetUpdateStrategy`."""

    type: str = "RollingUpdate"
    rolling_update: RollingUpdateStatefulSet | None = None


class StatefulSetOrdinals(View, frozen=True):
    """Where counting starts."""

    start: int = 0


class TemplateName(View, frozen=True):
    """The metadata of a template that is told apart by its name."""

    name: str = ""


class VolumeClaimTemplate(View, frozen=True):
    """A claim that each pod of a StatefulSet has of its own, seen by its name alone."""

    metadata: TemplateName = TemplateName()


class StatefulSetSpec(Templated, frozen=True):
    """`apps/v1 StatefulSetSpec`."""

    replicas: int = 1
    selector: LabelSelector = LabelSelector()
    service_name: str = ""
    pod_management_policy: str = "OrderedReady"
    update_strategy: StatefulSetUpdateStrategy = StatefulSetUpdateStrategy()
    revision_history_limit: int | None = None
    min_ready_seconds: int = 0
    ordinals: StatefulSetOrdinals | None = None
    volume_claim_templates: tuple[VolumeClaimTemplate, ...] = ()


class StatefulSetStatus(View, frozen=True):
    """`apps/v1 StatefulSetStatus`."""

    observed_generation: int = 0
    replicas: int = 0
    ready_replicas: int = 0
    current_replicas: int = 0
    updated_replicas: int = 0
    available_replicas: int = 0
    current_revision: str = ""
    update_revision: str = ""
    collision_count: int = 0


class StatefulSet(View, frozen=True):
    """A StatefulSet."""

    metadata: ObjectMeta = ObjectMeta()
    spec: StatefulSetSpec = StatefulSetSpec()
    status: StatefulSetStatus = StatefulSetStatus()


class ControllerRevision(View, frozen=True):
    """One kept revision of a StatefulSet's template."""

    metadata: ObjectMeta = ObjectMeta()
    data: msgspec.Raw = _NO_RAW
    revision: int = 0

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "data", self.data.copy())
