"""The flows of one definition: a table of fixed size from key to what the samples of that key add up to.

A key is the number of its data source and the words of the definition's keys. All active keys are exact while they are
no more than the capacity. When the table is full, the keys with the smaller half of the readings are forgotten. Three
things are guaranteed for any input, S being all traffic that counts for the definition (decaying as readings do) and C
the capacity:

* a key whose reading is above 2 S / C is never forgotten;
* no reading is too high, and none is too low by more than `lost`, the sum of the largest readings forgotten each time,
  which decays as readings do;
* a key whose true reading is above `lost` has a slot.

The reading meant here is the rate of the value where that is one, else that of packets. A key for which a limit by flow
is triggered is kept, unless more than a quarter of the table is so.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np

from tidegate.engine.definition import Statistic
from tidegate.engine.key_kernels import AHEAD, find_key, find_slots, rebuild
from tidegate.engine.rows import Rows, Span
from tidegate.engine.statistics import NOTHING, Limits, further
from tidegate.engine.table_kernels import LIFE, add_rates, log_flows
from tidegate.kernel import F64, I64, U64, Flags

__all__ = ["Added", "Crossing", "FlowTable", "Log", "Readings", "Record", "Shape"]

_WINDOW = 128.0  # the landmark moves every so many t; exp(2 * 128) times a squared amount still is a finite number


class Log(msgspec.Struct, frozen=True):
    """When flow records are written; seconds."""

    idle: float
    active: float
    at_start: bool


class Shape(msgspec.Struct, frozen=True):
    """What a table is made for."""

    words: int  # of a key, without the data source
    t: float  # seconds
    statistics: tuple[Statistic, ...]  # the value's, then the further values'
    capacity: int  # keys
    sources: int  # data sources are numbered below this
    log: Log | None = None
    seed: int = 0  # of the index; nothing that is told depends on it
    count_seed: int = 0  # of counts of distinct values: of more than a few they depend on it


class Crossing(msgspec.Struct, frozen=True, eq=False):
    """A limit crossed by the sample in `row`."""

    row: int
    limit: int  # which
    reading: float
    key: tuple[int, ...]
    samples: float  # that the reading rests on, decaying as it does
    interval: float  # half of the 95 % interval
    values: tuple[float | None, ...]  # readings of the further values


class Record(msgspec.Struct, frozen=True, eq=False):
    """A flow record; seconds."""

    key: tuple[int, ...]
    start: float
    end: float
    total: float
    row: int  # whose sample ended or began it; -1 where time did


class Added(msgspec.Struct, frozen=True, eq=False):
    """What came of adding rows."""

    crossings: list[Crossing]
    records: list[Record]


class Readings(msgspec.Struct, frozen=True, eq=False):
    """All flows at one moment; n rows, in no order."""

    keys: U64  # (n, 1 + words)
    values: F64  # (statistics, n); NaN where there is none
    samples: F64
    interval: F64  # half of the 95 % interval of the value


class FlowTable:
    """See the module."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.forgotten = 0  # keys, since the table was made
        capacity = shape.capacity
        self._seed = np.uint64(shape.seed)
        self._size = np.zeros(1, np.int64)
        self._index = np.zeros(1 << (2 * capacity - 1).bit_length(), np.int32)
        self._places = np.empty(AHEAD, np.int64)
        self._keys = np.empty((capacity, 1 + shape.words), np.uint64)
        self._sums = np.zeros((capacity, 4))
        self._lost = 0.0
        self._landmark = -math.inf
        self._rate_is_value = shape.statistics[0] is Statistic.RATE
        self._further = [
            further(statistic, shape.t, capacity, seed=shape.count_seed)
            for statistic in (shape.statistics[1:] if self._rate_is_value else shape.statistics)
        ]
        self._log = np.full((capacity, 3), np.nan) if shape.log else None
        self._limits = Limits(np.empty((0, 3)), np.empty((0, shape.sources), np.bool_), capacity)

    def __len__(self) -> int:
        return int(self._size[0])

    def set_limits(self, values: F64, allowed: Flags, kept: list[int]) -> None:
        """Replace the limits: `values` (limits, 3): value, timeout, by flow; `allowed` (limits, sources).

        `kept` gives for each new limit the old one whose state goes on, or -1.
        """
        old, self._limits = self._limits, Limits(values, allowed, self.shape.capacity)
        for new, before in enumerate(kept):
            if before >= 0:
                self._limits.take_over(new, old, before)

    def set_allowed(self, limit: int, allowed: Flags) -> None:
        """Say which data sources a limit looks at."""
        self._limits.allowed[limit] = allowed

    def triggered(self, limit: int, source: int, now: float) -> bool:
        """Tell whether a limit that is not by flow is in its triggered state for a data source."""
        return self._limits.triggered_source(limit, source, now)

    def triggered_keys(self, limit: int, now: float) -> U64:
        """Return the keys for which a limit by flow is in its triggered state; (n, 1 + words)."""
        return self._keys[np.flatnonzero(self._limits.triggered(limit, len(self), now))]

    def add(self, rows: Rows) -> Added:
        """Add samples; times must not go back."""
        added = Added([], [])
        slots = np.empty(len(rows), np.int64)
        done = 0
        while done < len(rows):
            placed = find_slots(
                rows.keys, done, len(rows), self._index, self._keys, self._seed, self._size, self._places, slots
            )
            if placed == done:
                self._forget(done, float(rows.times[done]), added)
            while done < placed:
                done = self._add_placed(rows, slots, done, placed, added)
        return added

    def _add_placed(self, rows: Rows, slots: I64, done: int, placed: int, added: Added) -> int:
        """Add rows whose slots are known; return the row before which the table must change, or `placed`."""
        time = float(rows.times[done])
        horizon = self._landmark + _WINDOW * self.shape.t
        if time >= horizon:
            self._move_landmark(time)
            horizon = self._landmark + _WINDOW * self.shape.t
        if rows.times[placed - 1] >= horizon:
            placed = done + int(np.searchsorted(rows.times[done:placed], horizon))
        span = Span(rows, slots, done, placed, self._landmark)
        if self._rate_is_value:
            stop, events = self._add_rates(span, rows.items[0].numbers, self._limits)
            rest, items = self._further, rows.items[1:]
        else:
            stop, events = self._further[0].add(span, rows.items[0], self._limits)
            rest, items = self._further[1:], rows.items[1:]
        span = Span(rows, slots, done, stop, self._landmark)
        if not self._rate_is_value:
            self._add_rates(span, rows.rates, NOTHING)
        for state, item in zip(rest, items, strict=True):
            state.add(span, item, NOTHING)
        self._note_crossings(span, events, added)
        self._log_span(span, added)
        return stop

    def _add_rates(self, span: Span, amounts: F64, limits: Limits) -> tuple[int, F64]:
        alone = len(self.shape.statistics) > 1  # further values are read when a limit is crossed
        rows = 1 if alone else span.stop - span.first
        events = np.empty((rows * len(limits.values), 5))
        stop, count = add_rates(
            span.slots, span.first, span.stop, span.rows.times, amounts, span.rows.sources, self.shape.t,
            span.landmark, alone, self._sums, *limits.arrays, events,
        )  # fmt: skip
        return stop, events[:count]

    def _log_span(self, span: Span, added: Added) -> None:
        log = self.shape.log
        if log is not None and self._log is not None:
            records = np.empty((2 * (span.stop - span.first), 5))
            amounts = span.rows.items[0].numbers if self._rate_is_value else span.rows.rates
            ended = log_flows(
                span.slots, span.first, span.stop, span.rows.times, amounts,
                log.idle, log.active, log.at_start, self._log, records,
            )  # fmt: skip
            self._note_records(records[:ended], added)

    def _note_crossings(self, span: Span, events: F64, added: Added) -> None:
        for row, limit, reading, samples, interval in events.tolist():
            slot, time = int(span.slots[int(row)]), float(span.rows.times[int(row)])
            if not self._rate_is_value:
                samples = float(self._sums[slot, 2] * math.exp(-(time - self._landmark) / self.shape.t))  # noqa: PLW2901 - the value's kernel does not know
            added.crossings.append(
                Crossing(
                    row=int(row),
                    limit=int(limit),
                    reading=reading,
                    key=tuple(self._keys[slot].tolist()),
                    samples=samples,
                    interval=interval if self._rate_is_value else math.nan,
                    values=self._further_values(slot, time),
                )
            )

    def _further_values(self, slot: int, time: float) -> tuple[float | None, ...]:
        states = self._further if self._rate_is_value else self._further[1:]
        values = [float(state.read(np.array([slot]), time, self._landmark)[0]) for state in states]
        return tuple(None if math.isnan(value) else value for value in values)

    def _note_records(self, records: F64, added: Added) -> None:
        for slot, start, end, total, row in records.tolist():
            key = tuple(self._keys[int(slot)].tolist())
            added.records.append(Record(key, start, end, total, int(row)))

    def close_idle(self, now: float, *, everything: bool = False) -> list[Record]:
        """Write the records of flows that were idle long enough at `now`, or of all."""
        added = Added([], [])
        log = self.shape.log
        if log is not None and self._log is not None:
            state = self._log[: len(self)]
            done = ~np.isnan(state[:, 1])
            if not everything:
                done &= (now >= state[:, 2] + log.idle) | (now >= state[:, 1] + log.active)
            self._close(np.flatnonzero(done), -1, added)
        return added.records

    def _close(self, slots: I64, row: int, added: Added) -> None:
        if self._log is None or self.shape.log is None:
            return
        if not self.shape.log.at_start:
            state = self._log[slots]
            rows = np.full(len(slots), float(row))
            self._note_records(np.column_stack([slots, state[:, 1], state[:, 2], state[:, 0], rows]), added)
        self._log[slots] = np.nan

    def readings(self, now: float) -> Readings:
        """Return all flows at `now`, not before the last sample, that had a sample in the LIFE * t seconds before."""
        alive = np.flatnonzero(self._sums[: len(self), 3] + LIFE * self.shape.t > now)
        weight = self._weight(now) if len(alive) else 0.0
        sums = self._sums[alive]
        rate = sums[:, 0] * weight / self.shape.t
        rest = [state.read(alive, now, self._landmark) for state in self._further]
        spread = np.sqrt(sums[:, 1]) * (1.96 * weight / self.shape.t)
        return Readings(
            keys=self._keys[alive],
            values=np.array([rate, *rest] if self._rate_is_value else rest),
            samples=sums[:, 2] * weight,
            interval=spread if self._rate_is_value else np.full(len(alive), np.nan),
        )

    def reading(self, key: tuple[int, ...], now: float) -> float | None:
        """Return the value of one key at `now`, or None."""
        slot = find_key(np.array([key], np.uint64), self._index, self._keys, self._seed)
        if slot < 0 or self._sums[slot, 3] + LIFE * self.shape.t <= now:
            return None
        if self._rate_is_value:
            return float(self._sums[slot, 0] * self._weight(now) / self.shape.t)
        value = float(self._further[0].read(np.array([slot]), now, self._landmark)[0])
        return None if math.isnan(value) else value

    def lost(self, now: float) -> float:
        """Return by how much a reading may be too low at `now`, because its key was forgotten before."""
        return self._lost * self._weight(now) / self.shape.t if self._lost else 0.0

    def _weight(self, now: float) -> float:
        """Return what a sample weighed up by the landmark counts at `now`."""
        return math.exp(-(now - self._landmark) / self.shape.t)

    def _move_landmark(self, time: float) -> None:
        """Weigh everything anew, from a landmark that depends on the time alone."""
        window = _WINDOW * self.shape.t
        landmark = math.floor(time / window) * window
        if time >= landmark + window:  # the division was rounded down
            landmark += window
        if math.isfinite(self._landmark):
            factor = math.exp(-(landmark - self._landmark) / self.shape.t)
            self._sums[: len(self)] *= (factor, factor * factor, factor, 1.0)
            self._lost *= factor
            for state in self._further:
                state.scale(factor, len(self))
        self._landmark = landmark

    def _forget(self, row: int, time: float, added: Added) -> None:
        """Make room: forget the keys with the smaller half of the readings, a quarter of all at least."""
        size = len(self)
        alive = self._sums[:size, 3] + LIFE * self.shape.t > time
        amounts = np.where(alive, self._sums[:size, 0], 0.0)
        cutoff = float(np.partition(amounts, size // 2)[size // 2])
        keep = amounts > cutoff
        held = self._limits.held(size, time)
        if 4 * np.count_nonzero(held) <= size:
            keep |= held
        self._lost += cutoff
        self.forgotten += size - int(np.count_nonzero(keep))
        if self._log is not None:
            self._close(np.flatnonzero(~keep & ~np.isnan(self._log[:size, 1])), row, added)
        self._compact(np.flatnonzero(keep), size)

    def _compact(self, kept: I64, size: int) -> None:
        count = len(kept)
        self._keys[:count] = self._keys[kept]
        self._sums[:count] = self._sums[kept]
        self._sums[count:size] = 0.0
        self._limits.compact(kept, size)
        for state in self._further:
            state.compact(kept, size)
        if self._log is not None:
            self._log[:count] = self._log[kept]
            self._log[count:size] = np.nan
        self._size[0] = count
        self._index[:] = 0
        rebuild(self._keys, count, self._index, self._seed)
