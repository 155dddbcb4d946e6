"""Which pod range a node gets: the lowest free one, never one that another node has."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from orchestrator.api.views.cluster import Node


@dataclass(frozen=True, slots=True)
class Assign:
    """Give the node this range."""

    node: Node
    cidr: str


@dataclass(frozen=True, slots=True)
class Exhausted:
    """No range is free for these nodes."""

    nodes: tuple[Node, ...]


def decide(
    nodes: Sequence[Node], promised: Iterable[str], *, cluster_cidr: str, prefix: int
) -> tuple[tuple[Assign, ...], Exhausted | None]:
    """The ranges for all nodes that have none, in order of creation.

    `promised` are ranges written for nodes whose cached view does not show them yet.
    """
    cluster = ipaddress.IPv4Network(cluster_cidr)
    taken = set(_ranges([*(node.spec.pod_cidr for node in nodes), *promised]))
    needy = sorted(
        (node for node in nodes if not node.spec.pod_cidr and node.metadata.deletion_timestamp is None),
        key=lambda node: (node.metadata.creation_timestamp, node.metadata.name),
    )
    if not needy:
        return (), None
    # Ranges of another size (given by hand, or from before a change of settings) may overlap several of ours.
    odd = [range_ for range_ in taken if range_.prefixlen != prefix]
    free = (
        candidate
        for candidate in cluster.subnets(new_prefix=prefix)
        if candidate not in taken and not any(candidate.overlaps(range_) for range_ in odd)
    )
    assigned: list[Assign] = []
    for node, candidate in zip(needy, free, strict=False):
        assigned.append(Assign(node, str(candidate)))
    left = tuple(needy[len(assigned) :])
    return tuple(assigned), Exhausted(left) if left else None


def _ranges(texts: Iterable[str]) -> Iterator[ipaddress.IPv4Network]:
    """Those among them that could be cut from ours: what else a node says of itself is no reason to stop at it."""
    for text in texts:
        try:
            yield ipaddress.IPv4Network(text, strict=False)
        except ValueError:
            continue
