"""Builders of pods and nodes as the scheduler sees them: valid defaults, a test names only what matters to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orchestrator.api.views.meta import ObjectMeta, OwnerReference
from orchestrator.api.views.scheduling import (
    Affinity,
    Container,
    ContainerPort,
    NodeAffinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    NodeSpec,
    NodeStatus,
    NodeView,
    PodSpec,
    PodStatus,
    PodView,
    ResourceRequirements,
    Taint,
    Toleration,
)
from orchestrator.scheduler.place import FixedCache, Placed, Unschedulable, place
from orchestrator.scheduler.profile import DEFAULT_PROFILE
from orchestrator.scheduler.request import Demands, PodRequest
from orchestrator.scheduler.table import NodeTable


def a_node(
    name: str,
    *,
    cpu: str = "4",
    memory: str = "8Gi",
    pods: str = "110",
    labels: Mapping[str, str] | None = None,
    taints: Sequence[Taint] = (),
    unschedulable: bool = False,
    extended: Mapping[str, str] | None = None,
) -> NodeView:
    allocatable = {"cpu": cpu, "memory": memory, "pods": pods, **(extended or {})}
    return NodeView(
        metadata=ObjectMeta(name=name, labels={"kubernetes.io/hostname": name, **(labels or {})}),
        spec=NodeSpec(unschedulable=unschedulable, taints=tuple(taints)),
        status=NodeStatus(allocatable=allocatable),
    )


def a_pod(
    name: str = "pod",
    *,
    cpu: str = "",
    memory: str = "",
    requests: Mapping[str, str] | None = None,
    owner: str = "",
    node: str = "",
    phase: str = "Pending",
    host_port: int = 0,
    host_ip: str = "",
    node_selector: Mapping[str, str] | None = None,
    required: Sequence[NodeSelectorTerm] | None = None,
    tolerations: Sequence[Toleration] = (),
) -> PodView:
    asked = {**({"cpu": cpu} if cpu else {}), **({"memory": memory} if memory else {}), **(requests or {})}
    ports = (ContainerPort(host_port=host_port, host_ip=host_ip),) if host_port else ()
    owners = (OwnerReference(kind="ReplicaSet", name=owner, uid=owner, controller=True),) if owner else ()
    affinity = None
    if required is not None:
        affinity = Affinity(node_affinity=NodeAffinity(required=NodeSelector(node_selector_terms=tuple(required))))
    return PodView(
        metadata=ObjectMeta(name=name, namespace="default", uid=f"uid-{name}", owner_references=owners),
        spec=PodSpec(
            node_name=node,
            containers=(Container(resources=ResourceRequirements(requests=asked), ports=ports),),
            node_selector=dict(node_selector or {}),
            affinity=affinity,
            tolerations=tuple(tolerations),
        ),
        status=PodStatus(phase=phase),
    )


def request_of(pod: PodView, demands: Demands | None = None) -> PodRequest:
    return (demands or Demands()).request_of(pod)


def a_term(key: str, operator: str, *values: str) -> NodeSelectorTerm:
    return NodeSelectorTerm(match_expressions=(NodeSelectorRequirement(key=key, operator=operator, values=values),))


def a_table(*nodes: NodeView, pods: Sequence[PodView] = ()) -> NodeTable:
    table = NodeTable()
    for node in nodes:
        table.set_node(node)
    demands = Demands()
    for pod in pods:
        table.add_pod(request_of(pod, demands), pod.spec.node_name)
    return table


def placed(pod: PodView, table: NodeTable) -> str:
    """The picked node's name, or the sentence that says why there is none."""
    match place(request_of(pod), table, DEFAULT_PROFILE, FixedCache()):
        case Placed(node, _):
            return node
        case Unschedulable() as refusal:
            return str(refusal)
