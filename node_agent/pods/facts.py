"""What the pure parts must know of the node and of objects that a pod refers to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.api.views.agent import Service
from orchestrator.api.views.configuration import ConfigMap, Secret


class ConfigProblem(Exception):
    """A pod refers to what is not there, or not usable; the text is for the pod's status, trying again may help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """This node, as its pods see it."""

    name: str
    address: str
    cluster_dns: Sequence[str] = ("10.96.0.10",)
    cluster_domain: str = "cluster.local"
    cpu_milli: int = 1000
    memory_bytes: int = 1 << 30
    # How far a container may be kept from the out-of-memory killer: lowering it takes a privilege.
    oom_score_min: int = -1000
    # The node's own resolv.conf, for DNS policy Default.
    resolv_conf: str = ""
    hosts: str = "127.0.0.1\tlocalhost\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """The objects that a pod's environment and volumes are made of, by name. None: it does not exist."""

    config_maps: Mapping[str, ConfigMap | None] = field(default_factory=dict)
    secrets: Mapping[str, Secret | None] = field(default_factory=dict)
    services: Sequence[Service] = ()

    def config_map(self, name: str, *, optional: bool) -> ConfigMap | None:
        """The ConfigMap, or None where it is optional and missing."""
        found = self.config_maps.get(name)
        if found is None and not optional:
            raise ConfigProblem(f'configmap "{name}" not found')
        return found

    def secret(self, name: str, *, optional: bool) -> Secret | None:
        """The Secret, or None where it is optional and missing."""
        found = self.secrets.get(name)
        if found is None and not optional:
            raise ConfigProblem(f'secret "{name}" not found')
        return found
