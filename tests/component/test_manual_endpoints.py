"""Endpoints that a user writes for a service without a selector, on a real API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from netproxy.dns.records import names_of
from orchestrator.api import codec
from orchestrator.api.resources import CORE_EVENTS, ENDPOINTS, ENDPOINTSLICES, SERVICES
from orchestrator.api.views import network
from orchestrator.controllers import registry
from orchestrator.controllers.context import ControllersConfig
from orchestrator.machinery.client import Client
from orchestrator.machinery.clock import SystemClock
from tests.support.server import RunningServer
from tests.support.waiting import Objects, wait_objects

PUBLISHERS = tuple(one for one in registry.CONTROLLERS if one.name.startswith("endpoint") or one.name == "garbage")
MIRROR = "endpointslicemirroring-controller.k8s.io"


@pytest.fixture
async def client(api_server: RunningServer) -> AsyncIterator[Client]:
    """A client of a server with the controllers that publish endpoints."""
    async with api_server.client() as client, api_server.client("controllers") as theirs:
        running = asyncio.ensure_future(registry.run_all(theirs, SystemClock(), ControllersConfig(), PUBLISHERS))
        yield client
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


def a_service(name: str = "ext-head", **spec: Any) -> dict[str, Any]:
    ports = [{"name": "pg", "port": 5432}]
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": ports, **spec}}


def some_endpoints(name: str = "ext-head", *addresses: dict[str, Any]) -> dict[str, Any]:
    subset = {"addresses": list(addresses or ({"ip": "192.0.2.7", "hostname": "prim"},)), "ports": [{"port": 5432}]}
    return {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": name}, "subsets": [subset]}


def mirrored(found: Objects, service: str = "ext-head") -> list[dict[str, Any]]:
    ours = [
        one for one in found.values() if one["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] == MIRROR
    ]
    return [one for one in ours if one["metadata"]["labels"]["kubernetes.io/service-name"] == service]


async def until_mirrored(client: Client, *addresses: str) -> list[dict[str, Any]]:
    def holds(found: Objects) -> bool:
        shown = {a for one in mirrored(found) for endpoint in one.get("endpoints") or () for a in endpoint["addresses"]}
        return shown == set(addresses) and bool(mirrored(found)) == bool(addresses)

    return mirrored(await wait_objects(client, ENDPOINTSLICES, holds))


@pytest.mark.parametrize("service_first", [True, False], ids=["service-first", "endpoints-first"])
async def test_endpoints_reach_proxies_and_dns_whichever_came_first(client: Client, service_first: bool) -> None:
    made = [(SERVICES, a_service(clusterIP="None")), (ENDPOINTS, some_endpoints())]
    for resource, body in made if service_first else reversed(made):
        await client.create(resource, body, "default", into=bytes)
    slices = await until_mirrored(client, "192.0.2.7")
    service = await client.get(SERVICES, "ext-head", "default", into=network.Service)
    views = [codec.decode_into(codec.encode(one), network.EndpointSlice) for one in slices]
    assert "prim.ext-head.default.svc.cluster.local" in names_of(service, tuple(views), "cluster.local")


async def test_changes_are_followed_and_what_goes_is_taken_back(client: Client) -> None:
    await client.create(SERVICES, a_service(), "default", into=bytes)
    await client.create(ENDPOINTS, some_endpoints(), "default", into=bytes)
    await until_mirrored(client, "192.0.2.7")
    await client.update(ENDPOINTS, "ext-head", some_endpoints("ext-head", {"ip": "192.0.2.8"}), "default", into=bytes)
    await until_mirrored(client, "192.0.2.8")
    skip = {"metadata": {"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}}}
    await client.patch(ENDPOINTS, "ext-head", skip, "default", into=bytes)
    await until_mirrored(client)
    skip["metadata"]["labels"]["endpointslice.kubernetes.io/skip-mirror"] = None  # type: ignore[assignment]
    await client.patch(ENDPOINTS, "ext-head", skip, "default", into=bytes)
    await until_mirrored(client, "192.0.2.8")
    await client.delete(ENDPOINTS, "ext-head", "default")
    await until_mirrored(client)


async def test_a_selector_takes_the_mirrored_slices_place(client: Client) -> None:
    await client.create(SERVICES, a_service(), "default", into=bytes)
    await client.create(ENDPOINTS, some_endpoints(), "default", into=bytes)
    await until_mirrored(client, "192.0.2.7")
    await client.patch(SERVICES, "ext-head", {"spec": {"selector": {"app": "web"}}}, "default", into=bytes)
    await until_mirrored(client)


async def test_a_slice_that_somebody_changes_or_deletes_is_put_right(client: Client) -> None:
    await client.create(SERVICES, a_service(), "default", into=bytes)
    await client.create(ENDPOINTS, some_endpoints(), "default", into=bytes)
    [one] = await until_mirrored(client, "192.0.2.7")
    name = one["metadata"]["name"]
    await client.patch(ENDPOINTSLICES, name, {"endpoints": []}, "default", into=bytes)
    await until_mirrored(client, "192.0.2.7")
    await client.delete(ENDPOINTSLICES, name, "default")
    await wait_objects(client, ENDPOINTSLICES, lambda found: name not in found and len(mirrored(found)) == 1)


async def test_too_many_addresses_are_told_of(client: Client) -> None:
    await client.create(SERVICES, a_service(), "default", into=bytes)
    addresses = [{"ip": f"192.0.{number // 250}.{number % 250 + 1}"} for number in range(1003)]
    await client.create(ENDPOINTS, some_endpoints("ext-head", *addresses), "default", into=bytes)
    told = await wait_objects(
        client, CORE_EVENTS, lambda found: any(e["reason"] == "TooManyAddressesToMirror" for e in found.values())
    )
    (event,) = (one for one in told.values() if one["reason"] == "TooManyAddressesToMirror")
    assert event["involvedObject"]["kind"] == "Endpoints"
    assert event["message"] == (
        "A max of 1000 addresses can be mirrored to EndpointSlices per Endpoints subset. 3 addresses were skipped"
    )
