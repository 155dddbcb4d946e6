"""`wherry up`: a cluster on this machine, from nothing to an answering demo."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from orchestrator.lab.layout import DEFAULT_STATE_DIR, NODES_MAX


@click.command(name="up")
@click.option("--nodes", type=click.IntRange(0, NODES_MAX), default=None, help="How many nodes; 0: this machine is it.")
@click.option("--no-demo", is_flag=True, help="Start the cluster only.")
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False, resolve_path=True),
    default=DEFAULT_STATE_DIR,
    show_default=True,
    help="Where everything is kept.",
)
def command(nodes: int | None, no_demo: bool, state_dir: Path) -> None:
    """Start a cluster on this machine: control plane, nodes, demo. Safe to repeat; mends what is broken."""
    import asyncio

    from orchestrator.lab.bring_up import CannotStart, Wanted
    from orchestrator.lab.cluster import bring_up, summary
    from orchestrator.lab.network import CommandFailed
    from orchestrator.lab.progress import progress_for
    from orchestrator.machinery.clock import SystemClock
    from orchestrator.machinery.errors import ApiError, Unreachable
    from orchestrator.machinery.log import configure

    if os.geteuid() != 0:
        raise click.ClickException("must run as root: it makes network namespaces and runs Docker Engines")
    configure(level="warning")
    clock = SystemClock()
    wanted = Wanted(state_dir=state_dir, nodes=nodes, demo=not no_demo)
    try:
        with progress_for(sys.stdout.isatty(), clock) as progress:
            outcome = asyncio.run(bring_up(wanted, progress, clock))
    except (CannotStart, CommandFailed, OSError, ValueError, ApiError, Unreachable) as failed:
        raise _failure([failed]) from failed
    except BaseExceptionGroup as failed:
        expected, others = failed.split((CannotStart, CommandFailed, OSError, ValueError, ApiError, Unreachable))
        if others is not None or expected is None:
            raise
        raise _failure(_leaves(expected)) from failed
    click.echo(summary(outcome))


def _failure(errors: Sequence[BaseException]) -> click.ClickException:
    reasons = "; ".join(str(error) for error in errors)
    return click.ClickException(f"{reasons}\nWhat was started runs on: repeat to go on, or stop it with scripts/down.")


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
