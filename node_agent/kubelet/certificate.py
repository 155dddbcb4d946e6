"""The agent's certificates, client's and server's: asked for with CertificateSigningRequests, renewed in time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from orchestrator.machinery.certificates import (
    BadCertificate,
    Issued,
    Subject,
    belong_together,
    expires_at,
    is_issued_by,
    subject_of,
)
from orchestrator.machinery.client import Client
from orchestrator.machinery.clock import Clock
from orchestrator.machinery.errors import ApiError, Unreachable
from orchestrator.machinery.kubeconfig import BadKubeconfig, load_kubeconfig, render_kubeconfig
from orchestrator.machinery.log import get_logger
from orchestrator.machinery.signing import NODE_CLIENT, NODE_SERVING, Purpose, SigningRefused, certified
from orchestrator.machinery.whole_files import write_private

logger = get_logger(__name__)

_RENEW_BEFORE_S = 30 * 86_400.0
# A request that nobody answers may have been refused for a reason that has passed since: ask anew.
_ASK_AGAIN_S = 300.0
_RETRY_S = 2.0
_LOOK_EVERY_S = 12 * 3600.0


async def _certified(client: Client, subject: Subject, purpose: Purpose) -> Issued | None:
    """A fresh key and its certificate; None after a refusal or a silence, once it is time to ask again."""
    try:
        async with asyncio.timeout(_ASK_AGAIN_S):
            return await certified(client, subject, purpose)
    except TimeoutError:
        return None
    except SigningRefused as refused:
        logger.warning("certificate.denied", signer=purpose.signer, why=str(refused)[:256])
        await asyncio.sleep(_ASK_AGAIN_S)
        return None


class NodeIdentity:
    """The client certificate by which the agent is its node, in the kubeconfig that `wherry join` wrote."""

    def __init__(self, client: Client, clock: Clock, *, kubeconfig: Path, node_name: str) -> None:
        self._client = client
        self._clock = clock
        self._kubeconfig = kubeconfig
        self._subject = Subject(common_name=f"system:node:{node_name}", organizations=("system:nodes",))

    async def run(self) -> None:
        """Renew the certificate in time, for ever. The new one is taken from the file, by us as by others."""
        while True:
            try:
                await self.renew_if_due()
            except (ApiError, Unreachable, OSError, BadKubeconfig, BadCertificate) as refused:
                logger.warning("identity.not_renewed", why=str(refused)[:256])
            await asyncio.sleep(_LOOK_EVERY_S)

    async def renew_if_due(self) -> None:
        """Have the certificate renewed if it is this node's and near its end; otherwise leave it alone."""
        config = load_kubeconfig(self._kubeconfig)
        if not config.certificate or subject_of(config.certificate) != self._subject:
            return  # a token, or an identity that somebody else looks after
        if expires_at(config.certificate) - self._clock.now() > _RENEW_BEFORE_S:
            return
        issued = await _certified(self._client, self._subject, NODE_CLIENT)
        if issued is not None:
            renewed = replace(config, certificate=issued.cert_pem, key=issued.key_pem)
            user = self._subject.common_name
            write_private(self._kubeconfig, render_kubeconfig(renewed, user=user).encode())


class ServingCertificate:
    """The key pair in `directory`, valid for this node's name and address."""

    def __init__(
        self, client: Client, clock: Clock, *, directory: Path, node_name: str, address: str, ca: bytes
    ) -> None:
        self._client = client
        self._clock = clock
        self._node_name = node_name
        self._ca = ca
        self._subject = Subject(
            common_name=f"system:node:{node_name}",
            organizations=("system:nodes",),
            dns_names=(node_name,),
            ip_addresses=(address,),
        )
        self.certificate_path = directory / "kubelet-serving.crt"
        self.key_path = directory / "kubelet-serving.key"

    async def ensure(self) -> None:
        """Return once there is a good certificate on disk, however long that takes."""
        while not self.is_good():
            try:
                await self._ask()
            except (ApiError, Unreachable) as refused:
                logger.warning("certificate.refused", why=str(refused)[:256])
                await asyncio.sleep(_RETRY_S)

    def is_good(self) -> bool:
        """Whether the pair on disk belongs together, is this CA's, for this node, and valid for a good while yet."""
        try:
            cert_pem = self.certificate_path.read_bytes()
            good = (
                belong_together(cert_pem, self.key_path.read_bytes())
                and is_issued_by(cert_pem, self._ca)
                and subject_of(cert_pem) == self._subject
                and expires_at(cert_pem) - self._clock.now() > _RENEW_BEFORE_S
            )
        except (OSError, BadCertificate):
            return False
        return good

    async def _ask(self) -> None:
        issued = await _certified(self._client, self._subject, NODE_SERVING)
        if issued is not None:
            self._save(issued.cert_pem, issued.key_pem)

    def _save(self, certificate: bytes, key: bytes) -> None:
        self.key_path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path, data in ((self.key_path, key), (self.certificate_path, certificate)):
            write_private(path, data)
