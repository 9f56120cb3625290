"""The kernel's drop monitor: started where nobody has, listened to, and stopped where we started it.

Tracing is global: one state for the machine, reported in the first network namespace alone. Where it runs already its
owner is left in charge, and its settings as they are; once it has ended, `start` takes its place.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator

from tidegate.errors import DecodeError, SourceError
from tidegate.io.netlink import GENERIC, Netlink, find_family, join_group, open_listener
from tidegate.io.receive_buffer import kernel_drops
from tidegate.wire.netlink import dropmon
from tidegate.wire.netlink.dropmon import Which
from tidegate.wire.netlink.message import Message, split_messages

__all__ = ["DropMonitor"]

_BUFFER = 2 << 20
_QUEUE = 1000  # alerts for each processor, the kernel's default
_ROOM = 1 << 16
_NAME = "drop_monitor"


class DropMonitor:
    """A socket that alerts come to; `SourceError` where it cannot be had."""

    def __init__(self, *, octets: int, which: tuple[Which, ...]) -> None:
        self._octets = octets
        self._which = which
        self._started: tuple[Which, ...] = ()
        self._lost = self._socket_drops = 0
        self.overflows = 0
        self.passive = False
        with contextlib.ExitStack() as stack:
            self._generic = stack.enter_context(Netlink(GENERIC))
            self._family, group = self._find()
            self._socket = stack.enter_context(_joined(group))
            stack.callback(self._stop)
            self.start()
            self._lost = self._kernel_lost()
            stack.pop_all()

    def start(self) -> None:
        """Start it unless it runs, by us or by others; `SourceError` where that is refused."""
        try:
            self._generic.do(self._family, dropmon.config_body(octets=self._octets, queue=_QUEUE))
            self._started = ()
            for one in self._which:
                self._start_one(one)
        except OSError as error:
            if error.errno == errno.EPERM:
                raise SourceError(_NAME, "starting it needs CAP_NET_ADMIN in the first network namespace") from None
            if error.errno not in {errno.EBUSY, errno.EAGAIN}:
                raise SourceError(_NAME, f"cannot be started: {error.strerror}") from None
        self.passive = not self._started

    def fileno(self) -> int:
        """Return what to wait for."""
        return self._socket.fileno()

    def close(self) -> None:
        """Stop what was started here."""
        self._stop()
        self._socket.close()
        self._generic.close()

    def read(self, most: int) -> Iterator[Message]:
        """Yield messages that wait, of `most` datagrams."""
        for _ in range(most):
            try:
                octets = self._socket.recv(_ROOM)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self.overflows += 1
                continue
            with contextlib.suppress(DecodeError):
                yield from split_messages(octets)

    def lost(self) -> int:
        """Return how many alerts were lost since the last time: in the kernel's queues, and at the full socket."""
        told, at_socket = self._kernel_lost(), kernel_drops(self._socket, self._socket_drops) or 0
        lost = max(told - self._lost, 0) + at_socket - self._socket_drops
        self._lost, self._socket_drops = told, at_socket
        return lost

    def _find(self) -> tuple[int, int]:
        family = find_family(self._generic, dropmon.FAMILY)
        if family is None:
            raise SourceError(_NAME, "the kernel does not have it: load the module with `modprobe drop_monitor`")
        return family.id, family.groups.get(dropmon.MULTICAST_GROUP, 1)  # NET_DM_GRP_ALERT

    def _stop(self) -> None:
        with contextlib.suppress(OSError):
            if self._started:
                self._generic.do(self._family, dropmon.stop_body(*self._started))

    def _start_one(self, which: Which) -> None:
        try:
            self._generic.do(self._family, dropmon.start_body(which))
        except OSError as error:
            if which is Which.HARDWARE and error.errno in {errno.EOPNOTSUPP, errno.EINVAL}:
                return  # no device that drops in hardware
            raise
        self._started = (*self._started, which)

    def _kernel_lost(self) -> int:
        try:
            answers = self._generic.do(self._family, dropmon.stats_body())
            return sum(dropmon.lost_alerts(answer) for answer in answers)
        except (OSError, DecodeError):
            return self._lost


def _joined(group: int) -> socket.socket:
    sock = open_listener(GENERIC, buffer=_BUFFER)
    try:
        join_group(sock, group)
    except OSError as error:
        sock.close()
        if error.errno == errno.EPERM:
            raise SourceError(_NAME, "listening to it needs CAP_SYS_ADMIN: run as root, or without discards") from None
        raise SourceError(_NAME, f"cannot be joined: {error.strerror}") from None
    return sock
