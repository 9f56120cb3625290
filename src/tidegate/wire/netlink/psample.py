"""Samples of the kernel's psample: one netlink message to one row.

In go the octets of a message of the multicast group `packets`; out comes a row. Attributes are read by number and
length: their order, unknown ones, and the width of interface numbers do not matter. A sample without its group, data,
size or rate, or with an attribute that does not fit, gives no row.

The attributes' history (linux/psample.h): 16-bit interface numbers to this day; TUNNEL was number 7 in Linux 5.8 to
5.11, where a sample never has what 7 means elsewhere; USER_COOKIE and SAMPLE_PROBABILITY came with 6.11. Samples made by
Open vSwitch have no numbers of their own: their GROUP_SEQ is always 0.

Answers for: linux/psample.h of 4.11 to 6.18, net/psample/psample.c.
"""

from __future__ import annotations

import numpy as np

from tidegate.kernel import I64, U8, inline
from tidegate.octets import ne16, ne32, ne64
from tidegate.wire.netlink.rows import Row, Told

__all__ = ["FAMILY", "GET_GROUP", "MULTICAST_GROUP", "fill_psample"]

FAMILY = "psample"
MULTICAST_GROUP = "packets"
GET_GROUP = 1  # the command that dumps the groups there are

_GROUP, _SEQUENCE, _INPUT, _OUTPUT = int(Row.GROUP), int(Row.SEQUENCE), int(Row.INPUT), int(Row.OUTPUT)
_NARROW, _RATE, _LENGTH = int(Row.NARROW), int(Row.RATE), int(Row.LENGTH)
_PROTOCOL, _TIME, _QUEUE, _OCCUPANCY = int(Row.PROTOCOL), int(Row.TIME), int(Row.QUEUE), int(Row.OCCUPANCY)
_DELAY, _TUNNEL, _TUNNEL_END = int(Row.DELAY), int(Row.TUNNEL), int(Row.TUNNEL_END)
_MAC_LENGTH, _DATA, _DATA_LENGTH = int(Row.MAC_LENGTH), int(Row.DATA), int(Row.DATA_LENGTH)
_SAMPLES, _OTHER, _BROKEN, _INCOMPLETE = int(Told.SAMPLES), int(Told.OTHER), int(Told.BROKEN), int(Told.INCOMPLETE)

_SAMPLE_COMMAND = 0
_MOST = (1 << 63) - 1
_CERTAIN = 0xFFFFFFFF  # SAMPLE_RATE as a probability: all packets


@inline
def _uint(data: U8, at: int, length: int) -> int:
    """Return a number of the width that its attribute has; beyond 63 bits the greatest there is."""
    if length == 2:
        return ne16(data, at)
    if length == 4:
        return ne32(data, at)
    if length == 8:
        value = ne64(data, at)
        return np.int64(_MOST) if value > np.uint64(_MOST) else np.int64(value)  # type: ignore[return-value]
    return np.int64(-1)  # type: ignore[return-value] # numba types it


@inline
def fill_psample(data: U8, at: int, end: int, rows: I64, row: int) -> int:
    """Fill a row from a message whose generic header stands at an octet; return a member of Told."""
    if end - at < 4 or data[at] != _SAMPLE_COMMAND:
        return _OTHER
    at += 4
    rows[row, :] = -1
    rows[row, _RATE] = rows[row, _MAC_LENGTH] = rows[row, _NARROW] = 0
    is_probability = False
    while at + 4 <= end:
        length, kind = ne16(data, at), ne16(data, at + 2) & 0x3FFF
        if length < 4 or at + length > end:
            return _BROKEN
        value, size = at + 4, length - 4
        if kind == 0:
            rows[row, _INPUT] = _uint(data, value, size)
            rows[row, _NARROW] |= 1 if size == 2 else 0
        elif kind == 1:
            rows[row, _OUTPUT] = _uint(data, value, size)
            rows[row, _NARROW] |= 1 if size == 2 else 0
        elif kind == 2:
            rows[row, _LENGTH] = _uint(data, value, size)
        elif kind == 3:
            rows[row, _GROUP] = _uint(data, value, size)
        elif kind == 4:
            rows[row, _SEQUENCE] = _uint(data, value, size)
        elif kind == 5:
            rows[row, _RATE] = max(_uint(data, value, size), 0)
        elif kind == 6:
            rows[row, _DATA] = value
            rows[row, _DATA_LENGTH] = size
        elif kind in (7, 8) and size >= 4:  # TUNNEL, before 5.12 and since; an empty one tells nothing
            rows[row, _TUNNEL] = value
            rows[row, _TUNNEL_END] = value + size
        elif kind == 10:
            rows[row, _QUEUE] = _uint(data, value, size)
        elif kind == 11:
            rows[row, _OCCUPANCY] = _uint(data, value, size)
        elif kind == 12:
            rows[row, _DELAY] = _uint(data, value, size)
        elif kind == 13:
            rows[row, _TIME] = _uint(data, value, size)
        elif kind == 14:
            rows[row, _PROTOCOL] = _uint(data, value, size)
        elif kind == 16:
            is_probability = True
        at += (length + 3) & ~3
    if rows[row, _GROUP] < 0 or rows[row, _DATA] < 0 or rows[row, _LENGTH] < 0 or rows[row, _RATE] == 0:
        return _INCOMPLETE
    if is_probability:
        rate = rows[row, _RATE]
        rows[row, _RATE] = max((_CERTAIN + rate // 2) // rate, 1)
        if rows[row, _SEQUENCE] == 0:  # Open vSwitch's
            rows[row, _SEQUENCE] = -1
    return _SAMPLES
