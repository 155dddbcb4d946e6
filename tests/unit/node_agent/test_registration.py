"""The node's presence in the API, and its serving certificate, against an API in memory."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import msgspec
import pytest

from node_agent.kubelet.certificate import ServingCertificate
from node_agent.node.describe import Health
from node_agent.node.registration import Identity, Registration
from node_agent.runtime.fake import FakeRuntime
from orchestrator.api.resources import Resource
from orchestrator.api.views.agent import Node
from orchestrator.api.views.certificates import SigningRequest
from orchestrator.api.views.meta import LeaseView
from orchestrator.machinery.blocking import BlockingCalls
from orchestrator.machinery.certificates import Authority, Issued, Subject, new_authority, new_key, subject_of
from orchestrator.machinery.errors import AlreadyExists, NotFound, Unreachable
from tests.support.runtime import CallsAtOnce
from tests.support.time import LoopClock, ManualClock

IDENTITY = Identity(name="n1", address="10.0.0.1", port=10250, pods_max=110, cpu_reserved="0", memory_reserved="0")


class Api:
    """Objects by kind and name; every write is counted."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.writes: list[tuple[str, str]] = []
        self.is_unreachable = False

    def _check(self) -> None:
        if self.is_unreachable:
            raise Unreachable("no answer")

    async def get(self, resource: Resource, name: str, namespace: str = "", *, into: Any) -> Any:
        self._check()
        if (resource.kind, name) not in self.objects:
            raise NotFound(name)
        return msgspec.convert(self.objects[(resource.kind, name)], into)

    async def create(self, resource: Resource, body: Any, namespace: str = "", *, into: Any, **_: Any) -> Any:
        self._check()
        name = body["metadata"].get("name") or body["metadata"]["generateName"] + "x"
        if (resource.kind, name) in self.objects:
            raise AlreadyExists(name)
        self.objects[(resource.kind, name)] = {**body, "metadata": {**body["metadata"], "name": name}}
        self.writes.append(("create", resource.kind))
        return None if into is bytes else msgspec.convert(self.objects[(resource.kind, name)], into)

    async def patch(self, resource: Resource, name: str, body: Any, namespace: str = "", *, into: Any, **_: Any) -> Any:
        self._check()
        if (resource.kind, name) not in self.objects:
            raise NotFound(name)
        found = self.objects[(resource.kind, name)]
        for key, value in body.items():
            found[key] = {**found.get(key, {}), **value}
        self.writes.append(("patch", resource.kind))
        return None if into is bytes else msgspec.convert(found, into)


async def a_registration(api: Any, health: dict[str, Any]) -> tuple[Registration, BlockingCalls]:
    clock = LoopClock()
    runtime = FakeRuntime(clock)
    files = CallsAtOnce()
    made = Registration(
        api,
        runtime,
        clock,
        files,
        identity=IDENTITY,
        info=await runtime.info(),
        disk=Path("/"),
        health=lambda: Health(**health),
    )
    return made, files


def ready(api: Api) -> str:
    conditions = api.objects[("Node", "n1")]["status"]["conditions"]
    return str(next(one["status"] for one in conditions if one["type"] == "Ready"))


@pytest.mark.looptime
async def test_a_node_registers_tells_of_changes_and_comes_back_when_deleted():
    api, health = Api(), {"network": "not yet"}
    registration, files = await a_registration(api, health)
    running = asyncio.ensure_future(registration.run_status())
    await asyncio.sleep(5)
    assert ready(api) == "False"
    node = msgspec.convert(api.objects[("Node", "n1")], Node)
    assert (node.internal_ip, node.metadata.labels["kubernetes.io/hostname"]) == ("10.0.0.1", "n1")

    health.clear()
    registration.changed()
    await asyncio.sleep(1)
    assert ready(api) == "True"
    told = len(api.writes)
    await asyncio.sleep(100)
    assert len(api.writes) == told  # nothing changed, so nothing is written
    await asyncio.sleep(300)
    assert len(api.writes) == told + 1  # but a heartbeat every five minutes

    api.is_unreachable = True
    health["runtime"] = "gone"
    registration.changed()
    await asyncio.sleep(30)
    api.is_unreachable = False
    await asyncio.sleep(5)
    assert ready(api) == "False"

    del api.objects[("Node", "n1")]
    registration.node_changed(node, None)
    await asyncio.sleep(5)
    assert ready(api) == "False"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    files.close()


@pytest.mark.looptime
async def test_what_others_said_of_the_node_while_it_was_silent_is_put_right_at_once():
    api = Api()
    registration, files = await a_registration(api, {})
    running = asyncio.ensure_future(registration.run_status())
    await asyncio.sleep(5)
    stored = api.objects[("Node", "n1")]
    told = len(api.writes)
    registration.node_changed(None, msgspec.convert(stored, Node))
    await asyncio.sleep(1)
    assert len(api.writes) == told

    for condition in stored["status"]["conditions"]:
        condition.update(status="Unknown", reason="NodeStatusUnknown")
    other = {**stored, "metadata": {**stored["metadata"], "name": "n2"}}
    registration.node_changed(None, msgspec.convert(other, Node))
    registration.node_changed(msgspec.convert(other, Node), None)
    await asyncio.sleep(1)
    assert len(api.writes) == told  # another node's silence is not ours to break

    registration.node_changed(None, msgspec.convert(stored, Node))
    await asyncio.sleep(1)
    assert ready(api) == "True"
    assert len(api.writes) == told + 1
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    files.close()


@pytest.mark.looptime
async def test_the_lease_is_renewed_in_its_rhythm_and_made_again_when_it_is_gone():
    api = Api()
    registration, files = await a_registration(api, {})
    running = asyncio.ensure_future(registration.run_lease(every_s=10.0, duration_s=40))
    await asyncio.sleep(35)
    assert api.writes == [("create", "Lease"), *[("patch", "Lease")] * 3]
    lease = msgspec.convert(api.objects[("Lease", "n1")], LeaseView)
    assert (lease.spec.holder_identity, lease.spec.lease_duration_seconds) == ("n1", 40)
    del api.objects[("Lease", "n1")]
    await asyncio.sleep(10)
    assert ("Lease", "n1") in api.objects
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    files.close()


@pytest.mark.looptime
async def test_a_serving_certificate_is_asked_for_once_and_then_kept(tmp_path):
    clock = ManualClock()
    ca = Authority(new_authority("test", now=clock.now()))
    api: Any = Api()

    def a_certificate(address: str = "10.0.0.1") -> ServingCertificate:
        return ServingCertificate(api, clock, directory=tmp_path, node_name="n1", address=address, ca=ca.cert_pem)

    wanted = a_certificate()
    asking = asyncio.ensure_future(wanted.ensure())
    await asyncio.sleep(3)
    request = api.objects[("CertificateSigningRequest", "csr-x")]
    assert request["spec"]["signerName"] == "kubernetes.io/kubelet-serving"
    pem = base64.b64decode(request["spec"]["request"])
    issued = ca.sign(pem, now=clock.now(), server=True)
    request["status"] = {"certificate": base64.b64encode(issued).decode()}
    await asking
    assert msgspec.convert(request, SigningRequest).status.certificate
    kept = wanted.certificate_path.read_bytes()
    assert subject_of(kept).ip_addresses == ("10.0.0.1",)
    assert wanted.key_path.stat().st_mode & 0o777 == 0o600

    await a_certificate().ensure()
    assert wanted.certificate_path.read_bytes() == kept
    assert not a_certificate("10.0.0.9").is_good()  # another address
    own_key = wanted.key_path.read_bytes()
    wanted.key_path.write_bytes(new_key())
    assert not a_certificate().is_good()  # a renewal was interrupted between the two files
    wanted.key_path.write_bytes(own_key)
    clock.time_s += 340 * 86_400
    assert not a_certificate().is_good()  # soon to expire


def test_a_certificate_of_another_cluster_is_no_good(tmp_path):
    clock = ManualClock()
    ca, other = (Authority(new_authority(name, now=clock.now())) for name in ("a", "b"))
    subject = Subject(
        common_name="system:node:n1", organizations=("system:nodes",), dns_names=("n1",), ip_addresses=("10.0.0.1",)
    )
    foreign: Issued = other.issue(subject, now=clock.now(), server=True)
    api: Any = Api()
    wanted = ServingCertificate(api, clock, directory=tmp_path, node_name="n1", address="10.0.0.1", ca=ca.cert_pem)
    wanted.certificate_path.write_bytes(foreign.cert_pem)
    wanted.key_path.write_bytes(foreign.key_pem)
    assert not wanted.is_good()
