"""How important a request is: the priority levels that Kubernetes comes with, and which requests they are for. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.server.authentication.base import MASTERS
from orchestrator.server.authorization.base import Attributes
from orchestrator.server.authorization.fixed import CONTROLLERS, SCHEDULER
from orchestrator.server.authorization.node import NODE_GROUP

_SERVICE_ACCOUNTS = "system:serviceaccounts"
_SYSTEM_ACCOUNTS = "system:serviceaccounts:kube-system"
_PROBES = ("/healthz", "/livez", "/readyz")


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """A priority level. `reserve` is how many of the usual seats nobody else may take; what is exempt needs none."""

    name: str
    reserve: int = 0
    is_exempt: bool = False


#: How many seats there are in Kubernetes, of which the levels' reserves are what its configuration does not lend.
SEATS_USUAL = 600

EXEMPT = Level("exempt", is_exempt=True)
NODE_HIGH = Level("node-high", 74)
SYSTEM = Level("system", 50)
LEADER_ELECTION = Level("leader-election", 25)
WORKLOAD_HIGH = Level("workload-high", 49)
WORKLOAD_LOW = Level("workload-low", 25)
GLOBAL_DEFAULT = Level("global-default", 25)
CATCH_ALL = Level("catch-all", 13)

#: Logs, exec, attach, port-forward: of no level, since each goes on for as long as its user likes. Seats of their own.
STREAMS = Level("streams")

#: Those with seats, in the order in which who waits is served.
LEVELS = (NODE_HIGH, SYSTEM, LEADER_ELECTION, WORKLOAD_HIGH, WORKLOAD_LOW, GLOBAL_DEFAULT, CATCH_ALL)


def level_of(attributes: Attributes) -> Level:
    """The level of a request, by who asks and what it is about; the first rule that fits decides, as in Kubernetes.

    One difference: of what nodes do with Nodes, only what keeps one alive is `node-high`; their lists are `system`.
    """
    user, groups = attributes.user.name, attributes.user.groups
    if MASTERS in groups:
        return EXEMPT
    if not attributes.resource and attributes.path.startswith(_PROBES):
        return EXEMPT
    if NODE_GROUP in groups:
        return NODE_HIGH if _is_heartbeat(attributes) else SYSTEM
    if user in (CONTROLLERS, SCHEDULER) or _SYSTEM_ACCOUNTS in groups:
        return LEADER_ELECTION if _is_about_leases(attributes) else WORKLOAD_HIGH
    if _SERVICE_ACCOUNTS in groups:
        return WORKLOAD_LOW
    return GLOBAL_DEFAULT if groups else CATCH_ALL


def _is_heartbeat(attributes: Attributes) -> bool:
    if attributes.verb in ("list", "watch"):
        return False
    return _is_about_leases(attributes) or (attributes.resource == "nodes" and not attributes.group)


def _is_about_leases(attributes: Attributes) -> bool:
    return attributes.resource == "leases" and attributes.group == "coordination.k8s.io"
