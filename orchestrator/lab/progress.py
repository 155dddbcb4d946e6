"""Showing what `up` and `down` are doing: live on a terminal, one plain line per step otherwise."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

from orchestrator.machinery.clock import Clock


class Progress(Protocol):
    """Where steps are shown; several may be under way at once."""

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show `title` as under way while the context lasts, then as done, or as failed if it raises."""
        ...

    def say(self, text: str) -> None:
        """Show a line."""
        ...


class PlainProgress:
    """One line when a step is done: for pipes, logs and tests."""

    def __init__(self, clock: Clock, stream: TextIO | None = None) -> None:
        self._clock = clock
        self._stream = stream or sys.stdout

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        began = self._clock.monotonic()
        try:
            yield
        except BaseException:
            self.say(f"FAILED {title} (after {self._clock.monotonic() - began:.1f} s)")
            raise
        self.say(f"done   {title} ({self._clock.monotonic() - began:.1f} s)")

    def say(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()


class LiveProgress:
    """Spinners and times on a terminal. Use as a context manager around everything shown."""

    def __init__(self) -> None:
        from rich.progress import Progress as Bars  # noqa: PLC0415 - rich is slow to import, and pipes need none of it
        from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415

        self._bars = Bars(
            SpinnerColumn(finished_text="[green]✓"), TextColumn("{task.description}"), TimeElapsedColumn()
        )

    def __enter__(self) -> LiveProgress:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        task = self._bars.add_task(title, total=None)
        try:
            yield
        except BaseException:
            self._bars.update(task, description=f"[red]{title}: failed")
            self._bars.stop_task(task)
            raise
        self._bars.update(task, total=1, completed=1)

    def say(self, text: str) -> None:
        self._bars.console.print(text, highlight=False)


@contextmanager
def progress_for(stream_is_terminal: bool, clock: Clock) -> Iterator[Progress]:
    """The form that suits where the output goes."""
    if not stream_is_terminal:
        yield PlainProgress(clock)
        return
    with LiveProgress() as live:
        yield live
