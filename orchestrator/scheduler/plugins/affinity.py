"""Node selectors and node affinity: which nodes a pod insists on, and which it prefers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from orchestrator.api.views.scheduling import NodeSelectorRequirement, NodeSelectorTerm, NodeView
from orchestrator.scheduler.request import Constraints
from orchestrator.scheduler.table import Mask, NodeTable, Score


class Selected:
    """The node's labels satisfy `nodeSelector` and the required node affinity. (NodeAffinity)"""

    name = "NodeAffinity"

    def mask(self, constraints: Constraints, nodes: NodeTable) -> Mask:
        required = constraints.affinity.required if constraints.affinity else None
        mask: Mask = np.ones(nodes.rows, dtype=np.bool_)
        if not constraints.node_selector and required is None:
            return mask
        for row, node in enumerate(nodes.nodes):
            if node is None:
                continue
            labels = node.metadata.labels
            mask[row] = all(labels.get(key) == value for key, value in constraints.node_selector) and (
                required is None or any(term_matches(term, node) for term in required.node_selector_terms)
            )
        return mask

    def reasons(self, constraints: Constraints, nodes: NodeTable, refused: Mask) -> Mapping[str, int]:
        return {"node(s) didn't match Pod's node affinity/selector": int(np.count_nonzero(refused))}


class Preferred:
    """Prefers nodes that satisfy more of the preferred terms, by weight. (NodeAffinity's score)"""

    name = "PreferredNodeAffinity"

    def score(self, constraints: Constraints, nodes: NodeTable) -> Score:
        terms = constraints.affinity.preferred if constraints.affinity else ()
        weights: Score = np.zeros(nodes.rows)
        if not terms:
            return weights
        for row, node in enumerate(nodes.nodes):
            if node is not None:
                weights[row] = sum(term.weight for term in terms if term_matches(term.preference, node))
        most = weights.max(initial=0.0)
        return weights / most if most else weights


def term_matches(term: NodeSelectorTerm, node: NodeView) -> bool:
    """Whether all expressions of a term hold; an empty term matches no node, as Kubernetes has it."""
    if not term.match_expressions and not term.match_fields:
        return False
    fields = {"metadata.name": node.metadata.name}
    return all(_holds(expression, node.metadata.labels) for expression in term.match_expressions) and all(
        _holds(expression, fields) for expression in term.match_fields
    )


def _holds(expression: NodeSelectorRequirement, labels: Mapping[str, str]) -> bool:
    value = labels.get(expression.key)
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
                ours, theirs = int(value or ""), int(expression.values[0])
            except (ValueError, IndexError):
                return False
            return ours > theirs if expression.operator == "Gt" else ours < theirs
    return False
