"""Which objects a controller owns, should adopt, and must let go: by controller reference and selector."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from orchestrator.api.objects import namespaced_key
from orchestrator.api.views.meta import LabelSelector, ObjectMeta


class Owned(Protocol):
    """Anything with metadata."""

    @property
    def metadata(self) -> ObjectMeta: ...


class Selects(Protocol):
    """A spec with a selector."""

    @property
    def selector(self) -> LabelSelector: ...


class Owner(Protocol):
    """What may own others by its selector."""

    @property
    def metadata(self) -> ObjectMeta: ...

    @property
    def spec(self) -> Selects: ...


T = TypeVar("T", bound=Owned)


@dataclass(frozen=True, slots=True)
class Claim(Generic[T]):
    """`owned` are ours already; `adopt` match and have no controller; `release` are ours and match no longer."""

    owned: tuple[T, ...] = ()
    adopt: tuple[T, ...] = ()
    release: tuple[T, ...] = ()


def _anything(_: object) -> bool:
    return True


def concerned(
    old: Owned | None, new: Owned | None, *, kind: str, owners_in: Callable[[str], Iterable[Owner]]
) -> Iterator[str]:
    """Keys of the owners of `kind` that a change concerns, `owners_in` giving those of a namespace.

    They are the object's controllers before and after, and, where it has none, whoever might adopt it.
    """
    for owned in (old, new):
        if owned is None:
            continue
        meta = owned.metadata
        if meta.controller is not None:
            if meta.controller.kind == kind:
                yield namespaced_key(meta.namespace, meta.controller.name)
        elif owned is new:
            for owner in owners_in(meta.namespace):
                if owner.spec.selector.matches(meta.labels):
                    yield owner.metadata.key


def claim(
    owner: ObjectMeta, selector: LabelSelector, candidates: Sequence[T], fits: Callable[[T], bool] = _anything
) -> Claim[T]:
    """Sort candidates by what their would-be owner has to do with them.

    An owner that is being deleted neither adopts nor releases; what is being deleted is not adopted. `fits` is an
    additional rule for membership (a StatefulSet's pods carry its name).
    """
    owned: list[T] = []
    adopt: list[T] = []
    release: list[T] = []
    going = owner.deletion_timestamp is not None
    for candidate in candidates:
        meta = candidate.metadata
        matches = selector.matches(meta.labels) and fits(candidate)
        reference = meta.controller
        if reference is not None:
            if reference.uid == owner.uid and matches:
                owned.append(candidate)
            elif reference.uid == owner.uid and not going:
                release.append(candidate)
        elif matches and not going and meta.deletion_timestamp is None and meta.namespace == owner.namespace:
            adopt.append(candidate)
    return Claim(tuple(owned), tuple(adopt), tuple(release))


def adoption_patch(reference: dict[str, Any], meta: ObjectMeta) -> dict[str, Any]:
    """The strategic merge patch that adds an owner; its uid makes it fail on a namesake."""
    return {"metadata": {"ownerReferences": [reference], "uid": meta.uid}}


def release_patch(owner_uid: str, meta: ObjectMeta) -> dict[str, Any]:
    """The strategic merge patch that takes an owner away."""
    return {"metadata": {"ownerReferences": [{"$patch": "delete", "uid": owner_uid}], "uid": meta.uid}}
