"""Shows a planted bug to tests: a copy of the tree, and processes that have everything foreign loaded.

The copy is compiled once. A trial forks from this process, which has imported what is not the project's own, so that
it begins at once; the bug's own module is the only one that is compiled again.
"""

from __future__ import annotations

import compileall
import importlib
import importlib.util
import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from scripts.mutation.reach import is_unit

_TREES = ("orchestrator", "node_agent", "netproxy", "tests", "config", "scripts")
_FILES = ("pyproject.toml", "README.md", "ARCHITECTURE.md", "NOMENCLATURE.md")
_FOREIGN = ("aiohttp", "aiohttp.web", "cryptography.x509", "hypothesis.strategies", "msgspec", "numpy", "yaml")
# A bug that makes a test wait for ever is noticed as well.
_TIMEOUT_S = 300.0


class Copy:
    """A copy of the tree in `folder`, in which one module at a time is not what it was."""

    def __init__(self, root: Path, folder: Path) -> None:
        for tree in _TREES:
            shutil.copytree(root / tree, folder / tree, ignore=shutil.ignore_patterns("__pycache__"))
        for file in _FILES:
            shutil.copy2(root / file, folder / file)
        for tree in ("orchestrator", "node_agent", "netproxy"):
            compileall.compile_dir(folder / tree, quiet=2)
        for name in _FOREIGN:
            importlib.import_module(name)
        self._folder = folder
        self._sound: dict[Path, bool] = {}

    def is_noticed(self, module: Path, source: str, tests: Sequence[Path]) -> bool:
        """Whether one of the tests fails over the changed module: the first alone, then unit tests, then all others.

        A test that fails without any bug notices nothing: it is named, and left out.
        """
        near = [test for test in tests[1:] if is_unit(test)]
        for some in (tests[:1], near, [test for test in tests[1:] if test not in near]):
            sound = [test for test in some if self._is_sound(test)]
            if sound and not self._pass(sound, module, source):
                return True
        return False

    def _is_sound(self, test: Path) -> bool:
        if test not in self._sound:
            self._sound[test] = self._passes([test])
            if not self._sound[test]:
                print(f"     {test} fails without any bug", flush=True)
        return self._sound[test]

    def _pass(self, tests: Sequence[Path], module: Path, source: str) -> bool:
        path = self._folder / module
        original = path.read_text()
        path.write_text(source)
        # It would outlive the bug that it was compiled from, or hide it.
        Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)
        try:
            return self._passes(tests)
        finally:
            path.write_text(original)

    def _passes(self, tests: Sequence[Path]) -> bool:
        trial = multiprocessing.get_context("fork").Process(target=_run, args=(self._folder, list(map(str, tests))))
        trial.start()
        trial.join(_TIMEOUT_S)
        if trial.exitcode is None:
            assert trial.pid is not None
            with suppress(ProcessLookupError):
                os.killpg(trial.pid, signal.SIGKILL)  # with whatever the tests started
            trial.join()
        if trial.exitcode in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.INTERNAL_ERROR):
            raise RuntimeError(f"cannot run {', '.join(map(str, tests))}")
        return trial.exitcode in (0, pytest.ExitCode.NO_TESTS_COLLECTED)


def _run(folder: Path, tests: list[str]) -> None:
    os.setsid()
    os.chdir(folder)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    sys.dont_write_bytecode = True
    sys.path[:] = [str(folder), *(path for path in sys.path if path)]
    for name in [name for name in sys.modules if name.partition(".")[0] == "scripts"]:
        del sys.modules[name]  # this process's own; the copy has its
    # What was imported above cannot be rewritten, and need not be.
    options = ["-q", "-x", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    code = pytest.main([*options, "-m", "not docker and not lab", *tests])
    os._exit(int(code))
