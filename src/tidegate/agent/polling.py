"""Which counters are due when.

Each source, an interface or the host, is polled at least once in an interval. The first time is drawn inside it from a
seed, so that the sources of an agent, and agents of many machines, are spread over time; members of a bond or a team
are polled with it. Time is an argument: nanoseconds of a clock that never goes back. Nothing is read here.

Answers for: sFlow version 5 section 4.2.2 (counter sampling), RFC 2863 section 3.1.5 (ifIndex over restarts).
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tidegate.wire.netlink.link import AGGREGATES, Link

__all__ = ["HOST", "Polled", "Polling"]

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


class Polled(msgspec.Struct, frozen=True):
    """What is polled; an index that is used again under another name is another source."""

    index: int
    name: str


HOST = Polled(0, "")  # no interface has this index


class Polling:
    """The times at which sources are due; an `interval_ns` of 0 polls nothing."""

    def __init__(self, interval_ns: int, *, seed: int) -> None:
        self._interval = interval_ns
        self._seed = seed
        self._due: dict[Polled, int] = {}
        self._groups: list[tuple[Polled, ...]] = []
        self._next: int | None = None

    def update(self, links: Iterable[Link], now_ns: int) -> None:
        """Take what interfaces there are now, beside the host; those that were there keep their times."""
        self._groups = _groups(links)
        before = self._due
        self._due = {
            source: before[source] if source in before else now_ns + self._skew(source)
            for group in self._groups
            for source in group
        }
        self._plan()

    def set_interval(self, interval_ns: int, now_ns: int) -> None:
        """Poll at another interval from now on."""
        if interval_ns == self._interval:
            return
        was_on, self._interval = self._interval > 0, interval_ns
        for source, due in self._due.items():
            drawn = now_ns + self._skew(source)
            self._due[source] = min(due, drawn) if was_on else drawn
        self._plan()

    def step(self, now_ns: int) -> tuple[Polled, ...]:
        """Return the sources that are due, a bond before its members; times that were missed are left out."""
        if self._next is None or now_ns < self._next:
            return ()
        found: list[Polled] = []
        for group in self._groups:
            due = min(self._due[source] for source in group)
            if due <= now_ns:
                found += group
                missed = (now_ns - due) // self._interval
                self._due |= dict.fromkeys(group, due + (missed + 1) * self._interval)
        self._plan()
        return tuple(found)

    def deadline(self) -> int | None:
        """Return when `step` has something to return, None for never."""
        return self._next

    def _plan(self) -> None:
        self._next = min(self._due.values(), default=None) if self._interval else None

    def _skew(self, source: Polled) -> int:
        return _scattered(self._seed + source.index * _GOLDEN) % self._interval if self._interval else 0


def _groups(links: Iterable[Link]) -> list[tuple[Polled, ...]]:
    """Return what is polled together: the host, each bond or team with its members, each other interface."""
    by_index: dict[int, Link] = {link.index: link for link in links}
    groups: dict[int, list[Polled]] = {HOST.index: [HOST]}
    for link in sorted(by_index.values(), key=lambda link: (_leader(link, by_index) != link.index, link.index)):
        groups.setdefault(_leader(link, by_index), []).append(Polled(link.index, link.name))
    return [tuple(group) for group in groups.values()]


def _leader(link: Link, links: dict[int, Link]) -> int:
    return link.master if link.master_kind in AGGREGATES and link.master in links else link.index


def _scattered(value: int) -> int:
    """Return 64 bits that are as good as random for each value (splitmix64)."""
    value = (value + _GOLDEN) & _MASK
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    value = (value ^ value >> 27) * 0x94D049BB133111EB & _MASK
    return value ^ value >> 31
