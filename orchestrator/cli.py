"""The `wherry` command: one module of `orchestrator.commands` per subcommand, imported when it is used."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import click

import orchestrator

# In the order of `--help`. Importing them all would make every command as slow as the slowest.
_COMMANDS: Mapping[str, str] = {
    "up": "start a cluster on this machine",
    "down": "stop it, and leave nothing behind",
    "join": "make this machine a node of a cluster",
    "token": "tokens that machines join with",
    "kubeconfig": "a kubeconfig for somebody or something",
    "certificates": "the control plane's certificates: when they end",
    "store": "the store: check, back up, restore, repair",
    "image": "local images for the nodes",
    "lab": "the links and networks of the nodes on this machine",
    "version": "what is installed",
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command = importlib.import_module(f"orchestrator.commands.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "WHERRY"})
@click.version_option(orchestrator.__version__, prog_name="wherry")
def main() -> None:
    """Wherry: a small, real container orchestrator that speaks the Kubernetes API."""


if __name__ == "__main__":
    main()
