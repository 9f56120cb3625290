"""Receiving datagrams: one thread a socket, which only receives and hands blocks on.

A wake-up takes all that waits, so a lone datagram is handed on at once. Then the thread rests before it looks again,
half a millisecond at least, and longer (up to `gather_s`) while each rest brings several datagrams: so that under load
a block holds many, and neither this thread nor the reader of its blocks wakes for each. Without traffic the thread
sleeps in poll(2).

What is lost is counted: by the kernel (SO_MEMINFO, drops at this socket), as cut off (MSG_TRUNC), or as errors.
Times of arrival are the kernel's own (SO_TIMESTAMPNS). Only the monotonic clock is used to wait.

Answers for: RFC 3493 section 5.3 (one socket for both families), socket(7) (SO_RCVBUF, SO_REUSEPORT).
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import struct
import threading
from collections.abc import Callable
from typing import Annotated, Protocol

import msgspec
import numpy as np

from tidegate.data.address import MAPPED
from tidegate.data.block import Block
from tidegate.errors import SourceError
from tidegate.io.clock import Clock
from tidegate.io.mmsg import SO_TIMESTAMPNS, Receiving, has_mmsg
from tidegate.io.receive_buffer import grow_buffer, kernel_drops

__all__ = ["Fetching", "SingleReceiving", "UdpReceiver", "UdpSettings", "UdpStatistics", "next_rest", "open_sockets"]

_LEAST_REST_S = 0.0005
_MANY = 4  # datagrams
_ERROR_REST_S = 0.01  # so that an error that stays does not burn a core


class UdpSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where and how to listen."""

    host: str = ""  # a literal address of this machine; empty for all of both families
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 6343  # the port of sFlow (IANA); 0 lets the kernel choose
    workers: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1  # sockets that share the port, sources spread over them
    receive_buffer: Annotated[int, msgspec.Meta(ge=4096, le=1 << 30)] = 32 << 20  # octets, for each socket
    block_size: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 1024  # most datagrams in a block
    gather_s: Annotated[float, msgspec.Meta(ge=0, le=0.1)] = 0.008  # longest rest between wake-ups, under load


class UdpStatistics(msgspec.Struct, frozen=True):
    """Counters of one socket since it was opened."""

    name: str
    datagrams: int
    octets: int
    blocks: int
    truncated: int  # longer than 65,536 octets; the rest of them is lost
    errors: int
    last_error: str
    kernel_dropped: int | None  # buffer full or checksum wrong; None where the kernel does not tell
    receive_buffer: int  # octets that the kernel grants
    hint: str  # what to do where it grants less than was asked, else empty


class Fetching(Protocol):
    """How datagrams are fetched from a socket."""

    size: int

    def receive(self, descriptor: int) -> int:
        """Fetch without blocking; return how many, or raise `BlockingIOError`."""
        ...

    def take(self, count: int, now_ns: int) -> tuple[Block, int]:
        """Return what was fetched, and how many datagrams were cut off."""
        ...


class SingleReceiving:
    """For systems without recvmmsg: a datagram a call."""

    def __init__(self, sock: socket.socket, size: int) -> None:
        self._socket = sock
        self.size = size
        self._fetched: list[tuple[bytes, list[tuple[int, int, bytes]], int, tuple[str, int]]] = []

    def receive(self, _descriptor: int) -> int:
        """Fetch up to `size` datagrams."""
        self._fetched = []
        try:
            while len(self._fetched) < self.size:
                self._fetched.append(self._socket.recvmsg(65536, 64, socket.MSG_DONTWAIT))
        except OSError:
            if not self._fetched:
                raise
        return len(self._fetched)

    def take(self, count: int, now_ns: int) -> tuple[Block, int]:
        """Return the datagrams as a block."""
        rows = self._fetched[:count]
        lengths = np.array([len(payload) for payload, *_ in rows], np.int64)
        sources = [_words_of_text(name[0]) for *_, name in rows]
        block = Block(
            data=np.frombuffer(b"".join(payload for payload, *_ in rows), np.uint8),
            offset=np.cumsum(lengths) - lengths,
            length=lengths,
            time_ns=np.array([_time_of(controls, now_ns) for _, controls, *_ in rows], np.int64),
            source_high=np.array([high for high, _ in sources], np.uint64),
            source_low=np.array([low for _, low in sources], np.uint64),
            source_port=np.array([name[1] for *_, name in rows], np.int64),
        )
        return block, sum(1 for _, _, flags, _ in rows if flags & socket.MSG_TRUNC)


class UdpReceiver:
    """One socket and its thread; `deliver` gets each block on that thread and must not block for long."""

    def __init__(
        self, sock: socket.socket, deliver: Callable[[Block], object], *, settings: UdpSettings, clock: Clock
    ) -> None:
        self._socket = sock
        self._deliver = deliver
        self._settings = settings
        self._clock = clock
        self._fetching: Fetching = (
            Receiving(settings.block_size) if has_mmsg() else SingleReceiving(sock, settings.block_size)
        )
        self.address: tuple[str, int] = sock.getsockname()[:2]
        self.name = f"udp {_text(self.address)}"
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._stopping = False
        self._closed = threading.Lock()  # held while the socket is asked for numbers, or closed
        self._datagrams = self._octets = self._blocks = self._truncated = self._errors = 0
        self._last_error = ""
        self._kernel_dropped: int | None = 0
        self._receive_buffer = (
            sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
        )  # Linux doubles what it is told
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)

    @property
    def thread(self) -> threading.Thread:
        """The receiving thread, for those who measure its processor time."""
        return self._thread

    def start(self) -> None:
        """Start to receive."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and close the socket; what waits in the kernel is lost. Can be called again."""
        self._stopping = True
        with self._closed:
            if self._socket.fileno() < 0:
                return
            os.eventfd_write(self._wake, 1)
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()
        self.statistics()
        with self._closed:
            if self._socket.fileno() >= 0:
                self._socket.close()
                os.close(self._wake)

    def statistics(self) -> UdpStatistics:
        """Return the counters; after `stop` those of the end."""
        with self._closed:
            if self._socket.fileno() >= 0:
                self._kernel_dropped = kernel_drops(self._socket, self._kernel_dropped)
        return UdpStatistics(
            name=self.name,
            datagrams=self._datagrams,
            octets=self._octets,
            blocks=self._blocks,
            truncated=self._truncated,
            errors=self._errors,
            last_error=self._last_error,
            kernel_dropped=self._kernel_dropped,
            receive_buffer=self._receive_buffer,
            hint=_buffer_hint(self._settings.receive_buffer, self._receive_buffer),
        )

    def _run(self) -> None:
        descriptor = self._socket.fileno()
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        poller.register(self._wake, select.POLLIN)
        rest = 0.0
        while not self._stopping:
            try:
                count = self._fetching.receive(descriptor)
            except (BlockingIOError, InterruptedError):
                poller.poll()
                continue
            except OSError as error:
                self._errors += 1
                self._last_error = str(error)
                self._clock.sleep(_ERROR_REST_S)
                continue
            if count:
                self._hand_on(count)
            rest = next_rest(rest, count, self._settings.gather_s)
            if count < self._fetching.size:
                self._clock.sleep(rest)

    def _hand_on(self, count: int) -> None:
        block, truncated = self._fetching.take(count, self._clock.time_ns())
        self._datagrams += count
        self._octets += int(block.length.sum())
        self._blocks += 1
        self._truncated += truncated
        self._deliver(block)


def next_rest(rest: float, count: int, most: float) -> float:
    """Return how long to rest after a look that found `count` datagrams, where the last rest was `rest`; seconds.

    A rest that brings several datagrams is doubled up to `most`, one that brings none or one is halved.
    """
    if count > _MANY:
        rest *= 2
    elif count <= 1:
        rest /= 2
    return min(max(rest, _LEAST_REST_S), most)


def open_sockets(settings: UdpSettings) -> list[socket.socket]:
    """Open and bind `workers` sockets on one port; `SourceError` says what to do where that cannot be."""
    first = _open(settings, settings.port, shared=False)
    sockets = [first]
    if settings.workers > 1:
        # Set after the first bind: a second program on the same port is refused and does not take half of the traffic.
        first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        for _ in range(settings.workers - 1):
            sockets.append(_open(settings, first.getsockname()[1], shared=True))  # noqa: PERF401 - kept for closing on error
    except SourceError:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _open(settings: UdpSettings, port: int, *, shared: bool) -> socket.socket:
    name = f"udp {_text((settings.host or '*', port))}"
    try:
        sock = _socket_for(settings.host)
    except OSError as error:
        raise SourceError(name, _advice(error, settings)) from error
    try:
        grow_buffer(sock, settings.receive_buffer)
        with contextlib.suppress(OSError):  # without it, times are those of the receiving thread
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(_bind_address(settings.host, port, sock.family))
    except OSError as error:
        sock.close()
        raise SourceError(name, _advice(error, settings)) from error
    return sock


def _socket_for(host: str) -> socket.socket:
    if host:
        family = socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)[0][0]
        return socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    except OSError:  # IPv6 is not compiled in
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    return sock


def _bind_address(host: str, port: int, family: int) -> tuple[str, int] | tuple[str, int, int, int]:
    if not host:
        return ("::" if family == socket.AF_INET6 else "0.0.0.0"), port  # noqa: S104 - a collector listens to switches
    return socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)[0][4]  # type: ignore[return-value]  # typeshed allows for builds without IPv6


def _buffer_hint(asked: int, granted: int) -> str:
    if granted >= asked:
        return ""
    return (
        f"the kernel grants {granted} of {asked} octets of receive buffer; "
        f"sysctl -w net.core.rmem_max={asked}, or give the program CAP_NET_ADMIN"
    )


def _advice(error: OSError, settings: UdpSettings) -> str:
    if isinstance(error, socket.gaierror):
        return f"{settings.host!r} is not an address; give an IPv4 or IPv6 address of this machine, or none for all"
    if error.errno == errno.EADDRINUSE:
        return (
            f"the port is in use: stop the other program (ss -ulpn 'sport = :{settings.port}') or choose another port"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return "this machine does not have the address (ip address show); leave it out to listen on all"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return "no permission: choose a port from 1024 up, or give the program CAP_NET_BIND_SERVICE"
    return error.strerror or str(error)


def _text(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _time_of(controls: list[tuple[int, int, bytes]], now_ns: int) -> int:
    for _level, kind, raw in controls:
        if kind == SO_TIMESTAMPNS and len(raw) >= 16:
            seconds, nanoseconds = struct.unpack_from("=qq", raw)
            return int(seconds) * 1_000_000_000 + int(nanoseconds)
    return now_ns


def _words_of_text(host: str) -> tuple[int, int]:
    if ":" not in host:
        return 0, MAPPED | int.from_bytes(socket.inet_aton(host), "big")
    raw = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    return int.from_bytes(raw[:8], "big"), int.from_bytes(raw[8:], "big")
