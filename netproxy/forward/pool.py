"""The control side of the data path: keeps the workers running, tells them the rules, adds up what they count."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Iterable, Mapping

from netproxy.forward import channel
from netproxy.forward.tally import Totals
from netproxy.rules import Change, Frontend, Put, Rule, Rules, diff
from orchestrator.machinery.backoff import Backoff
from orchestrator.machinery.clock import Clock
from orchestrator.machinery.log import get_logger

logger = get_logger(__name__)

# A worker that does not read for this much is stuck: it is ended, and its successor gets the whole table.
UNREAD_MAX_BYTES = 64 << 20
# A worker that lived this long had a reason of its own to end: the next one starts without delay.
HEALTHY_S = 30.0


class _Worker:
    """One worker process as the control side sees it."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.process: asyncio.subprocess.Process | None = None
        self.writer: asyncio.StreamWriter | None = None
        self.applied = 0
        self.totals: dict[str, Totals] = {}
        self.failures: dict[Frontend, str] = {}


class WorkerPool:
    """Run `run` in a task; call `apply` from the same loop whenever the rules change."""

    def __init__(self, count: int, clock: Clock) -> None:
        self._clock = clock
        self._workers = [_Worker(index) for index in range(count)]
        self._rules: dict[Frontend, Rule] = {}
        self._living: set[str] = set()  # the services that have rules
        self._serial = 0
        self._past: dict[str, Totals] = {}  # counted by workers that have ended
        self._progress = asyncio.Event()

    @property
    def rules(self) -> Rules:
        """The newest table."""
        return self._rules

    @property
    def serial(self) -> int:
        """The number of the newest batch."""
        return self._serial

    @property
    def pids(self) -> tuple[int, ...]:
        """The process ids of the workers that run."""
        return tuple(worker.process.pid for worker in self._workers if worker.process is not None)

    def apply(self, rules: Rules) -> tuple[Change, ...]:
        """Make `rules` the table of every worker, now or once it has started; returns what changed."""
        changes = diff(self._rules, rules)
        if changes:
            self._rules = dict(rules)
            self._serial += 1
            for worker in self._workers:
                self._send(worker, changes)
            self._forget_services()
        return changes

    def totals(self) -> dict[str, Totals]:
        """The counts per service over all workers, past ones included."""
        return _add_up([self._past, *(worker.totals for worker in self._workers)])

    def failures(self) -> dict[Frontend, str]:
        """Where some worker cannot listen, and why."""
        found: dict[Frontend, str] = {}
        for worker in self._workers:
            found.update(worker.failures)
        return found

    def has_applied(self, serial: int) -> bool:
        """Whether every worker has applied the batch `serial`."""
        return all(worker.writer is not None and worker.applied >= serial for worker in self._workers)

    async def wait_applied(self, serial: int) -> None:
        """Return once every worker has applied the batch `serial`."""
        while not self.has_applied(serial):
            await self._progress.wait()

    async def run(self) -> None:
        """Keep every worker running, for ever; cancelling it ends them and their connections."""
        async with asyncio.TaskGroup() as group:
            for worker in self._workers:
                group.create_task(self._keep(worker), name=f"worker-{worker.index}")

    def _forget_services(self) -> None:
        """Drop the counts of services that are gone, or they would pile up for ever."""
        self._living = {rule.service for rule in self._rules.values()}
        for counts in (self._past, *(worker.totals for worker in self._workers)):
            for name in [name for name in counts if name not in self._living]:
                del counts[name]

    async def _keep(self, worker: _Worker) -> None:
        backoff = Backoff(first_s=0.1, limit_s=5.0)
        failures = 0
        while True:
            started = self._clock.monotonic()
            code = await self._live(worker)
            failures = 1 if self._clock.monotonic() - started > HEALTHY_S else failures + 1
            delay_s = backoff.delay_s(failures)
            logger.warning("worker.ended", index=worker.index, code=code, delay_s=delay_s)
            await asyncio.sleep(delay_s)

    async def _live(self, worker: _Worker) -> int | None:
        """One life of a worker, from start to end; returns its exit code."""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "netproxy.forward.worker",
                    str(theirs.fileno()), str(worker.index), str(len(self._workers)),
                    stdin=asyncio.subprocess.DEVNULL, pass_fds=(theirs.fileno(),),
                )  # fmt: skip
            worker.process = process
            try:
                await self._converse(worker, ours)
            finally:
                await self._bury(worker, process)
        return process.returncode

    async def _converse(self, worker: _Worker, ours: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=ours.dup())
        worker.writer = writer
        try:
            self._send(worker, [Put(frontend, rule) for frontend, rule in self._rules.items()])
            frames = channel.Frames()
            while data := await reader.read(1 << 18):
                for body in frames.feed(data):
                    self._hear(worker, channel.REPORTS.decode(body))
        except ConnectionError:
            pass  # the worker died with words of ours unread
        finally:
            worker.writer = None
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _bury(self, worker: _Worker, process: asyncio.subprocess.Process) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await asyncio.shield(process.wait())
        worker.process = None
        self._past = _add_up([self._past, {name: _ended(totals) for name, totals in worker.totals.items()}])
        worker.totals, worker.failures, worker.applied = {}, {}, 0

    def _hear(self, worker: _Worker, report: channel.Report) -> None:
        for frontend, why in report.failures:
            if frontend not in worker.failures:
                logger.warning("listen.failed", frontend=str(frontend), worker=worker.index, why=why)
        # A worker goes on counting for a service that is gone while its connections last.
        worker.totals.update((name, totals) for name, totals in report.totals.items() if name in self._living)
        worker.applied, worker.failures = report.serial, dict(report.failures)
        self._progress.set()
        self._progress = asyncio.Event()

    def _send(self, worker: _Worker, changes: Iterable[Change]) -> None:
        writer = worker.writer
        if writer is None:
            return
        writer.write(channel.encode(channel.Batch(self._serial, tuple(changes))))
        if writer.transport.get_write_buffer_size() > UNREAD_MAX_BYTES:
            logger.warning("worker.stuck", index=worker.index)
            writer.transport.abort()


def _ended(totals: Totals) -> Totals:
    return totals + Totals(open=-totals.open)


def _add_up(parts: Iterable[Mapping[str, Totals]]) -> dict[str, Totals]:
    total: dict[str, Totals] = {}
    for part in parts:
        for name, totals in part.items():
            total[name] = total[name] + totals if name in total else totals
    return total
