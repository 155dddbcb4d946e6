"""What a strategy is: the rules of one kind as pure functions on plain dicts; the plain one is for kinds without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from orchestrator.api.objects import Object
from orchestrator.api.problems import Problem


class Asker(Protocol):
    """Who asks for an object, as the server knows it."""

    @property
    def name(self) -> str: ...
    @property
    def groups(self) -> Sequence[str]: ...
    @property
    def uid(self) -> str: ...
    @property
    def extra(self) -> Mapping[str, Sequence[str]]: ...


class Strategy:
    """The rules of one kind; kinds with rules of their own override what differs.

    The server calls, in this order, on its own copy of the object: `default`, `prepare_create` or `prepare_update`,
    then `validate_create` or `validate_update`; `doors.py` has the order of what comes in another way. Metadata that
    every kind shares (name, labels, uid, generation, timestamps, managedFields) is the server's business, not a
    strategy's. Only its validation is here: every `validate_…` of a kind includes `metadata.validate_object_meta`, so
    that one answer names all that is wrong.
    """

    #: `spec` changes raise `metadata.generation`; kinds without a spec/status split say False.
    has_generation: bool = True
    #: False where a PUT on a missing object creates it (leases, events, …: Kubernetes' AllowCreateOnUpdate).
    must_exist_for_update: bool = True
    #: Whether an update without resourceVersion is accepted and wins.
    allows_unconditional_update: bool = True
    #: Whether a deletion may take time: what `grace_seconds` says.
    graceful: bool = False
    #: Whether the garbage collector follows its owners and dependents (False: Kubernetes' `Unsupported`). What it does
    #: not follow is given no finalizer for it, since nobody would take that off.
    collected: bool = True
    #: Whether `is_plain_name` can be relied on. Such kinds may be created by template: then no rule, default or warning
    #: but what it covers may look at the name of a new object.
    knows_plain_names: bool = False
    #: Why an object that is being deleted cannot be deleted again; empty where that does no harm.
    deleted_twice: str = ""

    def __eq__(self, other: object) -> bool:
        """Strategies are values: of one class and with the same settings, they have the same rules."""
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(type(self))

    def prepare_create(self, obj: Object) -> None:
        """Drop what a client may not set on create: a status, for kinds that have one (see `spec_status.py`)."""

    def sign(self, obj: Object, asker: Asker) -> None:
        """Write down on a new object who asks for it, for kinds where that matters: it is not the client's to say."""

    def prepare_update(self, obj: Object, old: Object) -> None:
        """Carry over what a client may not change through the main resource: a status, for kinds that have one."""

    def prepare_status_update(self, obj: Object, old: Object) -> None:
        """Carry over what may not change through `/status`, beyond what its door keeps for every kind."""

    def default(self, obj: Object) -> None:
        """Fill Kubernetes' defaults in place; idempotent, since admission may add what needs some too."""

    def validate_create(self, obj: Object) -> Sequence[Problem]:
        """All rules the object breaks; empty if none. The schema was checked before: types are right."""
        return ()

    def validate_update(self, obj: Object, old: Object) -> Sequence[Problem]:
        """All rules the object or the change breaks (immutable fields included)."""
        return self.validate_create(obj)

    def validate_status_update(self, obj: Object, old: Object) -> Sequence[Problem]:
        """All rules the new status breaks."""
        return ()

    def is_plain_name(self, name: str) -> bool:
        """Whether no rule and no warning has anything to say about a new object's name."""
        return False

    def grace_seconds(self, obj: Object, requested: int | None) -> int:
        """How long a deletion of this object takes; `requested` is what the client asks for."""
        return 0

    def is_held(self, obj: Object) -> bool:
        """Whether the deletion waits for something besides finalizers and grace."""
        return False

    def mark_deleted(self, obj: Object) -> None:
        """Have the object show that its deletion has begun, beyond what its metadata says."""

    def selectable_fields(self, obj: Object) -> Mapping[str, str]:
        """The fields a field selector may name besides metadata.name and metadata.namespace, as strings."""
        return {}

    def warnings(self, obj: Object, old: Object | None) -> Sequence[str]:
        """What to tell the client in `Warning` headers though the object is accepted."""
        return ()
