"""Between the shape a kind is served in and the one it is stored in, as its row says."""

from __future__ import annotations

from orchestrator.api import codec
from orchestrator.api.kinds import Kind
from orchestrator.api.objects import Object


def inward(kind: Kind, obj: Object) -> Object:
    """The object as it is stored."""
    return obj if kind.conversion is None else kind.conversion.inward(obj)


def outward(kind: Kind, obj: Object) -> Object:
    """A stored object as this kind serves it."""
    return obj if kind.conversion is None else kind.conversion.outward(obj)


def served(kind: Kind, value: bytes) -> bytes:
    """Stored, stamped bytes as this kind serves them; still stamped, and the very same bytes for nearly every kind."""
    if kind.conversion is None:
        return value
    obj = outward(kind, codec.decode(value))
    revision = obj["metadata"].get("resourceVersion")
    encoded = codec.encode_unstamped(obj)
    return codec.stamp(encoded, int(revision)) if revision else encoded


def decoded(kind: Kind, value: bytes) -> Object:
    """Stored bytes as an object of this kind."""
    return outward(kind, codec.decode(value))
