"""Equal parts of views are one object, and whatever is put in, what is kept for it is bounded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.api import codec
from orchestrator.api.views.meta import ObjectMeta, OwnerReference
from orchestrator.api.views.scheduling import Container, PodSpec, ResourceRequirements, Toleration
from orchestrator.api.views.sharing import Sharing


def decoded(meta: dict[str, object]) -> ObjectMeta:
    return codec.decode_into(codec.encode(meta), ObjectMeta)


def a_meta(name: str) -> dict[str, object]:
    return {
        "name": name,
        "namespace": "team",
        "uid": f"uid-{name}",
        "resourceVersion": "7",
        "labels": {"app": "web", "tier": "front"},
        "annotations": {"a": "b"},
        "ownerReferences": [{"kind": "ReplicaSet", "name": "web", "uid": "u", "controller": True}],
    }


def test_siblings_share_what_they_have_in_common() -> None:
    sharing = Sharing()
    first, second = (sharing.metadata(decoded(a_meta(name))) for name in ("a", "b"))
    assert first.labels is second.labels
    assert first.owner_references is second.owner_references
    assert first.namespace is second.namespace
    assert (first.name, second.name, second.uid) == ("a", "b", "uid-b")
    assert first.labels == {"app": "web", "tier": "front"}
    assert first.controller == OwnerReference(kind="ReplicaSet", name="web", uid="u", controller=True)


def test_views_with_mappings_in_them_are_shared_by_what_they_say() -> None:
    sharing = Sharing()

    def spec(cpu: str) -> PodSpec:
        return PodSpec(containers=(Container(resources=ResourceRequirements(requests={"cpu": cpu})),))

    assert sharing.view(spec("1")) is sharing.view(spec("1"))
    assert sharing.view(spec("1")) is not sharing.view(spec("2"))
    assert sharing.value((Toleration(key="a"),)) is sharing.value((Toleration(key="a"),))


def test_equal_things_of_different_types_are_not_mixed_up() -> None:
    sharing = Sharing()
    assert sharing.value(1) == 1
    assert sharing.value(True) is True
    assert isinstance(sharing.view(ResourceRequirements()), ResourceRequirements)
    assert isinstance(sharing.view(PodSpec()), PodSpec)


@given(st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=3), max_size=50))
def test_what_is_shared_is_equal_and_what_is_kept_is_bounded(many: list[dict[str, str]]) -> None:
    sharing = Sharing(kept_max=5)
    for pairs in many:
        assert sharing.mapping(pairs) == pairs
        assert sharing.value(tuple(pairs)) == tuple(pairs)
        assert max(len(sharing._mappings), len(sharing._values), len(sharing._views)) <= 5
