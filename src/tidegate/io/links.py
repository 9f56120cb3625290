"""The interfaces of this network namespace, asked of the kernel: links, addresses, speeds, statistics, changes.

Interfaces come and go while they are read: one that is gone is None, and what a driver cannot tell is unknown.
`OSError` only where the kernel has no rtnetlink or a request for all of something fails.
"""

from __future__ import annotations

import errno
import socket
from pathlib import Path

import msgspec

from tidegate.io.netlink import GENERIC, ROUTE, Netlink, find_family
from tidegate.wire.netlink import ethtool
from tidegate.wire.netlink.ethtool import Duplex, EthernetStats, LinkMode
from tidegate.wire.netlink.ifaddr import AddressMessage, InterfaceAddress, addresses_body, read_address
from tidegate.wire.netlink.link import (
    LacpCounters,
    Link,
    LinkGone,
    LinkMessage,
    lacp_body,
    link_body,
    links_body,
    read_lacp,
    read_link,
    read_link_change,
)
from tidegate.wire.netlink.message import Message, split_messages

__all__ = ["Changes", "LinkChanges", "Links"]

_GROUPS = 0x1 | 0x10 | 0x100  # RTMGRP_LINK, _IPV4_IFADDR, _IPV6_IFADDR
_ROOM = 1 << 16
_BUFFER = 1 << 20  # some hundreds of interfaces that change at once
_MOST_READS = 1000  # of one call: a storm of changes does not keep its reader from all else
_SYSFS = Path("/sys/class/net")


class Links:
    """What is asked."""

    def __init__(self, *, sysfs: Path = _SYSFS) -> None:
        self._route = Netlink(ROUTE)
        self._generic = Netlink(GENERIC)
        self._sysfs = sysfs
        family = find_family(self._generic, ethtool.FAMILY)
        self._ethtool = family.id if family else None

    def close(self) -> None:
        """Close the sockets."""
        self._route.close()
        self._generic.close()

    def all(self, *, stats: bool = True) -> tuple[Link, ...]:
        """Return all interfaces, with their counters or without."""
        messages = self._route.dump(LinkMessage.GETLINK, links_body())
        found = (read_link(one, stats=stats) for one in messages if one.type == LinkMessage.NEWLINK)
        return tuple(link for link in found if link is not None)

    def one(self, index: int) -> Link | None:
        """Return one interface, None where it is gone."""
        try:
            messages = self._route.do(LinkMessage.GETLINK, link_body(index))
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise
            return None
        return read_link(messages[0]) if messages else None

    def addresses(self) -> tuple[InterfaceAddress, ...]:
        """Return the addresses of all interfaces."""
        messages = self._route.dump(AddressMessage.GETADDR, addresses_body())
        found = (read_address(one) for one in messages if one.type == AddressMessage.NEWADDR)
        return tuple(address for address in found if address is not None)

    def lacp(self, index: int) -> LacpCounters | None:
        """Return the LACP PDUs of a bond or of a member, None where it has no part in 802.3ad."""
        messages = _answers(self._route, LinkMessage.GETSTATS, lacp_body(index))
        return read_lacp(messages[0]) if messages else None

    def mode(self, link: Link) -> LinkMode:
        """Return speed and duplex of one interface; unknown where nobody knows."""
        if self._ethtool is not None:
            messages = _answers(self._generic, self._ethtool, ethtool.link_modes_body(link.index))
            return ethtool.read_link_mode(messages[0])[1] if messages else LinkMode()
        return _sysfs_mode(self._sysfs / link.name)

    def modes(self) -> dict[int, LinkMode]:
        """Return speed and duplex of all interfaces that know them, by index."""
        try:
            if self._ethtool is not None:
                return dict(map(ethtool.read_link_mode, self._generic.dump(self._ethtool, ethtool.link_modes_body())))
        except OSError:  # a driver that fails in its own way ends the dump for all
            pass
        return {link.index: self.mode(link) for link in self.all()}

    def ethernet_stats(self, index: int) -> EthernetStats | None:
        """Return the standard statistics of one interface, None where its driver has none."""
        if self._ethtool is None:
            return None
        messages = _answers(self._generic, self._ethtool, ethtool.stats_body(index))
        return ethtool.read_stats(messages[0])[1] if messages else None


class Changes(msgspec.Struct, frozen=True):
    """What changed since the last reading, in order; where `lost`, some of it is missing: read everything again."""

    links: tuple[Link | LinkGone, ...] = ()
    addresses: bool = False  # some came or went
    lost: bool = False


class LinkChanges:
    """What the kernel tells of changes. Open it before the first reading, so that none is missed."""

    def __init__(self, *, buffer: int = _BUFFER) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_NETLINK, kind, ROUTE)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self._socket.bind((0, _GROUPS))

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def fileno(self) -> int:
        """Return the descriptor that is readable when something changed."""
        return self._socket.fileno()

    def changes(self) -> Changes:
        """Return what changed; nothing where nothing did. Does not wait."""
        links: list[Link | LinkGone] = []
        addresses = lost = False
        for _ in range(_MOST_READS):
            try:
                data, sender = self._socket.recvfrom(_ROOM)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                lost = True
                continue
            if sender[0]:  # a program's, not the kernel's
                continue
            for message in split_messages(data):
                change = read_link_change(message)
                links += [] if change is None else [change]
                addresses |= message.type in {AddressMessage.NEWADDR, AddressMessage.DELADDR}
        return Changes(tuple(links), addresses, lost)


def _answers(netlink: Netlink, kind: int, body: bytes) -> list[Message]:
    """Return what is answered of one interface: nothing where it is gone or its driver cannot tell."""
    try:
        return netlink.do(kind, body)
    except OSError:
        return []


def _sysfs_mode(folder: Path) -> LinkMode:
    speed = _read(folder / "speed")  # Mbit/s; -1 or an error where it is unknown
    duplex = {"full": Duplex.FULL, "half": Duplex.HALF}.get(_read(folder / "duplex"), Duplex.UNKNOWN)
    return LinkMode(int(speed) * 1_000_000 if speed.isdecimal() and len(speed) < 10 else 0, duplex)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
