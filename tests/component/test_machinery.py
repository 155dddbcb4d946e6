"""Client, informer, leader election and events against a running API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from orchestrator.api.resources import CONFIGMAPS, CORE_EVENTS, LEASES, PODS
from orchestrator.api.views.meta import LeaseView, MetaView, ObjectReference
from orchestrator.machinery.client import Client, ClientConfig
from orchestrator.machinery.clock import SystemClock
from orchestrator.machinery.errors import (
    AlreadyExists,
    Conflict,
    Forbidden,
    Gone,
    NotFound,
    NotLeading,
    Unauthorized,
    Unreachable,
)
from orchestrator.machinery.informer import Informer
from orchestrator.machinery.leader import LeaderElection, LeadershipLost
from orchestrator.machinery.recorder import EventRecorder
from orchestrator.store.memory import MemoryStore
from tests.support.server import RunningServer, a_running_server
from tests.support.waiting import wait_objects


@pytest.fixture
async def client(api_server: RunningServer) -> AsyncIterator[Client]:
    async with api_server.client() as client:
        yield client


def a_config_map(name: str, **data: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


async def until(holds: Callable[[], bool], changed: asyncio.Event) -> None:
    """Wait until a condition holds, looking again at each change."""
    async with asyncio.timeout(20):
        while not holds():
            await changed.wait()
            changed.clear()


async def test_the_verbs_do_what_they_say(client: Client) -> None:
    created = await client.create(CONFIGMAPS, a_config_map("a", x="1"), "default", into=MetaView)
    assert created.metadata.key == "default/a"
    with pytest.raises(AlreadyExists):
        await client.create(CONFIGMAPS, a_config_map("a"), "default", into=MetaView)
    patched = await client.patch(CONFIGMAPS, "a", {"data": {"x": "2"}}, "default", into=dict)
    assert patched["data"] == {"x": "2"}
    stale = {**a_config_map("a"), "metadata": {"name": "a", "resourceVersion": created.metadata.resource_version}}
    with pytest.raises(Conflict):
        await client.update(CONFIGMAPS, "a", stale, "default", into=MetaView)
    listing = await client.list(CONFIGMAPS, "default", into=MetaView)
    assert [item.metadata.name for item in listing.items] == ["a"]
    assert listing.revision >= created.metadata.revision
    with pytest.raises(Conflict):
        await client.delete(CONFIGMAPS, "a", "default", uid="not-this-one")
    await client.delete(CONFIGMAPS, "a", "default", uid=created.metadata.uid)
    with pytest.raises(NotFound):
        await client.get(CONFIGMAPS, "a", "default", into=MetaView)


async def test_refusals_and_silence_are_told_apart(api_server: RunningServer) -> None:
    async with api_server.client("unknown") as stranger:
        with pytest.raises(Unauthorized):
            await stranger.list(PODS, into=MetaView)
    async with api_server.client("nobody") as nobody:
        with pytest.raises(Forbidden, match='cannot list resource "pods"'):
            await nobody.list(PODS, into=MetaView)
    async with Client(ClientConfig(server="http://127.0.0.1:9")) as nowhere:
        with pytest.raises(Unreachable):
            await nowhere.list(PODS, into=MetaView)


async def test_a_watch_from_a_forgotten_revision_is_gone() -> None:
    store = MemoryStore()
    for number in range(3):
        await store.put(f"/registry/core/configmaps/default/m{number}", b"{}", expect_revision=0)
    await store.compact(2)
    async with a_running_server(store=store) as server, server.client() as client, asyncio.timeout(20):
        with pytest.raises(Gone):
            async for _ in client.watch(CONFIGMAPS, "default", revision=1):
                pass


async def test_an_informer_follows_what_happens(client: Client) -> None:
    await client.create(CONFIGMAPS, a_config_map("before"), "default", into=bytes)
    informer = Informer(client, CONFIGMAPS, MetaView, namespace="default")
    changed = asyncio.Event()
    informer.subscribe(lambda old, new: changed.set())
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(informer.run(), name="informer")
        await informer.wait_synced()
        assert informer.get("default/before") is not None
        made = await client.create(CONFIGMAPS, a_config_map("during"), "default", into=MetaView)
        await until(lambda: informer.get("default/during") is not None, changed)
        assert informer.revision >= made.metadata.revision
        await client.delete(CONFIGMAPS, "before", "default")
        await until(lambda: informer.get("default/before") is None, changed)
        watching.cancel()


async def test_only_one_of_two_leads_and_the_other_follows_it(client: Client) -> None:
    order: list[str] = []
    first_leads, first_may_end = asyncio.Event(), asyncio.Event()

    def election(identity: str) -> LeaderElection:
        return LeaderElection(client, SystemClock(), name="test", identity=identity, renew_every_s=0.05)

    async def lead_first() -> None:
        order.append("first")
        first_leads.set()
        await first_may_end.wait()

    async def lead_second() -> None:
        order.append("second")

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(election("a").run(lead_first), name="first")
        await first_leads.wait()
        group.create_task(election("b").run(lead_second), name="second")
        lease = await client.get(LEASES, "test", "kube-system", into=LeaseView)
        assert lease.spec.holder_identity == "a"
        assert order == ["first"]
        first_may_end.set()
    assert order == ["first", "second"]
    lease = await client.get(LEASES, "test", "kube-system", into=LeaseView)
    assert (lease.spec.holder_identity, lease.spec.lease_transitions) == ("", 1), "it was b's, who gave it back"


async def test_a_leader_whose_lease_was_taken_stops(client: Client) -> None:
    leads = asyncio.Event()

    async def lead() -> None:
        leads.set()
        await asyncio.Event().wait()

    election = LeaderElection(
        client,
        SystemClock(),
        name="test",
        identity="a",
        renew_every_s=0.05,
    )
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        leading = group.create_task(_ends_with_leadership_lost(election, lead), name="leader")
        await leads.wait()
        taken = {"spec": {"holderIdentity": "b", "leaseDurationSeconds": 60}}
        await client.patch(LEASES, "test", taken, "kube-system", into=bytes)
        await leading


async def test_the_client_of_a_former_leader_reads_but_does_not_write(client: Client) -> None:
    leads = True
    fenced = client.fenced(lambda: leads)
    await fenced.create(CONFIGMAPS, a_config_map("while"), "default", into=MetaView)
    leads = False
    for write in (
        fenced.create(CONFIGMAPS, a_config_map("after"), "default", into=MetaView),
        fenced.patch(CONFIGMAPS, "while", {"data": {"x": "2"}}, "default", into=dict),
        fenced.delete(CONFIGMAPS, "while", "default"),
    ):
        with pytest.raises(NotLeading):
            await write
    found = await fenced.list(CONFIGMAPS, "default", into=MetaView)
    assert [item.metadata.name for item in found.items] == ["while"]
    await client.delete(CONFIGMAPS, "while", "default")  # who does not compete for anything may write


async def _ends_with_leadership_lost(election: LeaderElection, lead: Callable[[], object]) -> None:
    with pytest.raises(ExceptionGroup) as ended:
        await election.run(lead)  # type: ignore[arg-type]
    assert ended.group_contains(LeadershipLost)


async def test_the_same_event_twice_is_one_object_counted_twice(client: Client) -> None:
    recorder = EventRecorder(client, SystemClock(), component="test", host="n1")
    pod = ObjectReference(api_version="v1", kind="Pod", name="web-0", namespace="default", uid="u")
    async with asyncio.TaskGroup() as group:
        sending = group.create_task(recorder.run(), name="events")
        for _ in range(2):
            recorder.event(pod, type="Normal", reason="Started", message="Started container web")
        events = await wait_objects(client, CORE_EVENTS, lambda events: any(e["count"] == 2 for e in events.values()))
        sending.cancel()
    (event,) = events.values()
    assert event["reason"] == "Started"
    assert event["source"] == {"component": "test", "host": "n1"}
    assert event["involvedObject"]["name"] == "web-0"
