"""`wherry token`: the tokens that machines join with."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from orchestrator.bootstrap_tokens import TokenFacts
    from orchestrator.machinery.client import Client
    from orchestrator.machinery.kubeconfig import ClientConfig

T = TypeVar("T")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_kubeconfig = click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    default=Path("/var/lib/wherry/admin.kubeconfig"),
    show_default=True,
    help="An administrator's kubeconfig.",
)


@click.group(name="token")
def command() -> None:
    """Tokens that machines join the cluster with."""


@command.command(name="create")
@click.argument("token", required=False)
@click.option("--ttl", default="24h", show_default=True, help="How long it is good for, as 30m, 24h, 7d; 0 for ever.")
@click.option("--description", default="", help="What it is for.")
@click.option("--print-join-command", is_flag=True, help="Print the whole command for the other machine.")
@_kubeconfig
def create(token: str | None, ttl: str, description: str, print_join_command: bool, kubeconfig: Path) -> None:
    """Create a token (TOKEN, or a random one) and print it."""
    from orchestrator.api.resources import SECRETS
    from orchestrator.bootstrap_tokens import NAMESPACE, BadToken, new_token, secret_of
    from orchestrator.machinery.certificates import spki_hash
    from orchestrator.machinery.clock import SystemClock

    lifetime_s = _seconds(ttl)
    token = token or new_token()
    try:
        expires_at = SystemClock().now() + lifetime_s if lifetime_s else None
        secret = secret_of(token, expires_at=expires_at, description=description)
    except BadToken as exc:
        raise click.ClickException(f"cannot use TOKEN: {exc}") from exc

    async def create_it(client: Client) -> None:
        await client.create(SECRETS, secret, NAMESPACE, into=bytes)

    config = _config(kubeconfig)
    _run(config, create_it)
    if print_join_command:
        click.echo(f"wherry join --server {config.server} --token {token} --ca-hash {spki_hash(config.ca)}")
    else:
        click.echo(token)


@command.command(name="list")
@_kubeconfig
def list_tokens(kubeconfig: Path) -> None:
    """Show the tokens there are; their secret halves are not shown."""
    from orchestrator.api.resources import SECRETS
    from orchestrator.bootstrap_tokens import NAMESPACE, facts_of

    async def list_them(client: Client) -> tuple[TokenFacts | None, ...]:
        listing = await client.list(SECRETS, NAMESPACE, into=dict)
        return tuple(facts_of(secret) for secret in listing.items)

    click.echo(f"{'ID':<8}{'EXPIRES':<22}{'USAGES':<26}DESCRIPTION")
    for facts in _run(_config(kubeconfig), list_them):
        if facts is not None:
            expires = facts.expiration or "<never>"
            click.echo(f"{facts.token_id:<8}{expires:<22}{','.join(facts.usages):<26}{facts.description}")


@command.command(name="delete")
@click.argument("token_id")
@_kubeconfig
def delete(token_id: str, kubeconfig: Path) -> None:
    """Delete the token with this ID (or whole token): nobody can join with it from now on."""
    from orchestrator.api.resources import SECRETS
    from orchestrator.bootstrap_tokens import NAME_PREFIX, NAMESPACE

    token_id = token_id.partition(".")[0]

    async def delete_it(client: Client) -> None:
        await client.delete(SECRETS, NAME_PREFIX + token_id, NAMESPACE)

    _run(_config(kubeconfig), delete_it)
    click.echo(f"bootstrap token {token_id} deleted")


def _config(kubeconfig: Path) -> ClientConfig:
    from orchestrator.machinery.kubeconfig import BadKubeconfig, load_kubeconfig

    try:
        return load_kubeconfig(kubeconfig)
    except (BadKubeconfig, OSError) as exc:
        raise click.ClickException(str(exc)) from exc


def _run(config: ClientConfig, call: Callable[[Client], Awaitable[T]]) -> T:
    from orchestrator.machinery.client import Client
    from orchestrator.machinery.errors import ApiError, Unreachable

    async def connected() -> T:
        async with Client(config, user_agent="wherry-token") as client:
            return await call(client)

    try:
        return asyncio.run(connected())
    except (ApiError, Unreachable) as exc:
        raise click.ClickException(str(exc)) from exc


def _seconds(text: str) -> float:
    match = re.fullmatch(r"([0-9]{1,12})([smhd]?)", text)
    if match is None:
        raise click.ClickException(f"cannot use --ttl '{text}': it must be a number with s, m, h or d")
    return float(match.group(1)) * _UNITS[match.group(2) or "s"]
