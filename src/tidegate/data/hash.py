"""One seeded 64-bit hash of octets, the words of text columns: as a kernel and as plain Python.

FNV-1a with the 64-bit finaliser of MurmurHash3. The seed is drawn at start, so that nobody outside can make two texts
collide on purpose; by chance, among a million texts, the odds are one in 37 million.
"""

from __future__ import annotations

import numpy as np

from tidegate.kernel import U8, inline

__all__ = ["hash_octets", "hash_text", "mix"]

_PRIME = np.uint64(0x100000001B3)
_FIRST = np.uint64(0xFF51AFD7ED558CCD)
_SECOND = np.uint64(0xC4CEB9FE1A85EC53)
_SHIFT = np.uint64(33)
_MASK = (1 << 64) - 1


@inline
def mix(word: np.uint64) -> np.uint64:
    """Spread the bits of an unsigned 64-bit word over all of it."""
    word = (word ^ (word >> _SHIFT)) * _FIRST
    word = (word ^ (word >> _SHIFT)) * _SECOND
    return word ^ (word >> _SHIFT)


@inline
def hash_octets(data: U8, start: int, stop: int, seed: np.uint64) -> np.uint64:
    """Return the hash of `data[start:stop]`."""
    word = seed
    for place in range(start, stop):
        word = (word ^ np.uint64(data[place])) * _PRIME
    return mix(word)


def hash_text(octets: bytes, seed: int) -> int:
    """Return what `hash_octets` returns, without the compiler."""
    word = seed
    for octet in octets:
        word = (word ^ octet) * int(_PRIME) & _MASK
    word = (word ^ word >> 33) * int(_FIRST) & _MASK
    word = (word ^ word >> 33) * int(_SECOND) & _MASK
    return word ^ word >> 33
