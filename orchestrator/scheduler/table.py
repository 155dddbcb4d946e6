"""The nodes as arrays: row i is the same node in every column. All that placing reads and writes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from orchestrator.api.views.scheduling import NodeView, Taint
from orchestrator.scheduler.columns import Amounts, Score, Sums, longer
from orchestrator.scheduler.request import CPU, MEMORY, PODS, HostPort, PodRequest, offered

__all__ = ["Amounts", "Mask", "NodeTable", "OwnerCounts", "Score"]

Mask = npt.NDArray[np.bool_]

K = TypeVar("K")

_FIRST_ROWS = 16
# Owners whose pods are being placed at the same time; 40 kB each with 5,000 nodes.
_DENSE_OWNERS_MAX = 64
_ZONE = "topology.kubernetes.io/zone"


class NodeTable:
    """Arrays over nodes, each of length `rows` or longer; `present` says which rows hold a node.

    `allocatable[resource]` is one contiguous int64 vector a resource (cpu in milli, the rest in whole units), and
    `used[resource]` the sums of what the pods on each row ask for. Fixed properties (labels, taints) are kept by row
    for the plugins that turn them into masks; `fixed_generation` changes whenever any of them does, so masks made from
    them can be kept until then.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.nodes: list[NodeView | None] = []
        self.present: Mask = np.zeros(0, dtype=np.bool_)
        self.unschedulable: Mask = np.zeros(0, dtype=np.bool_)
        self.allocatable: dict[str, Amounts] = {name: np.zeros(0, dtype=np.int64) for name in (CPU, MEMORY, PODS)}
        self.used: dict[str, Sums] = {name: Sums() for name in (CPU, MEMORY, PODS)}
        self.scored_cpu = Sums()
        self.scored_memory = Sums()
        self.inverse_cpu: Score = np.zeros(0)
        self.inverse_memory: Score = np.zeros(0)
        self.zone: Amounts = np.zeros(0, dtype=np.int64)
        self.fixed_generation = 0
        self._row_of: dict[str, int] = {}
        self._free_rows: list[int] = []
        self._zones: dict[str, int] = {"": 0}
        # Every pod that counts, by the name of its node. Those whose node is not in the table (not seen yet, or
        # deleted) count as soon as it appears.
        self._pods_on: dict[str, dict[str, PodRequest]] = {}
        self._home_of: dict[str, str] = {}
        self._owners = OwnerCounts()
        self._ports: dict[HostPort, dict[int, int]] = {}

    @property
    def rows(self) -> int:
        """The length of the arrays."""
        return len(self.nodes)

    @property
    def node_count(self) -> int:
        """How many nodes there are."""
        return len(self._row_of)

    def row_of(self, node_name: str) -> int | None:
        """The row of a node, if it is in the table."""
        return self._row_of.get(node_name)

    def set_node(self, node: NodeView) -> bool:
        """Add or update a node; says whether anything that matters to placing changed."""
        name = node.metadata.name
        row = self._row_of.get(name)
        old = None if row is None else self.nodes[row]
        if row is None:
            row = self._take_row(name)
        self.nodes[row] = node
        changed = self._set_allocatable(row, node.status.allocatable)
        if old is None or _fixed_properties(old) != _fixed_properties(node):
            self.fixed_generation += 1
            self.unschedulable[row] = node.spec.unschedulable
            self.zone[row] = self._zones.setdefault(node.metadata.labels.get(_ZONE, ""), len(self._zones))
            changed = True
        if old is None:
            for request in self._pods_on.get(name, {}).values():
                self._account(row, request, sign=1)
        return changed

    def remove_node(self, name: str) -> None:
        """Take a node out; its pods stay known and count again should it return."""
        row = self._row_of.pop(name, None)
        if row is None:
            return
        for request in self._pods_on.get(name, {}).values():
            self._account(row, request, sign=-1)
        self.present[row] = False
        self.nodes[row] = None
        self.names[row] = ""
        for column in self.allocatable.values():
            column[row] = 0
        self.fixed_generation += 1
        self._free_rows.append(row)

    def add_pod(self, request: PodRequest, node_name: str) -> None:
        """Count a pod against a node; counting the same pod again moves it."""
        self.remove_pod(request.uid)
        self._home_of[request.uid] = node_name
        self._pods_on.setdefault(node_name, {})[request.uid] = request
        row = self._row_of.get(node_name)
        if row is not None:
            self._account(row, request, sign=1)

    def remove_pod(self, uid: str) -> bool:
        """Stop counting a pod; says whether it was counted."""
        node_name = self._home_of.pop(uid, None)
        if node_name is None:
            return False
        pods = self._pods_on[node_name]
        request = pods.pop(uid)
        if not pods:
            del self._pods_on[node_name]
        row = self._row_of.get(node_name)
        if row is not None:
            self._account(row, request, sign=-1)
        return True

    def node_of(self, uid: str) -> str | None:
        """The node that a pod counts against, if any; the node itself need not be there."""
        return self._home_of.get(uid)

    def free(self, resource: str) -> Amounts:
        """What is left of a resource, by row; a resource no node has is nowhere."""
        if resource not in self.allocatable:
            return np.zeros(self.rows, dtype=np.int64)
        left: Amounts = self.allocatable[resource] - self.used[resource].shown
        return left

    def ports_taken(self) -> Mapping[HostPort, Mapping[int, int]]:
        """Every host port in use, with its rows."""
        return self._ports

    @property
    def zone_count(self) -> int:
        """How many zone numbers are in use; number 0 is "no zone"."""
        return len(self._zones)

    def pods_of_owner(self, owner: str) -> Score | None:
        """How many pods of one owner run on each row; None if there are none. Do not write to it."""
        return self._owners.by_row(owner, self.rows)

    def _take_row(self, name: str) -> int:
        if not self._free_rows:
            self._grow()
        row = self._free_rows.pop()
        self._row_of[name] = row
        self.names[row] = name
        self.present[row] = True
        return row

    def _grow(self) -> None:
        old, new = self.rows, max(_FIRST_ROWS, self.rows * 2)

        for resource, column in self.allocatable.items():
            self.allocatable[resource] = longer(column, new)
        for sums in (*self.used.values(), self.scored_cpu, self.scored_memory):
            sums.grow(new)
        for field in ("present", "unschedulable", "inverse_cpu", "inverse_memory", "zone"):
            setattr(self, field, longer(getattr(self, field), new))
        self.nodes += [None] * (new - old)
        self.names += [""] * (new - old)
        self._free_rows += range(new - 1, old - 1, -1)

    def _set_allocatable(self, row: int, allocatable: Mapping[str, str | int | float]) -> bool:
        changed = False
        wanted = {resource: offered(resource, quantity) for resource, quantity in allocatable.items()}
        for resource in wanted:
            self._column(resource)
        for resource, column in self.allocatable.items():
            value = wanted.get(resource, 0)
            if column[row] != value:
                column[row] = value
                changed = True
        self.inverse_cpu[row] = 1.0 / max(wanted.get(CPU, 0), 1)
        self.inverse_memory[row] = 1.0 / max(wanted.get(MEMORY, 0), 1)
        return changed

    def _column(self, resource: str) -> None:
        if resource in self.allocatable:
            return
        self.allocatable[resource] = np.zeros(self.rows, dtype=np.int64)
        sums = self.used[resource] = Sums(self.rows)
        for name, pods in self._pods_on.items():
            row = self._row_of.get(name)
            if row is not None:
                for request in pods.values():
                    sums.add(row, request.amounts.get(resource, 0))

    def _account(self, row: int, request: PodRequest, *, sign: int) -> None:
        for resource, value in request.amounts.items():
            # What no node offers needs no column: whoever asks for it fits nowhere.
            if (sums := self.used.get(resource)) is not None:
                sums.add(row, sign * value)
        self.scored_cpu.add(row, sign * request.scored_cpu_milli)
        self.scored_memory.add(row, sign * request.scored_memory_bytes)
        if request.owner:
            self._owners.bump(request.owner, row, sign)
        for port in request.host_ports:
            _bump(self._ports, port, row, sign)


class OwnerCounts:
    """Pods by owner and row: sparse for all owners, and dense for those that are being placed."""

    def __init__(self) -> None:
        self._sparse: dict[str, dict[int, int]] = {}
        self._dense: OrderedDict[str, Score] = OrderedDict()

    def bump(self, owner: str, row: int, sign: int) -> None:
        """Count one pod more, or one less."""
        _bump(self._sparse, owner, row, sign)
        dense = self._dense.get(owner)
        if dense is not None and row < dense.size:
            dense[row] += sign
            if owner not in self._sparse:
                del self._dense[owner]

    def by_row(self, owner: str, rows: int) -> Score | None:
        """The counts as an array of length `rows`; None if the owner has no pods."""
        sparse = self._sparse.get(owner)
        if sparse is None:
            return None
        dense = self._dense.get(owner)
        if dense is None or dense.size != rows:
            dense = self._dense[owner] = np.zeros(rows)
            dense[list(sparse)] = list(sparse.values())
            if len(self._dense) > _DENSE_OWNERS_MAX:
                self._dense.popitem(last=False)
        return dense


def _bump(counts: dict[K, dict[int, int]], key: K, row: int, sign: int) -> None:
    by_row = counts.setdefault(key, {})
    by_row[row] = by_row.get(row, 0) + sign
    if not by_row[row]:
        del by_row[row]
        if not by_row:
            del counts[key]


def _fixed_properties(node: NodeView) -> tuple[bool, tuple[Taint, ...], dict[str, str]]:
    return node.spec.unschedulable, node.spec.taints, node.metadata.labels
