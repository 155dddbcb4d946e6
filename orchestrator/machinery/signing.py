"""Having a key certified by the cluster: a CertificateSigningRequest, and waiting for its answer."""

from __future__ import annotations

import asyncio
import base64
from contextlib import suppress
from dataclasses import dataclass

from orchestrator.api.resources import CERTIFICATESIGNINGREQUESTS
from orchestrator.api.views.certificates import SigningRequest
from orchestrator.machinery.certificates import Issued, Subject, new_key, new_request
from orchestrator.machinery.client import Client
from orchestrator.machinery.errors import Unreachable
from orchestrator.machinery.log import get_logger

logger = get_logger(__name__)

# The answer takes the controllers a moment; who joins by token may read its request, but not watch it.
_LOOK_EVERY_S = 0.1


class SigningRefused(Exception):
    """The request was denied, or cannot be signed; the text says why. Asking again at once is pointless."""


@dataclass(frozen=True, slots=True)
class Purpose:
    """Who signs a certificate, what it may be used for, and how its requests' names begin."""

    signer: str
    usage: str
    prefix: str


#: By this a node agent is its node. (`certificates.k8s.io` signers, Kubernetes' own names)
NODE_CLIENT = Purpose("kubernetes.io/kube-apiserver-client-kubelet", "client auth", "node-csr-")
#: By this clients know the node agent's own API.
NODE_SERVING = Purpose("kubernetes.io/kubelet-serving", "server auth", "csr-")


async def certified(client: Client, subject: Subject, purpose: Purpose) -> Issued:
    """A fresh key and its certificate.

    Waits for as long as nobody answers, also while the server is away once it has the request: put a time limit around
    it. Raises `SigningRefused`, `ApiError`, and `Unreachable` if the request cannot be made.
    """
    key = new_key()
    body = {
        "apiVersion": CERTIFICATESIGNINGREQUESTS.api_version,
        "kind": CERTIFICATESIGNINGREQUESTS.kind,
        "metadata": {"generateName": purpose.prefix},
        "spec": {
            "request": base64.b64encode(new_request(subject, key)).decode(),
            "signerName": purpose.signer,
            "usages": ["digital signature", purpose.usage],
        },
    }
    answer = await client.create(CERTIFICATESIGNINGREQUESTS, body, into=SigningRequest)
    name = answer.metadata.name
    logger.info("certificate.asked", request=name, signer=purpose.signer)
    while not answer.status.certificate:
        for condition in answer.status.conditions:
            if condition.type in ("Denied", "Failed"):
                raise SigningRefused(condition.message or condition.reason)
        await asyncio.sleep(_LOOK_EVERY_S)
        with suppress(Unreachable):
            answer = await client.get(CERTIFICATESIGNINGREQUESTS, name, into=SigningRequest)
    logger.info("certificate.issued", request=name)
    return Issued(base64.b64decode(answer.status.certificate), key)
