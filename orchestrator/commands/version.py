"""`wherry version`: what is installed."""

from __future__ import annotations

import platform

import click

import orchestrator

KUBERNETES = "v1.36.0"


@click.command(name="version")
def command() -> None:
    """Show the version, the Kubernetes API's version and the Python that runs it."""
    click.echo(f"wherry {orchestrator.__version__}")
    click.echo(f"Kubernetes API {KUBERNETES}")
    click.echo(f"Python {platform.python_version()}")
