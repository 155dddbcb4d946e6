"""Kernel pipes for `splice`, reused: making one costs as much as moving a small message."""

from __future__ import annotations

import contextlib
import fcntl
import os

# Four times the default: bulk moves in fewer calls. Unprivileged, the kernel may say no, and the default stays.
PIPE_BYTES = 1 << 18

# Clean pipes kept for the next bulk transfer; two descriptors each.
KEPT_MAX = 64


class PipePool:
    """Lends out empty pipes. One that may still hold bytes is closed, never lent again: they are another client's."""

    def __init__(self) -> None:
        self._clean: list[tuple[int, int]] = []

    def take(self) -> tuple[int, int] | None:
        """An empty pipe (read end, write end); None when the process may open no more descriptors."""
        if self._clean:
            return self._clean.pop()
        try:
            ends = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        with contextlib.suppress(OSError):
            fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        return ends

    def give(self, ends: tuple[int, int], *, held_bytes: int) -> None:
        """Take a pipe back, with what the borrower knows to be in it."""
        if held_bytes or len(self._clean) >= KEPT_MAX:
            os.close(ends[0])
            os.close(ends[1])
        else:
            self._clean.append(ends)

    def close(self) -> None:
        """Close every pipe that is not lent."""
        while self._clean:
            for end in self._clean.pop():
                os.close(end)
