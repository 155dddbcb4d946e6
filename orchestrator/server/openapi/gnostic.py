"""An OpenAPI v2 document as protobuf: gnostic's `openapi.v2.Document`, which kubectl and other clients in Go ask for.

The messages follow the document, so that a table of field numbers is all it takes; only where the document lets a value
be one of several things, a choice says which.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from orchestrator.api import codec

#: Each message: its fields as name=number and type (`s`tring, `b`oolean, `i`nteger, `d`ouble, `a`ny value, or another
#: message; `*` for many), and the number of the field that takes all names with `x-`.
_TABLE = """
Document:16 swagger=1s info=2Info host=3s basePath=4s schemes=5*s consumes=6*s produces=7*s paths=8Paths
  definitions=9Schemas security=12*StringLists securityDefinitions=13SecuritySchemes
Info:7 title=1s version=2s description=3s
PathItem:10 $ref=1s get=2Operation put=3Operation post=4Operation delete=5Operation options=6Operation
  head=7Operation patch=8Operation parameters=9*ParametersItem
Operation:13 tags=1*s summary=2s description=3s operationId=5s produces=6*s consumes=7*s
  parameters=8*ParametersItem responses=9Responses schemes=10*s deprecated=11b security=12*StringLists
BodyParameter:6 description=1s name=2s in=3s required=4b schema=5Schema
QueryParameter:23 required=1b in=2s description=3s name=4s allowEmptyValue=5b type=6s format=7s default=10a
  uniqueItems=20b enum=21*a
PathParameter:22 required=1b in=2s description=3s name=4s type=5s format=6s default=9a uniqueItems=19b enum=20*a
Response:5 description=1s schema=2SchemaOrFile
Schema:31 $ref=1s format=2s title=3s description=4s default=5a multipleOf=6d maximum=7d exclusiveMaximum=8b
  minimum=9d exclusiveMinimum=10b maxLength=11i minLength=12i pattern=13s maxItems=14i minItems=15i uniqueItems=16b
  maxProperties=17i minProperties=18i required=19*s enum=20*a additionalProperties=21SchemaOrBoolean type=22Strings
  items=23Items allOf=24*Schema properties=25Schemas discriminator=26s readOnly=27b example=30a
ApiKey:5 type=1s name=2s in=3s description=4s
"""
#: Messages that are a map from names: the number of their entries' field, and the type of the entries' values.
_MAPS = {
    "Paths": (2, "PathItem"),
    "Schemas": (1, "Schema"),
    "Responses": (1, "ResponseValue"),
    "SecuritySchemes": (1, "SecurityScheme"),
    "StringLists": (1, "Strings"),
}
_ENTRY_NAME, _ENTRY_VALUE, _ANY_YAML = 1, 2, 2


class _Field(NamedTuple):
    number: int
    type: str
    is_list: bool


def _parsed(table: str) -> dict[str, tuple[int, dict[str, _Field]]]:
    messages: dict[str, tuple[int, dict[str, _Field]]] = {}
    for word in table.split():
        name, _, number = word.partition(":")
        if number:
            fields: dict[str, _Field] = {}
            messages[name] = (int(number), fields)
        else:
            fields |= (_field(word),)
    return messages


def _field(text: str) -> tuple[str, _Field]:
    name, _, rest = text.partition("=")
    type_ = rest.lstrip("0123456789")
    return name, _Field(int(rest.removesuffix(type_)), type_.removeprefix("*"), type_.startswith("*"))


_MESSAGES = _parsed(_TABLE)


#: Messages that hold one of several: the number and the type of what a value is. (No document of ours refers to shared
#: parameters and responses, or has parameters in headers and forms.)
_CHOICES: Mapping[str, Callable[[Any], tuple[int, str]]] = {
    "ParametersItem": lambda value: (1, "Parameter"),
    "Parameter": lambda value: (1, "BodyParameter") if value["in"] == "body" else (2, "NonBodyParameter"),
    "NonBodyParameter": lambda value: (3, "QueryParameter") if value["in"] == "query" else (4, "PathParameter"),
    "ResponseValue": lambda value: (1, "Response"),
    "SchemaOrFile": lambda value: (1, "Schema"),
    "SchemaOrBoolean": lambda value: (2, "b") if isinstance(value, bool) else (1, "Schema"),
    "SecurityScheme": lambda value: (2, "ApiKey"),
}


def encode(document: Mapping[str, Any]) -> bytes:
    """The document's message. What gnostic has no field for (there is nothing of that sort in ours) is left out."""
    return _message("Document", document)


def _message(type_: str, value: Any) -> bytes:
    match type_:
        case "Strings":
            return b"".join(_written(1, "s", one) for one in ([value] if isinstance(value, str) else value))
        case "Items":
            return _written(1, "Schema", value)
    if (choose := _CHOICES.get(type_)) is not None:
        return _written(*choose(value), value)
    if (of := _MAPS.get(type_)) is not None:
        number, entry = of
        return b"".join(_entry(number, name, entry, one) for name, one in value.items())
    extensions, fields = _MESSAGES[type_]
    parts: list[bytes] = []
    for name, one in value.items():
        if (field := fields.get(name)) is not None:
            parts += [_written(field.number, field.type, item) for item in (one if field.is_list else (one,))]
        elif extensions and name.startswith("x-"):
            parts.append(_entry(extensions, name, "a", one))
    return b"".join(parts)


def _entry(number: int, name: str, type_: str, value: Any) -> bytes:
    return _block(number, _written(_ENTRY_NAME, "s", name) + _written(_ENTRY_VALUE, type_, value))


def _written(number: int, type_: str, value: Any) -> bytes:
    """One field with its value."""
    match type_:
        case "s":
            return _block(number, value.encode())
        case "b" | "i":
            return _varint(number << 3) + _varint(int(value))
        case "d":
            return _varint(number << 3 | 1) + struct.pack("<d", value)
        case "a":
            return _block(number, _block(_ANY_YAML, codec.encode(value)))  # JSON is YAML
    return _block(number, _message(type_, value))


def _block(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
