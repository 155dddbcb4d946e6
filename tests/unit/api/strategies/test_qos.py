"""The quality-of-service class follows from requests and limits of all containers."""

from __future__ import annotations

import pytest

from orchestrator.api.strategies.pods import qos_class

FULL = {"cpu": "1", "memory": "1Gi"}


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        pytest.param([{}], "BestEffort", id="nothing"),
        pytest.param([None], "BestEffort", id="absent"),
        pytest.param([{"limits": FULL}], "Guaranteed", id="limits-only"),
        pytest.param([{"limits": FULL, "requests": FULL}], "Guaranteed", id="equal"),
        pytest.param([{"limits": FULL, "requests": {"cpu": "1000m", "memory": "1024Mi"}}], "Guaranteed", id="same"),
        pytest.param([{"limits": FULL, "requests": {"cpu": "500m"}}], "Burstable", id="less-requested"),
        pytest.param([{"limits": {"cpu": "1"}}], "Burstable", id="one-of-two"),
        pytest.param([{"limits": FULL}, {}], "Burstable", id="one-container-without"),
        pytest.param([{"requests": {"cpu": "0"}}], "BestEffort", id="zero-is-nothing"),
        pytest.param([{"requests": {"example.com/gpu": "1"}}], "BestEffort", id="extended-resources-do-not-count"),
        pytest.param([{"requests": {"cpu": "nonsense"}}], "BestEffort", id="what-is-no-quantity-is-refused-later"),
    ],
)
def test_class(resources, expected):
    assert qos_class({"containers": [{"resources": r} for r in resources]}) == expected


def test_init_containers_count():
    spec = {"containers": [{"resources": {"limits": FULL}}], "initContainers": [{"resources": {}}]}
    assert qos_class(spec) == "Burstable"


def test_resources_of_the_pod_decide_where_it_has_them():
    assert qos_class({"containers": [{}], "resources": {"limits": FULL}}) == "Guaranteed"
