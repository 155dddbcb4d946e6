"""A store that cannot rot, and says so: whatever happened to its files, all is there, or it is refused in words."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.config import Config
from orchestrator.machinery.clock import SystemClock
from orchestrator.serve.api_server import opened_store
from orchestrator.store import witness
from orchestrator.store.base import Record, Unusable, UnusableForNow
from orchestrator.store.chain import checksum_of
from orchestrator.store.sqlite import SqliteStore, open_sqlite
from orchestrator.store.sqlite_format import FORMAT
from orchestrator.store.sqlite_open import check, open_to_look, passes
from orchestrator.store.sqlite_verify import Damaged, load
from tests.support.files import files_of

NAME = "wherry.db"


async def a_store(folder: Path) -> SqliteStore:
    return await open_sqlite(folder / NAME, clock=SystemClock())


async def fill(store: SqliteStore) -> None:
    """200 objects, some of them changed or deleted, part of the history compacted."""
    for number in range(200):
        await store.put(f"/o/{number:03}", b"value %d" % number * 20, expect_revision=0)
    for number in range(0, 200, 7):
        await store.put(f"/o/{number:03}", b"changed %d" % number, expect_revision=None)
    await store.compact(150)
    for number in range(0, 200, 9):
        await store.delete(f"/o/{number:03}", expect_revision=None)
    await store.put("/o/last", b"last", expect_revision=0)


async def everything(store: SqliteStore) -> tuple[int, tuple[Record, ...]]:
    return await store.newest_revision(), tuple((await store.list("/")).records)


async def make(folder: Path) -> None:
    """A store's files as a process leaves them that ended in order."""
    store = await a_store(folder)
    await fill(store)
    await store.close()


async def make_killed(folder: Path) -> None:
    """A store's files as a killed process leaves them: most of it is in the log."""
    with tempfile.TemporaryDirectory() as other:
        store = await a_store(Path(other))
        await fill(store)
        for path in Path(other).iterdir():
            if not path.name.endswith("-shm"):
                shutil.copy(path, folder / path.name)
        await store.close()


def change(folder: Path, statement: str) -> None:
    """Change the database behind the store's back."""
    with closing(sqlite3.connect(folder / NAME, isolation_level=None)) as db:
        db.execute(statement)


def log_of(folder: Path) -> Path:
    return folder / (NAME + "-wal")


async def test_a_first_start_makes_a_cluster_and_the_next_ones_find_it(tmp_path: Path) -> None:
    await make(tmp_path)
    first = witness.read(tmp_path / NAME)
    store = await a_store(tmp_path)
    before = await everything(store)
    await store.close()
    store = await a_store(tmp_path)
    assert await everything(store) == before
    await store.close()
    assert first == witness.read(tmp_path / NAME)
    assert first is not None
    assert first.revision == before[0]


def begin_and_stop(path: Path) -> None:
    change(path.parent, "PRAGMA journal_mode=WAL")


@pytest.mark.parametrize(
    "leave",
    [
        pytest.param(lambda path: path.touch(), id="with-an-empty-file"),
        pytest.param(begin_and_stop, id="with-no-tables"),
    ],
)
async def test_a_first_start_that_was_killed_is_made_good_by_the_next(
    tmp_path: Path, leave: Callable[[Path], object]
) -> None:
    leave(tmp_path / NAME)
    store = await a_store(tmp_path)
    assert await store.put("/a", b"1", expect_revision=0) == 1
    await store.close()


async def test_a_store_without_its_witness_is_this_cluster_s_from_then_on(tmp_path: Path) -> None:
    await make(tmp_path)
    seen = witness.read(tmp_path / NAME)
    witness.path_of(tmp_path / NAME).unlink()
    await (await a_store(tmp_path)).close()
    assert witness.read(tmp_path / NAME) == seen


def remove(folder: Path) -> None:
    (folder / NAME).unlink()


def remove_all_but_the_log(folder: Path) -> None:
    (folder / NAME).unlink()
    witness.path_of(folder / NAME).unlink()
    log_of(folder).write_bytes(b"frames")


def keep_nothing_in_it(folder: Path) -> None:
    (folder / NAME).write_bytes(b"")


def make_a_letter_of_it(folder: Path) -> None:
    (folder / NAME).write_text("Dear database, " * 1000)


def make_a_cookbook_of_it(folder: Path) -> None:
    (folder / NAME).unlink()
    change(folder, "CREATE TABLE recipes (name TEXT)")


def make_it_newer(folder: Path) -> None:
    change(folder, f"PRAGMA user_version = {FORMAT + 1}")


def change_a_value(folder: Path) -> None:
    change(folder, "UPDATE changes SET value = x'6f' WHERE key = '/o/last'")


def lose_a_change(folder: Path) -> None:
    change(folder, "DELETE FROM changes WHERE place = (SELECT min(place) FROM changes WHERE place >> 8 > 180)")


def lose_an_old_record(folder: Path) -> None:
    change(folder, "DELETE FROM changes WHERE place = (SELECT min(place) FROM changes)")


def bring_back_what_a_record_was_before(folder: Path) -> None:
    """A page that was written long ago, and whole: its record is what somebody wrote, but not what is kept."""
    with closing(sqlite3.connect(folder / NAME, isolation_level=None)) as db:
        place, key, previous = db.execute("SELECT place, key, previous FROM changes ORDER BY place LIMIT 1").fetchone()
        value = b"what it was before"
        changed = (value, checksum_of(place, key, previous, value), place)
        db.execute("UPDATE changes SET value = ?, checksum = ? WHERE place = ?", changed)


def lose_the_newest(folder: Path) -> None:
    change(folder, "DELETE FROM changes WHERE key = '/o/last'")


def put_another_cluster_s_in_its_place(folder: Path) -> None:
    change(folder, "UPDATE store SET cluster = 'someone-elses'")


def rewrite_the_witness(folder: Path) -> None:
    seen = witness.read(folder / NAME)
    assert seen is not None
    told = witness.Seen(cluster=seen.cluster, revision=seen.revision, chain=seen.chain ^ 1)
    witness.Witness(folder / NAME, told).close()


def spoil_the_witness(folder: Path) -> None:
    witness.path_of(folder / NAME).write_bytes(b"\x00" * 160)


@pytest.mark.parametrize(
    ("happen", "words"),
    [
        pytest.param(remove, "is missing or empty (cluster .*, it had come to revision 253)", id="missing"),
        pytest.param(
            remove_all_but_the_log, "is missing or empty, but its log .* is there", id="missing-but-for-its-log"
        ),
        pytest.param(keep_nothing_in_it, "is empty (cluster .*, it had come to revision 253)", id="empty"),
        pytest.param(make_a_letter_of_it, "it is not a database, or its beginning is damaged", id="no-database"),
        pytest.param(make_a_cookbook_of_it, "it is another program's database", id="foreign"),
        pytest.param(make_it_newer, "was written by a newer release", id="newer"),
        pytest.param(change_a_value, "the record '/o/last' of revision 253 is not what was written", id="damaged"),
        pytest.param(lose_a_change, "something is missing between revision 180 and revision 182", id="a-hole"),
        pytest.param(lose_an_old_record, "records up to revision 150, ", id="an-old-record-lost"),
        pytest.param(
            bring_back_what_a_record_was_before, "are there, or others than these", id="an-old-record-of-before"
        ),
        pytest.param(lose_the_newest, "ends at revision 252, but it had come to revision 253", id="the-newest-lost"),
        pytest.param(
            put_another_cluster_s_in_its_place, "is of cluster someone-elses, but here was", id="another-cluster"
        ),
        pytest.param(rewrite_the_witness, "at revision 253 something else was written", id="another-history"),
        pytest.param(spoil_the_witness, "cannot be read: no line of it is whole", id="no-witness-to-trust"),
    ],
)
async def test_what_is_not_this_cluster_s_whole_store_is_refused_in_words(
    tmp_path: Path, happen: Callable[[Path], None], words: str
) -> None:
    await make(tmp_path)
    happen(tmp_path)
    before = files_of(tmp_path)
    with pytest.raises(Unusable) as refusal:
        await a_store(tmp_path)
    text = str(refusal.value)
    assert re.search(re.escape(words).replace(r"\.\*", ".*"), text), text
    assert str(tmp_path) in text
    ways_out = ("restore BACKUP", "wherry store repair", "put that one's file back", "remove '")
    assert any(way.lower() in text.lower() for way in ways_out)
    assert files_of(tmp_path) == before, "what is refused stays as it was found"


def test_of_a_witness_cut_off_while_it_was_written_the_note_before_counts(tmp_path: Path) -> None:
    seen = witness.Seen(cluster="c", revision=1, chain=-1)
    notes = witness.Witness(tmp_path / NAME, seen)
    for revision in range(2, 6):
        notes.note(revision, -revision)
        assert witness.read(tmp_path / NAME) == witness.Seen(cluster="c", revision=revision, chain=-revision)
        whole = witness.path_of(tmp_path / NAME).read_bytes()
        at = whole.index(b" %020d" % revision)
        witness.path_of(tmp_path / NAME).write_bytes(whole[:at] + b"\0" * 9 + whole[at + 9 :])
        assert witness.read(tmp_path / NAME) == witness.Seen(cluster="c", revision=revision - 1, chain=-(revision - 1))
        witness.path_of(tmp_path / NAME).write_bytes(whole)
    notes.close()


async def test_a_lost_log_is_missed(tmp_path: Path) -> None:
    await make_killed(tmp_path)
    log_of(tmp_path).unlink()
    with pytest.raises(Unusable, match="ends at revision 0, but it had come to revision 253: its log"):
        await a_store(tmp_path)


async def test_an_older_copy_is_not_taken_for_the_newest(tmp_path: Path) -> None:
    await make(tmp_path)
    older = (tmp_path / NAME).read_bytes()
    store = await a_store(tmp_path)
    await store.put("/o/later", b"later", expect_revision=0)
    await store.close()
    (tmp_path / NAME).write_bytes(older)
    with pytest.raises(Unusable, match="or this is an older copy"):
        await a_store(tmp_path)


@cache
def left_behind() -> tuple[dict[str, bytes], tuple[int, tuple[Record, ...]]]:
    """The files of a killed store, and what is in it; part of it is in the file and part in the log."""

    async def look() -> tuple[dict[str, bytes], tuple[int, tuple[Record, ...]]]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder)
            await make(path)
            store = await a_store(path)
            for number in range(60):
                await store.put(f"/late/{number}", b"late %d" % number * 30, expect_revision=None)
            files = {name: data for name, data in files_of(path).items() if not name.endswith("-shm")}
            there = await everything(store)
            await store.close()
            return files, there

    return asyncio.run(look())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    which=st.sampled_from(["", "-wal"]),
    where=st.floats(0, 1, exclude_max=True),
    how=st.one_of(st.just("cut"), st.integers(1, 255)),
)
def test_whatever_is_cut_off_or_flipped_nothing_is_lost_unnoticed(which: str, where: float, how: str | int) -> None:
    files, there = left_behind()
    data = files[NAME + which]
    at = int(where * len(data))
    spoilt = data[:at] if isinstance(how, str) else data[:at] + bytes((data[at] ^ how,)) + data[at + 1 :]

    async def check() -> None:
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                (Path(folder) / name).write_bytes(spoilt if name == NAME + which else content)
            try:
                store = await a_store(Path(folder))
            except Unusable:
                return
            found = await everything(store)
            await store.close()
            assert found == there

    asyncio.run(check())


async def test_a_file_of_the_first_format_is_upgraded_in_place_with_its_history(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / NAME, isolation_level=None)) as db:
        db.executescript(
            """
            PRAGMA journal_mode=WAL;
            CREATE TABLE history (
                revision INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB, previous INTEGER NOT NULL
            );
            CREATE INDEX history_by_key ON history (key, revision);
            CREATE TABLE compacted (revision INTEGER NOT NULL);
            INSERT INTO compacted VALUES (3);
            INSERT INTO history VALUES (2, '/a', x'61', 1), (3, '/b', x'62', 0);
            INSERT INTO history VALUES (4, '/a', x'6161', 2), (5, '/b', NULL, 3);
            """
        )
    store = await a_store(tmp_path)
    assert await store.newest_revision() == 5
    assert (await store.list("/")).records == (Record("/a", b"aa", 4),)
    assert (await store.list("/", at_revision=3)).records == (Record("/a", b"a", 2), Record("/b", b"b", 3))
    assert await store.put("/b", b"bb", expect_revision=0) == 6
    await store.compact(6)
    await store.close()
    with closing(open_to_look(tmp_path / NAME)) as db:
        assert load(db).newest == 6


async def test_compaction_keeps_the_account_of_what_is_left(tmp_path: Path) -> None:
    store = await a_store(tmp_path)
    await fill(store)
    for revision in (160, 170, 201, 240, 253):
        await store.compact(revision)
        with closing(open_to_look(tmp_path / NAME)) as db:
            assert load(db).base.compacted == revision
    await store.close()


async def test_of_a_store_of_which_all_is_compacted_nothing_is_lost_unnoticed(tmp_path: Path) -> None:
    store = await a_store(tmp_path)
    await fill(store)
    await store.compact(await store.newest_revision())
    await store.close()
    lose_an_old_record(tmp_path)
    with pytest.raises(Unusable, match="records up to revision 253, "):
        await a_store(tmp_path)


async def test_a_record_that_rots_while_the_store_runs_is_not_given_out(tmp_path: Path) -> None:
    store = await a_store(tmp_path)
    await fill(store)
    change_a_value(tmp_path)
    with pytest.raises(Damaged, match="the record '/o/last'"):
        await store.list("/o/")
    await store.close()


async def test_a_disk_without_room_for_another_file_opens_its_store_all_the_same(tmp_path: Path) -> None:
    await make(tmp_path)
    # Where the witness would be made anew, as if there were no room for it.
    made_at = witness.path_of(tmp_path / NAME)
    made_at.with_name(f".{made_at.name}.{os.getpid()}").mkdir()
    store = await a_store(tmp_path)
    revision = await store.put("/o/more", b"more", expect_revision=0)
    await store.close()
    seen = witness.read(tmp_path / NAME)
    assert seen is not None
    assert seen.revision == revision
    # Nobody else's is written over.
    made_at.unlink()
    with pytest.raises(Unusable):
        await a_store(tmp_path)


async def test_what_may_pass_is_told_from_damage(tmp_path: Path) -> None:
    await make(tmp_path)
    blocked = tmp_path / f"{NAME}-shm"
    blocked.symlink_to("nowhere")
    for opening in (a_store(tmp_path), asyncio.to_thread(check, tmp_path / NAME)):
        with pytest.raises(UnusableForNow, match="for now: unable to open database file"):
            await opening
    blocked.unlink()
    store = await a_store(tmp_path)
    assert await store.newest_revision() > 0
    await store.close()


@pytest.mark.parametrize(
    ("code", "may_pass"),
    [
        (sqlite3.SQLITE_FULL, True),
        (sqlite3.SQLITE_IOERR_WRITE, True),
        (sqlite3.SQLITE_BUSY, True),
        (sqlite3.SQLITE_CORRUPT, False),
        (sqlite3.SQLITE_NOTADB, False),
    ],
)
def test_which_errors_may_pass(code: int, may_pass: bool) -> None:
    error = sqlite3.OperationalError("whatever")
    error.sqlite_errorcode = code
    damaged = Damaged("it cannot be read")
    damaged.__cause__ = error
    assert (passes(error), passes(damaged)) == (may_pass, may_pass)


@pytest.mark.looptime
async def test_the_server_waits_for_a_store_that_cannot_be_opened_for_now(tmp_path: Path, looptime: object) -> None:
    config = Config(state_dir=tmp_path, advertise_address="127.0.0.1")
    async with opened_store(config, SystemClock()) as store:
        await store.put("/o/a", b"a", expect_revision=0)
    blocked = config.store_path.with_name(f"{config.store_path.name}-shm")
    blocked.symlink_to("nowhere")

    async def opened() -> int:
        async with opened_store(config, SystemClock()) as store:
            return await store.newest_revision()

    opening = asyncio.ensure_future(opened())
    await asyncio.sleep(60)
    assert not opening.done()
    blocked.unlink()
    assert await opening == 1
