"""What admission sees of a request, what it may read of the cluster, and what a plugin is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from orchestrator.api.objects import Object
from orchestrator.api.resources import Resource
from orchestrator.server.authentication.base import User
from orchestrator.server.dice import Dice

if TYPE_CHECKING:
    from orchestrator.api.kinds import Kind

Operation = Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]


@dataclass(slots=True, kw_only=True)
class AdmissionRequest:
    """One write on its way to the store. Plugins may change `obj` in place while mutating, nothing else ever.

    `obj` is None for deletions, `old` for creations. `options` are the request's create, update or delete options.
    `objects` and `dice` are all that a plugin may know besides.
    """

    kind: Kind
    operation: Operation
    obj: Object | None
    old: Object | None
    user: User
    namespace: str
    name: str
    objects: Objects
    dice: Dice
    subresource: str = ""
    dry_run: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


class Admission(Protocol):
    """One link of the chain, or the chain itself. Synchronous and without memory; raises `Forbidden` … to refuse."""

    def mutate(self, request: AdmissionRequest) -> None:
        """Fill in or change `request.obj`, whose types have been checked and defaults filled in.

        What is left to default in what is added, is defaulted afterwards; then the strategy prepares and validates.
        """
        ...

    def validate(self, request: AdmissionRequest) -> None:
        """Refuse by raising; called on the object as it will be stored."""
        ...


class Objects(Protocol):
    """Read access to the watch cache, as authentication, authorization and admission need it: stamped object bytes."""

    def get(self, resource: Resource, namespace: str, name: str) -> bytes | None: ...

    def list(self, resource: Resource, namespace: str = "") -> Iterable[bytes]:
        """All objects, or those of one namespace."""
        ...

    def by_index(self, resource: Resource, index: str, value: str) -> Iterable[bytes]:
        """Objects by a hot field: pods by `spec.nodeName`."""
        ...
