"""Octet strings kept in order while they come and go one by one.

A list of short lists: a change moves at most one of these about, so that its cost hardly grows with their number.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from itertools import chain
from typing import Final

__all__ = ["SortedOctets"]

_MOST: Final = 1024  # strings in a piece; one that is full is cut in two


class SortedOctets:
    """A set of octet strings; iteration is in rising order."""

    def __init__(self) -> None:
        self._pieces: list[list[bytes]] = [[]]
        self._bounds: list[bytes] = [b""]  # nothing in a piece is lower; nothing in the one before is as high

    def __iter__(self) -> Iterator[bytes]:
        return chain.from_iterable(self._pieces)

    def between(self, low: bytes, high: bytes) -> Iterator[bytes]:
        """Yield the strings from `low` to `high`, both of them included."""
        place = bisect_right(self._bounds, low) - 1
        start = bisect_left(self._pieces[place], low)
        for piece in self._pieces[place:]:
            stop = bisect_right(piece, high)
            yield from piece[start:stop]
            if stop < len(piece):
                return
            start = 0

    def add(self, octets: bytes) -> None:
        """Put a string that is not there into its place."""
        place = bisect_right(self._bounds, octets) - 1
        piece = self._pieces[place]
        insort(piece, octets)
        if len(piece) > _MOST:
            upper = piece[_MOST // 2 :]
            del piece[_MOST // 2 :]
            self._pieces.insert(place + 1, upper)
            self._bounds.insert(place + 1, upper[0])

    def remove(self, octets: bytes) -> None:
        """Take out a string that is there."""
        place = bisect_right(self._bounds, octets) - 1
        piece = self._pieces[place]
        del piece[bisect_left(piece, octets)]
        if not piece and len(self._pieces) > 1:
            del self._pieces[place]
            del self._bounds[place]
            self._bounds[0] = b""

    def clear(self) -> None:
        """Take out everything."""
        self._pieces = [[]]
        self._bounds = [b""]
