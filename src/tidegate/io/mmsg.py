"""`recvmmsg` and `sendmmsg` over arrays: many datagrams a system call, no Python object for any of them.

The message headers that the calls take (struct mmsghdr, msghdr and iovec of recvmmsg(2), 64-bit layout) are rows of
numpy arrays, so that they are prepared and read back whole. A datagram to receive has two pieces of memory: 2 KiB in a
dense array, which holds all ordinary sFlow, and an overflow up to 64 KiB in address space that the kernel backs only
where a large datagram touches it. Blocks get copies of what arrived, rows of equal width, so they own their memory.

Answers for: RFC 768 (at most 65,535 octets), cmsg(3) (layout of control data), socket(7) SO_TIMESTAMPNS.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import socket
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from tidegate.data.block import Block
from tidegate.kernel import I32, I64, U8, U64, kernel

__all__ = ["CONTROL", "CONTROL_LENGTH_AT", "KERNELS", "LENGTH_AT", "NAME", "NAME_LENGTH_AT", "SO_TIMESTAMPNS"]
__all__ += ["Receiving", "Sending", "has_mmsg"]

SO_TIMESTAMPNS = 35  # asm-generic/socket.h; the number is also the type of the control message
SLOT = 2048  # octets received without touching the overflow: an Ethernet MTU and some
_OVERFLOW = 65536 - SLOT
CONTROL = 96  # CMSG_SPACE(16) = 32 for the time, CMSG_SPACE(20) = 40 of packet sockets, the rest is room to spare
NAME = 32  # sockaddr_in6 is 28
_MMSGHDR = np.dtype(
    [
        ("name", "u8"),
        ("name_length", "u4"),
        ("pad0", "u4"),
        ("pieces", "u8"),
        ("piece_count", "u8"),
        ("control", "u8"),
        ("control_length", "u8"),
        ("flags", "i4"),
        ("pad1", "u4"),
        ("length", "u4"),
        ("pad2", "u4"),
    ]
)
# Where fields of a header are: in words of 64 bits the first, in words of 32 bits the others.
CONTROL_LENGTH_AT = 5
NAME_LENGTH_AT, FLAGS_AT, LENGTH_AT = 2, 12, 14
_TRUNCATED = int(socket.MSG_TRUNC)
_IOVEC = np.dtype([("base", "u8"), ("length", "u8")])


def _libc_function(name: str, argument_count: int) -> Callable[..., int] | None:
    """Return a libc function (integers and pointers), or None where this libc or word size has no such call."""
    if struct.calcsize("P") != 8:
        return None
    function = getattr(ctypes.CDLL(None, use_errno=True), name, None)
    if function is None:
        return None
    kinds: list[Any] = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p]
    function.argtypes = kinds[:argument_count]
    function.restype = ctypes.c_int
    result: Callable[..., int] = function
    return result


def has_mmsg() -> bool:
    """Tell whether this machine can receive and send many datagrams a call."""
    return _libc_function("recvmmsg", 5) is not None and _libc_function("sendmmsg", 4) is not None


@kernel(
    "void(int64[:,::1], int32[:,::1], uint8[:,::1], int64[:,::1], int32[:,::1], int64, int64[:,::1], uint64[:,::1],"
    " int64[::1])"
)
def read_headers(  # noqa: C901, PLR0913, PLR0917 - a kernel: arrays in, arrays out
    headers: I64,
    header_halves: I32,
    names: U8,
    controls: I64,
    control_halves: I32,
    now_ns: int,
    columns: I64,
    words: U64,
    summary: I64,
) -> None:
    """Read the message headers of received datagrams, as many as `columns` has columns, and make them ready again.

    `..._halves` is the same memory in words of 32 bits. `columns` gets rows of length, time (`now_ns` where the kernel
    gave none) and source port, `words` rows of high and low words of the source address, `summary` the greatest length,
    how many were cut off and how many had no time.
    """
    summary[:] = 0
    for i in range(columns.shape[1]):
        length = np.int64(header_halves[i, LENGTH_AT])
        columns[0, i] = length
        summary[0] = max(summary[0], length)
        if header_halves[i, FLAGS_AT] & _TRUNCATED:
            summary[1] += 1
        control_length = headers[i, CONTROL_LENGTH_AT]
        headers[i, CONTROL_LENGTH_AT] = CONTROL
        header_halves[i, NAME_LENGTH_AT] = NAME
        stamp = -1
        at = 0  # words of 64 bits; struct cmsghdr is a length of one word, then level and type of half a word each
        while 8 * at + 16 <= control_length:
            length = controls[i, at]
            if length < 16 or length > control_length - 8 * at:
                break
            if control_halves[i, 2 * at + 3] == SO_TIMESTAMPNS and length >= 32:  # struct timespec
                stamp = controls[i, at + 2] * 1_000_000_000 + controls[i, at + 3]
            at += (length + 7) >> 3
        if stamp < 0:
            stamp = now_ns
            summary[2] += 1
        columns[1, i] = stamp
        columns[2, i] = (np.int64(names[i, 2]) << 8) | np.int64(names[i, 3])
        family = names[i, 0] | names[i, 1]  # below 256, in either byte order
        high = np.uint64(0)
        low = np.uint64(0)
        if family == 10:  # AF_INET6: port, flow label, 16 octets of address
            for k in range(8):
                high = (high << np.uint64(8)) | np.uint64(names[i, 8 + k])
                low = (low << np.uint64(8)) | np.uint64(names[i, 16 + k])
        elif family == 2:  # AF_INET: port, 4 octets of address
            low = np.uint64(0xFFFF)
            for k in range(4):
                low = (low << np.uint64(8)) | np.uint64(names[i, 4 + k])
        words[0, i] = high
        words[1, i] = low


KERNELS = (read_headers,)


class Receiving:
    """The memory of one receiving socket: room for `size` datagrams of any length.

    What the kernel wrote beside payloads can be read until the next call of `receive`: `headers` (in words of 64 bits),
    `names` (addresses) and `controls` (control data). Who reads it in place of `take` makes the lengths ready again.
    """

    def __init__(self, size: int) -> None:
        call = _libc_function("recvmmsg", 5)
        if call is None:
            raise OSError("this system has no recvmmsg")
        self._call = call
        self.size = size
        self._slots = np.zeros((size, SLOT), np.uint8)
        self._reserved = mmap.mmap(-1, size * _OVERFLOW)  # address space; a page exists once it is written
        if hasattr(mmap, "MADV_NOHUGEPAGE"):
            self._reserved.madvise(mmap.MADV_NOHUGEPAGE)
        self._overflow = np.frombuffer(self._reserved, np.uint8).reshape(size, _OVERFLOW)
        self.names = np.zeros((size, NAME), np.uint8)
        self.controls = np.zeros((size, CONTROL // 8), np.int64)
        pieces = np.zeros((size, 2), _IOVEC)
        rows = np.arange(size, dtype=np.uint64)
        pieces["base"][:, 0] = self._slots.ctypes.data + rows * SLOT
        pieces["length"][:, 0] = SLOT
        pieces["base"][:, 1] = self._overflow.ctypes.data + rows * _OVERFLOW
        pieces["length"][:, 1] = _OVERFLOW
        self._pieces = pieces
        self._headers = np.zeros(size, _MMSGHDR)
        self._headers["name"] = self.names.ctypes.data + rows * NAME
        self._headers["pieces"] = pieces.ctypes.data + rows * (2 * _IOVEC.itemsize)
        self._headers["piece_count"] = 2
        self._headers["control"] = self.controls.ctypes.data + rows * CONTROL
        self._address = self._headers.ctypes.data
        self.headers = self._headers.view(np.int64).reshape(size, -1)
        self.headers[:, CONTROL_LENGTH_AT] = CONTROL
        self.headers.view(np.int32)[:, NAME_LENGTH_AT] = NAME
        self._summary = np.zeros(3, np.int64)

    def receive(self, descriptor: int) -> int:
        """Fetch what waits at a socket, up to `size` datagrams, and return how many; never blocks.

        `OSError` as recvmmsg(2) has it, `BlockingIOError` where nothing waits. `take` must follow.
        """
        count = self._call(descriptor, self._address, self.size, socket.MSG_DONTWAIT, None)
        if count < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return count

    def take(self, count: int, now_ns: int) -> tuple[Block, int]:
        """Return the first `count` datagrams as a block that owns its memory, and how many of them were cut off."""
        columns = np.empty((3, count), np.int64)
        words = np.empty((2, count), np.uint64)
        read_headers(
            self.headers,
            self.headers.view(np.int32),
            self.names,
            self.controls,
            self.controls.view(np.int32),
            now_ns,
            columns,
            words,
            self._summary,
        )
        longest, truncated, _ = self._summary.tolist()
        data, offset = self.compact(columns[0], longest)
        block = Block(
            data=data,
            offset=offset,
            length=columns[0],
            time_ns=columns[1],
            source_high=words[0],
            source_low=words[1],
            source_port=columns[2],
        )
        return block, truncated

    def compact(self, lengths: I64, longest: int) -> tuple[U8, I64]:
        """Copy the payloads out: rows as wide as the longest, and large datagrams after them."""
        count = len(lengths)
        width = min((longest + 63) & ~63, SLOT)  # whole cache lines
        offset = np.arange(count, dtype=np.int64) * width
        if longest <= SLOT:
            return self._slots[:count, :width].copy().reshape(-1), offset
        large = np.flatnonzero(lengths > SLOT)
        ends = count * width + np.cumsum(lengths[large])
        data = np.empty(int(ends[-1]), np.uint8)
        data[: count * width].reshape(count, width)[:] = self._slots[:count, :width]
        offset[large] = ends - lengths[large]
        for row in large.tolist():
            start, length = int(offset[row]), int(lengths[row])
            data[start : start + SLOT] = self._slots[row]
            data[start + SLOT : start + length] = self._overflow[row, : length - SLOT]
        return data, offset


class Sending:
    """Sends rows of blocks through a connected socket, up to `size` datagrams a call."""

    def __init__(self, size: int = 64) -> None:
        call = _libc_function("sendmmsg", 4)
        if call is None:
            raise OSError("this system has no sendmmsg")
        self._call = call
        self.size = size
        self._pieces = np.zeros(size, _IOVEC)
        self._headers = np.zeros(size, _MMSGHDR)
        self._headers["pieces"] = self._pieces.ctypes.data + np.arange(size, dtype=np.uint64) * _IOVEC.itemsize
        self._headers["piece_count"] = 1

    def send(self, descriptor: int, block: Block, *, first: int) -> int:
        """Send rows of a block from `first` on and return how many were taken; `OSError` as sendmmsg(2) has it."""
        count = min(self.size, len(block) - first)
        stop = first + count
        self._pieces["base"][:count] = block.data.ctypes.data + block.offset[first:stop]
        self._pieces["length"][:count] = block.length[first:stop]
        sent = self._call(descriptor, self._headers.ctypes.data, count, 0)
        if sent < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return sent
