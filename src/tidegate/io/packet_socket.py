"""Packets of one interface, sampled by the kernel's packet filter: no kernel module, no rule, CAP_NET_RAW alone.

A filter draws a random number for each packet and keeps one in N, cut to the length that is wanted; the frame's length
and the VLAN tag that was taken off come beside it. What found no room in the socket is counted by the kernel.

Answers for: packet(7), linux/filter.h (ancillary data), bpf(4) (classic instructions).
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from collections.abc import Sequence

import msgspec
import numpy as np

from tidegate.data.sampled import Packets, Row
from tidegate.errors import SourceError
from tidegate.io.clock import Clock
from tidegate.io.mmsg import SO_TIMESTAMPNS, Receiving
from tidegate.io.packet_headers import PACKET_AUXDATA, read_packet_headers
from tidegate.io.receive_buffer import grow_buffer

__all__ = ["PacketSocket", "PacketTap", "sampling_filter"]

_SOL_PACKET = 263
_PACKET_STATISTICS, _IGNORE_OUTGOING = 6, 23
_SO_ATTACH_FILTER = 26
_ALL_PROTOCOLS = 0x0003
_ANCILLARY = 0xFFFFF000  # SKF_AD_OFF
_PACKET_TYPE, _RANDOM = 4, 56
_LOAD, _MODULO, _JUMP_EQUAL, _RETURN = 0x20, 0x94, 0x15, 0x06
_OUTGOING = 4
_TRIES = 3
_BUFFER = 4 << 20

Instruction = tuple[int, int, int, int]  # code, jumps if true and false, constant
_NOTHING: tuple[Instruction, ...] = ((_RETURN, 0, 0, 0),)


class PacketTap(msgspec.Struct, frozen=True):
    """What is to be sampled on an interface."""

    index: int
    name: str
    rate: int
    layer: int  # what its packets begin with: 2 a MAC header, 3 a network header
    octets: int = 128
    ingress: bool = True
    egress: bool = False


def sampling_filter(rate: int, octets: int, *, egress_only: bool = False) -> list[Instruction]:
    """Return the program that keeps `octets` of one packet in `rate`."""
    draw = [
        (_LOAD, 0, 0, _ANCILLARY + _RANDOM),
        (_MODULO, 0, 0, rate),
        (_JUMP_EQUAL, 0, 1, 0),
        (_RETURN, 0, 0, octets),
        (_RETURN, 0, 0, 0),
    ]
    if not egress_only:
        return draw
    return [(_LOAD, 0, 0, _ANCILLARY + _PACKET_TYPE), (_JUMP_EQUAL, 0, 4, _OUTGOING), *draw]


class PacketSocket:
    """A source of packets of one interface; `SourceError` where it cannot be opened.

    The memory to receive into may be that of all sockets of a thread: what is read owns its own.
    """

    def __init__(self, tap: PacketTap, clock: Clock, receiving: Receiving) -> None:
        self.tap = tap
        self._clock = clock
        self._receiving = receiving
        self.errors = 0
        try:
            self._socket = _open(tap)
        except OSError as error:
            raise SourceError(f"interface {tap.name}", _reason(error)) from None

    def fileno(self) -> int:
        """Return what to wait for."""
        return self._socket.fileno()

    def pause(self) -> None:
        """Let no more packets come; those that wait can be read."""
        _attach(self._socket, _NOTHING)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def can_become(self, tap: PacketTap) -> bool:
        """Tell whether `change` is enough: the filter alone is different."""
        return msgspec.structs.replace(tap, rate=self.tap.rate, octets=self.tap.octets) == self.tap

    def change(self, tap: PacketTap) -> None:
        """Sample at another rate or length; `pause` and read before, for what waits is told at the new rate."""
        _attach(self._socket, _program(tap))
        self.tap = tap

    def read(self) -> list[Packets]:
        """Return the packets that wait, up to a batch; an interface that is gone gives none."""
        count = self._receive()
        if not count:
            return []
        receiving, tap = self._receiving, self.tap
        lengths = np.empty(count, np.int64)
        rows = np.empty((count, len(Row)), np.int64)
        longest = read_packet_headers(
            receiving.headers, receiving.headers.view(np.int32), receiving.names, receiving.controls,
            receiving.controls.view(np.int32), self._clock.time_ns(), tap.index, tap.rate, tap.layer, lengths, rows,
        )  # fmt: skip
        data, offset = receiving.compact(lengths, longest)
        rows[:, Row.DATA] = offset
        return [Packets(data, rows, count)]

    def _receive(self) -> int:
        """Return how many packets were received. That the interface went is told before those that came until then."""
        for _ in range(_TRIES):
            try:
                return self._receiving.receive(self.fileno())
            except BlockingIOError:
                return 0
            except OSError:  # it went down or away; the list of interfaces says which
                self.errors += 1
        return 0

    def lost(self) -> int:
        """Return how many packets passed the filter and found no room since the last time."""
        told = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        return int(struct.unpack("=II", told)[1])


def _open(tap: PacketTap) -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, 0)
    try:
        _attach(sock, _program(tap))  # before it is bound: no packet comes unsampled
        grow_buffer(sock, _BUFFER)
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        sock.setsockopt(_SOL_PACKET, PACKET_AUXDATA, 1)
        if not tap.egress:
            sock.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
        sock.bind((tap.name, _ALL_PROTOCOLS))
    except OSError:
        sock.close()
        raise
    return sock


def _program(tap: PacketTap) -> list[Instruction]:
    return sampling_filter(tap.rate, tap.octets, egress_only=tap.egress and not tap.ingress)


def _attach(sock: socket.socket, program: Sequence[Instruction]) -> None:
    octets = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *one) for one in program))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(program), ctypes.addressof(octets)))


def _reason(error: OSError) -> str:
    if error.errno == errno.EPERM:
        return "packet sockets need CAP_NET_RAW: run as root, or as the systemd unit does"
    if error.errno in {errno.ENODEV, errno.ENXIO}:
        return "there is no such interface"
    return f"packets cannot be taken: {error.strerror}"
