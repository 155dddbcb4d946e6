"""The pieces of the runtime that need no engine."""

from __future__ import annotations

import asyncio
import io
import json
import struct
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node_agent.pods.slots import Slots
from node_agent.runtime.base import Phase
from node_agent.runtime.bridge import ThreadStream
from node_agent.runtime.engine_api import FrameSplitter, seconds_of, state_of, with_tag
from node_agent.runtime.pause import PAUSE_IMAGE, pause_archive, pause_program
from orchestrator.machinery.blocking import BlockingCalls


@pytest.mark.parametrize(("architecture", "machine"), [("amd64", 62), ("arm64", 183)])
def test_the_pause_program_is_a_static_executable(architecture, machine):
    program = pause_program(architecture)
    assert program[:4] == b"\x7fELF"
    kind, found, _, entry, program_headers = struct.unpack_from("<HHIQQ", program, 16)
    assert (kind, found, entry, program_headers) == (2, machine, 0x400078, 64)
    segment, flags, offset, address, _, size, memory, _ = struct.unpack_from("<IIQQQQQQ", program, 64)
    assert (segment, flags, offset, address) == (1, 5, 0, 0x400000)
    assert size == memory == len(program)
    assert len(program) < 512


def test_the_arm_program_jumps_where_it_should():
    words = struct.unpack_from("<33I", pause_program("arm64"), 120)
    loops = [(at, word) for at, word in enumerate(words) if word >> 26 == 0b000101]
    ((at, word),) = loops
    back = (word & 0x3FFFFFF) - (1 << 26)
    assert words[at + back] == 0xD2800000  # mov x0, #0: the first instruction of the wait
    assert words[at - 1] == 0xD4000001  # svc #0


def test_the_pause_archive_is_what_docker_save_makes():
    with tarfile.open(fileobj=io.BytesIO(pause_archive("x86_64"))) as archive:
        manifest = json.load(archive.extractfile("manifest.json"))
        assert manifest[0]["RepoTags"] == [PAUSE_IMAGE]
        config = json.load(archive.extractfile(manifest[0]["Config"]))
        assert config["config"]["Entrypoint"] == ["/pause"]
    assert pause_archive("x86_64") == pause_archive("x86_64")
    with pytest.raises(ValueError, match="riscv64"):
        pause_archive("riscv64")


pieces = st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(min_size=1, max_size=20)), max_size=6)


@given(pieces=pieces, data=st.data())
def test_frames_come_out_however_they_are_cut(pieces, data):
    stream = b"".join(struct.pack(">BxxxI", kind, len(body)) + body for kind, body in pieces)
    splitter = FrameSplitter()
    found: dict[int, bytes] = {1: b"", 2: b""}
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        for kind, body in splitter.feed(stream[:cut]):
            found[kind] += body
        stream = stream[cut:]
    for kind in (1, 2):
        assert found[kind] == b"".join(body for one, body in pieces if one == kind)


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        pytest.param("nginx", ("nginx", "latest"), id="no-tag"),
        pytest.param("nginx:1.16", ("nginx", "1.16"), id="tag"),
        pytest.param("host:5000/a/b", ("host:5000/a/b", "latest"), id="port"),
        pytest.param("host:5000/a:1", ("host:5000/a", "1"), id="port-and-tag"),
        pytest.param("a@sha256:00", ("a", "sha256:00"), id="digest"),
        pytest.param("a:1@sha256:00", ("a", "sha256:00"), id="tag-and-digest"),
    ],
)
def test_references(reference, expected):
    assert with_tag(reference) == expected


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        pytest.param("1970-01-01T00:00:01.5Z", 1.5, id="short-fraction"),
        pytest.param("1970-01-01T00:00:01.123456789Z", 1.123456, id="nanoseconds"),
        pytest.param("1970-01-01T00:00:01Z", 1.0, id="whole"),
        pytest.param("0001-01-01T00:00:00Z", 0.0, id="never"),
        pytest.param("", 0.0, id="nothing"),
    ],
)
def test_times(text, seconds):
    assert seconds_of(text) == pytest.approx(seconds)


def an_inspection(status, **state):
    return {
        "Id": "x",
        "Created": "1970-01-01T00:00:01Z",
        "Config": {"Image": "i", "Labels": None},
        "State": {"Status": status, **state},
        "NetworkSettings": {"Networks": {"wherry": {"IPAddress": "10.244.0.2"}}},
    }


@pytest.mark.parametrize(
    ("found", "phase"),
    [
        pytest.param(an_inspection("running"), Phase.RUNNING, id="running"),
        pytest.param(an_inspection("paused"), Phase.RUNNING, id="paused"),
        pytest.param(an_inspection("created"), Phase.CREATED, id="created"),
        pytest.param(an_inspection("created", ExitCode=127, Error="no"), Phase.EXITED, id="could-not-start"),
        pytest.param(an_inspection("exited", ExitCode=1), Phase.EXITED, id="exited"),
        pytest.param(an_inspection("dead"), Phase.EXITED, id="dead"),
    ],
)
def test_phases(found, phase):
    state = state_of(found, seen_at=5.0)
    assert (state.phase, state.address, state.seen_at) == (phase, "10.244.0.2", 5.0)
    assert (state.finished_at > 0) == (phase is Phase.EXITED)


async def test_a_thread_hands_over_everything_in_order_and_its_error():
    def items():
        yield from range(1000)
        raise ValueError("the end")

    calls = BlockingCalls("test", threads=1)
    bridge = ThreadStream(asyncio.get_running_loop())
    running = asyncio.ensure_future(calls.call(bridge.run, items()))
    found = []

    async def read():
        while batch := await bridge.next_batch():
            found.extend(batch)

    with pytest.raises(ValueError, match="the end"):
        await read()
    await running
    calls.close()
    assert found == list(range(1000))


async def test_a_reader_that_leaves_ends_the_thread():
    def items():
        while True:
            yield 1

    calls = BlockingCalls("test", threads=1)
    bridge = ThreadStream(asyncio.get_running_loop())
    running = asyncio.ensure_future(calls.call(bridge.run, items()))
    assert await bridge.next_batch()
    bridge.close()
    await running
    calls.close()


async def test_slots_go_to_the_most_urgent_and_a_cancelled_waiter_takes_none():
    slots = Slots(1)
    order = []

    async def use(name, urgency):
        async with slots.take(urgency):
            order.append(name)
            await asyncio.sleep(0)

    async with slots.take(0):
        waiting = [
            asyncio.ensure_future(use(name, urgency)) for name, urgency in (("b1", 1), ("x", 0), ("a", 0), ("b2", 1))
        ]
        await asyncio.sleep(0)
        waiting[1].cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert order == ["a", "b1", "b2"]
    async with asyncio.timeout(1), slots.take(0):
        pass
