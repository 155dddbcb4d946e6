"""Where a value is within an object, as a chain that is only spelt out when somebody is told.

A path spelt out at every value costs its length each time, and the keys in it are the client's: one long key over many
items would make that quadratic.
"""

from __future__ import annotations

from typing import TypeAlias

#: The path of the parent, and the key or index below it; None is the object itself.
FieldPath: TypeAlias = "tuple[FieldPath, str | int] | None"

#: Longer paths are cut when shown. The deepest real one has about 200 characters.
SHOWN_MAX = 1024


def shown(path: FieldPath) -> str:
    """The path as Kubernetes writes it: `spec.containers[1].image`."""
    parts: list[str | int] = []
    while path is not None:
        path, part = path
        parts.append(part)
    text = ""
    for part in reversed(parts):
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part[:SHOWN_MAX]}" if text else part[:SHOWN_MAX]
        if len(text) > SHOWN_MAX:
            text = f"{text[:SHOWN_MAX]}..."
            break
    return text if text.isascii() else text.encode("utf-8", "replace").decode()  # half a pair is no text
