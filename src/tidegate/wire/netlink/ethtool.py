"""The generic netlink family `ethtool`: speed and duplex of ports, and the standard statistics of their drivers.

In go answers, out come link modes and statistics; and bodies of requests. A number that a driver does not have is None.
A dump answers for all interfaces that can tell; a request for one that cannot is refused (EOPNOTSUPP).

Answers for: Documentation/networking/ethtool-netlink.rst (LINKMODES_GET since Linux 5.6, STATS_GET since 5.13).
"""

from __future__ import annotations

import struct
from enum import IntEnum

import msgspec

from tidegate.errors import DecodeError
from tidegate.wire.netlink.genl import genl_body
from tidegate.wire.netlink.message import Message, attribute, attributes, first_attributes, nested, uint_of

__all__ = [
    "FAMILY",
    "Duplex",
    "EthernetStats",
    "LinkMode",
    "link_modes_body",
    "read_link_mode",
    "read_stats",
    "stats_body",
]

FAMILY = "ethtool"
_VERSION = 1
_LINKMODES_GET, _STATS_GET = 4, 32
_HEADER = 4  # octets of the generic netlink header
_COMPACT = 1  # ETHTOOL_FLAG_COMPACT_BITSETS: the names of modes are not read
_MOST = (1 << 31) - 1  # above: SPEED_UNKNOWN


class Duplex(IntEnum):
    """How a port sends, by the numbers of sFlow's ifDirection."""

    UNKNOWN = 0
    FULL = 1
    HALF = 2


class LinkMode(msgspec.Struct, frozen=True):
    """Speed in bit/s (0 unknown) and duplex of a port."""

    speed: int = 0
    duplex: Duplex = Duplex.UNKNOWN


class EthernetStats(msgspec.Struct, frozen=True):
    """Standard statistics of a port's driver: IEEE 802.3 clauses 30.3.1.1 (MAC) and 30.3.2.1 (PHY), RFC 2819 (RMON)."""

    symbol_errors: int | None = None
    frames_sent: int | None = None
    single_collisions: int | None = None
    multiple_collisions: int | None = None
    frames_received: int | None = None
    fcs_errors: int | None = None
    alignment_errors: int | None = None
    octets_sent: int | None = None
    deferred: int | None = None
    late_collisions: int | None = None
    excessive_collisions: int | None = None
    internal_send_errors: int | None = None
    carrier_sense_errors: int | None = None
    octets_received: int | None = None
    internal_receive_errors: int | None = None
    multicast_sent: int | None = None
    broadcast_sent: int | None = None
    excessive_deferrals: int | None = None
    multicast_received: int | None = None
    broadcast_received: int | None = None
    in_range_length_errors: int | None = None
    out_of_range_lengths: int | None = None
    too_long: int | None = None
    undersize: int | None = None
    oversize: int | None = None
    fragments: int | None = None
    jabbers: int | None = None


# By group (ETHTOOL_STATS_ETH_PHY, _ETH_MAC, _RMON), each in the order of its numbers from 0.
_FIELDS = EthernetStats.__struct_fields__
_GROUPS = {0: _FIELDS[:1], 1: _FIELDS[1:23], 3: _FIELDS[23:]}
_ALL_GROUPS = sum(1 << group for group in _GROUPS)


def link_modes_body(index: int = 0) -> bytes:
    """Return the body of a request for the speed and duplex of one interface, or of a dump for all."""
    return genl_body(_LINKMODES_GET, _VERSION, _request_header(1, index))


def stats_body(index: int = 0) -> bytes:
    """Return the body of a request for the standard statistics of one interface, or of a dump for all."""
    groups = nested(
        3, attribute(1, b""), attribute(2, struct.pack("=I", 4)), attribute(4, struct.pack("=I", _ALL_GROUPS))
    )
    return genl_body(_STATS_GET, _VERSION, _request_header(2, index), groups)


def read_link_mode(message: Message) -> tuple[int, LinkMode]:
    """Return index, speed and duplex of the interface that an answer is about; `DecodeError`."""
    told = _told(message)
    speed = uint_of(told.get(5))
    duplex = {0: Duplex.HALF, 1: Duplex.FULL}.get(uint_of(told.get(6), 0xFF), Duplex.UNKNOWN)
    return _index(told.get(1)), LinkMode(speed * 1_000_000 if speed <= _MOST else 0, duplex)


def read_stats(message: Message) -> tuple[int, EthernetStats | None]:
    """Return index and statistics of the interface that an answer is about, None where it has none; `DecodeError`."""
    found: dict[str, int] = {}
    told = _told(message)
    for kind, group in attributes(message.body, _HEADER):
        if kind == 4:
            found |= _group(group)
    return _index(told.get(2)), EthernetStats(**found) if found else None


def _request_header(kind: int, index: int) -> bytes:
    which = attribute(1, struct.pack("=I", index)) if index else b""
    return nested(kind, which, attribute(3, struct.pack("=I", _COMPACT)))


def _told(message: Message) -> dict[int, bytes]:
    if len(message.body) < _HEADER:
        raise DecodeError("truncated generic netlink header", 0)
    return first_attributes(message.body, _HEADER)


def _index(header: bytes | None) -> int:
    return uint_of(first_attributes(header or b"").get(1))


def _group(octets: bytes) -> dict[str, int]:
    names = _GROUPS.get(uint_of(first_attributes(octets).get(2), 1 << 32), ())
    found: dict[str, int] = {}
    for kind, stat in attributes(octets):
        if kind != 4:  # ETHTOOL_A_STATS_GRP_STAT
            continue
        for number, value in attributes(stat):  # types are the numbers of statistics, 0 included; padding is empty
            if value and number < len(names):
                found[names[number]] = uint_of(value)
    return found
