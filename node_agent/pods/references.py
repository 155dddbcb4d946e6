"""The ConfigMaps, Secrets and services that pods refer to, fetched when needed and kept for a short while."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import TypeVar

from node_agent.pods.facts import ConfigProblem, References
from orchestrator.api.resources import CONFIGMAPS, SECRETS, Resource
from orchestrator.api.views.agent import Service
from orchestrator.api.views.configuration import ConfigMap, Secret
from orchestrator.api.views.pods import Pod
from orchestrator.machinery.client import Client
from orchestrator.machinery.clock import Clock
from orchestrator.machinery.errors import ApiError, NotFound, Unreachable
from orchestrator.machinery.informer import Informer

T = TypeVar("T", ConfigMap, Secret)

# Kubernetes promises that files follow their ConfigMap within about a minute; the refresh adds up to this.
FRESH_S = 20.0
_KEPT_MAX = 1_000


class PodReferences:
    """Fetches what a pod refers to. Only single objects are read: that is all a node may do."""

    def __init__(self, client: Client, services: Informer[Service], clock: Clock) -> None:
        self._client = client
        self._services = services
        self._clock = clock
        self._kept: OrderedDict[tuple[str, str, str], tuple[float, ConfigMap | Secret | None]] = OrderedDict()

    async def of(self, pod: Pod) -> References:
        """Everything that the pod refers to. Raises ConfigProblem if it cannot be read."""
        namespace = pod.metadata.namespace
        return References(
            config_maps={name: await self._config_map(namespace, name) for name in sorted(config_maps_of(pod))},
            secrets={name: await self._secret(namespace, name) for name in sorted(secrets_of(pod))},
            services=tuple(self._services.values()),
        )

    async def pull_secrets(self, pod: Pod) -> tuple[Secret, ...]:
        """The pod's image pull secrets; missing ones are left out, as in Kubernetes."""
        found = [await self._secret(pod.metadata.namespace, ref.name) for ref in pod.spec.image_pull_secrets]
        return tuple(secret for secret in found if secret is not None)

    async def _config_map(self, namespace: str, name: str) -> ConfigMap | None:
        return await self._get(CONFIGMAPS, namespace, name, ConfigMap)

    async def _secret(self, namespace: str, name: str) -> Secret | None:
        return await self._get(SECRETS, namespace, name, Secret)

    async def _get(self, resource: Resource, namespace: str, name: str, view: type[T]) -> T | None:
        key = (resource.plural, namespace, name)
        kept = self._kept.get(key)
        now = self._clock.monotonic()
        if kept is not None and now - kept[0] < FRESH_S and kept[1] is not None:
            return kept[1]  # type: ignore[return-value]
        try:
            found: T | None = await self._client.get(resource, name, namespace, into=view)
        except NotFound:
            found = None
        except (ApiError, Unreachable) as refused:
            raise ConfigProblem(f'failed to read {resource.plural} "{namespace}/{name}": {refused}') from refused
        self._kept[key] = (now, found)
        self._kept.move_to_end(key)
        while len(self._kept) > _KEPT_MAX:
            self._kept.popitem(last=False)
        return found


def config_maps_of(pod: Pod) -> set[str]:
    """The names of all ConfigMaps that the pod's variables and volumes need."""
    names: set[str] = set()
    for container in (*pod.spec.init_containers, *pod.spec.containers):
        names.update(ref.config_map_ref.name for ref in container.env_from if ref.config_map_ref is not None)
        for variable in container.env:
            source = variable.value_from
            if source is not None and source.config_map_key_ref is not None:
                names.add(source.config_map_key_ref.name)
    for volume in pod.spec.volumes:
        if volume.config_map is not None:
            names.add(volume.config_map.name)
        if volume.projected is not None:
            names.update(one.config_map.name for one in volume.projected.sources if one.config_map is not None)
    return names


def secrets_of(pod: Pod) -> set[str]:
    """The names of all Secrets that the pod's variables and volumes need."""
    names: set[str] = set()
    for container in (*pod.spec.init_containers, *pod.spec.containers):
        names.update(ref.secret_ref.name for ref in container.env_from if ref.secret_ref is not None)
        for variable in container.env:
            source = variable.value_from
            if source is not None and source.secret_key_ref is not None:
                names.add(source.secret_key_ref.name)
    for volume in pod.spec.volumes:
        if volume.secret is not None:
            names.add(volume.secret.secret_name)
        if volume.projected is not None:
            names.update(one.secret.name for one in volume.projected.sources if one.secret is not None)
    return names


def needs_refresh(pods: Iterable[Pod]) -> Mapping[str, Pod]:
    """The pods with volumes whose files follow objects, by uid."""
    return {
        pod.metadata.uid: pod
        for pod in pods
        if any(
            volume.config_map is not None
            or volume.secret is not None
            or volume.projected is not None
            or volume.downward_api is not None
            for volume in pod.spec.volumes
        )
    }
