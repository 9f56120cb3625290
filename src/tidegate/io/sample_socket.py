"""Netlink sockets that the kernel sends sampled packets to: psample's multicast group, groups of NFLOG.

A batch of datagrams a system call. What did not fit the socket's buffer the kernel tells once (ENOBUFS), and the gap in
the samples' own numbers says how many; reading goes on.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Callable, Sequence

from tidegate.data.sampled import Packets
from tidegate.errors import SourceError
from tidegate.io.clock import Clock
from tidegate.io.mmsg import Receiving
from tidegate.io.netlink import GENERIC, NETFILTER, Netlink, find_family, join_group, leave_group, open_listener
from tidegate.wire.netlink import psample
from tidegate.wire.netlink.genl import genl_body
from tidegate.wire.netlink.message import Flags, Kind, encode_message, read_answer, split_messages
from tidegate.wire.netlink.nflog import CONFIG, NFLOG, bind_body, unbind_body
from tidegate.wire.netlink.samples import SampleReader

__all__ = ["SampleSocket", "has_samplers", "open_nflog", "open_psample"]

_BUFFER = 8 << 20
_BATCH = 256
_NUMBER = 1  # of each request: the next is sent when one was answered
_AT_ONCE = 64  # packets that NFLOG may hold back; after a twentieth of a second it sends them anyhow


class SampleSocket:
    """A source of sampled packets. `leave` ends what was joined, `is_current` tells whether packets still come."""

    def __init__(
        self,
        sock: socket.socket,
        family: int,
        clock: Clock,
        *,
        leave: Callable[[], object],
        is_current: Callable[[], bool] = lambda: True,
    ) -> None:
        self._leave = leave
        self.is_current = is_current
        self._socket = sock
        self._clock = clock
        self._receiving = Receiving(_BATCH)
        self._reader = SampleReader(family)
        self.overflows = 0

    def fileno(self) -> int:
        """Return what to wait for."""
        return self._socket.fileno()

    def pause(self) -> None:
        """Let no more packets come; those that wait can be read."""
        with contextlib.suppress(OSError):  # such as of a module that is gone
            self._leave()

    def close(self) -> None:
        """Close the socket; the kernel ends what was joined."""
        self._socket.close()

    def read(self) -> list[Packets]:
        """Return the packets that wait, up to a batch of datagrams."""
        try:
            count = self._receive()
        except BlockingIOError:
            return []
        block, _ = self._receiving.take(count, self._clock.time_ns())
        return list(self._reader.read(block))

    def _receive(self) -> int:
        try:
            return self._receiving.receive(self.fileno())
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
        self.overflows += 1
        return self._receiving.receive(self.fileno())  # what did fit: of the loss the kernel tells once

    def lost(self) -> int:
        """Return 0: losses show in the numbers of the samples."""
        return 0

    def told(self) -> dict[str, int]:
        """Return how many messages became what."""
        return {**self._reader.told(), "overflows": self.overflows}


def _psample_family() -> tuple[int, int] | None:
    """Return message type and multicast group of psample, None where the kernel does not have it now."""
    with Netlink(GENERIC) as generic:
        family = find_family(generic, psample.FAMILY)
    if family is None or psample.MULTICAST_GROUP not in family.groups:
        return None
    return family.id, family.groups[psample.MULTICAST_GROUP]


def has_samplers() -> bool:
    """Tell whether something in this network namespace samples for psample."""
    with Netlink(GENERIC) as generic:
        family = find_family(generic, psample.FAMILY)
        if family is None:
            return False
        try:
            return bool(generic.dump(family.id, genl_body(psample.GET_GROUP, family.version)))
        except OSError:
            return False


def open_psample(clock: Clock) -> SampleSocket:
    """Join psample; `SourceError` where the kernel has none or forbids it."""
    found = _psample_family()
    if found is None:
        raise SourceError("psample", "the kernel does not have it: load the module with `modprobe psample`")
    sock = open_listener(GENERIC, buffer=_BUFFER)
    try:
        join_group(sock, found[1])
    except OSError as error:
        sock.close()
        if error.errno == errno.EPERM:
            raise SourceError(
                "psample", "joining it needs CAP_NET_ADMIN: run as root, or as the systemd unit does"
            ) from None
        raise SourceError("psample", f"cannot be joined: {error.strerror}") from None
    return SampleSocket(
        sock,
        found[0],
        clock,
        leave=lambda: leave_group(sock, found[1]),
        is_current=lambda: _psample_family() == found,
    )


def open_nflog(groups: Sequence[int], clock: Clock, *, octets: int) -> SampleSocket:
    """Join groups of NFLOG; `SourceError` where the kernel forbids it or another program has one of them."""
    try:
        sock = open_listener(NETFILTER, buffer=_BUFFER)
    except OSError as error:
        raise SourceError("NFLOG", f"no such socket here: {error.strerror}; load the module nfnetlink_log") from None
    for group in dict.fromkeys(groups):
        try:
            _configure(sock, CONFIG, bind_body(group, copy=octets, at_once=_AT_ONCE))
        except OSError as error:
            reason = _nflog_reason(error, allowed=_is_allowed(sock))
            sock.close()
            raise SourceError(f"NFLOG group {group}", reason) from None

    def leave() -> None:
        for group in dict.fromkeys(groups):
            sock.send(encode_message(CONFIG, Flags.REQUEST, _NUMBER, unbind_body(group)))

    return SampleSocket(sock, NFLOG, clock, leave=leave)


def _configure(sock: socket.socket, kind: int, body: bytes) -> None:
    """Send a request on a socket that packets may come to already; those that come before the answer are left out."""
    sock.send(encode_message(kind, Flags.REQUEST | Flags.ACK, _NUMBER, body))
    while True:
        for message in split_messages(sock.recv(1 << 16)):
            if message.type == Kind.ERROR and message.sequence == _NUMBER:
                answer = read_answer(message)
                if answer.errno:
                    raise OSError(answer.errno, answer.text or os.strerror(answer.errno))
                return


def _is_allowed(sock: socket.socket) -> bool:
    """Tell whether this process may ask anything of netfilter, which the kernel looks at before it looks at what."""
    try:
        _configure(sock, NFLOG, bytes(4))  # a packet, which nobody sends to the kernel
    except OSError as error:
        return error.errno != errno.EPERM
    return True


def _nflog_reason(error: OSError, *, allowed: bool) -> str:
    if error.errno in {errno.EPERM, errno.EBUSY} and allowed:
        return "another program has joined it: choose another group, in the rules too"
    if error.errno == errno.EPERM:
        return "joining it needs CAP_NET_ADMIN: run as root, or as the systemd unit does"
    if error.errno == errno.EINVAL:
        return "the kernel does not have it: load the module with `modprobe nfnetlink_log`"
    return f"cannot be joined: {error.strerror}"
