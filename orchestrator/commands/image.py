"""`wherry image`: local images for the nodes, without a registry."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.lab.layout import DEFAULT_STATE_DIR


@click.group(name="image")
def command() -> None:
    """Images on the nodes of the cluster on this machine."""


@command.command(name="load")
@click.argument("name")
@click.option("--archive", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Take it from this file.")
@click.option(
    "--from-docker-host",
    "source",
    default="unix:///var/run/docker.sock",
    show_default=True,
    help="The Docker Engine that has the image.",
)
@click.option("--node", "nodes", multiple=True, help="Only to this node; may be repeated.")
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False, resolve_path=True),
    default=DEFAULT_STATE_DIR,
    show_default=True,
    help="The cluster's state directory.",
)
def load(name: str, archive: Path | None, source: str, nodes: tuple[str, ...], state_dir: Path) -> None:
    """Copy the image NAME to the nodes, from this machine's Docker Engine or from an archive of `docker save`."""
    from orchestrator.lab import record
    from orchestrator.lab.engine import EngineRefused, EngineUnreachable
    from orchestrator.lab.images import copy_image, load_file

    kept = record.load(state_dir)
    if kept is None:
        raise click.ClickException(f"no cluster was started in '{state_dir}'")
    lab = record.layout_of(state_dir, kept)
    try:
        chosen = [lab.node(node) for node in nodes] or list(lab.nodes)
    except KeyError as unknown:
        raise click.ClickException(str(unknown.args[0])) from unknown
    targets = [node.engine_socket for node in chosen]
    try:
        if archive is not None:
            with archive.open("rb") as stream:
                load_file(stream, targets=targets)
        else:
            copy_image(name, source=Path(source.removeprefix("unix://")), targets=targets)
    except (EngineRefused, EngineUnreachable) as failed:
        raise click.ClickException(f"cannot load image '{name}': {failed}") from failed
    click.echo(f"{name} is on {', '.join(node.name for node in chosen)}")
