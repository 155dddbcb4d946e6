"""Structured logs: an event name and fields, JSON lines by default, a readable form on a terminal.

Lines leave through a bounded queue and a thread of their own, so that a slow disk or pipe never stalls the event loop.
"""

from __future__ import annotations

import atexit
import logging
import math
import queue
import sys
import threading
from typing import Any, TextIO

import structlog

from orchestrator.machinery.clock import Clock

# Sorts of lines that are kept back: they are named by us, some with a reason of a library's.
_SORTS_MAX = 256
# Some seconds of a busy process; past that, lines are dropped and counted rather than held in memory.
_LINES_MAX = 10_000


def get_logger(name: str) -> Any:
    """The logger of one module: `logger.info("pod.start", pod=key, why=...)`."""
    return structlog.get_logger(component=name)


def configure(*, level: str = "info", human: bool | None = None, stream: TextIO | None = None) -> None:
    """Set up logging for the process; call once, at start. `human` None means: if the stream is a terminal."""
    out = stream or sys.stderr
    readable = out.isatty() if human is None else human
    number = getattr(logging, level.upper())
    renderer: Any = structlog.dev.ConsoleRenderer() if readable else structlog.processors.JSONRenderer(default=str)
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if not readable:
        processors.append(structlog.processors.format_exc_info)
    writer = _LineWriter(out)
    structlog.configure(
        processors=[*processors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: writer,
        cache_logger_on_first_use=True,
    )
    bridge = _Bridge()
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[bridge], force=True)


class Sparing:
    """For lines that anybody can cause: one of each sort in a while; the others are counted and told with the next."""

    def __init__(self, clock: Clock, *, every_s: float = 10.0) -> None:
        self._clock = clock
        self._every_s = every_s
        self._sorts: dict[str, tuple[float, int]] = {}

    def admits(self, sort: str) -> int | None:
        """How many lines of this sort were kept back since the last, if there is to be one; None if there is not."""
        now = self._clock.monotonic()
        last, kept_back = self._sorts.get(sort, (-math.inf, 0))
        if now - last < self._every_s:
            self._sorts[sort] = (last, kept_back + 1)
            return None
        if len(self._sorts) >= _SORTS_MAX:
            self._sorts.clear()
        self._sorts[sort] = (now, 0)
        return kept_back


class _LineWriter:
    """Takes finished lines from any thread and writes them from its own."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lines: queue.Queue[str | None] = queue.Queue(_LINES_MAX)
        self._dropped = 0
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def msg(self, message: str) -> None:
        try:
            self._lines.put_nowait(message)
        except queue.Full:
            self._dropped += 1

    debug = info = warning = error = critical = exception = msg

    def close(self) -> None:
        if self._thread.is_alive():
            self._lines.put(None)
            self._thread.join(2.0)

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                self._out.write(line + "\n")
                if self._dropped:
                    dropped, self._dropped = self._dropped, 0
                    self._out.write(f'{{"event": "log.dropped", "lines": {dropped}}}\n')
                if self._lines.empty():
                    self._out.flush()
            except (OSError, ValueError):
                return  # the stream is closed: nobody reads us any more


class _Bridge(logging.Handler):
    """Libraries log through the standard library: their warnings take our form."""

    def emit(self, record: logging.LogRecord) -> None:
        logger = structlog.get_logger(component=record.name)
        fields: dict[str, Any] = {"exc_info": record.exc_info} if record.exc_info else {}
        logger.log(record.levelno, record.getMessage(), **fields)
