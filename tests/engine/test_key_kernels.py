from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tidegate.engine.key_kernels import AHEAD, find_key, find_slots, rebuild

SEED = np.uint64(0xFEDCBA9876543210)


@given(st.lists(st.integers(0, 12), max_size=40), st.integers(1, 8))
def test_slots_are_found_again_and_new_keys_come_behind(keys: list[int], capacity: int) -> None:
    matrix = np.array([[key, 5] for key in keys], np.uint64).reshape(-1, 2)
    index, table, size = np.zeros(16, np.int32), np.empty((capacity, 2), np.uint64), np.zeros(1, np.int64)
    slots = np.full(len(keys), -1, np.int64)

    stop = find_slots(matrix, 0, len(keys), index, table, SEED, size, np.empty(AHEAD, np.int64), slots)

    order = list(dict.fromkeys(keys))
    expected = [order.index(key) for key in keys if order.index(key) < capacity]
    fits = next((at for at, key in enumerate(keys) if order.index(key) >= capacity), len(keys))
    assert stop == fits
    assert slots[:fits].tolist() == expected[:fits]
    assert table[: size[0], 0].tolist() == order[: size[0]]


@given(st.sets(st.integers(0, 99), max_size=8), st.integers(0, 99))
def test_an_index_made_anew_finds_every_key_and_no_other(keys: set[int], wanted: int) -> None:
    table = np.array([[key, key + 1] for key in keys] + [[0, 0]] * (8 - len(keys)), np.uint64)
    index = np.zeros(16, np.int32)

    rebuild(table, len(keys), index, SEED)

    for slot, key in enumerate(keys):
        assert find_key(np.array([[key, key + 1]], np.uint64), index, table, SEED) == slot
    if wanted not in keys:
        assert find_key(np.array([[wanted, wanted + 1]], np.uint64), index, table, SEED) == -1
