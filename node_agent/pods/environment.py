"""A container's environment: service variables, envFrom, env, with $(NAME) references resolved."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from node_agent.pods.facts import ConfigProblem, NodeFacts, References
from node_agent.pods.fields import pod_field, resource_field
from orchestrator.api.views.agent import Service
from orchestrator.api.views.pods import Container, EnvFromSource, EnvSource, Pod

# Names that the POSIX shell and every language can read; Kubernetes skips others from envFrom with an event.
_VALID_NAME = re.compile(r"^[-._a-zA-Z][-._a-zA-Z0-9]*$")
_REFERENCE = re.compile(r"\$(\$|\(([^()$]*)\))")


def environment(pod: Pod, container: Container, refs: References, facts: NodeFacts, pod_ip: str) -> dict[str, str]:
    """The variables in Kubernetes' order of precedence. Raises ConfigProblem for what is missing."""
    services = service_variables(pod, refs.services)
    given: dict[str, str] = {}
    for source in container.env_from:
        given.update(_all_keys_of(source, refs))
    for variable in container.env:
        if variable.value_from is not None:
            value = _value_from(pod, container, variable.value_from, refs, facts, pod_ip)
            if value is None:
                continue
        else:
            value = expand(variable.value, {**services, **given})
        given[variable.name] = value
    return {**services, **given}


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace `$(NAME)` by its value and `$$` by `$`; unknown names stay as they are."""

    def replaced(found: re.Match[str]) -> str:
        if found[1] == "$":
            return "$"
        return variables.get(found[2], found[0])

    return _REFERENCE.sub(replaced, text)


def service_variables(pod: Pod, services: Sequence[Service]) -> dict[str, str]:
    """`NAME_SERVICE_HOST` and its kin: of the namespace's services if the pod links them, of `kubernetes` always."""
    chosen: dict[str, Service] = {}
    for service in services:
        meta = service.metadata
        if service.spec.cluster_ip in ("", "None"):
            continue
        is_master = meta.namespace == "default" and meta.name == "kubernetes"
        if meta.namespace == pod.metadata.namespace and (pod.spec.enable_service_links or is_master):
            chosen[meta.name] = service
        elif is_master:
            chosen.setdefault(meta.name, service)
    variables: dict[str, str] = {}
    for name in sorted(chosen):
        variables.update(_variables_of(chosen[name]))
    return variables


def _variables_of(service: Service) -> dict[str, str]:
    if not service.spec.ports:
        return {}
    prefix = service.metadata.name.upper().replace("-", "_")
    address, first = service.spec.cluster_ip, service.spec.ports[0]
    variables = {f"{prefix}_SERVICE_HOST": address, f"{prefix}_SERVICE_PORT": str(first.port)}
    for port in service.spec.ports:
        if port.name:
            variables[f"{prefix}_SERVICE_PORT_{port.name.upper().replace('-', '_')}"] = str(port.port)
    variables[f"{prefix}_PORT"] = f"{first.protocol.lower()}://{address}:{first.port}"
    for port in service.spec.ports:
        protocol, base = port.protocol.lower(), f"{prefix}_PORT_{port.port}_{port.protocol.upper()}"
        variables[base] = f"{protocol}://{address}:{port.port}"
        variables[f"{base}_PROTO"] = protocol
        variables[f"{base}_PORT"] = str(port.port)
        variables[f"{base}_ADDR"] = address
    return variables


def _all_keys_of(source: EnvFromSource, refs: References) -> dict[str, str]:
    values: dict[str, str] = {}
    if (ref := source.config_map_ref) is not None:
        config_map = refs.config_map(ref.name, optional=ref.optional)
        values = dict(config_map.data) if config_map is not None else {}
    elif (ref := source.secret_ref) is not None:
        secret = refs.secret(ref.name, optional=ref.optional)
        values = {key: _text(value) for key, value in secret.data.items()} if secret is not None else {}
    named = {source.prefix + key: value for key, value in sorted(values.items())}
    return {key: value for key, value in named.items() if _VALID_NAME.match(key)}


def _value_from(
    pod: Pod, container: Container, source: EnvSource, refs: References, facts: NodeFacts, pod_ip: str
) -> str | None:
    namespace = pod.metadata.namespace
    if source.field_ref is not None:
        return pod_field(pod, source.field_ref.field_path, facts, pod_ip)
    if source.resource_field_ref is not None:
        return resource_field(pod, source.resource_field_ref, container.name, facts)
    if (ref := source.config_map_key_ref) is not None:
        config_map = refs.config_map(ref.name, optional=ref.optional)
        if config_map is not None and ref.key in config_map.data:
            return config_map.data[ref.key]
        if ref.optional:
            return None
        raise ConfigProblem(f"couldn't find key {ref.key} in ConfigMap {namespace}/{ref.name}")
    if (ref := source.secret_key_ref) is not None:
        secret = refs.secret(ref.name, optional=ref.optional)
        if secret is not None and ref.key in secret.data:
            return _text(secret.data[ref.key])
        if ref.optional:
            return None
        raise ConfigProblem(f"couldn't find key {ref.key} in Secret {namespace}/{ref.name}")
    raise ConfigProblem("valueFrom names no source that this node knows")


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")
