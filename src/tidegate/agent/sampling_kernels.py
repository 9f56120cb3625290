"""Kernels of the sampler: from sampled packets to flow samples, with the books of groups and data sources.

In go rows of packets (`data/sampled.py`); out come picks (`wire/sflow/pack.py`), one a flow sample to be sent.
What is lost, and what a data source has seen, is booked before anything can leave a packet out: a gap in the numbers of
a group is charged to the data source of the group's next packet, be its interface known or not.

Numbers of a group: an equal one is no gap (two processors read the counter at once); one that is at most `_LATE` behind
came late, and the drop that was counted for it is taken off the next gap; one further behind is a new start, and so is
0, where a group begins that the kernel made anew. Where more groups come than are kept, the one that was silent for
longest is forgotten.

Sub-sampling leaves out a random number of packets, 1 to 2M - 1 with mean M, and states M times the rate.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from tidegate.data.sampled import Row
from tidegate.kernel import I32, I64, U8, U64, inline, kernel
from tidegate.octets import be16
from tidegate.wire.sflow.pack import Pick

__all__ = ["KERNELS", "NONE", "SEVERAL", "Book", "Group", "GroupDirection", "Kept", "account", "place_group"]


class Group(IntEnum):
    """Columns of a group whose packets are numbered."""

    NUMBER = 0
    LAST = 1  # the highest number; -1 before the first
    CREDIT = 2  # packets that came late, for which a drop is on the books already
    PENDING = 3  # drops not yet charged to a data source
    DIRECTION = 4
    SEEN = 5  # when it last had a packet, in steps


class GroupDirection(IntEnum):
    """What is known of the packets of a group."""

    INGRESS = 0
    EGRESS = 1
    TOLD = 2  # by each packet
    IGNORED = 3


class Book(IntEnum):
    """Columns of a data source."""

    TYPE = 0
    INDEX = 1
    SEQUENCE = 2
    POOL = 3
    DROPS = 4
    SKIP = 5  # packets to come up to the next that is taken, that one included; 0: not drawn yet
    LEAST = 6  # the rate that the user wants at least: 1 in N; 0: as the kernel has it


class Kept(IntEnum):
    """What became of packets; the names label counters."""

    TAKEN = 0
    SHED = 1  # left out by sub-sampling
    IGNORED = 2  # of a group that is to be ignored
    UNKNOWN_INTERFACE = 3  # taken or shed, with an interface that is not known here
    LOST = 4  # by gaps in numbers
    UNNUMBERED = 5  # taken or shed, of a group that there is no room for


_NUMBER, _LAST, _CREDIT, _PENDING, _DIRECTION, _SEEN = range(6)
_TYPE, _INDEX, _BOOK_SEQUENCE, _BOOK_POOL, _BOOK_DROPS, _SKIP, _LEAST = range(7)
_TAKEN, _SHED, _IGNORED, _UNKNOWN, _LOST, _UNNUMBERED = range(6)
_TOLD, _IGNORE = int(GroupDirection.TOLD), int(GroupDirection.IGNORED)
_R_GROUP, _R_SEQUENCE, _R_INPUT, _R_OUTPUT = int(Row.GROUP), int(Row.SEQUENCE), int(Row.INPUT), int(Row.OUTPUT)
_R_NARROW, _R_EGRESS, _R_RATE, _R_LENGTH = int(Row.NARROW), int(Row.EGRESS), int(Row.RATE), int(Row.LENGTH)
_R_PROTOCOL, _R_TAG, _R_DATA = int(Row.PROTOCOL), int(Row.TAG), int(Row.DATA)
_R_DATA_LENGTH, _R_LAYER = int(Row.DATA_LENGTH), int(Row.LAYER)
_ROW, _SOURCE_TYPE, _SOURCE, _SEQUENCE = int(Pick.ROW), int(Pick.SOURCE_TYPE), int(Pick.SOURCE), int(Pick.SEQUENCE)
_RATE, _POOL, _DROPS = int(Pick.RATE), int(Pick.POOL), int(Pick.DROPS)
_INPUT, _OUTPUT, _EGRESS = int(Pick.INPUT), int(Pick.OUTPUT), int(Pick.EGRESS)
_PROTOCOL, _FRAME, _STRIPPED = int(Pick.PROTOCOL), int(Pick.FRAME), int(Pick.STRIPPED)

_WORD = 0xFFFFFFFF
_HALF = 1 << 31
_LATE = 64
NONE, SEVERAL = -1, -2  # in the table of low halves of interface numbers
_TAG = 4  # octets of a VLAN tag
_FCS = 4  # octets of a frame check sequence, which no software sees
_NO_MAC = 18  # a MAC header and FCS that never were: keeps layer 2 totals comparable, as Host sFlow does
_ETHERNET, _IPV4, _IPV6, _MPLS = 1, 11, 12, 13  # header_protocol


@inline
def _book_number(groups: I64, g: int, number: int) -> int:
    """Enter the number of a packet; return how many were lost before it."""
    last = groups[g, _LAST]
    step = (number - last) & _WORD
    if last < 0 or (step >= _HALF and (number == 0 or _WORD + 1 - step > _LATE)):
        groups[g, _LAST] = number
        groups[g, _CREDIT] = 0
        return 0
    if step >= _HALF:
        groups[g, _CREDIT] += 1
        return 0
    if step == 0:
        return 0
    groups[g, _LAST] = number
    settled = min(groups[g, _CREDIT], step - 1)
    groups[g, _CREDIT] -= settled
    return step - 1 - settled  # type: ignore[no-any-return] # numba types it


@inline
def _group_of(groups: I64, counts: I64, books: I64, number: int) -> int:
    """Return the place of a group, entered where it is new; -1 where there is no room."""
    for g in range(counts[0]):
        if groups[g, _NUMBER] == number:
            groups[g, _SEEN] = counts[1]
            return g
    g = counts[0]
    if g < groups.shape[0]:
        counts[0] += 1
    else:
        g = NONE
        for other in range(groups.shape[0]):  # the user named the others
            if groups[other, _DIRECTION] == _TOLD and (g < 0 or groups[other, _SEEN] < groups[g, _SEEN]):
                g = other
        if g < 0:
            return NONE
        books[0, _BOOK_DROPS] = (books[0, _BOOK_DROPS] + groups[g, _PENDING]) & _WORD
    groups[g, :] = 0
    groups[g, _NUMBER], groups[g, _LAST], groups[g, _DIRECTION] = number, -1, _TOLD
    groups[g, _SEEN] = counts[1]
    return g


@kernel("i8(i8[:,::1], i8[::1], i8[:,::1], i8)")
def place_group(groups: I64, counts: I64, books: I64, number: int) -> int:
    """Return the place of a group, see `account`; -1 where there is no room."""
    return _group_of(groups, counts, books, number)


@inline
def _find(numbers: I64, low_halves: I32, told: int, narrow: int) -> int:
    """Return the place of an interface, or NONE."""
    if told <= 0:
        return NONE
    if narrow:
        return max(low_halves[told & 0xFFFF], NONE)  # type: ignore[no-any-return] # numba types it
    low, high = 0, numbers.size
    while low < high:
        middle = (low + high) >> 1
        if numbers[middle] < told:
            low = middle + 1
        else:
            high = middle
    return low if low < numbers.size and numbers[low] == told else NONE


@inline
def _guess_layer(data: U8, rows: I64, row: int) -> int:
    """Tell from a packet of an unknown interface whether it begins with a MAC header (2) or not (3)."""
    at, length, protocol = rows[row, _R_DATA], rows[row, _R_DATA_LENGTH], rows[row, _R_PROTOCOL]
    if length < 14 or protocol not in (0x0800, 0x86DD):
        return 2
    told = be16(data, at + 12)
    version = 4 if protocol == 0x0800 else 6
    return 3 if told not in (protocol, 0x8100, 0x88A8) and data[at] >> 4 == version else 2


@inline
def _header_protocol(data: U8, rows: I64, row: int) -> int:
    """Return header_protocol of a packet without a MAC header."""
    if rows[row, _R_PROTOCOL] in (0x8847, 0x8848):
        return _MPLS
    version = data[rows[row, _R_DATA]] >> 4 if rows[row, _R_DATA_LENGTH] > 0 else 4
    return _IPV6 if version == 6 else _IPV4


@inline
def _draw(random: U64, below: int) -> int:
    """Return a number from 1 to `below` - 1, each as likely (xorshift64*)."""
    state = random[0]
    state ^= state >> np.uint64(12)
    state ^= state << np.uint64(25)
    state ^= state >> np.uint64(27)
    random[0] = state
    bits = (state * np.uint64(0x2545F4914F6CDD1D)) >> np.uint64(1)
    return 1 + np.int64(bits) % (below - 1)  # type: ignore[return-value] # numba types it


@inline
def _leaves_out(books: I64, b: int, every: int, random: U64) -> bool:
    """Tell whether a packet is to be left out where one in `every` is taken."""
    if every <= 1:
        books[b, _SKIP] = 0
        return False
    if books[b, _SKIP] <= 0 or books[b, _SKIP] > 2 * every - 1:
        books[b, _SKIP] = _draw(random, 2 * every)
    books[b, _SKIP] -= 1
    return books[b, _SKIP] > 0  # type: ignore[no-any-return] # numba types it


@inline
def _book_packet(groups: I64, g: int, books: I64, b: int, rate: int) -> None:
    """Enter a packet, and what its group lost before it, in the book of its data source."""
    lost = 0
    if g >= 0:
        lost = groups[g, _PENDING]
        groups[g, _PENDING] = 0
    books[b, _BOOK_POOL] = (books[b, _BOOK_POOL] + rate * (1 + lost)) & _WORD
    books[b, _BOOK_DROPS] = (books[b, _BOOK_DROPS] + lost) & _WORD


@inline
def _pick_header(data: U8, rows: I64, row: int, known_layer: int, picks: I64, p: int) -> None:
    """Fill in what a flow sample says of the packet's header."""
    layer = rows[row, _R_LAYER]
    if layer < 0:
        layer = known_layer if known_layer > 0 else _guess_layer(data, rows, row)
    octets = rows[row, _R_LENGTH]
    if layer == 3:
        rows[row, _R_TAG] = -1  # there is no place for it
        picks[p, _PROTOCOL] = _header_protocol(data, rows, row)
        picks[p, _STRIPPED] = _NO_MAC
    else:
        octets += _TAG if rows[row, _R_TAG] >= 0 else 0
        picks[p, _PROTOCOL] = _ETHERNET
        picks[p, _STRIPPED] = _FCS
    picks[p, _FRAME] = min(octets + picks[p, _STRIPPED], _WORD)


@kernel(
    "i8(Array(u1,1,'C',readonly=True), i8[:,::1], i8, i8[:,::1], i8[::1], i8[::1], i4[::1], i8[:,::1], i8[:,::1], i8,"
    " i8, u8[::1], i8[:,::1], i8[::1])"
)
def account(
    data: U8,
    rows: I64,
    count: int,
    groups: I64,
    counts: I64,
    numbers: I64,
    low_halves: I32,
    about: I64,
    books: I64,
    rate_untold: int,
    every: int,
    random: U64,
    picks: I64,
    tally: I64,
) -> int:
    """Book `count` packets and fill `picks` with those to be sent; return their number.

    `groups` is (most, Group); `counts` tells how many of them are in use, and the number of this step. `numbers` are
    the interfaces' ifIndexes in order, `low_halves` the place of the one with these low 16 bits (NONE, SEVERAL),
    `about` (n, 2) each one's layer of the first octet and its book; `books` is (n, Book), of which the first is for all
    that is unknown. `every` is how many packets stand for one that is taken. `tally` (Kept,) is added to.
    """
    picked = 0
    counts[1] += 1
    for row in range(count):
        g = _group_of(groups, counts, books, rows[row, _R_GROUP])
        direction = _TOLD
        if g < 0:
            tally[_UNNUMBERED] += 1
        else:
            direction = groups[g, _DIRECTION]
            if direction == _IGNORE:
                groups[g, _LAST] = -1  # what is ignored is not lost, should the user want it later
                tally[_IGNORED] += 1
                continue
            if rows[row, _R_SEQUENCE] >= 0:
                lost = _book_number(groups, g, rows[row, _R_SEQUENCE])
                groups[g, _PENDING] += lost
                tally[_LOST] += lost
        narrow = rows[row, _R_NARROW]
        came = _find(numbers, low_halves, rows[row, _R_INPUT], narrow & 1)
        went = _find(numbers, low_halves, rows[row, _R_OUTPUT], narrow & 2)
        if (came < 0 and rows[row, _R_INPUT] > 0) or (went < 0 and rows[row, _R_OUTPUT] > 0):
            tally[_UNKNOWN] += 1
        if direction == _TOLD:
            direction = rows[row, _R_EGRESS]
            if direction < 0:
                direction = 1 if rows[row, _R_OUTPUT] > 0 else 0
        place = went if direction == 1 else came
        if place < 0:
            place = came if direction == 1 else went
        b = about[place, 1] if place >= 0 else 0
        rate = rows[row, _R_RATE] if rows[row, _R_RATE] > 0 else rate_untold
        _book_packet(groups, g, books, b, rate)
        stands_for = max(every, (books[b, _LEAST] + rate - 1) // rate)
        if _leaves_out(books, b, stands_for, random):
            tally[_SHED] += 1
            continue
        books[b, _BOOK_SEQUENCE] = (books[b, _BOOK_SEQUENCE] + 1) & _WORD
        picks[picked, _ROW] = row
        picks[picked, _SOURCE_TYPE], picks[picked, _SOURCE] = books[b, _TYPE], books[b, _INDEX]
        picks[picked, _SEQUENCE] = books[b, _BOOK_SEQUENCE]
        picks[picked, _RATE] = min(rate * stands_for, _WORD)
        picks[picked, _POOL], picks[picked, _DROPS] = books[b, _BOOK_POOL], books[b, _BOOK_DROPS]
        picks[picked, _INPUT] = numbers[came] if came >= 0 else 0
        picks[picked, _OUTPUT] = numbers[went] if went >= 0 else 0
        picks[picked, _EGRESS] = direction
        _pick_header(data, rows, row, about[place, 0] if place >= 0 else 0, picks, picked)
        tally[_TAKEN] += 1
        picked += 1
    return picked


KERNELS = (account, place_group)
