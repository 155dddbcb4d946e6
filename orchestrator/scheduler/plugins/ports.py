"""Host ports: two pods cannot hold the same port of one node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from orchestrator.scheduler.changes import Change, Happened
from orchestrator.scheduler.columns import Mask
from orchestrator.scheduler.request import HostPort, PodRequest
from orchestrator.scheduler.table import NodeTable

_ANY_ADDRESS = "0.0.0.0"


class PortsTaken:
    """Which host ports the pods of each row hold: by protocol and port, then by address, then by row."""

    def __init__(self) -> None:
        self._holders: dict[tuple[str, int], dict[str, dict[int, int]]] = {}

    def came(self, pod: PodRequest, row: int) -> None:
        for address, protocol, port in pod.demand.host_ports:
            rows = self._holders.setdefault((protocol, port), {}).setdefault(address, {})
            rows[row] = rows.get(row, 0) + 1

    def went(self, pod: PodRequest, row: int) -> None:
        for address, protocol, port in pod.demand.host_ports:
            by_address = self._holders[protocol, port]
            rows = by_address[address]
            rows[row] -= 1
            if not rows[row]:
                del rows[row]
            if not rows:
                del by_address[address]
            if not by_address:
                del self._holders[protocol, port]

    def rows_with(self, wanted: HostPort) -> Sequence[int]:
        """The rows on which a pod holds something that collides with the port."""
        address, protocol, port = wanted
        return [
            row
            for taken, rows in self._holders.get((protocol, port), {}).items()
            if _collide(address, taken)
            for row in rows
        ]


class PortsFree:
    """None of the pod's host ports is held on the node. (NodePorts)"""

    name = "NodePorts"
    wakes_on = Change.NODE_ADDED | Change.POD_WENT

    def mask(self, pod: PodRequest, nodes: NodeTable) -> Mask:
        mask: Mask = np.ones(nodes.rows, dtype=np.bool_)
        # Asked for even by pods without ports, so that the tally is there from the first pod on.
        taken = nodes.tally(PortsTaken)
        for port in pod.demand.host_ports:
            mask[taken.rows_with(port)] = False
        return mask

    def reasons(self, pod: PodRequest, nodes: NodeTable, refused: Mask) -> Mapping[str, int]:
        return {"node(s) didn't have free ports for the requested pod ports": int(np.count_nonzero(refused))}

    def may_help(self, pod: PodRequest, happened: Happened, nodes: NodeTable) -> bool:
        if happened.pod is None:
            return True
        return any(
            one[1:] == other[1:] and _collide(one[0], other[0])
            for one in pod.demand.host_ports
            for other in happened.pod.demand.host_ports
        )


def _collide(one: str, other: str) -> bool:
    return one == other or _ANY_ADDRESS in (one, other)
