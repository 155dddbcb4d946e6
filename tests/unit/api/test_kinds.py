from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.api import resources
from orchestrator.api.doors import Leads, Post, Scale, Writes
from orchestrator.api.kinds import BUILT_IN, Kind, Kinds
from orchestrator.api.resources import Resource
from orchestrator.api.strategies.base import Strategy


def test_rows_are_found_by_path_and_by_kind() -> None:
    deployments = BUILT_IN.find("apps", "v1", "deployments")
    assert deployments is not None
    assert deployments is BUILT_IN.by_kind("apps/v1", "Deployment")
    assert deployments.resource is resources.DEPLOYMENTS
    assert [s.name for s in deployments.subresources] == ["scale", "status"]
    assert BUILT_IN.find("apps", "v1beta1", "deployments") is None
    assert BUILT_IN.by_kind("v1", "Deployment") is None


def test_names_mean_one_kind_in_each_group() -> None:
    for row in BUILT_IN.rows:
        others = [other for other in BUILT_IN.rows if other is not row and other.resource.group == row.resource.group]
        taken = {name for other in others for name in (other.resource.plural, other.singular, *other.short_names)}
        assert not taken & {row.resource.plural, row.singular, *row.short_names}


@pytest.mark.parametrize(
    "row", [row for row in BUILT_IN.rows if not row.virtual], ids=lambda row: row.resource.group_resource
)
def test_stored_kinds_can_be_read_watched_and_written(row) -> None:
    assert {"get", "list", "watch", "create", "update", "patch", "delete"} <= set(row.verbs)
    assert row.resource == BUILT_IN.by_kind(row.resource.api_version, row.resource.kind).resource


@pytest.mark.parametrize(
    "row", [row for row in BUILT_IN.rows if row.virtual], ids=lambda row: row.resource.group_resource
)
def test_virtual_kinds_can_only_be_created(row) -> None:
    assert row.verbs == ("create",)
    assert row.subresources == ()


def test_both_forms_of_events_share_one_store() -> None:
    assert BUILT_IN.by_kind("events.k8s.io/v1", "Event").storage is resources.CORE_EVENTS
    assert BUILT_IN.by_kind("v1", "Event").storage is resources.CORE_EVENTS


@pytest.mark.parametrize(
    ("says", "of_all", "but"),
    [
        ("must_exist_for_update", True, "services endpoints events events.events.k8s.io leases.coordination.k8s.io"),
        ("allows_unconditional_update", True, "leases.coordination.k8s.io"),
        ("collected", True, "events events.events.k8s.io"),
        ("graceful", False, "pods"),
    ],
)
def test_what_kubernetes_says_of_all_kinds_but_a_few(says: str, of_all: bool, but: str) -> None:
    others = {row.resource.group_resource for row in BUILT_IN.rows if getattr(row.strategy, says) is not of_all}
    assert others == set(but.split())


def test_rows_are_values() -> None:
    for row in BUILT_IN.rows:
        again = replace(row, strategy=copy.copy(row.strategy), doors=tuple(map(copy.copy, row.doors)))
        assert again is not row
        assert again == row
        assert hash(again) == hash(row)
    pods, services = BUILT_IN.by_kind("v1", "Pod"), BUILT_IN.by_kind("v1", "Service")
    assert replace(pods, strategy=services.strategy) != pods
    assert Scale() == Scale()
    assert Scale(spec_replicas=("spec", "size")) != Scale()


def test_every_door_says_what_it_takes_and_what_may_be_done_through_it() -> None:
    for row in BUILT_IN.rows:
        assert len({door.name for door in row.doors}) == len(row.doors)
        for door in row.doors:
            assert door.verbs
            assert isinstance(door, Writes | Leads)
            assert not isinstance(door, Post) or (door.kind and door.version)


def test_the_category_all_is_what_kubectl_users_know() -> None:
    in_all = {row.resource.plural for row in BUILT_IN.rows if "all" in row.categories}
    assert in_all == {"pods", "services", "replicasets", "deployments", "statefulsets"}


def a_row(group: str = "example.com", version: str = "v1", plural: str = "boats", **more: Any) -> Kind:
    return Kind(resource=Resource(group, version, plural, plural.title()), singular=plural, strategy=PLAIN, **more)


PLAIN = Strategy()


def test_a_snapshot_is_replaced_and_stays_what_it_was() -> None:
    boats, oars = a_row(), a_row(plural="oars")
    first = Kinds([boats])
    second = first.replaced(put=[oars, replace(boats, short_names=("b",))])
    third = second.replaced(drop=[oars.resource])
    assert [len(kinds.rows) for kinds in (first, second, third)] == [1, 2, 1]
    assert [kinds.generation for kinds in (first, second, third)] == [1, 2, 3]
    assert first.find("example.com", "v1", "boats") is boats
    assert second.gone_in(third) == (oars,)
    assert second.replaced(drop=[oars.resource], put=[oars]).rows[-1] is oars, "what is dropped and put is put"
    assert first.gone_in(second) == (boats,), "what changed is gone as it was"
    assert second.gone_in(second.replaced(put=[a_row(plural="oars")])) == (), "rows of one content are one row"


def test_what_is_derived_from_a_snapshot_is_computed_once_and_goes_with_it() -> None:
    asked: list[tuple[Kinds, str]] = []

    def plurals(kinds: Kinds, group: str) -> list[str]:
        asked.append((kinds, group))
        return [row.resource.plural for row in kinds.rows if row.resource.group == group]

    first = Kinds([a_row()])
    second = first.replaced(put=[a_row(plural="oars")])
    assert first.derived(plurals, "example.com") is first.derived(plurals, "example.com")
    assert second.derived(plurals, "example.com") == ["boats", "oars"]
    assert asked == [(first, "example.com"), (second, "example.com")]


def test_versions_and_groups_are_in_the_order_that_clients_shall_prefer() -> None:
    versions = (
        "v1beta1",
        "v10",
        "v2",
        "foo10",
        "v2beta1",
        "v11alpha2",
        "v1",
        "foo1",
        "v11beta1",
        "v11beta2",
        "v12alpha1",
        "v3beta1",
    )
    kinds = BUILT_IN.replaced(put=[*(a_row(version=version) for version in versions), a_row("a.example.com")])
    # The example of Kubernetes' own documentation and one more, in its order.
    expected = "v10 v2 v1 v11beta2 v11beta1 v3beta1 v2beta1 v1beta1 v12alpha1 v11alpha2 foo1 foo10"
    assert " ".join(kinds.versions("example.com")) == expected
    assert kinds.groups[:2] == ("", "apps")
    assert kinds.groups[-2:] == ("a.example.com", "example.com")


def test_a_group_that_a_subresource_speaks_is_served() -> None:
    for row in BUILT_IN.rows:
        for subresource in row.subresources:
            assert (subresource.version or row.resource.version) in BUILT_IN.versions(
                subresource.group if subresource.version else row.resource.group
            )
