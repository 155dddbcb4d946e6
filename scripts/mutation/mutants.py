"""The small bugs that can be planted in a module's source. Pure.

Each is a change that a person could make by mistake and that keeps the module importable: a comparison off by one, a
condition turned round, a branch lost. What only words messages, annotates types or documents is left alone, and so is
what only tunes: how much a cache keeps, how large a limit is (its edge is planted where something is compared with it).
"""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
}
# What these keywords say changes no decision: how much is remembered, how it is stored.
_TUNING_KEYWORDS = {"maxsize", "entries_max", "slots", "kw_only", "frozen"}
# Whose calls speak to people or to the type checker.
_WORDING_CALLS = {"cast", "TypeVar", "NewType", "logger", "logging"}
_LIMIT = re.compile(r"^_?[A-Z0-9_]+_(MAX|MIN|S|BYTES|FACTOR)$")
_LIMIT_MIN = 32
_TWINS = {"min": "max", "max": "min", "any": "all", "all": "any"}
_SILENT = (ast.JoinedStr, ast.Raise, ast.Import, ast.ImportFrom, ast.Assert, ast.Global)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One planted bug: the whole changed source, and where and what it is, in words."""

    line: int
    what: str
    source: str


def mutants_of(source: str) -> list[Mutant]:
    """Every bug that can be planted in the module, in the order of its lines."""
    tree = ast.parse(source)
    found = [mutant for node in _code(tree) for mutant in _of(node, source)]
    return sorted(found, key=lambda mutant: (mutant.line, mutant.what))


def _code(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes that are run when something is decided: no annotations, docstrings, messages or decorators."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, _SILENT) or _only_words(node) or _is_limit(node):
            continue
        if isinstance(node, ast.AnnAssign):
            if node.value is not None:
                yield node.value
                yield from _code(node.value)
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from _code(ast.Module(body=node.body, type_ignores=[]))
            continue
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "zip":
            yield from _code(ast.Module(body=[ast.Expr(argument) for argument in node.args], type_ignores=[]))
            continue
        yield node
        yield from _code(node)


def _only_words(node: ast.AST) -> bool:
    """Whether the node says something to a person or the type checker, or tunes, and decides nothing."""
    match node:
        case ast.FunctionDef(name="__repr__" | "__str__"):
            return True
        case ast.keyword(arg=str(name)):
            return name in _TUNING_KEYWORDS
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(value=ast.Name(id=name))):
            return name in _WORDING_CALLS
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
    return False


def _is_limit(node: ast.AST) -> bool:
    """Whether it is a module's or class's constant for a size: nobody would notice one more of it."""
    if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
        return False
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
    if not isinstance(target, ast.Name) or not _LIMIT.match(target.id):
        return False
    numbers = [one.value for one in ast.walk(node.value) if isinstance(one, ast.Constant)]
    return any(isinstance(number, int | float) and number >= _LIMIT_MIN for number in numbers)


def _of(node: ast.AST, source: str) -> Iterator[Mutant]:
    match node:
        case ast.Compare(ops=[operator]) if type(operator) in _COMPARISONS:
            changed = copy.deepcopy(node)
            changed.ops = [_COMPARISONS[type(operator)]()]
            yield _replaced(node, changed, source)
        case ast.BoolOp():
            changed_op = copy.deepcopy(node)
            changed_op.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield _replaced(node, changed_op, source)
        case ast.UnaryOp(op=ast.Not()):
            yield _replaced(node, node.operand, source)
        case ast.BinOp() if type(node.op) in _ARITHMETIC and not _is_text(node):
            changed_bin = copy.deepcopy(node)
            changed_bin.op = _ARITHMETIC[type(node.op)]()
            yield _replaced(node, changed_bin, source)
        case ast.Constant(value=bool(value)):
            yield _replaced(node, ast.Constant(not value), source)
        case ast.Constant(value=int(value)):
            yield _replaced(node, ast.Constant(value + 1), source)
        case ast.Call(func=ast.Name(id=name)) if name in _TWINS:
            changed_call = copy.deepcopy(node)
            assert isinstance(changed_call.func, ast.Name)
            changed_call.func.id = _TWINS[name]
            yield _replaced(node, changed_call, source)
        case ast.IfExp():
            yield _replaced(node, node.body, source)
            yield _replaced(node, node.orelse, source)
        case ast.If(test=test):
            yield _replaced(test, ast.Constant(False), source)
        case ast.comprehension(ifs=[*conditions]):
            for condition in conditions:
                yield _replaced(condition, ast.Constant(True), source)
        case ast.Continue():
            yield _replaced(node, ast.Pass(), source)
        case ast.AugAssign():
            yield _replaced(node, ast.Pass(), source)


def _is_text(node: ast.BinOp) -> bool:
    """Whether strings, bytes or lists are joined: turning that round is an error, not a bug that hides."""
    kinds = (ast.JoinedStr, ast.List, ast.Tuple, ast.ListComp)
    return any(
        isinstance(side, kinds) or (isinstance(side, ast.Constant) and isinstance(side.value, str | bytes))
        for side in (node.left, node.right)
    )


def _replaced(node: ast.expr | ast.stmt, by: ast.AST, source: str) -> Mutant:
    """The source with this node's text exchanged; all else stays as it is, so that lines keep their numbers."""
    lines = source.encode().splitlines(keepends=True)
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    start = sum(map(len, lines[: node.lineno - 1])) + node.col_offset
    end = sum(map(len, lines[: node.end_lineno - 1])) + node.end_col_offset
    data = source.encode()
    text = ast.unparse(ast.fix_missing_locations(by))
    if isinstance(node, ast.expr):
        text = f"({text})"
    before = " ".join(data[start:end].decode().split())
    what = f"{_short(before)}  →  {_short(ast.unparse(by))}"
    return Mutant(node.lineno, what, (data[:start] + text.encode() + data[end:]).decode())


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}…"
