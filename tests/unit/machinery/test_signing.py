"""Asking for a certificate, and waiting for it."""

from __future__ import annotations

import base64
from typing import Any, cast

import pytest

from orchestrator.api.views.certificates import SigningRequest, SigningRequestStatus
from orchestrator.api.views.meta import Condition, ObjectMeta
from orchestrator.machinery.certificates import Subject, request_facts
from orchestrator.machinery.client import Client
from orchestrator.machinery.errors import Unreachable
from orchestrator.machinery.signing import NODE_CLIENT, SigningRefused, certified

pytestmark = pytest.mark.looptime

SUBJECT = Subject(common_name="system:node:n1", organizations=("system:nodes",))


class Server:
    """A client's view of a server that takes the request and then gives these answers, one at a time."""

    def __init__(self, *answers: SigningRequestStatus | Unreachable) -> None:
        self.answers = list(answers)
        self.asked: dict[str, Any] = {}

    async def create(self, _: object, body: dict[str, Any], **__: object) -> SigningRequest:
        self.asked = body
        return SigningRequest(metadata=ObjectMeta(name="csr-1"))

    async def get(self, _: object, name: str, **__: object) -> SigningRequest:
        assert name == "csr-1"
        answer = self.answers.pop(0)
        if isinstance(answer, Unreachable):
            raise answer
        return SigningRequest(metadata=ObjectMeta(name=name), status=answer)


def signed(pem: bytes) -> SigningRequestStatus:
    return SigningRequestStatus(certificate=base64.b64encode(pem).decode())


async def test_the_certificate_is_waited_for_while_the_server_is_away() -> None:
    server = Server(SigningRequestStatus(), Unreachable("killed"), Unreachable("not back"), signed(b"a certificate"))
    issued = await certified(cast("Client", server), SUBJECT, NODE_CLIENT)
    assert issued.cert_pem == b"a certificate"
    assert request_facts(base64.b64decode(server.asked["spec"]["request"])).subject == SUBJECT


async def test_a_refusal_ends_the_waiting_with_its_reason() -> None:
    denied = SigningRequestStatus(conditions=(Condition(type="Denied", status="True", message="not today"),))
    with pytest.raises(SigningRefused, match="not today"):
        await certified(cast("Client", Server(denied)), SUBJECT, NODE_CLIENT)
