"""What every container runtime promises, held against the fake and a real Docker Engine.

The real one is the engine at DOCKER_HOST (`unix:///var/run/docker.sock` by default) and gets an image of its own made
from this machine's static busybox. Everything made here carries an owner of its own and is removed.
"""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import tarfile
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from uuid import uuid4

import docker
import pytest

from node_agent.runtime.base import (
    Channel,
    ContainerRuntime,
    ContainerSpec,
    LogOptions,
    NameTaken,
    NoSuchContainer,
    NoSuchImage,
    Phase,
    RuntimeRefused,
    RuntimeUnreachable,
)
from node_agent.runtime.docker import DockerRuntime
from node_agent.runtime.fake import FakeRuntime
from node_agent.runtime.pause import PAUSE_IMAGE, pause_archive
from orchestrator.machinery.clock import SystemClock

IMAGE = "wherry-contract/busybox:1"
SLEEP = ("sleep", "600")


def _busybox_image() -> bytes:
    """A root file system of one static busybox."""
    found = shutil.which("busybox")
    assert found is not None, "the package busybox-static is missing"
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in ("bin", "tmp"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(folder)
        data = Path(found).read_bytes()
        entry = tarfile.TarInfo("bin/busybox")
        entry.size, entry.mode = len(data), 0o755
        tar.addfile(entry, io.BytesIO(data))
        for applet in ("sh", "sleep", "cat", "echo", "true", "false"):
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return out.getvalue()


async def _real() -> AsyncIterator[ContainerRuntime]:
    address = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    engine = docker.APIClient(base_url=address, version="auto")
    engine.import_image_from_data(_busybox_image(), *IMAGE.split(":"), changes=["ENV PATH=/bin"])
    runtime = DockerRuntime(address, owner=f"contract-{uuid4()}", clock=SystemClock())
    await runtime.load_image(pause_archive((await runtime.info()).architecture))
    try:
        yield runtime
    finally:
        for state in await runtime.list():
            await runtime.remove(state.id)
        await runtime.close()
        engine.remove_image(IMAGE, force=True)
        engine.close()


async def _fake() -> AsyncIterator[ContainerRuntime]:
    runtime = FakeRuntime(SystemClock())
    runtime.add_image(IMAGE)
    await runtime.load_image(b"")
    yield runtime


@pytest.fixture(params=[pytest.param("fake"), pytest.param("docker", marks=pytest.mark.docker)])
async def runtime(request: pytest.FixtureRequest) -> AsyncIterator[ContainerRuntime]:
    async with aclosing(_fake() if request.param == "fake" else _real()) as made:
        async for one in made:
            yield one


def a_spec(name: str = "", **fields: object) -> ContainerSpec:
    given = {"entrypoint": SLEEP, "labels": {"a": "b"}, **fields}
    return ContainerSpec(name=name or f"contract-{uuid4()}", image=IMAGE, **given)  # type: ignore[arg-type]


async def ended(runtime: ContainerRuntime, container_id: str) -> None:
    async with asyncio.timeout(20):
        while (await runtime.inspect(container_id)).phase is not Phase.EXITED:  # noqa: ASYNC110 - any runtime can say
            await asyncio.sleep(0.02)


async def test_a_containers_life(runtime):
    container_id = await runtime.create(a_spec())
    made = await runtime.inspect(container_id)
    assert (made.phase, made.started_at, made.labels["a"]) == (Phase.CREATED, 0.0, "b")
    await runtime.start(container_id)
    await runtime.start(container_id)
    running = await runtime.inspect(container_id)
    assert running.phase is Phase.RUNNING
    assert running.started_at >= running.created_at > 0
    assert running.pid > 0
    assert [state.id for state in await runtime.list()] == [container_id]
    await runtime.kill(container_id)
    await ended(runtime, container_id)
    await runtime.kill(container_id)
    over = await runtime.inspect(container_id)
    assert (over.exit_code, over.pid) == (137, 0)
    assert over.finished_at >= over.started_at
    await runtime.remove(container_id)
    await runtime.remove(container_id)
    assert list(await runtime.list()) == []


async def test_a_running_container_can_be_removed(runtime):
    container_id = await runtime.create(a_spec())
    await runtime.start(container_id)
    await runtime.remove(container_id)
    with pytest.raises(NoSuchContainer):
        await runtime.inspect(container_id)


async def test_what_is_not_there(runtime):
    missing = "0" * 64
    for call in (runtime.inspect(missing), runtime.start(missing), runtime.kill(missing)):
        with pytest.raises(NoSuchContainer):
            await call
    with pytest.raises(NoSuchImage):
        await runtime.image("wherry-contract/none:1")
    with pytest.raises(NoSuchImage):
        await runtime.create(ContainerSpec(name="x", image="wherry-contract/none:1", labels={}))
    await runtime.remove(missing)
    await runtime.remove_image("wherry-contract/none:1")
    await runtime.remove_network("wherry-contract-none")


async def test_a_name_is_given_once(runtime):
    spec = a_spec()
    await runtime.create(spec)
    with pytest.raises(NameTaken):
        await runtime.create(spec)


async def test_a_missing_executable_leaves_an_ended_container_that_says_why(runtime):
    container_id = await runtime.create(a_spec(entrypoint=("missing",)))
    with pytest.raises(RuntimeRefused, match="missing"):
        await runtime.start(container_id)
    state = await runtime.inspect(container_id)
    assert (state.phase, state.started_at) == (Phase.EXITED, 0.0)
    assert state.exit_code in (126, 127, 128)
    assert "missing" in state.error
    assert state.finished_at > 0


async def test_the_pause_container_ends_when_told(runtime):
    spec = ContainerSpec(name=f"contract-{uuid4()}", image=PAUSE_IMAGE, labels={}, ipc="shareable")
    container_id = await runtime.create(spec)
    await runtime.start(container_id)
    assert (await runtime.inspect(container_id)).phase is Phase.RUNNING
    await runtime.kill(container_id, signal="SIGTERM")
    await ended(runtime, container_id)


async def test_events_tell_of_starts_ends_and_removals(runtime):
    container_id = await runtime.create(a_spec())
    heard = []
    async with aclosing(runtime.events()) as events, asyncio.timeout(20):
        assert (await anext(events)).id == ""
        await runtime.start(container_id)
        await runtime.kill(container_id)
        await ended(runtime, container_id)
        await runtime.remove(container_id)
        async for event in events:
            heard.append(event.removed)
            assert event.id == container_id
            assert event.labels["a"] == "b"
            if event.removed:
                break
    assert heard.count(True) == 1
    assert len(heard) >= 3


async def test_a_process_in_a_container(runtime):
    container_id = await runtime.create(a_spec())
    with pytest.raises(RuntimeRefused):
        await runtime.execute(container_id, ["cat"])
    await runtime.start(container_id)
    session = await runtime.execute(container_id, ["cat"], stdin=True)
    await session.write(b"ahoy")
    assert await session.read() == (Channel.STDOUT, b"ahoy")
    await session.close_input()
    assert await session.read() is None
    assert await session.wait_exit_code() == 0
    await session.close()


async def test_a_network_is_made_once_and_removed(runtime):
    for _ in range(2):
        await runtime.ensure_network(
            name="wherry-contract", bridge="wherrytest0", subnet="10.213.5.0/24", gateway="10.213.5.1"
        )
    spec = ContainerSpec(name=f"contract-{uuid4()}", image=PAUSE_IMAGE, labels={}, network="wherry-contract")
    container_id = await runtime.create(spec)
    await runtime.start(container_id)
    assert (await runtime.inspect(container_id)).address.startswith("10.")
    await runtime.remove(container_id)
    await runtime.remove_network("wherry-contract")


async def test_an_image_that_cannot_be_pulled_says_why(runtime):
    with pytest.raises(RuntimeRefused):
        await runtime.pull("127.0.0.1:1/none:1")


async def test_a_log_that_is_followed_ends_with_its_container(runtime):
    container_id = await runtime.create(a_spec())
    await runtime.start(container_id)

    async def follow() -> list[bytes]:
        async with aclosing(runtime.logs(container_id, LogOptions(follow=True))) as pieces:
            return [piece async for piece in pieces]

    async with asyncio.timeout(20):
        following = asyncio.ensure_future(follow())
        await asyncio.sleep(0.1)
        await runtime.kill(container_id)
        assert await following == []


async def test_following_can_be_given_up(runtime):
    container_id = await runtime.create(a_spec())
    await runtime.start(container_id)

    async def follow() -> None:
        async with aclosing(runtime.logs(container_id, LogOptions(follow=True))) as pieces:
            async for _ in pieces:
                pass

    following = asyncio.ensure_future(follow())
    await asyncio.sleep(0.1)
    following.cancel()
    async with asyncio.timeout(20):
        with pytest.raises(asyncio.CancelledError):
            await following


async def test_an_engine_that_is_not_there_is_unreachable(tmp_path):
    gone = DockerRuntime(f"unix://{tmp_path}/none.sock", owner="x", clock=SystemClock())
    fake = FakeRuntime(SystemClock())
    fake.is_down = True
    for runtime in (gone, fake):
        with pytest.raises(RuntimeUnreachable):
            await runtime.list()
        with pytest.raises(RuntimeUnreachable):
            async with aclosing(runtime.events()) as events:
                await anext(events)
    await gone.close()


@pytest.mark.docker
async def test_a_real_log_is_in_order_and_can_be_cut():
    async with aclosing(_real()) as made:
        async for runtime in made:
            command = ("sh", "-c", "for i in 1 2 3 4; do echo $i; done; sleep 0.1; echo oops >&2; exit 3")
            container_id = await runtime.create(a_spec(entrypoint=command))
            await runtime.start(container_id)
            await ended(runtime, container_id)
            assert (await runtime.inspect(container_id)).exit_code == 3
            pieces = [piece async for piece in runtime.logs(container_id, LogOptions(tail=2))]
            assert b"".join(pieces) == b"4\noops\n"
            stamped = [piece async for piece in runtime.logs(container_id, LogOptions(timestamps=True))]
            assert stamped[0].endswith(b"Z 1\n")


@pytest.mark.docker
async def test_a_real_process_has_a_terminal_streams_and_an_exit_code():
    async with aclosing(_real()) as made:
        async for runtime in made:
            container_id = await runtime.create(a_spec())
            await runtime.start(container_id)
            session = await runtime.execute(container_id, ["sh", "-c", "echo out; echo err >&2; exit 7"])
            heard: dict[Channel, bytes] = {}
            while (piece := await session.read()) is not None:
                heard[piece[0]] = heard.get(piece[0], b"") + piece[1]
            assert heard == {Channel.STDOUT: b"out\n", Channel.STDERR: b"err\n"}
            assert await session.wait_exit_code() == 7
            await session.close()
            session = await runtime.execute(container_id, ["sh"], stdin=True, tty=True)
            await session.resize(width=123, height=45)
            await session.write(b"echo a$((1+1))b; exit 4\n")
            output = b""
            while (piece := await session.read()) is not None:
                output += piece[1]
            assert b"a2b" in output
            assert await session.wait_exit_code() == 4
            await session.close()
