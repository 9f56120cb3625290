"""What is wanted of whom, and until when: the one list that peers, late comers and the state file are fed from.

A route is wanted at every peer (`EVERYONE`) or at one. What is said of one peer stands above what is said of all; a
route of all that was withdrawn at one peer is an entry without a route there. Times are arguments; nothing is sent and
nothing written here. The size is that of what the peers took.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from tidegate.wire.bgp.routes import Route, RouteKey

__all__ = ["EVERYONE", "Entry", "Rows", "Wanted"]

EVERYONE: Final = ""  # where a peer's address stands for the others
_SLACK: Final = 1024  # times that no longer count, which the heap may hold beyond as many as do


class Entry(msgspec.Struct, frozen=True):
    """What is wanted at one place; no route: what all others get is withheld here.

    `expires` is in wall-clock seconds, None never. `restored` tells that nobody has asked for it since the start.
    """

    route: Route | None
    expires: float | None = None
    restored: bool = False


Rows = dict[tuple[str, RouteKey], Entry | None]  # None: nothing is wanted there any more


def _nowhere(_place: str, _key: RouteKey, _entry: Entry | None) -> None:
    return


class Wanted:
    """The list. `note` hears of each change: place, key, and the entry or None."""

    def __init__(self, note: Callable[[str, RouteKey, Entry | None], object] = _nowhere) -> None:
        self.note = note
        self._places: dict[str, dict[RouteKey, Entry]] = {EVERYONE: {}}
        self._times: list[tuple[float, str, RouteKey]] = []

    def __len__(self) -> int:
        return sum(map(len, self._places.values()))

    def put(self, place: str, key: RouteKey, entry: Entry) -> None:
        """Want a route at a place; at every place it takes the stand of what was said of single ones."""
        if place == EVERYONE:
            self._clear(key)
        self._set(place, key, entry)
        if entry.expires is not None:
            self._note_time(entry.expires, place, key)

    def drop(self, place: str, key: RouteKey) -> bool:
        """Want a route no more at a place; tell whether it was wanted there."""
        if place == EVERYONE:
            found = self._clear(key)
            return self._set(place, key, None) or found
        found = (entry := self.at(place, key)) is not None and entry.route is not None
        if key in self._places[EVERYONE]:
            self._set(place, key, Entry(None))
        else:
            self._set(place, key, None)
        return found

    def forget(self, place: str) -> None:
        """Want nothing of a peer any more."""
        for key in list(self._places.get(place, ())):
            self._set(place, key, None)

    def at(self, place: str, key: RouteKey) -> Entry | None:
        """Return what is wanted at a peer under a key, or None."""
        own = self._places.get(place, {}).get(key)
        return self._places[EVERYONE].get(key) if own is None else own

    def routes(self, place: str) -> Iterator[tuple[RouteKey, Route]]:
        """Yield what a peer is to be told."""
        own = self._places.get(place, {}) if place != EVERYONE else {}
        for key, entry in self._places[EVERYONE].items():
            if key not in own and entry.route is not None:
                yield key, entry.route
        for key, entry in own.items():
            if entry.route is not None:
                yield key, entry.route

    def own(self, place: str) -> int:
        """Return how many entries a place has of its own."""
        return len(self._places.get(place, ()))

    def places(self) -> tuple[str, ...]:
        """Return the peers that have entries of their own."""
        return tuple(place for place in self._places if place != EVERYONE)

    def rows(self) -> list[tuple[str, RouteKey, Entry]]:
        """Return all entries."""
        return [(place, key, entry) for place, entries in self._places.items() for key, entry in entries.items()]

    def next_expiry(self) -> float | None:
        """Return when the next entry expires, or None."""
        while self._times and not self._counts(*self._times[0]):
            heapq.heappop(self._times)
        return self._times[0][0] if self._times else None

    def due(self, wall: float, *, most: int) -> list[tuple[str, RouteKey]]:
        """Return what has expired by now, at most so many; the caller drops them."""
        found: list[tuple[str, RouteKey]] = []
        while len(found) < most and (expires := self.next_expiry()) is not None and expires <= wall:
            _, place, key = heapq.heappop(self._times)
            found.append((place, key))
        return found

    def _counts(self, expires: float, place: str, key: RouteKey) -> bool:
        entry = self._places.get(place, {}).get(key)
        return entry is not None and entry.expires == expires

    def _note_time(self, expires: float, place: str, key: RouteKey) -> None:
        heapq.heappush(self._times, (expires, place, key))
        if len(self._times) > 2 * len(self) + _SLACK:  # renewed again and again
            self._times = [time for time in set(self._times) if self._counts(*time)]
            heapq.heapify(self._times)

    def _clear(self, key: RouteKey) -> bool:
        """Remove what single peers have under a key; tell whether any of them had a route."""
        found = False
        for place in self.places():
            entry = self._places[place].get(key)
            if entry is not None:
                found = found or entry.route is not None
                self._set(place, key, None)
        return found

    def _set(self, place: str, key: RouteKey, entry: Entry | None) -> bool:
        """Put or remove an entry; tell whether there was one."""
        entries = self._places.setdefault(place, {})
        found = key in entries
        if entry is not None:
            entries[key] = entry
        elif not found:
            self._tidy(place)
            return False
        else:
            del entries[key]
            self._tidy(place)
        self.note(place, key, entry)
        return found

    def _tidy(self, place: str) -> None:
        if place != EVERYONE and not self._places[place]:
            del self._places[place]
