"""The kernel's receive buffer of a socket: made large, and asked what found no room in it.

Answers for: socket(7) (SO_RCVBUF, SO_RCVBUFFORCE), linux/sock_diag.h (SO_MEMINFO).
"""

from __future__ import annotations

import socket
import struct

__all__ = ["grow_buffer", "kernel_drops"]

_SO_RCVBUFFORCE = 33  # asm-generic/socket.h; the standard library does not name these
_SO_MEMINFO = 55
_MEMINFO_DROPS = 8  # SK_MEMINFO_DROPS


def grow_buffer(sock: socket.socket, octets: int) -> None:
    """Ask for so many octets, as many as are granted where this is not privileged."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, octets)
    except OSError:  # needs CAP_NET_ADMIN
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, octets)


def kernel_drops(sock: socket.socket, before: int | None) -> int | None:
    """Return the drops at a socket as an integer that does not wrap at 2^32; None where the kernel does not tell."""
    try:
        raw = sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 4 * (_MEMINFO_DROPS + 1))
    except OSError:
        return None
    if len(raw) <= 4 * _MEMINFO_DROPS:
        return None
    drops: int = struct.unpack_from("=I", raw, 4 * _MEMINFO_DROPS)[0]
    known = before or 0
    return known + ((drops - known) & 0xFFFFFFFF)
