"""Which tests can notice a bug in a module: those that import it, nearest first. Pure, but for reading the tree.

Nearest is the unit test of the module's name, then those of its folder and the folders above, then all others; those
of few imports first. Of equally near ones, those that import little come first: they are about it, and fail soon.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path

#: Whoever imports a module over more steps than this tests something else.
STEPS_MAX = 5
# Farther than any folder is deep.
_ELSEWHERE = 100


def imports_of(path: Path, root: Path, known: Mapping[str, Path]) -> set[Path]:
    """The files of the tree that a file imports."""
    found: set[Path] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        found.update(known[name] for name in names if name in known)
    return found


def reaching_tests(root: Path) -> dict[Path, list[Path]]:
    """For every module, the test files that reach it within `STEPS_MAX` imports, the nearest first."""
    files = [path for top in ("orchestrator", "node_agent", "netproxy", "tests") for path in (root / top).rglob("*.py")]
    known = {_dotted(path, root): path for path in files}
    imports = {path: imports_of(path, root, known) for path in files}
    tests = [path for path in files if path.name.startswith("test_") and "e2e" not in path.parts]
    reached: dict[Path, list[tuple[int, int, int, Path]]] = {}
    for test in sorted(tests):
        for module, steps in _reach(test, imports).items():
            away = _away(test.relative_to(root), module.relative_to(root))
            reached.setdefault(module, []).append((away, steps, len(imports[test]), test))
    return {module: [test for *_, test in sorted(found)] for module, found in reached.items()}


def is_unit(test: Path) -> bool:
    """Whether a test file, relative to the tree, is one of the unit tests."""
    return test.parts[:2] == ("tests", "unit")


def _away(test: Path, module: Path) -> int:
    """How far a test lies from where a module's own would: 0 is its own, then folder by folder; others come last."""
    if not is_unit(test):
        return _ELSEWHERE
    home = tuple(part for part in module.parent.parts if part != "orchestrator")
    # A folder's tests may be one file of its name.
    place = (*test.parent.parts[2:], test.stem.removeprefix("test_"))
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(home, place, strict=False)))
    return 0 if place == (*home, module.stem) else 1 + len(home) - shared


def _reach(start: Path, imports: Mapping[Path, set[Path]]) -> dict[Path, int]:
    steps = {start: 0}
    edge: Sequence[Path] = [start]
    for distance in range(1, STEPS_MAX + 1):
        edge = [path for one in edge for path in imports[one] if path not in steps]
        steps |= dict.fromkeys(edge, distance)
    del steps[start]
    return steps


def _dotted(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
