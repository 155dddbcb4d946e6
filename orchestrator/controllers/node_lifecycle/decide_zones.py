"""How disrupted each zone is, and how fast its nodes may lose their pods for it: Kubernetes' brake on evictions."""

from __future__ import annotations

import enum
import heapq
import math
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.api.views.cluster import Node

# Kubernetes' defaults: --unhealthy-zone-threshold, --node-eviction-rate, --secondary-node-eviction-rate,
# --large-cluster-size-threshold.
_UNHEALTHY_SHARE = 0.55
_RATE_PER_S = 0.1
_REDUCED_RATE_PER_S = 0.01
_LARGE_ZONE = 50

_REGION_LABELS = ("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region")
_ZONE_LABELS = ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone")


class ZoneState(enum.Enum):
    """How a zone stands."""

    NORMAL = "normal"
    PARTIAL = "more than two nodes, and at least 55 % of all, are not ready"
    FULL = "no node is ready"


@dataclass(slots=True)
class _Counts:
    ready: int = 0
    size: int = 0


@dataclass(slots=True)
class _Counted:
    zone: str
    silent_at_s: float
    counts: bool  # among the ready of its zone


def zone_of(node: Node) -> str:
    """The zone's key: region and zone, empty for a node that is in none."""
    labels = node.metadata.labels
    region, zone = (next((labels[key] for key in keys if key in labels), "") for keys in (_REGION_LABELS, _ZONE_LABELS))
    return f"{region}:{zone}" if region or zone else ""


def state_of(ready: int, size: int) -> ZoneState:
    """The state of a zone of `size` nodes, of which so many are ready."""
    lost = size - ready
    if ready == 0 and lost > 0:
        return ZoneState.FULL
    if lost > 2 and lost / size >= _UNHEALTHY_SHARE:
        return ZoneState.PARTIAL
    return ZoneState.NORMAL


def rate_of(state: ZoneState, size: int) -> float:
    """How many nodes a second may be given the taint that evicts; 0: none.

    A zone that is lost as a whole is not slowed down: the others are well, so the fault is the zone's.
    """
    if state is not ZoneState.PARTIAL:
        return _RATE_PER_S
    return _REDUCED_RATE_PER_S if size > _LARGE_ZONE else 0.0


class Census:
    """Which nodes are ready and heard, counted by zone. Times are given; a change costs the same among few and many."""

    def __init__(self) -> None:
        self._nodes: dict[str, _Counted] = {}
        self._zones: dict[str, _Counts] = {}
        self._ends: list[tuple[float, str]] = []  # a heap, one entry a name that counts: when it may fall silent
        self._listed: dict[str, float] = {}  # which entry of a name counts

    def observe(self, name: str, *, zone: str, ready: bool, silent_at_s: float) -> None:
        """A node is, or is changed, or was heard: until `silent_at_s` it counts as it says of itself."""
        self.forget(name)
        self._list(name, silent_at_s)
        self._nodes[name] = _Counted(zone, silent_at_s, counts=ready)
        counts = self._zones.setdefault(zone, _Counts())
        counts.size += 1
        counts.ready += ready

    def forget(self, name: str) -> None:
        """A node is gone."""
        known = self._nodes.pop(name, None)
        if known is not None:
            self._take_out(known)

    def _take_out(self, known: _Counted) -> None:
        counts = self._zones[known.zone]
        counts.size -= 1
        counts.ready -= known.counts
        if not counts.size:
            del self._zones[known.zone]

    def states(self, now_s: float) -> Mapping[str, tuple[ZoneState, int]]:
        """State and size of each zone that has nodes."""
        self._notice_silence(now_s)
        return {zone: (state_of(counts.ready, counts.size), counts.size) for zone, counts in self._zones.items()}

    def _list(self, name: str, at_s: float) -> None:
        # A later end is seen when the earlier one comes; an earlier one would be missed.
        if at_s < self._listed.get(name, math.inf):
            self._listed[name] = at_s
            heapq.heappush(self._ends, (at_s, name))

    def _notice_silence(self, now_s: float) -> None:
        while self._ends and self._ends[0][0] <= now_s:
            at_s, name = heapq.heappop(self._ends)
            if self._listed.get(name) != at_s:
                continue
            del self._listed[name]
            known = self._nodes.get(name)
            if known is None:
                continue
            if known.silent_at_s > now_s:
                self._list(name, known.silent_at_s)
            elif known.counts:
                known.counts = False
                self._zones[known.zone].ready -= 1


class Brake:
    """When the next node of each zone may be given the taint that evicts, one at a time."""

    def __init__(self) -> None:
        self._spent_s: dict[str, float] = {}

    def wait_s(self, zone: str, rate_per_s: float, now_s: float) -> float | None:
        """Seconds until a node of the zone may be tainted, 0.0: now; None: not at this rate, however long."""
        if rate_per_s <= 0:
            return None
        spent_s = self._spent_s.get(zone)
        return 0.0 if spent_s is None else max(0.0, spent_s + 1.0 / rate_per_s - now_s)

    def spend(self, zone: str, now_s: float) -> None:
        """A node of the zone is being tainted."""
        self._spent_s[zone] = now_s

    def keep(self, zones: Mapping[str, object]) -> None:
        """Forget all other zones."""
        self._spent_s = {zone: at_s for zone, at_s in self._spent_s.items() if zone in zones}
