"""Placing one pod: filter, score, pick. Pure, but for a cache of what depends on fixed properties."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from orchestrator.scheduler.columns import Mask, Rows, Score
from orchestrator.scheduler.plugins import Refuser
from orchestrator.scheduler.profile import Profile
from orchestrator.scheduler.request import Constraints, PodRequest
from orchestrator.scheduler.table import NodeTable

# Few clusters place pods of more templates at a time; past it the memory is worth more than the cache. 8 kB each with
# 5,000 nodes, and up to 200 kB for a template that prefers some nodes to others.
_REMEMBERED_MAX = 512
# Scores within this of the best count as equal, so that float noise decides nothing.
_EQUAL = 1e-9


@dataclass(frozen=True, slots=True)
class Placed:
    """The node that was picked."""

    node: str
    row: int


@dataclass(frozen=True, slots=True)
class Unschedulable:
    """No node will do: `reasons` counts the nodes by why not, or `why` is true of all of them.

    `refused_by` are the plugins that said so: what wakes one of them may give the pod its node.
    """

    node_count: int
    reasons: Mapping[str, int] = field(default_factory=dict)
    why: str = ""
    refused_by: tuple[Refuser, ...] = ()

    def __str__(self) -> str:
        """Kubernetes' sentence (framework.FitError): counted reasons in the order of their text."""
        if not self.node_count:
            return "no nodes available to schedule pods"
        listed = self.why or ", ".join(sorted(f"{count} {reason}" for reason, count in self.reasons.items() if count))
        return f"0/{self.node_count} nodes are available: {listed}."


class _Fixed:
    """What the fixed properties say of each row to pods of one template: acceptable or not, and a part of the score."""

    def __init__(self, constraints: Constraints, nodes: NodeTable, profile: Profile) -> None:
        self._constraints = constraints
        self._profile = profile
        self._revision = -1
        self.mask: Mask = np.zeros(0, dtype=np.bool_)
        #: None where no scorer has anything to say, as for most pods.
        self.score: Score | None = None
        self._raw: list[Score | None] = [None] * len(profile.fixed_scorers)

    def bring_up_to_date(self, nodes: NodeTable) -> None:
        """Compute what is missing: the rows that changed, or all."""
        revision = nodes.changed.revision
        if self._revision == revision and len(self.mask) == nodes.rows:
            return
        rows = nodes.changed.since(self._revision) if len(self.mask) == nodes.rows else None
        if rows is None:
            rows = np.arange(nodes.rows)
            self.mask = np.zeros(nodes.rows, dtype=np.bool_)
            self._raw = [None] * len(self._raw)
        self._compute(nodes, rows)
        self._revision = revision

    def _compute(self, nodes: NodeTable, rows: Rows) -> None:
        present = nodes.present[rows]
        mask = present.copy()
        for plugin in self._profile.fixed_filters:
            mask &= _checked(plugin.mask(self._constraints, nodes, rows), len(rows))
        self.mask[rows] = mask
        for number, (scorer, _) in enumerate(self._profile.fixed_scorers):
            # A row without a node lacks every label, which some would prefer: it must not set the measure.
            raw, of_rows = self._raw[number], scorer.raw(self._constraints, nodes, rows) * present
            if raw is None and of_rows.any():
                raw = self._raw[number] = np.zeros(nodes.rows)
            if raw is not None:
                raw[rows] = of_rows
        self.score = self._total(nodes.rows)

    def _total(self, rows: int) -> Score | None:
        total: Score | None = None
        for raw, (scorer, weight) in zip(self._raw, self._profile.fixed_scorers, strict=True):
            if raw is not None and raw.any():
                total = np.zeros(rows) if total is None else total
                total += weight * scorer.normalised(raw)
        return total


class FixedCache:
    """What fixed properties say in one profile, shared by all pods with the same constraints."""

    def __init__(self) -> None:
        self._known: dict[Constraints, _Fixed] = {}

    def of(self, constraints: Constraints, nodes: NodeTable, profile: Profile) -> _Fixed:
        """The rows that every fixed filter accepts, and the weighted sum of the fixed scores."""
        fixed = self._known.get(constraints)
        if fixed is None:
            if len(self._known) >= _REMEMBERED_MAX:
                self._known.clear()
            fixed = self._known[constraints] = _Fixed(constraints, nodes, profile)
        fixed.bring_up_to_date(nodes)
        return fixed


def place(pod: PodRequest, nodes: NodeTable, profile: Profile, fixed_cache: FixedCache) -> Placed | Unschedulable:
    """Pick the best node for a pod, or say why there is none. Equal scores are decided by the pod's uid."""
    for pre_filter in profile.pre_filters:
        if why := pre_filter.why_not(pod):
            return Unschedulable(nodes.node_count, why=why, refused_by=(pre_filter,))
    fixed = fixed_cache.of(pod.demand.constraints, nodes, profile)
    acceptable = fixed.mask
    for plugin in profile.filters:
        acceptable = acceptable & _checked(plugin.mask(pod, nodes), nodes.rows)
    rows = np.flatnonzero(acceptable)
    if not rows.size:
        reasons, refused_by = _explain(pod, nodes, profile)
        return Unschedulable(nodes.node_count, reasons, refused_by=tuple(refused_by))
    if rows.size == 1:
        row = int(rows[0])
        return Placed(nodes.names[row], row)
    total = np.zeros(nodes.rows) if fixed.score is None else fixed.score.copy()
    for scorer, weight in profile.scorers:
        score = scorer.score(pod, nodes)
        assert score.shape == (nodes.rows,), f"{scorer.name} scored {score.shape}"
        total += weight * score
    candidates = total[rows]
    best = rows[candidates >= candidates.max() - _EQUAL]
    row = int(best[zlib.crc32(pod.uid.encode()) % best.size])
    return Placed(nodes.names[row], row)


def _explain(pod: PodRequest, nodes: NodeTable, profile: Profile) -> tuple[dict[str, int], Sequence[Refuser]]:
    """Count each node under the first filter that refuses it; and which filters these are."""
    reasons: dict[str, int] = {}
    # Without nodes nobody refuses, and a node that comes may help whoever would.
    refused_by: list[Refuser] = [] if nodes.node_count else [*profile.fixed_filters, *profile.filters]
    left, rows = nodes.present.copy(), np.arange(nodes.rows)
    for fixed in profile.fixed_filters:
        refused = left & ~fixed.mask(pod.demand.constraints, nodes, rows)
        left &= ~refused
        if refused.any():
            refused_by.append(fixed)
            _merge(reasons, fixed.reasons(pod.demand.constraints, nodes, refused))
    for plugin in profile.filters:
        refused = left & ~plugin.mask(pod, nodes)
        left &= ~refused
        if refused.any():
            refused_by.append(plugin)
            _merge(reasons, plugin.reasons(pod, nodes, refused))
    return reasons, refused_by


def _merge(reasons: dict[str, int], more: Mapping[str, int]) -> None:
    for reason, count in more.items():
        reasons[reason] = reasons.get(reason, 0) + count


def _checked(mask: Mask, rows: int) -> Mask:
    assert mask.shape == (rows,), f"a mask has shape {mask.shape}, not {(rows,)}"
    return mask
