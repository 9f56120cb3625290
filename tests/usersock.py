"""psample's messages without psample: a netlink socket of the family NETLINK_USERSOCK, which programs may multicast to.

The kernel's own netlink carries them, with its buffers, its ENOBUFS and its order; the messages are those of
recordings, with numbers of their own.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from tidegate.io.clock import Clock
from tidegate.io.netlink import join_group, leave_group, open_listener
from tidegate.io.sample_socket import SampleSocket

FAMILY = 32  # of the messages in the recording
INTERFACE = 101
RATE = 10
GROUP = 5  # of psample
_RECORDING = Path(__file__).parent / "data" / "psample" / "linux-6.1" / "rate-10.bin"
_USERSOCK = 2


def message() -> bytearray:
    """Return the first message of the recording."""
    octets = _RECORDING.read_bytes()
    size = struct.unpack_from("=I", octets)[0]
    return bytearray(octets[:size])


def place_of(octets: bytearray, wanted: int) -> int:
    """Return where the value of an attribute stands."""
    at = 20
    while True:
        length, kind = struct.unpack_from("=HH", octets, at)
        if kind == wanted:
            return at + 4
        at += length + (-length % 4)


def opener(multicast: int, *, buffer: int = 8 << 20) -> Callable[[Clock], SampleSocket]:
    """Return what joins a multicast group in place of psample's, with a buffer of so many octets."""

    def open_one(clock: Clock) -> SampleSocket:
        sock = open_listener(_USERSOCK, buffer=buffer // 2)  # the kernel doubles it
        join_group(sock, multicast)
        return SampleSocket(sock, FAMILY, clock, leave=lambda: leave_group(sock, multicast))

    return open_one


@contextlib.contextmanager
def kernel(multicast: int) -> Iterator[Callable[[int], None]]:
    """Give what sends so many samples, numbered on from 0, as the kernel would."""
    octets = message()
    at = place_of(octets, 4)
    sent = [0]
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _USERSOCK) as sock:
        sock.bind((0, 0))

        def send(count: int) -> None:
            for _ in range(count):
                struct.pack_into("=I", octets, at, sent[0])
                sent[0] += 1
                with contextlib.suppress(ConnectionRefusedError):  # of the kernel's own end, which there is none of
                    sock.sendto(octets, (0, 1 << (multicast - 1)))

        yield send
