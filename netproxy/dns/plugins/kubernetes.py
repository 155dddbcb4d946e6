"""Answers for the cluster's own names, from memory. Until the cluster is known: SERVFAIL, never "no such name"."""

from __future__ import annotations

import ipaddress

from netproxy.dns import wire
from netproxy.dns.records import Answer, Zone
from netproxy.dns.wire import Question

_REVERSE = ".in-addr.arpa"


class Kubernetes:
    """The link that owns the cluster's domain, and the reverse names of service addresses."""

    def __init__(self, zone: Zone, service_cidr: ipaddress.IPv4Network) -> None:
        self._zone = zone
        self._service_cidr = service_cidr
        self.has_synced = False

    def answer(self, question: Question) -> Answer | None:
        """The answer; None for names of somebody else."""
        if question.type == wire.ANY:
            return Answer(wire.NOTIMP) if self._zone.owns(question.name) else None
        if not self.has_synced and (self._zone.owns(question.name) or question.name.endswith(_REVERSE)):
            return Answer(wire.SERVFAIL)
        answer = self._zone.lookup(question.name, question.type)
        if answer is None and self._is_service_address(question.name):
            return Answer(wire.NXDOMAIN)
        return answer

    def _is_service_address(self, name: str) -> bool:
        if not name.endswith(_REVERSE):
            return False
        try:
            address = ipaddress.IPv4Address(".".join(reversed(name.removesuffix(_REVERSE).split("."))))
        except ValueError:
            return False
        return address in self._service_cidr
