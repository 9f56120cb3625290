"""How array functions are compiled."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from tidegate.kernel import I64, compile_kernels, inline, kernel

compiled = pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="kernels are plain functions")


@inline
def _third(values: I64, at: int) -> int:
    return int(values[at + 2])


@kernel("i8(Array(i8,1,'C',readonly=True), i8)")
def _sum_of_three(values: I64, at: int) -> int:
    return int(values[at]) + int(values[at + 1]) + _third(values, at)


@kernel("void(i8[::1])")
def _fill(values: I64) -> None:
    values[:] = 7


KERNELS: tuple[Any, ...] = (_sum_of_three, _fill)


def test_names_come_before_the_work() -> None:
    assert list(compile_kernels(KERNELS)) == ["_sum_of_three", "_fill"]
    assert _sum_of_three(np.array([1, 2, 3]), 0) == 6


@compiled
def test_an_index_outside_raises_and_reads_nothing() -> None:
    list(compile_kernels(KERNELS))
    with pytest.raises(IndexError):
        _sum_of_three(np.array([1, 2, 3]), 1)


@compiled
def test_a_kernel_has_one_signature() -> None:
    list(compile_kernels(KERNELS))
    list(compile_kernels(KERNELS))
    assert _sum_of_three(np.array([1, 2, 3]), np.int32(0)) == 6  # type: ignore[arg-type] # converted
    frozen = np.array([1, 2, 3])
    frozen.flags.writeable = False
    assert _sum_of_three(frozen, 0) == 6
    assert len(KERNELS[0].signatures) == 1


@compiled
def test_other_arguments_are_refused() -> None:
    list(compile_kernels(KERNELS))
    frozen = np.array([1, 2, 3])
    frozen.flags.writeable = False
    wrong: Any
    for wrong in (frozen, np.array([1.0]), np.array([1, 2, 3], np.int32), np.arange(6)[::2]):
        with pytest.raises(TypeError, match="No matching definition"):
            _fill(wrong)
    assert frozen.tolist() == [1, 2, 3]
