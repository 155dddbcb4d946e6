"""Every namespace that stays has the CA, exactly."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from orchestrator.api.views.cluster import Namespace, NamespaceStatus
from orchestrator.api.views.meta import ObjectMeta
from orchestrator.controllers.root_ca.decide import Step, decide

ACTIVE = Namespace(metadata=ObjectMeta(name="a"), status=NamespaceStatus(phase="Active"))
GOING = Namespace(metadata=ObjectMeta(name="a"), status=NamespaceStatus(phase="Terminating"))


@pytest.mark.parametrize(
    ("namespace", "present", "expected"),
    [
        pytest.param(ACTIVE, None, Step.CREATE, id="missing"),
        pytest.param(ACTIVE, {"ca.crt": "PEM"}, Step.NOTHING, id="as-wanted"),
        pytest.param(ACTIVE, {"ca.crt": "other"}, Step.CORRECT, id="changed"),
        pytest.param(ACTIVE, {"ca.crt": "PEM", "more": ""}, Step.CORRECT, id="added-to"),
        pytest.param(ACTIVE, {}, Step.CORRECT, id="emptied"),
        pytest.param(GOING, None, Step.NOTHING, id="the-namespace-is-going"),
    ],
)
def test_decide(namespace: Namespace, present: Mapping[str, str] | None, expected: Step) -> None:
    assert decide(namespace, present, "PEM") is expected
