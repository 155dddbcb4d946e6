"""Our own conventions, checked: layout, sizes, words, docstrings. Import rules are import-linter's (pyproject.toml)."""

from __future__ import annotations

import ast
import os
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("orchestrator", "node_agent", "netproxy")
MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60

# Longer than the limit, each with its reason. An entry that is no longer needed fails the test, so the list stays true.
LONG_MODULES: dict[str, str] = {
    "orchestrator/api/views/pods.py": "a plain list of one kind's fields; cutting it hides what belongs together",
}
LONG_FUNCTIONS: dict[str, str] = {}
# Beside the places that style allows: each with what becomes of what it catches.
BROAD_EXCEPTS: dict[str, str] = {
    "orchestrator/server/connections.py": "whatever one connection's beginning brings is logged, and the others go on",
    "orchestrator/store/sqlite.py": "the end of the writer thread: whoever waits fails with it, and the process ends",
    "orchestrator/machinery/informer.py": "what a handler does with one object is logged and counted, the rest goes on",
    "orchestrator/machinery/recorder.py": "an event that cannot be told is logged and counted, and the next is told",
    "orchestrator/machinery/seen.py": "a wake that raises is logged and counted, and the others are called",
    "netproxy/cluster.py": "a service that cannot be worked out is logged and counted, and keeps what it had",
    "node_agent/runtime/bridge.py": "carries it from a thread to the reader on the loop, where it is raised again",
}

# Where `int` and `float` convert what is a number already, or text of our own; what others wrote is for
# `orchestrator/api/numbers.py`.
_REVISIONS = "revisions as the server itself wrote them"
_NUMBERS = "numbers already"
NUMBER_CONVERSIONS: dict[str, str] = {
    "orchestrator/api/codec.py": "a position in our own decoder's message",
    "orchestrator/api/kinds/kinds.py": "versions of the table of kinds",
    "orchestrator/api/printing/durations.py": _NUMBERS,
    "orchestrator/api/quantities.py": "digits that its own grammar has matched and bounded",
    "orchestrator/api/views/meta.py": _REVISIONS,
    "orchestrator/api/views/pods.py": _NUMBERS,
    "orchestrator/api/yaml_text.py": "digits that its own grammar has matched and bounded",
    "orchestrator/commands/token.py": "digits that its own pattern has matched",
    "orchestrator/controllers/moments.py": _NUMBERS,
    "orchestrator/controllers/pod_facts.py": _NUMBERS,
    "orchestrator/controllers/statefulset/decide.py": "digits that its own pattern has matched",
    "orchestrator/controllers/templates.py": "digits of a hash",
    "orchestrator/lab/observed.py": "what the kernel and our own processes wrote",
    "orchestrator/machinery/client.py": _REVISIONS,
    "orchestrator/machinery/informer.py": _REVISIONS,
    "orchestrator/machinery/leader.py": _NUMBERS,
    "orchestrator/machinery/recorder.py": _NUMBERS,
    "orchestrator/scheduler/place.py": _NUMBERS,
    "orchestrator/scheduler/columns.py": _NUMBERS,
    "orchestrator/scheduler/table.py": _NUMBERS,
    "orchestrator/serve/process.py": "what our own supervisor and commands pass",
    "orchestrator/server/conversion.py": _REVISIONS,
    "orchestrator/server/protobuf/decoder.py": "our own table of messages",
    "orchestrator/server/service_addresses.py": "what the API server itself wrote",
    "orchestrator/server/watches.py": _REVISIONS,
    "orchestrator/server/openapi/gnostic.py": "our own table of messages",
    "orchestrator/server/writing/decide.py": _REVISIONS,
    "orchestrator/server/writing/facts.py": _NUMBERS,
    "orchestrator/store/witness.py": "what the store itself wrote, under a checksum",
    "node_agent/node/machine.py": "what the kernel wrote",
    "node_agent/pods/admission.py": "what the node itself reported",
    "node_agent/pods/status.py": _NUMBERS,
    "node_agent/probes/ask.py": _NUMBERS,
    "node_agent/probes/verdict.py": _NUMBERS,
    "node_agent/runtime/docker.py": "numbers of the engine",
    "node_agent/runtime/engine_api.py": "numbers of the engine",
    "node_agent/runtime/fake.py": "what a test wrote",
    "netproxy/dns/server.py": _NUMBERS,
    "netproxy/forward/ticker.py": _NUMBERS,
    "netproxy/forward/worker.py": "what our own process passes to the one it starts",
}
# What these return is a number.
_NUMERIC = ("max", "min", "now", "count_nonzero", "len", "sum", "round", "int", "float")

# Beside `machinery/whole_files.py`, whose renames a power cut does not take back: each with why it need not, or how it
# sees to that itself.
RENAMES: dict[str, str] = {
    "orchestrator/store/sqlite_backup.py": "sets several files aside, and syncs their folder once, before it goes on",
    "node_agent/volumes/atomic.py": "a volume's files are compared with what they must be whenever its pod is prepared",
}

FORBIDDEN_NAMES = ("utils", "util", "common", "helpers", "helper", "misc", "manager")
SHRUGS = ("for some reason", "no idea why", "hack", "xxx", "fixme", "workaround for reasons")
TODO_WITHOUT_ISSUE = re.compile(r"\bTODO\b(?!\(#\d+\))")


@cache
def modules() -> tuple[Path, ...]:
    """Our own modules that are in the repository or about to be."""
    return tuple(sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")))


@cache
def suite() -> tuple[Path, ...]:
    return tuple(sorted((ROOT / "tests").rglob("*.py")))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions_of(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def lines_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def test_modules_are_short_or_say_why_not():
    long = {name_of(path) for path in modules() if len(path.read_text().splitlines()) > MODULE_LINES_MAX}
    assert long == set(LONG_MODULES), "split it at its seam, or write the reason down in LONG_MODULES"


def test_functions_are_short_or_say_why_not():
    long = {
        f"{name_of(path)}:{node.name}"
        for path in modules()
        for node in functions_of(path)
        if lines_of(node) > FUNCTION_LINES_MAX
    }
    assert long == set(LONG_FUNCTIONS), "split it, or write the reason down in LONG_FUNCTIONS"


def test_nothing_is_named_after_nothing():
    named = [name_of(path) for path in (*modules(), *suite()) if {path.stem, path.parent.name} & set(FORBIDDEN_NAMES)]
    assert named == [], "say the domain thing"


def test_every_decision_has_its_shell_its_page_and_its_test():
    tested = {name_of(path) for path in suite()}
    for path in modules():
        if path.stem != "decide":
            continue
        folder = path.parent
        mirrored = name_of(folder).removeprefix("orchestrator/")
        package = mirrored.split("/")[0]
        assert (folder / "shell.py").exists() or any(folder.glob("worker.py")), f"{name_of(folder)} has no shell"
        assert (folder / "README.md").exists(), f"{name_of(folder)} has no README.md"
        assert any(
            mirrored in name or f"test_{folder.name}" in name or name == f"tests/unit/{package}/test_decide.py"
            for name in tested
        ), f"{name_of(path)} has no test"


def test_decisions_await_nothing_and_read_no_clock():
    forbidden = {"asyncio", "time", "random", "socket", "logging"}
    for path in modules():
        if not path.stem.startswith("decide"):
            continue
        for node in ast.walk(tree_of(path)):
            assert not isinstance(node, ast.Await | ast.AsyncFunctionDef), f"{name_of(path)} awaits"
            if isinstance(node, ast.Import):
                assert not forbidden & {alias.name.split(".")[0] for alias in node.names}, name_of(path)
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] not in forbidden, name_of(path)


def test_every_module_says_what_it_owns():
    silent = [
        name_of(path) for path in modules() if path.read_text().strip() and ast.get_docstring(tree_of(path)) is None
    ]
    assert silent == []


def test_every_setting_has_a_docstring():
    for path in modules():
        if path.name != "config.py":
            continue
        for node in tree_of(path).body:
            if isinstance(node, ast.ClassDef) and not any("Error" in ast.unparse(base) for base in node.bases):
                silent = [name for name, documented in settings_of(node) if not documented]
                assert silent == [], f"{name_of(path)}: {node.name} has settings without a docstring"


def settings_of(node: ast.ClassDef) -> Iterator[tuple[str, bool]]:
    """The fields of a class, and whether the statement after each is a docstring."""
    for position, statement in enumerate(node.body):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            following = node.body[position + 1] if position + 1 < len(node.body) else None
            documented = (
                isinstance(following, ast.Expr)
                and isinstance(following.value, ast.Constant)
                and isinstance(following.value.value, str)
            )
            yield statement.target.id, documented


@pytest.mark.parametrize(
    ("imported", "allowed"),
    [
        pytest.param("docker", {"node_agent/runtime/docker.py"}, id="docker"),
        pytest.param("unittest.mock", set(), id="mock"),
    ],
)
def test_one_home_for_each_library(imported, allowed):
    users = {name_of(path) for path in (*modules(), *suite()) if imports(path, imported)}
    users -= {name for name in users if name.startswith("tests/") and imported == "docker"}
    assert users <= allowed


def test_json_is_encoded_and_decoded_in_one_place():
    users = {name_of(path) for path in modules() if "msgspec.json" in code_of(path)}
    assert users <= {"orchestrator/api/codec.py"}


def test_the_server_never_asks_which_kind_it_holds():
    """What differs from kind to kind is in its row. Policies may name resources: that is what they are about."""
    for path in modules():
        name = name_of(path)
        if not name.startswith("orchestrator/server/"):
            continue
        named = resources_named_in(path)
        is_policy = name.startswith(("orchestrator/server/admission/", "orchestrator/server/authorization/"))
        for node in ast.walk(tree_of(path)):
            if not isinstance(node, ast.Compare):
                continue
            words = [ast.unparse(one) for one in ast.walk(node) if isinstance(one, ast.Name | ast.Attribute)]
            asked = [word for word in words if word in named or re.fullmatch(r"resources\.[A-Z_]+", word)]
            by_identity = any(isinstance(operator, ast.Is | ast.IsNot) for operator in node.ops)
            assert not asked or (is_policy and not by_identity), f"{name}:{node.lineno}: put it into the row"


def resources_named_in(path: Path) -> set[str]:
    """The names of single resources that a module imports."""
    return {
        alias.asname or alias.name
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ImportFrom) and node.module == "orchestrator.api.resources"
        for alias in node.names
        if alias.name.isupper()
    }


def imports(path: Path, name: str) -> bool:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import) and any(a.name == name or a.name.startswith(name + ".") for a in node.names):
            return True
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            module = node.module or ""
            if module == name or module.startswith(name + "."):
                return True
            if any(f"{module}.{alias.name}" == name for alias in node.names):
                return True
    return False


def code_of(path: Path) -> str:
    """The module without comments and docstrings."""
    return ast.unparse(tree_of(path)).replace(ast.get_docstring(tree_of(path)) or "\0", "")


def test_broad_excepts_are_where_they_belong():
    allowed = re.compile(r"worker\.py$|serve(\.py$|/)|server/app\.py$|server/core\.py$")
    for path in modules():
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ExceptHandler) and isinstance(node.type, ast.Name) and node.type.id == "Exception":
                fine = allowed.search(name_of(path)) or name_of(path) in BROAD_EXCEPTS
                assert fine, f"{name_of(path)}:{node.lineno} catches everything"


def test_numbers_in_foreign_text_are_read_in_one_place():
    converting = {name_of(path) for path in modules() if any(map(converts_text, ast.walk(tree_of(path))))}
    converting.discard("orchestrator/api/numbers.py")
    why = "use orchestrator/api/numbers.py, or say in NUMBER_CONVERSIONS why the text is our own"
    assert converting == set(NUMBER_CONVERSIONS), why


def converts_text(node: ast.AST) -> bool:
    """Whether this is `int` or `float` of what may be text in decimal, by itself or in a `map`, or asks for digits."""
    if not isinstance(node, ast.Call):
        return False
    if isinstance(node.func, ast.Attribute):
        return node.func.attr in ("isdigit", "isdecimal", "isnumeric")
    if not isinstance(node.func, ast.Name) or not node.args:
        return False
    first = node.args[0]
    if node.func.id == "map":
        return isinstance(first, ast.Name) and first.id in ("int", "float")
    if node.func.id not in ("int", "float") or len(node.args) > 1 or isinstance(first, ast.Constant | ast.BinOp):
        return False
    called = first.func if isinstance(first, ast.Call) else None
    name = called.id if isinstance(called, ast.Name) else called.attr if isinstance(called, ast.Attribute) else ""
    return name not in _NUMERIC and not name.startswith("parse_")


def test_renames_are_made_durable_in_one_place():
    found = {
        name_of(path)
        for path in modules()
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _renames(node, node.func)
    }
    assert found == {"orchestrator/machinery/whole_files.py", *RENAMES}, "use whole_files, or say why not in RENAMES"


def _renames(call: ast.Call, function: ast.Attribute) -> bool:
    if function.attr in ("rename", "renames"):
        return True
    # `Path.replace` has one argument, `str.replace` two and more, `dataclasses.replace` names all but the first.
    is_os = isinstance(function.value, ast.Name) and function.value.id == "os"
    return function.attr == "replace" and (is_os or (len(call.args) == 1 and not call.keywords))


def test_comments_do_not_shrug():
    for path in modules():
        for number, line in enumerate(path.read_text().splitlines(), 1):
            comment = line.partition("#")[2].lower()
            words = [word for word in SHRUGS if re.search(rf"\b{word}\b", comment)]
            assert not words, f"{name_of(path)}:{number}: find the reason"
            assert not TODO_WITHOUT_ISSUE.search(line), f"{name_of(path)}:{number}: a TODO needs its issue"


def test_test_folders_mirror_the_packages():
    for folder in (ROOT / "tests" / "unit").iterdir():
        if not folder.is_dir() or folder.name == "__pycache__":
            continue
        places = [ROOT / "orchestrator" / folder.name, ROOT / folder.name]
        assert any(place.is_dir() for place in places), f"tests/unit/{folder.name} mirrors nothing"


@pytest.mark.parametrize("name", ["up", "down", "test", "check", "setup"])
def test_scripts_can_be_run(name):
    path = ROOT / "scripts" / name
    assert path.read_text().startswith("#!")
    assert os.access(path, os.X_OK)


def test_continuous_integration_runs_the_one_test_command():
    lines = [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line and not line.startswith("#")]
    assert len(lines) == 1
    assert "scripts/test" in lines[0]


def test_shell_scripts_are_well_formed():
    for path in (ROOT / "scripts").iterdir():
        if path.is_file() and path.read_text().startswith("#!/bin/sh"):
            done = subprocess.run(["sh", "-n", str(path)], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "name", ["README.md", "ARCHITECTURE.md", "NOMENCLATURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE"]
)
def test_a_newcomer_finds_the_pages_that_are_promised(name):
    assert (ROOT / name).stat().st_size > 200


def test_links_between_pages_lead_somewhere():
    for page in ROOT.glob("*.md"):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (ROOT / target).exists(), f"{page.name} links to {target}"
