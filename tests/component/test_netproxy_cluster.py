"""The proxy against a real API server: what is written there is what clients on this node meet."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterable
from typing import Any

import dns.asyncquery
import dns.message
import dns.rcode
import pytest

from netproxy import state
from netproxy.config import Config
from netproxy.rules import ANY_ADDRESS, Backend, Frontend
from netproxy.serve import Proxy
from orchestrator.api.resources import CORE_EVENTS, ENDPOINTSLICES, NODES, SERVICES
from orchestrator.machinery.blocking import BlockingCalls
from orchestrator.machinery.clock import SystemClock
from orchestrator.server.app import ServerSettings
from tests.support.relay import a_free_port, ask, until
from tests.support.server import RunningServer, a_running_server, in_a_task

pytestmark = pytest.mark.timeout(60)

# Loopback, so that no route is needed; another network in each test process, so that they run side by side. The relay's
# addresses are in the lower half.
_NETWORK = f"127.{128 + (os.getpid() >> 8 & 0x7F)}.{os.getpid() & 0xFF}"
CIDR, DNS_ADDRESS = f"{_NETWORK}.0/24", f"{_NETWORK}.10"
NODE_PORT = 30_000 + os.getpid() % 2_768  # of every address at once, so another in each test process as well


class AlreadyLocal:
    """Stands in for the routes: loopback addresses are local without any."""

    def __init__(self) -> None:
        self.wanted: set[str] = set()

    async def follow(self, wanted: Iterable[str], *, again: bool = False) -> None:
        self.wanted = set(wanted)


class SlowToBecomeLocal(AlreadyLocal):
    """Addresses that take their time: all but the first call wait for `go`."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.go = asyncio.Event()

    async def follow(self, wanted: Iterable[str], *, again: bool = False) -> None:
        self.calls += 1
        if self.calls > 1:
            await self.go.wait()
        await super().follow(wanted, again=again)


class Setup:
    def __init__(self, server: RunningServer, proxy: Proxy, local: AlreadyLocal, client) -> None:
        self.server, self.proxy, self.local, self.client = server, proxy, local, client

    async def create_service(self, name: str = "web", **spec) -> Frontend:
        """Create a service of one port; returns where it can be reached inside the cluster."""
        body = {"metadata": {"name": name}, "spec": {"ports": [{"port": 80, "targetPort": 8080}], **spec}}
        made = await self.client.create(SERVICES, body, "default", into=dict)
        return Frontend("TCP", made["spec"]["clusterIP"], 80)

    async def set_endpoints(self, *ports: int, service: str = "web", ready: bool = True) -> None:
        """One slice per back end: all live on this machine, so each has a port of its own."""
        for old in (await self.client.list(ENDPOINTSLICES, "default", into=dict)).items:
            await self.client.delete(ENDPOINTSLICES, old["metadata"]["name"], "default")
        for port in ports:
            body = {
                "metadata": {"name": f"{service}-{port}", "labels": {"kubernetes.io/service-name": service}},
                "addressType": "IPv4",
                "endpoints": [{"addresses": ["10.244.1.1"], "conditions": {"ready": ready}}],
                "ports": [{"name": "", "port": port, "protocol": "TCP"}],
            }
            await self.client.create(ENDPOINTSLICES, body, "default", into=dict)

    def backends(self, frontend: Frontend) -> tuple[Backend, ...] | None:
        rule = self.proxy.pool.rules.get(frontend)
        return None if rule is None else rule.backends

    async def events(self) -> tuple[dict[str, Any], ...]:
        return (await self.client.list(CORE_EVENTS, "default", into=dict)).items

    async def look_up(self, name: str) -> str:
        reply = await dns.asyncquery.udp(
            dns.message.make_query(name, "A"), DNS_ADDRESS, port=self.proxy.dns.port, timeout=5
        )
        return ",".join(str(item) for rrset in reply.answer for item in rrset) or reply.rcode().name


@contextlib.asynccontextmanager
async def a_setup(directory, local: AlreadyLocal | None = None) -> AsyncIterator[Setup]:
    async with a_running_server(settings=ServerSettings(service_cidr=CIDR)) as server, server.client() as admin:
        node = {"metadata": {"name": "n1", "labels": {"topology.kubernetes.io/zone": "east"}}}
        await admin.create(NODES, node, into=dict)
        config = Config(
            node_name="n1",
            node_ip="127.0.0.1",
            service_cidr=CIDR,
            dns_address=DNS_ADDRESS,
            state_dir=str(directory),
            resolv_conf="/dev/null",
            workers=1,
            health_port=0,
        )
        local = local or AlreadyLocal()
        proxy = Proxy(config, SystemClock(), local, dns_port=a_free_port())
        blocking = BlockingCalls("state", threads=1)
        async with server.client("proxy") as client:
            task = asyncio.create_task(proxy.run(client, blocking))
            try:
                await proxy.dns.listening.wait()
                yield Setup(server, proxy, local, admin)
            finally:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
                blocking.close()


@pytest.fixture
async def setup(tmp_path):
    async with in_a_task(a_setup(tmp_path)) as running:
        yield running


async def refused(frontend: Frontend) -> None:
    """Return once nobody listens there; a connection that came just before may still be accepted, or reset."""
    async with asyncio.timeout(10):
        while True:
            try:
                await ask(frontend)
            except ConnectionRefusedError:
                return
            except ConnectionResetError:
                pass
            await asyncio.sleep(0.02)


async def test_a_service_is_reached_by_address_and_name_while_it_exists(setup):
    frontend = await setup.create_service()
    with pytest.raises(ConnectionRefusedError):
        await ask(frontend)
    rules = setup.proxy.pool
    await until(lambda: rules.serial > 0)
    assert await setup.look_up("web.default.svc.cluster.local") == frontend.address
    await setup.client.delete(SERVICES, "web", "default")
    await until(lambda: setup.backends(frontend) is None)
    assert await setup.look_up("web.default.svc.cluster.local") == "NXDOMAIN"


async def test_back_ends_follow_the_endpoint_slices(setup):
    frontend = await setup.create_service()
    await setup.set_endpoints(8081, 8082)
    await until(lambda: setup.backends(frontend) == (Backend("10.244.1.1", 8081), Backend("10.244.1.1", 8082)))
    await setup.set_endpoints(8081, ready=False)
    await until(lambda: setup.backends(frontend) == ())
    await refused(frontend)


async def test_what_was_known_is_kept_on_disk(setup, tmp_path):
    frontend = await setup.create_service()
    await setup.set_endpoints(8081)
    await until(lambda: bool(setup.backends(frontend)))

    def saved() -> bool:
        known = state.load(tmp_path)
        return known is not None and any(piece.endpoints for piece in known.slices) and known.node is not None

    await until(saved)


async def test_it_is_not_healthy_before_the_first_rules_hold(tmp_path):
    local = SlowToBecomeLocal()
    async with a_setup(tmp_path, local) as setup:
        await until(lambda: local.calls > 1 and setup.proxy.pool.has_applied(0))
        assert setup.proxy._rules_problem() is not None
        local.go.set()
        await until(lambda: setup.proxy._rules_problem() is None)


async def test_external_addresses_become_local(setup):
    await setup.create_service(externalIPs=["192.0.2.77"])
    await until(lambda: setup.local.wanted == {CIDR, "192.0.2.77"})


async def test_a_taken_node_port_becomes_an_event_on_its_service(setup):
    squatter = await asyncio.start_server(lambda reader, writer: writer.close(), ANY_ADDRESS, NODE_PORT)
    async with squatter:
        await setup.create_service(type="NodePort", ports=[{"port": 80, "nodePort": NODE_PORT}])
        await setup.set_endpoints(8081)
        wanted = Frontend("TCP", ANY_ADDRESS, NODE_PORT)
        await until(lambda: setup.proxy.pool.failures() == {wanted: "Address already in use"})
        async with asyncio.timeout(20):
            while not (events := await setup.events()):  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        assert [(event["reason"], event["involvedObject"]["name"]) for event in events] == [("PortUnavailable", "web")]
