"""Playing recordings back: as fast as they are read, at a multiple of real time, or over UDP.

Datagrams go out when they are due, those within a millisecond of the first together when the last of them is due. The
timeline starts with the first datagram. It starts anew where recorded time jumps, back by more than a second or ahead
by more than an hour, as it does between files: nobody wants to wait for that, nor get all the rest at once.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Iterator

import msgspec
import numpy as np

from tidegate.data.block import Block, part_of_block
from tidegate.errors import SourceError
from tidegate.io.clock import Clock
from tidegate.io.mmsg import Sending
from tidegate.kernel import I64

__all__ = ["SendStatistics", "pace", "send_capture"]

_TOGETHER_NS = 1_000_000
_BACK_NS = 1_000_000_000
_AHEAD_NS = 3_600_000_000_000
_NEVER_NS = 1 << 60  # 36 years, so that a very low speed does not overflow
_NAP_S = 60.0


class SendStatistics(msgspec.Struct, frozen=True):
    """What `send_capture` has sent."""

    datagrams: int
    octets: int
    refused: int  # datagrams that the kernel would not take, such as those too long for the path


class _Timeline:
    """When recorded times are due on the monotonic clock."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._recorded_ns: int | None = None  # the latest recorded time
        self._due_ns = 0  # when that was due

    def due(self, times_ns: I64, now_ns: int) -> I64:
        """Return when each of a block's datagrams is due; never before one that stands in front of it."""
        start = int(times_ns[0]) if self._recorded_ns is None else self._recorded_ns
        if self._recorded_ns is None:
            self._due_ns = now_ns
        steps = np.diff(times_ns, prepend=np.int64(start))
        steps[(steps < -_BACK_NS) | (steps > _AHEAD_NS)] = 0
        later = np.minimum(np.cumsum(steps) / self._speed, _NEVER_NS).astype(np.int64)
        due = np.maximum.accumulate(np.maximum(self._due_ns + later, self._due_ns))
        self._recorded_ns = int(times_ns[-1])
        self._due_ns = int(due[-1])
        return due


def pace(blocks: Iterable[Block], clock: Clock, *, speed: float | None) -> Iterator[Block]:
    """Yield blocks as they are where `speed` is None, else parts of them when they are due, `speed` times as fast.

    `ValueError` where the speed is not above zero.
    """
    if speed is None:
        return iter(blocks)
    if not 0 < speed < float("inf"):
        raise ValueError(f"a speed of {speed} does not end; it must be above 0")
    return _paced(blocks, clock, _Timeline(speed))


def _paced(blocks: Iterable[Block], clock: Clock, timeline: _Timeline) -> Iterator[Block]:
    for block in blocks:
        if not len(block):
            continue
        due = timeline.due(block.time_ns, clock.monotonic_ns())
        first = 0
        while first < len(block):
            together = max(int(due[first]) + _TOGETHER_NS, clock.monotonic_ns())  # what is late goes at once
            stop = int(np.searchsorted(due, together, side="right"))
            while (wait := int(due[stop - 1]) - clock.monotonic_ns()) > 0:
                clock.sleep(min(wait / 1e9, _NAP_S))
            yield part_of_block(block, first, stop)
            first = stop


def send_capture(
    blocks: Iterable[Block], address: tuple[str, int], *, speed: float | None, clock: Clock
) -> SendStatistics:
    """Send datagrams over UDP to an address; `SourceError` where it cannot be reached at all."""
    name = f"udp {address[0]} port {address[1]}"
    sending = Sending()
    datagrams = octets = refused = 0
    try:
        sock = _connect(address)
    except OSError as error:
        raise SourceError(name, error.strerror or str(error)) from error
    with sock:
        for block in pace(blocks, clock, speed=speed):
            failed = _send_block(sending, sock, block, name)
            datagrams += len(block) - len(failed)
            octets += int(block.length.sum()) - int(block.length[failed].sum())
            refused += len(failed)
    return SendStatistics(datagrams, octets, refused)


def _connect(address: tuple[str, int]) -> socket.socket:
    family, kind, protocol, _, found = socket.getaddrinfo(*address, type=socket.SOCK_DGRAM)[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.connect(found)
    except OSError:
        sock.close()
        raise
    return sock


def _send_block(sending: Sending, sock: socket.socket, block: Block, name: str) -> list[int]:
    """Send a block whole and return the rows that the kernel would not take."""
    failed = []
    first = 0
    while first < len(block):
        try:
            first += sending.send(sock.fileno(), block, first=first)
        except InterruptedError:
            continue
        except OSError as error:
            if error.errno == errno.ECONNREFUSED:  # what was sent before found nobody; this one has not been sent
                continue
            if error.errno not in {errno.EMSGSIZE, errno.ENOBUFS, errno.EPERM}:
                raise SourceError(name, error.strerror or str(error)) from error
            failed.append(first)
            first += 1
    return failed
