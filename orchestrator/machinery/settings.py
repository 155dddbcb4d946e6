"""How every daemon gets its settings: flags over environment over file over defaults, into one frozen dataclass.

Kept free of heavy imports, since the smallest process reads settings, too.
"""

from __future__ import annotations

import argparse
import typing
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

from orchestrator.api.numbers import BadNumber, parse_decimal, parse_int64

if typing.TYPE_CHECKING:
    from _typeshed import DataclassInstance

C = TypeVar("C", bound="DataclassInstance")

LOG_LEVELS = ("debug", "info", "warning", "error")


class BadConfig(ValueError):
    """A setting that cannot be used; the text names the key, its value and the rule."""


def bad(key: str, value: object, rule: str) -> BadConfig:
    """The refusal of one setting."""
    return BadConfig(f"cannot use {key} '{value}': {rule}")


def merged(
    defaults: C,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    program: str,
    prefix: str,
    switches: Mapping[str, str] | None = None,
) -> tuple[C, frozenset[str]]:
    """The settings that flags, environment (`PREFIX` + KEY), the file of `--config` and the defaults make together.

    `switches` are flags without a value, by name with their help; those given are returned as well. Nothing but types
    is checked. Raises `BadConfig`; `--help` and unknown flags end the process, as with every command.
    """
    kind = type(defaults)
    named = switches or {}
    flags = {
        key: value
        for key, value in vars(_parser(kind, program, named).parse_args(arguments)).items()
        if value is not None
    }
    given = frozenset(name for name in named if flags.pop(name, False))
    path = flags.pop("config", None) or environment.get(f"{prefix}CONFIG")
    values = _from_file(kind, Path(path)) if path else {}
    for field in fields(kind):
        if (value := environment.get(prefix + field.name.upper())) is not None:
            values[field.name] = value
    values.update(flags)
    hints = typing.get_type_hints(kind)
    return replace(defaults, **{key: _typed(key, value, hints[key]) for key, value in values.items()}), given


def docstrings(kind: type[DataclassInstance]) -> Mapping[str, str]:
    """The text below each field of a settings class, by the field's name."""
    import ast  # noqa: PLC0415 - for `--help` alone: 3 MB that no running daemon needs
    import inspect  # noqa: PLC0415
    import textwrap  # noqa: PLC0415

    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for statement, following in zip(body.body, body.body[1:], strict=False):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            assert isinstance(following, ast.Expr), f"{kind.__name__}.{statement.target.id} has no docstring"
            found[statement.target.id] = str(ast.literal_eval(following.value))
    return found


def _parser(kind: type[DataclassInstance], program: str, switches: Mapping[str, str]) -> argparse.ArgumentParser:
    class Help(argparse.Action):
        """`--help`, with the fields' docstrings read only then."""

        def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
            texts = docstrings(kind)
            for action in parser._actions:
                if action.dest in texts:
                    action.help = texts[action.dest].replace("%", "%%")
            parser.print_help()
            parser.exit()

    parser = argparse.ArgumentParser(program, allow_abbrev=False, add_help=False)
    parser.add_argument("--help", "-h", nargs=0, action=Help, help="show this and exit")
    parser.add_argument("--config", metavar="FILE", help="YAML file with any of the settings below, in snake_case")
    for name, text in switches.items():
        parser.add_argument(f"--{name}", action="store_true", help=text)
    for field in fields(kind):
        # A unit is part of a setting's name, and may be left out of its flag.
        names = dict.fromkeys("--" + name.replace("_", "-") for name in (field.name, field.name.removesuffix("_s")))
        parser.add_argument(*names, dest=field.name, metavar="VALUE")
    return parser


def _from_file(kind: type[DataclassInstance], path: Path) -> dict[str, Any]:
    import yaml  # noqa: PLC0415 - a process that is given no file does not pay for the parser

    try:
        document = yaml.load(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}
    except (OSError, yaml.YAMLError) as exc:
        raise BadConfig(f"cannot read configuration '{path}': {exc}") from exc
    if not isinstance(document, dict):
        raise BadConfig(f"cannot read configuration '{path}': not a mapping of settings")
    known = {field.name for field in fields(kind)}
    for key in document:
        if key not in known:
            raise BadConfig(f"cannot use configuration '{path}': there is no setting '{key}'")
    return {key: value for key, value in document.items() if value is not None}


def _typed(key: str, value: Any, wanted: Any) -> Any:
    try:
        if wanted is int:
            return parse_int64(str(value))
        if wanted is float:
            return parse_decimal(str(value))
    except BadNumber as exc:
        raise bad(key, value, "must be a whole number" if wanted is int else "must be a number") from exc
    if wanted in (Path, Path | None):
        return Path(str(value))
    if wanted == tuple[str, ...]:
        items = value.split(",") if isinstance(value, str) else value
        if not isinstance(items, (list, tuple)):
            raise bad(key, value, "must be a list, or words separated by commas")
        return tuple(str(item).strip() for item in items if str(item).strip())
    return str(value)
