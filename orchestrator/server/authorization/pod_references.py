"""Which secrets, config maps and service accounts a pod refers to: a view of those fields, and one pure function."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from orchestrator.api.views.meta import ObjectMeta, View


class Reference(NamedTuple):
    """A kind and a name, in the pod's own namespace."""

    kind: str
    name: str


class _Name(View, frozen=True):
    name: str = ""


class _KeySource(View, frozen=True):
    secret_key_ref: _Name | None = None
    config_map_key_ref: _Name | None = None


class _Env(View, frozen=True):
    value_from: _KeySource | None = None


class _EnvFrom(View, frozen=True):
    secret_ref: _Name | None = None
    config_map_ref: _Name | None = None


class _Container(View, frozen=True):
    env: tuple[_Env, ...] | None = ()
    env_from: tuple[_EnvFrom, ...] | None = ()


class _SecretVolume(View, frozen=True):
    secret_name: str = ""


class _Projection(View, frozen=True):
    secret: _Name | None = None
    config_map: _Name | None = None


class _Projected(View, frozen=True):
    sources: tuple[_Projection, ...] | None = ()


class _Volume(View, frozen=True):
    secret: _SecretVolume | None = None
    config_map: _Name | None = None
    projected: _Projected | None = None


class _Spec(View, frozen=True):
    node_name: str = ""
    service_account_name: str = ""
    image_pull_secrets: tuple[_Name, ...] | None = ()
    containers: tuple[_Container, ...] | None = ()
    init_containers: tuple[_Container, ...] | None = ()
    ephemeral_containers: tuple[_Container, ...] | None = ()
    volumes: tuple[_Volume, ...] | None = ()


class PodReferences(View, frozen=True):
    """A pod, seen by what it refers to and where it runs."""

    metadata: ObjectMeta = ObjectMeta()
    spec: _Spec = _Spec()


def references_of(pod: PodReferences) -> frozenset[Reference]:
    """Everything the pod's node must be able to read to run it."""
    return frozenset(reference for reference in _all(pod.spec) if reference.name)


def _all(spec: _Spec) -> Iterator[Reference]:
    yield Reference("ServiceAccount", spec.service_account_name)
    for pull_secret in spec.image_pull_secrets or ():
        yield Reference("Secret", pull_secret.name)
    for container in (*(spec.containers or ()), *(spec.init_containers or ()), *(spec.ephemeral_containers or ())):
        for env in container.env or ():
            if env.value_from is not None:
                yield from _either(env.value_from.secret_key_ref, env.value_from.config_map_key_ref)
        for env_from in container.env_from or ():
            yield from _either(env_from.secret_ref, env_from.config_map_ref)
    for volume in spec.volumes or ():
        if volume.secret is not None:
            yield Reference("Secret", volume.secret.secret_name)
        yield from _either(None, volume.config_map)
        for source in (volume.projected.sources or ()) if volume.projected is not None else ():
            yield from _either(source.secret, source.config_map)


def _either(secret: _Name | None, config_map: _Name | None) -> Iterator[Reference]:
    if secret is not None:
        yield Reference("Secret", secret.name)
    if config_map is not None:
        yield Reference("ConfigMap", config_map.name)
