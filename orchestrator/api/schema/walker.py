"""Checks an object against its schema: types, unknown fields, and the canonical form of quantities, times and bytes.

A first pass only asks whether everything is as it should be, which it nearly always is: compiled closures, no paths.
Only when that says no, a second, slower pass finds out what is wrong, prunes what is unknown or null, and rewrites what
is not canonical, in place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from orchestrator.api.field_paths import FieldPath, shown
from orchestrator.api.objects import Object
from orchestrator.api.problems import Problem
from orchestrator.api.schema import scalars
from orchestrator.api.schema.shapes import Schema, Shape

#: As many findings as Kubernetes reports of one object.
FINDINGS_MAX = 100


@dataclass(slots=True)
class Checked:
    """What was found. With `problems` (wrong types: the request is a 400) the object is of no use any more.

    `unknown` are paths; these fields are gone from the object.
    """

    problems: list[Problem] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def check(schema: Schema, obj: Object) -> Checked:
    """Check and clean `obj` in place."""
    checked = Checked()
    if not _quick(schema)(obj):
        _Walk(checked).struct(schema, obj, None, "")
    return checked


Quick = Callable[[Any], bool]

_TYPES: dict[Shape, tuple[type | None, Quick | None]] = {
    Shape.STRING: (str, None),
    Shape.INT32: (int, scalars.is_int32),
    Shape.INT64: (int, scalars.is_int64),
    Shape.NUMBER: (None, scalars.is_number),
    Shape.BOOLEAN: (bool, None),
    Shape.BYTES: (str, scalars.is_base64),
    Shape.TIME: (str, scalars.is_time),
    Shape.MICRO_TIME: (str, scalars.is_micro_time),
    Shape.QUANTITY: (str, scalars.is_quantity),
    Shape.AMOUNT: (str, scalars.is_amount),
    Shape.INT_OR_STRING: (None, scalars.is_int_or_string),
    Shape.ANY: (None, lambda value: value is not None),
}


def _quick(schema: Schema) -> Quick:
    """The compiled first pass of a struct, made when it is first needed."""
    if schema.is_clean is None:
        schema.is_clean = _struct_check(schema)
    return schema.is_clean


def _row(schema: Schema, *, may_be_empty: bool = True) -> tuple[type | None, Quick | None]:
    """The exact type a value must have (None: any) and what else to ask of it."""
    match schema.shape:
        case Shape.STRUCT:
            return dict, _quick(schema)
        case Shape.LIST:
            return list, _items_check(schema.items, may_be_empty=may_be_empty)
        case Shape.MAP:
            return dict, _values_check(schema.items, may_be_empty=may_be_empty)
        case _:
            return _TYPES[schema.shape]


def _struct_check(schema: Schema) -> Quick:
    rows: dict[str, tuple[type | None, Quick | None]] = {}
    find = rows.get

    def is_clean(obj: Any) -> bool:
        for key, value in obj.items():
            row = find(key)
            if row is None:
                return False
            type_, ask = row
            if type(value) is not type_ and type_ is not None:
                return False
            if ask is not None and not ask(value):
                return False
        return True

    schema.is_clean = is_clean  # before its fields: definitions may be recursive
    for name, described in schema.properties.items():
        rows[name] = _row(described, may_be_empty=name in schema.required)
    return is_clean


def _items_check(items: Schema | None, *, may_be_empty: bool) -> Quick:
    type_, ask = _row(items) if items else (None, None)

    def is_clean(values: Any) -> bool:
        if not values:
            return may_be_empty
        for value in values:
            if type(value) is not type_ and type_ is not None:
                return False
            if ask is not None and not ask(value):
                return False
        return True

    return is_clean


def _values_check(items: Schema | None, *, may_be_empty: bool) -> Quick:
    ask = _items_check(items, may_be_empty=may_be_empty)
    return lambda values: ask(values.values())


_NULL_ITEM: dict[Shape, Any] = {
    Shape.STRING: "",
    Shape.BYTES: "",
    Shape.INT32: 0,
    Shape.INT64: 0,
    Shape.NUMBER: 0,
    Shape.BOOLEAN: False,
    Shape.QUANTITY: "0",
    Shape.AMOUNT: "0",
    Shape.INT_OR_STRING: 0,
}
_EMPTY: dict[Shape, Any] = {Shape.LIST: [], Shape.MAP: {}}
_CONVERT: dict[Shape, Callable[[Any], Any]] = {
    Shape.BYTES: scalars.as_base64,
    Shape.TIME: scalars.as_time,
    Shape.MICRO_TIME: scalars.as_micro_time,
    Shape.QUANTITY: scalars.as_quantity,
    Shape.AMOUNT: scalars.as_amount,
}
#: What Go decodes these into, and so names in its message.
_DECODED_AS = {Shape.INT_OR_STRING: "int32", Shape.TIME: "string", Shape.MICRO_TIME: "string"}
_WORDS = {dict: "object", list: "array", str: "string", bool: "bool", int: "number", float: "number"}


class _Walk:
    """The second pass. `path` has indexes, for unknown fields; `fields` is Go's, without them, for types."""

    def __init__(self, checked: Checked) -> None:
        self._checked = checked

    def struct(self, schema: Schema, obj: Object, path: FieldPath, fields: str) -> None:
        for key in list(obj):
            described = schema.properties.get(key)
            if described is None:
                if len(self._checked.unknown) < FINDINGS_MAX:
                    self._checked.unknown.append(shown((path, key)))
                del obj[key]
            elif obj[key] is None or (obj[key] == _EMPTY.get(described.shape) and key not in schema.required):
                del obj[key]  # to Kubernetes a null or empty field is one that is not there
            else:
                obj[key] = self._value(
                    described,
                    obj[key],
                    (path, key),
                    f"{fields}.{key}" if fields else key,
                    schema.name,
                )

    def _value(self, schema: Schema, value: Any, path: FieldPath, fields: str, owner: str) -> Any:
        match schema.shape:
            case Shape.ANY:
                return value
            case Shape.STRUCT if type(value) is dict:
                if not _quick(schema)(value):  # most of an object is clean even when some of it is not
                    self.struct(schema, value, path, fields)
                return value
            case Shape.MAP if type(value) is dict:
                for key, child in value.items():
                    value[key] = self._item(schema.items, child, (path, key), fields, owner)
                return value
            case Shape.LIST if type(value) is list:
                for index, child in enumerate(value):
                    value[index] = self._item(schema.items, child, (path, index), fields, owner)
                return value
            case _:
                return self._scalar(schema, value, path, fields, owner)

    def _item(self, schema: Schema | None, value: Any, path: FieldPath, fields: str, owner: str) -> Any:
        if schema is None:
            return value
        if value is None:
            return {} if schema.shape is Shape.STRUCT else _NULL_ITEM.get(schema.shape)
        return self._value(schema, value, path, fields, owner)

    def _scalar(self, schema: Schema, value: Any, path: FieldPath, fields: str, owner: str) -> Any:
        type_, ask = _row(schema)
        if (type_ is None or type(value) is type_) and (ask is None or ask(value)):
            return value
        convert = _CONVERT.get(schema.shape)
        if convert and (type(value) is type_ or schema.shape in (Shape.QUANTITY, Shape.AMOUNT)):
            try:
                return convert(value)
            except scalars.WrongValue as exc:
                self._wrong(path, str(exc))
                return value
        word = _WORDS.get(type(value), "value")
        if type(value) in (int, float) and schema.shape in (Shape.INT32, Shape.INT64, Shape.INT_OR_STRING):
            word = f"number {value}"
        wanted = _DECODED_AS.get(schema.shape) or schema.go_type
        struct = owner.rpartition(".")[2]
        self._wrong(path, f"json: cannot unmarshal {word} into Go struct field {struct}.{fields} of type {wanted}")
        return value

    def _wrong(self, path: FieldPath, message: str) -> None:
        if len(self._checked.problems) < FINDINGS_MAX:
            self._checked.problems.append(Problem(shown(path), "FieldValueTypeInvalid", message))
