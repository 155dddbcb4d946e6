"""Nodes joining the lab's cluster: by token, as any machine joins one."""

from __future__ import annotations

import subprocess

from orchestrator.api.resources import SECRETS
from orchestrator.bootstrap_tokens import NAMESPACE, new_token, secret_of
from orchestrator.lab.layout import LabLayout, NodeLayout
from orchestrator.lab.network import CommandFailed
from orchestrator.lab.processes import inside, python
from orchestrator.machinery.certificates import spki_hash
from orchestrator.machinery.client import Client
from orchestrator.machinery.whole_files import write_private

TOKEN_S = 3600
"""How long a lab's token is good for: nodes join within seconds."""
JOIN_TIMEOUT_S = 60


async def make_token(client: Client, *, now: float) -> str:
    """Create a token in the cluster and return it."""
    token = new_token()
    secret = secret_of(token, expires_at=now + TOKEN_S, description="nodes of the lab")
    await client.create(SECRETS, secret, NAMESPACE, into=bytes)
    return token


def has_joined(node: NodeLayout) -> bool:
    """Whether the node has its identity already."""
    return node.kubeconfig.exists() and node.proxy_kubeconfig.exists()


def join(lab: LabLayout, node: NodeLayout, token: str) -> None:
    """Run `wherry join` on the node; blocks until it is done. Raises `CommandFailed` with what it said."""
    command = inside(
        node,
        *python("orchestrator.cli"),
        "join",
        *("--server", lab.server),
        *("--token", token),
        *("--ca-hash", spki_hash((lab.state_dir / "pki" / "ca.crt").read_bytes())),
        *("--node-name", node.name),
        *("--kubeconfig", str(node.kubeconfig)),
    )
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=JOIN_TIMEOUT_S, check=False, cwd="/")
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise CommandFailed(f"node '{node.name}' cannot join: {exc}") from exc
    if done.returncode != 0:
        raise CommandFailed(f"node '{node.name}' cannot join: {done.stderr.strip()[-256:]}")
    write_private(node.proxy_kubeconfig, (lab.state_dir / "pki" / "proxy.kubeconfig").read_bytes())
