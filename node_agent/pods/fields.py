"""Fields of the pod and resources of its containers as text: for variables and downward files."""

from __future__ import annotations

import re
from collections.abc import Mapping

from node_agent.pods.facts import ConfigProblem, NodeFacts
from orchestrator.api import quantities
from orchestrator.api.views.pods import Pod, ResourceSelector

_SUBSCRIPT = re.compile(r"^metadata\.(labels|annotations)\['([^']*)'\]$")


def pod_field(pod: Pod, path: str, facts: NodeFacts, pod_ip: str) -> str:
    """The value of a field path that Kubernetes offers; raises ConfigProblem for any other."""
    meta = pod.metadata
    subscript = _SUBSCRIPT.match(path)
    if subscript is not None:
        return (meta.labels if subscript[1] == "labels" else meta.annotations).get(subscript[2], "")
    match path:
        case "metadata.name":
            return meta.name
        case "metadata.namespace":
            return meta.namespace
        case "metadata.uid":
            return meta.uid
        case "metadata.labels":
            return format_map(meta.labels)
        case "metadata.annotations":
            return format_map(meta.annotations)
        case "spec.nodeName":
            return facts.name
        case "spec.serviceAccountName":
            return pod.spec.service_account_name
        case "status.hostIP" | "status.hostIPs":
            return facts.address
        case "status.podIP" | "status.podIPs":
            return facts.address if pod.spec.host_network else pod_ip
    raise ConfigProblem(f"unsupported fieldPath: {path}")


def format_map(pairs: Mapping[str, str]) -> str:
    """Labels or annotations as a downward file shows them: sorted lines of key="value"."""
    return "\n".join(f"{key}={_quoted(value)}" for key, value in sorted(pairs.items()))


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped.replace(chr(13), chr(92) + "r")}"'


def resource_field(pod: Pod, selector: ResourceSelector, container: str, facts: NodeFacts) -> str:
    """A limit or request divided by its divisor, rounded up; a missing limit is what the node has."""
    name = selector.container_name or container
    found = next((one for one in (*pod.spec.containers, *pod.spec.init_containers) if one.name == name), None)
    if found is None:
        raise ConfigProblem(f"container {name} not found")
    kind, _, resource = selector.resource.partition(".")
    resources = found.resources
    if kind == "limits":
        given = resources.limits.get(resource)
    elif kind == "requests":
        given = resources.requests.get(resource, resources.limits.get(resource, 0))
    else:
        raise ConfigProblem(f"unsupported container resource : {selector.resource}")
    whole: dict[str, str | int | float] = {
        "cpu": quantities.format_milli(facts.cpu_milli),
        "memory": str(facts.memory_bytes),
    }
    amount = quantities.parse(whole.get(resource, 0) if given is None else given).nano
    divisor = quantities.parse(selector.divisor or 1).nano or quantities.parse(1).nano
    return str(-(-amount // divisor))
