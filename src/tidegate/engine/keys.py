"""Numbers for keys, which are rows of 64-bit words: the same number for equal rows, in order of appearance."""

from __future__ import annotations

import numpy as np

from tidegate.engine.key_kernels import number_keys
from tidegate.kernel import I32, I64, U64

__all__ = ["KeyNumbers", "number_rows"]


class KeyNumbers:
    """Numbers for up to `capacity` keys, kept from one call to the next."""

    def __init__(self, capacity: int, words: int, seed: int) -> None:
        self._seed = np.uint64(seed)
        self._index = _index_for(capacity)
        self._size = np.zeros(1, np.int64)
        self.keys = np.empty((capacity, words), np.uint64)

    def __len__(self) -> int:
        return int(self._size[0])

    def of(self, keys: U64) -> I64:
        """Return the number of each row, -1 where there is no room."""
        numbers = np.empty(len(keys), np.int64)
        number_keys(keys, self._index, self.keys, self._seed, self._size, numbers)
        return numbers


def number_rows(keys: U64, seed: int) -> tuple[U64, I64, I32]:
    """Return the different rows of a matrix, for each row which of them it is, and the index to look up more."""
    index, size = _index_for(len(keys)), np.zeros(1, np.int64)
    different, numbers = np.empty(keys.shape, np.uint64), np.empty(len(keys), np.int64)
    number_keys(np.ascontiguousarray(keys), index, different, np.uint64(seed), size, numbers)
    return different[: size[0]], numbers, index


def _index_for(count: int) -> I32:
    """Return an empty index with room for that many keys, at most half full."""
    return np.zeros(1 << (2 * count).bit_length(), np.int32)
