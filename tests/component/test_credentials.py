"""Renewed credentials are taken from the file that holds them, while the process goes on."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from node_agent.kubelet.certificate import NodeIdentity
from orchestrator.api.resources import CERTIFICATESIGNINGREQUESTS, NODES
from orchestrator.api.views.meta import MetaView
from orchestrator.machinery.certificates import DAY_S, Authority, Subject, new_authority
from orchestrator.machinery.client import Client
from orchestrator.machinery.clock import SystemClock
from orchestrator.machinery.credentials import follow_credentials
from orchestrator.machinery.kubeconfig import ClientConfig, load_kubeconfig, render_kubeconfig
from tests.support.server import RunningServer
from tests.support.waiting import wait_objects

NODE = Subject(common_name="system:node:n1", organizations=("system:nodes",))


@pytest.fixture
async def asked_as() -> AsyncIterator[tuple[str, list[str]]]:
    """A server's address, and the credentials of each request that it got."""
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization", ""))
        return web.json_response({"metadata": {"name": "n1"}})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}", seen
    await runner.cleanup()


@asynccontextmanager
async def a_follower(config: ClientConfig, path: Path) -> AsyncIterator[Client]:
    """A client made of `config` that follows the kubeconfig at `path`."""
    async with asyncio.timeout(20), Client(config) as client, asyncio.TaskGroup() as group:
        following = group.create_task(follow_credentials(client, path, every_s=0.01), name="credentials")
        yield client
        following.cancel()


async def test_a_client_shows_what_its_kubeconfig_has_been_changed_to(
    asked_as: tuple[str, list[str]], tmp_path: Path
) -> None:
    url, seen = asked_as
    path = tmp_path / "kubeconfig"
    path.write_text(render_kubeconfig(ClientConfig(server=url, token="old")))
    first = path.stat().st_mtime_ns
    async with a_follower(load_kubeconfig(path), path) as client:
        await client.get(NODES, "n1", into=MetaView)
        path.write_text("not a kubeconfig: [")  # half written, or broken: what we have goes on
        await client.get(NODES, "n1", into=MetaView)
        path.write_text(render_kubeconfig(ClientConfig(server=url, token="new")))
        os.utime(path, ns=(first, first))  # all within one tick of the file system's clock
        while seen[-1] != "Bearer new":
            await client.get(NODES, "n1", into=MetaView)
    assert seen[:2] == ["Bearer old", "Bearer old"]


async def test_what_was_changed_before_anybody_followed_is_shown_too(
    asked_as: tuple[str, list[str]], tmp_path: Path
) -> None:
    url, seen = asked_as
    path = tmp_path / "kubeconfig"
    path.write_text(render_kubeconfig(ClientConfig(server=url, token="old")))
    read = load_kubeconfig(path)
    path.write_text(render_kubeconfig(ClientConfig(server=url, token="new")))
    async with a_follower(read, path) as client:
        while "Bearer new" not in seen:
            await client.get(NODES, "n1", into=MetaView)


@pytest.mark.parametrize(
    ("days_left", "is_renewed"),
    [pytest.param(29, True, id="near-its-end"), pytest.param(31, False, id="good-for-long")],
)
async def test_a_node_has_its_certificate_renewed_in_time(
    api_server: RunningServer, tmp_path: Path, days_left: int, is_renewed: bool
) -> None:
    clock = SystemClock()
    authority = Authority(new_authority("test", now=clock.now()))
    pair = authority.issue(NODE, now=clock.now(), client=True, lifetime_s=days_left * DAY_S)
    path = tmp_path / "node.kubeconfig"
    config = ClientConfig(server=api_server.url, ca=authority.cert_pem, certificate=pair.cert_pem, key=pair.key_pem)
    path.write_text(render_kubeconfig(config))
    async with asyncio.timeout(30), api_server.client("node-n1") as node, api_server.client() as admin:
        identity = NodeIdentity(node, clock, kubeconfig=path, node_name="n1")
        async with asyncio.TaskGroup() as group:
            group.create_task(identity.renew_if_due(), name="renew")
            if is_renewed:
                await sign_the_only_request(admin)
    renewed = load_kubeconfig(path)
    assert (renewed.certificate != config.certificate) is is_renewed
    assert replace(renewed, certificate=b"", key=b"") == replace(config, certificate=b"", key=b"")
    assert (renewed.key != config.key) is is_renewed


async def sign_the_only_request(admin: Client) -> None:
    """What the controllers do, shortly: any certificate will do here."""
    found = await wait_objects(admin, CERTIFICATESIGNINGREQUESTS, lambda all_: len(all_) == 1, namespace="")
    ((name, request),) = found.items()
    assert request["spec"]["username"] == "system:node:n1"
    assert request["spec"]["signerName"] == "kubernetes.io/kube-apiserver-client-kubelet"
    approved = {"type": "Approved", "status": "True", "reason": "Test", "message": "yes"}
    body: dict[str, Any] = {**request, "status": {"conditions": [approved]}}
    body = await admin.update(CERTIFICATESIGNINGREQUESTS, name, body, into=dict, subresource="approval")
    issued = new_authority("another", now=SystemClock().now()).cert_pem
    body["status"]["certificate"] = base64.b64encode(issued).decode()
    await admin.update(CERTIFICATESIGNINGREQUESTS, name, body, into=bytes, subresource="status")
