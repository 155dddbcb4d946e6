"""`wherry join`: make this machine a node."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import click


@click.command(name="join")
@click.option("--server", required=True, help="The API server, https://HOST:6443.")
@click.option("--token", required=True, help="A bootstrap token, of `wherry token create`.")
@click.option("--ca-hash", required=True, help="sha256:HEX of the cluster's CA, printed with the token.")
@click.option(
    "--node-name",
    default=lambda: socket.gethostname().lower(),
    show_default="this machine's name",
    help="The node's name in the cluster.",
)
@click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("/etc/wherry/node.kubeconfig"),
    show_default=True,
    help="Where to write the node's identity, for `wherry-node-agent --kubeconfig`.",
)
def command(server: str, token: str, ca_hash: str, node_name: str, kubeconfig: Path) -> None:
    """Get this machine an identity in the cluster. Run again, it does nothing as long as that identity is good."""
    import asyncio

    from orchestrator.api import node_names
    from orchestrator.bootstrap_tokens import BadToken, token_id_of
    from orchestrator.joining import CannotJoin, Join, has_joined, join_cluster
    from orchestrator.machinery.clock import SystemClock

    try:
        token_id_of(token)
    except BadToken as exc:
        raise click.ClickException(f"cannot use --token: {exc}") from exc
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", ca_hash.lower()):
        raise click.ClickException(f"cannot use --ca-hash '{ca_hash}': it must be sha256: and 64 hexadecimal digits")
    unfit = node_names.why_not(node_name)
    if unfit is not None:
        raise click.ClickException(f"cannot use --node-name '{node_name}': {unfit}")
    join = Join(
        server=server, token=token, ca_hash=ca_hash.lower(), node_name=node_name, kubeconfig=kubeconfig.absolute()
    )
    if has_joined(join, now=SystemClock().now()):
        click.echo(f"This machine is node {node_name} of {server} already.")
        return
    try:
        asyncio.run(join_cluster(join))
    except CannotJoin as exc:
        raise click.ClickException(f"cannot join {server}: {exc}") from exc
    click.echo(f"This machine is node {node_name} of {server}; its identity is in {kubeconfig}.")
    click.echo(f"Start it with: wherry-node-agent --kubeconfig {kubeconfig} --node-name {node_name}")
