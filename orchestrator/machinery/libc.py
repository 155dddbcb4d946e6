"""Calls of the C library that Python has no function for."""

from __future__ import annotations

import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)


def checked(result: int, *about: str) -> int:
    """A call's result; raises `OSError` with the call's `errno` (and the file it was about) if it failed."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), *about)
    return result
