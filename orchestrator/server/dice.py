"""Chance as a value, so that whoever decides with it decides the same again."""

from __future__ import annotations

from random import Random
from typing import ClassVar

import msgspec

#: Kubernetes' alphabet for generated names: no vowels and nothing that looks like something else.
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
#: How long a suffix is.
SUFFIX_LENGTH = 5


class Dice(msgspec.Struct, frozen=True, gc=False):
    """Chance as a value: random bits, each range of them for one purpose, so that no two answers hang together."""

    bits: int

    #: How many of them there are.
    BITS: ClassVar[int] = 320

    def uid(self) -> str:
        """A random UUID (version 4); five times cheaper than making a `uuid.UUID` of it."""
        bits = self.bits & ((1 << 128) - 1) & ~(0xF << 76) & ~(0x3 << 62) | 0x4 << 76 | 0x2 << 62
        digits = f"{bits:032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def name_suffix(self) -> str:
        """What is appended to a `generateName`."""
        return _suffix(self.bits >> 128)

    def volume_suffix(self) -> str:
        """What is appended to the name of a volume that admission adds."""
        return _suffix(self.bits >> 192)

    def choices(self) -> Random:
        """For whatever has to pick one of many."""
        return Random(self.bits >> 256)


def _suffix(bits: int) -> str:
    # Of 64 bits 27 letters may be taken five times over: one is likelier than another by a part in a million millions.
    letters = ""
    bits &= (1 << 64) - 1
    for _ in range(SUFFIX_LENGTH):
        bits, letter = divmod(bits, len(_LETTERS))
        letters += _LETTERS[letter]
    return letters


def thrown(chance: Random) -> Dice:
    """Fresh dice, for one decision."""
    return Dice(chance.getrandbits(Dice.BITS))
