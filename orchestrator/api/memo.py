"""Answers about foreign text that are remembered, as long as the text is short.

Clients send megabytes. A cache that counts its entries only would keep thousands of such texts, whoever sent them and
whatever was answered; what is worth remembering is short.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar, TypeVarTuple

T = TypeVar("T")
Args = TypeVarTuple("Args")

# A qualified name has 317 characters at most; quantities, addresses, timestamps and headers in use are shorter.
CHARS_MAX = 320


def memo(*, entries_max: int) -> Callable[[Callable[[*Args], T]], Callable[[*Args], T]]:
    """Remember what a pure function of hashable values answers, unless one of them is a long text."""

    def decorate(function: Callable[[*Args], T]) -> Callable[[*Args], T]:
        remembered = lru_cache(maxsize=entries_max)(function)

        @wraps(function)
        def ask(*args: *Args) -> T:
            for one in args:
                if isinstance(one, str) and len(one) > CHARS_MAX:
                    return function(*args)
            return remembered(*args)

        return ask

    return decorate
