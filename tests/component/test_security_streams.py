"""Logs, exec and the node proxy go through the API server to the agent, and come back as they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from orchestrator.api.resources import NODES, PODS
from orchestrator.machinery.client import Client
from orchestrator.machinery.errors import ApiError
from orchestrator.serve.api_server import kubelet_tls
from orchestrator.server.nodes import NodeConnections
from tests.support.agents import FakeAgent, a_fake_agent, some_keys
from tests.support.server import RunningServer, a_running_server, in_a_task

LOG = "/api/v1/namespaces/default/pods/web/log"
EXEC = "/api/v1/namespaces/default/pods/web/exec"


@dataclass
class Cluster:
    """An API server with one node, whose agent is a fake, and a pod on it."""

    server: RunningServer
    agent: FakeAgent
    client: Client
    http: aiohttp.ClientSession

    async def refusal(self, path: str) -> tuple[int, str]:
        try:
            await self.client.request("GET", path)
        except ApiError as refused:
            return refused.status_code, refused.message
        raise AssertionError("it was answered")

    def exec(self, query: str, *protocols: str) -> Any:
        return self.http.ws_connect(f"{self.server.url}{EXEC}?{query}", protocols=protocols)


async def _pod(client: Client, name: str, *containers: str, node: str = "n1") -> None:
    spec = {"containers": [{"name": container, "image": "i"} for container in containers], "nodeName": node}
    await client.create(
        PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}, "default", into=bytes
    )


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with AsyncExitStack() as stack:
        keys = some_keys(tmp_path)
        agent = await stack.enter_async_context(a_fake_agent(keys, tmp_path))
        nodes = await stack.enter_async_context(NodeConnections(kubelet_tls(keys)))
        server = await stack.enter_async_context(in_a_task(a_running_server(forward=nodes.forward)))
        client = await stack.enter_async_context(server.client())
        headers = {"Authorization": "Bearer admin"}
        http = await stack.enter_async_context(aiohttp.ClientSession(headers=headers))
        node = await client.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}, into=dict)
        node["status"] = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": agent.port}},
        }
        await client.update(NODES, "n1", node, into=bytes, subresource="status")
        await _pod(client, "web", "main")
        yield Cluster(server, agent, client, http)


async def test_a_log_is_passed_on_with_its_options(cluster: Cluster) -> None:
    query = {"tailLines": "5", "timestamps": "true", "sinceSeconds": "60", "previous": "false"}
    assert await cluster.client.request("GET", LOG, query=query) == b"one\ntwo\n"
    assert cluster.agent.asked == ["/containerLogs/default/web/main?timestamps=true&tailLines=5&sinceSeconds=60"]
    assert cluster.agent.clients == ["kube-apiserver-kubelet-client"]


async def test_a_followed_log_arrives_line_by_line(cluster: Cluster) -> None:
    async with cluster.http.get(f"{cluster.server.url}{LOG}?follow=true") as response:
        assert response.headers["Content-Type"] == "text/plain"
        assert await response.content.readany() == b"one\ntwo\n"
        cluster.agent.more_log.put_nowait(b"three\n")
        assert await response.content.readany() == b"three\n"
        cluster.agent.more_log.put_nowait(None)
        assert await response.content.read() == b""


@pytest.mark.parametrize(
    ("refusal", "code", "message"),
    [
        (
            (400, 'container "main" in pod "web" is waiting to start: ContainerCreating'),
            400,
            'container "main" in pod "web" is waiting to start: ContainerCreating',
        ),
        ((500, "disk on fire"), 500, "Internal error occurred: disk on fire"),
        ((404, "no such log"), 404, "no such log"),
    ],
)
async def test_what_the_agent_refuses_is_said_in_its_words(
    cluster: Cluster, refusal: tuple[int, str], code: int, message: str
) -> None:
    cluster.agent.refusal = refusal
    assert await cluster.refusal(LOG) == (code, message)


async def test_a_container_must_be_chosen_and_must_exist(cluster: Cluster) -> None:
    await _pod(cluster.client, "two", "a", "b")
    two = LOG.replace("web", "two")
    assert await cluster.refusal(two) == (
        400,
        "a container name must be specified for pod two, choose one of: [a b]",
    )
    assert await cluster.refusal(two + "?container=c") == (400, "container c is not valid for pod two")
    assert await cluster.client.request("GET", two, query={"container": "b"}) == b"one\ntwo\n"


async def test_what_is_not_there_has_no_log(cluster: Cluster) -> None:
    assert await cluster.refusal(LOG.replace("web", "gone")) == (404, 'pods "gone" not found')
    await _pod(cluster.client, "lost", "main", node="n9")
    assert await cluster.refusal(LOG.replace("web", "lost")) == (404, 'nodes "n9" not found')


async def test_an_unscheduled_pod_has_an_empty_log_and_cannot_be_entered(cluster: Cluster) -> None:
    await _pod(cluster.client, "waiting", "main", node="")
    assert await cluster.client.request("GET", LOG.replace("web", "waiting")) == b""
    entered = EXEC.replace("web", "waiting") + "?command=sh&stdout=1"
    assert await cluster.refusal(entered) == (400, "pod waiting does not have a host assigned")


async def test_bad_options_are_refused_before_the_agent_is_asked(cluster: Cluster) -> None:
    code, message = await cluster.refusal(LOG + "?tailLines=-1")
    assert (code, "must be greater than or equal to 0" in message) == (422, True)
    assert (await cluster.refusal(LOG + "?sinceTime=yesterday"))[0] == 400
    assert (await cluster.refusal(EXEC + "?command=sh"))[0] == 400
    assert await cluster.refusal(EXEC + "?command=sh&stdout=1") == (400, "Upgrade request required")
    assert cluster.agent.asked == []


async def test_an_agent_that_is_not_there_is_an_error_that_says_so(cluster: Cluster) -> None:
    node = await cluster.client.get(NODES, "n1", into=dict)
    node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"] = 1
    await cluster.client.update(NODES, "n1", node, into=bytes, subresource="status")
    code, message = await cluster.refusal(LOG)
    assert code == 500
    assert message.startswith('Get "https://127.0.0.1:1/containerLogs/default/web/main":')
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with cluster.exec("command=sh&stdout=1", "v5.channel.k8s.io"):
            pass
    assert refused.value.status == 500


async def test_an_agent_with_a_certificate_for_another_address_is_not_trusted(tmp_path: Path) -> None:
    keys = some_keys(tmp_path)
    async with a_fake_agent(keys, tmp_path, address="10.9.9.9") as agent, NodeConnections(kubelet_tls(keys)) as nodes:
        async with a_running_server(forward=nodes.forward) as server, server.client() as client:
            node = await client.create(
                NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}, into=dict
            )
            node["status"] = {
                "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": agent.port}},
            }
            await client.update(NODES, "n1", node, into=bytes, subresource="status")
            await _pod(client, "web", "main")
            with pytest.raises(ApiError, match="x509: certificate is not valid for this address"):
                await client.request("GET", LOG)
        assert agent.asked == []


async def test_exec_passes_frames_both_ways_until_the_command_ends(cluster: Cluster) -> None:
    query = "command=sh&command=-c&command=echo+%22a+b%22&stdin=true&stdout=1&stderr=1&tty=false"
    async with cluster.exec(query, "v5.channel.k8s.io", "v4.channel.k8s.io") as socket:
        assert socket.protocol == "v5.channel.k8s.io"
        await socket.send_bytes(b"\x00hello")
        assert (await socket.receive()).data == b"\x01hello"
        big = b"\x00" + bytes(300_000)
        await socket.send_bytes(big)
        assert len((await socket.receive()).data) == len(big)
        await socket.send_bytes(b"\x00exit")
        assert (await socket.receive()).data == b'\x03{"status":"Success"}'
        assert (await socket.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
    (asked,) = cluster.agent.asked
    assert asked.startswith("/exec/default/web/main?input=1&output=1&error=1&command=sh&command=-c&command=echo")


async def test_an_older_client_gets_the_older_protocol(cluster: Cluster) -> None:
    async with cluster.exec("command=sh&stdout=1", "v4.channel.k8s.io") as socket:
        assert socket.protocol == "v4.channel.k8s.io"


async def test_a_client_that_goes_away_ends_the_agents_stream(cluster: Cluster) -> None:
    async with cluster.exec("command=sh&stdin=1&stdout=1", "v5.channel.k8s.io") as socket:
        await socket.send_bytes(b"\x00x")
        await socket.receive()
    async with asyncio.timeout(10):
        await cluster.agent.closed_with.get()


async def test_a_client_that_is_cut_off_ends_the_agents_stream(cluster: Cluster) -> None:
    socket = await cluster.exec("command=sh&stdin=1&stdout=1", "v5.channel.k8s.io")
    await socket.send_bytes(b"\x00x")
    await socket.receive()
    socket._response.connection.transport.abort()
    async with asyncio.timeout(10):
        await cluster.agent.closed_with.get()
    await socket.close()


async def test_exec_that_the_agent_refuses_is_refused_in_its_words(cluster: Cluster) -> None:
    cluster.agent.refusal = (404, "pod does not exist")
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Protocol": "v5.channel.k8s.io",
    }
    async with cluster.http.get(f"{cluster.server.url}{EXEC}?command=sh&stdout=1", headers=headers) as response:
        assert response.status == 404
        assert (await response.json())["message"] == "pod does not exist"


async def test_port_forward_tunnels_are_passed_on(cluster: Cluster) -> None:
    url = f"{cluster.server.url}{EXEC.replace('exec', 'portforward')}"
    async with cluster.http.ws_connect(url, protocols=("SPDY/3.1+portforward.k8s.io",)) as socket:
        assert socket.protocol == "SPDY/3.1+portforward.k8s.io"
        await socket.send_bytes(b"\x00frame")
        assert (await socket.receive()).data == b"\x01frame"
    assert cluster.agent.asked == ["/portForward/default/web"]


async def test_the_node_proxy_passes_any_request_on(cluster: Cluster) -> None:
    url = f"{cluster.server.url}/api/v1/nodes/n1/proxy/stats/summary?only_cpu_and_memory=true"
    async with cluster.http.get(url) as response:
        assert await response.json() == {
            "path": "/stats/summary?only_cpu_and_memory=true",
            "method": "GET",
            "body": "",
        }
    async with cluster.http.post(f"{cluster.server.url}/api/v1/nodes/n1/proxy/run", data=b"body") as response:
        assert (await response.json())["body"] == "body"
    assert cluster.agent.clients == ["kube-apiserver-kubelet-client"] * 2


async def test_nodes_may_not_enter_pods(cluster: Cluster) -> None:
    async with cluster.server.client("node-n1") as client:
        with pytest.raises(ApiError, match='cannot get resource "pods/exec"'):
            await client.request("GET", EXEC + "?command=sh&stdout=1")
    assert cluster.agent.asked == []
