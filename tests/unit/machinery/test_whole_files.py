"""Files that are there whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.machinery.whole_files import write_private, write_whole


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write_whole(path, b"old")
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_private_is_for_nobody_elses_eyes(tmp_path: Path) -> None:
    write_private(tmp_path / "f", b"hush")
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o600


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    with pytest.raises(IsADirectoryError):
        write_whole(taken, b"x")
    assert list(tmp_path.iterdir()) == [taken]
