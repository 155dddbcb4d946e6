"""The queue of pods to place: order, back-off, waking."""

from __future__ import annotations

from orchestrator.scheduler.pending import PendingPods


def drained(pending: PendingPods, now_s: float) -> list[str]:
    keys = []
    while (key := pending.pop(now_s=now_s)) is not None:
        keys.append(key)
    return keys


def test_higher_priority_goes_first_then_whoever_waited_longest() -> None:
    pending = PendingPods()
    pending.add("a")
    pending.add("b", priority=10)
    pending.add("c")
    pending.add("a")
    assert drained(pending, 0) == ["b", "a", "c"]


def test_a_refused_pod_waits_for_a_change_and_for_its_back_off() -> None:
    pending = PendingPods()
    pending.refused("a", priority=0, now_s=0)
    assert drained(pending, 100) == []
    pending.refused("a", priority=0, now_s=100)
    pending.wake()
    assert pending.next_at_s() == 102
    assert drained(pending, 101.9) == []
    assert drained(pending, 102) == ["a"]


def test_a_refused_pod_is_tried_again_after_five_minutes_even_without_a_change() -> None:
    pending = PendingPods()
    pending.refused("a", priority=0, now_s=0)
    assert pending.next_at_s() == 300
    assert drained(pending, 300) == ["a"]


def test_a_removed_pod_does_not_come_back() -> None:
    pending = PendingPods()
    pending.add("a")
    pending.refused("b", priority=0, now_s=0)
    pending.remove("a")
    pending.remove("b")
    pending.wake()
    assert drained(pending, 1000) == []
    assert len(pending) == 0


def test_a_pod_removed_and_added_again_appears_once() -> None:
    pending = PendingPods()
    pending.add("a")
    pending.remove("a")
    pending.add("a")
    assert drained(pending, 0) == ["a"]


def test_a_changed_pod_is_tried_at_once() -> None:
    pending = PendingPods()
    pending.refused("a", priority=0, now_s=0)
    pending.add("a")
    assert drained(pending, 0) == ["a"]
