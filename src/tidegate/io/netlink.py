"""Netlink sockets for requests: send one, read its answers.

A request that the kernel refuses raises `OSError` with its error number, and the kernel's own words where it has any.
Dumps that were interrupted by a change are asked for again.
"""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Callable
from types import TracebackType

from tidegate.wire.netlink.genl import CONTROL, Family, get_family_body, read_family
from tidegate.wire.netlink.message import Flags, Kind, Message, encode_message, read_answer, split_messages

__all__ = ["GENERIC", "NETFILTER", "ROUTE", "Netlink", "find_family"]

ROUTE, NETFILTER, GENERIC = 0, 12, 16  # protocols, linux/netlink.h
_SOL_NETLINK, _EXT_ACK, _CAP_ACK, _STRICT = 270, 11, 10, 12
_ROOM = 1 << 16
_TRIES = 5
_TIMEOUT_S = 5.0


class Netlink:
    """A socket of one protocol; a context manager. `OSError` where the kernel has none."""

    def __init__(self, protocol: int) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._socket.settimeout(_TIMEOUT_S)
        for option in (_EXT_ACK, _CAP_ACK):
            self._socket.setsockopt(_SOL_NETLINK, option, 1)
        self._socket.bind((0, 0))
        self._numbers = itertools.count(1)

    def __enter__(self) -> Netlink:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def do(self, kind: int, body: bytes, flags: Flags = Flags(0)) -> list[Message]:  # noqa: B008 - flags are immutable
        """Send a request and return what was answered until its acknowledgement; `OSError` where it was refused."""
        return self._ask(kind, Flags.REQUEST | Flags.ACK | flags, body, lambda _: None)

    def dump(self, kind: int, body: bytes) -> list[Message]:
        """Return all messages of a dump; `OSError`."""
        for left in reversed(range(_TRIES)):
            interrupted: list[Message] = []
            found = self._ask(kind, Flags.REQUEST | Flags.DUMP, body, interrupted.append)
            if not interrupted or not left:
                break
        return found

    def _ask(self, kind: int, flags: Flags, body: bytes, interrupted: Callable[[Message], object]) -> list[Message]:
        number = next(self._numbers)
        self._socket.send(encode_message(kind, flags, number, body))
        found: list[Message] = []
        while True:
            for message in split_messages(self._socket.recv(_ROOM)):
                if message.sequence != number:
                    continue
                if message.flags & Flags.DUMP_INTERRUPTED:
                    interrupted(message)
                if message.type == Kind.DONE:
                    return found
                if message.type != Kind.ERROR:
                    found.append(message)
                    continue
                answer = read_answer(message)
                if answer.errno:
                    raise OSError(answer.errno, answer.text or os.strerror(answer.errno))
                return found


def find_family(generic: Netlink, name: str) -> Family | None:
    """Return a generic netlink family, None where the kernel does not have it (its module is not loaded)."""
    try:
        answers = generic.do(CONTROL, get_family_body(name))
    except FileNotFoundError:
        return None
    return read_family(answers[0]) if answers else None
