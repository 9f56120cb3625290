"""Packets that rules log to user space (nfnetlink_log): one netlink message to one row, and how a group is joined.

In go the octets of a message; out comes a row. Integers are big-endian here. No attribute tells a packet's length: where
the copy was cut, the IP header does. The rate is told by the rule's prefix, `N=400 ` for one in 400, or is 0. Where the
MAC header stands apart (L2HDR, HWHEADER) the row points to it; at the netdev egress hook the payload begins with it.

Answers for: linux/netfilter/nfnetlink_log.h, linux/netfilter.h (hooks, families), RFC 791 and RFC 8200 (lengths).
"""

from __future__ import annotations

import struct

from tidegate.kernel import I64, U8, inline
from tidegate.octets import be16, be32, be64, ne16
from tidegate.wire.netlink.message import attribute
from tidegate.wire.netlink.rows import Row, Told

__all__ = ["CONFIG", "NFLOG", "bind_body", "fill_nflog", "unbind_body"]

NFLOG = 4 << 8  # subsystem ULOG, packet message
CONFIG = NFLOG | 1

_GROUP, _SEQUENCE, _INPUT, _OUTPUT = int(Row.GROUP), int(Row.SEQUENCE), int(Row.INPUT), int(Row.OUTPUT)
_NARROW, _EGRESS, _RATE, _LENGTH = int(Row.NARROW), int(Row.EGRESS), int(Row.RATE), int(Row.LENGTH)
_PROTOCOL, _TIME, _TAG = int(Row.PROTOCOL), int(Row.TIME), int(Row.TAG)
_MAC, _MAC_LENGTH = int(Row.MAC), int(Row.MAC_LENGTH)
_DATA, _DATA_LENGTH, _LAYER = int(Row.DATA), int(Row.DATA_LENGTH), int(Row.LAYER)
_SAMPLES, _BROKEN, _INCOMPLETE = int(Told.SAMPLES), int(Told.BROKEN), int(Told.INCOMPLETE)

_NETDEV = 5  # NFPROTO_NETDEV, whose hooks are 0 ingress, 1 egress
_OUTPUT_HOOK, _POSTROUTING = 3, 4  # of the others
_ETHERNET, _LOOPBACK = 1, 772  # ARPHRD numbers of devices whose header is Ethernet's
_IPV4, _IPV6 = 0x0800, 0x86DD
_MAC_OCTETS = 14
_RATE_DIGITS = 10


def bind_body(group: int, *, copy: int, at_once: int) -> bytes:
    """Return the body of a CONFIG request that joins a group.

    `copy` is octets of a packet, `at_once` how many packets the kernel may hold back, a twentieth of a second at most.
    """
    header = struct.pack(">BBH", 0, 0, group)
    bind = attribute(1, b"\1")
    mode = attribute(2, struct.pack(">IBx", copy, 2))  # copy packets
    timeout = attribute(4, struct.pack(">I", 5))  # hundredths of a second
    threshold = attribute(5, struct.pack(">I", at_once))
    return header + bind + mode + timeout + threshold + attribute(6, struct.pack(">H", 1))  # with SEQ


def unbind_body(group: int) -> bytes:
    """Return the body of a CONFIG request that leaves a group."""
    return struct.pack(">BBH", 0, 0, group) + attribute(1, b"\2")


@inline
def _stated_rate(data: U8, at: int, end: int) -> int:
    """Return N of a prefix that begins with `N=` and a number; 0 where there is none that is one."""
    if end - at < 3 or data[at] != 78 or data[at + 1] != 61:
        return 0
    rate = digits = 0
    at += 2
    while at < end and 48 <= data[at] <= 57:
        rate = rate * 10 + (int(data[at]) - 48)
        digits += 1
        at += 1
        if digits > _RATE_DIGITS:
            return 0
    return rate if rate <= 0xFFFFFFFF else 0


@inline
def _packet_octets(data: U8, at: int, captured: int, protocol: int) -> int:
    """Return the octets of a packet of which `captured` are there: what its IP header says, where that is more."""
    told = 0
    if protocol == _IPV4 and captured >= 4:
        told = be16(data, at + 2)
    elif protocol == _IPV6 and captured >= 6 and be16(data, at + 4):
        told = be16(data, at + 4) + 40
    return max(told, captured)


@inline
def _tag(data: U8, at: int, end: int) -> int:
    """Return TPID << 16 | TCI of the nested VLAN attribute, -1 where it is not whole."""
    tpid = tci = -1
    while at + 4 <= end:
        length, kind = ne16(data, at), ne16(data, at + 2) & 0x3FFF
        if length < 4 or at + length > end:
            return -1
        if length == 6 and kind == 1:
            tpid = be16(data, at + 4)
        elif length == 6 and kind == 2:
            tci = be16(data, at + 4)
        at += (length + 3) & ~3
    return tpid << 16 | tci if tpid >= 0 and tci >= 0 else -1


@inline
def fill_nflog(data: U8, at: int, end: int, rows: I64, row: int) -> int:
    """Fill a row from a message whose nfgenmsg stands at an octet; return a member of Told."""
    if end - at < 4:
        return _BROKEN
    rows[row, :] = -1
    rows[row, _NARROW] = rows[row, _RATE] = rows[row, _MAC_LENGTH] = 0
    family = int(data[at])
    rows[row, _GROUP] = be16(data, at + 2)
    hook = link = -1
    has_link_header = False
    at += 4
    while at + 4 <= end:
        length, kind = ne16(data, at), ne16(data, at + 2) & 0x3FFF
        if length < 4 or at + length > end:
            return _BROKEN
        value, size = at + 4, length - 4
        if kind == 1 and size >= 3:
            rows[row, _PROTOCOL] = be16(data, value)
            hook = int(data[value + 2])
        elif kind == 3 and size == 16:
            rows[row, _TIME] = be32(data, value + 4) * 1_000_000_000 + int(be64(data, value + 8)) % 1_000_000 * 1000
        elif kind in (4, 6) and size == 4:  # the bridge port (6) says more than the bridge
            if kind == 6 or rows[row, _INPUT] < 0:
                rows[row, _INPUT] = be32(data, value)
        elif kind in (5, 7) and size == 4:
            if kind == 7 or rows[row, _OUTPUT] < 0:
                rows[row, _OUTPUT] = be32(data, value)
        elif kind == 9:
            rows[row, _DATA] = value
            rows[row, _DATA_LENGTH] = size
        elif kind == 10:
            rows[row, _RATE] = _stated_rate(data, value, value + size)
        elif kind == 12 and size == 4:
            rows[row, _SEQUENCE] = be32(data, value)
        elif kind == 15 and size == 2:
            link = be16(data, value)
        elif kind == 16 and size == _MAC_OCTETS and not has_link_header:
            rows[row, _MAC] = value
            rows[row, _MAC_LENGTH] = size
        elif kind == 20:
            rows[row, _TAG] = _tag(data, value, value + size)
        elif kind == 21 and size == _MAC_OCTETS:
            rows[row, _MAC] = value
            rows[row, _MAC_LENGTH] = size
            has_link_header = True
        at += (length + 3) & ~3
    if rows[row, _DATA] < 0 or hook < 0:
        return _INCOMPLETE
    _place_header(rows, row, family == _NETDEV and hook == 1, has_link_header or link in (_ETHERNET, _LOOPBACK))
    if family == _NETDEV:
        rows[row, _EGRESS] = hook
    else:
        rows[row, _EGRESS] = 1 if hook in (_OUTPUT_HOOK, _POSTROUTING) else 0
    mac = _MAC_OCTETS if rows[row, _LAYER] == 2 else 0
    inside = mac - rows[row, _MAC_LENGTH]  # octets of the MAC header that are part of the payload
    captured = rows[row, _DATA_LENGTH] - inside
    if captured < 0:
        return _INCOMPLETE
    rows[row, _LENGTH] = mac + _packet_octets(data, rows[row, _DATA] + inside, captured, rows[row, _PROTOCOL])
    return _SAMPLES


@inline
def _place_header(rows: I64, row: int, is_whole: bool, has_mac: bool) -> None:  # noqa: FBT001 - numba knows no keyword-only arguments
    """Decide where the MAC header is: before the payload, in it, or nowhere."""
    if is_whole or not has_mac or rows[row, _MAC] < 0:
        rows[row, _MAC], rows[row, _MAC_LENGTH] = -1, 0
        rows[row, _LAYER] = 2 if is_whole else 3
    else:
        rows[row, _LAYER] = 2
