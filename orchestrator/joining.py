"""How a machine becomes a node: it learns the CA by its pinned hash, and has its own key certified by token.

Nothing secret is sent to a server that has not proved to hold the CA.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from orchestrator.api import node_names
from orchestrator.machinery import certificates
from orchestrator.machinery.certificates import BadCertificate, Subject
from orchestrator.machinery.client import Client
from orchestrator.machinery.errors import ApiError, Unreachable
from orchestrator.machinery.kubeconfig import BadKubeconfig, ClientConfig, load_kubeconfig, render_kubeconfig
from orchestrator.machinery.signing import NODE_CLIENT, SigningRefused, certified
from orchestrator.machinery.whole_files import write_private

_DIAL_TIMEOUT_S = 10.0
_RENEW_BEFORE_S = 30 * certificates.DAY_S
_DER = 2  # _ssl.ENCODING_DER


class CannotJoin(Exception):
    """The machine is not a node; the text says what did not hold, and what to do about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """What is needed to join. `ca_hash` is `sha256:HEX` of the CA's public key, as `wherry token create` prints it."""

    server: str
    token: str
    ca_hash: str
    node_name: str
    kubeconfig: Path
    timeout_s: float = 60.0


def has_joined(join: Join, *, now: float) -> bool:
    """Whether the kubeconfig already makes this machine that node of that cluster, for some time to come."""
    try:
        present = load_kubeconfig(join.kubeconfig)
        subject = certificates.subject_of(present.certificate)
        return (
            present.server == join.server.rstrip("/")
            and certificates.spki_hash(present.ca) == join.ca_hash
            and subject == node_subject(join.node_name)
            and certificates.expires_at(present.certificate) - now > _RENEW_BEFORE_S
        )
    except (OSError, BadKubeconfig, BadCertificate):
        return False


def node_subject(node_name: str) -> Subject:
    """Whom a node's client certificate is for."""
    return Subject(common_name=f"system:node:{node_name}", organizations=("system:nodes",))


async def join_cluster(join: Join) -> None:
    """Get a certificate and write the kubeconfig; safe to repeat. Raises `CannotJoin`."""
    unfit = node_names.why_not(join.node_name)
    if unfit is not None:
        raise CannotJoin(f"cannot name a node '{join.node_name}': {unfit}")
    try:
        async with asyncio.timeout(join.timeout_s):
            ca = await asyncio.to_thread(pinned_ca, join.server, join.ca_hash)
            bootstrap = ClientConfig(server=join.server.rstrip("/"), ca=ca, token=join.token)
            async with Client(bootstrap, user_agent="wherry-join") as client:
                pair = await certified(client, node_subject(join.node_name), NODE_CLIENT)
    except TimeoutError as exc:
        raise CannotJoin(
            f"no certificate within {join.timeout_s:.0f} s: is the control plane's controllers process running?"
        ) from exc
    except SigningRefused as exc:
        raise CannotJoin(f"the certificate was refused: {exc}") from exc
    except ApiError as exc:
        raise CannotJoin(f"the API server refused: {exc.message}") from exc
    except Unreachable as exc:
        raise CannotJoin(str(exc)) from exc
    config = ClientConfig(server=bootstrap.server, ca=ca, certificate=pair.cert_pem, key=pair.key_pem)
    join.kubeconfig.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    write_private(join.kubeconfig, render_kubeconfig(config, user=f"system:node:{join.node_name}").encode())


def pinned_ca(server: str, ca_hash: str) -> bytes:
    """The CA (PEM) from the chain that the server shows, if its key has the hash. Blocks; raises `CannotJoin`."""
    for der in _unverified_chain(server):
        try:
            pem = certificates.pem_of(der)
            if certificates.is_authority(pem) and certificates.spki_hash(pem) == ca_hash.lower():
                return pem
        except BadCertificate:
            continue
    raise CannotJoin(
        f"the server at {server} has no certificate authority with hash '{ca_hash}': either the hash is of another "
        "cluster, or somebody else answers there"
    )


def _unverified_chain(server: str) -> list[bytes]:
    url = urlsplit(server)
    if url.scheme != "https" or not url.hostname:
        raise CannotJoin(f"cannot use server '{server}': it must be https://HOST[:PORT]")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # What is not verified here is verified by the hash before anything is sent.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((url.hostname, url.port or 443), timeout=_DIAL_TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=url.hostname) as tls,
        ):
            return _chain_of(tls)
    except OSError as exc:
        raise CannotJoin(f"cannot reach the server at {server}: {exc}") from exc


def _chain_of(tls: Any) -> list[bytes]:
    if hasattr(tls, "get_unverified_chain"):  # public since Python 3.13
        return list(tls.get_unverified_chain())
    return [certificate.public_bytes(_DER) for certificate in tls._sslobj.get_unverified_chain()]
