"""The agent's serving certificate: asked for with a CertificateSigningRequest, kept on disk, renewed in time."""

from __future__ import annotations

import asyncio
import base64
import os
from pathlib import Path

from orchestrator.api.resources import CERTIFICATESIGNINGREQUESTS
from orchestrator.api.views.certificates import SigningRequest
from orchestrator.machinery.certificates import (
    BadCertificate,
    Subject,
    expires_at,
    is_issued_by,
    new_key,
    new_request,
    subject_of,
)
from orchestrator.machinery.client import Client
from orchestrator.machinery.clock import Clock
from orchestrator.machinery.errors import ApiError, NotFound, Unreachable
from orchestrator.machinery.log import get_logger

logger = get_logger(__name__)

_SIGNER = "kubernetes.io/kubelet-serving"
_RENEW_BEFORE_S = 30 * 86_400.0
_POLL_S = 0.5
# A request that nobody answers may have been refused for a reason that has passed since: ask anew.
_ASK_AGAIN_S = 300.0
_RETRY_S = 2.0


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
        """Whether the certificate on disk is this CA's, for this node, and valid for a good while yet."""
        try:
            cert_pem = self.certificate_path.read_bytes()
            good = (
                is_issued_by(cert_pem, self._ca)
                and subject_of(cert_pem) == self._subject
                and expires_at(cert_pem) - self._clock.now() > _RENEW_BEFORE_S
            )
        except (OSError, BadCertificate):
            return False
        return good and self.key_path.exists()

    async def _ask(self) -> None:
        key = new_key()
        request = new_request(self._subject, key)
        body = {
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": {"generateName": "csr-"},
            "spec": {
                "request": base64.b64encode(request).decode(),
                "signerName": _SIGNER,
                "usages": ["digital signature", "server auth"],
            },
        }
        made = await self._client.create(CERTIFICATESIGNINGREQUESTS, body, into=SigningRequest)
        name = made.metadata.name
        logger.info("certificate.asked", request=name)
        deadline = self._clock.monotonic() + _ASK_AGAIN_S
        while self._clock.monotonic() < deadline:
            try:
                found = await self._client.get(CERTIFICATESIGNINGREQUESTS, name, into=SigningRequest)
            except NotFound:
                return
            if found.status.certificate:
                self._save(base64.b64decode(found.status.certificate), key)
                logger.info("certificate.issued", request=name)
                return
            if found.has("Denied") or found.has("Failed"):
                why = next((one.message for one in found.status.conditions if one.type in ("Denied", "Failed")), "")
                logger.warning("certificate.denied", request=name, why=why[:256])
                await asyncio.sleep(_ASK_AGAIN_S)
                return
            await asyncio.sleep(_POLL_S)

    def _save(self, certificate: bytes, key: bytes) -> None:
        self.key_path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path, data in ((self.key_path, key), (self.certificate_path, certificate)):
            fresh = path.with_suffix(".new")
            with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(data)
            os.replace(fresh, path)
