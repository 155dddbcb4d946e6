"""`wherry lab`: what one can do to a lab that one cannot do to real machines so easily."""

from __future__ import annotations

import os
from pathlib import Path

import click

from orchestrator.lab.layout import DEFAULT_STATE_DIR, LabLayout

_state_dir = click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False, resolve_path=True),
    default=DEFAULT_STATE_DIR,
    show_default=True,
    help="The cluster's state directory.",
)


@click.group(name="lab")
def command() -> None:
    """The nodes of the cluster on this machine as machines: their links and their networks."""


@command.command(name="cut")
@click.argument("node")
@_state_dir
def cut(node: str, state_dir: Path) -> None:
    """Unplug NODE from the network: nobody reaches it or its pods, and they reach nobody."""
    from orchestrator.lab import network

    network.cut(_lab_with(state_dir, node), node)
    click.echo(f"{node} is cut off")


@command.command(name="restore")
@click.argument("node")
@_state_dir
def restore(node: str, state_dir: Path) -> None:
    """Plug NODE in again."""
    from orchestrator.lab import network

    network.restore(_lab_with(state_dir, node), node)
    click.echo(f"{node} is connected")


@command.command(name="exec", context_settings={"ignore_unknown_options": True})
@click.argument("node")
@click.argument("argv", nargs=-1, type=click.UNPROCESSED, required=True)
@_state_dir
def execute(node: str, argv: tuple[str, ...], state_dir: Path) -> None:
    """Run a command in NODE's network, as if on that machine."""
    from orchestrator.lab.processes import inside

    line = inside(_lab_with(state_dir, node).node(node), *argv)
    os.execvp(line[0], line)


def _lab_with(state_dir: Path, node: str) -> LabLayout:
    from orchestrator.lab import record

    kept = record.load(state_dir)
    if kept is None or kept.nodes == 0:
        raise click.ClickException(f"no nodes with networks of their own were started in '{state_dir}'")
    lab = record.layout_of(state_dir, kept)
    try:
        lab.node(node)
    except KeyError as unknown:
        raise click.ClickException(str(unknown.args[0])) from unknown
    return lab
