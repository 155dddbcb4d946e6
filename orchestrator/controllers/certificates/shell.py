"""Carries out the decisions about certificate signing requests."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any

from orchestrator.api import node_names
from orchestrator.api.resources import CERTIFICATESIGNINGREQUESTS, NODES
from orchestrator.api.views.certificates import SigningRequest
from orchestrator.api.views.meta import Condition, ObjectMeta, View
from orchestrator.controllers.certificates.decide import (
    CLIENT_SIGNER,
    NODE_PREFIX,
    SERVING_SIGNER,
    Approve,
    Asked,
    Cluster,
    Delete,
    Deny,
    Fail,
    Leave,
    Sign,
    decide,
)
from orchestrator.controllers.conditions import condition_of
from orchestrator.controllers.context import Context
from orchestrator.controllers.own_writes import OwnWrites
from orchestrator.machinery.certificates import Authority, BadCertificate, request_facts
from orchestrator.machinery.clock import timestamp
from orchestrator.machinery.errors import NotFound
from orchestrator.machinery.log import get_logger
from orchestrator.machinery.queue import WorkQueue
from orchestrator.machinery.worker import work

logger = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateSettings:
    """What this controller needs besides the context; in `ControllersConfig.settings` under the controller's name."""

    authority: Authority
    """Signs."""
    service_cidr: str
    """No node's address lies in here."""
    server_addresses: frozenset[str] = frozenset()
    """The API server's addresses."""
    server_names: frozenset[str] = frozenset()
    """The API server's DNS names."""
    server_node: str = ""
    """The one node that may share both: it runs on the API server's machine."""


class _Address(View, frozen=True):
    type: str = ""
    address: str = ""


class _Status(View, frozen=True):
    addresses: tuple[_Address, ...] | None = ()
    conditions: tuple[Condition, ...] | None = ()


class _NodeFacts(View, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    status: _Status = _Status()


class CertificatesController:
    """Approves and signs what nodes need, and clears away what is done with."""

    name = "certificates"

    def __init__(self, context: Context) -> None:
        settings = context.config.settings[self.name]
        assert isinstance(settings, CertificateSettings)
        self._settings = settings
        self._client, self._clock = context.client, context.clock
        self._informers = context.informers
        self._requests = context.informers.of(CERTIFICATESIGNINGREQUESTS, SigningRequest)
        self._queue = WorkQueue()
        self._own = OwnWrites(self._queue)
        self._requests.subscribe(self._request_changed)

    async def run(self) -> None:
        """Work for ever."""
        await self._requests.wait_synced()
        await work(self.name, self._queue, self.sync, clock=self._clock)

    def _request_changed(self, old: SigningRequest | None, new: SigningRequest | None) -> None:
        changed = new or old
        assert changed is not None
        self._queue.add(changed.metadata.name)

    async def sync(self, key: str) -> None:
        """Bring one request a step further."""
        request = self._requests.get(key)
        if request is None:
            self._own.forget(key)
            return
        self._own.require_seen(key)
        asked = _asked(request)
        decision = decide(request, asked, await self._cluster(request, asked), now=self._clock.now())
        match decision:
            case Leave(_, again_s):
                self._queue.add_after(key, again_s)
            case Delete():
                await self._client.delete(CERTIFICATESIGNINGREQUESTS, key, uid=request.metadata.uid)
            case Approve(message):
                await self._set_condition(request, "Approved", "AutoApproved", message, subresource="approval")
            case Deny(message):
                await self._set_condition(request, "Denied", "AutoDenied", message, subresource="approval")
            case Fail(message):
                await self._set_condition(request, "Failed", "SignerValidationFailure", message, subresource="status")
            case Sign(client, server, key_encipherment, lifetime_s):
                pem = self._settings.authority.sign(
                    base64.b64decode(request.spec.request),
                    now=self._clock.now(),
                    client=client,
                    server=server,
                    key_encipherment=key_encipherment,
                    lifetime_s=lifetime_s,
                )
                logger.info("certificates.issued", request=key, user=request.spec.username)
                await self._write_status(request, {"certificate": base64.b64encode(pem).decode()}, "status")

    async def _set_condition(
        self, request: SigningRequest, type_: str, reason: str, message: str, *, subresource: str
    ) -> None:
        now = timestamp(self._clock.now())
        logger.info(f"certificates.{type_.lower()}", request=request.metadata.name, why=message)
        condition = {
            "type": type_,
            "status": "True",
            "reason": reason,
            "message": message,
            "lastUpdateTime": now,
            "lastTransitionTime": now,
        }
        await self._write_status(request, {"conditions": [condition]}, subresource)

    async def _write_status(self, request: SigningRequest, changes: dict[str, Any], subresource: str) -> None:
        key = request.metadata.name
        try:
            present = await self._client.get(CERTIFICATESIGNINGREQUESTS, key, into=dict)
            status = present.get("status") or {}
            conditions = [*(status.get("conditions") or []), *changes.pop("conditions", [])]
            present["status"] = {**status, "conditions": conditions, **changes}
            # The revision that was decided on: if the request changed meanwhile, decide again.
            present["metadata"]["resourceVersion"] = request.metadata.resource_version
            written = await self._client.update(
                CERTIFICATESIGNINGREQUESTS, key, present, into=SigningRequest, subresource=subresource
            )
        except NotFound:
            return  # withdrawn meanwhile
        self._own.wrote(key, self._requests, written.metadata)

    async def _cluster(self, request: SigningRequest, asked: Asked | None) -> Cluster:
        """What the decision needs to know; once per node start, asking is cheaper than holding every node for ever."""
        settings = self._settings
        addresses: dict[str, tuple[str, ...]] = {}
        is_ready = False
        if request.spec.signer_name == SERVING_SIGNER and not request.status.certificate:
            for node in (await self._client.list(NODES, into=_NodeFacts)).items:
                addresses[node.metadata.name] = tuple(held.address for held in node.status.addresses or ())
        elif request.spec.signer_name == CLIENT_SIGNER and asked is not None and not request.status.conditions:
            is_ready = await self._is_ready(asked.common_name.removeprefix(NODE_PREFIX))
        return Cluster(
            service_cidr=settings.service_cidr,
            server_addresses=settings.server_addresses,
            server_names=settings.server_names,
            server_node=settings.server_node,
            addresses=addresses,
            node_is_ready=is_ready,
        )

    async def _is_ready(self, name: str) -> bool:
        if node_names.why_not(name) is not None:
            return False
        try:
            node = await self._client.get(NODES, name, into=_NodeFacts)
        except NotFound:
            return False
        ready = condition_of(node.status.conditions or (), "Ready")
        return ready is not None and ready.status == "True"


def _asked(request: SigningRequest) -> Asked | None:
    try:
        facts = request_facts(base64.b64decode(request.spec.request))
    except (BadCertificate, binascii.Error):
        return None
    return Asked(
        common_name=facts.subject.common_name,
        organizations=facts.subject.organizations,
        dns_names=facts.subject.dns_names,
        ip_addresses=facts.subject.ip_addresses,
        other_names=facts.other_names,
    )
