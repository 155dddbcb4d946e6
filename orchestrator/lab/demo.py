"""The demo: creating what of it is missing, and seeing it answer."""

from __future__ import annotations

import http.client
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from orchestrator.api import resources
from orchestrator.api.objects import Object
from orchestrator.api.resources import DEPLOYMENTS, PODS, STATEFULSETS, Resource
from orchestrator.lab.layout import LabLayout
from orchestrator.machinery.client import Client
from orchestrator.machinery.errors import AlreadyExists, NotFound

MANIFESTS = Path(__file__).parents[2] / "config" / "demo"
NAMESPACE = "default"
NODE_PORT = 30080
CLIENT_POD = "client"
_BY_KIND = {(value.api_version, value.kind): value for value in vars(resources).values() if isinstance(value, Resource)}
_ANSWER_TIMEOUT_S = 5.0
_ANSWER_BYTES_MAX = 64 << 10


def manifests(directory: Path = MANIFESTS) -> Iterator[tuple[Resource, Object]]:
    """The demo's objects, in the order of their files."""
    for path in sorted(directory.glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            yield _BY_KIND[document["apiVersion"], document["kind"]], document


async def create_missing(client: Client) -> int:
    """Create the demo's objects that are not there; those that are stay as they are. Returns how many were made."""
    made = 0
    for resource, document in manifests():
        try:
            await client.get(resource, document["metadata"]["name"], NAMESPACE, into=bytes)
        except NotFound:
            # Asked for first, since creating a Service twice is refused for its port before it is for its name.
            with suppress(AlreadyExists):
                await client.create(resource, document, NAMESPACE, into=bytes)
                made += 1
    return made


async def unready(client: Client) -> tuple[str, ...]:
    """What of the demo is not ready yet, by name; nothing when all is."""
    waiting = []
    for resource, name in ((DEPLOYMENTS, "nginx"), (STATEFULSETS, "web"), (PODS, CLIENT_POD)):
        try:
            found: Object = await client.get(resource, name, NAMESPACE, into=dict)
        except NotFound:
            waiting.append(f"{resource.plural}/{name}")
            continue
        if not is_ready(found):
            waiting.append(f"{resource.plural}/{name}")
    return tuple(waiting)


def is_ready(found: Object) -> bool:
    """Whether a pod says it is Ready, or a set of pods has as many ready ones as it wants, of its newest form."""
    status: dict[str, Any] = found.get("status") or {}
    if found["kind"] == "Pod":
        return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in status.get("conditions") or ())
    seen = status.get("observedGeneration", 0) >= found["metadata"].get("generation", 0)
    wanted = found["spec"].get("replicas", 1)
    return bool(seen and status.get("readyReplicas", 0) == wanted and status.get("updatedReplicas", wanted) == wanted)


async def what_the_client_hears(client: Client) -> tuple[str, ...]:
    """The last round of the client pod's questions and answers."""
    path = PODS.path(NAMESPACE, CLIENT_POD, "log")
    text = await client.request("GET", path, query={"tailLines": "40"})
    lines = text.decode(errors="replace").splitlines()
    newest: dict[str, str] = {}
    for line in lines:
        if line.startswith("http"):
            newest[line.split(" ")[0]] = line
    return tuple(newest.values())


def node_port_answers(lab: LabLayout) -> tuple[str, ...]:
    """The addresses of the nodes at whose NodePort the demo answers this machine."""
    return tuple(node.address for node in lab.nodes if "Welcome" in answer_of(f"http://{node.address}:{NODE_PORT}/"))


def answer_of(url: str) -> str:
    """What the URL answers, without any proxy of this machine in between; empty if it does not."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=_ANSWER_TIMEOUT_S) as response:
            return str(response.read(_ANSWER_BYTES_MAX).decode(errors="replace"))
    except (OSError, http.client.HTTPException):
        return ""
