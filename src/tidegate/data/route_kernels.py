"""Kernels of a routing table that changes while it is read: longest match, announce, withdraw.

The table is the list of ranges of addresses that have one longest match, in order; each is its first address and the
prefix that owns it (-1: none). Ranges are cut into blocks of at most 64, so that one more is a short move; `firsts` and
`order` are the directory of the blocks. A longest match is one search for the last range that does not start behind the
address. The first range starts at address 0 and is always there; two ranges side by side never have one owner. For
many addresses `jump` saves the search its first steps: for the leading 16 bits of an address, the first block behind.

Each prefix knows its parent, the longest prefix around it. The prefixes that start at an address are the owner of the
range that starts there and those of its ancestors that start there too: nothing else is needed to find them.

A prefix that comes takes the ranges inside it from its parent, and becomes the parent of what has no nearer one; when
it goes it gives both back (`_adopt`). That is the only step whose time grows with the table. It is counted as work:
`change` stops in the middle of it when enough was done, and goes on at the next call; till then some of the addresses
inside are matched as before.

Addresses are two words; those of IPv4 stand in the upper half of the first. A prefix has at least one route; of several
(RFC 7911) the best comes first. Attributes are numbers; `references` counts the routes of each.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray

from tidegate.data.route_attributes import ATTRIBUTES, AttributeRows
from tidegate.kernel import I32, I64, U8, U64, Int, inline, kernel, records

__all__ = [
    "BLOCK",
    "DONE",
    "FULL",
    "JUMP",
    "KERNELS",
    "PREFIX",
    "ROUTE",
    "TIRED",
    "Sets",
    "State",
    "Table",
    "change",
    "choose",
    "follow",
    "match",
    "spell",
]

BLOCK = 64  # ranges in a block
_HALF = BLOCK // 2
_MERGE = 48  # a block and its neighbour become one where they hold no more than this together
JUMP = (1 << 16) + 1
_JUMP_SHIFT = np.uint64(48)

# Not aligned: that is a fifth less memory, and no slower here.
PREFIX = np.dtype(
    [("high", np.uint64), ("low", np.uint64), ("parent", np.int32), ("route", np.int32), ("length", np.uint8)]
)
ROUTE = np.dtype([("path_id", np.uint32), ("attributes", np.int32), ("next", np.int32), ("stale", np.uint8)])
Prefixes = NDArray[Any]  # of PREFIX; `route` is the first of a list; in free ones `parent` is the next free one
Routes = NDArray[Any]  # of ROUTE; `next` is -1 at the end of a list, and the next free one in free ones


class State(IntEnum):
    """Places of the array of numbers that a table has besides; what is free is chained from one, -1 for none."""

    BLOCKS = 0  # in the directory
    NEW_BLOCK = 1  # blocks from here on were never used
    FREE_BLOCK = 2
    PREFIXES = 3
    NEW_PREFIX = 4
    FREE_PREFIX = 5
    ROUTES = 6
    NEW_ROUTE = 7
    FREE_ROUTE = 8
    SPAN = 9  # the span of octets that `change` has reached
    OCTET = 10  # and the place in it; smaller than its start where it begins with it
    WORK = 11  # what may still be done
    FREED = 12  # attributes whose last route is gone
    UNKNOWN = 13  # withdrawals of what was not there
    ADOPTED = 14  # prefix whose ranges are being given away or taken, -1 for none
    OLD = 15  # from whom
    NEW = 16  # to whom
    HIGH = 17  # and up to which address that was done
    LOW = 18
    MOVED = 19  # whether the directory has changed since `jump` was made


DONE, FULL, TIRED = 0, 1, 2  # what `change` returns: all was done, an array must grow, there is more to do
_BLOCKS, _NEW_BLOCK, _FREE_BLOCK = int(State.BLOCKS), int(State.NEW_BLOCK), int(State.FREE_BLOCK)
_PREFIXES, _NEW_PREFIX, _FREE_PREFIX = int(State.PREFIXES), int(State.NEW_PREFIX), int(State.FREE_PREFIX)
_ROUTES, _NEW_ROUTE, _FREE_ROUTE = int(State.ROUTES), int(State.NEW_ROUTE), int(State.FREE_ROUTE)
_SPAN, _OCTET, _WORK = int(State.SPAN), int(State.OCTET), int(State.WORK)
_FREED, _UNKNOWN = int(State.FREED), int(State.UNKNOWN)
_ADOPTED, _OLD, _NEW = int(State.ADOPTED), int(State.OLD), int(State.NEW)
_HIGH, _LOW, _MOVED = int(State.HIGH), int(State.LOW), int(State.MOVED)

_ZERO, _ONE, _ALL = np.uint64(0), np.uint64(1), np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_WORD, _HALF_WORD = np.uint64(64), np.uint64(32)
_MAPPED = np.uint64(0xFFFF)  # IPv4 addresses in batches, see data/address.py


class Table(NamedTuple):
    """The arrays of a table."""

    highs: U64  # first words of ranges, by block
    lows: U64  # their second words; of IPv4, where all are 0, one entry
    owners: I32  # of ranges, by block
    fill: I32  # ranges of each block; in free ones the next free one
    firsts: U64  # first word of each block, in order
    order: I32  # blocks in order
    prefixes: Prefixes
    routes: Routes
    state: I64


class Sets(NamedTuple):
    """The attributes that routes have, by number."""

    ranks: U64  # of two routes to a prefix the one with the smaller is better
    references: I32  # how many routes have it
    freed: I32  # scratch: those whose last route is gone


_named: Any = types.NamedTuple  # numba ships no types for it
_SETS = _named((types.uint64[::1], types.int32[::1], types.int32[::1]), Sets)
_TABLE = _named(
    (
        types.uint64[::1],
        types.uint64[::1],
        types.int32[::1],
        types.int32[::1],
        types.uint64[::1],
        types.int32[::1],
        records(PREFIX),
        records(ROUTE),
        types.int64[::1],
    ),
    Table,
)


@inline
def _mask(bits: Int) -> np.uint64:
    """Return a word with its first bits set, of at most 64."""
    if bits <= 0:
        return _ZERO
    return _ALL if bits >= 64 else _ALL << (_WORD - np.uint64(bits))


@inline
def _search(table: Table, blocks: Int, high: np.uint64, low: np.uint64) -> tuple[Int, Int]:
    """Return the last range that does not start behind an address: the place of its block, and its place in it."""
    return _search_from(table, 1, blocks, high, low)


@inline
def _search_from(table: Table, left: Int, right: Int, high: np.uint64, low: np.uint64) -> tuple[Int, Int]:
    """Do as `_search`; the block is the one before `left` or lies before `right`."""
    wide = table.lows.size > 1
    while left < right:
        middle = (left + right) >> 1
        first = table.firsts[middle]
        if first > high or (wide and first == high and table.lows[np.int64(table.order[middle]) * BLOCK] > low):
            right = middle
        else:
            left = middle + 1
    place = left - 1
    base = np.int64(table.order[place]) * BLOCK
    left, right = 1, np.int64(table.fill[table.order[place]])
    while left < right:
        middle = (left + right) >> 1
        first = table.highs[base + middle]
        if first > high or (wide and first == high and table.lows[base + middle] > low):
            right = middle
        else:
            left = middle + 1
    return place, left - 1


@inline
def _make_jump(table: Table, jump: I32) -> None:
    place: Int = 1
    for leading in range(jump.size):
        while place < table.state[_BLOCKS] and table.firsts[place] >> _JUMP_SHIFT < np.uint64(leading):
            place += 1
        jump[leading] = place
    table.state[_MOVED] = 0


@kernel((_TABLE, types.int32[::1], types.uint64[::1], types.uint64[::1], types.boolean, types.int64[::1]))
def match(table: Table, jump: I32, high: U64, low: U64, ipv4: bool, found: I64) -> None:  # noqa: FBT001
    """Set `found` to the longest prefix around each of n addresses as batches hold them; others are left.

    `ipv4` says which addresses are this table's. `jump` (`JUMP`) is made anew where it must be.
    """
    if table.state[_MOVED]:
        _make_jump(table, jump)
    for row in range(high.size):
        one, other = high[row], low[row]
        if (one == _ZERO and other >> _HALF_WORD == _MAPPED) != ipv4:
            continue
        if ipv4:
            one, other = other << _HALF_WORD, _ZERO
        leading = np.int64(one >> _JUMP_SHIFT)
        place, at = _search_from(table, np.int64(jump[leading]), np.int64(jump[leading + 1]), one, other)
        owner = table.owners[np.int64(table.order[place]) * BLOCK + at]
        if owner >= 0:
            found[row] = owner


@kernel((_TABLE, types.int64[::1], types.int64[::1]))
def follow(table: Table, cursor: I64, rows: I64) -> Int:
    """Set `rows` to the prefixes that start at an address (two words, as signed numbers) or behind; return how many.

    `cursor` is moved to where to go on, and its third number set where nothing is left. `rows` has room for the
    prefixes of one start: 129. They come in order, of one start the shortest first.
    """
    high, low = np.uint64(cursor[0]), np.uint64(cursor[1])
    place, at = _search(table, table.state[_BLOCKS], high, low)
    count = 0
    while place < table.state[_BLOCKS]:
        base = np.int64(table.order[place]) * BLOCK
        if at >= table.fill[table.order[place]]:
            place, at = place + 1, 0
            continue
        start_high = table.highs[base + at]
        start_low = table.lows[base + at] if table.lows.size > 1 else _ZERO
        if start_high > high or (start_high == high and start_low >= low):
            deep = 0
            owner = np.int64(table.owners[base + at])
            while owner >= 0 and table.prefixes[owner].high == start_high and table.prefixes[owner].low == start_low:
                deep += 1
                owner = np.int64(table.prefixes[owner].parent)
            if count + deep > rows.size:
                cursor[0], cursor[1] = np.int64(start_high), np.int64(start_low)
                return count
            owner = np.int64(table.owners[base + at])
            for step in range(deep):
                rows[count + deep - 1 - step] = owner
                owner = np.int64(table.prefixes[owner].parent)
            count += deep
        at += 1
    cursor[2] = 1
    return count


@inline
def _open_block(table: Table, place: Int) -> Int:
    """Put an empty block into the directory; return it."""
    if table.state[_FREE_BLOCK] >= 0:
        block = np.int64(table.state[_FREE_BLOCK])
        table.state[_FREE_BLOCK] = table.fill[block]
    else:
        block = np.int64(table.state[_NEW_BLOCK])
        table.state[_NEW_BLOCK] += 1
    for later in range(table.state[_BLOCKS], place, -1):
        table.order[later] = table.order[later - 1]
        table.firsts[later] = table.firsts[later - 1]
    table.order[place] = block
    table.fill[block] = 0
    table.state[_BLOCKS] += 1
    table.state[_MOVED] = 1
    return block


@inline
def _close_block(table: Table, place: Int) -> None:
    """Take an empty block out of the directory."""
    block = table.order[place]
    table.state[_BLOCKS] -= 1
    table.state[_MOVED] = 1
    for later in range(place, table.state[_BLOCKS]):
        table.order[later] = table.order[later + 1]
        table.firsts[later] = table.firsts[later + 1]
    table.fill[block] = table.state[_FREE_BLOCK]
    table.state[_FREE_BLOCK] = block


@inline
def _move(table: Table, source: Int, target: Int, count: Int) -> None:
    """Copy ranges from one place to another that does not overlap, or lies in front."""
    for step in range(count):
        table.highs[target + step] = table.highs[source + step]
        table.owners[target + step] = table.owners[source + step]
    if table.lows.size > 1:
        for step in range(count):
            table.lows[target + step] = table.lows[source + step]


@inline
def _insert(table: Table, place: Int, at: Int, high: np.uint64, low: np.uint64, owner: Int) -> None:
    """Put a range at a place of a block, which is not its first."""
    if table.fill[table.order[place]] == BLOCK:
        block = np.int64(table.order[place])
        fresh = _open_block(table, place + 1)
        # what comes in order fills blocks up; all else leaves room in both halves
        keep = BLOCK if at == BLOCK else _HALF
        _move(table, block * BLOCK + keep, fresh * BLOCK, BLOCK - keep)
        table.fill[block], table.fill[fresh] = keep, BLOCK - keep
        table.firsts[place + 1] = high if keep == BLOCK else table.highs[fresh * BLOCK]
        if at > keep or keep == BLOCK:
            place, at = place + 1, at - keep
    block = np.int64(table.order[place])
    base = block * BLOCK
    for later in range(base + np.int64(table.fill[block]), base + at, -1):
        table.highs[later] = table.highs[later - 1]
        table.owners[later] = table.owners[later - 1]
    table.highs[base + at] = high
    table.owners[base + at] = owner
    if table.lows.size > 1:
        for later in range(base + np.int64(table.fill[block]), base + at, -1):
            table.lows[later] = table.lows[later - 1]
        table.lows[base + at] = low
    table.fill[block] += 1


@inline
def _remove(table: Table, place: Int, at: Int) -> None:
    """Take the range at a place out; blocks that have become small are joined."""
    block = np.int64(table.order[place])
    base = block * BLOCK
    table.fill[block] -= 1
    _move(table, base + at + 1, base + at, np.int64(table.fill[block]) - at)
    if table.fill[block] == 0:
        _close_block(table, place)
        return
    if at == 0:
        table.firsts[place] = table.highs[base]
        table.state[_MOVED] = 1
    left = place if place + 1 < table.state[_BLOCKS] else place - 1
    if left < 0 or table.fill[table.order[left]] + table.fill[table.order[left + 1]] > _MERGE:
        return
    one, other = np.int64(table.order[left]), np.int64(table.order[left + 1])
    _move(table, other * BLOCK, one * BLOCK + table.fill[one], np.int64(table.fill[other]))
    table.fill[one] += table.fill[other]
    _close_block(table, left + 1)


@inline
def _behind(high: np.uint64, low: np.uint64, length: Int) -> tuple[np.uint64, np.uint64, bool]:
    """Return the address behind a prefix, and whether there is one."""
    if length == 0:
        return _ZERO, _ZERO, False
    if length <= 64:
        high += _ONE << np.uint64(64 - length)
        return high, _ZERO, high != _ZERO
    low += _ONE << np.uint64(128 - length)
    if low == _ZERO:
        high += _ONE
    return high, low, low != _ZERO or high != _ZERO


@inline
def _cut(table: Table, high: np.uint64, low: np.uint64) -> None:
    """Make a range start at an address, if none does."""
    place, at = _search(table, table.state[_BLOCKS], high, low)
    base = np.int64(table.order[place]) * BLOCK
    if table.highs[base + at] == high and (table.lows.size == 1 or table.lows[base + at] == low):
        return
    _insert(table, place, at + 1, high, low, np.int64(table.owners[base + at]))


@inline
def _join(table: Table, high: np.uint64, low: np.uint64) -> None:
    """Take out the range that starts at an address, if the one before has the same owner."""
    place, at = _search(table, table.state[_BLOCKS], high, low)
    base = np.int64(table.order[place]) * BLOCK
    if place + at == 0 or table.highs[base + at] != high or (table.lows.size > 1 and table.lows[base + at] != low):
        return
    before = np.int64(table.order[place - 1]) if at == 0 else np.int64(table.order[place])
    last = before * BLOCK + (np.int64(table.fill[before]) if at == 0 else at) - 1
    if table.owners[last] == table.owners[base + at]:
        _remove(table, place, at)


@inline
def _adopt(table: Table) -> bool:
    """Give the ranges inside a prefix, and what has no nearer parent there, from one prefix to another.

    Tell whether that is done; where not, the state knows how far it went.
    """
    row, old, new = table.state[_ADOPTED], table.state[_OLD], table.state[_NEW]
    length = np.int64(table.prefixes[row].length)
    end_high, end_low, bounded = _behind(table.prefixes[row].high, table.prefixes[row].low, length)
    place, at = _search(table, table.state[_BLOCKS], np.uint64(table.state[_HIGH]), np.uint64(table.state[_LOW]))
    while place < table.state[_BLOCKS]:
        block = np.int64(table.order[place])
        if at >= table.fill[block]:
            place, at = place + 1, 0
            continue
        here = block * BLOCK + at
        high, low = table.highs[here], table.lows[here] if table.lows.size > 1 else _ZERO
        if bounded and (high > end_high or (high == end_high and low >= end_low)):
            return True
        if table.state[_WORK] <= 0:
            table.state[_HIGH], table.state[_LOW] = np.int64(high), np.int64(low)
            return False
        table.state[_WORK] -= 1
        owner = np.int64(table.owners[here])
        if owner == old:
            table.owners[here] = new
        elif owner != new:
            parent = np.int64(table.prefixes[owner].parent)
            while parent != old and parent != new:  # noqa: PLR1714 - a set would be memory
                owner, parent = parent, np.int64(table.prefixes[parent].parent)
                table.state[_WORK] -= 1
            table.prefixes[owner].parent = new
        at += 1
    return True


@inline
def _end_adoption(table: Table) -> None:
    """Do what follows when all ranges of a prefix were given: forget the prefix, if it was the one who gave."""
    row = table.state[_ADOPTED]
    table.state[_ADOPTED] = -1
    if row != table.state[_OLD]:
        return
    high, low, length = table.prefixes[row].high, table.prefixes[row].low, np.int64(table.prefixes[row].length)
    _join(table, high, low)
    high, low, bounded = _behind(high, low, length)
    if bounded:
        _join(table, high, low)
    table.prefixes[row].parent = table.state[_FREE_PREFIX]
    table.prefixes[row].route = -1
    table.state[_FREE_PREFIX] = row
    table.state[_PREFIXES] -= 1


@inline
def _begin_adoption(table: Table, row: Int, old: Int, new: Int) -> None:
    table.state[_ADOPTED], table.state[_OLD], table.state[_NEW] = row, old, new
    table.state[_HIGH], table.state[_LOW] = np.int64(table.prefixes[row].high), np.int64(table.prefixes[row].low)


@inline
def _better(ranks: U64, table: Table, one: Int, attributes: Int, path_id: np.uint32) -> bool:
    """Tell whether a route stands before one with these attributes and path identifier."""
    own, other = ranks[table.routes[one].attributes], ranks[attributes]
    return bool(own < other or (own == other and table.routes[one].path_id < path_id))


@inline
def _release(table: Table, sets: Sets, attributes: Int) -> None:
    """Count one route less."""
    sets.references[attributes] -= 1
    if sets.references[attributes] == 0:
        sets.freed[table.state[_FREED]] = attributes
        table.state[_FREED] += 1


@inline
def _unlink(table: Table, row: Int, path_id: np.uint32) -> Int:
    """Take the route with a path identifier out of the list of a prefix; return it, or -1."""
    last: Int = -1
    one = np.int64(table.prefixes[row].route)
    while one >= 0 and table.routes[one].path_id != path_id:
        last, one = one, np.int64(table.routes[one].next)
        table.state[_WORK] -= 1
    if one >= 0 and last < 0:
        table.prefixes[row].route = table.routes[one].next
    elif one >= 0:
        table.routes[last].next = table.routes[one].next
    return one


@inline
def _link(table: Table, ranks: U64, row: Int, one: Int) -> None:
    """Put a route into the list of a prefix, the best first."""
    attributes, path_id = np.int64(table.routes[one].attributes), table.routes[one].path_id
    last: Int = -1
    after = np.int64(table.prefixes[row].route)
    while after >= 0 and _better(ranks, table, after, attributes, path_id):
        last, after = after, np.int64(table.routes[after].next)
        table.state[_WORK] -= 1
    table.routes[one].next = after
    if last < 0:
        table.prefixes[row].route = one
    else:
        table.routes[last].next = one


@inline
def _new_prefix(table: Table, high: np.uint64, low: np.uint64, length: Int, parent: Int) -> Int:
    """Make a prefix that has no route yet; return it."""
    if table.state[_FREE_PREFIX] >= 0:
        row = np.int64(table.state[_FREE_PREFIX])
        table.state[_FREE_PREFIX] = np.int64(table.prefixes[row].parent)
    else:
        row = np.int64(table.state[_NEW_PREFIX])
        table.state[_NEW_PREFIX] += 1
    table.prefixes[row].high = high
    table.prefixes[row].low = low
    table.prefixes[row].length = np.uint8(length)
    table.prefixes[row].parent = parent
    table.prefixes[row].route = -1
    table.state[_PREFIXES] += 1
    return row


@inline
def _new_route(table: Table) -> Int:
    if table.state[_FREE_ROUTE] >= 0:
        one = np.int64(table.state[_FREE_ROUTE])
        table.state[_FREE_ROUTE] = np.int64(table.routes[one].next)
    else:
        one = np.int64(table.state[_NEW_ROUTE])
        table.state[_NEW_ROUTE] += 1
    table.state[_ROUTES] += 1
    return one


@inline
def _octets(data: U8, start: Int, count: Int) -> np.uint64:
    """Return up to eight octets as a word, from its upper end."""
    word = _ZERO
    for step in range(count):
        word |= np.uint64(data[start + step]) << np.uint64(56 - 8 * step)
    return word


@inline
def _full(table: Table) -> bool:
    """Tell whether there may be no room for one more prefix, which takes up to two blocks, and its route."""
    state = table.state
    if state[_FREE_BLOCK] < 0 and table.fill.size - state[_NEW_BLOCK] < 2:
        return True
    if state[_FREE_PREFIX] < 0 and state[_NEW_PREFIX] >= table.prefixes.size:
        return True
    return bool(state[_FREE_ROUTE] < 0 and state[_NEW_ROUTE] >= table.routes.size)


@inline
def _withdraw(table: Table, place: tuple[Int, np.uint32], sets: Sets) -> None:
    """Take away the route with a path identifier to a prefix, -1 for none."""
    row, path_id = place
    one = _unlink(table, row, path_id) if row >= 0 else -1
    if one < 0:
        table.state[_UNKNOWN] += 1
        return
    _release(table, sets, np.int64(table.routes[one].attributes))
    table.routes[one].next = table.state[_FREE_ROUTE]
    table.routes[one].attributes = -1
    table.state[_FREE_ROUTE] = one
    table.state[_ROUTES] -= 1
    if table.prefixes[row].route < 0:
        _begin_adoption(table, row, row, np.int64(table.prefixes[row].parent))


@inline
def _announce(table: Table, place: tuple[Int, np.uint32], attributes: Int, sets: Sets) -> None:
    """Put a route with a path identifier to a prefix, in place of the one that is there."""
    row, path_id = place
    one = _unlink(table, row, path_id)
    if one >= 0:
        _release(table, sets, np.int64(table.routes[one].attributes))
    else:
        one = _new_route(table)
    sets.references[attributes] += 1
    table.routes[one].path_id = path_id
    table.routes[one].attributes = attributes
    table.routes[one].stale = 0
    _link(table, sets.ranks, row, one)


@inline
def _around(table: Table, high: np.uint64, low: np.uint64, length: Int) -> tuple[Int, bool]:
    """Return the longest prefix around one, and whether it is that one."""
    place, at = _search(table, table.state[_BLOCKS], high, low)
    row = np.int64(table.owners[np.int64(table.order[place]) * BLOCK + at])
    while row >= 0 and np.int64(table.prefixes[row].length) > length:
        row = np.int64(table.prefixes[row].parent)
    return row, bool(row >= 0 and np.int64(table.prefixes[row].length) == length)


@inline
def _add_prefix(table: Table, high: np.uint64, low: np.uint64, length: Int, parent: Int) -> Int:
    """Make a prefix without a route, with ranges of its own; return it."""
    row = _new_prefix(table, high, low, length, parent)
    _cut(table, high, low)
    end_high, end_low, bounded = _behind(high, low, length)
    if bounded:
        _cut(table, end_high, end_low)
    _begin_adoption(table, row, parent, row)
    return row


@kernel((_TABLE, types.Array(types.uint8, 1, "C", readonly=True), types.int64[:, ::1], types.boolean, _SETS))
def change(table: Table, data: U8, spans: I64, with_path_id: bool, sets: Sets) -> Int:  # noqa: FBT001 - one loop
    """Announce and withdraw the prefixes of k spans of octets, as in UPDATEs (RFC 4271 section 4.3).

    A span (3,) is start, stop, and the attributes, -1 to withdraw. Prefixes must have been checked. Return `DONE`, or
    why not all was done: call again.
    """
    state = table.state
    while True:
        if state[_ADOPTED] >= 0:
            if not _adopt(table):
                return TIRED
            _end_adoption(table)
        span = state[_SPAN]
        if span >= spans.shape[0]:
            return DONE
        offset = max(state[_OCTET], spans[span, 0])
        if offset >= spans[span, 1]:
            state[_SPAN] += 1
            state[_OCTET] = 0
            continue
        if state[_WORK] <= 0 or state[_FREED] >= sets.freed.size:
            return TIRED
        attributes = spans[span, 2]
        if attributes >= 0 and _full(table):
            return FULL
        state[_WORK] -= 1
        path_id = np.uint32(0)
        if with_path_id:
            path_id = np.uint32(_octets(data, offset, 4) >> _HALF_WORD)
            offset += 4
        length = np.int64(data[offset])
        octets = (length + 7) >> 3
        high = _octets(data, offset + 1, min(octets, np.int64(8))) & _mask(length)
        low = _octets(data, offset + 9, octets - 8) & _mask(length - 64)
        state[_OCTET] = offset + 1 + octets
        row, known = _around(table, high, low, length)
        if attributes < 0:
            _withdraw(table, (row if known else -1, path_id), sets)
            continue
        if known:
            _announce(table, (row, path_id), attributes, sets)
        else:
            _announce(table, (_add_prefix(table, high, low, length, row), path_id), attributes, sets)


@kernel((_TABLE, types.int64[::1], types.int64, types.uint8[::1]))
def spell(table: Table, rows: I64, count: Int, out: U8) -> Int:
    """Write the stale routes of the first `count` of some prefixes as in an UPDATE with path identifiers.

    Return how many octets they take.

    Nothing is written where `out` has no octets.
    """
    size: Int = 0
    for at in range(count):
        row = rows[at]
        octets = (np.int64(table.prefixes[row].length) + 7) >> 3
        one = np.int64(table.prefixes[row].route)
        while one >= 0:
            if table.routes[one].stale:
                if out.size:
                    for step in range(4):
                        out[size + step] = np.uint8(table.routes[one].path_id >> np.uint32(24 - 8 * step))
                    out[size + 4] = table.prefixes[row].length
                    for step in range(octets):
                        word = table.prefixes[row].high if step < 8 else table.prefixes[row].low
                        out[size + 5 + step] = np.uint8(word >> np.uint64(56 - 8 * (step & 7)))
                size += 5 + octets
            one = np.int64(table.routes[one].next)
    return size


@kernel((_TABLE, types.int64[::1], types.uint64[:, ::1], records(ATTRIBUTES), types.int64[::1]))
def choose(table: Table, rows: I64, next_hop: U64, sets: AttributeRows, found: I64) -> None:
    """Set `found` to the attributes of the best route to each of n prefixes, -1 for prefix -1.

    Where `next_hop` has columns, one for each, it is the best that leads there, if one does. A prefix that is just
    being removed has no route any more: its row becomes its parent's.
    """
    for at in range(rows.size):
        found[at] = -1
        while rows[at] >= 0 and table.prefixes[rows[at]].route < 0:
            rows[at] = table.prefixes[rows[at]].parent
        if rows[at] < 0:
            continue
        one = np.int64(table.prefixes[rows[at]].route)
        found[at] = table.routes[one].attributes
        while next_hop.shape[1] and one >= 0:
            attributes = np.int64(table.routes[one].attributes)
            if sets[attributes].next_hop_high == next_hop[0, at] and sets[attributes].next_hop_low == next_hop[1, at]:
                found[at] = attributes
                break
            one = np.int64(table.routes[one].next)


KERNELS = (match, follow, change, spell, choose)
