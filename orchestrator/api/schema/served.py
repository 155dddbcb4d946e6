"""The schemas of the kinds that are served: Kubernetes' published ones, and those that rows bring along."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.api.kinds import Kinds
from orchestrator.api.schema import definitions
from orchestrator.api.schema.shapes import Schema


def schema_of_kind(kinds: Kinds, api_version: str, kind: str) -> Schema:
    """The schema of an `apiVersion` and `kind`, also of request bodies such as `Scale`; raises `UnknownSchema`."""
    row = kinds.by_kind(api_version, kind)
    if row is None or row.definition is None:
        return definitions.schema_of_kind(api_version, kind)
    return kinds.derived(_own_schemas)[f"{api_version}/{kind}"]


def _own_schemas(kinds: Kinds) -> Mapping[str, Schema]:
    rows = [row for row in kinds.rows if row.definition is not None]
    wanted = {f"{row.resource.api_version}/{row.resource.kind}": definitions.name_of(row) for row in rows}
    return definitions.compile_schemas(definitions.raw_definitions(rows), wanted)
