"""Samples of the kernel's psample: one netlink message to one row.

In go the octets of a message of the multicast group `packets`; out comes a row. Attributes are read by number and
length: their order, unknown ones, and the width of numbers do not matter, and of one that is there twice the last
counts. A sample without its group, data, size or rate, or with an attribute that does not fit, gives no row.

The attributes' history (linux/psample.h): 16-bit interface numbers to this day; TUNNEL was number 7 in Linux 5.8 to
5.11, where a sample never has what 7 means elsewhere; USER_COOKIE and SAMPLE_PROBABILITY came with 6.11. Samples made
by Open vSwitch have no numbers of their own: their GROUP_SEQ is always 0.

Answers for: linux/psample.h of 4.11 to 6.18, net/psample/psample.c.
"""

from __future__ import annotations

import numpy as np

from tidegate.data.sampled import Row
from tidegate.kernel import I64, U8, inline
from tidegate.octets import ne16, ne32, ne64
from tidegate.wire.netlink.told import Told

__all__ = ["FAMILY", "GET_GROUP", "MULTICAST_GROUP", "fill_psample"]

FAMILY = "psample"
MULTICAST_GROUP = "packets"
GET_GROUP = 1  # the command that dumps the groups there are

_SEQUENCE, _NARROW, _RATE, _MAC_LENGTH = int(Row.SEQUENCE), int(Row.NARROW), int(Row.RATE), int(Row.MAC_LENGTH)
_TUNNEL, _TUNNEL_END, _DATA, _DATA_LENGTH = int(Row.TUNNEL), int(Row.TUNNEL_END), int(Row.DATA), int(Row.DATA_LENGTH)
_GROUP, _LENGTH = int(Row.GROUP), int(Row.LENGTH)
_SAMPLES, _OTHER, _BROKEN, _INCOMPLETE = int(Told.SAMPLES), int(Told.OTHER), int(Told.BROKEN), int(Told.INCOMPLETE)

_SAMPLE_COMMAND = 0
_IIFINDEX, _OIFINDEX, _DATA_KIND, _PROBABILITY = 0, 1, 6, 16
_TUNNEL_KINDS = (7, 8)  # before 5.12 and since
# Where the numbers go, by attribute; -1: it holds none.
_COLUMNS = (
    int(Row.INPUT), int(Row.OUTPUT), int(Row.LENGTH), int(Row.GROUP), int(Row.SEQUENCE), int(Row.RATE), -1, -1, -1, -1,
    int(Row.QUEUE), int(Row.OCCUPANCY), int(Row.DELAY), int(Row.TIME), int(Row.PROTOCOL),
)  # fmt: skip
_MOST = (1 << 63) - 1
_WORD = 0xFFFFFFFF  # also SAMPLE_RATE as a probability: all packets


@inline
def _uint(data: U8, at: int, length: int) -> int:
    """Return a number of 2, 4 or 8 octets, -1 of other widths; beyond 63 bits the greatest there is."""
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
        if kind == _DATA_KIND:
            rows[row, _DATA], rows[row, _DATA_LENGTH] = value, size
        elif kind in _TUNNEL_KINDS:
            rows[row, _TUNNEL], rows[row, _TUNNEL_END] = value, value + size
        elif kind == _PROBABILITY:
            is_probability = True
        elif kind < len(_COLUMNS) and _COLUMNS[kind] >= 0:
            rows[row, _COLUMNS[kind]] = _uint(data, value, size)
            if kind in (_IIFINDEX, _OIFINDEX):
                narrow = 1 << kind
                rows[row, _NARROW] = (rows[row, _NARROW] & ~narrow) | (narrow if size == 2 else 0)
        at += (length + 3) & ~3
    if rows[row, _GROUP] < 0 or rows[row, _DATA] < 0 or rows[row, _LENGTH] < 0 or rows[row, _RATE] <= 0:
        return _INCOMPLETE
    if is_probability:
        rate = rows[row, _RATE]
        rows[row, _RATE] = max((_WORD + rate // 2) // rate, 1)
        if rows[row, _SEQUENCE] == 0:  # Open vSwitch's
            rows[row, _SEQUENCE] = -1
    rows[row, _RATE], rows[row, _LENGTH] = min(rows[row, _RATE], _WORD), min(rows[row, _LENGTH], _WORD)
    return _SAMPLES
