"""Packets that were sampled, whichever way the kernel told of them: a row a packet, that points to its octets."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from tidegate.kernel import I64, U8

__all__ = ["Packets", "Row"]


class Row(IntEnum):
    """Columns of a sampled packet's row, 64-bit integers; -1 where it was not told."""

    GROUP = 0  # what `SEQUENCE` counts in
    SEQUENCE = 1
    INPUT = 2  # ifIndex
    OUTPUT = 3  # ifIndex
    NARROW = 4  # bit 0: INPUT is the low 16 bits of its own, bit 1: OUTPUT is
    EGRESS = 5  # 1: sampled on the way out, 0: on the way in
    RATE = 6  # 1 in so many packets; 0: not told
    LENGTH = 7  # octets of the frame, without its FCS, or of the packet where there is no MAC header
    PROTOCOL = 8  # EtherType
    TIME = 9  # nanoseconds since 1970 UTC
    QUEUE = 10  # number of the output queue
    OCCUPANCY = 11  # octets in it
    DELAY = 12  # nanoseconds the packet spent in the device
    TUNNEL = 13  # first octet of the attributes of the tunnel, and where they end
    TUNNEL_END = 14
    TAG = 15  # TPID << 16 | TCI of the VLAN tag that was taken off
    MAC = 16  # first octet of a MAC header that stands apart, and its octets
    MAC_LENGTH = 17
    DATA = 18  # first octet of the packet, and how many there are
    DATA_LENGTH = 19
    LAYER = 20  # of the packet's first octet: 2 a MAC header, 3 a network header


class Packets(msgspec.Struct, frozen=True, eq=False):
    """A batch of sampled packets: rows (`count` of them count, Row) that point to octets."""

    data: U8
    rows: I64
    count: int
