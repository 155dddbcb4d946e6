"""Who may take a lease."""

from __future__ import annotations

import pytest

from orchestrator.api.views.meta import LeaseSpec, LeaseView
from orchestrator.machinery.leader import Observed, may_acquire


def a_lease(holder: str | None) -> LeaseView:
    return LeaseView(spec=LeaseSpec(holder_identity=holder, lease_duration_seconds=15))


@pytest.mark.parametrize(
    ("observed", "now_s", "expected"),
    [
        pytest.param(None, 0, True, id="no-lease"),
        pytest.param(Observed(a_lease(None), 0), 1, True, id="released"),
        pytest.param(Observed(a_lease("me"), 0), 1, True, id="already-ours"),
        pytest.param(Observed(a_lease("other"), 0), 14.9, False, id="held"),
        pytest.param(Observed(a_lease("other"), 0), 15, True, id="unchanged-for-its-duration"),
    ],
)
def test_may_acquire(observed: Observed | None, now_s: float, expected: bool) -> None:
    assert may_acquire(observed, identity="me", now_s=now_s) is expected
