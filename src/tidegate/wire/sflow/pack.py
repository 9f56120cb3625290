"""Flow samples from rows into datagrams: the encoder for many packets, of which `encode.py` is the readable twin.

In go sampled packets (`data/sampled.py`, with the octets that they point to) and what the agent says of each
(`Pick`); out come the octets of flow samples, one behind the other in datagrams of bounded size. A header is put
together of its pieces (a MAC header that stands apart, a VLAN tag that was taken off) and cut to the configured length;
a sample never goes over two datagrams. Records: sampled_header, then what the row tells besides, in the order of their
numbers.

Answers for: sFlow version 5 section 5, sFlow Tunnel Structures, Transit Delay, Dropped Packet (egress queue),
Timestamp.
"""

from __future__ import annotations

from enum import IntEnum

from tidegate.data.sampled import Row
from tidegate.kernel import I64, U8, inline, kernel
from tidegate.octets import be16, be32, copy_octets, ne16, put_be32, put_be64

__all__ = ["KERNELS", "Form", "Open", "Pick", "pack_flow_samples"]


class Pick(IntEnum):
    """Columns of a flow sample that is to be sent."""

    ROW = 0  # its packet
    SOURCE_TYPE = 1
    SOURCE = 2  # index of the data source
    SEQUENCE = 3
    RATE = 4
    POOL = 5
    DROPS = 6
    INPUT = 7  # ifIndex, 0 unknown
    OUTPUT = 8
    EGRESS = 9  # 1: sampled on the way out
    PROTOCOL = 10  # header_protocol
    FRAME = 11  # frame_length
    STRIPPED = 12


class Form(IntEnum):
    """What all datagrams have in common."""

    HEADER = 0  # octets of a packet at most
    DATAGRAM = 1  # octets of a datagram at most
    START = 2  # octets of a datagram's own header
    EXPANDED = 3  # 1: interfaces may have numbers of 2^24 and more


class Open(IntEnum):
    """Where the next sample goes."""

    SLOT = 0  # the datagram
    FILL = 1  # its octets so far; 0: it has not begun
    SAMPLES = 2  # and samples


_ROW, _SOURCE_TYPE, _SOURCE, _SEQUENCE = int(Pick.ROW), int(Pick.SOURCE_TYPE), int(Pick.SOURCE), int(Pick.SEQUENCE)
_RATE, _POOL, _DROPS = int(Pick.RATE), int(Pick.POOL), int(Pick.DROPS)
_INPUT, _OUTPUT, _EGRESS = int(Pick.INPUT), int(Pick.OUTPUT), int(Pick.EGRESS)
_PROTOCOL, _FRAME, _STRIPPED = int(Pick.PROTOCOL), int(Pick.FRAME), int(Pick.STRIPPED)
_TAG, _MAC, _MAC_LENGTH = int(Row.TAG), int(Row.MAC), int(Row.MAC_LENGTH)
_DATA, _DATA_LENGTH = int(Row.DATA), int(Row.DATA_LENGTH)
_HEADER, _DATAGRAM, _START, _EXPANDED = int(Form.HEADER), int(Form.DATAGRAM), int(Form.START), int(Form.EXPANDED)
_SLOT, _FILL, _SAMPLES = int(Open.SLOT), int(Open.FILL), int(Open.SAMPLES)
_TUNNEL, _TUNNEL_END, _TIME = int(Row.TUNNEL), int(Row.TUNNEL_END), int(Row.TIME)
_QUEUE, _OCCUPANCY, _DELAY = int(Row.QUEUE), int(Row.OCCUPANCY), int(Row.DELAY)

_FIXED, _FIXED_EXPANDED = 64, 76  # octets of a sample with a sampled_header of no octets: tag, length, fields, record
_ADDRESSES = 12  # octets of a MAC header before the place of a tag
_MOST = 0xFFFFFFFF
_FLOW_SAMPLE, _FLOW_SAMPLE_EXPANDED = 1, 3
_SAMPLED_HEADER, _EGRESS_QUEUE, _TRANSIT, _QUEUE_DEPTH, _TIMESTAMP = 1, 1036, 1039, 1040, 1043
_IPV4_TUNNEL, _IPV6_TUNNEL, _VNI = 1023, 1025, 1029  # of egress; those of ingress are one more
_UDP = 17
# Attributes of a tunnel, linux/psample.h.
_T_ID, _T_SRC4, _T_DST4, _T_TOS, _T_SPORT, _T_DPORT, _T_SRC6, _T_DST6, _T_ALL = 0, 1, 2, 3, 9, 10, 12, 13, 14


@inline
def _tunnel_places(data: U8, rows: I64, row: int, places: I64) -> int:
    """Fill in where the values of a tunnel's attributes stand, 0 where they do not; return 4, 6, or 0 for no tunnel."""
    at, end = rows[row, _TUNNEL], rows[row, _TUNNEL_END]
    if at < 0:
        return 0
    places[:] = 0
    while at + 4 <= end:
        length, kind = ne16(data, at), ne16(data, at + 2) & 0x3FFF
        if length < 4 or at + length > end:
            break
        if kind < _T_ALL and length - 4 >= _least_octets(kind):
            places[kind] = at + 4
        at += (length + 3) & ~3
    if places[_T_SRC4] and places[_T_DST4]:
        return 4
    return 6 if places[_T_SRC6] and places[_T_DST6] else 0


@inline
def _least_octets(kind: int) -> int:
    if kind == _T_ID:
        return 8
    if kind in (_T_SRC6, _T_DST6):
        return 16
    return 4 if kind in (_T_SRC4, _T_DST4) else 2 if kind in (_T_SPORT, _T_DPORT) else 1


@inline
def _put_record(out: U8, at: int, number: int, size: int) -> int:
    put_be32(out, at, number)
    put_be32(out, at + 4, size)
    return at + 8


@inline
def _put_tunnel(data: U8, places: I64, family: int, egress: int, out: U8, at: int) -> int:
    """Write the tunnel's records; what the kernel does not tell of its header is 0."""
    ingress = 0 if egress else 1
    if family == 4:
        at = _put_record(out, at, _IPV4_TUNNEL + ingress, 32)
        source, destination, width = places[_T_SRC4], places[_T_DST4], 4
    else:
        at = _put_record(out, at, _IPV6_TUNNEL + ingress, 56)
        source, destination, width = places[_T_SRC6], places[_T_DST6], 16
    put_be32(out, at, 0)
    put_be32(out, at + 4, _UDP if places[_T_SPORT] or places[_T_DPORT] else 0)
    copy_octets(out, at + 8, data, source, width)
    copy_octets(out, at + 8 + width, data, destination, width)
    at += 8 + 2 * width
    put_be32(out, at, be16(data, places[_T_SPORT]) if places[_T_SPORT] else 0)
    put_be32(out, at + 4, be16(data, places[_T_DPORT]) if places[_T_DPORT] else 0)
    put_be32(out, at + 8, 0)
    put_be32(out, at + 12, int(data[places[_T_TOS]]) if places[_T_TOS] else 0)
    at += 16
    if places[_T_ID]:
        at = _put_record(out, at, _VNI + ingress, 4)
        put_be32(out, at, be32(data, places[_T_ID] + 4))  # of 64 bits; VNIs have 24
        at += 4
    return at


@inline
def _more_octets(rows: I64, row: int, tunnel: int, has_id: int) -> int:
    """Return the octets of all records behind the sampled header."""
    octets = 0
    if tunnel:
        octets += 40 if tunnel == 4 else 64
        octets += 12 if has_id else 0
    if rows[row, _QUEUE] >= 0:
        octets += 12 + (12 if rows[row, _OCCUPANCY] >= 0 else 0)
    octets += 12 if rows[row, _DELAY] >= 0 else 0
    return octets + (16 if rows[row, _TIME] >= 0 else 0)


@inline
def _put_header(data: U8, rows: I64, row: int, length: int, out: U8, at: int) -> int:
    """Write the first `length` octets of a packet, with their padding; return the octet behind."""
    tag = rows[row, _TAG]
    left = length
    piece, size = rows[row, _MAC], rows[row, _MAC_LENGTH]
    apart = size > 0
    if not apart:
        piece, size = rows[row, _DATA], rows[row, _DATA_LENGTH]
    if tag >= 0:
        count = min(left, size, _ADDRESSES)
        copy_octets(out, at, data, piece, count)
        at, piece, size, left = at + count, piece + count, size - count, left - count
        for shift in range(24, -8, -8):
            if left > 0:
                out[at] = (tag >> shift) & 255
                at, left = at + 1, left - 1
    count = min(left, size)
    copy_octets(out, at, data, piece, count)
    at, left = at + count, left - count
    if apart:
        count = min(left, rows[row, _DATA_LENGTH])
        copy_octets(out, at, data, rows[row, _DATA], count)
        at, left = at + count, left - count
    for _ in range(-length & 3):
        out[at] = 0
        at += 1
    return at


@inline
def _put_fixed(picks: I64, i: int, expanded: int, out: U8, at: int) -> int:
    """Write what a flow sample tells before its records."""
    put_be32(out, at, picks[i, _SEQUENCE])
    if expanded:
        put_be32(out, at + 4, picks[i, _SOURCE_TYPE])
        put_be32(out, at + 8, picks[i, _SOURCE])
        at += 12
    else:
        put_be32(out, at + 4, picks[i, _SOURCE_TYPE] << 24 | picks[i, _SOURCE])
        at += 8
    put_be32(out, at, picks[i, _RATE])
    put_be32(out, at + 4, picks[i, _POOL])
    put_be32(out, at + 8, picks[i, _DROPS])
    at += 12
    for column in (_INPUT, _OUTPUT):
        if expanded:
            put_be32(out, at, 0)
            at += 4
        put_be32(out, at, picks[i, column])
        at += 4
    return at


@inline
def _put_small(out: U8, at: int, number: int, value: int) -> int:
    at = _put_record(out, at, number, 4)
    put_be32(out, at, min(value, _MOST))
    return at + 4


@inline
def _put_sample(
    data: U8,
    rows: I64,
    picks: I64,
    i: int,
    tunnel: int,
    places: I64,
    expanded: int,
    length: int,
    size: int,
    out: U8,
    at: int,
) -> int:
    """Write a sample of `size` octets with `length` of the packet's; return the octet behind."""
    row = picks[i, _ROW]
    put_be32(out, at, _FLOW_SAMPLE_EXPANDED if expanded else _FLOW_SAMPLE)
    put_be32(out, at + 4, size - 8)
    records = _put_fixed(picks, i, expanded, out, at + 8)
    at = _put_record(out, records + 4, _SAMPLED_HEADER, 16 + ((length + 3) & ~3))  # padding belongs to the header
    put_be32(out, at, picks[i, _PROTOCOL])
    put_be32(out, at + 4, picks[i, _FRAME])
    put_be32(out, at + 8, picks[i, _STRIPPED])
    put_be32(out, at + 12, length)
    at = _put_header(data, rows, row, length, out, at + 16)
    number = 1
    if tunnel:
        at = _put_tunnel(data, places, tunnel, picks[i, _EGRESS], out, at)
        number += 2 if places[_T_ID] else 1
    if rows[row, _QUEUE] >= 0:
        at = _put_small(out, at, _EGRESS_QUEUE, rows[row, _QUEUE])
        number += 1
    if rows[row, _DELAY] >= 0:
        at = _put_small(out, at, _TRANSIT, rows[row, _DELAY])
        number += 1
    if rows[row, _QUEUE] >= 0 and rows[row, _OCCUPANCY] >= 0:  # which needs the queue's number beside it
        at = _put_small(out, at, _QUEUE_DEPTH, rows[row, _OCCUPANCY])
        number += 1
    if rows[row, _TIME] >= 0:
        at = _put_record(out, at, _TIMESTAMP, 8)
        put_be64(out, at, rows[row, _TIME])
        at += 8
        number += 1
    put_be32(out, records, number)
    return at


@kernel(
    "i8(Array(u1,1,'C',readonly=True), i8[:,::1], i8[:,::1], i8, i8, i8[::1], i8[::1], u1[:,::1], i8[::1], i8[::1])"
)
def pack_flow_samples(
    data: U8, rows: I64, picks: I64, first: int, count: int, form: I64, places: I64, out: U8, state: I64, filled: I64
) -> int:
    """Write picks from `first` to `count` into datagrams; return the first that found no more room.

    `form` is (Form,); `out` is (slots, octets), one datagram a slot; `state` (Open,) is where the next sample goes. Of
    each datagram that is full, the octets and samples are left in `filled`, two numbers a slot. `places` (14,) is
    scratch.
    """
    most, expanded = form[_DATAGRAM], form[_EXPANDED]
    fixed = _FIXED_EXPANDED if expanded else _FIXED
    for i in range(first, count):
        row = picks[i, _ROW]
        tunnel = _tunnel_places(data, rows, row, places)
        more = fixed + _more_octets(rows, row, tunnel, places[_T_ID])
        there = rows[row, _MAC_LENGTH] + rows[row, _DATA_LENGTH] + (4 if rows[row, _TAG] >= 0 else 0)
        length = min(there, form[_HEADER], (most - form[_START] - more) & ~3)
        size = more + ((length + 3) & ~3)
        if state[_FILL] and state[_FILL] + size > most:
            filled[2 * state[_SLOT]], filled[2 * state[_SLOT] + 1] = state[_FILL], state[_SAMPLES]
            state[_SLOT] += 1
            state[_FILL] = state[_SAMPLES] = 0
        if state[_SLOT] == out.shape[0]:
            return i
        at = state[_FILL] or form[_START]
        state[_FILL] = _put_sample(data, rows, picks, i, tunnel, places, expanded, length, size, out[state[_SLOT]], at)
        state[_SAMPLES] += 1
    return count


KERNELS = (pack_flow_samples,)
