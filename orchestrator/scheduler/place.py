"""Placing one pod: filter, score, pick. Pure, but for a cache of what depends on fixed properties."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from orchestrator.scheduler.profile import Profile
from orchestrator.scheduler.request import Constraints, PodRequest
from orchestrator.scheduler.table import Mask, NodeTable, Score

# A cluster has far fewer pod templates than this; past it the memory is worth more than the cache.
_REMEMBERED_MAX = 1_024
# Scores within this of the best count as equal, so that float noise decides nothing.
_EQUAL = 1e-9


@dataclass(frozen=True, slots=True)
class Placed:
    """The node that was picked."""

    node: str
    row: int


@dataclass(frozen=True, slots=True)
class Unschedulable:
    """No node will do: `reasons` counts the nodes by why not, or `why` is true of all of them."""

    node_count: int
    reasons: Mapping[str, int] = field(default_factory=dict)
    why: str = ""

    def __str__(self) -> str:
        """Kubernetes' sentence (framework.FitError): counted reasons in the order of their text."""
        if not self.node_count:
            return "no nodes available to schedule pods"
        listed = self.why or ", ".join(sorted(f"{count} {reason}" for reason, count in self.reasons.items() if count))
        return f"0/{self.node_count} nodes are available: {listed}."


@dataclass(frozen=True, slots=True)
class Fixed:
    """What the fixed properties say of each row: whether it is acceptable, and its part of the score."""

    mask: Mask
    score: Score


class FixedCache:
    """What fixed properties say, shared by all pods with equal constraints until a node's properties change."""

    def __init__(self) -> None:
        self._generation = -1
        self._known: dict[Constraints, Fixed] = {}

    def of(self, constraints: Constraints, nodes: NodeTable, profile: Profile) -> Fixed:
        """The rows that every fixed filter accepts, and the weighted sum of the fixed scores."""
        if self._generation != nodes.fixed_generation:
            self._known.clear()
            self._generation = nodes.fixed_generation
        fixed = self._known.get(constraints)
        if fixed is None:
            if len(self._known) >= _REMEMBERED_MAX:
                self._known.clear()
            fixed = self._known[constraints] = _fixed(constraints, nodes, profile)
        return fixed


def _fixed(constraints: Constraints, nodes: NodeTable, profile: Profile) -> Fixed:
    mask = nodes.present.copy()
    for plugin in profile.fixed_filters:
        mask &= _checked(plugin.mask(constraints, nodes), nodes)
    total: Score = np.zeros(nodes.rows)
    for scorer, weight in profile.fixed_scorers:
        total += weight * scorer.score(constraints, nodes)
    return Fixed(mask, total)


def place(pod: PodRequest, nodes: NodeTable, profile: Profile, fixed_cache: FixedCache) -> Placed | Unschedulable:
    """Pick the best node for a pod, or say why there is none. Equal scores are decided by the pod's uid."""
    for pre_filter in profile.pre_filters:
        if why := pre_filter.why_not(pod):
            return Unschedulable(nodes.node_count, why=why)
    fixed = fixed_cache.of(pod.constraints, nodes, profile)
    acceptable = fixed.mask
    for plugin in profile.filters:
        acceptable = acceptable & _checked(plugin.mask(pod, nodes), nodes)
    rows = np.flatnonzero(acceptable)
    if not rows.size:
        return Unschedulable(nodes.node_count, _explain(pod, nodes, profile))
    if rows.size == 1:
        row = int(rows[0])
        return Placed(nodes.names[row], row)
    total = fixed.score.copy()
    for scorer, weight in profile.scorers:
        score = scorer.score(pod, nodes)
        assert score.shape == (nodes.rows,), f"{scorer.name} scored {score.shape}"
        total += weight * score
    candidates = total[rows]
    best = rows[candidates >= candidates.max() - _EQUAL]
    row = int(best[zlib.crc32(pod.uid.encode()) % best.size])
    return Placed(nodes.names[row], row)


def _explain(pod: PodRequest, nodes: NodeTable, profile: Profile) -> dict[str, int]:
    """Count each node under the first filter that refuses it."""
    reasons: dict[str, int] = {}
    left = nodes.present.copy()
    for fixed in profile.fixed_filters:
        refused = left & ~fixed.mask(pod.constraints, nodes)
        left &= ~refused
        if refused.any():
            _merge(reasons, fixed.reasons(pod.constraints, nodes, refused))
    for plugin in profile.filters:
        refused = left & ~plugin.mask(pod, nodes)
        left &= ~refused
        if refused.any():
            _merge(reasons, plugin.reasons(pod, nodes, refused))
    return reasons


def _merge(reasons: dict[str, int], more: Mapping[str, int]) -> None:
    for reason, count in more.items():
        reasons[reason] = reasons.get(reason, 0) + count


def _checked(mask: Mask, nodes: NodeTable) -> Mask:
    assert mask.shape == (nodes.rows,), f"a mask has shape {mask.shape}, not {(nodes.rows,)}"
    return mask
