"""Loads and stores, compiled as kernels use them."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.kernel import I64, U8, U64, compile_kernels, kernel
from tidegate.octets import be8, be16, be32, be64, copy_octets, ne16, ne32, ne64, put_be32, put_be64

WIDTHS = (1, 2, 4, 8)
WORDS = (2, 4, 8)
_BYTES = "Array(u1,1,'C',readonly=True)"
_CHECKED = pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="slices of Python do not raise")


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


@kernel(f"void({_BYTES}, i8, i8, i8[::1], u8[::1])")
def _load_native(data: U8, at: int, width: int, number: I64, large: U64) -> None:
    if width == 2:
        number[0] = ne16(data, at)
    elif width == 4:
        number[0] = ne32(data, at)
    else:
        large[0] = ne64(data, at)


@kernel("void(u1[::1], i8, i8, i8)")
def _store(data: U8, at: int, width: int, value: int) -> None:
    if width == 4:
        put_be32(data, at, value)
    else:
        put_be64(data, at, value)


@kernel(f"void(u1[::1], i8, {_BYTES}, i8, i8)")
def _copy(target: U8, to: int, source: U8, at: int, count: int) -> None:
    copy_octets(target, to, source, at, count)


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    list(compile_kernels([_load, _load_native, _store, _copy]))


def load(octets: bytes, at: int, width: int, *, native: bool = False) -> int:
    number, large = np.zeros(1, np.int64), np.zeros(1, np.uint64)
    (_load_native if native else _load)(np.frombuffer(octets, np.uint8), at, width, number, large)
    return int(large[0]) if width == 8 else int(number[0])


def store(octets: bytes, at: int, width: int, value: int) -> bytes:
    data = np.frombuffer(octets, np.uint8).copy()
    _store(data, at, width, value)
    return data.tobytes()


def copy(target: bytes, to: int, source: bytes, at: int, count: int) -> bytes:
    data = np.frombuffer(target, np.uint8).copy()
    _copy(data, to, np.frombuffer(source, np.uint8), at, count)
    return data.tobytes()


def outside(size: int, width: int) -> list[int]:
    """Places where `width` octets are not all among the `size`."""
    return [size - width + 1, size, 1 << 40, (1 << 63) - 8, -1, -width, -(1 << 63)]


@given(st.binary(min_size=8, max_size=20), st.data())
def test_numbers_are_big_endian(octets: bytes, data: st.DataObject) -> None:
    width = data.draw(st.sampled_from(WIDTHS))
    at = data.draw(st.integers(0, len(octets) - width))
    assert load(octets, at, width) == int.from_bytes(octets[at : at + width], "big")


@given(st.binary(min_size=8, max_size=20), st.data())
def test_native_numbers_are_in_the_order_of_the_machine(octets: bytes, data: st.DataObject) -> None:
    width = data.draw(st.sampled_from(WORDS))
    at = data.draw(st.integers(0, len(octets) - width))
    assert load(octets, at, width, native=True) == int.from_bytes(octets[at : at + width], sys.byteorder)


@given(st.binary(min_size=8, max_size=20), st.integers(-(1 << 63), (1 << 63) - 1), st.data())
def test_the_low_octets_of_a_number_are_stored(octets: bytes, value: int, data: st.DataObject) -> None:
    width = data.draw(st.sampled_from((4, 8)))
    at = data.draw(st.integers(0, len(octets) - width))
    low = (value % (1 << 8 * width)).to_bytes(width, "big")
    assert store(octets, at, width, value) == octets[:at] + low + octets[at + width :]


@given(st.binary(max_size=40), st.binary(max_size=40), st.data())
def test_octets_are_copied(target: bytes, source: bytes, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, min(len(target), len(source))))
    to = data.draw(st.integers(0, len(target) - count))
    at = data.draw(st.integers(0, len(source) - count))
    assert copy(target, to, source, at, count) == target[:to] + source[at : at + count] + target[to + count :]


@pytest.mark.parametrize("width", WIDTHS)
@_CHECKED
def test_outside_is_an_index_error(width: int) -> None:
    places = [8 - width + 1, 8, 1 << 40, (1 << 63) - 8]
    for at in places if width == 1 else outside(8, width):  # one octet is read as numba reads: -1 is the last
        with pytest.raises(IndexError):
            load(bytes(8), at, width)
    with pytest.raises(IndexError):
        load(b"", 0, width)


@pytest.mark.parametrize("width", WORDS)
@_CHECKED
def test_a_native_load_outside_is_an_index_error(width: int) -> None:
    for size, at in [*((8, at) for at in outside(8, width)), (0, 0), (width - 1, 0)]:
        with pytest.raises(IndexError):
            load(bytes(size), at, width, native=True)


@pytest.mark.parametrize("width", [4, 8])
@_CHECKED
def test_a_store_outside_is_an_index_error(width: int) -> None:
    for size, at in [*((8, at) for at in outside(8, width)), (0, 0), (width - 1, 0)]:
        with pytest.raises(IndexError):
            store(bytes(size), at, width, 1)


@pytest.mark.parametrize(
    ("to", "at", "count"),
    [
        (5, 0, 4), (0, 7, 4), (-1, 0, 4), (0, -1, 4), (0, 0, -1), (0, 0, 9), (0, 0, 1 << 62), (0, 0, -(1 << 63)),
        (1 << 62, 0, 1), (0, 1 << 62, 1), ((1 << 63) - 1, 0, 1), (9, 0, 0), (0, 11, 0), (-(1 << 63), 0, (1 << 63) - 1),
    ],
)  # fmt: skip
@_CHECKED
def test_a_copy_outside_is_an_index_error(to: int, at: int, count: int) -> None:
    assert copy(bytes(8), 8, bytes(10), 10, 0) == bytes(8)
    with pytest.raises(IndexError):
        copy(bytes(8), to, bytes(10), at, count)
