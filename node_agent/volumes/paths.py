"""Where everything of a pod lies below the agent's state directory; pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class PodPaths:
    """The files of one pod."""

    state_dir: Path
    uid: str

    @property
    def root(self) -> Path:
        """Everything of the pod, removed with it."""
        return pods_dir(self.state_dir) / self.uid

    @property
    def volumes(self) -> Path:
        """Its volumes, one directory each."""
        return self.root / "volumes"

    def volume(self, name: str) -> Path:
        """One volume."""
        return self.volumes / name

    @property
    def hosts(self) -> Path:
        """What its containers see as /etc/hosts."""
        return self.root / "hosts"

    @property
    def resolv_conf(self) -> Path:
        """What its containers see as /etc/resolv.conf."""
        return self.root / "resolv.conf"

    def message(self, container: str, attempt: int) -> Path:
        """The termination message of one container."""
        return self.root / "containers" / container / str(attempt)


def pods_dir(state_dir: Path) -> Path:
    """The parent of all pods' directories, each named by its uid."""
    return state_dir / "pods"
