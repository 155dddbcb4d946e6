"""The queue of pods to place: order, back-off, waking."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.scheduler.pending import PendingPods


def drained(pending: PendingPods[str], now_s: float) -> list[str]:
    keys = []
    while (key := pending.pop(now_s=now_s)) is not None:
        keys.append(key)
    return keys


def test_higher_priority_goes_first_then_whoever_waited_longest() -> None:
    pending: PendingPods[str] = PendingPods()
    pending.add("a", uid="uid-a", now_s=0)
    pending.add("b", uid="uid-b", now_s=2, priority=10)
    pending.add("c", uid="uid-c", now_s=1)
    pending.add("a", uid="uid-a", now_s=3)
    assert drained(pending, 3) == ["b", "a", "c"]


def test_a_refused_pod_waits_for_a_change_and_for_its_back_off() -> None:
    pending: PendingPods[str] = PendingPods()
    pending.refused("a", "room", uid="uid-a", priority=0, now_s=0)
    assert drained(pending, 100) == []
    pending.refused("a", "room", uid="uid-a", priority=0, now_s=100)
    pending.wake(lambda waits_for: True)
    assert pending.next_at_s() == 102
    assert drained(pending, 101.9) == []
    assert drained(pending, 102) == ["a"]


def test_a_refused_pod_is_tried_again_after_five_minutes_even_without_a_change() -> None:
    pending: PendingPods[str] = PendingPods()
    pending.refused("a", "room", uid="uid-a", priority=0, now_s=0)
    assert pending.next_at_s() == 300
    assert drained(pending, 300) == ["a"]


def test_only_pods_whose_wait_may_be_over_are_woken_and_equal_ones_are_asked_about_once() -> None:
    pending: PendingPods[str] = PendingPods()
    for name in "abc":
        pending.refused(name, "room", uid=f"uid-{name}", priority=0, now_s=0)
    pending.refused("d", "label", uid="uid-d", priority=0, now_s=0)
    asked: list[str] = []
    assert pending.wake(lambda waits_for: asked.append(waits_for) or waits_for == "room")  # type: ignore[func-returns-value]
    assert sorted(asked) == ["label", "room"]
    assert drained(pending, 1) == ["a", "b", "c"]
    assert not pending.wake(lambda waits_for: waits_for == "room")


def test_a_removed_pod_does_not_come_back() -> None:
    pending: PendingPods[str] = PendingPods()
    pending.add("a", uid="uid-a", now_s=0)
    pending.refused("b", "room", uid="uid-b", priority=0, now_s=0)
    pending.remove("a")
    pending.remove("b")
    pending.wake(lambda waits_for: True)
    assert drained(pending, 1000) == []
    assert len(pending) == 0


def test_a_pod_removed_and_added_again_appears_once() -> None:
    pending: PendingPods[str] = PendingPods()
    pending.add("a", uid="uid-a", now_s=0)
    pending.remove("a")
    pending.add("a", uid="uid-a", now_s=0)
    assert drained(pending, 0) == ["a"]


def test_a_changed_pod_is_tried_at_once() -> None:
    pending: PendingPods[str] = PendingPods()
    pending.refused("a", "room", uid="uid-a", priority=0, now_s=0)
    pending.add("a", uid="uid-a", now_s=0)
    assert drained(pending, 0) == ["a"]


def test_pods_that_came_at_one_time_are_told_apart_by_their_uids() -> None:
    pending: PendingPods[str] = PendingPods()
    for name in "cab":
        pending.add(name, uid=f"uid-{name}", now_s=5)
    assert drained(pending, 5) == ["a", "b", "c"]


def test_a_pod_whose_placing_failed_is_tried_again_without_a_change() -> None:
    pending: PendingPods[str] = PendingPods()
    pending.failed("a", uid="uid-a", priority=0, now_s=0)
    assert pending.next_at_s() == 1
    assert drained(pending, 1) == ["a"]


def test_the_back_off_grows_with_each_refusal_and_begins_anew_for_a_pod_that_was_gone() -> None:
    pending: PendingPods[str] = PendingPods()

    def back_off() -> float | None:
        pending.failed("a", uid="uid-a", priority=0, now_s=0)
        return pending.next_at_s()

    assert [back_off() for _ in range(6)] == [1, 2, 4, 8, 10, 10]
    pending.add("a", uid="uid-a", now_s=0)
    assert drained(pending, 0) == ["a"]
    assert back_off() == 10, "a change has it tried at once, but forgets no refusal"
    pending.remove("a")
    assert back_off() == 1


class Counted(str):
    """A uid that counts how often it is compared."""

    comparisons = 0

    def __lt__(self, other: str) -> bool:
        Counted.comparisons += 1
        return str.__lt__(self, other)


def test_popping_does_not_look_at_every_pod_that_waits() -> None:
    pending: PendingPods[str] = PendingPods()
    number = 2_000
    for i in range(number):
        pending.refused(f"w{i}", "room", uid=Counted(f"w{i:05}"), priority=0, now_s=0)
        pending.add(f"a{i}", uid=Counted(f"a{i:05}"), now_s=0)
    Counted.comparisons = 0
    assert len(drained(pending, 0)) == number
    pending.wake(lambda waits_for: True)
    assert len(drained(pending, 10)) == number
    assert Counted.comparisons < 100 * number


def test_what_was_removed_is_not_kept() -> None:
    pending: PendingPods[str] = PendingPods()
    for i in range(10_000):
        pending.add("a", uid=f"uid-{i}", now_s=i)
        pending.refused("a", "room", uid=f"uid-{i}", priority=0, now_s=i)
        pending.remove("a")
    assert len(pending._active) + len(pending._backing_off) < 1_000


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["add", "remove", "refused", "failed", "wake", "pop"]),
            st.integers(0, 4),
            st.integers(0, 200),
        ),
        max_size=60,
    )
)
def test_the_queue_is_what_a_plain_list_would_be(steps: list[tuple[str, int, int]]) -> None:
    pending: PendingPods[str] = PendingPods()
    now = 0.0
    queued: dict[str, tuple[int, float, str]] = {}
    waiting: dict[str, tuple[float, bool]] = {}
    attempts: dict[str, int] = {}
    for step, number, later in steps:
        key, uid, now = f"k{number}", f"uid-{number}", now + later
        match step:
            case "add":
                pending.add(key, uid=uid, priority=number % 2, now_s=now)
                waiting.pop(key, None)
                queued.setdefault(key, (-(number % 2), now, uid))
            case "remove":
                pending.remove(key)
                for known in (queued, waiting, attempts):
                    known.pop(key, None)
            case "refused" | "failed" if key not in queued:
                turn: Any = {"uid": uid, "priority": number % 2, "now_s": now}
                if step == "failed":
                    pending.failed(key, **turn)
                else:
                    pending.refused(key, "even" if number % 2 == 0 else "odd", **turn)
                attempts[key] = attempts.get(key, 0) + 1
                delay = min(10.0, 2.0 ** (attempts[key] - 1)) if step == "failed" else 300.0
                waiting[key] = now + delay, step == "failed"
            case "wake":
                kind = "even" if number % 2 == 0 else "odd"
                pending.wake(lambda waits_for, kind=kind: waits_for == kind)  # type: ignore[misc]
                for other, (at, woken) in waiting.items():
                    if int(other[1:]) % 2 != number % 2:
                        continue
                    delay = min(10.0, 2.0 ** (attempts[other] - 1))
                    waiting[other] = (at if woken else at - 300.0 + delay), True
            case "pop":
                for other in [other for other, (at, _) in waiting.items() if at <= now]:
                    del waiting[other]
                    queued[other] = (-(int(other[1:]) % 2), now, f"uid-{other[1:]}")
                expected = min(queued, key=queued.__getitem__, default=None)
                assert pending.pop(now_s=now) == expected
                if expected:
                    del queued[expected]
    assert len(pending) == len(queued) + len(waiting)
    assert pending.next_at_s() == min((at for at, _ in waiting.values()), default=None)
