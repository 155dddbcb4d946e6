"""All kinds served at one moment, as a value: the snapshot that routing, discovery, OpenAPI and schemas read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar, TypeVarTuple

from orchestrator.api.kinds.kind import Kind
from orchestrator.api.resources import Resource

T = TypeVar("T")
Args = TypeVarTuple("Args")
Path = tuple[str, str, str]

#: Groups in the order in which clients should prefer them when a word fits several; others follow by name.
_PREFERRED = (
    "",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "coordination.k8s.io",
    "discovery.k8s.io",
)

_VERSION = re.compile(r"v([1-9][0-9]*)(?:(alpha|beta)([1-9][0-9]*))?")


class Kinds:
    """A snapshot of the table of kinds. It never changes: `replaced` makes the next one, a generation later.

    What is computed from it (documents, schemas) hangs on it by `derived`, and goes when it goes.
    """

    __slots__ = ("_by_kind", "_by_path", "_derived", "_groups", "generation", "rows")

    def __init__(self, rows: Iterable[Kind], *, generation: int = 1) -> None:
        self.rows = tuple(rows)
        self.generation = generation
        self._by_path = {path_of(row.resource): row for row in self.rows}
        self._by_kind = {(row.resource.api_version, row.resource.kind): row for row in self.rows}
        assert len(self._by_path) == len(self._by_kind) == len(self.rows), "two rows of one name"
        self._groups = _groups_of(self.rows)
        self._derived: dict[tuple[Any, ...], Any] = {}

    def find(self, group: str, version: str, plural: str) -> Kind | None:
        """The row that a URL names; None if this version of the group serves no such resource."""
        return self._by_path.get((group, version, plural))

    def by_kind(self, api_version: str, kind: str) -> Kind | None:
        """The row of an object's `apiVersion` and `kind`."""
        return self._by_kind.get((api_version, kind))

    @property
    def groups(self) -> Sequence[str]:
        """All groups that are served, the core group too, in order of preference.

        A group without a resource of its own is one of them where a subresource speaks its kind: `kubectl drain` looks
        for `policy` before it evicts.
        """
        return tuple(self._groups)

    def versions(self, group: str) -> Sequence[str]:
        """The versions of a group, the preferred one first; empty if it is not served."""
        return self._groups.get(group, ())

    def of(self, group: str, version: str) -> tuple[Kind, ...]:
        """The rows of one group and version, by plural."""
        found = [row for row in self.rows if (row.resource.group, row.resource.version) == (group, version)]
        return tuple(sorted(found, key=lambda row: row.resource.plural))

    def replaced(self, *, put: Iterable[Kind] = (), drop: Iterable[Resource] = ()) -> Kinds:
        """The next snapshot: with these rows put in the place of those of their name, or at the end, and those gone."""
        rows = dict(self._by_path)
        for resource in drop:
            rows.pop(path_of(resource), None)
        rows |= {path_of(row.resource): row for row in put}
        return Kinds(rows.values(), generation=self.generation + 1)

    def gone_in(self, later: Kinds) -> tuple[Kind, ...]:
        """The rows that a later snapshot does not have, or has otherwise."""
        return tuple(row for path, row in self._by_path.items() if later._by_path.get(path) != row)

    def known(self, make: Callable[[Kinds, *Args], T], *args: *Args) -> T | None:
        """What `derived` has computed already; None if nobody asked yet."""
        return self._derived.get((make, *args))

    def derived(self, make: Callable[[Kinds, *Args], T], *args: *Args) -> T:
        """`make(self, *args)`, computed once; `make` is a module's own function, and nothing else flows into it."""
        key = (make, *args)
        if key not in self._derived:
            self._derived[key] = make(self, *args)
        found: T = self._derived[key]
        return found


def path_of(resource: Resource) -> Path:
    """What a URL says of a resource."""
    return resource.group, resource.version, resource.plural


def _groups_of(rows: Sequence[Kind]) -> dict[str, tuple[str, ...]]:
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row.resource.group, set()).add(row.resource.version)
        for subresource in row.subresources:
            if subresource.version:
                found.setdefault(subresource.group, set()).add(subresource.version)
    ranks = {group: rank for rank, group in enumerate(_PREFERRED)}
    ordered = sorted(found, key=lambda group: (ranks.get(group, len(ranks)), group))
    return {group: tuple(sorted(found[group], key=_version_order)) for group in ordered}


def _version_order(version: str) -> tuple[int, int, int, str]:
    """Kubernetes' order of versions: `v2`, `v1`, `v1beta2`, `v1beta1`, `v1alpha1`, then all others by name."""
    match = _VERSION.fullmatch(version)
    if match is None:
        return 3, 0, 0, version
    major, stage, minor = match.groups()
    return ("", "beta", "alpha").index(stage or ""), -int(major), -int(minor or 0), ""
