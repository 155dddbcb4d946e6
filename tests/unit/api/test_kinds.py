from __future__ import annotations

import pytest

from orchestrator.api import resources
from orchestrator.api.kinds import KINDS, by_kind, find


def test_rows_are_found_by_path_and_by_kind() -> None:
    deployments = find("apps", "v1", "deployments")
    assert deployments is not None
    assert deployments is by_kind("apps/v1", "Deployment")
    assert deployments.resource is resources.DEPLOYMENTS
    assert [s.name for s in deployments.subresources] == ["scale", "status"]
    assert find("apps", "v1beta1", "deployments") is None
    assert by_kind("v1", "Deployment") is None


def test_names_mean_one_kind_in_each_group() -> None:
    for row in KINDS:
        others = [other for other in KINDS if other is not row and other.resource.group == row.resource.group]
        taken = {name for other in others for name in (other.resource.plural, other.singular, *other.short_names)}
        assert not taken & {row.resource.plural, row.singular, *row.short_names}


@pytest.mark.parametrize("row", [row for row in KINDS if not row.virtual], ids=lambda row: row.resource.group_resource)
def test_stored_kinds_can_be_read_watched_and_written(row) -> None:
    assert {"get", "list", "watch", "create", "update", "patch", "delete"} <= set(row.verbs)
    assert row.resource == by_kind(row.resource.api_version, row.resource.kind).resource


@pytest.mark.parametrize("row", [row for row in KINDS if row.virtual], ids=lambda row: row.resource.group_resource)
def test_virtual_kinds_can_only_be_created(row) -> None:
    assert row.verbs == ("create",)
    assert row.subresources == ()


def test_both_forms_of_events_share_one_store() -> None:
    assert by_kind("events.k8s.io/v1", "Event").storage is resources.CORE_EVENTS
    assert by_kind("v1", "Event").storage is resources.CORE_EVENTS


def test_the_category_all_is_what_kubectl_users_know() -> None:
    in_all = {row.resource.plural for row in KINDS if "all" in row.categories}
    assert in_all == {"pods", "services", "replicasets", "deployments", "statefulsets"}
