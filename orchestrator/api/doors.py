"""Doors: the ways into an object, each with the pure rules of what comes in by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from orchestrator.api.objects import Object
from orchestrator.api.problems import Problem, invalid
from orchestrator.api.selectors import selector_of

if TYPE_CHECKING:
    from orchestrator.api.strategies.base import Strategy


_READ_AND_WRITE = ("get", "patch", "update")


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """A way into an object. Doors are values: equal ones do the same. Some only lead on (logs, exec), to the nodes."""

    #: The subresource; empty for the object itself.
    name: str = ""
    #: What may be done through it.
    verbs: tuple[str, ...] = ()
    #: The kind of body that it takes and shows, with its group and version; empty for the object's own.
    kind: str = ""
    group: str = ""
    version: str = ""

    @property
    def api_version(self) -> str:
        """The body's `apiVersion`, where it is not the object."""
        return f"{self.group}/{self.version}" if self.group else self.version


@dataclass(frozen=True, slots=True, kw_only=True)
class Leads(Door):
    """Leads on to the node that has what is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Writes(Door):
    """A door by which an object is written, with the rules of what comes in.

    The server calls, on its own copy of the object: the strategy's `default` (where `has_defaults`), `prepare`, then
    `validate`. `old` is None for a creation, which only the main door lets in.
    """

    #: Whether what comes in is given the kind's defaults.
    has_defaults: ClassVar[bool] = False
    #: Whether a change of what is wanted raises the generation, for kinds that count.
    counts_generation: ClassVar[bool] = False
    #: Whether admission is asked about the change. If not, it has been asked about what led to it.
    asks_admission: ClassVar[bool] = True
    #: Whether what the row says that an object takes of something shared is claimed here.
    claims: ClassVar[bool] = False

    def prepare(self, strategy: Strategy, obj: Object, old: Object | None, now: str) -> None:
        """Carry over, or drop, what may not change through this door. `now` is the time as a timestamp."""

    def validate(self, strategy: Strategy, obj: Object, old: Object | None) -> Sequence[Problem]:
        """All rules that the object or the change breaks."""
        return ()

    def warnings(self, strategy: Strategy, obj: Object, old: Object | None) -> Sequence[str]:
        """What to tell the client though the object is accepted."""
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Part(Writes):
    """A part of the object, read and written as the whole object."""

    verbs: tuple[str, ...] = _READ_AND_WRITE


@dataclass(frozen=True, slots=True, kw_only=True)
class Main(Writes):
    """The object itself."""

    has_defaults = True
    counts_generation = True
    claims = True

    def prepare(self, strategy: Strategy, obj: Object, old: Object | None, now: str) -> None:
        if old is None:
            strategy.prepare_create(obj)
        else:
            strategy.prepare_update(obj, old)

    def validate(self, strategy: Strategy, obj: Object, old: Object | None) -> Sequence[Problem]:
        return strategy.validate_create(obj) if old is None else strategy.validate_update(obj, old)

    def warnings(self, strategy: Strategy, obj: Object, old: Object | None) -> Sequence[str]:
        return strategy.warnings(obj, old)


@dataclass(frozen=True, slots=True, kw_only=True)
class Status(Part):
    """`/status`: everything but status and metadata stays as it is, and of the metadata, the owners."""

    name: str = "status"

    def prepare(self, strategy: Strategy, obj: Object, old: Object | None, now: str) -> None:
        assert old is not None
        for field in [field for field in obj if field not in ("metadata", "status")]:
            del obj[field]
        obj.update({field: value for field, value in old.items() if field not in ("metadata", "status")})
        if owners := old["metadata"].get("ownerReferences"):
            obj["metadata"]["ownerReferences"] = owners
        else:
            obj["metadata"].pop("ownerReferences", None)
        strategy.prepare_status_update(obj, old)

    def validate(self, strategy: Strategy, obj: Object, old: Object | None) -> Sequence[Problem]:
        assert old is not None
        return strategy.validate_status_update(obj, old)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale(Main):
    """`/scale`: how many replicas there are and shall be, in one shape for every kind that has them.

    What comes in changes the object by the rules of the main door. The paths say where the object has its fields.
    """

    name: str = "scale"
    verbs: tuple[str, ...] = _READ_AND_WRITE
    kind: str = "Scale"
    group: str = "autoscaling"
    version: str = "v1"
    spec_replicas: tuple[str, ...] = ("spec", "replicas")
    status_replicas: tuple[str, ...] = ("status", "replicas")
    selector: tuple[str, ...] = ("spec", "selector")

    def shown(self, obj: Object) -> Object:
        """The object's Scale."""
        meta = obj["metadata"]
        shown = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        scale: Object = {
            "kind": self.kind,
            "apiVersion": self.api_version,
            "metadata": {field: meta[field] for field in shown if field in meta},
            "spec": {"replicas": _get(obj, self.spec_replicas) or 0},
            "status": {"replicas": _get(obj, self.status_replicas) or 0},
        }
        if selector := str(selector_of(_get(obj, self.selector) or {})):
            scale["status"]["selector"] = selector
        return scale

    def validate_body(self, scale: Object) -> Sequence[Problem]:
        """All rules that a Scale breaks."""
        replicas = (scale.get("spec") or {}).get("replicas") or 0
        return [invalid("spec.replicas", replicas, "must be greater than or equal to 0")] if replicas < 0 else []

    def apply(self, obj: Object, scale: Object) -> None:
        """Have the object be as its Scale says."""
        _set(obj, self.spec_replicas, (scale.get("spec") or {}).get("replicas") or 0)
        for field in ("uid", "resourceVersion"):
            if asked := scale["metadata"].get(field):
                obj["metadata"][field] = asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Post(Writes):
    """A door to which a body of another kind is posted. Admission is asked about that, not about what it leads to."""

    verbs: tuple[str, ...] = ("create",)
    asks_admission = False

    def validate_body(self, body: Object) -> Sequence[Problem]:
        """All rules that the body breaks."""
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Act(Post):
    """What is posted changes the object, by rules that make sure that the result is right."""

    def refusal(self, obj: Object, body: Object) -> str:
        """Why the body does not fit the object as it is; empty if it does."""
        return ""

    def apply(self, obj: Object, body: Object, now: str) -> None:
        """Change the object as the body says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal(Post):
    """What is posted deletes the object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue(Post):
    """What is posted is answered with something made for the object, which stays as it is."""


MAIN = Main()
STATUS = Status()


def _get(obj: Object, path: tuple[str, ...]) -> Any:
    value: Any = obj
    for field in path:
        value = (value or {}).get(field)
    return value


def _set(obj: Object, path: tuple[str, ...], value: Any) -> None:
    for field in path[:-1]:
        obj = obj.setdefault(field, {})
    obj[path[-1]] = value
