"""What owners of pods write: how much at once, what a refusal is, and whom a race is told."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from orchestrator.api.objects import Object
from orchestrator.api.resources import PODS, REPLICASETS, Resource
from orchestrator.api.views.meta import MetaView
from orchestrator.api.views.workloads import Pod, ReplicaSet
from orchestrator.controllers.batches import BATCH_MAX
from orchestrator.controllers.own_writes import OwnWrites
from orchestrator.controllers.pod_control import Failure, FailureKind, PodControl
from orchestrator.machinery.client import Client
from orchestrator.machinery.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    RetryLater,
    Unreachable,
)
from orchestrator.machinery.informer import Informer
from orchestrator.machinery.queue import WorkQueue
from tests.support.controllers import CREATED, a_pod, a_replicaset, meta

REFUSED = Forbidden("exceeded quota")
GOING = Forbidden("it is being terminated", details={"causes": [{"reason": "NamespaceTerminating"}]})


class Server:
    """A client's view of a server that answers as told; `waves` are the creates that were in flight at once."""

    def __init__(self) -> None:
        self.answers: dict[str, Exception] = {}
        self.live: MetaView = MetaView()
        self.asked: list[tuple[str, str]] = []
        self.patches: list[Object] = []
        self.waves: list[int] = []
        self._in_flight = 0

    async def _answer(self, method: str, name: str, view: MetaView) -> MetaView:
        self.asked.append((method, name))
        if error := self.answers.get(method):
            raise error
        return view

    async def get(self, resource: Resource, name: str, namespace: str, *, into: type) -> MetaView:
        return await self._answer("get", name, self.live)

    async def create(self, resource: Resource, body: Object, namespace: str, *, into: type) -> MetaView:
        if self._in_flight == 0:
            self.waves.append(0)
        self._in_flight += 1
        self.waves[-1] += 1
        await asyncio.sleep(0)
        self._in_flight -= 1
        name = body["metadata"].get("name", "")
        return await self._answer("create", name, MetaView(metadata=meta(name or "made", resourceVersion="5")))

    async def patch(self, resource: Resource, name: str, body: Object, *_: Any, **__: Any) -> MetaView:
        self.patches.append(body)
        return await self._answer("patch", name, MetaView(metadata=meta(name, resourceVersion="5")))

    async def delete(self, resource: Resource, name: str, *_: Any, uid: str, **__: Any) -> None:
        assert uid, "a namesake must survive"
        await self._answer("delete", name, MetaView())


class Told:
    """The events that were recorded."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, str]] = []

    def normal(self, resource: Resource, view: object, reason: str, message: str) -> None:
        self.events.append(("Normal", reason, message))

    def warning(self, resource: Resource, view: object, reason: str, message: str) -> None:
        self.events.append(("Warning", reason, message))


def a_control(server: Server) -> tuple[PodControl, Told]:
    client, told = cast("Client", server), Told()
    owners, pods = Informer(client, REPLICASETS, ReplicaSet), Informer(client, PODS, Pod)
    control = PodControl(client, owners, pods, OwnWrites(WorkQueue()), cast("Any", told))
    return control, told


def bodies(count: int, name: str = "") -> list[Object]:
    return [{"metadata": {"name": name} if name else {"generateName": "web-"}}] * count


@pytest.mark.parametrize(
    ("count", "waves"),
    [
        pytest.param(0, [], id="none"),
        pytest.param(1, [1], id="one"),
        pytest.param(20, [1, 2, 4, 8, 5], id="twice-as-many-each-time"),
        pytest.param(100, [1, 2, 4, 8, 16, BATCH_MAX, BATCH_MAX, 5], id="up-to-a-limit"),
    ],
)
async def test_creates_start_slowly(count: int, waves: list[int]) -> None:
    server = Server()
    control, told = a_control(server)
    assert await control.create(a_replicaset(count), bodies(count)) is None
    assert server.waves == waves
    assert told.events == [("Normal", "SuccessfulCreate", "Created pod: made")] * count


async def test_a_refusal_costs_one_request_and_is_told() -> None:
    server = Server()
    server.answers["create"] = REFUSED
    control, told = a_control(server)
    assert await control.create(a_replicaset(500), bodies(500)) == Failure(FailureKind.CREATE, REFUSED)
    assert server.waves == [1]
    assert told.events == [("Warning", "FailedCreate", "Error creating: exceeded quota")]


async def test_in_a_namespace_that_goes_nothing_is_wrong() -> None:
    server = Server()
    server.answers["create"] = GOING
    control, told = a_control(server)
    assert await control.create(a_replicaset(500), bodies(500)) is None
    assert (server.waves, told.events) == ([1], [])


@pytest.mark.parametrize(
    "live",
    [
        pytest.param(a_pod("web-0"), id="it-is-ours"),
        pytest.param(a_pod("web-0", owner=None), id="it-may-be-adopted"),
        pytest.param(NotFound("gone"), id="it-is-gone-again"),
    ],
)
async def test_a_name_that_the_cache_does_not_show_as_ours_yet_is_waited_for(live: Pod | ApiError) -> None:
    server = Server()
    server.answers["create"] = AlreadyExists('pods "web-0" already exists')
    if isinstance(live, Pod):
        server.live = MetaView(metadata=live.metadata)
    else:
        server.answers["get"] = live
    control, told = a_control(server)
    with pytest.raises(RetryLater):
        await control.create(a_replicaset(1), bodies(1, "web-0"))
    assert told.events == []


@pytest.mark.parametrize(
    "live",
    [
        pytest.param(a_pod("web-0", owner="uid-other"), id="another-controls-it"),
        pytest.param(a_pod("web-0", owner=None, labels={"app": "other"}), id="it-does-not-match"),
        pytest.param(a_pod("web-0", owner=None, terminating=True), id="it-is-going-and-nobody-s"),
    ],
)
async def test_a_name_that_is_somebody_elses_is_a_failure(live: Pod) -> None:
    server = Server()
    taken = server.answers["create"] = AlreadyExists('pods "web-0" already exists')
    server.live = MetaView(metadata=live.metadata)
    control, told = a_control(server)
    assert await control.create(a_replicaset(1), bodies(1, "web-0")) == Failure(FailureKind.CREATE, taken)
    assert told.events == [("Warning", "FailedCreate", 'Error creating: pods "web-0" already exists')]


@pytest.mark.parametrize(
    ("answer", "failure", "events"),
    [
        pytest.param(None, False, [("Normal", "SuccessfulDelete", "Deleted pod: a")], id="done"),
        pytest.param(NotFound("gone"), False, [], id="gone"),
        pytest.param(Conflict("another"), False, [], id="a-namesake-took-its-place"),
        pytest.param(
            REFUSED, True, [("Warning", "FailedDelete", "Error deleting: exceeded quota")], id="refused"
        ),
    ],
)  # fmt: skip
async def test_a_pod_that_is_gone_is_as_wanted(
    answer: ApiError | None, failure: bool, events: list[tuple[str, str, str]]
) -> None:
    server = Server()
    if answer is not None:
        server.answers["delete"] = answer
    control, told = a_control(server)
    assert await control.delete_pods(a_replicaset(0), [a_pod("a")]) == (
        Failure(FailureKind.DELETE, REFUSED) if failure else None
    )
    assert told.events == events


@pytest.mark.parametrize(
    "live",
    [
        pytest.param(NotFound("gone"), id="it-is-gone"),
        pytest.param(MetaView(metadata=meta("web", uid="another")), id="it-was-replaced"),
        pytest.param(MetaView(metadata=meta("web", deletionTimestamp=CREATED)), id="it-is-going"),
    ],
)
async def test_an_owner_that_is_gone_adopts_nothing(live: MetaView | ApiError) -> None:
    server = Server()
    if isinstance(live, MetaView):
        server.live = live
    else:
        server.answers["get"] = live
    control, _ = a_control(server)
    with pytest.raises(Conflict, match="gone or going"):
        await control.adopt(a_replicaset(1), Informer(cast("Client", server), PODS, Pod), [a_pod("a", owner=None)])
    assert server.asked == [("get", "web")]


@pytest.mark.parametrize(
    ("answer", "raised"),
    [
        pytest.param(NotFound("gone"), None, id="the-orphan-is-gone"),
        pytest.param(Invalid("Only one reference can have Controller set to true"), Conflict, id="another-was-faster"),
        pytest.param(Conflict("uid"), Conflict, id="a-namesake-took-its-place"),
        pytest.param(Unreachable("no answer"), Unreachable, id="nobody-knows"),
    ],
)
async def test_a_race_for_an_orphan_is_nobodys_failure(answer: Exception, raised: type[Exception] | None) -> None:
    server = Server()
    server.live, server.answers["patch"] = MetaView(metadata=meta("web")), answer
    control, told = a_control(server)
    adopting = control.adopt(a_replicaset(1), Informer(cast("Client", server), PODS, Pod), [a_pod("a", owner=None)])
    if raised is None:
        await adopting
    else:
        with pytest.raises(raised):
            await adopting
    assert told.events == []


async def test_what_is_deleted_only_as_it_was_seen_and_has_changed_is_a_conflict() -> None:
    server = Server()
    server.answers["delete"] = Conflict("changed")
    control, _ = a_control(server)
    cache = Informer(cast("Client", server), PODS, Pod)
    with pytest.raises(Conflict):
        await control.delete(a_replicaset(0), cache, meta("a"), resource_version="3")
    assert not await control.delete(a_replicaset(0), cache, meta("a"))


async def test_a_status_is_written_for_the_very_object_that_it_was_decided_on() -> None:
    server = Server()
    control, _ = a_control(server)
    rs = a_replicaset(1)
    await control.report(rs, {"replicas": 7})
    assert server.patches == [{"metadata": {"uid": rs.metadata.uid}, "status": {"replicas": 7}}]
    server.answers["patch"] = NotFound("gone")
    await control.report(rs, {"replicas": 8})


async def test_a_status_that_is_so_already_is_not_written() -> None:
    server = Server()
    control, _ = a_control(server)
    rs = a_replicaset(1)
    await control.report(rs, rs.status)
    assert server.asked == []
