"""A simulated cluster in one process and in virtual time: an API in memory, nodes that start and stop pods at once.

`FakeApi` has the surface of `orchestrator.machinery.client.Client` and the semantics that controllers depend on:
revisions, preconditions, status subresources, finalizers, graceful deletion of pods, watches that may lag.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from orchestrator.api import codec
from orchestrator.api.kinds import BUILT_IN
from orchestrator.api.objects import Object, namespaced_key
from orchestrator.api.patches import merge, strategic
from orchestrator.api.resources import NAMESPACES, NODES, PODS, Resource
from orchestrator.api.schema.definitions import schema_of
from orchestrator.api.selectors import parse_field_selector, parse_label_selector
from orchestrator.machinery.client import MERGE_PATCH, STRATEGIC_PATCH, Listing
from orchestrator.machinery.clock import timestamp
from orchestrator.machinery.errors import AlreadyExists, ApiError, Conflict, Forbidden, NotFound, Unreachable
from orchestrator.machinery.watch_stream import WatchEvent

Refusal = Callable[[str, Resource, str], ApiError | None]


class SimulatedClock:
    """The running loop's (virtual) time, shifted to a plausible year."""

    def now(self) -> float:
        return 1_700_000_000.0 + asyncio.get_running_loop().time()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


class FakeApi:
    """The API server and its client in one object. `writes` lists every write that changed something."""

    def __init__(self, clock: SimulatedClock | None = None, *, watch_lag_s: float = 0.001) -> None:
        self.clock = clock or SimulatedClock()
        self.watch_lag_s = watch_lag_s
        self.revision = 0
        self.writes: list[tuple[str, str, str]] = []
        self.refuse: Refusal = lambda method, resource, name: None
        #: Writes for which this is true happen, but their answer does not arrive.
        self.loses_answer: Callable[[str, Resource], bool] = lambda method, resource: False
        self.observers: list[Callable[[str, Resource, Object], None]] = []
        self._objects: dict[str, dict[str, Object]] = {}
        self._watchers: list[tuple[Resource, str, asyncio.Queue[tuple[float, WatchEvent]]]] = []
        self._suffixes = itertools.count()
        self._uids = itertools.count(1)

    def put(self, resource: Resource, obj: Object) -> Object:
        """Create an object directly, as a test's precondition."""
        return self._create(resource, codec.copied(obj), (obj.get("metadata") or {}).get("namespace", ""))

    def all(self, resource: Resource, namespace: str = "") -> list[Object]:
        """Every object of a resource, as it is at this moment."""
        found = self._objects.get(resource.group_resource, {}).values()
        return [obj for obj in found if not namespace or obj["metadata"].get("namespace") == namespace]

    def one(self, resource: Resource, key: str) -> Object:
        """The object with that key, as it is at this moment."""
        return self._objects[resource.group_resource][key]

    def change(self, resource: Resource, key: str, change: Callable[[Object], None]) -> Object:
        """Change an object directly, as a user or a node would."""
        fresh = codec.copied(self.one(resource, key))
        change(fresh)
        return self._write("change", resource, key, fresh)

    def remove(self, resource: Resource, key: str) -> None:
        """Make an object go at once, whatever holds it."""
        obj = self._objects[resource.group_resource].pop(key)
        self.revision += 1
        gone = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.revision)}}
        self._tell("DELETED", resource, gone)

    async def get(self, resource: Resource, name: str, namespace: str = "", *, into: type[Any]) -> Any:
        await asyncio.sleep(0)
        self._check("get", resource, name)
        return _as(self._find(resource, name, namespace), into)

    async def list(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        into: type[Any],
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
    ) -> Listing[Any]:
        await asyncio.sleep(0)
        assert not field_selector or parse_field_selector(field_selector) is not None
        labels = parse_label_selector(label_selector)
        found = [obj for obj in self.all(resource, namespace) if labels.matches(obj["metadata"].get("labels") or {})]
        return Listing(tuple(_as(obj, into) for obj in found[: limit or None]), self.revision)

    async def create(
        self,
        resource: Resource,
        body: Any,
        namespace: str = "",
        *,
        into: type[Any],
        name: str = "",
        subresource: str = "",
    ) -> Any:
        await asyncio.sleep(0)
        assert not subresource, "no subresource is posted to here"
        obj = codec.decode(codec.encode(body))
        self._check("create", resource, (obj.get("metadata") or {}).get("name", ""))
        self._require_open(namespace)
        made = self._create(resource, obj, namespace)
        self._answer("create", resource)
        return _as(made, into)

    async def update(
        self, resource: Resource, name: str, body: Any, namespace: str = "", *, into: type[Any], subresource: str = ""
    ) -> Any:
        await asyncio.sleep(0)
        self._check("update", resource, name)
        old = self._find(resource, name, namespace)
        obj = codec.decode(codec.encode(body))
        meta = obj.setdefault("metadata", {})
        self._require(old, meta)
        obj["metadata"] = {**_identity(old), **meta}
        if resource == NAMESPACES and subresource == "finalize":
            obj["status"] = old.get("status", {})
        return _as(self._write("update", resource, namespaced_key(namespace, name), obj, subresource), into)

    async def patch(
        self,
        resource: Resource,
        name: str,
        body: Any,
        namespace: str = "",
        *,
        into: type[Any],
        subresource: str = "",
        patch_type: str = MERGE_PATCH,
    ) -> Any:
        await asyncio.sleep(0)
        self._check("patch", resource, name)
        old = self._find(resource, name, namespace)
        patch = codec.decode(codec.encode(body))
        self._require(old, patch.get("metadata") or {})
        if patch_type == STRATEGIC_PATCH:
            obj = strategic.apply(old, patch, schema_of(resource))
        else:
            obj = merge.apply(old, patch)
        written = self._write("patch", resource, namespaced_key(namespace, name), obj, subresource)
        self._answer("patch", resource)
        return _as(written, into)

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        resource_version: str = "",
        grace_s: int | None = None,
        propagation: str = "",
    ) -> bytes:
        await asyncio.sleep(0)
        self._check("delete", resource, name)
        old = self._find(resource, name, namespace)
        self._require(old, {"uid": uid, "resourceVersion": resource_version})
        self._delete(resource, namespaced_key(namespace, name), old, grace_s=grace_s, propagation=propagation)
        self._answer("delete", resource)
        return b"{}"

    async def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        revision: int,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[WatchEvent]:
        events: asyncio.Queue[tuple[float, WatchEvent]] = asyncio.Queue()
        entry = (resource, namespace, events)
        # What was written between the list and this watch: everything newer than the revision asked for.
        for obj in self.all(resource, namespace):
            if int(obj["metadata"]["resourceVersion"]) > revision:
                events.put_nowait((0.0, WatchEvent("MODIFIED", codec.encode(obj))))
        self._watchers.append(entry)
        try:
            while True:
                due_s, event = await events.get()
                if (wait_s := due_s - self.clock.monotonic()) > 0:
                    await asyncio.sleep(wait_s)
                yield event
        finally:
            self._watchers.remove(entry)

    async def request(self, method: str, path: str, *, query: Mapping[str, str] | None = None, **_: Any) -> bytes:
        await asyncio.sleep(0)
        if method == "GET":
            return codec.encode(_discovery(path))
        assert method == "DELETE"
        for row in BUILT_IN.rows:
            for namespace in {obj["metadata"].get("namespace", "") for obj in self.all(row.resource)}:
                if row.resource.path(namespace) == path:
                    for obj in self.all(row.resource, namespace):
                        self._delete(row.resource, namespaced_key(namespace, obj["metadata"]["name"]), obj)
        return b"{}"

    def _check(self, method: str, resource: Resource, name: str) -> None:
        refusal = self.refuse(method, resource, name)
        if refusal is not None:
            raise refusal

    def _require_open(self, namespace: str) -> None:
        space = self._objects.get(NAMESPACES.group_resource, {}).get(namespace)
        if space is not None and "deletionTimestamp" in space["metadata"]:
            raise Forbidden(f"unable to create new content in namespace {namespace} because it is being terminated")

    def _answer(self, method: str, resource: Resource) -> None:
        if self.loses_answer(method, resource):
            raise Unreachable(f"no answer to {method} of {resource.plural}")

    def _find(self, resource: Resource, name: str, namespace: str) -> Object:
        obj = self._objects.get(resource.group_resource, {}).get(namespaced_key(namespace, name))
        if obj is None:
            raise NotFound(f'{resource.group_resource} "{name}" not found')
        return obj

    def _require(self, old: Object, wanted: Mapping[str, Any]) -> None:
        for field in ("uid", "resourceVersion"):
            if wanted.get(field) and wanted[field] != old["metadata"][field]:
                raise Conflict(f"the {field} is {old['metadata'][field]}, not {wanted[field]}")

    def _create(self, resource: Resource, obj: Object, namespace: str) -> Object:
        meta = obj.setdefault("metadata", {})
        if namespace:
            meta["namespace"] = namespace
        if not meta.get("name"):
            meta["name"] = f"{meta['generateName']}{next(self._suffixes):05d}"
        objects = self._objects.setdefault(resource.group_resource, {})
        key = namespaced_key(namespace, meta["name"])
        if key in objects:
            raise AlreadyExists(f'{resource.group_resource} "{meta["name"]}" already exists')
        given = obj.get("status")
        row = BUILT_IN.find(resource.group, resource.version, resource.plural)
        assert row is not None
        row.strategy.default(obj)
        row.strategy.prepare_create(obj)
        if given:
            obj["status"] = {**(obj.get("status") or {}), **given}
        self.revision += 1
        meta = obj["metadata"]
        meta.setdefault("uid", f"uid-{next(self._uids)}")
        meta.setdefault("creationTimestamp", timestamp(self.clock.now()))
        meta.setdefault("generation", 1)
        meta["resourceVersion"] = str(self.revision)
        objects[key] = obj
        self.writes.append(("create", resource.plural, key))
        self._tell("ADDED", resource, obj)
        return obj

    def _write(self, method: str, resource: Resource, key: str, obj: Object, subresource: str = "") -> Object:
        old = self.one(resource, key)
        row = BUILT_IN.find(resource.group, resource.version, resource.plural)
        assert row is not None
        if subresource == "status":
            obj = {**old, "status": obj.get("status", {})}
        elif row.door("status") and method != "change":
            obj = {**obj, "status": old.get("status", {})}
        row.strategy.default(obj)
        meta = obj["metadata"]
        meta["resourceVersion"] = old["metadata"]["resourceVersion"]
        if obj == old:
            return old
        if obj.get("spec") != old.get("spec"):
            meta["generation"] = old["metadata"].get("generation", 1) + 1
        self.revision += 1
        obj = {**obj, "metadata": {**meta, "resourceVersion": str(self.revision)}}
        self.writes.append((method, resource.plural, key))
        if _is_released(obj):
            self.remove(resource, key)
            return obj
        self._objects[resource.group_resource][key] = obj
        self._tell("MODIFIED", resource, obj)
        return obj

    def _delete(
        self, resource: Resource, key: str, old: Object, *, grace_s: int | None = None, propagation: str = ""
    ) -> None:
        obj = codec.copied(old)
        meta = obj["metadata"]
        finalizers = list(meta.get("finalizers") or ())
        wanted = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}.get(propagation)
        if wanted and wanted not in finalizers:
            finalizers.append(wanted)
        if finalizers:
            meta["finalizers"] = finalizers
        graceful = resource == PODS and bool(obj["spec"].get("nodeName")) and grace_s != 0
        graceful = graceful and (obj.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
        held = bool(finalizers) or (resource == NAMESPACES and bool(obj.get("spec", {}).get("finalizers")))
        if not graceful and not held:
            self.writes.append(("delete", resource.plural, key))
            self.remove(resource, key)
            return
        if "deletionTimestamp" not in meta:
            meta["deletionTimestamp"] = timestamp(self.clock.now())
            meta["deletionGracePeriodSeconds"] = 30 if graceful else 0
        if obj != old:
            self.revision += 1
            meta["resourceVersion"] = str(self.revision)
            self._objects[resource.group_resource][key] = obj
            self.writes.append(("delete", resource.plural, key))
            self._tell("MODIFIED", resource, obj)

    def _tell(self, type_: str, resource: Resource, obj: Object) -> None:
        event = WatchEvent(type_, codec.encode(obj))
        due_s = self.clock.monotonic() + self.watch_lag_s
        for watched, namespace, events in self._watchers:
            if watched == resource and (not namespace or obj["metadata"].get("namespace") == namespace):
                events.put_nowait((due_s, event))
        for observe in tuple(self.observers):
            observe(type_, resource, obj)


class FakeNodes:
    """Scheduler and node agents at once: pods are bound, become ready after `start_s` and end after `stop_s`."""

    def __init__(self, api: FakeApi, *names: str, start_s: float = 1.0, stop_s: float = 0.5) -> None:
        self.api = api
        self.start_s, self.stop_s = start_s, stop_s
        #: Pods for which this is true never become ready.
        self.is_broken: Callable[[Object], bool] = lambda pod: False
        self._names = itertools.cycle(names)
        self._addresses = itertools.count(2)
        for name in names:
            self.api.put(NODES, ready_node(name, timestamp(api.clock.now())))
        api.observers.append(self._observe)

    def _observe(self, type_: str, resource: Resource, pod: Object) -> None:
        if resource != PODS or type_ == "DELETED":
            return
        loop = asyncio.get_running_loop()
        meta = pod["metadata"]
        key, uid = namespaced_key(meta["namespace"], meta["name"]), meta["uid"]
        if meta.get("deletionTimestamp"):
            loop.call_later(self.stop_s, self._end, key, uid)
        elif type_ == "ADDED" and not pod["spec"].get("nodeName"):
            loop.call_soon(self._bind, key, uid)

    def _there(self, key: str, uid: str) -> bool:
        pod = {namespaced_key(p["metadata"]["namespace"], p["metadata"]["name"]): p for p in self.api.all(PODS)}.get(
            key
        )
        return pod is not None and pod["metadata"]["uid"] == uid

    def _bind(self, key: str, uid: str) -> None:
        if not self._there(key, uid):
            return
        name = next(self._names)
        pod = self.api.change(PODS, key, lambda pod: pod["spec"].update(nodeName=name))
        if not self.is_broken(pod):
            asyncio.get_running_loop().call_later(self.start_s, self._start, key, uid)

    def _start(self, key: str, uid: str) -> None:
        if not self._there(key, uid):
            return
        number = next(self._addresses)
        address = f"10.244.{number // 250}.{number % 250}"
        at = timestamp(self.api.clock.now())

        def start(pod: Object) -> None:
            pod["status"] = {
                **(pod.get("status") or {}),
                "phase": "Running",
                "podIP": address,
                "podIPs": [{"ip": address}],
                "conditions": [
                    {"type": type_, "status": "True", "lastTransitionTime": at}
                    for type_ in ("Ready", "ContainersReady")
                ],
            }

        self.api.change(PODS, key, start)

    def _end(self, key: str, uid: str) -> None:
        if self._there(key, uid):
            self.api.remove(PODS, key)


def ready_node(name: str, at: str = "2026-01-01T00:00:00Z") -> Object:
    """A node whose agent says that all is well."""
    condition = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "ok"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name},
        "spec": {},
        "status": {"conditions": [{**condition, "lastHeartbeatTime": at, "lastTransitionTime": at}]},
    }


def _identity(old: Object) -> Object:
    fields = ("name", "namespace", "uid", "creationTimestamp", "generation", "deletionTimestamp", "resourceVersion")
    return {field: old["metadata"][field] for field in fields if field in old["metadata"]}


def _is_released(obj: Object) -> bool:
    meta = obj["metadata"]
    if not meta.get("deletionTimestamp") or meta.get("finalizers"):
        return False
    if obj.get("kind") == "Namespace":
        return not obj.get("spec", {}).get("finalizers")
    return not (obj.get("kind") == "Pod" and meta.get("deletionGracePeriodSeconds"))


def _as(obj: Object, into: type[Any]) -> Any:
    data = codec.encode(obj)
    return data if into is bytes else codec.decode_into(data, into)


def _discovery(path: str) -> Object:
    rows = [row for row in BUILT_IN.rows if "list" in row.verbs]
    groups = sorted({row.resource.group for row in rows if row.resource.group})
    if path == "/apis":
        return {"groups": [{"name": group, "preferredVersion": {"version": "v1"}} for group in groups]}
    group = path.split("/")[2] if path.startswith("/apis/") else ""
    return {
        "resources": [
            {
                "name": row.resource.plural,
                "kind": row.resource.kind,
                "namespaced": row.resource.namespaced,
                "verbs": list(row.verbs),
            }
            for row in rows
            if row.resource.group == group
        ]
    }
