"""Sending datagrams to collectors: a socket each, which never waits.

A collector that cannot be reached costs the others nothing: what could not be sent is counted and gone, as UDP has it.
Names are looked up when a socket is opened, on a thread, for a silent name server can take half a minute; a socket that
failed is opened again after some seconds.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import threading
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from tidegate.data.block import Block
from tidegate.io.clock import Clock
from tidegate.io.mmsg import Sending

__all__ = ["CollectorSocket", "CollectorStatistics", "Collectors", "Target"]

_LOG = logging.getLogger(__name__)
_AGAIN_NS = 7_000_000_000
_QUIET_NS = 60_000_000_000  # without an error: one datagram that was taken says nothing, for refusals are rate-limited
_SEND_BUFFER = 2 << 20
_SO_BINDTODEVICE = 25
_LONGEST_NAME = 15  # of an interface; the kernel cuts what is longer

_Found = tuple[Any, Any, Any, Any, Any]  # family, type, protocol, canonical name, address: as getaddrinfo has them


class Target(msgspec.Struct, frozen=True):
    """Where datagrams go: an address or a name, and what to send from and through where routing is not to decide."""

    address: str
    port: int = 6343
    local_address: str = ""
    interface: str = ""

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


class CollectorStatistics(msgspec.Struct, frozen=True):
    """Counters of one collector since the start."""

    target: str
    datagrams: int
    octets: int
    dropped: int  # datagrams that could not be sent
    problem: str  # what is wrong now, else empty


class CollectorSocket:
    """One collector. Nothing raises: `problem` says what is wrong."""

    def __init__(self, target: Target, clock: Clock) -> None:
        self.target = target
        self._clock = clock
        self._socket: socket.socket | None = None
        self._opened_ns = -_AGAIN_NS
        self._wrong_ns = -_QUIET_NS
        self._sending = Sending()
        self._lookup: _Lookup | None = None
        self.datagrams = self.octets = self.dropped = 0
        self.problem = ""

    @property
    def is_looked_up(self) -> bool:
        """Whether its name is with a name server just now; that is no news to anybody."""
        return self._lookup is not None

    def send(self, blocks: Sequence[Block]) -> None:
        """Send what can be sent now."""
        for block in blocks:
            self._send(block)

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def statistics(self) -> CollectorStatistics:
        """Return the counters."""
        return CollectorStatistics(str(self.target), self.datagrams, self.octets, self.dropped, self.problem)

    def _send(self, block: Block) -> None:
        first, tries = 0, 0
        while first < len(block):
            sock = self._socket or self._open()
            if sock is None:
                break
            try:
                sent = self._sending.send(sock.fileno(), block, first=first)
            except BlockingIOError:
                self.problem = "the send buffer is full"
                break
            except OSError as error:
                # The first error may be about a datagram before these: a refusal that came back by ICMP.
                self.problem = error.strerror or str(error)
                self._wrong_ns = self._clock.monotonic_ns()
                tries += 1
                if error.errno == errno.ECONNREFUSED and tries == 1:
                    continue
                if error.errno != errno.ECONNREFUSED:
                    self.close()
                break
            self.datagrams += sent
            self.octets += int(block.length[first : first + sent].sum())
            first += sent
            if not tries and self.problem and self._clock.monotonic_ns() - self._wrong_ns >= _QUIET_NS:
                self.problem = ""
        self.dropped += len(block) - first

    def _open(self) -> socket.socket | None:
        if self._lookup is None:
            now_ns = self._clock.monotonic_ns()
            if now_ns - self._opened_ns < _AGAIN_NS:
                return None
            self._opened_ns = now_ns
            self._lookup = _Lookup(self.target)
        if not self._lookup.done():
            self.problem = f"{self.target.address} is being looked up"
            return None
        lookup, self._lookup = self._lookup, None
        try:
            self._socket = _connected(self.target, lookup.result())
        except OSError as error:
            self.problem = _reason(error, self.target)
            return None
        self.problem = ""
        return self._socket


class Collectors:
    """All collectors; what becomes of each is logged when it changes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sockets: list[CollectorSocket] = []
        self._told: dict[Target, str] = {}

    def update(self, targets: Iterable[Target]) -> None:
        """Send to these from now on; sockets and counts of those that stay go on."""
        before = {one.target: one for one in self._sockets}
        self._sockets = [
            before.pop(target) if target in before else CollectorSocket(target, self._clock)
            for target in dict.fromkeys(targets)
        ]
        for one in before.values():
            self._told.pop(one.target, None)
            one.close()

    def send(self, blocks: Sequence[Block]) -> None:
        """Send datagrams to each."""
        for one in self._sockets:
            one.send(blocks)
            if one.problem != self._told.get(one.target, "") and not one.is_looked_up:
                self._told[one.target] = one.problem
                _LOG.warning("collector %s: %s", one.target, one.problem or "reachable again")

    def statistics(self) -> list[CollectorStatistics]:
        """Return the counters of each."""
        return [one.statistics() for one in self._sockets]

    def close(self) -> None:
        """Close all sockets."""
        for one in self._sockets:
            one.close()


class _Lookup:
    """The addresses of a target: at once where it has one, else as soon as a name server has answered."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._found: list[_Found] = []
        self._error: OSError | None = None
        self._thread: threading.Thread | None = None
        self._ask(socket.AI_NUMERICHOST)
        if isinstance(self._error, socket.gaierror):
            self._thread = threading.Thread(target=self._ask, args=(0,), name=f"look up {target.address}", daemon=True)
            self._thread.start()

    def done(self) -> bool:
        return self._thread is None or not self._thread.is_alive()

    def result(self) -> list[_Found]:
        if self._error is not None:
            raise self._error
        return self._found

    def _ask(self, flags: int) -> None:
        try:
            self._found = socket.getaddrinfo(
                self._target.address, self._target.port, type=socket.SOCK_DGRAM, flags=flags
            )
        except OSError as error:
            self._error = error
        except ValueError:  # its codec refuses it
            self._error = socket.gaierror(socket.EAI_NONAME, "no name is like this")
        else:
            self._error = None


def _connected(target: Target, found: list[_Found]) -> socket.socket:
    """Return a socket to the first of the addresses that can be sent to."""
    local = _local(target.local_address) if target.local_address else None
    error = OSError(
        errno.EAFNOSUPPORT, f"{target.local_address} cannot send to {target.address}: one is IPv4, the other IPv6"
    )
    for family, _, _, _, address in found:
        if local is not None and family != local[0]:
            continue
        sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
            if target.interface:
                _bind_to_interface(sock, target.interface)
            if local is not None:
                sock.bind(local[4])
            sock.connect(address)
        except OSError as failed:
            sock.close()
            error = failed
            continue
        return sock
    raise error


def _local(address: str) -> _Found:
    """Return the address to send from; a name is none, for its look-up would keep us waiting."""
    try:
        return socket.getaddrinfo(address, 0, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)[0]
    except (socket.gaierror, ValueError):
        raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL)) from None


def _bind_to_interface(sock: socket.socket, name: str) -> None:
    octets = os.fsencode(name)
    if len(octets) > _LONGEST_NAME:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
    sock.setsockopt(socket.SOL_SOCKET, _SO_BINDTODEVICE, octets + b"\0")


def _reason(error: OSError, target: Target) -> str:
    if isinstance(error, socket.gaierror):
        return f"{target.address} cannot be looked up: {error.strerror}"
    if error.errno == errno.ENODEV:
        return f"there is no interface {target.interface}"
    if error.errno == errno.EADDRNOTAVAIL and target.local_address:
        return f"{target.local_address} is no address of this machine"
    if error.errno == errno.EPERM and target.interface:
        return f"sending through {target.interface} needs CAP_NET_RAW"
    return error.strerror or str(error)
