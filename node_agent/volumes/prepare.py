"""Making, refreshing and removing a pod's directories. Blocking: call it in a thread."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from node_agent.pods.facts import ConfigProblem
from node_agent.pods.naming import resolv_conf
from node_agent.volumes.atomic import write_files
from node_agent.volumes.paths import PodPaths
from node_agent.volumes.payload import Ingredients, payload
from orchestrator.api import quantities
from orchestrator.api.views.pods import EmptyDirSource, HostPathSource, Pod, Volume
from orchestrator.machinery.libc import checked, libc

_MS_NOSUID, _MS_NODEV = 2, 4
_MNT_DETACH = 2


def prepare(pod: Pod, paths: PodPaths, given: Ingredients) -> Mapping[str, str]:
    """Make everything the pod's containers will mount; returns the path of each volume. Safe to repeat.

    Raises ConfigProblem, naming the volume, for what is missing or refused.
    """
    paths.volumes.mkdir(parents=True, exist_ok=True, mode=0o750)
    group = pod.spec.security_context.fs_group if pod.spec.security_context is not None else None
    ready: dict[str, str] = {}
    for volume in pod.spec.volumes:
        try:
            ready[volume.name] = str(_one(pod, volume, paths, given, group))
        except (ConfigProblem, OSError) as problem:
            raise ConfigProblem(f'MountVolume.SetUp failed for volume "{volume.name}" : {problem}') from problem
    write_if_changed(paths.resolv_conf, resolv_conf(pod, given.facts))
    return ready


def refresh(pod: Pod, paths: PodPaths, given: Ingredients) -> int:
    """Bring files made from objects up to date; says how many volumes changed."""
    group = pod.spec.security_context.fs_group if pod.spec.security_context is not None else None
    changed = 0
    for volume in pod.spec.volumes:
        files = payload(pod, volume, given)
        if files is not None:
            changed += write_files(paths.volume(volume.name), files, group=group)
    return changed


def _one(pod: Pod, volume: Volume, paths: PodPaths, given: Ingredients, group: int | None) -> Path:
    target = paths.volume(volume.name)
    if volume.host_path is not None:
        return _host_path(volume.host_path)
    if volume.empty_dir is not None:
        return _empty_dir(target, volume.empty_dir, group)
    files = payload(pod, volume, given)
    if files is None:
        raise ConfigProblem("no volume plugin matched")
    if volume.config_map is None:
        # Secrets and tokens are never written to a disk.
        target.mkdir(parents=True, exist_ok=True)
        _in_memory(target, "mode=755")
    write_files(target, files, group=group)
    return target


def _empty_dir(target: Path, source: EmptyDirSource, group: int | None) -> Path:
    if not target.is_dir():
        target.mkdir(parents=True)
        os.chmod(target, 0o777 if group is None else 0o2777)
        if group is not None:
            os.chown(target, -1, group)
    if source.medium == "Memory":
        size = f"size={quantities.parse_bytes(source.size_limit)}," if source.size_limit else ""
        _in_memory(target, f"{size}mode=2777" + (f",gid={group}" if group is not None else ""))
    return target


def _in_memory(target: Path, options: str) -> None:
    """Have the directory's files in memory only, unless they are already."""
    if os.path.ismount(target):
        return
    flags = _MS_NOSUID | _MS_NODEV
    checked(libc.mount(b"tmpfs", os.fsencode(target), b"tmpfs", flags, options.encode()), str(target))


def _host_path(source: HostPathSource) -> Path:
    path = Path(source.path)
    match source.type:
        case "":
            # Docker refuses a missing source; Kubernetes makes a directory of it.
            if not path.exists():
                path.mkdir(parents=True, mode=0o755)
        case "DirectoryOrCreate":
            path.mkdir(parents=True, exist_ok=True, mode=0o755)
        case "FileOrCreate":
            if not path.exists():
                path.touch(0o644)
        case kind:
            _check_type(path, kind)
    return path


def _check_type(path: Path, kind: str) -> None:
    checks = {
        "Directory": stat.S_ISDIR,
        "File": stat.S_ISREG,
        "Socket": stat.S_ISSOCK,
        "CharDevice": stat.S_ISCHR,
        "BlockDevice": stat.S_ISBLK,
    }
    words = {"CharDevice": "character device", "BlockDevice": "block device"}
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        mode = 0
    if kind not in checks or not checks[kind](mode):
        raise ConfigProblem(f"hostPath type check failed: {path} is not a {words.get(kind, kind.lower())}")


def check_sub_path(volume: str, source: str) -> None:
    """Make a missing subPath a directory, and refuse one that leads out of its volume through a link."""
    root = os.path.realpath(volume)
    real = os.path.realpath(source)
    if real != root and not real.startswith(root + "/"):
        raise ConfigProblem(f"subPath {os.path.relpath(source, volume)!r} leads out of its volume")
    # What is made within a volume may be used by whoever may use the volume.
    mode = stat.S_IMODE(os.stat(root).st_mode)
    made = Path(root)
    for part in Path(os.path.relpath(real, root)).parts:
        made /= part
        if not made.exists():
            made.mkdir()
            os.chmod(made, mode)


def write_if_changed(path: Path, text: str) -> None:
    """Write in place, since containers have this very file mounted."""
    with suppress(FileNotFoundError):
        if path.read_text() == text:
            return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def make_message_file(path: Path) -> None:
    """An empty file that any user of the container may write to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.chmod(path, 0o666)


def remove(paths: PodPaths) -> None:
    """Take everything of the pod away, mounts first; success if there is nothing."""
    root = str(paths.root)
    for mount in _mounts_below(root):
        libc.umount2(os.fsencode(mount), _MNT_DETACH)
    # A mount that would not go keeps its files: what it shows is not the pod's to delete.
    if not _mounts_below(root):
        shutil.rmtree(root, ignore_errors=True)


def _mounts_below(root: str) -> list[str]:
    with open("/proc/self/mountinfo") as table:
        points = [line.split()[4].replace("\\040", " ") for line in table]
    return sorted((point for point in points if point.startswith(root + "/")), reverse=True)
