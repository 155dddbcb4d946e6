"""Columns of certificate signing requests."""

from __future__ import annotations

from orchestrator.api.objects import Object
from orchestrator.api.printing.columns import AGE, NAME, NONE, Column
from orchestrator.api.printing.durations import human_duration


def _condition(obj: Object, now: float) -> str:
    status = obj.get("status") or {}
    found = {condition.get("type") for condition in status.get("conditions") or ()}
    word = "Denied" if "Denied" in found else "Approved" if "Approved" in found else "Pending"
    return word + (",Failed" if "Failed" in found else "") + (",Issued" if status.get("certificate") else "")


def _duration(obj: Object, now: float) -> str:
    seconds = (obj.get("spec") or {}).get("expirationSeconds")
    return NONE if seconds is None else human_duration(seconds)


CERTIFICATESIGNINGREQUESTS = (
    NAME,
    AGE,
    Column("SignerName", lambda obj, now: (obj.get("spec") or {}).get("signerName") or NONE, description="Who signs."),
    Column("Requestor", lambda obj, now: (obj.get("spec") or {}).get("username", ""), description="Who asks."),
    Column("RequestedDuration", _duration, description="How long the certificate shall last."),
    Column("Condition", _condition, description="What became of the request."),
)
