"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
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


# In a process of its own, since an audit hook stays for good. What is synced has been opened, which the hook sees.
_WATCHED = """
import os, sys
from pathlib import Path
from orchestrator.machinery.whole_files import write_whole

def note(event, args):
    if event == "open" and args[2] & os.O_DIRECTORY:
        print("folder", args[0])
    elif event == "os.rename":
        print("rename", args[0], args[1])

path = Path(sys.argv[1])
sys.addaudithook(note)
write_whole(path, b"new")
"""


def test_a_rename_is_followed_by_its_folder_being_synced(tmp_path: Path) -> None:
    path = tmp_path / "f"
    command = [sys.executable, "-c", _WATCHED, str(path)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True, cwd=os.getcwd()).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["rename", "folder"]
    assert lines[0].endswith(f" {path}")
    assert lines[1] == f"folder {tmp_path}"
