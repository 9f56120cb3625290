"""Kernels of `tidegate.engine.texts`."""

from __future__ import annotations

import numpy as np

from tidegate.kernel import I64, U8, U64, Flags, inline, kernel

__all__ = ["KERNELS", "NAUGHT", "keep_texts"]


NAUGHT = 0x9E3779B97F4A7C15  # stands for word 0 in tables where 0 is an empty slot

_NAUGHT = np.uint64(NAUGHT)


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
        word = words[index] if words[index] != np.uint64(0) else _NAUGHT
        slot = _slot(young, word)
        size = stop[index] - start[index]
        if young[slot] != np.uint64(0) or size > half:  # what is larger than a generation cannot be kept
            continue
        if used[0] * 2 >= young.size or used[1] + size > half:
            return index
        target = used[2] + used[1]
        for octet in range(size):
            arena[target + octet] = data[start[index] + octet]
        young[slot] = word
        places[slot, 0], places[slot, 1] = target, target + size
        used[0] += 1
        used[1] += size
    return words.size


KERNELS = (keep_texts,)
