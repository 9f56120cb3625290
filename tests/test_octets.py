"""Big-endian loads, compiled as kernels use them."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.kernel import I64, U8, U64, compile_kernels, kernel
from tidegate.octets import be8, be16, be32, be64

WIDTHS = (1, 2, 4, 8)
_BYTES = "Array(u1,1,'C',readonly=True)"


@kernel(f"void({_BYTES}, i8, i8, i8[::1], u8[::1])")
def _load(data: U8, at: int, width: int, number: I64, large: U64) -> None:
    if width == 1:
        number[0] = be8(data, at)
    elif width == 2:
        number[0] = be16(data, at)
    elif width == 4:
        number[0] = be32(data, at)
    else:
        large[0] = be64(data, at)


def load(octets: bytes, at: int, width: int) -> int:
    list(compile_kernels([_load]))
    number, large = np.zeros(1, np.int64), np.zeros(1, np.uint64)
    _load(np.frombuffer(octets, np.uint8), at, width, number, large)
    return int(large[0]) if width == 8 else int(number[0])


@given(st.binary(min_size=8, max_size=20), st.data())
def test_numbers_are_big_endian(octets: bytes, data: st.DataObject) -> None:
    width = data.draw(st.sampled_from(WIDTHS))
    at = data.draw(st.integers(0, len(octets) - width))
    assert load(octets, at, width) == int.from_bytes(octets[at : at + width], "big")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="slices of Python do not raise")
def test_outside_is_an_index_error(width: int) -> None:
    places = [8 - width + 1, 8, 1 << 40, (1 << 63) - 8]
    for at in places if width == 1 else [*places, -1, -width]:  # one octet is read as numba reads: -1 is the last
        with pytest.raises(IndexError):
            load(bytes(8), at, width)
    with pytest.raises(IndexError):
        load(b"", 0, width)
