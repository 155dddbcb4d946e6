"""Which resources the server has, as its discovery tells: whoever works on every kind asks here, and has no list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from orchestrator.api.codec import decode
from orchestrator.api.resources import Resource


class Asks(Protocol):
    """The part of a client that this needs."""

    async def request(self, method: str, path: str) -> bytes: ...


# Events are what happened, not what is: they are seen in two groups, and nobody owns them or waits for them.
_EVENTS_GROUP = "events.k8s.io"


async def discover(client: Asks, *verbs: str) -> tuple[Resource, ...]:
    """Every resource with these verbs, once: of a group's versions the preferred one, and the core group's events.

    Raises what the client raises: then nothing is known.
    """
    found = list(resources_in("", "v1", decode(await client.request("GET", "/api/v1")), verbs))
    groups = decode(await client.request("GET", "/apis"))
    for group in groups.get("groups") or ():
        # One version of each group is enough: they show the same objects.
        name, version = group["name"], group["preferredVersion"]["version"]
        if name != _EVENTS_GROUP:
            listing = decode(await client.request("GET", f"/apis/{name}/{version}"))
            found += resources_in(name, version, listing, verbs)
    return tuple(found)


def resources_in(
    group: str, version: str, listing: Mapping[str, object], verbs: tuple[str, ...]
) -> tuple[Resource, ...]:
    """The resources of an `APIResourceList` that have all these verbs; subresources are none."""
    found = []
    items = listing.get("resources")
    for item in items if isinstance(items, list) else ():
        if "/" not in item["name"] and set(verbs) <= set(item.get("verbs") or ()):
            found.append(Resource(group, version, item["name"], item["kind"], bool(item.get("namespaced"))))
    return tuple(found)
