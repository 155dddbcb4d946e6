"""Service addresses and node ports with several API servers over one store."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from orchestrator.api.codec import encode
from orchestrator.api.resources import IPADDRESSES, SERVICES
from orchestrator.machinery.client import Client
from orchestrator.machinery.errors import Invalid
from orchestrator.server.app import ServerSettings
from orchestrator.store.memory import MemoryStore
from tests.support.server import RunningServer, a_running_server

_SERVICES = 24


def a_service(name: str, **spec: Any) -> dict[str, Any]:
    ports = [{"port": 80, "protocol": "TCP"}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"type": "NodePort", "ports": ports, **spec},
    }


async def test_two_servers_never_give_one_address_or_port_twice() -> None:
    store, narrow = MemoryStore(), ServerSettings(service_cidr="10.96.0.0/26", node_ports=(30000, 30000 + _SERVICES))
    async with (
        a_running_server(store=store, settings=narrow) as first,
        a_running_server(store=store, settings=narrow) as second,
        first.client() as one,
        second.client() as two,
    ):
        made = await asyncio.gather(
            *(
                client.create(SERVICES, a_service(f"s{number}"), "default", into=dict)
                for number, client in enumerate([one, two] * (_SERVICES // 2))
            )
        )
        addresses = [service["spec"]["clusterIP"] for service in made]
        ports = [service["spec"]["ports"][0]["nodePort"] for service in made]
        assert len(set(addresses)) == len(set(ports)) == _SERVICES
        assert await _owners(two) == {address: f"s{number}" for number, address in enumerate(addresses)}
        await asyncio.gather(
            *(
                client.delete(SERVICES, f"s{number}", "default")
                for number, client in enumerate([two, one] * (_SERVICES // 2))
            )
        )
        assert await _owners(one) == {}
        # All are free again, wherever they were given back.
        again = await two.create(SERVICES, a_service("again", clusterIP=addresses[0]), "default", into=dict)
        assert again["spec"]["clusterIP"] == addresses[0]


async def _owners(client: Client) -> dict[str, str]:
    listed = (await client.list(IPADDRESSES, into=dict)).items
    return {one["metadata"]["name"]: one["spec"]["parentRef"]["name"] for one in listed}


async def test_a_trial_takes_nothing(api_server: RunningServer) -> None:
    async with api_server.client() as client:
        path = f"{SERVICES.path('default')}?dryRun=All"
        await client.request("POST", path, body=encode(a_service("s", clusterIP="10.96.0.99")))
        assert await _owners(client) == {}
        await client.create(SERVICES, a_service("t", clusterIP="10.96.0.99"), "default", into=dict)


async def test_a_reserved_address_is_nobody_elses(api_server: RunningServer) -> None:
    """Kubernetes' IPAddress API: whoever writes such an object has the address."""
    parent = {"group": "gateway.example", "resource": "gateways", "name": "g"}
    async with api_server.client() as client:
        body = {"apiVersion": IPADDRESSES.api_version, "kind": "IPAddress", "metadata": {"name": "10.96.0.98"}}
        await client.create(IPADDRESSES, {**body, "spec": {"parentRef": parent}}, into=dict)
        with pytest.raises(Invalid, match="provided IP is already allocated"):
            await client.create(SERVICES, a_service("s", clusterIP="10.96.0.98"), "default", into=dict)
