"""What a pod asks for, worked out once and shared by all pods that ask for the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from weakref import WeakValueDictionary

from orchestrator.api import quantities
from orchestrator.api.views.scheduling import Container, NodeAffinity, PodView, Toleration
from orchestrator.scheduler.columns import SHOWN_MAX
from orchestrator.scheduler.unheld import unheld

CPU, MEMORY, PODS = "cpu", "memory", "pods"

# Kubernetes scores a container without requests as if it asked for this much (pkg/scheduler/util/pod_resources.go), so
# that best-effort pods spread too.
DEFAULT_CPU_MILLI = 100
DEFAULT_MEMORY_BYTES = 200 * 1024 * 1024

#: Whoever asks for this much, or more, fits nowhere: no node has more than one less.
AMOUNT_MAX = SHOWN_MAX

HostPort = tuple[str, str, int]
_Key = tuple[object, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class Constraints:
    """What depends on the nodes' fixed properties alone. One object for all pods of a template, so masks are shared."""

    node_selector: tuple[tuple[str, str], ...] = ()
    affinity: NodeAffinity | None = None
    tolerations: tuple[Toleration, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class Demand:
    """What pods ask for. `amounts` are in the resource's own integer unit (cpu: milli), `scored` what scoring counts.

    `owner` is the uid of the controller, `unheld` are demands that nothing here can hold.
    """

    amounts: Mapping[str, int]
    scored_cpu_milli: int
    scored_memory_bytes: int
    constraints: Constraints = Constraints()
    host_ports: tuple[HostPort, ...] = ()
    namespace: str = ""
    owner: str = ""
    unheld: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PodRequest:
    """One pod to place, or placed."""

    uid: str
    labels: Mapping[str, str]
    demand: Demand


class Demands:
    """Makes requests of pods, with one `Demand` for all that ask for the same, for as long as any of them is there."""

    def __init__(self) -> None:
        self._demands: WeakValueDictionary[_Key, Demand] = WeakValueDictionary()
        self._constraints: WeakValueDictionary[_Key, Constraints] = WeakValueDictionary()

    def request_of(self, pod: PodView) -> PodRequest:
        """What a pod asks for."""
        spec, meta = pod.spec, pod.metadata
        affinity = spec.affinity.node_affinity if spec.affinity else None
        selector = tuple(sorted(spec.node_selector.items()))
        key: _Key = (selector, affinity, spec.tolerations)
        constraints = self._constraints.get(key)
        if constraints is None:
            constraints = Constraints(node_selector=selector, affinity=affinity, tolerations=spec.tolerations)
            self._constraints[key] = constraints
        amounts, scored = _demands(pod), _demands(pod, DEFAULT_CPU_MILLI, DEFAULT_MEMORY_BYTES)
        amounts[PODS] = 1
        owner = meta.controller
        ports, missing, owned_by = _host_ports(pod), unheld(pod), owner.uid if owner else ""
        cpu, memory = scored.get(CPU, 0), scored.get(MEMORY, 0)
        # The constraints stand for themselves: equal ones are one object.
        key = (tuple(sorted(amounts.items())), cpu, memory, constraints, ports, meta.namespace, owned_by, missing)
        demand = self._demands.get(key)
        if demand is None:
            demand = self._demands[key] = Demand(
                amounts={name: value for name, value in amounts.items() if value},
                scored_cpu_milli=cpu,
                scored_memory_bytes=memory,
                constraints=constraints,
                host_ports=ports,
                namespace=meta.namespace,
                owner=owned_by,
                unheld=missing,
            )
        return PodRequest(meta.uid, meta.labels, demand)


def requested(resource: str, quantity: str | int | float) -> int:
    """What a pod asks for, rounded up, from 0 to `AMOUNT_MAX`: milli for cpu, whole units for everything else.

    What cannot be read counts as more than any node has: such a pod is told so, and others go on.
    """
    try:
        return min(max(_units(resource, quantity), 0), AMOUNT_MAX)
    except quantities.BadQuantity:
        return AMOUNT_MAX


def offered(resource: str, quantity: str | int | float) -> int:
    """What a node has, in the units of `requested` and always less than `AMOUNT_MAX`; 0 if it cannot be read."""
    try:
        return max(-AMOUNT_MAX + 1, min(_units(resource, quantity), AMOUNT_MAX - 1))
    except quantities.BadQuantity:
        return 0


def _units(resource: str, quantity: str | int | float) -> int:
    parsed = quantities.parse(quantity)
    return parsed.milli if resource == CPU else parsed.value


def _demands(pod: PodView, default_cpu_milli: int = 0, default_memory_bytes: int = 0) -> dict[str, int]:
    """Sums as Kubernetes makes them: containers and sidecars add up, plain init containers overlap."""

    def of(container: Container) -> dict[str, int]:
        asked = {name: requested(name, quantity) for name, quantity in container.resources.requests.items()}
        if default_cpu_milli:
            asked.setdefault(CPU, default_cpu_milli)
            asked.setdefault(MEMORY, default_memory_bytes)
        return asked

    total: dict[str, int] = {}
    for container in pod.spec.containers:
        _add(total, of(container))
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in pod.spec.init_containers:
        asked = of(container)
        if container.restart_policy == "Always":
            _add(total, asked)
            _add(sidecars, asked)
            asked = {}
        for name in {*asked, *sidecars}:
            peak[name] = max(peak.get(name, 0), asked.get(name, 0) + sidecars.get(name, 0))
    for name, value in peak.items():
        total[name] = max(total.get(name, 0), value)
    _add(total, {name: requested(name, quantity) for name, quantity in pod.spec.overhead.items()})
    return {name: min(value, AMOUNT_MAX) for name, value in total.items()}


def _add(total: dict[str, int], more: Mapping[str, int]) -> None:
    for name, value in more.items():
        total[name] = total.get(name, 0) + value


def _host_ports(pod: PodView) -> tuple[HostPort, ...]:
    return tuple(
        (port.host_ip or "0.0.0.0", port.protocol, port.host_port)
        for container in (*pod.spec.containers, *pod.spec.init_containers)
        for port in container.ports
        if port.host_port
    )
