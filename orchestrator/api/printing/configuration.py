"""Columns of what pods are configured with."""

from __future__ import annotations

from orchestrator.api.printing.columns import AGE, NAME, Column

CONFIGMAPS = (
    NAME,
    Column(
        "Data",
        lambda obj, now: len(obj.get("data") or ()) + len(obj.get("binaryData") or ()),
        type="integer",
        description="How many keys it has.",
    ),
    AGE,
)
SECRETS = (
    NAME,
    Column("Type", lambda obj, now: obj.get("type", ""), description="What sort of secret it is."),
    Column("Data", lambda obj, now: len(obj.get("data") or ()), type="integer", description="How many keys it has."),
    AGE,
)
SERVICEACCOUNTS = (
    NAME,
    Column(
        "Secrets",
        lambda obj, now: len(obj.get("secrets") or ()),
        type="integer",
        description="How many secrets it lists.",
    ),
    AGE,
)
