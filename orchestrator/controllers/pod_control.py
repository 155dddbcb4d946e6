"""What a controller of pods does to the API, one implementation for all: adopt, release, create, delete, report.

A race (somebody else adopted, the object is gone, the cache is behind) raises `Conflict` or `RetryLater`: the sync is
tried again and nobody is told. What the API refuses to create or delete is a `Failure`, which the owner's status tells.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from orchestrator.api.objects import Object
from orchestrator.api.resources import PODS
from orchestrator.api.views.meta import LabelSelector, MetaView, ObjectMeta, owner_reference
from orchestrator.api.views.workloads import Pod
from orchestrator.controllers.batches import BATCH_MAX, all_of
from orchestrator.controllers.context import Recorder
from orchestrator.controllers.own_writes import OwnWrites
from orchestrator.controllers.ownership import Owned, adoption_patch, claim, release_patch
from orchestrator.controllers.refusals import namespace_is_going
from orchestrator.machinery.client import STRATEGIC_PATCH, Client
from orchestrator.machinery.errors import AlreadyExists, ApiError, Conflict, Invalid, NotFound, RetryLater
from orchestrator.machinery.informer import Informer

# How soon to try a name again that a pod of ours has which the cache does not show yet.
_NAME_TAKEN_S = 1.0


class _Selecting(Protocol):
    @property
    def selector(self) -> LabelSelector: ...


class Owner(Protocol):
    """What owns others by its selector, and has a status."""

    @property
    def metadata(self) -> ObjectMeta: ...

    @property
    def spec(self) -> _Selecting: ...

    @property
    def status(self) -> Any: ...


class FailureKind(enum.StrEnum):
    """What was refused, in the words of conditions and events."""

    CREATE = "FailedCreate"
    DELETE = "FailedDelete"


@dataclass(frozen=True, slots=True)
class Failure:
    """A pod that the API refused to create or to delete, for the owner's status to tell."""

    kind: FailureKind
    error: ApiError


@dataclass(frozen=True, slots=True)
class Words:
    """The messages of a controller's events, for `str.format` with `pod`, `owner` and `why`."""

    created: str = "Created pod: {pod}"
    create_failed: str = "Error creating: {why}"
    deleted: str = "Deleted pod: {pod}"
    delete_failed: str = "Error deleting: {why}"


class OwnerControl:
    """What owners of one kind do to what they own, whatever that is."""

    def __init__(self, client: Client, owners: Informer[Any], own: OwnWrites) -> None:
        self._client = client
        self._owners = owners
        self._own = own

    def reference_to(self, owner: Owner) -> Object:
        """The controller's owner reference that marks what it owns."""
        kind = self._owners.resource
        return owner_reference(api_version=kind.api_version, kind=kind.kind, meta=owner.metadata)

    async def adopt(self, owner: Owner, cache: Informer[Any], orphans: Sequence[Owned]) -> None:
        """Make `orphans`, which `cache` shows, the owner's. Raises `Conflict` if it may not, or somebody was faster."""
        if not orphans:
            return
        await self._require_alive(owner, cache)
        reference = self.reference_to(owner)
        patches = [(orphan.metadata, adoption_patch(reference, orphan.metadata)) for orphan in orphans]
        await self._patch_all(owner, cache, patches)

    async def release(self, owner: Owner, cache: Informer[Any], strangers: Sequence[Owned]) -> None:
        """Take the owner's reference off what it should not own."""
        uid = owner.metadata.uid
        await self._patch_all(owner, cache, [(one.metadata, release_patch(uid, one.metadata)) for one in strangers])

    async def delete(self, owner: Owner, cache: Informer[Any], meta: ObjectMeta, *, resource_version: str = "") -> bool:
        """Delete one thing it owns, which `cache` shows; False if that one is gone already.

        With `resource_version` only as long as it is as it was seen: raises `Conflict` otherwise.
        """
        try:
            await self._client.delete(
                cache.resource, meta.name, meta.namespace, uid=meta.uid, resource_version=resource_version
            )
        except NotFound:
            return False
        except Conflict:
            if resource_version:
                raise
            return False  # a namesake took its place
        self._own.deleted(owner.metadata.key, cache, meta)
        return True

    async def report(self, owner: Owner, status: Any) -> None:
        """Write the owner's status, if it differs from the one it was decided on."""
        if status == owner.status:
            return
        meta = owner.metadata
        try:
            written = await self._client.patch(
                self._owners.resource,
                meta.name,
                {"metadata": {"uid": meta.uid}, "status": status},
                meta.namespace,
                into=MetaView,
                subresource="status",
            )
        except NotFound:
            return
        self._own.wrote(meta.key, self._owners, written.metadata)

    async def _require_alive(self, owner: Owner, cache: Informer[Any]) -> None:
        """The cache may be behind: one that is gone, replaced or going must not adopt."""
        meta, kind = owner.metadata, self._owners.resource
        try:
            live = await self._client.get(kind, meta.name, meta.namespace, into=MetaView)
        except NotFound:
            live = MetaView()
        if live.metadata.uid != meta.uid or live.metadata.deletion_timestamp is not None:
            raise Conflict(f"cannot adopt {cache.resource.plural}: {kind.kind} '{meta.key}' is gone or going")

    async def _patch_all(
        self, owner: Owner, cache: Informer[Any], patches: Sequence[tuple[ObjectMeta, Object]]
    ) -> None:
        for start in range(0, len(patches), BATCH_MAX):
            batch = patches[start : start + BATCH_MAX]
            await all_of("patch-owner", [self._patch_owner(owner, cache, meta, patch) for meta, patch in batch])

    async def _patch_owner(self, owner: Owner, cache: Informer[Any], meta: ObjectMeta, patch: Object) -> None:
        try:
            written = await self._client.patch(
                cache.resource, meta.name, patch, meta.namespace, into=MetaView, patch_type=STRATEGIC_PATCH
            )
        except NotFound:
            return
        except Invalid as refused:
            # The API holds that nothing has two controllers: somebody adopted it since we looked.
            raise Conflict(f"cannot change the owner of '{meta.key}': {refused.message}") from refused
        self._own.wrote(owner.metadata.key, cache, written.metadata)


class PodControl(OwnerControl):
    """What owners of pods do: the above, and create and delete pods with events that say so."""

    def __init__(
        self,
        client: Client,
        owners: Informer[Any],
        pods: Informer[Pod],
        own: OwnWrites,
        recorder: Recorder,
        words: Words = Words(),
    ) -> None:
        super().__init__(client, owners, own)
        self._pods = pods
        self._recorder = recorder
        self._words = words

    async def create(self, owner: Owner, bodies: Sequence[Object]) -> Failure | None:
        """Create pods, in batches of 1, 2, 4, …: a refusal costs one request before it would cost hundreds.

        The first refusal ends it. A namespace that is going is none: nothing is wrong then, and nothing to do.
        """
        start, size = 0, 1
        while start < len(bodies):
            batch = bodies[start : start + min(size, BATCH_MAX)]
            refused = [error for error in await all_of("create-pod", [self._create(owner, b) for b in batch]) if error]
            if any(namespace_is_going(error) for error in refused):
                return None
            if refused:
                return Failure(FailureKind.CREATE, refused[0])
            start += len(batch)
            size *= 2
        return None

    async def delete_pods(self, owner: Owner, doomed: Sequence[Pod]) -> Failure | None:
        """Delete pods; one that is gone, or whose name another has, is as wanted. The first refusal ends it."""
        for start in range(0, len(doomed), BATCH_MAX):
            batch = doomed[start : start + BATCH_MAX]
            refused = [error for error in await all_of("delete-pod", [self._delete(owner, p) for p in batch]) if error]
            if refused:
                return Failure(FailureKind.DELETE, refused[0])
        return None

    async def _create(self, owner: Owner, body: Object) -> ApiError | None:
        name = body["metadata"].get("name", "")
        try:
            pod = await self._client.create(PODS, body, owner.metadata.namespace, into=MetaView)
        except AlreadyExists as taken:
            if name and await self._is_ours_to_be(owner, name):
                raise RetryLater(f"pod '{name}' is not in the cache yet", delay_s=_NAME_TAKEN_S) from taken
            error: ApiError = taken
        except ApiError as refused:
            error = refused
        else:
            self._own.wrote(owner.metadata.key, self._pods, pod.metadata)
            self._tell(owner, "Normal", "SuccessfulCreate", self._words.created, pod.metadata.name)
            return None
        if not namespace_is_going(error):
            self._tell(owner, "Warning", FailureKind.CREATE, self._words.create_failed, name, error.message)
        return error

    async def _is_ours_to_be(self, owner: Owner, name: str) -> bool:
        """Whether the pod that has the name is the owner's, may be adopted by it, or is gone again."""
        meta = owner.metadata
        try:
            live = await self._client.get(PODS, name, meta.namespace, into=MetaView)
        except NotFound:
            return True
        claimed = claim(meta, owner.spec.selector, (live,))
        return bool(claimed.owned or claimed.adopt)

    async def _delete(self, owner: Owner, pod: Pod) -> ApiError | None:
        name = pod.metadata.name
        try:
            gone = not await self.delete(owner, self._pods, pod.metadata)
        except ApiError as refused:
            self._tell(owner, "Warning", FailureKind.DELETE, self._words.delete_failed, name, refused.message)
            return refused
        if not gone:
            self._tell(owner, "Normal", "SuccessfulDelete", self._words.deleted, name)
        return None

    def _tell(self, owner: Owner, type_: str, reason: str, words: str, pod: str, why: str = "") -> None:
        message = words.format(pod=pod, owner=owner.metadata.name, why=why)
        say = self._recorder.normal if type_ == "Normal" else self._recorder.warning
        say(self._owners.resource, owner, reason, message)
