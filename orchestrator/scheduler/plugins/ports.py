"""Host ports: two pods cannot hold the same port of one node."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from orchestrator.scheduler.request import HostPort, PodRequest
from orchestrator.scheduler.table import Mask, NodeTable

_ANY_ADDRESS = "0.0.0.0"


class PortsFree:
    """None of the pod's host ports is held on the node. (NodePorts)"""

    name = "NodePorts"

    def mask(self, pod: PodRequest, nodes: NodeTable) -> Mask:
        mask: Mask = np.ones(nodes.rows, dtype=np.bool_)
        if not pod.host_ports:
            return mask
        for taken, rows in nodes.ports_taken().items():
            if any(_collide(port, taken) for port in pod.host_ports):
                mask[list(rows)] = False
        return mask

    def reasons(self, pod: PodRequest, nodes: NodeTable, refused: Mask) -> Mapping[str, int]:
        return {"node(s) didn't have free ports for the requested pod ports": int(np.count_nonzero(refused))}


def _collide(one: HostPort, other: HostPort) -> bool:
    return one[1:] == other[1:] and (one[0] == other[0] or _ANY_ADDRESS in (one[0], other[0]))
