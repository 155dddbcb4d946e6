"""Writing a volume's files so that its readers always see all of one version: a symbolic link is swapped.

The directory holds `..data`, a link to a directory with the files, and one link into it per top-level name; that is
what readers of Kubernetes volumes expect, who watch `..data`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from node_agent.volumes.payload import File

_DATA = "..data"
_DATA_NEXT = "..data_tmp"


def write_files(target: Path, files: Mapping[str, File], *, group: int | None = None) -> bool:
    """Make `target` hold exactly `files`; says whether anything changed. Safe to repeat and to interrupt."""
    target.mkdir(parents=True, exist_ok=True)
    if _holds(target / _DATA, files):
        _link_names(target, files)
        return False
    fresh = Path(tempfile.mkdtemp(prefix="..", dir=target))
    os.chmod(fresh, 0o755)
    for name, file in files.items():
        path = fresh / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.data)
        os.chmod(path, file.mode if group is None else file.mode | 0o440)
        if group is not None:
            os.chown(path, -1, group)
    old = os.readlink(target / _DATA) if (target / _DATA).is_symlink() else None
    with suppress(FileNotFoundError):
        os.unlink(target / _DATA_NEXT)
    os.symlink(fresh.name, target / _DATA_NEXT)
    os.rename(target / _DATA_NEXT, target / _DATA)
    _link_names(target, files)
    if old is not None:
        shutil.rmtree(target / old, ignore_errors=True)
    _remove_abandoned(target, keep=fresh.name)
    return True


def _holds(directory: Path, files: Mapping[str, File]) -> bool:
    if not directory.is_dir():
        return False
    found = {
        str(path.relative_to(directory)): path for path in directory.rglob("*") if path.is_file() or path.is_symlink()
    }
    if found.keys() != files.keys():
        return False
    return all(path.read_bytes() == files[name].data for name, path in found.items())


def _link_names(target: Path, files: Mapping[str, File]) -> None:
    wanted = {name.split("/")[0] for name in files}
    for name in wanted:
        link = target / name
        if not link.is_symlink():
            os.symlink(f"{_DATA}/{name}", link)
    for entry in os.scandir(target):
        if entry.is_symlink() and not entry.name.startswith("..") and entry.name not in wanted:
            os.unlink(entry.path)


def _remove_abandoned(target: Path, *, keep: str) -> None:
    """Directories of a write that was interrupted."""
    for entry in os.scandir(target):
        if entry.name.startswith("..") and entry.name not in (keep, _DATA) and entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
