"""The routes of one address family that a router has told, for longest match of many addresses at once.

Changes come as octets of prefixes, wait in a queue, and are applied by `work` a bounded piece at a time. Who reads from
another thread and who changes share a lock, which is held for one such piece.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, Final

import msgspec
import numpy as np

from tidegate.data.address import MAPPED
from tidegate.data.route_attributes import AttributeRows, AttributeSets
from tidegate.data.route_kernels import (
    BLOCK,
    DONE,
    FULL,
    JUMP,
    PREFIX,
    ROUTE,
    Sets,
    State,
    Table,
    change,
    choose,
    follow,
    match,
    spell,
)
from tidegate.kernel import I64, U8, U64

__all__ = ["Held", "RouteTable"]

_WORK: Final = 20_000  # steps a call: a few milliseconds
_FREED: Final = 1 << 14
_LISTED: Final = 1024  # prefixes fetched at once by who walks through all
_OF_ONE_START: Final = 129  # prefixes that may start at one address
_SPELLED: Final = 1 << 15  # octets of stale routes withdrawn at once


class Held(msgspec.Struct, frozen=True):
    """One route: the prefix as a number of the family's width, and the octets of its attributes."""

    prefix: int
    length: int
    path_id: int
    attributes: bytes
    number: int
    stale: bool


class _Changes(msgspec.Struct, frozen=True, eq=False):
    """Spans of octets to announce or withdraw, see `change`."""

    data: U8
    spans: I64
    with_path_id: bool


class _Mark(msgspec.Struct, frozen=True):
    """Mark all routes."""


class _Sweep(msgspec.Struct, frozen=True, eq=False):
    """Withdraw what is still marked, from a cursor on, see `follow`."""

    cursor: I64


class RouteTable:
    """The routes of a family with addresses of `octets` octets. `lock` keeps readers and changes apart."""

    def __init__(self, octets: int, *, lock: AbstractContextManager[Any] | None = None) -> None:
        self.octets = octets
        self._lock = contextlib.nullcontext() if lock is None else lock
        self._begin()

    def _begin(self) -> None:
        self.sets = AttributeSets()
        self._waiting: deque[_Changes | _Mark | _Sweep] = deque()
        self._marked = False
        self._freed = np.zeros(_FREED, np.int32)
        self._highs = np.zeros(16 * BLOCK, np.uint64)
        self._lows = np.zeros(16 * BLOCK if self.octets == 16 else 1, np.uint64)
        self._owners = np.full(16 * BLOCK, -1, np.int32)
        self._fill = np.zeros(16, np.int32)
        self._firsts = np.zeros(16, np.uint64)
        self._order = np.zeros(16, np.int32)
        self._jump = np.ones(JUMP, np.int32)
        self._prefixes = np.zeros(1024, PREFIX)
        self._routes = np.zeros(1024, ROUTE)
        self._state = np.zeros(len(State), np.int64)
        self._state[[State.FREE_BLOCK, State.FREE_PREFIX, State.FREE_ROUTE, State.ADOPTED]] = -1
        self._state[[State.BLOCKS, State.NEW_BLOCK]] = 1  # the first range
        self._fill[0] = 1
        self._no_octets = np.empty(0, np.uint8)

    def __len__(self) -> int:
        """Return the number of routes."""
        return int(self._state[State.ROUTES])

    @property
    def prefixes(self) -> int:
        """How many prefixes have routes."""
        return int(self._state[State.PREFIXES])

    @property
    def unknown_withdrawals(self) -> int:
        """How many withdrawals were of routes that were not there."""
        return int(self._state[State.UNKNOWN])

    @property
    def memory(self) -> int:
        """Return the octets of the arrays."""
        arrays = (*self._table, self.sets.rows, self.sets.ranks, self.sets.references)
        return sum(array.nbytes for array in arrays)

    @property
    def busy(self) -> bool:
        """Whether changes wait for `work`."""
        return bool(self._waiting)

    def take(
        self,
        data: U8,
        gone: I64,
        here: I64,
        keys: list[bytes],
        rows: AttributeRows,
        *,
        with_path_id: bool = False,
    ) -> None:
        """Queue k changes, each of octets of prefixes (k, 2) to withdraw and then of others to announce.

        The prefixes must have been checked; a span may be empty. `keys` and `rows` are the attributes of those that
        announce, one after the other.
        """
        spans = np.empty((len(gone), 2, 3), np.int64)
        spans[:, 0, :2], spans[:, 1, :2] = gone, here
        spans[:, 0, 2] = spans[:, 1, 2] = -1
        numbers = self.sets.numbers(keys, rows)
        np.add.at(self.sets.references, numbers, 1)  # they must not be forgotten while they wait
        spans[here[:, 1] > here[:, 0], 1, 2] = numbers
        self._waiting.append(_Changes(data, spans.reshape(-1, 3), with_path_id))

    def work(self) -> bool:
        """Do a bounded piece of what waits; tell whether more is left."""
        if self._waiting:
            match self._waiting[0]:
                case _Changes() as changes:
                    self._work_on(changes)
                case _Mark():
                    self._waiting.popleft()
                    self._marked = True
                    with self._lock:
                        self._routes["stale"] = 1
                case _Sweep(cursor=cursor):
                    self._withdraw_stale(cursor)
        return self.busy

    def _work_on(self, changes: _Changes) -> None:
        with self._lock:
            self._state[[State.WORK, State.FREED]] = _WORK, 0
            while (result := self._change(changes)) == FULL:
                self._grow()
            freed = self._freed[: self._state[State.FREED]].tolist()
            if result == DONE:
                self._waiting.popleft()
                self._state[[State.SPAN, State.OCTET]] = 0
                numbers = changes.spans[:, 2][changes.spans[:, 2] >= 0]
                np.subtract.at(self.sets.references, numbers, 1)
                freed += numbers.tolist()
            self.sets.forget(freed)

    def finish(self) -> None:
        """Do all that waits."""
        while self.work():
            pass

    def _change(self, changes: _Changes) -> int:
        sets = Sets(self.sets.ranks, self.sets.references, self._freed)
        return int(change(self._table, changes.data, changes.spans, changes.with_path_id, sets))

    @property
    def _table(self) -> Table:
        return Table(
            self._highs, self._lows, self._owners, self._fill, self._firsts, self._order,
            self._prefixes, self._routes, self._state,
        )  # fmt: skip

    def _grow(self) -> None:
        state = self._state
        if state[State.FREE_BLOCK] < 0 and len(self._fill) - state[State.NEW_BLOCK] < 2:
            blocks = _more(len(self._fill))
            for array in (self._fill, self._firsts, self._order):
                array.resize(blocks, refcheck=False)
            self._highs.resize(blocks * BLOCK, refcheck=False)
            self._owners.resize(blocks * BLOCK, refcheck=False)
            if self.octets == 16:
                self._lows.resize(blocks * BLOCK, refcheck=False)
        if state[State.FREE_PREFIX] < 0 and state[State.NEW_PREFIX] >= len(self._prefixes):
            self._prefixes.resize(_more(len(self._prefixes)), refcheck=False)
        if state[State.FREE_ROUTE] < 0 and state[State.NEW_ROUTE] >= len(self._routes):
            self._routes.resize(_more(len(self._routes)), refcheck=False)

    def clear(self) -> None:
        """Forget everything, also what waits."""
        with self._lock:
            self._begin()

    def mark_stale(self) -> None:
        """Mark all routes that are there when what waits is done; each is good again when it is announced again."""
        self._waiting.append(_Mark())

    @property
    def stale(self) -> int:
        """How many routes are marked."""
        if not self._marked:
            return 0
        used = self._routes[: self._state[State.NEW_ROUTE]]
        return int(np.count_nonzero(used["stale"] & (used["attributes"] >= 0)))

    def sweep(self) -> None:
        """Withdraw all routes that are still marked when what waits is done."""
        self._waiting.append(_Sweep(np.zeros(3, np.int64)))

    def _withdraw_stale(self, cursor: I64) -> None:
        rows = np.empty(_LISTED, np.int64)
        count = int(follow(self._table, cursor, rows))
        size = int(spell(self._table, rows, count, self._no_octets))
        out = np.empty(size, np.uint8)
        spell(self._table, rows, count, out)
        if cursor[2]:
            self._waiting.popleft()
            self._marked = False  # what is left goes with the piece that is made here
        if size:
            span = np.array([[0, size, -1]], np.int64)
            self._waiting.appendleft(_Changes(out, span, with_path_id=True))

    def reading(self) -> AbstractContextManager[Any]:
        """Return what to hold while reading from another thread."""
        return self._lock

    def match(self, high: U64, low: U64, found: I64) -> None:
        """Set `found` to the prefix around each of n addresses of this family, as batches hold them; within `reading`.

        The others, and those that no prefix holds, are left.
        """
        match(self._table, self._jump, high, low, self.octets == 4, found)

    def chosen(self, rows: I64, next_hop: U64 | None) -> I64:
        """Return the attributes of the best route to each prefix or, with `next_hop` (2, n), of one that leads there.

        Within `reading`; as numbers of `sets`.
        """
        found = np.empty(len(rows), np.int64)
        hops = np.empty((2, 0), np.uint64) if next_hop is None else np.ascontiguousarray(next_hop)
        choose(self._table, rows, hops, self.sets.rows, found)
        return found

    def prefix_columns(self, rows: I64) -> tuple[U64, U64, I64]:
        """Return the words of prefixes, as batches hold addresses, and their lengths, of IPv4 plus 96."""
        chosen = self._prefixes[rows]
        high, low, length = chosen["high"], chosen["low"], chosen["length"].astype(np.int64)
        if self.octets == 16:
            return high.copy(), low.copy(), length
        return np.zeros_like(low), high >> np.uint64(32) | np.uint64(MAPPED), length + 96

    def held(self, start: int = 0) -> Iterator[Held]:
        """Yield all routes from an address on, in order; of one prefix the best first. None may change meanwhile."""
        high, low = self._words(start)
        cursor, rows = np.array([high, low, 0], np.uint64).view(np.int64), np.empty(_LISTED, np.int64)
        while not cursor[2]:
            count = int(follow(self._table, cursor, rows))
            for row in rows[:count].tolist():
                yield from self._routes_of(row)

    def routes_to(self, address: int, length: int) -> tuple[Held, ...]:
        """Return the routes to one prefix, the best first; within `reading`."""
        return tuple(self._routes_of(row)) if (row := self._row(address, length)) >= 0 else ()

    def around(self, address: int, length: int) -> tuple[int, int] | None:
        """Return the longest prefix around one that is there, as a number and a length; within `reading`."""
        row = self._row(address, length)
        parent = int(self._prefixes[row]["parent"]) if row >= 0 else -1
        if parent < 0:
            return None
        found = self._prefixes[parent]
        return self._number(int(found["high"]), int(found["low"])), int(found["length"])

    def _row(self, address: int, length: int) -> int:
        high, low = self._words(address)
        cursor, rows = np.array([high, low, 0], np.uint64).view(np.int64), np.empty(_OF_ONE_START, np.int64)
        rows = rows[: int(follow(self._table, cursor, rows))]
        found = self._prefixes[rows]
        same = (found["high"] == high) & (found["low"] == low) & (found["length"] == length)
        return int(rows[same][0]) if same.any() else -1

    def covering(self, prefix: int, length: int) -> tuple[Held, ...]:
        """Return the routes to the longest prefix that holds all of this one, the best first; empty for none."""
        high, low = self._words(prefix)
        if self.octets == 4:
            high, low = 0, high >> 32 | MAPPED
        found = np.full(1, -1, np.int64)
        self.match(np.array([high], np.uint64), np.array([low], np.uint64), found)
        row = int(found[0])
        while row >= 0 and (self._prefixes[row]["length"] > length or self._prefixes[row]["route"] < 0):
            row = int(self._prefixes[row]["parent"])
        return tuple(self._routes_of(row)) if row >= 0 else ()

    def rank(self, held: Held) -> int:
        """Return a number that is smaller for the better of two routes to a prefix."""
        return int(self.sets.ranks[held.number])

    def _words(self, address: int) -> tuple[int, int]:
        return (address << 32, 0) if self.octets == 4 else (address >> 64, address & (1 << 64) - 1)

    def _number(self, high: int, low: int) -> int:
        return high >> 32 if self.octets == 4 else high << 64 | low

    def _routes_of(self, row: int) -> Iterator[Held]:
        prefix = self._prefixes[row]
        high, low, length = int(prefix["high"]), int(prefix["low"]), int(prefix["length"])
        address = self._number(high, low)
        one = int(prefix["route"])
        while one >= 0:
            route = self._routes[one]
            number = int(route["attributes"])
            octets = self.sets.octets[number] or b""
            yield Held(address, length, int(route["path_id"]), octets, number, bool(route["stale"]))
            one = int(route["next"])


def _more(size: int) -> int:
    """Return a size to grow to in place: the system moves pages, so that small steps cost little."""
    return size + max(size // 8, 256)
