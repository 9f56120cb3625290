"""Network interfaces: what is asked of the kernel, and what its messages say of each.

In go RTM_NEWLINK, RTM_DELLINK and RTM_NEWSTATS messages; out come links with their counters, and bodies of requests.
Messages of an interface's bridge side and the scraps that wireless extensions send under the same type are no links:
readers return None for them. What an interface is to sFlow is not asked here.

Answers for: rtnetlink(7), linux/if_link.h, linux/if_bonding.h (AD information, BOND_XSTATS_3AD).
"""

from __future__ import annotations

import struct
from enum import IntEnum, IntFlag

import msgspec

from tidegate.errors import DecodeError
from tidegate.wire.netlink.message import Message, first_attributes, text_of, uint_of

__all__ = [
    "AGGREGATES",
    "BondInfo",
    "BondMember",
    "LacpCounters",
    "Link",
    "LinkFlags",
    "LinkGone",
    "LinkMessage",
    "Stats",
    "lacp_body",
    "link_body",
    "links_body",
    "read_lacp",
    "read_link",
    "read_link_change",
]

AGGREGATES = frozenset({"bond", "team"})  # kinds of masters that are one port made of several
_HEADER = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, change
_STATS_HEADER = struct.Struct("=BxxxII")  # if_stats_msg: family, index, filter
_LACP_FILTER = 1 << 1 | 1 << 2  # IFLA_STATS_LINK_XSTATS of a bond, IFLA_STATS_LINK_XSTATS_SLAVE of a member


class LinkMessage(IntEnum):
    """Message types of rtnetlink that are about interfaces."""

    NEWLINK = 16
    DELLINK = 17
    GETLINK = 18
    NEWSTATS = 92
    GETSTATS = 94


class LinkFlags(IntFlag):
    """The flags of an interface that are looked at."""

    UP = 0x1  # by the administrator
    LOOPBACK = 0x8
    RUNNING = 0x40  # operational: RFC 2863 state up, or unknown with a carrier
    PROMISC = 0x100


class Stats(msgspec.Struct, frozen=True):
    """Counters of an interface (rtnl_link_stats64), in the kernel's order; those that it does not have yet are 0."""

    rx_packets: int = 0
    tx_packets: int = 0
    rx_bytes: int = 0
    tx_bytes: int = 0
    rx_errors: int = 0
    tx_errors: int = 0
    rx_dropped: int = 0
    tx_dropped: int = 0
    multicast: int = 0
    collisions: int = 0
    rx_length_errors: int = 0
    rx_over_errors: int = 0
    rx_crc_errors: int = 0
    rx_frame_errors: int = 0
    rx_fifo_errors: int = 0
    rx_missed_errors: int = 0
    tx_aborted_errors: int = 0
    tx_carrier_errors: int = 0
    tx_fifo_errors: int = 0
    tx_heartbeat_errors: int = 0
    tx_window_errors: int = 0
    rx_compressed: int = 0
    tx_compressed: int = 0
    rx_nohandler: int = 0
    rx_otherhost_dropped: int = 0


class BondMember(msgspec.Struct, frozen=True):
    """What a bond says of one member; the last three are 0 unless it runs 802.3ad."""

    active: bool = True
    link_up: bool = True
    aggregator: int = 0
    actor_state: int = 0  # LACP_STATE bits, operational
    partner_state: int = 0


class BondInfo(msgspec.Struct, frozen=True):
    """What a bond says of itself; MAC addresses are empty where it does not tell them."""

    mode: int = 0
    actor_system: bytes = b""  # as configured; told to CAP_NET_ADMIN only
    partner: bytes = b""  # of the active aggregator, as is the next
    aggregator: int = 0


class Link(msgspec.Struct, frozen=True):
    """One interface; an index of 0 means none."""

    index: int
    name: str
    type: int = 1  # ARPHRD
    flags: int = 0
    address: bytes = b""
    master: int = 0
    master_kind: str = ""
    lower: int = 0  # what it stands on, or a veth's other end, where that is in this namespace
    kind: str = ""  # of virtual interfaces: vlan, bond, veth, …
    operstate: int = 0
    promiscuity: int = 0
    stats: Stats | None = None
    member: BondMember | None = None
    bond: BondInfo | None = None

    @property
    def up(self) -> bool:
        """Whether the administrator wants it up."""
        return bool(self.flags & LinkFlags.UP)

    @property
    def running(self) -> bool:
        """Whether it is operational."""
        return bool(self.flags & LinkFlags.RUNNING)


class LinkGone(msgspec.Struct, frozen=True):
    """An interface that does not exist (here) any more."""

    index: int
    name: str


class LacpCounters(msgspec.Struct, frozen=True):
    """PDUs of a bond in 802.3ad mode or of one member, since it was made or joined (BOND_XSTATS_3AD)."""

    lacpdu_rx: int = 0
    lacpdu_tx: int = 0
    lacpdu_unknown_rx: int = 0
    lacpdu_illegal_rx: int = 0
    marker_rx: int = 0
    marker_tx: int = 0
    marker_response_rx: int = 0
    marker_response_tx: int = 0
    marker_unknown_rx: int = 0


def links_body() -> bytes:
    """Return the body of a dump request (GETLINK) for all interfaces."""
    return _HEADER.pack(0, 0, 0, 0, 0)


def link_body(index: int) -> bytes:
    """Return the body of a request (GETLINK) for one interface."""
    return _HEADER.pack(0, 0, index, 0, 0)


def lacp_body(index: int) -> bytes:
    """Return the body of a request (GETSTATS) for the PDUs of a bond or of a member of one."""
    return _STATS_HEADER.pack(0, index, _LACP_FILTER)


def read_link(message: Message, *, stats: bool = True) -> Link | None:
    """Return the interface that a NEWLINK message describes, None where it describes none; `DecodeError`.

    Without its counters it equals itself as long as nothing else changes.
    """
    family, kind, index, flags = _header(message)
    told = first_attributes(message.body, _HEADER.size)
    if family or 3 not in told:
        return None
    info = first_attributes(told.get(18, b""))
    data = first_attributes(info.get(2, b"")) if info.get(1) == b"bond\0" else None
    member = first_attributes(info.get(5, b"")) if info.get(4) == b"bond\0" else None
    return Link(
        index,
        text_of(told[3]),
        kind,
        flags,
        told.get(1, b""),
        uint_of(told.get(10)),
        text_of(info.get(4)),
        0 if 37 in told else uint_of(told.get(5)),  # with IFLA_LINK_NETNSID the index counts in another namespace
        text_of(info.get(1)),
        uint_of(told.get(16)),
        uint_of(told.get(30)),
        _stats(told[23]) if stats and 23 in told else None,
        None if member is None else _member(member),
        None if data is None else _bond(data),
    )


def read_link_change(message: Message) -> Link | LinkGone | None:
    """Return what a message of the link group tells, None where it is not about the existence of an interface.

    A DELLINK of the bridge family says that a port left its bridge, not that it is gone.
    """
    if message.type == LinkMessage.NEWLINK:
        return read_link(message)
    if message.type != LinkMessage.DELLINK:
        return None
    family, _, index, _ = _header(message)
    told = first_attributes(message.body, _HEADER.size)
    return None if family or 3 not in told else LinkGone(index, text_of(told[3]))


def read_lacp(message: Message) -> LacpCounters | None:
    """Return the PDUs that a NEWSTATS message tells, None where the interface has no part in 802.3ad; `DecodeError`."""
    if len(message.body) < _STATS_HEADER.size:
        raise DecodeError("truncated interface header", 0)
    told = first_attributes(message.body, _STATS_HEADER.size)
    for kind in (2, 3):
        bond = first_attributes(told.get(kind, b"")).get(2, b"")  # LINK_XSTATS_TYPE_BOND
        counts = first_attributes(first_attributes(bond).get(1, b""))
        if counts:
            return LacpCounters(*(uint_of(counts.get(number)) for number in range(9)))  # from 0, as few others do
    return None


def _header(message: Message) -> tuple[int, int, int, int]:
    if len(message.body) < _HEADER.size:
        raise DecodeError("truncated interface header", 0)
    family, kind, index, flags, _ = _HEADER.unpack_from(message.body)
    return family, kind, index, flags


def _stats(value: bytes) -> Stats:
    count = min(len(value) // 8, 25)
    return Stats(*struct.unpack_from(f"={count}Q", value))


def _member(told: dict[int, bytes]) -> BondMember:
    return BondMember(
        active=uint_of(told.get(1)) == 0,  # BOND_STATE_ACTIVE
        link_up=uint_of(told.get(2)) == 0,  # BOND_LINK_UP
        aggregator=uint_of(told.get(6)),
        actor_state=uint_of(told.get(7)),
        partner_state=uint_of(told.get(8)),
    )


def _bond(told: dict[int, bytes]) -> BondInfo:
    info = first_attributes(told.get(23, b""))
    return BondInfo(uint_of(told.get(1)), told.get(26, b""), info.get(5, b""), uint_of(info.get(1)))
