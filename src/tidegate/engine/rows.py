"""What the planner hands to a table: the samples that count for one definition."""

from __future__ import annotations

import msgspec

from tidegate.kernel import F64, I64, U64, Flags

__all__ = ["Items", "Rows", "Span"]


class Items(msgspec.Struct, frozen=True, eq=False):
    """What each of n samples brings to one statistic: a number, or the word of a text to be counted."""

    numbers: F64  # for RATE already times the sampling rate; empty for COUNT
    words: U64  # for COUNT; empty for others
    present: Flags

    def part(self, start: int, stop: int) -> Items:
        """Return the items of consecutive rows."""
        return Items(self.numbers[start:stop], self.words[start:stop], self.present[start:stop])


class Rows(msgspec.Struct, frozen=True, eq=False):
    """Samples in order of time; n rows."""

    keys: U64  # (n, 1 + words): number of the data source, then the key
    times: F64  # seconds
    sources: I64  # number of the data source
    rates: F64  # packets that the sample stands for
    items: tuple[Items, ...]  # one for each statistic

    def __len__(self) -> int:
        return len(self.times)

    def part(self, start: int, stop: int) -> Rows:
        """Return consecutive rows."""
        if start == 0 and stop == len(self):
            return self
        return Rows(
            keys=self.keys[start:stop],
            times=self.times[start:stop],
            sources=self.sources[start:stop],
            rates=self.rates[start:stop],
            items=tuple(item.part(start, stop) for item in self.items),
        )


class Span(msgspec.Struct, frozen=True, eq=False):
    """Rows `first` to `stop`, whose slots are known."""

    rows: Rows
    slots: I64
    first: int
    stop: int
    landmark: float  # seconds: weights are exp((time - landmark) / t)
