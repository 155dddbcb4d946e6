"""`wherry down`: stop the cluster on this machine, and leave nothing of it behind."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from orchestrator.lab.layout import DEFAULT_STATE_DIR


@click.command(name="down")
@click.option("--purge", is_flag=True, help="Remove all state too: objects, certificates, images, logs.")
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False, resolve_path=True),
    default=DEFAULT_STATE_DIR,
    show_default=True,
    help="Where everything is kept.",
)
def command(purge: bool, state_dir: Path) -> None:
    """Stop the cluster that `wherry up` started. Works whatever state it is in; safe to repeat."""
    import asyncio

    from orchestrator.lab.progress import progress_for
    from orchestrator.lab.teardown import NotAStateDirectory, tear_down
    from orchestrator.machinery.clock import SystemClock
    from orchestrator.machinery.log import configure

    if os.geteuid() != 0:
        raise click.ClickException("must run as root: it removes network namespaces and stops Docker Engines")
    configure(level="warning")
    clock = SystemClock()
    try:
        with progress_for(sys.stdout.isatty(), clock) as progress:
            was_there, left = asyncio.run(tear_down(state_dir, purge=purge, clock=clock, say=progress.say))
    except NotAStateDirectory as refused:
        raise click.ClickException(str(refused)) from refused
    if left:
        raise click.ClickException("could not remove everything:\n  " + "\n  ".join(left))
    state = "its state is removed too" if purge else f"its state is kept in {state_dir}"
    click.echo(f"Stopped; {state}." if was_there else f"Nothing was running; {state}.")
