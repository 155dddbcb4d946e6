"""Probes: verdicts, rhythm, and asking."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node_agent.pods.observed import Health
from node_agent.probes.ask import Answer, Asker, BadPort, Target, port_number
from node_agent.probes.probing import Probing
from node_agent.probes.verdict import Verdict, after, health
from node_agent.runtime.fake import FakeRuntime
from orchestrator.api.views.pods import ExecAction, HttpGetAction, LifecycleHandler, Probe, TcpSocketAction
from tests.support.runtime import a_container, a_pod
from tests.support.time import LoopClock


@pytest.mark.parametrize(
    ("answers", "passing"),
    [
        pytest.param([True], None, id="not-often-enough"),
        pytest.param([True, True], True, id="often-enough"),
        pytest.param([True, False, True], None, id="only-in-a-row"),
        pytest.param([True, True, False, False], True, id="failures-below-the-threshold"),
        pytest.param([True, True, False, False, False], False, id="failures-at-the-threshold"),
    ],
)
def test_a_verdict_takes_answers_in_a_row(answers, passing):
    probe = Probe(success_threshold=2, failure_threshold=3)
    verdict = Verdict()
    for answer in answers:
        verdict = after(probe, verdict, answer)
    assert verdict.passing is passing


@given(answers=st.lists(st.booleans(), min_size=1), threshold=st.integers(1, 4))
def test_a_verdict_says_what_the_last_row_said(answers, threshold):
    probe = Probe(success_threshold=threshold, failure_threshold=threshold)
    verdict = Verdict()
    for answer in answers:
        verdict = after(probe, verdict, answer)
    row = 0
    for answer in reversed(answers):
        if answer is not answers[-1]:
            break
        row += 1
    if row >= threshold:
        assert verdict.passing is answers[-1]


def container_with(**probes):
    return a_pod(containers=[a_container(ports=[{"name": "http", "containerPort": 80}], **probes)]).spec.containers[0]


EXEC = {"exec": {"command": ["check"]}}


@pytest.mark.parametrize(
    ("probes", "verdicts", "expected"),
    [
        pytest.param({}, {}, Health(), id="no-probes"),
        pytest.param({"readinessProbe": EXEC}, {}, Health(ready=False), id="not-asked-yet"),
        pytest.param({"readinessProbe": EXEC}, {"readiness": Verdict(True)}, Health(), id="ready"),
        pytest.param(
            {"startupProbe": EXEC, "readinessProbe": EXEC},
            {"readiness": Verdict(True)},
            Health(started=False, ready=False),
            id="startup-comes-first",
        ),
        pytest.param(
            {"livenessProbe": EXEC},
            {"liveness": Verdict(False)},
            Health(live=False, why="Container main failed liveness probe, will be restarted"),
            id="dead",
        ),
    ],
)
def test_health(probes, verdicts, expected):
    given_verdicts = {"startup": Verdict(), "readiness": Verdict(), "liveness": Verdict(), **verdicts}
    judged = health(container_with(**probes), **given_verdicts)
    assert (judged.started, judged.ready, judged.live) == (expected.started, expected.ready, expected.live)
    assert judged.why == expected.why


def test_ports_have_names():
    container = container_with()
    assert [port_number(port, container) for port in (8080, "8080", "http")] == [8080, 8080, 80]
    with pytest.raises(BadPort, match="couldn't find port: nope"):
        port_number("nope", container)


async def a_running_container(runtime):
    runtime.add_image("busybox:1.36")
    from node_agent.runtime.base import ContainerSpec

    container_id = await runtime.create(ContainerSpec(name="c", image="busybox:1.36", labels={}))
    await runtime.start(container_id)
    return container_id


@pytest.mark.looptime
async def test_probing_asks_in_its_rhythm_and_tells_of_changes():
    runtime = FakeRuntime(LoopClock())
    container = container_with(
        startupProbe={**EXEC, "initialDelaySeconds": 5, "periodSeconds": 2},
        livenessProbe={**EXEC, "periodSeconds": 10, "failureThreshold": 2},
    )
    container_id = await a_running_container(runtime)
    runtime.exec_codes[("check",)] = 1
    changes, told = [], []
    loop = asyncio.get_running_loop()
    started = loop.time()

    def changed():
        changes.append((round(loop.time() - started), probing.health.started, probing.health.live))

    async with Asker(runtime) as asker:
        target = Target(container=container, container_id=container_id, address="127.0.0.1")
        probing = Probing(asker, target, changed=changed, told=lambda *said: told.append(said))
        running = asyncio.ensure_future(probing.run())
        await asyncio.sleep(6)
        runtime.exec_codes[("check",)] = 0  # heard at 7 s
        await asyncio.sleep(14)
        runtime.exec_codes[("check",)] = 1  # asked at 27 and 37 s
        await asyncio.sleep(20)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert changes == [(7, True, True), (37, True, False)]
    assert told[0] == ("Warning", "Unhealthy", "Startup probe failed: check\n")
    assert [reason for _, reason, _ in told] == ["Unhealthy"] * len(told)


async def test_asking_over_http_and_tcp():
    from aiohttp import web

    async def handle(request):
        return web.Response(status=int(request.query["code"]), text=request.headers.get("X-Probe", ""))

    app = web.Application()
    app.router.add_get("/", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    target = Target(container=container_with(), container_id="c", address="127.0.0.1")
    try:
        async with Asker(FakeRuntime(LoopClock())) as asker:

            async def get(code):
                return await asker.ask(Probe(http_get=HttpGetAction(path=f"/?code={code}", port=port)), target)

            assert await get(200) == Answer(True, "")
            assert (await get(302)).well
            assert await get(500) == Answer(False, "HTTP probe failed with statuscode: 500")
            assert (await asker.ask(Probe(tcp_socket=TcpSocketAction(port=port)), target)).well
    finally:
        await runner.cleanup()
    async with Asker(FakeRuntime(LoopClock())) as asker:
        refused = await asker.ask(Probe(http_get=HttpGetAction(port=port)), target)
        assert (refused.well, refused.text) == (False, f'Get "http://127.0.0.1:{port}/": connect: connection refused')
        refused = await asker.ask(Probe(tcp_socket=TcpSocketAction(port=port)), target)
        assert not refused.well


@pytest.mark.looptime
async def test_a_question_has_its_timeout():
    runtime = FakeRuntime(LoopClock())
    container_id = await a_running_container(runtime)
    target = Target(container=container_with(), container_id=container_id, address="127.0.0.1")
    async with Asker(runtime) as asker:
        answer = await asker.ask(Probe(exec=ExecAction(command=("cat",)), timeout_seconds=3), target)
        assert answer == Answer(False, 'command "cat" timed out')
        assert (await asker.hook(LifecycleHandler(exec=ExecAction(command=("x",))), target, 1.0)).well
