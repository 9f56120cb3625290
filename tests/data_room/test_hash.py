"""The hash of texts: the kernel says what plain Python says, and the seed matters."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tidegate.data.hash import hash_octets, hash_text
from tidegate.kernel import U8, kernel

SEEDS = st.integers(0, (1 << 64) - 1)


@kernel("u8(u1[::1], i8, i8, u8)")
def hashed(data: U8, start: int, stop: int, seed: np.uint64) -> np.uint64:
    """Call what only kernels can call."""
    return hash_octets(data, start, stop, seed)


@given(st.binary(max_size=40), st.binary(max_size=3), st.binary(max_size=3), SEEDS)
def test_kernel_and_twin_agree_on_any_slice(octets: bytes, before: bytes, behind: bytes, seed: int) -> None:
    data = np.frombuffer(before + octets + behind, np.uint8)

    with np.errstate(over="ignore"):  # a word wraps; numpy says so where the compiler is off
        found = hashed(data, len(before), len(before) + len(octets), np.uint64(seed))

    assert int(found) == hash_text(octets, seed)


def test_one_text_has_another_word_under_another_seed() -> None:
    assert len({hash_text(b"example.com", seed) for seed in range(100)}) == 100


def test_texts_that_differ_little_have_words_that_differ_much() -> None:
    words = [hash_text(bytes([octet]), 7) for octet in range(256)]

    assert len(set(words)) == 256
    assert min((one ^ other).bit_count() for one, other in pairwise(words)) > 10
