"""The bugs that `scripts/mutate` plants, and the tests that it shows them to."""

from __future__ import annotations

import ast

import pytest

from scripts.mutation.mutants import mutants_of
from scripts.mutation.reach import reaching_tests
from tests.unit.test_repo import ROOT, modules


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        pytest.param("return a < b", {"return (a <= b)"}, id="off-by-one"),
        pytest.param("return a and not b", {"return (a or not b)", "return a and (b)"}, id="conditions"),
        pytest.param("return a - 1", {"return (a + 1)", "return a - (2)"}, id="arithmetic"),
        pytest.param("return max(a, b)", {"return (min(a, b))"}, id="the-other-end"),
        pytest.param("return [x for x in a if b]", {"return [x for x in a if (True)]"}, id="a-filter-lost"),
        pytest.param("return a if b else c", {"return (a)", "return (c)"}, id="a-branch-lost"),
        pytest.param('raise ValueError("a" + "b")', set(), id="messages-are-left-alone"),
        pytest.param('return f"{a - 1}"', set(), id="words-are-left-alone"),
    ],
)
def test_the_bugs_of_a_statement(statement: str, expected: set[str]) -> None:
    source = f"def f(a: int = 3, *, b, c):\n    {statement}\n"
    assert {mutant.source.splitlines()[1].strip() for mutant in mutants_of(source)} == expected


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("@dataclass(frozen=True)\nclass A:\n    pass\n", id="how-a-class-is-stored"),
        pytest.param("class A(Struct, frozen=True):\n    pass\n", id="how-a-struct-is-stored"),
        pytest.param("kept = memo(entries_max=4096)(f)\n", id="how-much-a-cache-keeps"),
        pytest.param("TOKENS_MAX = 64 << 10\n", id="how-large-a-limit-is"),
        pytest.param("if TYPE_CHECKING:\n    pass\n", id="types"),
        pytest.param("def f(a):\n    logger.info('x', a - 1)\n", id="logs"),
        pytest.param("class A:\n    def __repr__(self):\n        return self.a - 1\n", id="how-it-shows"),
    ],
)
def test_what_only_tunes_or_speaks_is_left_alone(source: str) -> None:
    assert mutants_of(source) == []


@pytest.mark.parametrize("source", ["HISTORY_MAX = 10\n", "NEVER = 1 << 40\n", "class A:\n    port = 80 - 1\n"])
def test_a_constant_that_decides_is_changed(source: str) -> None:
    assert mutants_of(source)


def test_a_branch_can_be_lost() -> None:
    source = "def f(a):\n    if a:\n        return g()\n    return h()\n"
    assert "    if (False):" in {mutant.source.splitlines()[1] for mutant in mutants_of(source)}


@pytest.mark.parametrize("path", modules()[::25], ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_planted_is_still_python_and_keeps_its_lines(path) -> None:
    source = path.read_text()
    for mutant in mutants_of(source):
        ast.parse(mutant.source)
        assert mutant.source != source


def test_the_nearest_tests_come_first() -> None:
    reach = reaching_tests(ROOT)
    assert reach[ROOT / "netproxy" / "balance.py"][0] == ROOT / "tests" / "unit" / "netproxy" / "test_balance.py"


def test_tests_of_the_modules_own_folder_come_before_those_that_only_import_it() -> None:
    reach = reaching_tests(ROOT)
    of_strategies = reach[ROOT / "orchestrator" / "api" / "strategies" / "mounts.py"]
    assert of_strategies[0].parent == ROOT / "tests" / "unit" / "api" / "strategies"
    of_deployments = reach[ROOT / "orchestrator" / "controllers" / "deployment" / "rollout.py"]
    assert of_deployments[0].name == "test_deployment.py"
