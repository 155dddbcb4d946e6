"""Whom a change concerns."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from orchestrator.api.views.meta import LabelSelector, MetaView, ObjectMeta, OwnerReference
from orchestrator.controllers.ownership import concerned


@dataclass(frozen=True)
class Spec:
    selector: LabelSelector


@dataclass(frozen=True)
class AnOwner:
    metadata: ObjectMeta
    spec: Spec


OWNERS = [
    AnOwner(ObjectMeta(name=name, namespace="default"), Spec(LabelSelector(match_labels={"app": app})))
    for name, app in (("web-1", "web"), ("web-2", "web"), ("db", "db"))
]


def a_pod(owner: str = "", *, kind: str = "ReplicaSet", namespace: str = "default") -> MetaView:
    owners = (OwnerReference(kind=kind, name=owner, uid=owner, controller=True),) if owner else ()
    meta = ObjectMeta(name="p", namespace=namespace, labels={"app": "web"}, owner_references=owners)
    return MetaView(metadata=meta)


@pytest.mark.parametrize(
    ("old", "new", "keys"),
    [
        pytest.param(None, a_pod("db"), ["default/db"], id="its-controller-whatever-its-labels"),
        pytest.param(a_pod("db"), a_pod("db"), ["default/db", "default/db"], id="before-and-after"),
        pytest.param(a_pod("db"), None, ["default/db"], id="deleted"),
        pytest.param(a_pod("a"), a_pod("b"), ["default/a", "default/b"], id="handed-over"),
        pytest.param(None, a_pod(), ["default/web-1", "default/web-2"], id="an-orphan-concerns-all-that-select-it"),
        pytest.param(a_pod("db"), a_pod(), ["default/db", "default/web-1", "default/web-2"], id="released"),
        pytest.param(a_pod(), None, [], id="an-orphan-that-went"),
        pytest.param(None, a_pod("job", kind="Job"), [], id="somebody-elses"),
        pytest.param(None, a_pod(namespace="other"), [], id="selectors-end-at-the-namespace"),
    ],
)
def test_concerned(old: MetaView | None, new: MetaView | None, keys: list[str]) -> None:
    def owners_in(namespace: str) -> list[AnOwner]:
        return [owner for owner in OWNERS if owner.metadata.namespace == namespace]

    assert list(concerned(old, new, kind="ReplicaSet", owners_in=owners_in)) == keys
