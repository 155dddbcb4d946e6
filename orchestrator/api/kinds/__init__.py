"""The kinds that the API serves: what a row says, the snapshot of all rows, and the rows that come with the server."""

from orchestrator.api.kinds.built_in import BUILT_IN
from orchestrator.api.kinds.kind import VERBS, Kind, ScalePaths, Subresource
from orchestrator.api.kinds.kinds import Kinds, path_of

__all__ = ["BUILT_IN", "VERBS", "Kind", "Kinds", "ScalePaths", "Subresource", "path_of"]
