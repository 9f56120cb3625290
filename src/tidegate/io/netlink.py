"""Netlink sockets for requests: send one, read its answers.

A request that the kernel refuses raises `OSError` with its error number, and the kernel's own words where it has any.
Dumps that were interrupted by a change are asked for again.
"""

from __future__ import annotations

import itertools
import os
import socket
from types import TracebackType
from typing import Self

from tidegate.io.receive_buffer import grow_buffer
from tidegate.wire.netlink.genl import CONTROL, Family, get_family_body, read_family
from tidegate.wire.netlink.message import Answer, Flags, Kind, Message, encode_message, read_answer, split_messages

__all__ = ["GENERIC", "NETFILTER", "ROUTE", "Netlink", "find_family", "join_group", "leave_group", "open_listener"]

ROUTE, NETFILTER, GENERIC = 0, 12, 16  # protocols, linux/netlink.h
_SOL_NETLINK, _ADD_MEMBERSHIP, _DROP_MEMBERSHIP, _EXT_ACK, _CAP_ACK = 270, 1, 2, 11, 10
_ROOM = 1 << 16
_TRIES = 5
_TIMEOUT_S = 5.0


def open_listener(protocol: int, *, buffer: int) -> socket.socket:
    """Return a socket for what the kernel sends by itself, with a receive buffer of so many octets; `OSError`."""
    kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    sock = socket.socket(socket.AF_NETLINK, kind, protocol)
    try:
        grow_buffer(sock, buffer)
        sock.bind((0, 0))
    except OSError:
        sock.close()
        raise
    return sock


def join_group(sock: socket.socket, group: int) -> None:
    """Join a multicast group; `OSError`."""
    sock.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)


def leave_group(sock: socket.socket, group: int) -> None:
    """Leave a multicast group; `OSError`."""
    sock.setsockopt(_SOL_NETLINK, _DROP_MEMBERSHIP, group)


class Netlink:
    """A socket of one protocol; a context manager. `OSError` where the kernel has none."""

    def __init__(self, protocol: int) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._socket.settimeout(_TIMEOUT_S)
        for option in (_EXT_ACK, _CAP_ACK):
            self._socket.setsockopt(_SOL_NETLINK, option, 1)
        self._socket.bind((0, 0))
        self._numbers = itertools.count(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def do(self, kind: int, body: bytes, flags: int = 0) -> list[Message]:
        """Send a request and return what was answered until its acknowledgement; `OSError` where it was refused."""
        return self._ask(kind, Flags.REQUEST | Flags.ACK | flags, body)[0]

    def dump(self, kind: int, body: bytes) -> list[Message]:
        """Return all messages of a dump; `OSError`. After some tries also one that changes did not leave whole."""
        found: list[Message] = []
        for _ in range(_TRIES):
            found, whole = self._ask(kind, Flags.REQUEST | Flags.DUMP, body)
            if whole:
                break
        return found

    def _ask(self, kind: int, flags: int, body: bytes) -> tuple[list[Message], bool]:
        """Return the answers to a request, and whether nothing changed while they were given."""
        number = next(self._numbers)
        self._socket.send(encode_message(kind, flags, number, body))
        found: list[Message] = []
        whole = True
        while True:
            for message in split_messages(self._socket.recv(_ROOM)):
                if message.sequence != number:
                    continue
                whole = whole and not message.flags & Flags.DUMP_INTERRUPTED
                if message.type not in {Kind.ERROR, Kind.DONE}:
                    found.append(message)
                    continue
                answer = read_answer(message) if message.body else Answer(0)
                if answer.errno:  # of a dump too, where its end (DONE) says that it came early
                    raise OSError(answer.errno, answer.text or os.strerror(answer.errno))
                return found, whole


def find_family(generic: Netlink, name: str) -> Family | None:
    """Return a generic netlink family, None where the kernel does not have it (its module is not loaded)."""
    try:
        answers = generic.do(CONTROL, get_family_body(name))
    except FileNotFoundError:
        return None
    return read_family(answers[0]) if answers else None
