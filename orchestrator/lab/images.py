"""Handing local images to the nodes' engines, without a registry in between."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from orchestrator.lab import standins
from orchestrator.lab.archives import load_archive
from orchestrator.lab.engine import Engine

_COPY_BYTES = 1 << 20


def load_standins(engine_socket: Path, state_dir: Path) -> None:
    """Give an engine the stand-ins that it does not have yet."""
    engine = Engine(engine_socket)
    missing = [name for name in standins.NAMES if not engine.has_image(name)]
    if missing:
        images = standins.build(standins.download(state_dir))
        engine.load(io.BytesIO(load_archive(image for image in images if image.name in missing)))


def copy_image(name: str, *, source: Path, targets: Sequence[Path]) -> None:
    """Copy the image `name` from the engine at `source` to those at `targets`.

    Raises `EngineRefused` if the source has no such image, `EngineUnreachable` if an engine does not answer.
    """
    with tempfile.TemporaryFile(prefix="wherry-image-") as archive:
        with Engine(source).save(name) as stream:
            _copy(stream, archive)
        load_file(archive, targets=targets)


def load_file(archive: IO[bytes], *, targets: Sequence[Path]) -> None:
    """Give each engine the images of an archive (`docker save`)."""
    for target in targets:
        archive.seek(0)
        Engine(target).load(archive)


def _copy(stream: IO[bytes], into: IO[bytes]) -> None:
    while chunk := stream.read(_COPY_BYTES):
        into.write(chunk)
