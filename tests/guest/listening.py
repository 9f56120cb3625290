"""What the kernel says of traffic over netlink, as it says it, and the frames that tcpdump sees meanwhile."""

from __future__ import annotations

import errno
import os
import signal
import socket
import struct
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from guest.lab import quiet

_RCVBUFFORCE, _ADD_MEMBERSHIP, _SOL_NETLINK = 33, 1, 270  # linux/socket.h, linux/netlink.h
_ROOM = 1 << 17


def listen(protocol: int, groups: Sequence[int] = (), *, room: int = 32 << 20) -> socket.socket:
    """Return a netlink socket that has joined multicast groups, with room for all that a test makes."""
    listener = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
    listener.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, room // 2)  # the kernel doubles it
    listener.bind((0, 0))
    for group in groups:
        listener.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
    return listener


def drain(listener: socket.socket, *, for_s: float = 0.3) -> tuple[list[bytes], int]:
    """Return the messages that came and how often the socket said that it lost some, once nothing more comes."""
    listener.settimeout(for_s)
    messages: list[bytes] = []
    overflows = 0
    while True:
        try:
            messages += split(listener.recv(_ROOM))
        except TimeoutError:
            return messages, overflows
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            overflows += 1


def ask(asking: socket.socket, kind: int, body: bytes, *, flags: int = 0x5) -> list[bytes]:
    """Send a request and return what is answered before its acknowledgement or the end of a list."""
    asking.send(struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body)
    answers: list[bytes] = []
    while True:
        for message in split(asking.recv(_ROOM)):
            answer = struct.unpack_from("=H", message, 4)[0]
            if answer == 2 and (number := -struct.unpack_from("=i", message, 16)[0]):  # NLMSG_ERROR
                raise OSError(number, os.strerror(number))
            if answer in {2, 3}:
                return answers
            answers.append(message)


def split(data: bytes) -> list[bytes]:
    """Return the messages of a datagram, without what pads them."""
    messages = []
    while data:
        length = struct.unpack_from("=I", data)[0]
        messages.append(data[:length])
        data = data[(length + 3) & ~3 :]
    return messages


@contextmanager
def watched(path: Path, device: str, direction: str) -> Iterator[None]:
    """Have tcpdump write the frames of an interface and a direction (in, out, inout), each cut to 256 octets."""
    words = f"tcpdump -U -n -i {device} -Q {direction} -s 256 -w {path} --immediate-mode -Z root"
    process = subprocess.Popen(
        [*words.split(), "--time-stamp-precision=nano"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        while b"listening on" not in (line := process.stderr.readline()):
            if not line:
                raise RuntimeError(f"tcpdump on {device} ended")
        yield
        quiet(lambda: path.stat().st_size)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()
