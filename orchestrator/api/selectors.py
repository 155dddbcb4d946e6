"""Label and field selectors: parsed once, matched often. Grammar and messages are those of Kubernetes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from orchestrator.api import names
from orchestrator.api.numbers import BadNumber, parse_int64

#: More requirements than this in one selector are refused: each is matched against every object.
REQUIREMENTS_MAX = 1000
#: Words and signs of a label selector. More are refused: reading them would take longer than anybody else may wait.
TOKENS_MAX = 10_000
#: Characters of a field selector, for the same reason; the longest that anybody sends have a few hundred.
FIELD_TEXT_MAX = 64 << 10


class BadSelector(ValueError):
    """The selector cannot be understood; the message is Kubernetes'."""


class Operator(Enum):
    """What a requirement demands of a label."""

    IN = "in"
    NOT_IN = "notin"
    EXISTS = "exists"
    DOES_NOT_EXIST = "!"
    GREATER = "gt"
    LESS = "lt"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether these labels satisfy it."""
        value = labels.get(self.key)
        match self.operator:
            case Operator.IN:
                return value is not None and value in self.values
            case Operator.NOT_IN:
                return value is None or value not in self.values
            case Operator.EXISTS:
                return value is not None
            case Operator.DOES_NOT_EXIST:
                return value is None
            case Operator.GREATER | Operator.LESS:
                (bound,) = self.values
                actual = _integer(value)
                if actual is None:
                    return False
                wanted = parse_int64(bound)
                return actual > wanted if self.operator is Operator.GREATER else actual < wanted

    def __str__(self) -> str:
        listed = sorted(self.values)
        match self.operator:
            case Operator.EXISTS:
                return self.key
            case Operator.DOES_NOT_EXIST:
                return f"!{self.key}"
            case Operator.IN | Operator.NOT_IN if len(listed) == 1:
                return f"{self.key}{'=' if self.operator is Operator.IN else '!='}{listed[0]}"
            case Operator.IN | Operator.NOT_IN:
                return f"{self.key} {self.operator.value} ({','.join(listed)})"
            case _:
                return f"{self.key}{'>' if self.operator is Operator.GREATER else '<'}{listed[0]}"


@dataclass(frozen=True, slots=True)
class Selector:
    """All requirements must hold; without any, everything matches. `nothing` matches no object at all."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        """Whether an object with these labels is selected."""
        if self.nothing:
            return False
        if not self.requirements:
            return True
        present = labels or {}
        return all(requirement.matches(present) for requirement in self.requirements)

    @property
    def is_empty(self) -> bool:
        """True when it selects everything."""
        return not self.requirements and not self.nothing

    def exact(self) -> dict[str, str]:
        """The labels it demands with exactly one value, for an index."""
        return {
            r.key: next(iter(r.values)) for r in self.requirements if r.operator is Operator.IN and len(r.values) == 1
        }

    def __str__(self) -> str:
        return ",".join(str(requirement) for requirement in self.requirements)


EVERYTHING = Selector()
NOTHING = Selector(nothing=True)

_token = re.compile(r"\s*(==|!=|=|!|,|\(|\)|<|>|[^\s=!,()<>]+|\Z)")
_BINARY = ("in", "notin", "=", "==", "!=", "gt", "lt")
_END = ""


def parse_label_selector(text: str) -> Selector:
    """Parse `a=b,c in (d,e),!f`; raises `BadSelector`."""
    if not text or text.isspace():
        return EVERYTHING
    return Selector(tuple(sorted(_Parser(text).requirements(), key=lambda requirement: requirement.key)))


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = (match[1] for match in _token.finditer(text))
        self._ahead = next(self._tokens, _END)
        self._left = TOKENS_MAX

    def _peek(self) -> str:
        return self._ahead

    def _next(self) -> str:
        token, self._ahead = self._ahead, next(self._tokens, _END)
        self._left -= 1
        if self._left < 0:
            raise BadSelector(f"more than {TOKENS_MAX} words and signs")
        return token

    def requirements(self) -> list[Requirement]:
        found: list[Requirement] = []
        while True:
            token = self._peek()
            if token == _END:
                return found
            if not _is_word(token) and token != "!":
                raise BadSelector(f"found '{token}', expected: !, identifier, or 'end of string'")
            try:
                found.append(self._requirement())
            except BadSelector as exc:
                raise BadSelector(f"unable to parse requirement: {exc}") from None
            if len(found) > REQUIREMENTS_MAX:
                raise BadSelector(f"more than {REQUIREMENTS_MAX} requirements")
            token = self._next()
            if token == _END:
                return found
            if token != ",":
                raise BadSelector(f"found '{token}', expected: ',' or 'end of string'")
            if not _is_word(self._peek()) and self._peek() != "!":
                raise BadSelector(f"found '{self._peek()}', expected: identifier after ','")

    def _requirement(self) -> Requirement:
        negated = self._peek() == "!"
        if negated:
            self._next()
        key = self._next()
        if not _is_word(key):
            raise BadSelector(f"found '{key}', expected: identifier")
        _check_key(key)
        if negated:
            return Requirement(key, Operator.DOES_NOT_EXIST)
        if self._peek() in (_END, ","):
            return Requirement(key, Operator.EXISTS)
        operator = self._next()
        match operator:
            case "in" | "notin":
                operation = Operator.IN if operator == "in" else Operator.NOT_IN
                return _requirement(key, operation, self._value_list())
            case "=" | "==":
                return _requirement(key, Operator.IN, [self._exact_value()])
            case "!=":
                return _requirement(key, Operator.NOT_IN, [self._exact_value()])
            case ">" | "<":
                operation = Operator.GREATER if operator == ">" else Operator.LESS
                return _requirement(key, operation, [self._exact_value()])
        raise BadSelector(f"found '{operator}', expected: {', '.join(_BINARY)}")

    def _exact_value(self) -> str:
        if self._peek() in (_END, ","):
            return ""
        value = self._next()
        if not _is_word(value):
            raise BadSelector(f"found '{value}', expected: identifier")
        return value

    def _value_list(self) -> list[str]:
        token = self._next()
        if token != "(":
            raise BadSelector(f"found '{token}' expected: '('")
        values: list[str] = []
        wants_value = True
        while True:
            token = self._next()
            if token == ")":
                return values if values and not wants_value else [*values, ""]
            if token == ",":
                if wants_value:
                    values.append("")
                wants_value = True
            elif wants_value and _is_word(token):
                values.append(token)
                wants_value = False
            else:
                raise BadSelector(f"found '{token}', expected: ',' or ')'")


def _is_word(token: str) -> bool:
    return token != _END and token[0] not in "=!,()<>"


def _check_key(key: str) -> None:
    if faults := names.is_qualified_name(key):
        # "<nil>" is how Kubernetes prints the path of a key that has none, and clients have come to know it.
        raise BadSelector(f'<nil>: Invalid value: "{key}": {"; ".join(faults)}')


def _requirement(key: str, operator: Operator, values: Sequence[str]) -> Requirement:
    if operator in (Operator.GREATER, Operator.LESS):
        if _integer(values[0]) is None:
            rule = "for 'Gt', 'Lt' operators, the value must be an integer"
            raise BadSelector(f'values[0]: Invalid value: "{values[0]}": {rule}')
        return Requirement(key, operator, frozenset(values))
    for index, value in enumerate(values):
        if faults := names.is_valid_label_value(value):
            raise BadSelector(f'values[{index}][{key}]: Invalid value: "{value}": {"; ".join(faults)}')
    return Requirement(key, operator, frozenset(values))


def _integer(text: str | None) -> int | None:
    try:
        return parse_int64(text) if text is not None else None
    except BadNumber:
        return None


_OPERATORS = {
    "In": Operator.IN,
    "NotIn": Operator.NOT_IN,
    "Exists": Operator.EXISTS,
    "DoesNotExist": Operator.DOES_NOT_EXIST,
}


def selector_of(label_selector: Mapping[str, Any] | None) -> Selector:
    """The selector of a `LabelSelector` object: none matches nothing, an empty one everything. Raises `BadSelector`."""
    if label_selector is None:
        return NOTHING
    found = [Requirement(k, Operator.IN, frozenset((v,))) for k, v in (label_selector.get("matchLabels") or {}).items()]
    for expression in label_selector.get("matchExpressions") or ():
        operator = _OPERATORS.get(expression.get("operator", ""))
        if operator is None:
            raise BadSelector(f'"{expression.get("operator", "")}" is not a valid label selector operator')
        found.append(Requirement(expression.get("key", ""), operator, frozenset(expression.get("values") or ())))
    return Selector(tuple(sorted(found, key=lambda requirement: requirement.key)))


@dataclass(frozen=True, slots=True)
class FieldRequirement:
    """One condition on one field."""

    field: str
    value: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """All requirements must hold. Which fields a kind has is its strategy's to say."""

    requirements: tuple[FieldRequirement, ...] = ()

    def matches(self, fields: Mapping[str, str]) -> bool:
        """Whether an object with these field values is selected; a missing field is the empty string."""
        return all((fields.get(r.field, "") == r.value) is not r.negated for r in self.requirements)

    @property
    def is_empty(self) -> bool:
        """True when it selects everything."""
        return not self.requirements

    def exact(self, field: str) -> str | None:
        """The one value that `field` must have, if the selector demands one: the key into an index."""
        return next((r.value for r in self.requirements if r.field == field and not r.negated), None)

    def __str__(self) -> str:
        escape = str.maketrans({"\\": "\\\\", ",": "\\,", "=": "\\="})
        return ",".join(f"{r.field}{'!=' if r.negated else '='}{r.value.translate(escape)}" for r in self.requirements)


_ESCAPE = re.compile(r"\\(.?)", re.DOTALL)


def parse_field_selector(text: str) -> FieldSelector:
    """Parse `spec.nodeName=n1,status.phase!=Running`; raises `BadSelector`."""
    if len(text) > FIELD_TEXT_MAX:
        raise BadSelector(f"more than {FIELD_TEXT_MAX} characters")
    found: list[FieldRequirement] = []
    for match in re.finditer(r"((?:[^\\,]|\\.?)*)(?:,|\Z)", text, re.DOTALL):
        term = match[1]
        if not term:
            continue
        parts = re.fullmatch(r"((?:[^\\=!]|\\.|!(?!=))*)(!=|==|=)(.*)", term, re.DOTALL)
        if parts is None:
            raise BadSelector(f"invalid selector: '{text}'; can't understand '{term}'")
        found.append(FieldRequirement(parts[1], _unescaped(parts[3]), negated=parts[2] == "!="))
        if len(found) > REQUIREMENTS_MAX:
            raise BadSelector(f"more than {REQUIREMENTS_MAX} requirements")
    return FieldSelector(tuple(found))


def _unescaped(value: str) -> str:
    def replace(match: re.Match[str]) -> str:
        if match[1] not in ("\\", ",", "=") or not match[1]:
            raise BadSelector(f"invalid field selector: invalid escape sequence: {match[0]}")
        return match[1]

    if re.search(r"(?<!\\)=", value):
        raise BadSelector(f"invalid field selector: unescaped character in value: {value}")
    return _ESCAPE.sub(replace, value)
