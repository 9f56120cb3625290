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


class NaiveSequence:
    """Accounting of sequence numbers: up to four series, each its highest number and what is missing below."""

    def __init__(self) -> None:
        self.received = self.lost = self.out_of_order = self.duplicates = self.restarts = 0
        self._series: list[tuple[int, set[int], int]] = []  # least recently used first: highest, missing, number

    def add(self, sequence: int) -> None:
        """Judge one number; highest numbers are counted on beyond 2**32."""
        self.received += 1
        near = [
            (abs(ahead), place, ahead) for place, ahead in enumerate(self._aheads(sequence)) if -64 < ahead <= 65536
        ]
        if not near:
            self.restarts += bool(self._series)
            self._series = [*self._series[-3:], (sequence, set(), len(self._series))]
            return
        _, place, ahead = min(near, key=lambda one: (one[0], self._series[one[1]][2]))
        highest, missing, number = self._series.pop(place)
        if ahead > 0:
            self.lost += ahead - 1
            missing |= set(range(max(highest + 1, highest + ahead - 63), highest + ahead))
        elif highest + ahead in missing:
            missing.remove(highest + ahead)
            self.lost, self.out_of_order = self.lost - 1, self.out_of_order + 1
        else:
            self.duplicates += 1
        highest = max(highest, highest + ahead)
        self._series.append((highest, {one for one in missing if one > highest - 64}, number))

    def _aheads(self, sequence: int) -> list[int]:
        return [(sequence - highest + (1 << 31)) % (1 << 32) - (1 << 31) for highest, _, _ in self._series]
