"""The Node rules: a node reads and writes what concerns itself and the pods bound to it, and nothing else.

They follow Kubernetes' Node authorizer, with one difference: a node may read all Nodes, because routes to the other
nodes' pods are made by the agent itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from orchestrator.api.codec import decode_into
from orchestrator.api.resources import PODS
from orchestrator.server.admission.base import Objects
from orchestrator.server.authentication.base import User
from orchestrator.server.authorization.base import ALLOW, NO_OPINION, Attributes, Decision, Verdict
from orchestrator.server.authorization.pod_references import PodReferences, Reference, references_of
from orchestrator.server.authorization.rules import READ, Rule, covers

NODE_GROUP = "system:nodes"
NODE_PREFIX = "system:node:"
LEASE_NAMESPACE = "kube-node-lease"

#: What every node may do whatever runs on it. Objects that need a closer look are handled in `_SPECIAL`.
_RULES = (
    Rule(verbs=READ, groups=("",), resources=("services", "endpoints", "nodes")),
    Rule(verbs=READ, groups=("discovery.k8s.io",), resources=("endpointslices",)),
    Rule(verbs=("create", "update", "patch"), groups=("", "events.k8s.io"), resources=("events",)),
    Rule(verbs=("create", *READ), groups=("certificates.k8s.io",), resources=("certificatesigningrequests",)),
    Rule(verbs=("create",), groups=("authentication.k8s.io",), resources=("tokenreviews",)),
    Rule(verbs=("create",), groups=("authorization.k8s.io",), resources=("subjectaccessreviews",)),
)


def node_name(user: User) -> str | None:
    """The node that the user is, or None. Both the name and the group must say so."""
    if NODE_GROUP not in user.groups or not user.name.startswith(NODE_PREFIX):
        return None
    return user.name.removeprefix(NODE_PREFIX) or None


class NodeAuthorizer:
    """Allows nodes what the module says; has no opinion on others, and says why it does not allow a node's wish."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def authorize(self, attributes: Attributes) -> Verdict:
        node = node_name(attributes.user)
        if node is None or not attributes.resource:
            return NO_OPINION
        special = _SPECIAL.get((attributes.group, attributes.resource))
        if special is not None:
            return special(node, attributes, self._objects)
        return ALLOW if any(covers(rule, attributes) for rule in _RULES) else NO_OPINION


def _silent(reason: str) -> Verdict:
    return Verdict(Decision.NO_OPINION, reason)


def _nodes(node: str, attributes: Attributes, objects: Objects) -> Verdict:
    verb = attributes.verb
    if not attributes.subresource and (verb in READ or verb == "create"):
        return ALLOW  # admission sees to it that a node creates only itself
    if verb not in ("update", "patch") or attributes.subresource not in ("", "status"):
        return NO_OPINION
    if attributes.name != node:
        return _silent(f"node '{node}' cannot modify other nodes")
    return ALLOW


def _leases(node: str, attributes: Attributes, objects: Objects) -> Verdict:
    if attributes.verb not in ("get", "create", "update", "patch", "delete"):
        return _silent("can only get, create, update, patch, or delete a node lease")
    if attributes.namespace != LEASE_NAMESPACE:
        return _silent(f'can only access leases in the "{LEASE_NAMESPACE}" system namespace')
    # A create has no name yet; admission checks the one in its body.
    if attributes.verb != "create" and attributes.name != node:
        return _silent("can only access node lease with the same name as the requesting node")
    return ALLOW


def _pods(node: str, attributes: Attributes, objects: Objects) -> Verdict:
    verb, subresource = attributes.verb, attributes.subresource
    if subresource == "":
        if verb in ("list", "watch"):
            selected = _selected(attributes.field_selector, "spec.nodeName")
            if selected == node or (_named(attributes) and _is_bound(node, attributes, objects)):
                return ALLOW
            return _silent("can only list/watch pods with spec.nodeName field selector")
        if verb == "get":
            return ALLOW if _is_bound(node, attributes, objects) else _unrelated(node)
        if verb in ("create", "delete"):
            return ALLOW  # admission: only mirror pods are created, only the node's own pods deleted
    elif (subresource == "status" and verb in ("update", "patch")) or (subresource == "eviction" and verb == "create"):
        return ALLOW  # admission: only of the node's own pods
    return NO_OPINION


def _read_by_pods(kind: str) -> Callable[[str, Attributes, Objects], Verdict]:
    def authorize(node: str, attributes: Attributes, objects: Objects) -> Verdict:
        if attributes.verb not in READ:
            return _silent("can only read resources of this type")
        if attributes.subresource:
            return _silent("cannot read subresource")
        if not attributes.namespace:
            return _silent("can only read namespaced object of this type")
        name = _named(attributes)
        if not name:
            return _silent("No Object name found")
        if uses(objects, node, attributes.namespace, Reference(kind, name)):
            return ALLOW
        return _unrelated(node)

    return authorize


def _service_accounts(node: str, attributes: Attributes, objects: Objects) -> Verdict:
    if attributes.subresource == "token":
        if attributes.verb != "create" or not attributes.name:
            return _silent("can only create tokens for individual service accounts")
    elif attributes.subresource or attributes.verb != "get":
        return _silent("can only get individual resources of this type")
    if uses(objects, node, attributes.namespace, Reference("ServiceAccount", attributes.name)):
        return ALLOW
    return _unrelated(node)


_SPECIAL: Mapping[tuple[str, str], Callable[[str, Attributes, Objects], Verdict]] = {
    ("", "nodes"): _nodes,
    ("", "pods"): _pods,
    ("", "secrets"): _read_by_pods("Secret"),
    ("", "configmaps"): _read_by_pods("ConfigMap"),
    ("", "serviceaccounts"): _service_accounts,
    ("coordination.k8s.io", "leases"): _leases,
}


def uses(objects: Objects, node: str, namespace: str, reference: Reference) -> bool:
    """Whether a pod bound to the node, in the namespace, refers to the object."""
    needle = reference.name.encode()
    for stored in objects.by_index(PODS, "spec.nodeName", node):
        # Decoding a node's pods is only needed for those that contain the name at all.
        if needle in stored:
            pod = decode_into(stored, PodReferences)
            if pod.metadata.namespace == namespace and reference in references_of(pod):
                return True
    return False


def _unrelated(node: str) -> Verdict:
    return _silent(f"no relationship found between node '{node}' and this object")


def _is_bound(node: str, attributes: Attributes, objects: Objects) -> bool:
    stored = objects.get(PODS, attributes.namespace, _named(attributes))
    return stored is not None and decode_into(stored, PodReferences).spec.node_name == node


def _named(attributes: Attributes) -> str:
    """The one object asked for: a list or a watch may name it in its field selector."""
    return attributes.name or _selected(attributes.field_selector, "metadata.name")


def _selected(field_selector: str, field: str) -> str:
    for requirement in field_selector.split(","):
        name, found, value = requirement.partition("=")
        if found and name == field:
            return value.removeprefix("=")
    return ""
