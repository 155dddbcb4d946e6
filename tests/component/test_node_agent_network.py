"""Routes and packet filter rules of a node, in a network namespace of the test's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("nft") is None,
    reason="needs root, unshare and nft to make a network of its own",
)

SCRIPT = """
import asyncio, subprocess
from node_agent.network import firewall
from node_agent.network.commands import NetworkRefused
from node_agent.network.routes import DirectRoutes

def shown(*argv):
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout

async def main():
    for command in ("ip link set lo up", "ip link add d0 type veth peer name d1", "ip link set d1 up",
                    "ip addr add 10.0.0.1/24 dev d0", "ip link set d0 up", "iptables -N DOCKER-USER"):
        subprocess.run(command.split(), check=True)
    await DirectRoutes().follow({"10.244.1.0/24": "10.0.0.2", "10.244.2.0/24": "10.0.0.3"})
    # Another agent takes over what the first one left.
    routes = DirectRoutes()
    await routes.follow({"10.244.1.0/24": "10.0.0.4"})
    table = shown("ip", "route")
    assert "10.244.1.0/24 via 10.0.0.4" in table, table
    assert "10.244.2.0/24" not in table, table
    try:
        await routes.follow({"10.244.1.0/24": "10.0.0.4", "10.244.3.0/24": "192.0.2.1", "10.244.4.0/24": "10.0.0.5"})
    except NetworkRefused as refused:
        assert "10.244.3.0/24" in str(refused)
    else:
        raise AssertionError("a gateway out of reach was not refused")
    assert "10.244.4.0/24 via 10.0.0.5" in shown("ip", "route")
    for _ in range(2):
        await firewall.set_up("10.244.1.0/24", "10.244.0.0/16")
    assert "masquerade" in shown("nft", "list", "ruleset")
    assert shown("iptables", "-S", "DOCKER-USER").count("-j ACCEPT") == 2
    for _ in range(2):
        await routes.remove_all()
        await firewall.tear_down("10.244.0.0/16")
    assert "10.244." not in shown("ip", "route")
    assert "wherry_pods" not in shown("nft", "list", "tables")
    assert "ACCEPT" not in shown("iptables", "-S", "DOCKER-USER")

asyncio.run(main())
"""


def test_routes_and_rules_follow_and_go():
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


LEFT, ROUTER, RIGHT = (f"wt{os.getpid()}-{name}" for name in ("left", "router", "right"))
ADDRESSES = {LEFT: "10.1.0.1", RIGHT: "10.2.0.1"}
POD_NETWORKS = {LEFT: "10.244.0.0/24", RIGHT: "10.244.1.0/24"}
# The first address of a pod network stands for a pod: behind a bridge, and sent from.
PODS = {LEFT: "10.244.0.1", RIGHT: "10.244.1.1"}

FOLLOW = """
import asyncio, sys
from node_agent.network.routes import PodRoutes
own, own_network, network, node = sys.argv[1:]
routes = PodRoutes(own)
asyncio.run(routes.follow({network: node} if network else {}, own_network=own_network))
"""
SERVE = """
import socket, sys
with socket.create_server((sys.argv[1], 7000)) as server:
    print("ready", flush=True)
    while True:
        connection, peer = server.accept()
        connection.sendall(peer[0].encode() + b"x" * 100_000)
        connection.close()
"""
ASK = """
import socket, sys
with socket.create_connection((sys.argv[1], 7000), timeout=5, source_address=(sys.argv[2], 0)) as connection:
    data = b""
    while piece := connection.recv(65536):
        data += piece
print(data.rstrip(b"x").decode(), len(data))
"""


def within(namespace: str, *command: str) -> list[str]:
    return ["nsenter", f"--net=/run/netns/{namespace}", *command]


def on(namespace: str, *command: str) -> str:
    done = subprocess.run(within(namespace, *command), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def follow(namespace: str, other: str = "") -> None:
    network, node = (POD_NETWORKS[other], ADDRESSES[other]) if other else ("", "")
    on(namespace, sys.executable, "-c", FOLLOW, ADDRESSES[namespace], POD_NETWORKS[namespace], network, node)


@pytest.fixture
def nodes_with_a_router_between() -> Iterator[None]:
    """Two nodes on two networks, each with a bridge for pods; the router knows nothing of pods."""
    try:
        for name in (LEFT, ROUTER, RIGHT):
            subprocess.run(["ip", "netns", "add", name], check=True)
            on(name, "ip", "link", "set", "lo", "up")
        on(ROUTER, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        for number, node in enumerate((LEFT, RIGHT), start=1):
            link = ("type", "veth", "peer", "name", f"port{number}", "netns", ROUTER)
            on(node, "ip", "link", "add", "eth0", *link)
            on(node, "ip", "addr", "add", f"{ADDRESSES[node]}/24", "dev", "eth0")
            on(ROUTER, "ip", "addr", "add", f"10.{number}.0.254/24", "dev", f"port{number}")
            on(ROUTER, "ip", "link", "set", f"port{number}", "up")
            on(node, "ip", "link", "set", "eth0", "up")
            on(node, "ip", "route", "add", "default", "via", f"10.{number}.0.254")
            on(node, "ip", "link", "add", "pods", "type", "bridge")
            on(node, "ip", "addr", "add", f"{PODS[node]}/24", "dev", "pods")
            on(node, "ip", "link", "set", "pods", "up")
        yield
    finally:
        for name in (LEFT, ROUTER, RIGHT):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


@pytest.mark.usefixtures("nodes_with_a_router_between")
def test_pods_of_nodes_behind_a_router_reach_each_other_through_the_tunnel():
    follow(LEFT, RIGHT)
    follow(RIGHT, LEFT)
    serve = within(RIGHT, sys.executable, "-c", SERVE, PODS[RIGHT])
    with subprocess.Popen(serve, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == b"ready\n"
            for _ in range(2):
                # The address that the server sees is the pod's own: nothing was translated on the way.
                answer = on(LEFT, sys.executable, "-c", ASK, PODS[RIGHT], PODS[LEFT])
                assert answer.split() == [PODS[LEFT], str(len(PODS[LEFT]) + 100_000)]
                follow(LEFT, RIGHT)  # a later agent takes over what is there
        finally:
            server.terminate()
    follow(LEFT)
    assert "wherry-vxlan" not in on(LEFT, "ip", "link")
    assert "10.244.1.0/24" not in on(LEFT, "ip", "route")
