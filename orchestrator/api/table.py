"""Objects as a `meta.k8s.io/v1` Table, which is what `kubectl get` asks for, and as bare metadata."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from orchestrator.api.objects import Object
from orchestrator.api.printing.columns import Column


def render(
    columns: Sequence[Column],
    objects: Iterable[Object],
    *,
    now: float,
    include_object: str = "Metadata",
    revision: int | None = None,
    continue_token: str = "",
    remaining: int | None = None,
    with_columns: bool = True,
) -> Object:
    """The table of these objects. Of a watch, only the first event's table has its columns (`with_columns`)."""
    rows: list[dict[str, Any]] = []
    for obj in objects:
        row: dict[str, Any] = {"cells": [column.cell(obj, now) for column in columns]}
        if include_object == "Object":
            row["object"] = obj
        elif include_object != "None":
            row["object"] = partial(obj)
        rows.append(row)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": list_metadata(revision=revision, continue_token=continue_token, remaining=remaining),
        "columnDefinitions": [column.as_definition() for column in columns] if with_columns else None,
        "rows": rows,
    }


def list_metadata(*, revision: int | None = None, continue_token: str = "", remaining: int | None = None) -> Object:
    """The metadata of a list."""
    metadata: Object = {}
    if revision is not None:
        metadata["resourceVersion"] = str(revision)
    if continue_token:
        metadata["continue"] = continue_token
    if remaining is not None:
        metadata["remainingItemCount"] = remaining
    return metadata


def partial(obj: Object) -> Object:
    """The object's metadata alone, as `PartialObjectMetadata`."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj.get("metadata") or {}}


def is_valid_include_object(value: str) -> bool:
    """Whether `includeObject` of a request has one of its three values (none given is `Metadata`)."""
    return value in ("", "None", "Metadata", "Object")
