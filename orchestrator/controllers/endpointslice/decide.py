"""Which endpoints a service has, and how they are spread over its slices with as few writes as possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from orchestrator.api.views.cluster import (
    Endpoint,
    EndpointConditions,
    EndpointPort,
    EndpointSlice,
    Service,
    ServicePort,
    TargetRef,
)
from orchestrator.api.views.workloads import Pod

#: Kubernetes' limit of endpoints in one slice.
SLICE_MAX = 100

MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
SERVICE_NAME = "kubernetes.io/service-name"
HEADLESS = "service.kubernetes.io/headless"

Ports = tuple[EndpointPort, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedSlice:
    """What a slice should be. `replaces` is the slice to change; None: a new one."""

    endpoints: tuple[Endpoint, ...]
    ports: Ports
    labels: Mapping[str, str]
    replaces: EndpointSlice | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Slices to create, to change and to delete."""

    create: tuple[WantedSlice, ...] = ()
    update: tuple[WantedSlice, ...] = ()
    delete: tuple[EndpointSlice, ...] = ()


def decide(
    service: Service, pods: Sequence[Pod], zones: Mapping[str, str], slices: Sequence[EndpointSlice]
) -> Decision:
    """Compare a service's pods with its slices.

    `zones` gives the zone of nodes that have one. An endpoint stays in the slice where it is; new ones fill the
    fullest slices that have room, so that slices are few and changes touch as few of them as possible.
    """
    labels = labels_of(service)
    wanted = endpoints_of(service, pods, zones)
    create: list[WantedSlice] = []
    update: list[WantedSlice] = []
    delete: list[EndpointSlice] = []
    spare: list[EndpointSlice] = []
    by_ports: dict[Ports, list[EndpointSlice]] = {ports: [] for ports in wanted}
    for one in sorted(slices, key=lambda slice_: (slice_.metadata.creation_timestamp, slice_.metadata.name)):
        if one.metadata.deletion_timestamp is not None:
            continue
        same = by_ports.get(one.ports)
        if one.address_type != "IPv4":
            delete.append(one)
        elif same is None:
            spare.append(one)
        else:
            same.append(one)
    for ports, endpoints in wanted.items():
        made = _spread(endpoints, ports, by_ports[ports], labels)
        create += made.create
        update += made.update
        delete += made.delete
    # A slice whose ports nobody serves any more takes the place of a new one: one write instead of two, and no
    # moment in which the service has neither.
    while create and spare:
        update.append(replace(create.pop(), replaces=spare.pop(0)))
    delete += spare
    return Decision(create=tuple(create), update=tuple(update), delete=tuple(delete))


def endpoints_of(service: Service, pods: Sequence[Pod], zones: Mapping[str, str]) -> dict[Ports, dict[str, Endpoint]]:
    """The endpoints, by the ports they serve and the pod's uid.

    A service without any still has one empty slice, so that "none" can be told from "not known yet".
    """
    found: dict[Ports, dict[str, Endpoint]] = {}
    for pod in pods:
        if pod.is_finished or not pod.status.pod_ip:
            continue
        ports = ports_of(service, pod)
        found.setdefault(ports, {})[pod.metadata.uid] = endpoint_of(service, pod, zones)
    return found or {(): {}}


def endpoint_of(service: Service, pod: Pod, zones: Mapping[str, str]) -> Endpoint:
    """One pod as an endpoint of the service."""
    meta = pod.metadata
    serving, terminating = pod.is_ready, pod.is_terminating
    node = pod.spec.node_name or None
    return Endpoint(
        addresses=(pod.status.pod_ip,),
        conditions=EndpointConditions(
            ready=service.spec.publish_not_ready_addresses or (serving and not terminating),
            serving=serving,
            terminating=terminating,
        ),
        hostname=hostname_of(service, pod) or None,
        target_ref=TargetRef(kind="Pod", namespace=meta.namespace, name=meta.name, uid=meta.uid),
        node_name=node,
        zone=zones.get(pod.spec.node_name),
    )


def hostname_of(service: Service, pod: Pod) -> str:
    """The name below the service's that the pod answers to: its host name, if its subdomain is the service."""
    return pod.spec.hostname if pod.spec.subdomain == service.metadata.name else ""


def ports_of(service: Service, pod: Pod) -> Ports:
    """The service's ports as numbers on this pod; a port whose name the pod does not know is left out."""
    ports = []
    for port in service.spec.ports:
        number = target_port(port, pod)
        if number is not None:
            ports.append(
                EndpointPort(name=port.name, protocol=port.protocol, port=number, app_protocol=port.app_protocol)
            )
    return tuple(ports)


def target_port(port: ServicePort, pod: Pod) -> int | None:
    """The number behind a service port on this pod; None if it is a name the pod does not have."""
    if isinstance(port.target_port, int):
        return port.target_port or port.port
    sidecars = [container for container in pod.spec.init_containers if container.restart_policy == "Always"]
    for container in (*pod.spec.containers, *sidecars):
        for candidate in container.ports:
            if candidate.name == port.target_port and candidate.protocol == port.protocol:
                return candidate.container_port
    return None


def labels_of(service: Service) -> dict[str, str]:
    """A slice's labels: the service's own, and what tells whose it is."""
    labels = {key: value for key, value in service.metadata.labels.items() if key != HEADLESS}
    if is_headless(service):
        labels[HEADLESS] = ""
    return {**labels, SERVICE_NAME: service.metadata.name, MANAGED_BY: MANAGER}


def is_headless(service: Service) -> bool:
    """Whether clients get the pods' own addresses."""
    return service.spec.cluster_ip == "None"


def has_endpoints(service: Service) -> bool:
    """Whether we publish its endpoints: it selects pods. Without a selector, its user does."""
    return bool(service.spec.selector) and service.spec.type != "ExternalName"


def selects(service: Service, labels: Mapping[str, str]) -> bool:
    """Whether the service selects a pod with these labels."""
    return service.spec.selector.items() <= labels.items()


@dataclass(slots=True)
class _Spread:
    create: list[WantedSlice]
    update: list[WantedSlice]
    delete: list[EndpointSlice]


def _spread(
    wanted: Mapping[str, Endpoint], ports: Ports, slices: Sequence[EndpointSlice], labels: Mapping[str, str]
) -> _Spread:
    left = dict(wanted)
    contents: list[list[Endpoint]] = []
    for one in slices:
        kept = []
        for endpoint in one.endpoints:
            uid = endpoint.target_ref.uid if endpoint.target_ref is not None else ""
            if uid in left:
                kept.append(left.pop(uid))
        contents.append(kept)

    fresh = [left[uid] for uid in sorted(left)]
    # The fullest first: the others empty out in time and go.
    for index in sorted(range(len(contents)), key=lambda i: (-len(contents[i]), i)):
        room = SLICE_MAX - len(contents[index])
        contents[index] += fresh[:room]
        fresh = fresh[room:]

    result = _Spread([], [], [])
    nothing = not any(contents) and not fresh
    for index, (one, endpoints) in enumerate(zip(slices, contents, strict=True)):
        if not endpoints and not (nothing and index == 0):
            result.delete.append(one)
        elif tuple(endpoints) != one.endpoints or dict(labels) != one.metadata.labels:
            result.update.append(WantedSlice(endpoints=tuple(endpoints), ports=ports, labels=labels, replaces=one))
    for start in range(0, len(fresh), SLICE_MAX):
        chunk = tuple(fresh[start : start + SLICE_MAX])
        result.create.append(WantedSlice(endpoints=chunk, ports=ports, labels=labels))
    if nothing and not slices:
        result.create.append(WantedSlice(endpoints=(), ports=ports, labels=labels))
    return result


def body_of(service: Service, wanted: WantedSlice) -> dict[str, object]:
    """The EndpointSlice object to write."""
    meta = service.metadata
    owner = {"apiVersion": "v1", "kind": "Service", "name": meta.name, "uid": meta.uid}
    owners: list[object] = [{**owner, "controller": True, "blockOwnerDeletion": True}]
    metadata: dict[str, object] = {"labels": dict(wanted.labels), "ownerReferences": owners}
    if wanted.replaces is None:
        metadata["generateName"] = f"{meta.name}-"
    else:
        # What others have put there is theirs: an update replaces what it does not say.
        present = wanted.replaces.metadata
        metadata |= {
            "name": present.name,
            "resourceVersion": present.resource_version,
            "annotations": dict(present.annotations),
            "finalizers": list(present.finalizers),
        }
        owners += [msgspec.to_builtins(one) for one in present.owner_references if one.uid != meta.uid]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata,
        "addressType": "IPv4",
        "endpoints": [msgspec.to_builtins(endpoint) for endpoint in wanted.endpoints],
        "ports": [msgspec.to_builtins(port) for port in wanted.ports],
    }
