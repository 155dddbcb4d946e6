"""What to do with a certificate signing request: approve, deny, sign, refuse, delete, or leave it to people.

Certificates for users are signed once somebody has approved them (`kubectl certificate approve`).

Kubelet client certificates follow Kubernetes' approver. Kubelet serving certificates, which Kubernetes leaves to the
administrator, are approved for names and addresses that are nobody else's: the CA is also the one by which clients
know the API server, so a node must never get a certificate for the API server's names.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from orchestrator.api import node_names
from orchestrator.api.views.certificates import SigningRequest
from orchestrator.controllers.moments import seconds_of

CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client-kubelet"
SERVING_SIGNER = "kubernetes.io/kubelet-serving"
USER_SIGNER = "kubernetes.io/kube-apiserver-client"
NODE_PREFIX = "system:node:"
NODES = "system:nodes"
BOOTSTRAPPERS = "system:bootstrappers"
MASTERS = "system:masters"

_SIGNATURE, KEY_ENCIPHERMENT = "digital signature", "key encipherment"
_CLIENT_AUTH, _SERVER_AUTH = "client auth", "server auth"
#: The sets that Kubernetes' signers know of kubelets: with what only RSA keys need, and without.
_NODE_USAGES = {
    CLIENT_SIGNER: frozenset({_SIGNATURE, KEY_ENCIPHERMENT, _CLIENT_AUTH}),
    SERVING_SIGNER: frozenset({_SIGNATURE, KEY_ENCIPHERMENT, _SERVER_AUTH}),
}
_SIGNERS = (CLIENT_SIGNER, SERVING_SIGNER, USER_SIGNER)
_LIFETIME_MAX_S = 365 * 86_400
_LIFETIME_MIN_S = 600
# Kubernetes' cleaner: long enough to look at, short enough not to pile up.
_KEPT_FINISHED_S = 3600.0
_KEPT_PENDING_S = 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is inside the request; `other_names` counts alternative names that are neither DNS names nor addresses."""

    common_name: str
    organizations: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    ip_addresses: tuple[str, ...] = ()
    other_names: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """What a serving certificate must not claim.

    `addresses` are those that each node says it has, by its name. `server_addresses` and `server_names` are the API
    server's; only the node named `server_node`, which runs on the API server's own machine, may have them too.
    """

    service_cidr: str = "10.96.0.0/16"
    server_addresses: frozenset[str] = frozenset()
    server_names: frozenset[str] = frozenset()
    server_node: str = ""
    addresses: Mapping[str, Collection[str]]
    node_is_ready: bool = False
    """Whether the node that a client certificate is asked for is there, and ready."""


@dataclass(frozen=True, slots=True)
class Approve:
    """Approve, with the message for the condition."""

    message: str


@dataclass(frozen=True, slots=True)
class Deny:
    """Refuse for good, with the message for the condition."""

    message: str


@dataclass(frozen=True, slots=True)
class Sign:
    """Issue the certificate."""

    client: bool
    server: bool
    key_encipherment: bool
    lifetime_s: int


@dataclass(frozen=True, slots=True)
class Fail:
    """Approved, but it cannot be signed: say so for good."""

    message: str


@dataclass(frozen=True, slots=True)
class Delete:
    """It has been lying around for long enough."""


@dataclass(frozen=True, slots=True)
class Leave:
    """Nothing to do; look again after `again_s`, when its time to be deleted has come."""

    why: str
    again_s: float


Decision = Approve | Deny | Sign | Fail | Delete | Leave


def decide(request: SigningRequest, asked: Asked | None, cluster: Cluster, *, now: float) -> Decision:
    """One step for one request. `asked` is None if the request cannot be read."""
    age_s = now - seconds_of(request.metadata.creation_timestamp)
    finished = bool(request.status.certificate) or request.has("Denied") or request.has("Failed")
    kept_s = _KEPT_FINISHED_S if finished else _KEPT_PENDING_S
    if age_s > kept_s:
        return Delete()
    if finished:
        return Leave("finished", kept_s - age_s)
    signer = request.spec.signer_name
    if signer not in _SIGNERS:
        return Leave("for another signer", kept_s - age_s)

    refused = why_not(request, asked, cluster)
    if request.has("Approved"):
        # Somebody may have approved by hand what we would not: the signer keeps its own rules all the same.
        if refused is not None:
            return Fail(refused)
        return Sign(
            client=signer != SERVING_SIGNER,
            server=signer == SERVING_SIGNER,
            key_encipherment=KEY_ENCIPHERMENT in request.spec.usages,
            lifetime_s=_lifetime_s(request),
        )
    if refused is None and signer == USER_SIGNER:
        refused = "people are let in by people"
    if refused is not None:
        return Leave(refused, kept_s - age_s)
    if asked is not None and cluster.node_is_ready and request.spec.username != asked.common_name:
        # Who joins under the name of a node that is well would become that node, and take its pods' secrets.
        name = asked.common_name.removeprefix(NODE_PREFIX)
        return Deny(
            f'a Node with name "{name}" and status "Ready" already exists in the cluster. '
            "You must delete the existing Node or change the name of this new joining Node"
        )
    return Approve(
        "Auto approving kubelet client certificate after SubjectAccessReview."
        if signer == CLIENT_SIGNER
        else "Auto approving kubelet serving certificate for the node's own names."
    )


def why_not(request: SigningRequest, asked: Asked | None, cluster: Cluster) -> str | None:
    """The rule that the request breaks, or None."""
    if asked is None:
        return "the request cannot be read"
    signer, spec = request.spec.signer_name, request.spec
    refused = _why_not_used_so(signer, frozenset(spec.usages))
    if refused is not None:
        return refused
    if signer == USER_SIGNER:
        return f"nobody becomes {MASTERS} by request" if MASTERS in asked.organizations else None
    if asked.organizations != (NODES,):
        return f"organization must be exactly {NODES}"
    node = asked.common_name.removeprefix(NODE_PREFIX)
    if not asked.common_name.startswith(NODE_PREFIX) or not node:
        return f"common name must start with {NODE_PREFIX}"
    unfit = node_names.why_not(node)
    if unfit is not None:
        return f"no node can be named {node}: {unfit}"
    if node in cluster.server_names and node != cluster.server_node:
        return f"no other machine can be named {node}: it is the API server's name"
    is_that_node = spec.username == asked.common_name and NODES in spec.groups
    if signer == CLIENT_SIGNER:
        if asked.dns_names or asked.ip_addresses or asked.other_names:
            return "a client certificate has no alternative names"
        if not is_that_node and BOOTSTRAPPERS not in spec.groups:
            return f"{spec.username} is neither that node nor joining"
        return None
    if not is_that_node:
        return f"{spec.username} is not that node"
    return _why_not_serving(node, asked, cluster)


def _why_not_used_so(signer: str, usages: frozenset[str]) -> str | None:
    """Why certificates of the signer are not for these uses, in Kubernetes' words; None if they are."""
    if signer == USER_SIGNER:
        for usage in sorted(usages - {_SIGNATURE, KEY_ENCIPHERMENT, _CLIENT_AUTH}):
            return f"invalid usage for client certificate: {usage}"
        return None if _CLIENT_AUTH in usages else f"missing required usage for client certificate: {_CLIENT_AUTH}"
    known = _NODE_USAGES[signer]
    if usages in (known, known - {KEY_ENCIPHERMENT}):
        return None
    return f"usages did not match [{' '.join(sorted(known))}]"


def _why_not_serving(node: str, asked: Asked, cluster: Cluster) -> str | None:
    if asked.other_names or not (asked.dns_names or asked.ip_addresses):
        return "a serving certificate has DNS names or addresses, and nothing else"
    for name in asked.dns_names:
        if name != node:
            return f"DNS name {name} is not the node's"
    # A node may be named by its address; then that name is one, too, for whoever reads names as addresses.
    for text in (*asked.ip_addresses, *(name for name in asked.dns_names if _address(name) is not None)):
        refused = _why_not_at(text, node, cluster)
        if refused is not None:
            return refused
    return None


def _why_not_at(text: str, node: str, cluster: Cluster) -> str | None:
    address = _address(text)
    if address is None or address.is_loopback or address.is_unspecified or address.is_multicast:
        return f"address {text} is no node's address"
    if address in ipaddress.ip_network(cluster.service_cidr):
        return f"address {text} is no node's address"
    if address in {_address(other) for other in cluster.server_addresses} and node != cluster.server_node:
        return f"address {text} is the API server's"
    for other, held in cluster.addresses.items():
        # Whoever else lists it: which of the two tells the truth, nobody here can know.
        if other != node and address in {_address(one) for one in held}:
            return f"address {text} is that of node {other}"
    return None


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that is meant, in whichever of its forms it is written; None for what is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped or address
    return address


def _lifetime_s(request: SigningRequest) -> int:
    wanted = request.spec.expiration_seconds
    return _LIFETIME_MAX_S if wanted is None else min(max(wanted, _LIFETIME_MIN_S), _LIFETIME_MAX_S)
