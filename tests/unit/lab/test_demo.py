"""When the demo counts as ready, and what the user is told at the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.lab.cluster import Outcome, summary
from orchestrator.lab.demo import is_ready
from orchestrator.lab.joining import has_joined
from orchestrator.lab.layout import lay_out
from orchestrator.lab.progress import PlainProgress
from orchestrator.lab.record import Record, layout_of, load, save

LAB = lay_out(Path("/var/lib/wherry"), nodes=3, subnet="10.89.0.0/24")


def a_deployment(replicas=3, generation=1, **status):
    return {
        "kind": "Deployment",
        "metadata": {"generation": generation},
        "spec": {"replicas": replicas},
        "status": {"observedGeneration": 1} | status,
    }


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(a_deployment(readyReplicas=3, updatedReplicas=3), True, id="all-ready"),
        pytest.param(a_deployment(readyReplicas=2, updatedReplicas=3), False, id="one-missing"),
        pytest.param(a_deployment(readyReplicas=3, updatedReplicas=1), False, id="some-of-the-old-form"),
        pytest.param(a_deployment(generation=2, readyReplicas=3, updatedReplicas=3), False, id="change-not-seen-yet"),
        pytest.param({"kind": "Pod", "metadata": {}}, False, id="pod-without-status"),
        pytest.param(
            {"kind": "Pod", "metadata": {}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}},
            True,
            id="ready-pod",
        ),
        pytest.param(
            {"kind": "Pod", "metadata": {}, "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}},
            False,
            id="nobody-knows",
        ),
    ],
)
def test_is_ready(found, expected):
    assert is_ready(found) == expected


def test_the_summary_names_the_kubeconfig_and_three_commands():
    lines = summary(Outcome(lab=LAB, changed=True, demo=True)).splitlines()
    assert "kubeconfig: /var/lib/wherry/admin.kubeconfig" in lines
    assert sum(line.startswith("  kubectl ") for line in lines) == 3
    assert lines[-1] == "Stop it with: sudo ./scripts/down"


def test_a_second_run_says_that_there_was_nothing_to_do():
    assert "was up already; nothing to do" in summary(Outcome(lab=LAB, changed=False, demo=False))


def test_how_to_stop_names_the_state_directory_if_it_is_another():
    other = lay_out(Path("/srv/lab"), nodes=1, subnet="10.89.1.0/24")
    assert summary(Outcome(lab=other, changed=True, demo=False)).endswith("scripts/down --state-dir /srv/lab")


def test_a_record_is_read_as_it_was_written(tmp_path):
    assert load(tmp_path) is None
    record = Record(nodes=2, subnet="10.89.4.0/24", ip_forward="0", hub=True)
    save(tmp_path, record)
    assert load(tmp_path) == record
    assert [node.address for node in layout_of(Path("/srv/x"), record).nodes] == ["10.89.4.11", "10.89.4.12"]


def test_a_node_has_joined_once_it_has_both_identities(tmp_path):
    node = lay_out(Path("/srv/x"), nodes=1, subnet="10.89.0.0/24").nodes[0]
    assert not has_joined(node)


class FixedClock:
    """Always the same moment."""

    def now(self) -> float:
        return 0.0

    def monotonic(self) -> float:
        return 5.0


def test_plain_progress_is_a_line_per_step_and_says_what_failed(capsys):
    progress = PlainProgress(FixedClock())
    with progress.step("Network"):
        pass
    with pytest.raises(RuntimeError), progress.step("Images"):
        raise RuntimeError
    assert capsys.readouterr().out.splitlines() == ["done   Network (0.0 s)", "FAILED Images (after 0.0 s)"]
