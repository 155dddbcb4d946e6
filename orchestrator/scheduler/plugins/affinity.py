"""Node selectors and node affinity: which nodes a pod insists on, and which it prefers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from orchestrator.api.numbers import parse_int64
from orchestrator.api.views.scheduling import NodeSelectorRequirement, NodeSelectorTerm
from orchestrator.scheduler.changes import Change, Happened
from orchestrator.scheduler.columns import Mask, Rows, Score
from orchestrator.scheduler.request import Constraints, PodRequest
from orchestrator.scheduler.table import NodeTable


class Selected:
    """The node's labels satisfy `nodeSelector` and the required node affinity. (NodeAffinity)"""

    name = "NodeAffinity"
    wakes_on = Change.NODE_ADDED | Change.NODE_LABELS

    def mask(self, constraints: Constraints, nodes: NodeTable, rows: Rows) -> Mask:
        mask: Mask = np.ones(len(rows), dtype=np.bool_)
        for key, wanted in constraints.node_selector:
            mask &= nodes.label(key).holds(rows, lambda value, wanted=wanted: value == wanted)  # type: ignore[misc]
        required = constraints.affinity.required if constraints.affinity else None
        if required is not None:
            any_term: Mask = np.zeros(len(rows), dtype=np.bool_)
            for term in required.node_selector_terms:
                any_term |= matching(term, nodes, rows)
            mask &= any_term
        return mask

    def reasons(self, constraints: Constraints, nodes: NodeTable, refused: Mask) -> Mapping[str, int]:
        return {"node(s) didn't match Pod's node affinity/selector": int(np.count_nonzero(refused))}

    def may_help(self, pod: PodRequest, happened: Happened, nodes: NodeTable) -> bool:
        row = happened.row
        return row is not None and bool(self.mask(pod.demand.constraints, nodes, np.array([row]))[0])


class Preferred:
    """Prefers nodes that satisfy more of the preferred terms, by weight. (NodeAffinity's score)"""

    name = "PreferredNodeAffinity"

    def raw(self, constraints: Constraints, nodes: NodeTable, rows: Rows) -> Score:
        weights: Score = np.zeros(len(rows))
        for term in constraints.affinity.preferred if constraints.affinity else ():
            weights += term.weight * matching(term.preference, nodes, rows)
        return weights

    def normalised(self, raw: Score) -> Score:
        shares: Score = raw / raw.max()
        return shares


def matching(term: NodeSelectorTerm, nodes: NodeTable, rows: Rows) -> Mask:
    """Where all expressions of a term hold; an empty term matches no node, as Kubernetes has it."""
    mask: Mask = np.full(len(rows), bool(term.match_expressions or term.match_fields))
    for expression in term.match_expressions:
        mask &= nodes.label(expression.key).holds(
            rows,
            lambda value, expression=expression: _holds(expression, value),  # type: ignore[misc]
        )
    for expression in term.match_fields:
        mask &= _named(expression, nodes, rows)
    return mask


def _named(expression: NodeSelectorRequirement, nodes: NodeTable, rows: Rows) -> Mask:
    """The one field that can be asked for is the node's name, and its operators are In and NotIn."""
    if expression.key != "metadata.name" or expression.operator not in ("In", "NotIn"):
        return np.zeros(len(rows), dtype=np.bool_)
    named = [row for name in expression.values if (row := nodes.row_of(name)) is not None]
    mask: Mask = np.isin(rows, named, invert=expression.operator == "NotIn")
    return mask


def _holds(expression: NodeSelectorRequirement, value: str | None) -> bool:
    match expression.operator:
        case "In":
            return value is not None and value in expression.values
        case "NotIn":
            return value is None or value not in expression.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt":
            try:
                ours, theirs = parse_int64(value or ""), parse_int64(expression.values[0])
            except (ValueError, IndexError):
                return False
            return ours > theirs if expression.operator == "Gt" else ours < theirs
    return False
