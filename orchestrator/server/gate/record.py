"""What is known of a request once its answer is out: the one place that sees both. Metrics are drawn from it here."""

from __future__ import annotations

import msgspec

from orchestrator.server import metrics
from orchestrator.server.answers import Answer
from orchestrator.server.authentication.base import User
from orchestrator.server.gate.levels import Level
from orchestrator.server.requests import Request

_KNOWN_VERBS = frozenset(
    (
        *("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"),
        *("head", "options", "post", "put"),
    )
)


class Record(msgspec.Struct, frozen=True):
    """A request with its answer. Times are the clock's monotonic ones.

    `user` is whom the request was answered as; `impersonator` is who it came from, where that is somebody else.
    `level` and `seated` are None for what was refused before the gate or never came to it. `answer` is None for a
    watch or a stream, of which only the status is known.
    """

    request: Request
    user: User
    impersonator: User | None
    body: bytes
    level: Level | None
    answer: Answer | None
    status: int
    began: float
    seated: float | None
    ended: float


def observe(record: Record) -> None:
    """Take note of a request that has been answered."""
    request = record.request
    # A client may send any method: labels must not grow with what it thinks of.
    verb = request.verb if request.verb in _KNOWN_VERBS else "other"
    resource = request.resource if request.kind is not None else ""
    metrics.counter_of(verb, resource, record.status).inc()
    if record.answer is not None:
        metrics.seconds_of(verb, resource).observe(record.ended - record.began)
