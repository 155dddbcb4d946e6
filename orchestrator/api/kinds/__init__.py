"""The kinds that the API serves: what a row says, the snapshot of all rows, and the rows that come with the server."""

from orchestrator.api.kinds.built_in import BUILT_IN, SERVICE_ADDRESSES
from orchestrator.api.kinds.kind import VERBS, Conversion, Index, Kind, Subresource
from orchestrator.api.kinds.kinds import Kinds, path_of

__all__ = ["BUILT_IN", "SERVICE_ADDRESSES", "VERBS", "Conversion", "Index", "Kind", "Kinds", "Subresource", "path_of"]
