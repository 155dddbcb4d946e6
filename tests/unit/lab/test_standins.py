"""Fetching what stand-in images are made of."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestrator.lab import observed, standins
from orchestrator.lab.network import CommandFailed


def test_a_download_that_nobody_waits_for_any_more_is_found_with_its_lab(tmp_path, monkeypatch):
    slow = tmp_path / "bin" / "apt-get"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    state_dir = tmp_path / "state"
    with ThreadPoolExecutor(1) as pool:
        downloading = pool.submit(standins.download, state_dir)
        while not (found := observed.marked_processes(state_dir)) and not downloading.done():
            time.sleep(0.01)
        observed.send([process.pid for process in found], signal.SIGKILL)
        with pytest.raises(CommandFailed, match="ended with -9"):
            downloading.result(20)
