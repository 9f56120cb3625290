"""Kernels of `tidegate.engine.texts`."""

from __future__ import annotations

import numpy as np

from tidegate.kernel import I64, U8, U64, Flags, inline, kernel

__all__ = ["KERNELS", "keep_texts"]


@inline
def _slot(words: U64, word: np.uint64) -> int:
    """Return the slot that holds a word or where it would go."""
    mask = words.size - 1
    slot = int(np.int64(word & np.uint64(mask)))
    while words[slot] not in (word, np.uint64(0)):
        slot = slot + 1 & mask
    return slot


_OCTETS = "Array(u1,1,'C',readonly=True)"


@kernel(f"i8({_OCTETS}, u8[::1], b1[::1], i8[::1], i8[::1], i8, u8[::1], i8[:,::1], u1[::1], i8[::1])")
def keep_texts(
    data: U8,
    words: U64,
    present: Flags,
    start: I64,
    stop: I64,
    row: int,
    young: U64,
    places: I64,
    arena: U8,
    used: I64,
) -> int:
    """Keep the octets of rows from `row` on; return the row that found no room, or the number of rows.

    `places` are first octet and the one behind the last in `arena`; `used` is texts and octets of the young generation,
    and its first octet in the arena.
    """
    half = arena.size // 2
    for index in range(row, words.size):
        if not present[index]:
            continue
        slot = _slot(young, words[index])
        if young[slot] != np.uint64(0):
            continue
        size = stop[index] - start[index]
        if used[0] * 2 >= young.size or used[1] + size > half:
            return index
        target = used[2] + used[1]
        for octet in range(size):
            arena[target + octet] = data[start[index] + octet]
        young[slot] = words[index]
        places[slot, 0], places[slot, 1] = target, target + size
        used[0] += 1
        used[1] += size
    return words.size


KERNELS = (keep_texts,)
