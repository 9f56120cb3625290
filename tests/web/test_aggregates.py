from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.web.aggregates import AGGREGATES, PICKS, quartiles_of

VALUES = st.lists(st.floats(-1e9, 1e9, allow_nan=False), min_size=1, max_size=20)


@given(VALUES)
def test_picks_are_of_the_values(values: list[float]) -> None:
    assert values[PICKS["max"](values)] == max(values)
    assert values[PICKS["min"](values)] == min(values)
    assert PICKS["any"](values) == 0


@given(VALUES)
def test_quartiles_are_in_order_and_the_middle_is_the_median(values: list[float]) -> None:
    found = quartiles_of(values)
    slack = 1e-6
    assert found.min <= found.q1 + slack
    assert found.q1 <= found.med + slack
    assert found.med <= found.q3 + slack
    assert found.q3 <= found.max + slack
    assert math.isclose(found.med, statistics.median(values), rel_tol=1e-9, abs_tol=1e-6)
    assert AGGREGATES["iqr"](values) == found.q3 - found.q1


@given(VALUES)
def test_sums_and_spread(values: list[float]) -> None:
    assert math.isclose(AGGREGATES["avg"](values) * len(values), AGGREGATES["sum"](values), rel_tol=1e-9, abs_tol=1e-3)
    assert math.isclose(AGGREGATES["sdev"](values) ** 2, AGGREGATES["var"](values), rel_tol=1e-9, abs_tol=1e-9)


@pytest.mark.parametrize("name", sorted(AGGREGATES))
def test_one_value_is_enough(name: str) -> None:
    assert AGGREGATES[name]([7.0]) == (0.0 if name in {"var", "sdev", "iqr"} else 7.0)
