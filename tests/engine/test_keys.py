from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tidegate.engine.keys import KeyNumbers, number_rows

keys = st.lists(st.integers(0, 12), max_size=40)


def matrix(values: list[int]) -> np.ndarray:
    return np.array([[value, 7] for value in values], np.uint64).reshape(-1, 2)


@given(keys, st.integers(0, 1 << 32))
def test_rows_are_numbered_in_order_of_appearance(values: list[int], seed: int) -> None:
    order = list(dict.fromkeys(values))

    different, numbers, _ = number_rows(matrix(values), seed)

    assert different[:, 0].tolist() == order
    assert numbers.tolist() == [order.index(value) for value in values]


@given(keys, keys, st.integers(1, 8))
def test_numbers_stay_and_there_are_none_beyond_the_capacity(
    first: list[int], second: list[int], capacity: int
) -> None:
    numbers = KeyNumbers(capacity, 2, seed=1)
    order = list(dict.fromkeys([*first, *second]))[:capacity]

    found = [*numbers.of(matrix(first)).tolist(), *numbers.of(matrix(second)).tolist()]

    assert found == [order.index(value) if value in order else -1 for value in [*first, *second]]
    assert len(numbers) == len(order)
    assert numbers.keys[: len(numbers), 0].tolist() == order
