"""Packets that rules log to user space (nfnetlink_log): one netlink message to one row, and how a group is joined.

In go the octets of a message; out comes a row. Integers are big-endian here. No attribute tells a packet's length:
where the copy was cut, the IP header does. The rate is told by the rule's prefix, `N=400 ` for one in 400, or is 0.

Where the MAC header stands apart (L2HDR, HWHEADER) the row points to it. At the netdev egress hook the payload begins
with what L2HDR tells: an Ethernet header, nothing on devices without one (seen on Linux 6.18 with a tun device), or a
tunnel's, which is passed over. Of an attribute that is there twice the last counts.

Answers for: linux/netfilter/nfnetlink_log.h, linux/netfilter.h (hooks, families), RFC 791 and RFC 8200 (lengths).
"""

from __future__ import annotations

import struct

from tidegate.data.sampled import Row
from tidegate.kernel import I64, U8, inline
from tidegate.octets import be8, be16, be32, ne16
from tidegate.wire.netlink.message import attribute
from tidegate.wire.netlink.told import Told

__all__ = ["CONFIG", "NFLOG", "bind_body", "fill_nflog", "unbind_body"]

NFLOG = 4 << 8  # subsystem ULOG, packet message
CONFIG = NFLOG | 1

_GROUP, _SEQUENCE, _INPUT, _OUTPUT = int(Row.GROUP), int(Row.SEQUENCE), int(Row.INPUT), int(Row.OUTPUT)
_NARROW, _EGRESS, _RATE, _LENGTH = int(Row.NARROW), int(Row.EGRESS), int(Row.RATE), int(Row.LENGTH)
_PROTOCOL, _TIME, _TAG = int(Row.PROTOCOL), int(Row.TIME), int(Row.TAG)
_MAC, _MAC_LENGTH = int(Row.MAC), int(Row.MAC_LENGTH)
_DATA, _DATA_LENGTH, _LAYER = int(Row.DATA), int(Row.DATA_LENGTH), int(Row.LAYER)
_SAMPLES, _BROKEN, _INCOMPLETE = int(Told.SAMPLES), int(Told.BROKEN), int(Told.INCOMPLETE)

_NETDEV, _NETDEV_EGRESS = 5, 1  # NFPROTO_NETDEV; its hook 0 is ingress
_OUTPUT_HOOK, _POSTROUTING = 3, 4  # of the others
_ETHERNET, _LOOPBACK = 1, 772  # ARPHRD numbers of devices whose header is Ethernet's
_IPV4, _IPV6 = 0x0800, 0x86DD
_MAC_OCTETS = 14
_RATE_DIGITS = 10
_UNREADABLE = -2


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
        rate = rate * 10 + be8(data, at) - 48
        digits += 1
        at += 1
        if digits > _RATE_DIGITS:
            return 0
    return rate if rate <= 0xFFFFFFFF else 0


@inline
def _packet_octets(data: U8, at: int, captured: int, protocol: int) -> int:
    """Return the octets of a packet of which `captured` are there: what its IP header says, where that is more."""
    told = 0
    if protocol == _IPV4 and captured >= 4 and data[at] >> 4 == 4:
        told = be16(data, at + 2)
    elif protocol == _IPV6 and captured >= 6 and data[at] >> 4 == 6 and be16(data, at + 4):
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
def _read_attributes(data: U8, at: int, end: int, rows: I64, row: int) -> tuple[int, int, int]:
    """Fill a row; return the hook, the link type and the octets of L2HDR, -1 where not told; hook -2: broken."""
    hook = link = header = physical_input = physical_output = -1
    while at + 4 <= end:
        length, kind = ne16(data, at), ne16(data, at + 2) & 0x3FFF
        if length < 4 or at + length > end:
            return _UNREADABLE, link, header
        value, size = at + 4, length - 4
        if kind == 1 and size >= 3:
            rows[row, _PROTOCOL] = be16(data, value)
            hook = be8(data, value + 2)
        elif kind == 3 and size == 16:  # low halves of seconds and microseconds
            rows[row, _TIME] = be32(data, value + 4) * 1_000_000_000 + be32(data, value + 12) % 1_000_000 * 1000
        elif kind == 4 and size == 4:
            rows[row, _INPUT] = be32(data, value)
        elif kind == 5 and size == 4:
            rows[row, _OUTPUT] = be32(data, value)
        elif kind == 6 and size == 4:
            physical_input = be32(data, value)
        elif kind == 7 and size == 4:
            physical_output = be32(data, value)
        elif kind == 9:
            rows[row, _DATA], rows[row, _DATA_LENGTH] = value, size
        elif kind == 10:
            rows[row, _RATE] = _stated_rate(data, value, value + size)
        elif kind == 12 and size == 4:
            rows[row, _SEQUENCE] = be32(data, value)
        elif kind == 15 and size == 2:
            link = be16(data, value)
        elif kind == 16 and size == _MAC_OCTETS and header < 0:
            rows[row, _MAC] = value
        elif kind == 20:
            rows[row, _TAG] = _tag(data, value, value + size)
        elif kind == 21:
            header = size
            rows[row, _MAC] = value
        at += (length + 3) & ~3
    if physical_input >= 0:  # the bridge port says more than the bridge
        rows[row, _INPUT] = physical_input
    if physical_output >= 0:
        rows[row, _OUTPUT] = physical_output
    return hook, link, header


@inline
def fill_nflog(data: U8, at: int, end: int, rows: I64, row: int) -> int:
    """Fill a row from a message whose nfgenmsg stands at an octet; return a member of Told."""
    if end - at < 4:
        return _BROKEN
    rows[row, :] = -1
    rows[row, _NARROW] = rows[row, _RATE] = rows[row, _MAC_LENGTH] = 0
    rows[row, _GROUP] = be16(data, at + 2)
    is_netdev = data[at] == _NETDEV
    hook, link, header = _read_attributes(data, at + 4, end, rows, row)
    if hook == _UNREADABLE:
        return _BROKEN
    if rows[row, _DATA] < 0 or hook < 0:
        return _INCOMPLETE
    apart = inside = 0  # octets of a MAC header in front of the payload, and in it
    if is_netdev and hook == _NETDEV_EGRESS:
        inside = max(header, 0)
    elif rows[row, _MAC] >= 0 and (header == _MAC_OCTETS or (header < 0 and link in (_ETHERNET, _LOOPBACK))):
        apart = _MAC_OCTETS
    if apart == 0:
        rows[row, _MAC] = -1
    rows[row, _MAC_LENGTH] = apart
    captured = rows[row, _DATA_LENGTH] - inside
    if captured < 0:
        return _INCOMPLETE
    octets = _packet_octets(data, rows[row, _DATA] + inside, captured, rows[row, _PROTOCOL])
    if apart + inside == _MAC_OCTETS:
        rows[row, _LAYER], rows[row, _LENGTH] = 2, _MAC_OCTETS + octets
    else:
        rows[row, _LAYER], rows[row, _LENGTH] = 3, octets
        rows[row, _DATA] += inside
        rows[row, _DATA_LENGTH] = captured
    if is_netdev:
        rows[row, _EGRESS] = 1 if hook == _NETDEV_EGRESS else 0
    else:
        rows[row, _EGRESS] = 1 if hook in (_OUTPUT_HOOK, _POSTROUTING) else 0
    return _SAMPLES
