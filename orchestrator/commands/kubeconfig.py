"""`wherry kubeconfig`: an identity for somebody, signed by the cluster's CA."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(name="kubeconfig")
@click.option("--user", required=True, help="The user's name.")
@click.option("--group", "groups", multiple=True, help="A group of the user, system:masters say; may be repeated.")
@click.option("--days", type=click.IntRange(1, 3650), default=365, show_default=True, help="How long it is good for.")
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=Path("/var/lib/wherry"),
    show_default=True,
    help="The control plane's state directory.",
)
def command(user: str, groups: tuple[str, ...], days: int, state_dir: Path) -> None:
    """Print a kubeconfig with a client certificate for USER. Needs the CA's key: run it on the control plane."""
    from orchestrator.machinery.certificates import DAY_S, Authority, BadCertificate, Issued, Subject
    from orchestrator.machinery.clock import SystemClock
    from orchestrator.machinery.kubeconfig import BadKubeconfig, ClientConfig, load_kubeconfig, render_kubeconfig

    pki = state_dir / "pki"
    try:
        authority = Authority(Issued((pki / "ca.crt").read_bytes(), (pki / "ca.key").read_bytes()))
        server = load_kubeconfig(state_dir / "admin.kubeconfig").server
    except (OSError, BadCertificate, BadKubeconfig) as exc:
        raise click.ClickException(f"cannot read the control plane's keys: {exc}") from exc
    subject = Subject(common_name=user, organizations=groups)
    pair = authority.issue(subject, now=SystemClock().now(), client=True, lifetime_s=days * DAY_S)
    config = ClientConfig(server=server, ca=authority.cert_pem, certificate=pair.cert_pem, key=pair.key_pem)
    click.echo(render_kubeconfig(config, user=user), nl=False)
