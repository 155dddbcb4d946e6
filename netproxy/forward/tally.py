"""What the data path counts, per service."""

from __future__ import annotations

import msgspec


class Meter:
    """One growing number, shared by every connection of a service and direction."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Tally:
    """The counts of one service in one worker, since that worker started."""

    __slots__ = ("connections", "failures", "open", "received", "refused", "sent")

    def __init__(self) -> None:
        self.connections = 0  # accepted connections and UDP sessions
        self.open = 0
        self.failures = 0  # back ends that refused or did not answer
        self.refused = 0  # clients turned away: no back end left, a limit, a forbidden source
        self.received = Meter()  # bytes from clients
        self.sent = Meter()  # bytes to clients

    def totals(self) -> Totals:
        """The counts as they stand."""
        return Totals(
            connections=self.connections,
            open=self.open,
            failures=self.failures,
            refused=self.refused,
            received_bytes=self.received.count,
            sent_bytes=self.sent.count,
        )


class Totals(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A tally at one moment, as it is reported."""

    connections: int = 0
    open: int = 0
    failures: int = 0
    refused: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0

    def __add__(self, other: Totals) -> Totals:
        return Totals(
            connections=self.connections + other.connections,
            open=self.open + other.open,
            failures=self.failures + other.failures,
            refused=self.refused + other.refused,
            received_bytes=self.received_bytes + other.received_bytes,
            sent_bytes=self.sent_bytes + other.sent_bytes,
        )
