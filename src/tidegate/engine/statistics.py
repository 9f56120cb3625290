"""What a table keeps beside its rate: further rates, means, extremes and numbers of distinct values, by slot.

Each kind is a small class with the same four methods, joined to its slot by number; the table decides which slots there
are. `Limits` holds the state of thresholds in the same way. A sample's reading decays or ages as follows:

* RATE: exponentially with t, per second.
* AVG: mean weighted by sampling rate, each sample's weight decaying exponentially with t.
* MIN, MAX, COUNT: over this period of t seconds and the one before; periods start at multiples of t. COUNT is exact up
  to 32 different ones a period, above that its standard error is 6.5 %; it takes 512 octets a key.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from tidegate.engine.definition import Statistic
from tidegate.engine.rows import Items, Span
from tidegate.engine.table_kernels import (
    FEW,
    LIFE,
    REGISTERS,
    add_amounts,
    add_distinct,
    add_extremes,
    add_means,
)
from tidegate.kernel import F64, I64, Flags

__all__ = ["NOTHING", "Further", "Limits", "further"]


class Limits:
    """The limits of a table and their state, see `table_kernels._crossings`; 0 where a limit was never crossed.

    Memory of zeros is taken up only where it is written, so that limits that nothing crosses cost next to nothing.
    """

    def __init__(self, values: F64, allowed: Flags, capacity: int) -> None:
        self.values = np.column_stack([values, np.zeros(len(values))])
        self.allowed = np.ascontiguousarray(allowed)
        self.above = np.zeros((capacity, len(values)))
        self.above_source = np.zeros(allowed.shape)

    @property
    def arrays(self) -> tuple[F64, Flags, F64, F64]:
        """Return what the kernels take."""
        return self.values, self.allowed, self.above, self.above_source

    def triggered(self, limit: int, size: int, time: float) -> Flags:
        """Return which slots are in the triggered state of a limit."""
        above = self.above[:size, limit]
        return np.asarray((above > 0.0) & (above + self.values[limit, 1] > time))

    def triggered_source(self, limit: int, source: int, time: float) -> bool:
        """Tell whether a data source is in the triggered state of a limit."""
        above = self.above_source[limit, source]
        return bool(above > 0.0 and above + self.values[limit, 1] > time)

    def held(self, size: int, time: float) -> Flags:
        """Return which slots are in the triggered state of some limit."""
        held = np.zeros(size, np.bool_)
        for limit in range(len(self.values)):
            held |= self.triggered(limit, size, time)
        return held

    def take_over(self, limit: int, old: Limits, before: int) -> None:
        """Go on with the state of an old limit."""
        self.values[limit, 3] = old.values[before, 3]
        if self.values[limit, 3]:
            self.above[:, limit] = old.above[:, before]
        self.above_source[limit] = old.above_source[before]

    def compact(self, kept: I64, size: int) -> None:
        """Keep the slots `kept`, in their order."""
        if self.values[:, 3].any():
            self.above[: len(kept)] = self.above[kept]
            self.above[len(kept) : size] = 0.0


NOTHING = Limits(np.empty((0, 3)), np.empty((0, 0), np.bool_), 0)


class Further(Protocol):
    """One statistic of every slot."""

    def add(self, span: Span, items: Items, limits: Limits) -> tuple[int, F64]:
        """Add the rows of a span, up to the first that crosses one of `limits`; return where to go on, and events."""

    def read(self, slots: I64, now: float, landmark: float) -> F64:
        """Return the readings of slots at `now`, NaN where there is none."""

    def scale(self, factor: float, size: int) -> None:
        """Follow the landmark."""

    def compact(self, kept: I64, size: int) -> None:
        """Keep the slots `kept`, in their order."""


def further(statistic: Statistic, t: float, capacity: int, *, seed: int = 0) -> Further:
    """Return the state of a statistic for a table of `capacity` slots."""
    match statistic:
        case Statistic.RATE:
            return _Rates(t, capacity)
        case Statistic.AVG:
            return _Means(t, capacity)
        case Statistic.MIN:
            return _Extremes(t, capacity, -1.0)
        case Statistic.MAX:
            return _Extremes(t, capacity, 1.0)
        case Statistic.COUNT:
            return _Distinct(t, capacity, seed)


def _blank(capacity: int, width: int) -> F64:
    """Return sums of slots that had no sample yet; the last column is the time of the last one."""
    sums = np.zeros((capacity, width))
    sums[:, -1] = -np.inf
    return sums


def _events(limits: Limits) -> F64:
    return np.empty((len(limits.values), 5))  # of one row: it is the last where there are any


class _Rates:
    def __init__(self, t: float, capacity: int) -> None:
        self._t = t
        self._sums = _blank(capacity, 2)

    def add(self, span: Span, items: Items, limits: Limits) -> tuple[int, F64]:
        del limits  # this is never the first statistic: table.py holds that one itself
        add_amounts(
            span.slots, span.first, span.stop, span.rows.times,
            items.numbers, items.present, self._t, span.landmark, self._sums,
        )  # fmt: skip
        return span.stop, np.empty((0, 5))

    def read(self, slots: I64, now: float, landmark: float) -> F64:
        gone = self._sums[slots, 1] + LIFE * self._t <= now
        sums = np.where(gone, np.nan, self._sums[slots, 0])
        return np.asarray(sums * np.exp(-(now - landmark) / self._t) / self._t)

    def scale(self, factor: float, size: int) -> None:
        self._sums[:size, 0] *= factor

    def compact(self, kept: I64, size: int) -> None:
        self._sums[: len(kept)] = self._sums[kept]
        self._sums[len(kept) : size] = _blank(1, self._sums.shape[1])


class _Means:
    def __init__(self, t: float, capacity: int) -> None:
        self._t = t
        self._sums = _blank(capacity, 3)

    def add(self, span: Span, items: Items, limits: Limits) -> tuple[int, F64]:
        events = _events(limits)
        stop, count = add_means(
            span.slots, span.first, span.stop, span.rows.times,
            items.numbers, span.rows.rates, items.present, span.rows.sources, self._t, span.landmark,
            self._sums, *limits.arrays, events,
        )  # fmt: skip
        return stop, events[:count]

    def read(self, slots: I64, now: float, landmark: float) -> F64:
        del landmark  # a mean does not decay
        sums = self._sums[slots]
        gone = sums[:, 2] + LIFE * self._t <= now
        return np.where(gone, np.nan, np.where(gone, 0.0, sums[:, 0]) / np.where(gone, 1.0, sums[:, 1]))

    def scale(self, factor: float, size: int) -> None:
        self._sums[:size, :2] *= factor

    def compact(self, kept: I64, size: int) -> None:
        self._sums[: len(kept)] = self._sums[kept]
        self._sums[len(kept) : size] = _blank(1, self._sums.shape[1])


class _Extremes:
    def __init__(self, t: float, capacity: int, sign: float) -> None:
        self._t = t
        self._sign = sign
        self._state = np.full((capacity, 3), -np.inf)

    def add(self, span: Span, items: Items, limits: Limits) -> tuple[int, F64]:
        events = _events(limits)
        stop, count = add_extremes(
            span.slots, span.first, span.stop, span.rows.times,
            items.numbers, items.present, span.rows.sources, self._t, self._sign,
            self._state, *limits.arrays, events,
        )  # fmt: skip
        return stop, events[:count]

    def read(self, slots: I64, now: float, landmark: float) -> F64:
        del landmark  # an extreme does not decay
        state = self._state[slots]
        age = np.floor(now / self._t) - state[:, 0]
        value = np.where(age <= 0, np.maximum(state[:, 1], state[:, 2]), np.where(age <= 1, state[:, 1], -np.inf))
        return np.where(np.isinf(value), np.nan, self._sign * value)

    def scale(self, factor: float, size: int) -> None:
        """Do nothing: an extreme does not decay."""

    def compact(self, kept: I64, size: int) -> None:
        self._state[: len(kept)] = self._state[kept]
        self._state[len(kept) : size] = -np.inf


class _Distinct:
    def __init__(self, t: float, capacity: int, seed: int) -> None:
        self._t = t
        self._seed = np.uint64(seed)
        self._state = np.full((capacity, 5), -np.inf)
        self._words = np.empty((capacity, 2, FEW), np.uint64)
        self._registers = self._words.view(np.uint8)
        self._scratch = np.empty(REGISTERS, np.uint8)

    def add(self, span: Span, items: Items, limits: Limits) -> tuple[int, F64]:
        events = _events(limits)
        stop, count = add_distinct(
            span.slots, span.first, span.stop, span.rows.times,
            items.words, items.present, span.rows.sources, self._t, self._seed, self._state,
            self._words, self._registers, self._scratch, *limits.arrays, events,
        )  # fmt: skip
        return stop, events[:count]

    def read(self, slots: I64, now: float, landmark: float) -> F64:
        del landmark  # a number does not decay
        state = self._state[slots]
        age = np.floor(now / self._t) - state[:, 0]
        return np.where(age <= 0, state[:, 1], np.where(age <= 1, state[:, 2], np.nan))

    def scale(self, factor: float, size: int) -> None:
        """Do nothing: a number does not decay."""

    def compact(self, kept: I64, size: int) -> None:
        self._state[: len(kept)] = self._state[kept]
        self._state[len(kept) : size] = -np.inf
        self._words[: len(kept)] = self._words[kept]
