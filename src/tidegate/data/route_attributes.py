"""Path attributes, each different set held once and known by a number.

A set is the octets that it came in, with the next hop before them; what lookups need of it stands in columns. A number
lives as long as a route has it (`references`), and is used again after that.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidegate.kernel import I32, I64, U64

__all__ = ["ATTRIBUTES", "AttributeRows", "AttributeSets"]

# Octet ranges count from the start of the set's octets. Absent numbers are -1.
ATTRIBUTES = np.dtype(
    [
        ("rank", np.uint64),  # of two routes to a prefix the one with the smaller is better
        ("next_hop_high", np.uint64),
        ("next_hop_low", np.uint64),
        ("local_pref", np.int64),
        ("origin_as", np.int64),
        ("peer_as", np.int64),
        ("path_start", np.int32),
        ("path_stop", np.int32),
        ("communities_start", np.int32),
        ("communities_stop", np.int32),
    ],
    align=True,
)
AttributeRows = NDArray[Any]  # of ATTRIBUTES


class AttributeSets:
    """The sets of one table."""

    def __init__(self, room: int = 1024) -> None:
        self.rows: AttributeRows = np.zeros(room, ATTRIBUTES)
        self.ranks: U64 = np.zeros(room, np.uint64)
        self.references: I32 = np.zeros(room, np.int32)
        self.octets: list[bytes | None] = []
        self.taken = 0  # octets of all sets
        self._numbers: dict[bytes, int] = {}
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self._numbers)

    def numbers(self, keys: list[bytes], rows: AttributeRows) -> I64:
        """Return the numbers of sets, those not known before put with their row of `rows`."""
        known = self._numbers
        found = np.empty(len(keys), np.int64)
        fresh: list[int] = []
        for place, key in enumerate(keys):
            number = known.get(key)
            if number is None:
                known[key] = number = self._take(key)
                fresh.append(place)
            found[place] = number
        if fresh:
            self._grow()
            self.rows[found[fresh]] = rows[fresh]
            self.ranks[found[fresh]] = rows["rank"][fresh]
        return found

    def forget(self, numbers: Iterable[int]) -> None:
        """Forget sets that no route has."""
        for number in numbers:
            key = self.octets[number]
            if key is not None and not self.references[number]:
                del self._numbers[key]
                self.taken -= len(key)
                self.octets[number] = None
                self._free.append(number)

    def _take(self, key: bytes) -> int:
        self.taken += len(key)
        if self._free:
            number = self._free.pop()
            self.octets[number] = key
            return number
        self.octets.append(key)
        return len(self.octets) - 1

    def _grow(self) -> None:
        room = len(self.rows)
        if len(self.octets) > room:
            more = max(room // 8, len(self.octets) - room)
            self.rows = np.concatenate((self.rows, np.zeros(more, ATTRIBUTES)))
            self.ranks = np.concatenate((self.ranks, np.zeros(more, np.uint64)))
            self.references = np.concatenate((self.references, np.zeros(more, np.int32)))
