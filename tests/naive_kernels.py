"""Slow twins of the table's kernels: dictionaries and loops, one sample at a time."""

from __future__ import annotations

import math

LIFE = 10.0
Key = tuple[int, ...]


class NaiveTable:
    """Rates by key, in a table that forgets nothing."""

    def __init__(self, t: float) -> None:
        self.samples: dict[Key, list[tuple[float, float]]] = {}  # time, amount
        self._t = t

    def add(self, time: float, key: Key, amount: float) -> None:
        """Take one sample; a flow that is gone starts afresh."""
        own = self.samples.setdefault(key, [])
        if own and time >= own[-1][0] + LIFE * self._t:
            own.clear()
        own.append((time, amount))

    def reading(self, key: Key, now: float) -> float:
        """Return the sum of the aged amounts."""
        own = self.samples.get(key, [])
        if not own or now >= own[-1][0] + LIFE * self._t:
            return 0.0
        return sum(amount * math.exp((time - now) / self._t) for time, amount in own) / self._t

    def total(self, now: float) -> float:
        """Return all traffic, aged; of flows that are gone too."""
        return (
            sum(amount * math.exp((time - now) / self._t) for own in self.samples.values() for time, amount in own)
            / self._t
        )


class NaiveLog:
    """Flow records of one key: `records` are start, end, total."""

    def __init__(self, idle: float, active: float, *, at_start: bool) -> None:
        self.records: list[tuple[float, float, float]] = []
        self._idle, self._active, self._at_start = idle, active, at_start
        self._open: tuple[float, float, float] | None = None

    def add(self, time: float, amount: float) -> None:
        """Take one sample."""
        self.close(time)
        if self._open is None and self._at_start:
            self.records.append((time, time, amount))
        start, _, total = self._open or (time, time, 0.0)
        self._open = start, time, total + amount

    def close(self, now: float) -> None:
        """End the record where it is idle or has lasted long enough."""
        if self._open and (now >= self._open[1] + self._idle or now >= self._open[0] + self._active):
            self.finish()

    def finish(self) -> None:
        """End the record."""
        if self._open and not self._at_start:
            self.records.append(self._open)
        self._open = None
