"""The Docker Engine API's JSON forms, to and from our words; pure."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from typing import Any

from node_agent.runtime.base import ContainerSpec, ContainerState, Image, Mount, Phase, Usage

OWNER_LABEL = "io.wherry.owner"
_FRACTION = re.compile(r"\.([0-9]+)")
# What the engine answers with when a started container's command does not exist or may not run.
_START_FAILED = (126, 127, 128)


def creation_of(spec: ContainerSpec, *, owner: str) -> dict[str, Any]:
    """The body of `POST /containers/create`."""
    body: dict[str, Any] = {
        "Image": spec.image,
        "Labels": {**spec.labels, OWNER_LABEL: owner},
        "Env": list(spec.env),
        "AttachStdin": False,
        "AttachStdout": False,
        "AttachStderr": False,
        "OpenStdin": spec.stdin,
        "StdinOnce": spec.stdin_once,
        "Tty": spec.tty,
        # The probes are the agent's; an image's own health check would only cost.
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": _host_config_of(spec),
    }
    for key, value in (
        ("Entrypoint", list(spec.entrypoint)),
        ("Cmd", list(spec.args)),
        ("WorkingDir", spec.working_dir),
        ("User", spec.user),
        ("Hostname", spec.hostname),
        ("StopSignal", spec.stop_signal),
    ):
        if value:
            body[key] = value
    if spec.ports:
        body["ExposedPorts"] = {f"{port.container_port}/{port.protocol}": {} for port in spec.ports}
    return body


def _host_config_of(spec: ContainerSpec) -> dict[str, Any]:
    limits = spec.limits
    config: dict[str, Any] = {
        "NetworkMode": spec.network or "none",
        "IpcMode": spec.ipc,
        "PidMode": spec.pid,
        "Mounts": [_mount_of(mount) for mount in spec.mounts],
        "Privileged": spec.privileged,
        "ReadonlyRootfs": spec.read_only_root,
        "CapAdd": list(spec.capabilities_add),
        "CapDrop": list(spec.capabilities_drop),
        "SecurityOpt": list(spec.security_options),
        "GroupAdd": list(spec.groups),
        "Sysctls": dict(spec.sysctls),
        "CpuShares": limits.cpu_shares,
        "CpuQuota": limits.cpu_quota_us,
        "CpuPeriod": limits.cpu_period_us,
        "Memory": limits.memory_bytes,
        # No swap beyond the memory limit, as Kubernetes has it.
        "MemorySwap": limits.memory_bytes,
        "OomScoreAdj": limits.oom_score_adj,
        "RestartPolicy": {"Name": "no"},
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "5"}},
    }
    if spec.ports:
        bindings: dict[str, list[dict[str, str]]] = {}
        for port in spec.ports:
            entry = {"HostIp": port.host_ip, "HostPort": str(port.host_port)}
            bindings.setdefault(f"{port.container_port}/{port.protocol}", []).append(entry)
        config["PortBindings"] = bindings
    return config


def _mount_of(mount: Mount) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "Type": "bind",
        "Source": mount.source,
        "Target": mount.target,
        "ReadOnly": mount.read_only,
    }
    if mount.propagation:
        shown["BindOptions"] = {"Propagation": mount.propagation}
    return shown


def state_of(found: Mapping[str, Any], *, seen_at: float) -> ContainerState:
    """What `GET /containers/ID/json` answered."""
    state, config = found["State"], found["Config"]
    exit_code, error = int(state.get("ExitCode") or 0), str(state.get("Error") or "")
    match state.get("Status"):
        case "running" | "paused" | "restarting":
            phase = Phase.RUNNING
        case "created" if not (error and exit_code in _START_FAILED):
            phase = Phase.CREATED
        case _:
            phase = Phase.EXITED
    created_at = seconds_of(found.get("Created", ""))
    finished_at = seconds_of(state.get("FinishedAt", ""))
    networks = (found.get("NetworkSettings") or {}).get("Networks") or {}
    address = next((net["IPAddress"] for net in networks.values() if net.get("IPAddress")), "")
    return ContainerState(
        id=found["Id"],
        name=str(found.get("Name", "")).lstrip("/"),
        labels=config.get("Labels") or {},
        phase=phase,
        image=config.get("Image", ""),
        image_id=found.get("Image", ""),
        pid=int(state.get("Pid") or 0),
        exit_code=exit_code,
        oom_killed=bool(state.get("OOMKilled")),
        error=error,
        address=address,
        created_at=created_at,
        started_at=seconds_of(state.get("StartedAt", "")),
        finished_at=(finished_at or created_at) if phase is Phase.EXITED else 0.0,
        seen_at=seen_at,
        tty=bool(config.get("Tty")),
        stop_signal=config.get("StopSignal") or "SIGTERM",
    )


def image_of(found: Mapping[str, Any]) -> Image:
    """What `GET /images/NAME/json` or an entry of `GET /images/json` holds."""
    return Image(
        id=found["Id"],
        tags=tuple(found.get("RepoTags") or ()),
        digests=tuple(d for d in found.get("RepoDigests") or () if not d.startswith("<none>")),
        size_bytes=int(found.get("Size") or 0),
        user=str((found.get("Config") or {}).get("User") or ""),
    )


def usage_of(found: Mapping[str, Any]) -> Usage:
    """What `GET /containers/ID/stats` answered."""
    memory = found.get("memory_stats") or {}
    used = int(memory.get("usage") or 0)
    details = memory.get("stats") or {}
    inactive = int(details.get("total_inactive_file") or details.get("inactive_file") or 0)
    cpu = ((found.get("cpu_stats") or {}).get("cpu_usage") or {}).get("total_usage") or 0
    return Usage(cpu_nanoseconds=int(cpu), memory_bytes=used, memory_working_set_bytes=max(0, used - inactive))


def seconds_of(text: str) -> float:
    """Seconds since 1970 of the engine's RFC 3339 time with up to nine decimals; its year 1 and "" are 0."""
    if not text or text.startswith("0001-"):
        return 0.0
    trimmed = _FRACTION.sub(lambda found: "." + found[1][:6].ljust(6, "0"), text)
    return datetime.datetime.fromisoformat(trimmed).timestamp()


def with_tag(reference: str) -> tuple[str, str]:
    """Take an image reference apart into repository and tag or digest; no tag means `latest`."""
    if "@" in reference:
        repository, _, digest = reference.partition("@")
        head, colon, tag = repository.rpartition(":")
        return (head if colon and "/" not in tag else repository), digest
    head, colon, tag = reference.rpartition(":")
    return (head, tag) if colon and "/" not in tag else (reference, "latest")


class FrameSplitter:
    """Takes the engine's multiplexed stream apart: an 8-byte header (stream, 0, 0, 0, length) before each piece."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._stream = 0
        self._left = 0

    def feed(self, data: bytes) -> Sequence[tuple[int, bytes]]:
        """The pieces that `data` completes or continues, as (stream, bytes)."""
        self._buffer += data
        pieces: list[tuple[int, bytes]] = []
        while True:
            if self._left:
                if not self._buffer:
                    return pieces
                piece = bytes(self._buffer[: self._left])
                del self._buffer[: len(piece)]
                self._left -= len(piece)
                pieces.append((self._stream, piece))
                continue
            if len(self._buffer) < 8:
                return pieces
            self._stream = self._buffer[0]
            self._left = int.from_bytes(self._buffer[4:8], "big")
            del self._buffer[:8]
