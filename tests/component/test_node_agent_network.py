"""Routes and packet filter rules of a node, in a network namespace of the test's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

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
