"""Views of pods and nodes as the scheduler reads them: requests, constraints, taints; nothing of what runs."""

from __future__ import annotations

import msgspec

from orchestrator.api.views.meta import Condition, ObjectMeta, View


class ResourceRequirements(View, frozen=True):
    """Requested quantities, by resource name, as written."""

    requests: dict[str, str | int | float] = {}


class PodResources(View, frozen=True):
    """Resources of the pod as a whole."""

    requests: dict[str, str | int | float] = {}
    limits: dict[str, str | int | float] = {}


class Presence(View, frozen=True):
    """Something that matters only by being there."""


class AppArmorProfile(View, frozen=True):
    """`type` is Localhost, RuntimeDefault or Unconfined."""

    type: str = ""


class SecurityContext(View, frozen=True):
    """What of a pod's or a container's security a node may be unable to give."""

    app_armor_profile: AppArmorProfile | None = None
    supplemental_groups_policy: str = ""


class ContainerPort(View, frozen=True):
    """A port of a container; only `host_port` matters for placing."""

    host_port: int = 0
    host_ip: str = msgspec.field(default="", name="hostIP")
    protocol: str = "TCP"


class Container(View, frozen=True):
    """What a container asks of its node."""

    resources: ResourceRequirements = ResourceRequirements()
    ports: tuple[ContainerPort, ...] = ()
    restart_policy: str = ""
    security_context: SecurityContext | None = None


class Toleration(View, frozen=True):
    """`v1.Toleration`: matches taints by key, value and effect; empty key with Exists matches all."""

    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""
    toleration_seconds: int | None = None


class NodeSelectorRequirement(View, frozen=True):
    """One expression; `operator` is In, NotIn, Exists, DoesNotExist, Gt or Lt."""

    key: str = ""
    operator: str = ""
    values: tuple[str, ...] = ()


class NodeSelectorTerm(View, frozen=True):
    """All of its expressions must hold; a term without any matches nothing."""

    match_expressions: tuple[NodeSelectorRequirement, ...] = ()
    match_fields: tuple[NodeSelectorRequirement, ...] = ()


class NodeSelector(View, frozen=True):
    """One of its terms must hold."""

    node_selector_terms: tuple[NodeSelectorTerm, ...] = ()


class PreferredSchedulingTerm(View, frozen=True):
    """A term worth `weight` (1..100) where it holds."""

    weight: int = 0
    preference: NodeSelectorTerm = NodeSelectorTerm()


class NodeAffinity(View, frozen=True):
    """Required and preferred terms about the node's labels."""

    required: NodeSelector | None = msgspec.field(default=None, name="requiredDuringSchedulingIgnoredDuringExecution")
    preferred: tuple[PreferredSchedulingTerm, ...] = msgspec.field(
        default=(), name="preferredDuringSchedulingIgnoredDuringExecution"
    )


class PodAffinity(View, frozen=True):
    """Whether there are required terms about other pods."""

    required: tuple[Presence, ...] = msgspec.field(default=(), name="requiredDuringSchedulingIgnoredDuringExecution")


class Affinity(View, frozen=True):
    """To which nodes, and to which other pods, a pod wants to be near."""

    node_affinity: NodeAffinity | None = None
    pod_affinity: PodAffinity | None = None
    pod_anti_affinity: PodAffinity | None = None


class TopologySpreadConstraint(View, frozen=True):
    """`when_unsatisfiable` is DoNotSchedule or ScheduleAnyway."""

    when_unsatisfiable: str = "DoNotSchedule"


class PodOS(View, frozen=True):
    """linux or windows."""

    name: str = ""


class ClaimSource(View, frozen=True):
    """A volume that is a persistent volume claim."""

    claim_name: str = ""


class Volume(View, frozen=True):
    """A volume, if it decides where the pod may run."""

    name: str = ""
    persistent_volume_claim: ClaimSource | None = None
    ephemeral: Presence | None = None


class SchedulingGate(View, frozen=True):
    """A named reason to wait."""

    name: str = ""


class PodSpec(View, frozen=True):
    """The scheduling side of a pod's spec."""

    node_name: str = ""
    scheduler_name: str = "default-scheduler"
    priority: int = 0
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    overhead: dict[str, str | int | float] = {}
    node_selector: dict[str, str] = {}
    affinity: Affinity | None = None
    tolerations: tuple[Toleration, ...] = ()
    scheduling_gates: tuple[SchedulingGate, ...] = ()
    host_network: bool = False
    host_users: bool | None = None
    os: PodOS | None = None
    resources: PodResources | None = None
    resource_claims: tuple[Presence, ...] = ()
    scheduling_group: Presence | None = None
    security_context: SecurityContext | None = None
    topology_spread_constraints: tuple[TopologySpreadConstraint, ...] = ()
    volumes: tuple[Volume, ...] = ()


class PodStatus(View, frozen=True):
    """The phase, and the conditions, of which PodScheduled is the scheduler's."""

    phase: str = ""
    conditions: tuple[Condition, ...] = ()


class PodView(View, frozen=True):
    """A pod, as the scheduler sees it."""

    metadata: ObjectMeta = ObjectMeta()
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def is_terminal(self) -> bool:
        """It runs no more, and so uses nothing of its node."""
        return self.status.phase in ("Succeeded", "Failed")


class Taint(View, frozen=True):
    """`v1.Taint`; `effect` is NoSchedule, PreferNoSchedule or NoExecute."""

    key: str = ""
    value: str = ""
    effect: str = ""


class NodeSpec(View, frozen=True):
    """The scheduling side of a node's spec."""

    unschedulable: bool = False
    taints: tuple[Taint, ...] = ()


class NodeStatus(View, frozen=True):
    """What a node has to give."""

    allocatable: dict[str, str | int | float] = {}


class NodeView(View, frozen=True):
    """A node, as the scheduler sees it."""

    metadata: ObjectMeta = ObjectMeta()
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()
