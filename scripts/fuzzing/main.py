"""Sends a running API server what nobody should, and says what it could not bear.

The same seed sends the same requests. The exit status is 1 if anything was answered with a fault of the server, left a
traceback in its log, cost more than its size explains, or if the server's memory grew.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripts.benchmarks.api import Server, serving
from scripts.fuzzing import costs, frames
from scripts.fuzzing.requests import Sent, a_request
from scripts.fuzzing.wire import Wire, cpu_ns

# What the server holds of objects is taken away again so often.
_CLEAN_EVERY = 2_000
_CLEANED = (
    "pods", "services", "configmaps", "secrets", "endpoints", "events", "serviceaccounts", "replicationcontrollers",
    "apps/v1/deployments", "apps/v1/replicasets", "apps/v1/statefulsets", "apps/v1/controllerrevisions",
    "coordination.k8s.io/v1/leases", "discovery.k8s.io/v1/endpointslices",
)  # fmt: skip
#: Caches and the allocator fill up at first; after a tenth of the requests there is no reason to grow any more.
_GROWTH_MAX_MB = 48.0
_SHOWN = 10
_SLOW_NS = 10_000_000


@dataclass(slots=True)
class Findings:
    """What was seen."""

    codes: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    dearest: list[tuple[int, Sent]] = field(default_factory=list)

    def note_cost(self, spent_ns: int, sent: Sent) -> None:
        """Keep the dearest."""
        if spent_ns > _SLOW_NS:
            self.dearest.append((spent_ns, sent))
            self.dearest.sort(key=lambda one: -one[0])
            del self.dearest[_SHOWN:]


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000, help="how many requests to send (100,000)")
    parser.add_argument("--seed", type=int, default=1, help="which requests (1)")
    parser.add_argument("--crowds", type=int, default=60, help="how many fields to fill with many items; 0: all (60)")
    parser.add_argument("--no-costs", action="store_true", help="leave out measuring what inputs cost as they grow")
    options = parser.parse_args()
    faults: list[str] = []
    if not options.no_costs:
        faults += measure(options.crowds, random.Random(options.seed))
    asyncio.run(converse(options.count // 50, random.Random(options.seed)))
    faults += attack(options.count, random.Random(options.seed))
    for fault in faults[:50]:
        print(f"FAULT {fault}")
    print(f"{len(faults)} faults")
    return 1 if faults else 0


def measure(crowds: int, dice: random.Random) -> list[str]:
    """What inputs cost by the byte; returns those that grow faster than their size."""
    measured = [costs.measured(one, limit_s=0.5) for one in costs.sample(crowds, dice)]
    print(f"dearest of {len(measured)} growing inputs, in CPU a byte:")
    for cost in sorted(measured, key=lambda cost: -cost.nanoseconds_a_byte)[:_SHOWN]:
        print(f"  {cost.nanoseconds_a_byte:8.0f} ns  {cost}")
    return [f"grows faster than its size: {cost}" for cost in measured if cost.is_steep]


async def converse(count: int, dice: random.Random) -> None:
    """Port-forward conversations; whatever escapes from one ends the run with its traceback."""
    for _ in range(count):
        await frames.converse(dice)
    print(f"{count:,} conversations of SPDY frames")


def attack(count: int, dice: random.Random) -> list[str]:
    """Send the requests to a server of our own."""
    findings = Findings()
    with tempfile.TemporaryDirectory(prefix="wherry-fuzz-") as folder, serving(Path(folder)) as server:
        wire = Wire(int(server.url.rpartition(":")[2]), server.tls)
        warm_mb, began = 0.0, time.monotonic()
        for number in range(1, count + 1):
            _send(wire, server, a_request(dice, server.token), findings)
            if number % _CLEAN_EVERY == 0 or number == count:
                _clean(wire, server)
                pace = number / (time.monotonic() - began)
                print(f"  {number:,} requests, {server.rss_mb:.0f} MB, {pace:.0f}/s", flush=True)
            if number == max(count // 10, min(count, 2 * _CLEAN_EVERY)):
                warm_mb = server.rss_mb
        grown_mb = server.rss_mb - warm_mb
        wire.close()
        log = (Path(folder) / "log").read_text(errors="replace")
    print(f"answers: {dict(sorted(findings.codes.items()))}; memory grew by {grown_mb:.0f} MB")
    print("dearest requests, in CPU of the server:")
    for spent, sent in findings.dearest:
        print(f"  {spent / 1e6:6.0f} ms, {sent.size:,} bytes ({spent / sent.size:,.0f} ns a byte): {sent.about}")
    return [*findings.faults, *_faults_of(log), *_faults_of_memory(grown_mb, count)]


def _send(wire: Wire, server: Server, sent: Sent, findings: Findings) -> None:
    before = cpu_ns(server.pid)
    try:
        answered = wire.send(sent)
    except TimeoutError:
        findings.faults.append(f"no answer to {sent.about} {sent.body[:300]!r}")
        wire.close()
        return
    findings.codes[answered.code] += 1
    findings.note_cost(cpu_ns(server.pid) - before, sent)
    # That a node of a name has no address is no fault: something was forwarded to it.
    if answered.code >= 500 and not (answered.code == 503 and "/proxy" in sent.about):
        findings.faults.append(f"{answered.code} for {sent.about} {sent.body[:500]!r}: {answered.text[:300]}")
    if answered.code == 0 and sent.about != "noise":
        findings.faults.append(f"hung up on {sent.about} {sent.body[:300]!r}")


def _clean(wire: Wire, server: Server) -> None:
    """Delete what was made, so that what stays is a leak."""
    for resource in _CLEANED:
        for namespace in ("default", "a"):
            group = f"/apis/{resource.rpartition('/')[0]}" if "/" in resource else "/api/v1"
            path = f"{group}/namespaces/{namespace}/{resource.rpartition('/')[2]}?gracePeriodSeconds=0"
            head = f"DELETE {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.token}\r\n\r\n"
            wire.send(Sent("clean", head.encode(), b""))


def _faults_of(log: str) -> Sequence[str]:
    """Tracebacks, each kind once."""
    marks = ("Traceback", "Exception", '"level": "error"')
    seen = Counter(line[-600:] for line in log.splitlines() if any(mark in line for mark in marks))
    return [f"in the log, {count} times: {line}" for line, count in seen.most_common(20)]


def _faults_of_memory(grown_mb: float, count: int) -> Sequence[str]:
    return [f"memory grew by {grown_mb:.0f} MB"] if grown_mb > _GROWTH_MAX_MB and count > _CLEAN_EVERY else []


if __name__ == "__main__":
    sys.exit(main())
