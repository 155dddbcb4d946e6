"""Waiting for what the API server says, by watching it: no polling, no sleeping."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from orchestrator.api import codec
from orchestrator.api.resources import Resource
from orchestrator.machinery.client import Client

Objects = dict[str, dict[str, Any]]


async def wait_objects(
    client: Client,
    resource: Resource,
    holds: Callable[[Objects], bool],
    *,
    namespace: str = "default",
    timeout_s: float = 30.0,
) -> Objects:
    """The namespace's objects by name, as soon as `holds` says so; `TimeoutError` if it never does."""
    async with asyncio.timeout(timeout_s):
        listing = await client.list(resource, namespace, into=dict)
        found: Objects = {item["metadata"]["name"]: item for item in listing.items}
        if holds(found):
            return found
        async for event in client.watch(resource, namespace, revision=listing.revision):
            if event.type == "BOOKMARK":
                continue
            item = codec.decode(event.object)
            name = item["metadata"]["name"]
            if event.type == "DELETED":
                found.pop(name, None)
            else:
                found[name] = item
            if holds(found):
                return found
    raise AssertionError("the watch ended")


async def wait_object(
    client: Client,
    resource: Resource,
    name: str,
    holds: Callable[[dict[str, Any]], bool],
    *,
    namespace: str = "default",
    timeout_s: float = 30.0,
) -> dict[str, Any]:
    """One object, as soon as it exists and `holds` says so of it."""
    found = await wait_objects(
        client, resource, lambda all_: name in all_ and holds(all_[name]), namespace=namespace, timeout_s=timeout_s
    )
    return found[name]
