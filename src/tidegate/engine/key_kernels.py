"""Kernels that give keys a number, or a slot of a table, and find it again.

A key is a row of 64-bit words. The index is open addressing over a table of the keys seen so far: the number of the key
plus one, or 0. Where the table is full, nothing is forgotten here: the caller decides.
"""

from __future__ import annotations

import numpy as np

from tidegate.data.hash import mix
from tidegate.kernel import I32, I64, U64, inline, kernel

__all__ = ["AHEAD", "KERNELS", "find_key", "find_slots", "gather_words", "number_keys", "rebuild"]

AHEAD = 128  # rows

_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)


@inline
def _hash(keys: U64, row: int, seed: np.uint64) -> np.uint64:
    """Return the hash of a row; without knowing the seed nobody can send keys that collide."""
    word = _SPREAD ^ seed
    for part in range(keys.shape[1]):
        word = (word ^ keys[row, part]) * _SPREAD
        word ^= word >> _HALF
    return mix(word)


@inline
def _same(keys: U64, row: int, table: U64, slot: int) -> bool:
    """Tell whether a row of one matrix equals one of another."""
    for part in range(keys.shape[1]):  # noqa: SIM110 - numba knows no all()
        if keys[row, part] != table[slot, part]:
            return False
    return True


@inline
def _guess(keys: U64, row: int, stop: int, index: I32, table: U64, seed: np.uint64, places: I64, slots: I64) -> None:
    """Write where the search for each key begins, and the slot there if one word of its key is the same, else -1.

    Each of the three loops waits for memory once for many rows, not once a row: that halves the time of `find_slots`.
    """
    mask = np.uint64(index.size - 1)
    word = keys.shape[1] - 1
    for at in range(row, stop):
        places[at - row] = np.int64(_hash(keys, at, seed) & mask)
    for at in range(row, stop):
        slots[at] = index[places[at - row]] - 1
    for at in range(row, stop):
        if slots[at] >= 0 and table[slots[at], word] != keys[at, word]:
            slots[at] = -1


@kernel("i8(u8[:,::1], i8, i8, i4[::1], u8[:,::1], u8, i8[::1], i8[::1], i8[::1])")
def find_slots(
    keys: U64, row: int, stop: int, index: I32, table: U64, seed: np.uint64, size: I64, places: I64, slots: I64
) -> int:
    """Write the slot of each key of rows `row` to `stop`, new keys at the end; return the row the table is full for.

    `index` is open addressing over `table` (capacity, words): slot + 1, or 0. `size` (1,) is how many slots are used.
    `places` (AHEAD) is scratch.
    """
    mask = index.size - 1
    for first in range(row, stop, AHEAD):
        last = min(first + AHEAD, stop)
        _guess(keys, first, last, index, table, seed, places, slots)
        for at in range(first, last):
            if slots[at] >= 0 and _same(keys, at, table, slots[at]):
                continue
            place = places[at - first]
            while index[place] != 0 and not _same(keys, at, table, index[place] - 1):
                place = place + 1 & mask
            if index[place] == 0:
                if size[0] == table.shape[0]:
                    return at
                for part in range(keys.shape[1]):
                    table[size[0], part] = keys[at, part]
                size[0] += 1
                index[place] = np.int32(size[0])
            slots[at] = index[place] - 1
    return stop


@kernel("void(u8[:,::1], i8[::1], u8[:,::1], i8)")
def gather_words(words: U64, rows: I64, keys: U64, first: int) -> None:
    """Write `words` (width, n) of some rows into columns of `keys`, from `first` on."""
    for at in range(rows.size):
        for part in range(words.shape[0]):
            keys[at, first + part] = words[part, rows[at]]


@kernel("i8(u8[:,::1], i4[::1], u8[:,::1], u8)")
def find_key(key: U64, index: I32, table: U64, seed: np.uint64) -> int:
    """Return the slot of one key (1, words), or -1."""
    mask = index.size - 1
    place = np.int64(_hash(key, 0, seed) & np.uint64(mask))
    while index[place] != 0:
        if _same(key, 0, table, index[place] - 1):
            return int(index[place] - 1)
        place = place + 1 & mask
    return -1


@kernel("void(u8[:,::1], i8, i4[::1], u8)")
def rebuild(table: U64, size: int, index: I32, seed: np.uint64) -> None:
    """Make `index` anew for the first `size` slots; it must be all 0."""
    mask = index.size - 1
    for slot in range(size):
        place = np.int64(_hash(table, slot, seed) & np.uint64(mask))
        while index[place] != 0:
            place = place + 1 & mask
        index[place] = np.int32(slot + 1)


@kernel("void(u8[:,::1], i4[::1], u8[:,::1], u8, i8[::1], i8[::1])")
def number_keys(keys: U64, index: I32, table: U64, seed: np.uint64, size: I64, numbers: I64) -> None:
    """Write the number of each key, a new one for a new key, -1 where the table is full."""
    mask = index.size - 1
    for at in range(keys.shape[0]):
        if at and _same(keys, at, keys, at - 1):  # samples of one datagram stand together
            numbers[at] = numbers[at - 1]
            continue
        place = np.int64(_hash(keys, at, seed) & np.uint64(mask))
        while index[place] != 0 and not _same(keys, at, table, index[place] - 1):
            place = place + 1 & mask
        if index[place] == 0 and size[0] < table.shape[0]:
            for part in range(keys.shape[1]):
                table[size[0], part] = keys[at, part]
            size[0] += 1
            index[place] = np.int32(size[0])
        numbers[at] = index[place] - 1


KERNELS = (number_keys, find_slots, gather_words, find_key, rebuild)
