"""`wherry certificates`: what the control plane has, and until when."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(name="certificates")
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=Path("/var/lib/wherry"),
    show_default=True,
    help="The control plane's state directory.",
)
def command(state_dir: Path) -> None:
    """List the control plane's certificates and the hash to join by. They are renewed at start and while running."""
    from orchestrator.machinery.certificates import BadCertificate, expires_at, spki_hash, subject_of
    from orchestrator.machinery.clock import timestamp

    found = sorted((state_dir / "pki").glob("*.crt"))
    if not found:
        raise click.ClickException(f"there are no certificates in '{state_dir / 'pki'}'")
    click.echo(f"{'FILE':<34}{'FOR':<36}UNTIL")
    for path in found:
        try:
            pem = path.read_bytes()
            click.echo(f"{path.name:<34}{subject_of(pem).common_name:<36}{timestamp(expires_at(pem))}")
        except (OSError, BadCertificate) as exc:
            click.echo(f"{path.name:<34}unreadable: {exc}")
    ca = state_dir / "pki" / "ca.crt"
    if ca.exists():
        click.echo(f"\nCA hash: {spki_hash(ca.read_bytes())}")
