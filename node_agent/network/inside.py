"""Sockets that live in a pod's network: so its loopback is reached, too."""

from __future__ import annotations

import socket

from orchestrator.machinery.libc import checked, libc

_CLONE_NEWNET = 0x40000000


def socket_inside(pid: int) -> socket.socket:
    """A TCP socket in the network namespace of process `pid`. Blocking: call it in a thread; raises OSError.

    The thread itself is back in its own namespace when this returns: the namespace belongs to a thread, and a socket
    keeps the one it was made in.
    """
    with open("/proc/thread-self/ns/net") as own, open(f"/proc/{pid}/ns/net") as theirs:
        checked(libc.setns(theirs.fileno(), _CLONE_NEWNET))
        try:
            made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        finally:
            checked(libc.setns(own.fileno(), _CLONE_NEWNET))
    made.setblocking(False)
    return made
