"""Image archives: layers, an image's configuration, and the file `docker load` reads; plain Python, no engine."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.api.objects import Object

_GZIP_LEVEL = 1  # these images cross a virtual cable; building them fast matters more


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer: its tar compressed, and the two digests that images name it by."""

    data: bytes
    digest: str
    diff_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One image by name, as `docker pull` is told it (`nginx:1.16`)."""

    name: str
    layers: tuple[Layer, ...]
    config: bytes

    @property
    def repository(self) -> str:
        """The registry's name for it: images without an owner are Docker's `library`."""
        repository = self.name.rpartition(":")[0]
        return repository if "/" in repository else f"library/{repository}"

    @property
    def tag(self) -> str:
        return self.name.rpartition(":")[2]

    def manifest(self) -> bytes:
        """The registry's description of the image (schema 2)."""
        return _json(
            {
                "schemaVersion": 2,
                "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
                "config": {
                    "mediaType": "application/vnd.docker.container.image.v1+json",
                    "size": len(self.config),
                    "digest": digest(self.config),
                },
                "layers": [
                    {
                        "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
                        "size": len(layer.data),
                        "digest": layer.digest,
                    }
                    for layer in self.layers
                ],
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """What a container of the image runs unless told otherwise."""

    command: Sequence[str]
    ports: Sequence[int] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    stop_signal: str = "SIGTERM"
    working_dir: str = "/"


class LayerWriter:
    """Collects files into a layer. Times and owners are fixed, so equal content has an equal digest."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._tar = tarfile.open(fileobj=self._buffer, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115
        self._names: set[str] = set()

    def directory(self, path: str, *, mode: int = 0o755) -> None:
        """A directory, with those above it."""
        self._parents(path)
        entry = tarfile.TarInfo(path)
        entry.type, entry.mode = tarfile.DIRTYPE, mode
        self._add(entry)

    def file(self, path: str, content: bytes, *, mode: int = 0o644) -> None:
        self._parents(path)
        entry = tarfile.TarInfo(path)
        entry.size, entry.mode = len(content), mode
        self._add(entry, content)

    def link(self, path: str, target: str) -> None:
        """A symbolic link at `path`."""
        self._parents(path)
        entry = tarfile.TarInfo(path)
        entry.type, entry.linkname = tarfile.SYMTYPE, target
        self._add(entry)

    def finish(self) -> Layer:
        """The layer; the writer is of no further use."""
        self._tar.close()
        return layer_of(self._buffer.getvalue())

    def has(self, path: str) -> bool:
        return path in self._names

    def _parents(self, path: str) -> None:
        parts = path.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            parent = "/".join(parts[:depth])
            if parent not in self._names:
                self.directory(parent)

    def _add(self, entry: tarfile.TarInfo, content: bytes = b"") -> None:
        if entry.name in self._names:
            return  # the first one stands: a package's own file goes before what we add around it
        self._names.add(entry.name)
        self._tar.addfile(entry, io.BytesIO(content) if content else None)


def layer_of(tar: bytes) -> Layer:
    """The layer of an uncompressed tar."""
    data = gzip.compress(tar, _GZIP_LEVEL, mtime=0)
    return Layer(data=data, digest=digest(data), diff_id=digest(tar))


def image_of(name: str, layers: Sequence[Layer], settings: RunSettings, *, architecture: str) -> Image:
    """Put an image together from layers."""
    config = {
        "architecture": architecture,
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "Cmd": list(settings.command),
            "WorkingDir": settings.working_dir,
            "ExposedPorts": {f"{port}/tcp": {} for port in settings.ports},
            "Labels": dict(settings.labels),
            "StopSignal": settings.stop_signal,
        },
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "wherry"} for _ in layers],
    }
    return Image(name=name, layers=tuple(layers), config=_json(config))


def load_archive(images: Iterable[Image]) -> bytes:
    """The file that `docker load` takes in, holding all `images`; layers that they share are in it once."""
    buffer = io.BytesIO()
    manifest = []
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        written: set[str] = set()
        for image in images:
            config_name = digest(image.config).removeprefix("sha256:") + ".json"
            layer_names = [layer.diff_id.removeprefix("sha256:") + "/layer.tar" for layer in image.layers]
            parts = [(config_name, image.config)]
            parts += [
                (name, gzip.decompress(layer.data)) for name, layer in zip(layer_names, image.layers, strict=True)
            ]
            for name, content in parts:
                if name not in written:
                    written.add(name)
                    _put(tar, name, content)
            manifest.append({"Config": config_name, "RepoTags": [image.name], "Layers": layer_names})
        _put(tar, "manifest.json", _json(manifest))
    return buffer.getvalue()


def digest(data: bytes) -> str:
    """How registries name bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _put(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def _json(value: Object | list[Object]) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
