"""What kinds the server has, as read from its discovery."""

from __future__ import annotations

import pytest

from orchestrator.api.kinds import BUILT_IN
from orchestrator.api.resources import CORE_EVENTS, EVENTS, Resource
from orchestrator.controllers.discovered import discover, resources_in
from orchestrator.controllers.garbage.shell import is_collected
from tests.support.simulation import a_simulated_api


def test_resources_are_those_with_all_the_verbs():
    listing = {
        "resources": [
            {"name": "pods", "kind": "Pod", "namespaced": True, "verbs": ["list", "delete"]},
            {"name": "pods/log", "kind": "Pod", "namespaced": True, "verbs": ["list", "delete"]},
            {"name": "bindings", "kind": "Binding", "namespaced": True, "verbs": ["create"]},
            {"name": "nodes", "kind": "Node", "namespaced": False, "verbs": ["list", "delete"]},
        ]
    }
    assert resources_in("", "v1", listing, ("list", "delete")) == (
        Resource("", "v1", "pods", "Pod"),
        Resource("", "v1", "nodes", "Node", namespaced=False),
    )


@pytest.mark.looptime
async def test_every_stored_kind_is_discovered_and_all_that_may_wait_for_its_dependents_is_collected():
    async with a_simulated_api() as api:
        found = await discover(api.client, "list", "watch", "delete")
    rows = {row.storage: row for row in BUILT_IN.rows if not row.virtual}
    assert set(found) == set(rows)
    assert len(found) == len(rows)
    assert {resource for resource in found if is_collected(resource)} == {
        resource for resource, row in rows.items() if row.strategy.collected
    }
    assert CORE_EVENTS in found
    assert EVENTS not in found
