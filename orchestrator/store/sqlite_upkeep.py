"""The embedded store's housekeeping, all of it on the writer's connection: compaction and checkpoints."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from orchestrator.machinery.clock import Clock
from orchestrator.store.sqlite_files import Commit
from orchestrator.store.sqlite_format import Base, last_place, write_base

# Five minutes are what Kubernetes' API server lets etcd keep: lists in pages and watches resume that far back.
HISTORY_S = 300.0
# In a storm of writes the history is cut by count, or five minutes of it could fill the disk.
HISTORY_ROWS_MAX = 200_000
_MARK_EVERY_S = 10.0
_MARK_EVERY_ROWS = 10_000
_CHUNK_ROWS = 500
# Quiet for this long counts as idle: longer than the gaps within a burst, shorter than anybody notices.
_IDLE_S = 0.2


class Upkeep:
    """When to compact and checkpoint. Used by the writer thread alone."""

    def __init__(self, db: sqlite3.Connection, clock: Clock, base: Base) -> None:
        self._db = db
        self._clock = clock
        self._base = base
        self._target = base.compacted
        self._newest = 0
        self._marks: deque[tuple[float, int]] = deque()
        self._log_grew = True  # whatever the last process left is checkpointed at the first quiet moment

    def next_in_s(self) -> float | None:
        """How long the writer may wait for work before `when_idle` wants to run; None: for ever."""
        if self._log_grew or self._base.compacted < self._target:
            return _IDLE_S
        if self._marks:
            return max(_IDLE_S, self._marks[0][0] + HISTORY_S - self._clock.monotonic())
        return None

    def when_idle(self) -> None:
        """Compact what is due, a chunk at a time, then checkpoint."""
        self._advance_target()
        if self._base.compacted < self._target:
            self._compact_chunk()
        elif self._log_grew:
            self._checkpoint()

    def after_commit(self, commits: Sequence[Commit]) -> None:
        """Note what was written; under steady load, do a share of the work that idle moments would do."""
        if not commits:
            return
        self._newest = commits[-1].revision
        self._log_grew = True
        now = self._clock.monotonic()
        if not self._marks or self._is_due(now):
            self._marks.append((now, self._newest))
        self._advance_target()
        if self._base.compacted < self._target:
            self._compact_chunk()

    def compact(self, revision: int, *, between: Callable[[], None]) -> None:
        """Compact up to `revision`, letting writers in after every chunk."""
        self._target = max(self._target, revision)
        while self._base.compacted < revision:
            self._compact_chunk()
            between()

    def before_close(self) -> None:
        """Leave a file that opens fast."""
        self._checkpoint()

    def _is_due(self, now: float) -> bool:
        marked_at, marked = self._marks[-1]
        return now - marked_at >= _MARK_EVERY_S or self._newest - marked >= _MARK_EVERY_ROWS

    def _advance_target(self) -> None:
        horizon = self._clock.monotonic() - HISTORY_S
        floor = self._newest - HISTORY_ROWS_MAX
        while self._marks and (self._marks[0][0] <= horizon or self._marks[0][1] <= floor):
            self._target = max(self._target, self._marks.popleft()[1])

    def _compact_chunk(self) -> None:
        """Forget the next few revisions below the target: deletions, and values that newer ones have replaced."""
        base = self._base
        through = min(base.compacted + _CHUNK_ROWS, self._target)
        span = (last_place(base.compacted), last_place(through))
        in_span = "place > ? AND place <= ?"
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        try:
            count, total = db.execute(f"SELECT count(*), sum(checksum) FROM changes WHERE {in_span}", span).fetchone()
            last = db.execute(f"SELECT chain FROM changes WHERE {in_span} ORDER BY place DESC LIMIT 1", span).fetchone()
            gone = db.execute(
                "DELETE FROM changes WHERE place IN"
                f" (SELECT previous FROM changes WHERE {in_span} AND previous > 0) RETURNING checksum",
                span,
            ).fetchall()
            gone += db.execute(
                f"DELETE FROM changes WHERE {in_span} AND value IS NULL RETURNING checksum", span
            ).fetchall()
            moved = replace(
                base,
                compacted=through,
                chain=last[0] if last else base.chain,
                kept=base.kept + count - len(gone),
                kept_sum=base.kept_sum + (total or 0) - sum(checksum for (checksum,) in gone),
            )
            write_base(db, moved)
            db.execute("COMMIT")
        except sqlite3.Error:
            db.rollback()
            raise
        self._base = moved
        self._log_grew = True

    def _checkpoint(self) -> None:
        """Move the log into the file without waiting for readers; what they hold back is moved next time."""
        self._log_grew = False
        self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
