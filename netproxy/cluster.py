"""What is known of the cluster at this moment, and what follows from it: rules for the data path, names for DNS.

Only services that changed are worked out again.
"""

from __future__ import annotations

from collections.abc import Iterable

from netproxy.dns.records import Zone, names_of
from netproxy.metrics import FAILURES
from netproxy.rules import Frontend, Here, Rule, merge, rules_of
from netproxy.state import ClusterState
from orchestrator.api.views.network import EndpointSlice, NodeView, Service
from orchestrator.machinery.log import get_logger

logger = get_logger(__name__)


class Cluster:
    """Tell it what changes, have it `work_out` what follows, take the `rules`. Pure but for its memory."""

    def __init__(self, zone: Zone, node_name: str, *, reserved: Iterable[Frontend] = ()) -> None:
        self._zone = zone
        self._reserved = tuple(reserved)
        self._here = Here(node=node_name)
        self._node: NodeView | None = None
        self._services: dict[str, Service] = {}
        self._slices: dict[str, dict[str, EndpointSlice]] = {}  # by service, then by their own key
        self._parts: dict[str, dict[Frontend, Rule]] = {}
        self._changed: set[str] = set()

    @property
    def unsettled(self) -> bool:
        """Whether a change is still to be worked out."""
        return bool(self._changed)

    def service_changed(self, old: Service | None, new: Service | None) -> None:
        """A service is new, different, or gone."""
        known = new or old
        assert known is not None
        key = known.metadata.key
        if new is None:
            self._services.pop(key, None)
        else:
            self._services[key] = new
        self._changed.add(key)

    def slice_changed(self, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        """A slice is new, different (perhaps another service's from now on), or gone."""
        if old is not None and old.service_key:
            own = self._slices.get(old.service_key, {})
            own.pop(old.metadata.key, None)
            if not own:
                self._slices.pop(old.service_key, None)
            self._changed.add(old.service_key)
        if new is not None and new.service_key:
            self._slices.setdefault(new.service_key, {})[new.metadata.key] = new
            self._changed.add(new.service_key)

    def node_changed(self, node: NodeView | None) -> None:
        """This node has other labels."""
        self._node = node
        here = Here(node=self._here.node, zone=node.zone if node else "")
        if here != self._here:
            self._here = here
            self._changed.update(self._services)

    def load(self, state: ClusterState) -> None:
        """Replace everything known; only what differs counts as changed."""
        services = {service.metadata.key: service for service in state.services}
        slices: dict[str, dict[str, EndpointSlice]] = {}
        for piece in state.slices:
            if piece.service_key:
                slices.setdefault(piece.service_key, {})[piece.metadata.key] = piece
        for key in self._services.keys() | self._slices.keys() | services.keys() | slices.keys():
            if self._services.get(key) != services.get(key) or self._slices.get(key) != slices.get(key):
                self._changed.add(key)
        self._services, self._slices = services, slices
        self.node_changed(state.node)

    def state(self) -> ClusterState:
        """Everything known, to be saved."""
        slices = tuple(piece for own in self._slices.values() for piece in own.values())
        return ClusterState(services=tuple(self._services.values()), slices=slices, node=self._node)

    def service_of(self, frontend: Frontend) -> Service | None:
        """The service that a frontend belongs to."""
        owner = next((key for key in sorted(self._parts) if frontend in self._parts[key]), "")
        return self._services.get(owner)

    def work_out(self, services_max: int) -> None:
        """Bring the rules and names of some changed services up to date; again until nothing is `unsettled`."""
        for _ in range(min(services_max, len(self._changed))):
            key = self._changed.pop()
            service = self._services.get(key)
            slices = tuple(self._slices.get(key, {}).values())
            if service is None:
                self._parts.pop(key, None)
                self._zone.replace(key, {})
                continue
            try:
                rules, names = rules_of(service, slices, self._here), names_of(service, slices, self._zone.domain)
            except Exception:
                # What it had stays until something about it changes; the other services are worked out.
                FAILURES.inc()
                logger.exception("service.failed", service=key, revision=service.metadata.resource_version)
                continue
            self._parts[key] = rules
            self._zone.replace(key, names)

    def rules(self) -> dict[Frontend, Rule]:
        """All rules, as far as they are worked out."""
        return merge(self._parts, reserved=self._reserved)
