"""Health endpoints, letter by letter as Kubernetes answers them."""

from __future__ import annotations

import aiohttp
import pytest

from orchestrator.machinery.health import PING, Part, respond
from orchestrator.machinery.metrics import serve_health

WELL = (
    PING,
    Part(name="store", check=lambda: None),
    Part(name="bootstrap", check=lambda: "not finished", only_ready=True),
)
ILL = (PING, Part(name="store", check=lambda: "disk I/O error"), Part(name="cache", check=lambda: None))


@pytest.mark.parametrize(
    ("endpoint", "parts", "options", "answer"),
    [
        pytest.param("livez", WELL, {}, (200, "ok"), id="well"),
        pytest.param(
            "livez", WELL, {"verbose": True}, (200, "[+]ping ok\n[+]store ok\nlivez check passed\n"), id="verbose"
        ),
        pytest.param(
            "readyz",
            WELL,
            {},
            (500, "[+]ping ok\n[+]store ok\n[-]bootstrap failed: reason withheld\nreadyz check failed\n"),
            id="alive-but-not-ready",
        ),
        pytest.param(
            "readyz",
            WELL,
            {"verbose": True, "excluded": ["bootstrap"]},
            (200, "[+]ping ok\n[+]store ok\n[+]bootstrap excluded: ok\nreadyz check passed\n"),
            id="excluded",
        ),
        pytest.param("readyz", WELL, {"excluded": ["bootstrap"]}, (200, "ok"), id="excluded-and-not-verbose"),
        pytest.param(
            "livez",
            ILL,
            {"excluded": ["etcd", "cache"]},
            (
                500,
                "[+]ping ok\n[-]store failed: reason withheld\n[+]cache excluded: ok\n"
                'warn: some health checks cannot be excluded: no matches for "etcd"\nlivez check failed\n',
            ),
            id="a-failure-is-told-in-full-but-for-its-reason",
        ),
        pytest.param("livez", ILL, {"only": "store"}, (500, "internal server error: disk I/O error\n"), id="one-ill"),
        pytest.param("livez", ILL, {"only": "cache"}, (200, "ok"), id="one-well"),
        pytest.param("livez", ILL, {"only": "etcd"}, None, id="no-such-check"),
        pytest.param("livez", WELL, {"only": "bootstrap"}, None, id="no-check-of-whether-it-lives"),
    ],
)
def test_health_is_answered_as_by_kubernetes(endpoint, parts, options, answer):
    assert respond(endpoint, parts, **options) == answer


async def test_the_other_processes_answer_the_same_on_loopback() -> None:
    checks = {"informer": lambda: None, "leader": lambda: "lease 'x' is not renewed"}
    async with serve_health("127.0.0.1", 0, checks=checks) as port, aiohttp.ClientSession() as session:

        async def ask(path: str) -> tuple[int, str]:
            async with session.get(f"http://127.0.0.1:{port}{path}") as response:
                return response.status, await response.text()

        failed = "[+]ping ok\n[+]informer ok\n[-]leader failed: reason withheld\nlivez check failed\n"
        assert await ask("/livez") == (500, failed)
        passed = "[+]ping ok\n[+]informer ok\n[+]leader excluded: ok\nreadyz check passed\n"
        assert await ask("/readyz?verbose&exclude=leader") == (200, passed)
        assert await ask("/healthz/informer") == (200, "ok")
        assert await ask("/livez/leader") == (500, "internal server error: lease 'x' is not renewed\n")
        assert (await ask("/livez/nothing"))[0] == 404
