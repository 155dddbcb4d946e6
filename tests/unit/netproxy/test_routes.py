"""Routes, with a command `ip` of our own."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from netproxy.routes import Routes
from tests.support.relay import until


async def test_a_command_that_is_not_waited_for_any_more_does_nothing_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = tmp_path / "begun"
    command = tmp_path / "ip"
    command.write_text(f"#!/bin/sh\necho $$ > {begun}.new\nmv {begun}.new {begun}\nexec sleep 60\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    following = asyncio.create_task(Routes().follow(["10.96.0.0/16"]))
    await until(begun.exists)
    process = Path("/proc", begun.read_text().strip())
    assert process.exists()
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following
    assert not process.exists()
