"""Backups on a timer, and restoring and repairing: what was whole comes back, and no revision ever means two things."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

from orchestrator.cli import main
from orchestrator.machinery.clock import SystemClock, parse_timestamp
from orchestrator.serve.process import SERVER_LOCK, exclusive_now
from orchestrator.store import witness
from orchestrator.store.backups import due_in_s, keep_backed_up, made_at, name_at, surplus
from orchestrator.store.base import Compacted, Record, StoreFailed, Unusable
from orchestrator.store.sqlite import SqliteStore, open_sqlite
from orchestrator.store.sqlite_backup import back_up_file, repair, restore
from orchestrator.store.sqlite_open import check
from tests.support.files import files_of
from tests.support.time import LoopClock

NOW = parse_timestamp("2026-03-01T12:00:00Z")


async def a_store(path: Path) -> SqliteStore:
    return await open_sqlite(path, clock=SystemClock())


async def make(path: Path, count: int = 50) -> tuple[Record, ...]:
    """A store with this many objects, each written twice, closed again; returns what is in it."""
    store = await a_store(path)
    for turn in range(2):
        for number in range(count):
            await store.put(f"/o/{number:03}", b"value %d of turn %d" % (number, turn) * 30, expect_revision=None)
    await store.delete("/o/000", expect_revision=None)
    there = tuple((await store.list("/")).records)
    await store.close()
    return there


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(statement)


def test_a_backup_s_name_says_when_it_was_made() -> None:
    assert name_at(NOW) == "wherry-20260301T120000Z.db"
    assert made_at(name_at(NOW)) == NOW
    assert [made_at(name) for name in ("wherry.db", "wherry-20269901T120000Z.db", "x" + name_at(NOW))] == [None] * 3


@pytest.mark.parametrize(
    ("ages_s", "due_s"),
    [
        pytest.param([], 0, id="none-yet"),
        pytest.param([100, 5000], 3500, id="the-newest-counts"),
        pytest.param([3600], 0, id="just-due"),
        pytest.param([90000], 0, id="overdue"),
        pytest.param([-500, 600], 3000, id="one-of-the-future-says-nothing"),
    ],
)
def test_when_the_next_backup_is_due(ages_s: list[float], due_s: float) -> None:
    names = [name_at(NOW - age) for age in ages_s] + ["notes.txt"]
    assert due_in_s(names, now=NOW, every_s=3600) == due_s


def test_the_oldest_backups_go_and_nothing_else() -> None:
    names = [name_at(NOW + number) for number in range(4)]
    assert surplus(["notes.txt", *reversed(names), "wherry.db"], kept=3) == names[:1]
    assert surplus(names, kept=9) == []


class FailsOnce:
    """Its first backup fails."""

    def __init__(self) -> None:
        self.tries = 0

    async def backup(self, path: Path) -> None:
        self.tries += 1
        if self.tries == 1:
            raise StoreFailed("cannot back up: disk full")
        path.touch()


@pytest.mark.looptime
async def test_backups_are_made_in_time_kept_in_number_and_tried_again(tmp_path: Path) -> None:
    clock, store = LoopClock(), FailsOnce()
    began = clock.now()
    task = asyncio.create_task(keep_backed_up(store, tmp_path / "b", clock, every_s=3600, kept=2))

    async def made_by(after_s: float) -> list[str]:
        await asyncio.sleep(began + after_s + 1 - clock.now())
        return sorted(path.name for path in (tmp_path / "b").iterdir())

    def names(*after_s: float) -> list[str]:
        return [name_at(began + one) for one in after_s]

    assert await made_by(590) == []
    assert await made_by(600) == names(600)
    assert await made_by(4199) == names(600, 4200)
    assert await made_by(7800) == names(4200, 7800)
    assert store.tries == 4
    task.cancel()


async def test_a_backup_among_writes_is_one_whole_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    store = await a_store(tmp_path / "s.db")
    for number in range(50):
        await store.put(f"/before/{number}", b"x" * 5000, expect_revision=0)
    async with asyncio.TaskGroup() as group:
        group.create_task(store.backup(tmp_path / "inside.db"))
        group.create_task(asyncio.to_thread(back_up_file, tmp_path / "s.db", tmp_path / "outside.db"))
        for number in range(50):
            await store.put(f"/during/{number}", b"x" * 5000, expect_revision=0)
    await store.close()
    for name in ("inside.db", "outside.db"):
        loaded = check(tmp_path / name)
        assert loaded is not None
        assert {f"/before/{number}" for number in range(50)} <= set(loaded.current)
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    assert {path.name for path in tmp_path.iterdir() if not path.name.startswith("s.db")} == {"inside.db", "outside.db"}


async def test_a_backup_that_cannot_be_finished_leaves_nothing_and_says_why(tmp_path: Path) -> None:
    store = await a_store(tmp_path / "s.db")
    await store.put("/a", b"1", expect_revision=0)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "x").touch()
    with pytest.raises(StoreFailed, match=r"cannot back up the store to .*taken"):
        await store.backup(tmp_path / "taken")
    with pytest.raises(StoreFailed, match=r"cannot back up the store to .*nowhere"):
        await store.backup(tmp_path / "nowhere" / "b.db")
    change(tmp_path / "s.db", "UPDATE changes SET value = x'78'")
    with pytest.raises(StoreFailed, match="the record '/a' of revision 1 is not what was written"):
        await store.backup(tmp_path / "b.db")
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith("s.db")) == ["taken"]
    await store.close()


async def test_a_restored_store_has_the_backup_s_objects_above_every_revision_there_was(tmp_path: Path) -> None:
    path, backup = tmp_path / "store" / "s.db", tmp_path / "b.db"
    there = await make(path)
    back_up_file(path, backup)
    store = await a_store(path)
    lost = await store.put("/o/later", b"later", expect_revision=0)
    await store.close()
    loaded, set_aside = restore(backup, path, may_change_cluster=False, now=NOW)
    assert [one.name for one in set_aside if not one.name.endswith(("-wal", "-shm"))] == [
        "s.db.before-20260301T120000Z"
    ]
    store = await a_store(path)
    assert tuple((await store.list("/")).records) == there
    assert await store.newest_revision() == loaded.newest > lost
    with pytest.raises(Compacted):
        await store.list("/", at_revision=lost)
    assert await store.put("/o/000", b"again", expect_revision=0) > loaded.newest
    await store.close()
    # What was set aside is a whole store still, and may be put back by hand or by the same command.
    restore(set_aside[-1], path, may_change_cluster=False, now=NOW + 1)
    store = await a_store(path)
    assert await store.get("/o/later") == Record("/o/later", b"later", lost)
    await store.close()


async def test_a_restored_store_is_above_whatever_the_witness_saw_however_old_the_backup_is(tmp_path: Path) -> None:
    path, backup = tmp_path / "store" / "s.db", tmp_path / "b.db"
    await make(path)
    back_up_file(path, backup)
    seen = witness.read(path)
    assert seen is not None
    far = witness.Seen(cluster=seen.cluster, revision=seen.revision + 5_000_000, chain=seen.chain)
    witness.Witness(path, far).close()
    loaded, _ = restore(backup, path, may_change_cluster=False, now=NOW)
    assert loaded.newest > far.revision


def ends_early(steps: int, work: Callable[[], object]) -> bool:
    """Do the work in a process that is gone before its next file operation after so many; says whether it was."""
    child = os.fork()
    if child == 0:
        left = steps

        def count(event: str, args: tuple[object, ...]) -> None:
            nonlocal left
            if event in ("open", "os.rename", "os.remove", "os.truncate", "sqlite3.connect"):
                left -= 1
                if left < 0:
                    os._exit(9)

        sys.addaudithook(count)
        with suppress(BaseException):
            work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def content(path: Path) -> dict[str, bytes]:
    """What is in a store, opened as the server would. Raises `Unusable`."""

    async def look() -> dict[str, bytes]:
        store = await a_store(path)
        try:
            return {record.key: record.value for record in (await store.list("/")).records}
        finally:
            await store.close()

    return asyncio.run(look())


@pytest.mark.parametrize("has_witness", [True, False], ids=["", "without-a-witness"])
@pytest.mark.parametrize("doing", ["restore", "repair"])
def test_a_restore_or_repair_that_is_interrupted_anywhere_loses_nothing_and_is_repeated(
    tmp_path: Path, doing: str, has_witness: bool
) -> None:
    async def prepare() -> None:
        await make(tmp_path / "first" / "s.db", count=20)
        back_up_file(tmp_path / "first" / "s.db", tmp_path / "b.db")
        store = await a_store(tmp_path / "first" / "s.db")
        await store.put("/o/later", b"later", expect_revision=0)
        await store.close()

    asyncio.run(prepare())
    if not has_witness:
        witness.path_of(tmp_path / "first" / "s.db").unlink()
    before = content_of_copy(tmp_path / "first", tmp_path / "look")
    backed_up = {key: value for key, value in before.items() if key != "/o/later"}
    wanted = backed_up if doing == "restore" else before
    for steps in itertools.count():
        folder = tmp_path / f"at-{steps}"
        shutil.copytree(tmp_path / "first", folder)

        def work(path: Path = folder / "s.db") -> object:
            if doing == "restore":
                return restore(tmp_path / "b.db", path, may_change_cluster=False, now=NOW)
            return repair(path, now=NOW)

        was_early = ends_early(steps, work)
        try:
            assert content_of_copy(folder, tmp_path / f"look-{steps}") in (before, wanted)
        except Unusable:
            assert was_early
            if doing == "repair" and not (folder / "s.db").exists():
                (set_aside,) = folder.glob("s.db.before-*Z")  # nothing is there to repair: it says where to go on
                restore(set_aside, folder / "s.db", may_change_cluster=False, now=NOW)
            else:
                work()
            assert content(folder / "s.db") == wanted
        if not was_early:
            break
    assert steps > 10


def content_of_copy(folder: Path, copy: Path) -> dict[str, bytes]:
    """What is in a store of which only a copy is opened, so that the next look finds the same."""
    shutil.copytree(folder, copy)
    return content(copy / "s.db")


async def test_a_lost_store_is_restored_onto_a_new_machine(tmp_path: Path) -> None:
    there = await make(tmp_path / "old" / "s.db")
    back_up_file(tmp_path / "old" / "s.db", tmp_path / "b.db")
    (tmp_path / "new").mkdir()
    restore(tmp_path / "b.db", tmp_path / "new" / "s.db", may_change_cluster=False, now=NOW)
    store = await a_store(tmp_path / "new" / "s.db")
    assert tuple((await store.list("/")).records) == there
    await store.close()


async def test_only_a_whole_backup_of_the_same_cluster_is_restored(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    await make(path)
    await make(tmp_path / "other.db")
    back_up_file(path, tmp_path / "rotten.db")
    change(tmp_path / "rotten.db", "UPDATE changes SET value = x'78' WHERE key = '/o/007'")
    (tmp_path / "letter.db").write_text("Dear database, " * 1000)
    before = files_of(tmp_path)
    for name, words in (
        ("other.db", "it is of cluster .*, but here was cluster"),
        ("rotten.db", "the record '/o/007' of revision .* is not what was written"),
        ("letter.db", "it is not a backup"),
    ):
        with pytest.raises(Unusable, match=words):
            restore(tmp_path / name, path, may_change_cluster=False, now=NOW)
    assert files_of(tmp_path) == before
    restore(tmp_path / "other.db", path, may_change_cluster=True, now=NOW)
    await (await a_store(path)).close()


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", ".witness"])
async def test_a_store_is_not_backed_up_over_its_own_files(tmp_path: Path, suffix: str) -> None:
    there = tmp_path / "there"
    there.mkdir()
    await make(there / "s.db")
    (tmp_path / "link").symlink_to(there)
    before = files_of(there)
    for folder in (there, tmp_path / "link"):
        with pytest.raises(Unusable, match="that is one of its own files"):
            back_up_file(there / "s.db", folder / f"s.db{suffix}")
    assert files_of(there) == before


async def test_another_cluster_s_store_is_not_repaired_into_this_one_s_place(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    await make(path)
    await make(tmp_path / "other.db")
    shutil.copy(tmp_path / "other.db", path)
    before = files_of(tmp_path)
    with pytest.raises(Unusable, match=r"it is of cluster .*, but here was cluster"):
        repair(path, now=NOW)
    assert files_of(tmp_path) == before


async def test_what_was_set_aside_is_not_replaced_by_what_is_set_aside_in_the_same_second(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    await make(path)
    back_up_file(path, tmp_path / "b.db")
    first = repair(path, now=NOW).set_aside
    kept = [one.read_bytes() for one in first]
    _, second = restore(tmp_path / "b.db", path, may_change_cluster=False, now=NOW)
    assert second
    assert not set(first) & set(second)
    assert [one.read_bytes() for one in first] == kept


async def test_a_store_that_lost_its_log_goes_on_with_what_is_left_once_that_was_said(tmp_path: Path) -> None:
    there = await make(tmp_path / "s.db")
    store = await a_store(tmp_path / "s.db")
    last = await store.put("/o/later", b"later", expect_revision=0)
    shutil.copytree(tmp_path, tmp_path / "copy")
    await store.close()
    copy = tmp_path / "copy" / "s.db"
    copy.with_name("s.db-wal").unlink()
    with pytest.raises(Unusable, match="wherry store repair"):
        await a_store(copy)
    done = repair(copy, now=NOW)
    assert (done.kept, list(done.lost)) == (len(there), [])
    assert done.loaded.newest > last
    store = await a_store(copy)
    assert tuple((await store.list("/")).records) == there
    await store.close()


async def test_of_a_damaged_store_what_is_whole_is_kept_and_the_rest_is_named(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    there = await make(path)
    change(
        path,
        "UPDATE changes SET value = x'78' WHERE key = '/o/007' AND place = (SELECT max(place) FROM changes"
        " WHERE key = '/o/007')",
    )
    change(path, "UPDATE changes SET value = x'78' WHERE key = '/o/009'")
    done = repair(path, now=NOW)
    assert list(done.lost) == ["/o/007", "/o/009"]
    store = await a_store(path)
    found = {record.key: record.value for record in (await store.list("/")).records}
    await store.close()
    wanted = {record.key: record.value for record in there if record.key != "/o/009"}
    assert found == {**wanted, "/o/007": b"value 7 of turn 0" * 30}


@pytest.mark.parametrize("page", [3, 7, 12, 20])
async def test_pages_that_cannot_be_read_cost_only_what_was_on_them(tmp_path: Path, page: int) -> None:
    path = tmp_path / "s.db"
    there = await make(path, count=120)
    data = bytearray(path.read_bytes())
    assert len(data) > 4096 * (page + 1)
    data[4096 * page : 4096 * (page + 1)] = b"\xff" * 4096
    path.write_bytes(data)
    with pytest.raises(Unusable, match="is damaged"):
        await a_store(path)
    try:
        done = repair(path, now=NOW)
    except Unusable:
        pytest.skip("the page held what everything else is found by")
    store = await a_store(path)
    found = {record.key: record.value for record in (await store.list("/")).records}
    await store.close()
    for record in there:
        assert record.key in done.lost or found[record.key] == record.value
    assert len(found) > len(there) / 2


def invoke(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["store", *arguments])
    return result.exit_code, result.output


async def test_the_commands_say_what_they_found_and_did(tmp_path: Path) -> None:
    state, path = str(tmp_path), tmp_path / "store" / "wherry.db"
    assert invoke("check", "--state-dir", state)[0] == 1
    await make(path)
    seen = witness.read(path)
    assert seen is not None
    code, text = await asyncio.to_thread(invoke, "check", "--state-dir", state)
    assert (code, "is whole (format 2)" in text, seen.cluster in text, "records    49" in text) == (0, True, True, True)
    code, text = await asyncio.to_thread(invoke, "backup", "--state-dir", state)
    assert code == 0, text
    (made,) = (tmp_path / "backups").iterdir()
    change(path, "UPDATE changes SET value = x'78' WHERE key = '/o/007'")
    code, text = await asyncio.to_thread(invoke, "check", "--state-dir", state)
    assert (code, "the record '/o/007'" in text, "wherry store restore BACKUP" in text) == (1, True, True)
    with exclusive_now(tmp_path / "run" / SERVER_LOCK):
        code, text = await asyncio.to_thread(invoke, "restore", "--state-dir", state, str(made))
        assert (code, "the control plane is running" in text) == (1, True)
    code, text = await asyncio.to_thread(invoke, "restore", "--state-dir", state, str(made))
    assert (code, "49 records are restored" in text) == (0, True), text
    assert (await asyncio.to_thread(invoke, "check", "--state-dir", state))[0] == 0
    change(path, "UPDATE changes SET value = x'78' WHERE key = '/o/008'")
    code, text = await asyncio.to_thread(invoke, "repair", "--state-dir", state)
    assert (code, "48 records are kept" in text, "older than it was: /o/008" in text) == (0, True, True), text
