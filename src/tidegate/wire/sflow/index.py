"""Kernel: one walk over the datagrams of a block, telling where everything is.

Out come rows: one a datagram, one a flow or discarded packet sample, one a counters sample; and marks: the places in
the flow samples that fields are read from, see `tidegate.wire.sflow.origins`. Nothing is copied. The rules are those of
docs/concepts/dissection.md; `tidegate.wire.sflow.decode` is the readable twin.

Answers for: sFlow version 5, sections 5.1 to 5.3, as told in docs/concepts/dissection.md.
"""

from __future__ import annotations

import numpy as np

from tidegate.data.forms import INTERNAL, Interface
from tidegate.kernel import I32, I64, U8, inline, kernel
from tidegate.octets import be8, be16, be32
from tidegate.wire.packet.columns import dissect
from tidegate.wire.sflow.formats import FLOW_RECORDS
from tidegate.wire.sflow.origins import RECORD_ELEMENTS, RECORD_MARKS, Record
from tidegate.wire.sflow.rows import Count, Counters, Flow, Gram

__all__ = ["COMMON", "KERNELS", "OTHERS", "TAG_SLOTS", "TALLY_SIZE", "index_block", "record_table"]


TAG_SLOTS = 1024
COMMON = 64  # places of a tally: 64 for Count, then 4096 numbers each of samples, records and versions, then the others
OTHERS = COMMON + 3 * 4096
TALLY_SIZE = OTHERS + 2 * TAG_SLOTS
MAX_FRAME = 1 << 20

_STATUS, _SUB_AGENT, _SEQUENCE, _UPTIME, _DROPPED, _AGENT_HIGH, _AGENT_LOW = (int(x) for x in Gram)
(_F_DATAGRAM, _F_SEQUENCE, _F_SOURCE, _F_RATE, _F_POOL, _F_DROPS, _F_INPUT, _F_OUTPUT, _F_REASON, _F_OCTETS,
 _F_STRIPPED, _F_HEADER, _F_MARKS, _F_MARKS_END) = (int(x) for x in Flow)  # fmt: skip
_C_DATAGRAM, _C_SEQUENCE, _C_SOURCE, _C_START, _C_END = (int(x) for x in Counters)
(_DATAGRAMS, _BAD_TRUNCATED, _BAD_VERSION, _BAD_ADDRESS, _SHORT_SAMPLE, _RATE_ZERO, _FRAME_TOO_LONG, _UNKNOWN_SAMPLE,
 _TRUNCATED_SAMPLE, _OVERRUN_RECORD, _UNKNOWN_RECORD, _TRAILING, _MISSING_SAMPLES, _OTHER_TAGS) = (
    int(x) for x in Count)  # fmt: skip
_IPV4, _IPV6, _ETHERNET, _GATEWAY = (int(x) for x in (Record.IPV4, Record.IPV6, Record.ETHERNET, Record.GATEWAY))
_NO_FIELDS = 255  # above every kind
_INTERNAL, _DISCARD = INTERNAL, Interface.DISCARD
_MULTIPLE, _UNKNOWN = Interface.MULTIPLE, Interface.UNKNOWN
_MAX_FRAME = MAX_FRAME

_WORD, _HYPER, _STRING, _ADDRESS = 1, 2, 3, 4


def record_table() -> U8:
    """Return the table that `index_block` takes (4096, 18): by format its kind, its place in the list, its elements.

    The kind is 0 of unknown formats and 255 of known ones that give no fields.
    """
    table = np.zeros((4096, 18), np.uint8)
    table[[number for enterprise, number in FLOW_RECORDS if enterprise == 0], 0] = _NO_FIELDS
    codes = {"u": _WORD, "h": _HYPER, "s": _STRING, "a": _ADDRESS}
    for place, (number, record) in enumerate(RECORD_MARKS.items()):
        layout = RECORD_ELEMENTS.get(record, "")
        table[number, :2] = record, place
        table[number, 2 : 2 + len(layout)] = [codes[letter] for letter in layout]
    return table


@inline
def _next(at: int, length: int, end: int) -> int:
    """Return where the next item starts: length rounded up to 4, clipped to the enclosing slice."""
    return min(at + (length + 3 & ~3), end)


@inline
def _mark(marks: I32, count: int, kind: int, at: int, end: int) -> int:
    marks[count, 0] = kind
    marks[count, 1] = at
    marks[count, 2] = end
    return count + 1


@inline
def _tally(tally: I64, space: int, tag: int) -> None:
    """Count a sample or record number: directly for enterprise 0, else in a table of the numbers seen."""
    if tag < 4096:
        tally[COMMON + (space << 12) + tag] += 1
        return
    word = space + 1 << 32 | tag
    slot = (tag * 2654435761 >> 7) & (TAG_SLOTS - 1)
    for _ in range(64):
        if tally[OTHERS + slot] in (word, 0):
            tally[OTHERS + slot] = word
            tally[OTHERS + TAG_SLOTS + slot] += 1
            return
        slot = slot + 1 & (TAG_SLOTS - 1)
    tally[_OTHER_TAGS] += 1


@inline
def _interface(form: int, value: int, itself: int) -> int:
    """Return the canonical word; `itself` is a second value that means the device, besides 0x3FFFFFFF."""
    if form == 0:
        return _INTERNAL if value in (0x3FFFFFFF, itself) else value
    if form == 1:
        return _DISCARD
    return _MULTIPLE if form == 2 else _UNKNOWN


@inline
def _plain_interface(value: int) -> int:
    """Read an interface of a discarded packet sample: a plain ifIndex, by its document."""
    if value == 0x3FFFFFFF:
        return _INTERNAL
    return _UNKNOWN if value >> 31 else value


@inline
def _address_end(data: U8, at: int, end: int) -> int:
    """Return the octet behind an sFlow address, or -1 where it is cut or of unknown type."""
    if at + 4 > end:
        return -1
    kind = be32(data, at)
    behind = at + 4 + (4 if kind == 1 else 16 if kind == 2 else 0)
    return behind if kind <= 2 and behind <= end else -1


@inline
def _elements(data: U8, at: int, end: int, tag: int, table: U8, marks: I32, count: int) -> int:
    """Mark each element of a record whose fields move, as far as it is whole; empty ones are unknown."""
    kind = int(table[tag, 0])
    for element in range(table.shape[1] - 2):
        code = table[tag, 2 + element]
        if code == 0 or at >= end:
            return count
        if code == _STRING:
            if at + 4 > end:
                return count
            length = be32(data, at)
            if at + 4 + length > end:
                return count
            count = _mark(marks, count, kind + element, at + 4, at + 4 + length) if length else count
            at = _next(at + 4, length, end)
        elif code == _ADDRESS:
            behind = _address_end(data, at, end)
            if behind < 0:
                return count
            count = _mark(marks, count, kind + element, at, behind) if behind > at + 4 else count
            at = behind
        else:
            count = _mark(marks, count, kind + element, at, end)
            at += 8 if code == _HYPER else 4
    return count


@inline
def _gateway(data: U8, at: int, end: int, marks: I32, count: int) -> int:
    """Mark the parts of extended_gateway; the AS path is marked only where all of it is there."""
    place = _address_end(data, at, end)
    if place < 0:
        return count
    count = _mark(marks, count, _GATEWAY, at, place) if place > at + 4 else count
    count = _mark(marks, count, _GATEWAY + 1, place, end)
    own = place
    if place + 16 > end:
        return count
    segments = be32(data, place + 12)
    start = place = place + 16
    first = last = -1
    for _ in range(segments):
        if place + 8 > end:
            return count
        size = be32(data, place + 4)
        place += 8
        if place + 4 * size > end:
            return count
        if size:
            first = place if first < 0 else first
            last = place + 4 * (size - 1)
        place += 4 * size
    count = _mark(marks, count, _GATEWAY + 3, own if last < 0 else last, end)
    if first >= 0:
        count = _mark(marks, count, _GATEWAY + 2, start, place)
        count = _mark(marks, count, _GATEWAY + 4, first, end)
    if place + 4 > end:
        return count
    size = be32(data, place)
    place += 4
    if place + 4 * size > end:
        return count
    count = _mark(marks, count, _GATEWAY + 5, place, place + 4 * size) if size else count
    return _mark(marks, count, _GATEWAY + 6, place + 4 * size, end)


@inline
def _record(data: U8, at: int, end: int, tag: int, table: U8, marks: I32, count: int) -> int:
    """Mark a flow record of a known kind."""
    kind = int(table[tag, 0])
    if kind == _GATEWAY:
        return _gateway(data, at, end, marks, count)
    if table[tag, 2]:
        return _elements(data, at, end, tag, table, marks, count)
    count = _mark(marks, count, kind, at, end)
    if (kind in (_IPV4, _IPV6)) and at + 8 <= end:
        protocol = be32(data, at + 4)
        if protocol in (6, 17):
            count = _mark(marks, count, kind + (1 if protocol == 6 else 2), at, end)
    return count


@inline
def _length_by_ip(data: U8, header: int, marks: I32, first: int, last: int) -> int:
    """Return the octets from the header's start to where a credible outermost IP header says it ends, else 0."""
    for place in range(first, last):
        kind, at, end = marks[place, 0], int(marks[place, 1]), int(marks[place, 2])
        if kind == 6:  # Layer.IP
            if at + 4 > end:
                return 0
            total, own = be16(data, at + 2), (be8(data, at) & 15) * 4
            return at - header + total if total >= own >= 20 else 0
        if kind == 7:  # Layer.IP6
            return at - header + 40 + be16(data, at + 4) if at + 6 <= end else 0
    return 0


@inline
def _flow_records(data: U8, at: int, end: int, flows: I64, flow: int, table: U8, marks: I32, tally: I64) -> int:
    """Read the records of a flow sample into its row and marks.

    Return how many records 0:1 there were, which are not tallied here; -1 less that where the sample must be dropped.
    """
    count = flows[flow, _F_MARKS]
    header = header_end = protocol = -1
    octets, told_by, seen, headers = -1, _NO_FIELDS, 0, 0
    records = be32(data, at)
    at += 4
    while records > 0 and at + 8 <= end:
        records -= 1
        tag, length = be32(data, at), be32(data, at + 4)
        at += 8
        if at + length > end:
            tally[_OVERRUN_RECORD] += 1
            break
        stop = at + length
        if tag == 1:
            headers += 1
            if header < 0 and length >= 16:
                octets = be32(data, at + 4)
                if octets > _MAX_FRAME:
                    tally[_FRAME_TOO_LONG] += 1
                    return -1 - headers
                told_by = 0
                protocol = be32(data, at)
                flows[flow, _F_STRIPPED] = be32(data, at + 8)
                header = at + 16
                header_end = min(header + be32(data, at + 12), stop)
        else:
            _tally(tally, 1, tag)
            kind = int(table[tag, 0]) if tag < 4096 else 0
            if kind == 0:
                tally[_UNKNOWN_RECORD] += 1
            elif kind != _NO_FIELDS and seen >> table[tag, 1] & 1 == 0:
                seen |= 1 << int(table[tag, 1])
                count = _record(data, at, stop, tag, table, marks, count)
                if (kind in (_ETHERNET, _IPV4, _IPV6)) and kind < told_by and length >= 4:
                    octets, told_by = be32(data, at), kind
        at = _next(at, length, end)
    flows[flow, _F_HEADER] = header
    if header >= 0:
        first = count
        count = dissect(data, protocol, header, header_end, marks, count)
        octets = max(octets, _length_by_ip(data, header, marks, first, count))
    flows[flow, _F_OCTETS] = octets
    flows[flow, _F_MARKS_END] = count
    return headers


@inline
def _flow_fixed(data: U8, at: int, tag: int, flows: I64, flow: int) -> int:
    """Read the fixed part of a sample 0:1, 0:3 or 0:5 into its row; return where its record count is."""
    flows[flow, _F_SEQUENCE] = be32(data, at)
    flows[flow, _F_STRIPPED] = flows[flow, _F_REASON] = -1
    if tag == 1:
        flows[flow, _F_SOURCE] = be8(data, at + 4) << 32 | (be32(data, at + 4) & 0xFFFFFF)
        at += 8
    else:
        flows[flow, _F_SOURCE] = be32(data, at + 4) << 32 | be32(data, at + 8)
        at += 12
    if tag == 5:
        flows[flow, _F_RATE], flows[flow, _F_POOL], flows[flow, _F_DROPS] = 1, 0, be32(data, at)
        flows[flow, _F_INPUT] = _plain_interface(be32(data, at + 4))
        flows[flow, _F_OUTPUT] = _plain_interface(be32(data, at + 8))
        flows[flow, _F_REASON] = be32(data, at + 12)
        return at + 16
    flows[flow, _F_RATE], flows[flow, _F_POOL], flows[flow, _F_DROPS] = (
        be32(data, at),
        be32(data, at + 4),
        be32(data, at + 8),
    )
    if tag == 1:
        first, second = be32(data, at + 12), be32(data, at + 16)
        flows[flow, _F_INPUT] = _interface(first >> 30, first & 0x3FFFFFFF, 0x3FFFFFFF)
        flows[flow, _F_OUTPUT] = _interface(second >> 30, second & 0x3FFFFFFF, 0x3FFFFFFF)
        return at + 20
    flows[flow, _F_INPUT] = _interface(be32(data, at + 12), be32(data, at + 16), 0xFFFFFFFF)
    flows[flow, _F_OUTPUT] = _interface(be32(data, at + 20), be32(data, at + 24), 0xFFFFFFFF)
    return at + 28


@inline
def _flow_sample(
    data: U8, at: int, end: int, tag: int, flows: I64, flow: int, table: U8, marks: I32, tally: I64
) -> int:
    """Read a flow or discarded packet sample; return what `_flow_records` does."""
    records = _flow_fixed(data, at, tag, flows, flow)
    if flows[flow, _F_RATE] == 0:
        tally[_RATE_ZERO] += 1
        return -1
    return _flow_records(data, records, end, flows, flow, table, marks, tally)


@inline
def _counters_fixed(data: U8, at: int, end: int, tag: int, counters: I64, counter: int) -> None:
    counters[counter, _C_SEQUENCE] = be32(data, at)
    if tag == 2:
        counters[counter, _C_SOURCE] = be8(data, at + 4) << 32 | (be32(data, at + 4) & 0xFFFFFF)
        counters[counter, _C_START] = at + 8
    else:
        counters[counter, _C_SOURCE] = be32(data, at + 4) << 32 | be32(data, at + 8)
        counters[counter, _C_START] = at + 12
    counters[counter, _C_END] = end


@inline
def _least(tag: int) -> int:
    """Return the octets of a sample's fixed part with its record count; 0 for a sample that is skipped."""
    if tag in (1, 5):
        return 32
    if tag == 2:
        return 12
    if tag == 3:
        return 44
    return 16 if tag == 4 else 0


@inline
def _header(data: U8, at: int, end: int, grams: I64, index: int, tally: I64) -> int:
    """Read a datagram's header; return where its sample count is, or -1 where it must be dropped."""
    if at + 8 > end:
        grams[index, _STATUS] = _BAD_TRUNCATED
        return -1
    version = be32(data, at)
    if version != 5:
        _tally(tally, 2, version)
        grams[index, _STATUS] = _BAD_VERSION
        return -1
    kind = be32(data, at + 4)
    if kind > 2:
        grams[index, _STATUS] = _BAD_ADDRESS
        return -1
    place = at + 8 + (4 if kind == 1 else 16 if kind == 2 else 0)
    if place + 16 > end:
        grams[index, _STATUS] = _BAD_TRUNCATED
        return -1
    high, low = 0, 0xFFFF << 32
    if kind == 1:
        low |= be32(data, at + 8)
    elif kind == 2:
        high = be32(data, at + 8) << 32 | be32(data, at + 12)
        low = be32(data, at + 16) << 32 | be32(data, at + 20)
    grams[index, _AGENT_HIGH], grams[index, _AGENT_LOW] = high, low
    grams[index, _STATUS] = _DATAGRAMS
    grams[index, _SUB_AGENT], grams[index, _SEQUENCE] = be32(data, place), be32(data, place + 4)
    grams[index, _UPTIME] = be32(data, place + 8)
    return place + 12


@kernel(
    "UniTuple(i8,2)(Array(u1,1,'C',readonly=True), Array(i8,1,'C',readonly=True), Array(i8,1,'C',readonly=True), "
    "u1[:,::1], i8[:,::1], i8[:,::1], i8[:,::1], i4[:,::1], i8[::1])"
)
def index_block(
    data: U8, offset: I64, length: I64, table: U8, grams: I64, flows: I64, counters: I64, marks: I32, tally: I64
) -> tuple[int, int]:
    """Index n datagrams; return how many flow and counters rows were written.

    `table` is that of `record_table`. Written are `grams` (n, Gram), `flows` (rows, Flow), `counters` (rows, Counters)
    and `marks` (places, 3), which must be large enough: see `Decoder` in wire/sflow/columns.py. Added to is `tally`
    (TALLY_SIZE): what happened (Count), how often each number of enterprise 0 was seen, and the other numbers.
    """
    flow = counter = place = 0
    flow_samples = header_records = 0  # the commonest sample and record are counted here, the others by `_tally`
    for index in range(offset.size):
        at = offset[index]
        end = at + length[index]
        grams[index, :] = 0
        at = _header(data, at, end, grams, index, tally)
        tally[grams[index, _STATUS]] += 1
        if at < 0:
            continue
        promised = be32(data, at)
        at += 4
        while promised > 0 and at + 8 <= end:
            promised -= 1
            tag, size = be32(data, at), be32(data, at + 4)
            at += 8
            stop = at + size
            if stop > end:
                tally[_TRUNCATED_SAMPLE] += 1
                stop = end
            if tag == 1:
                flow_samples += 1
            else:
                _tally(tally, 0, tag)
            least = _least(tag)
            if least == 0:
                tally[_UNKNOWN_SAMPLE] += 1
            elif at + least > stop:
                tally[_SHORT_SAMPLE] += 1
                grams[index, _DROPPED] += 1
            elif tag in (2, 4):
                counters[counter, _C_DATAGRAM] = index
                _counters_fixed(data, at, stop, tag, counters, counter)
                counter += 1
            else:
                flows[flow, _F_DATAGRAM], flows[flow, _F_MARKS] = index, place
                headers = _flow_sample(data, at, stop, tag, flows, flow, table, marks, tally)
                if headers >= 0:
                    place = flows[flow, _F_MARKS_END]
                    flow += 1
                else:
                    grams[index, _DROPPED] += 1
                header_records += headers if headers >= 0 else -1 - headers
            at = _next(at, size, end) if at + size <= end else end
        tally[_MISSING_SAMPLES] += 1 if promised > 0 else 0
        tally[_TRAILING] += 1 if at < end else 0
    tally[COMMON + 1] += flow_samples
    tally[COMMON + (1 << 12) + 1] += header_records
    return flow, counter


KERNELS = (index_block,)
