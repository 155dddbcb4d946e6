"""The files of configMap, secret, downwardAPI and projected volumes; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from node_agent.pods.facts import ConfigProblem, NodeFacts, References
from node_agent.pods.fields import pod_field, resource_field
from orchestrator.api.views.pods import DownwardSource, KeyToPath, Pod, ProjectedSource, TokenProjection, Volume

DEFAULT_MODE = 0o644


@dataclass(frozen=True, slots=True)
class File:
    """One file of a volume."""

    data: bytes
    mode: int = DEFAULT_MODE


Payload = dict[str, File]
# The tokens of a pod's projections, by (audience, seconds).
Tokens = Mapping[tuple[str, int], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingredients:
    """What files are made of."""

    refs: References
    facts: NodeFacts
    tokens: Tokens
    pod_ip: str = ""


def payload(pod: Pod, volume: Volume, given: Ingredients) -> Payload | None:
    """The files of the volume by relative path, or None for a volume that is no such thing."""
    if (config_map := volume.config_map) is not None:
        mode = config_map.default_mode
        return _config_map(config_map.name, config_map.items, config_map.optional, mode, given)
    if (secret := volume.secret) is not None:
        return _secret(secret.secret_name, secret.items, secret.optional, secret.default_mode, given)
    if (downward := volume.downward_api) is not None:
        return _downward(pod, downward, downward.default_mode, given)
    if (projected := volume.projected) is not None:
        return _projected(pod, projected, given)
    return None


def tokens_wanted(pod: Pod) -> Sequence[TokenProjection]:
    """All token projections of the pod."""
    return tuple(
        source.service_account_token
        for volume in pod.spec.volumes
        if volume.projected is not None
        for source in volume.projected.sources
        if source.service_account_token is not None
    )


def _config_map(name: str, items: Sequence[KeyToPath], optional: bool, mode: int | None, given: Ingredients) -> Payload:
    found = given.refs.config_map(name, optional=optional)
    if found is None:
        return {}
    data = {**{key: value.encode() for key, value in found.data.items()}, **found.binary_data}
    return _keys(data, items, optional, mode)


def _secret(name: str, items: Sequence[KeyToPath], optional: bool, mode: int | None, given: Ingredients) -> Payload:
    found = given.refs.secret(name, optional=optional)
    return {} if found is None else _keys(found.data, items, optional, mode)


def _keys(data: Mapping[str, bytes], items: Sequence[KeyToPath], optional: bool, mode: int | None) -> Payload:
    default = DEFAULT_MODE if mode is None else mode
    if not items:
        return {key: File(value, default) for key, value in data.items()}
    files: Payload = {}
    for item in items:
        if item.key in data:
            files[_safe(item.path)] = File(data[item.key], default if item.mode is None else item.mode)
        elif not optional:
            raise ConfigProblem(f"references non-existent config key: {item.key}")
    return files


def _downward(pod: Pod, source: DownwardSource, mode: int | None, given: Ingredients) -> Payload:
    default = DEFAULT_MODE if mode is None else mode
    files: Payload = {}
    for item in source.items:
        if item.field_ref is not None:
            value = pod_field(pod, item.field_ref.field_path, given.facts, given.pod_ip)
        elif item.resource_field_ref is not None:
            value = resource_field(pod, item.resource_field_ref, "", given.facts)
        else:
            continue
        files[_safe(item.path)] = File(value.encode(), default if item.mode is None else item.mode)
    return files


def _projected(pod: Pod, source: ProjectedSource, given: Ingredients) -> Payload:
    mode = source.default_mode
    files: Payload = {}
    for one in source.sources:
        if one.config_map is not None:
            files.update(_config_map(one.config_map.name, one.config_map.items, one.config_map.optional, mode, given))
        elif one.secret is not None:
            files.update(_secret(one.secret.name, one.secret.items, one.secret.optional, mode, given))
        elif one.downward_api is not None:
            files.update(_downward(pod, one.downward_api, mode, given))
        elif (token := one.service_account_token) is not None:
            text = given.tokens.get((token.audience, token.expiration_seconds))
            if text is None:
                raise ConfigProblem("failed to fetch token: not issued yet")
            files[_safe(token.path)] = File(text.encode(), DEFAULT_MODE if mode is None else mode)
        else:
            raise ConfigProblem("no volume plugin projects one of its sources")
    return files


def _safe(path: str) -> str:
    parts = path.split("/")
    if path.startswith("/") or ".." in parts or not path or parts[0].startswith(".."):
        raise ConfigProblem(f"invalid path: {path}: must be relative and not contain '..'")
    return path
