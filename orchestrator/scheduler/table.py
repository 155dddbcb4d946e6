"""The nodes as arrays: row i is the same node in every column. All that placing reads and writes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Protocol, TypeVar
from weakref import WeakValueDictionary

import numpy as np

from orchestrator.api.views.scheduling import NodeView, Taint
from orchestrator.scheduler.changes import Change
from orchestrator.scheduler.columns import Amounts, ChangedRows, Codes, Mask, Score, Sums, longer
from orchestrator.scheduler.request import CPU, MEMORY, PODS, PodRequest, offered

_FIRST_ROWS = 16
# Columns of labels kept though nobody holds them; which labels are asked for is up to whoever writes pods.
_LABELS_MAX = 256


class Tally(Protocol):
    """Counts that a plugin keeps of the pods on each row. Made without arguments; told of every pod that counts.

    Counting is by row. Whoever wants sums by zone or any other label adds up by a column of labels when asked, so that
    a node that changes its zone takes its pods along.
    """

    def came(self, pod: PodRequest, row: int) -> None:
        """A pod counts against the row from now on."""
        ...

    def went(self, pod: PodRequest, row: int) -> None:
        """A pod that came does not count against the row any more."""
        ...


T = TypeVar("T", bound=Tally)


class NodeTable:
    """Arrays over nodes, each of length `rows`; `present` says which rows hold a node.

    `allocatable[resource]` is one contiguous int64 vector a resource (cpu in milli, the rest in whole units), and
    `used[resource]` the sums of what the pods on each row ask for. Fixed properties are `taints`, `unschedulable` and
    the columns of `label`; `changed` says in which rows any of them did, so what was made from them can be kept.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.nodes: list[NodeView | None] = []
        self.present: Mask = np.zeros(0, dtype=np.bool_)
        self.unschedulable: Mask = np.zeros(0, dtype=np.bool_)
        self.taints: Codes[tuple[Taint, ...]] = Codes()
        self.allocatable: dict[str, Amounts] = {name: np.zeros(0, dtype=np.int64) for name in (CPU, MEMORY, PODS)}
        self.used: dict[str, Sums[np.int64]] = {name: Sums(np.zeros(0, dtype=np.int64)) for name in (CPU, MEMORY, PODS)}
        self.scored_cpu = Sums(np.zeros(0))
        self.scored_memory = Sums(np.zeros(0))
        self.inverse_cpu: Score = np.zeros(0)
        self.inverse_memory: Score = np.zeros(0)
        self.changed = ChangedRows()
        self._row_of: dict[str, int] = {}
        self._free_rows: list[int] = []
        # Every pod that counts, by the name of its node. Those whose node is not in the table (not seen yet, or
        # deleted) count as soon as it appears.
        self._pods_on: dict[str, dict[str, PodRequest]] = {}
        self._home_of: dict[str, str] = {}
        self._tallies: dict[type[Tally], Tally] = {}
        # A column lives as long as somebody holds it; the ones asked for last are held here.
        self._labels: WeakValueDictionary[str, Codes[str]] = WeakValueDictionary()
        self._recent_labels: OrderedDict[str, Codes[str]] = OrderedDict()

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

    def set_node(self, node: NodeView) -> Change:
        """Add or update a node; says what of it that matters to placing changed."""
        name = node.metadata.name
        row = self._row_of.get(name)
        old = None if row is None else self.nodes[row]
        if row is None:
            row = self._take_row(name)
            # Before its resources get columns: a new column counts what is asked of it by itself.
            for request in self._pods_on.get(name, {}).values():
                self._account(row, request, sign=1)
        self.nodes[row] = node
        change = Change.NODE_ALLOCATABLE if self._set_allocatable(row, node.status.allocatable) else Change.NOTHING
        if old is None or old.metadata.labels != node.metadata.labels:
            change |= Change.NODE_LABELS
            for key, column in self._labels.items():
                column.set(row, node.metadata.labels.get(key))
        if old is None or (old.spec.taints, old.spec.unschedulable) != (node.spec.taints, node.spec.unschedulable):
            change |= Change.NODE_TAINTS
            self.taints.set(row, node.spec.taints or None)
            self.unschedulable[row] = node.spec.unschedulable
        if change & (Change.NODE_LABELS | Change.NODE_TAINTS):
            self.changed.note(row)
        return Change.NODE_ADDED if old is None else change

    def remove_node(self, name: str) -> bool:
        """Take a node out, and say whether it was there; its pods stay known and count again should it return."""
        row = self._row_of.pop(name, None)
        if row is None:
            return False
        for request in self._pods_on.get(name, {}).values():
            self._account(row, request, sign=-1)
        self.present[row] = False
        self.nodes[row] = None
        self.names[row] = ""
        for column in self.allocatable.values():
            column[row] = 0
        self.unschedulable[row] = False
        self.taints.set(row, None)
        for labels in self._labels.values():
            labels.set(row, None)
        self.changed.note(row)
        self._free_rows.append(row)
        return True

    def add_pod(self, request: PodRequest, node_name: str) -> None:
        """Count a pod against a node; counting the same pod again moves it."""
        self.remove_pod(request.uid)
        self._home_of[request.uid] = node_name
        self._pods_on.setdefault(node_name, {})[request.uid] = request
        row = self._row_of.get(node_name)
        if row is not None:
            self._account(row, request, sign=1)

    def remove_pod(self, uid: str) -> PodRequest | None:
        """Stop counting a pod; gives back what was counted, if it was."""
        node_name = self._home_of.pop(uid, None)
        if node_name is None:
            return None
        pods = self._pods_on[node_name]
        request = pods.pop(uid)
        if not pods:
            del self._pods_on[node_name]
        row = self._row_of.get(node_name)
        if row is not None:
            self._account(row, request, sign=-1)
        return request

    def node_of(self, uid: str) -> str | None:
        """The node that a pod counts against, if any; the node itself need not be there."""
        return self._home_of.get(uid)

    def free(self, resource: str) -> Amounts:
        """What is left of a resource, by row; a resource no node has is nowhere."""
        if resource not in self.allocatable:
            return np.zeros(self.rows, dtype=np.int64)
        left: Amounts = self.allocatable[resource] - self.used[resource].shown
        return left

    def free_on(self, row: int, resource: str) -> int:
        """What is left of a resource on one row."""
        column = self.allocatable.get(resource)
        return 0 if column is None else int(column[row]) - int(self.used[resource].shown[row])

    def label(self, key: str) -> Codes[str]:
        """The nodes' values of one label as a column, kept current for as long as the caller holds it."""
        column = self._labels.get(key)
        if column is None:
            column = self._labels[key] = Codes(self.rows)
            for row, node in enumerate(self.nodes):
                if node is not None and (value := node.metadata.labels.get(key)) is not None:
                    column.set(row, value)
        self._recent_labels[key] = column
        self._recent_labels.move_to_end(key)
        if len(self._recent_labels) > _LABELS_MAX:
            self._recent_labels.popitem(last=False)
        return column

    def tally(self, kind: type[T]) -> T:
        """The one tally of this kind, told of every pod that counts; made when first asked for."""
        tally = self._tallies.get(kind)
        if tally is None:
            tally = self._tallies[kind] = kind()
            for name, pods in self._pods_on.items():
                if (row := self._row_of.get(name)) is not None:
                    for request in pods.values():
                        tally.came(request, row)
        assert isinstance(tally, kind)
        return tally

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
        for sums in self.used.values():
            sums.grow(new)
        self.scored_cpu.grow(new)
        self.scored_memory.grow(new)
        self.taints.grow(new)
        for labels in self._labels.values():
            labels.grow(new)
        for field in ("present", "unschedulable", "inverse_cpu", "inverse_memory"):
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
        sums = self.used[resource] = Sums(np.zeros(self.rows, dtype=np.int64))
        for name, pods in self._pods_on.items():
            row = self._row_of.get(name)
            if row is not None:
                for request in pods.values():
                    sums.add(row, request.demand.amounts.get(resource, 0))

    def _account(self, row: int, request: PodRequest, *, sign: int) -> None:
        demand = request.demand
        for resource, value in demand.amounts.items():
            # What no node offers needs no column: whoever asks for it fits nowhere.
            if (sums := self.used.get(resource)) is not None:
                sums.add(row, sign * value)
        self.scored_cpu.add(row, sign * demand.scored_cpu_milli)
        self.scored_memory.add(row, sign * demand.scored_memory_bytes)
        for tally in self._tallies.values():
            if sign > 0:
                tally.came(request, row)
            else:
                tally.went(request, row)
