"""Reader and Writer: what one writes the other reads, and neither steps over its bounds."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.errors import DecodeError, EncodeError
from tidegate.wire.cursor import Reader, Writer

UNSIGNED = {"u8": 1, "u16": 2, "u32": 4, "u64": 8}


@given(st.sampled_from(sorted(UNSIGNED)), st.data())
def test_unsigned_numbers_come_back(name: str, data: st.DataObject) -> None:
    value = data.draw(st.integers(0, (1 << 8 * UNSIGNED[name]) - 1))
    writer = Writer()
    getattr(writer, name)(value)

    assert writer.bytes() == value.to_bytes(UNSIGNED[name], "big")
    assert getattr(Reader(writer.bytes()), name)() == value


@given(st.binary(max_size=16))
def test_a_number_of_any_width_comes_back(octets: bytes) -> None:
    value = Reader(octets).uint(len(octets))
    writer = Writer()
    writer.uint(value, len(octets))

    assert value == int.from_bytes(octets, "big")
    assert writer.bytes() == octets


@given(st.integers(-(1 << 31), (1 << 31) - 1), st.floats(width=32, allow_nan=False))
def test_signed_numbers_and_singles_come_back(number: int, single: float) -> None:
    writer = Writer()
    writer.i32(number)
    writer.f32(single)
    reader = Reader(writer.bytes())

    assert len(writer) == len(reader) == 8
    assert writer.bytes() == struct.pack(">if", number, single)
    assert (reader.i32(), reader.f32()) == (number, single)


@pytest.mark.parametrize(
    "write",
    [
        *(lambda w, name=name, width=width: getattr(w, name)(1 << 8 * width) for name, width in UNSIGNED.items()),
        *(lambda w, name=name: getattr(w, name)(-1) for name in UNSIGNED),
        lambda w: w.uint(1 << 24, 3),
        lambda w: w.i32(1 << 31),
        lambda w: w.i32(-(1 << 31) - 1),
        lambda w: w.f32(1e39),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(write: Callable[[Writer], None]) -> None:
    writer = Writer()
    writer.put(b"ab")

    with pytest.raises(EncodeError, match="does not fit"):
        write(writer)

    assert writer.bytes() == b"ab"


READS: dict[str, Callable[[Reader], object]] = {
    "take": lambda reader: reader.take(9),
    "skip": lambda reader: reader.skip(9),
    "window": lambda reader: reader.window(9),
    "u64": lambda reader: reader.u64(),
    "backwards": lambda reader: reader.take(-1),
    "window backwards": lambda reader: reader.window(-1),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_reading_past_the_end_tells_where_and_moves_nothing(read: Callable[[Reader], object]) -> None:
    reader = Reader(bytes(range(12)), 2, 7)

    with pytest.raises(DecodeError, match="truncated") as caught:
        read(reader)

    assert caught.value.offset == reader.offset == 2
    assert reader.rest() == bytes(range(2, 7))


@given(st.binary(max_size=20), st.data())
def test_a_window_ends_where_it_says(octets: bytes, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(octets)))
    count = data.draw(st.integers(0, len(octets) - start))
    reader = Reader(octets)
    reader.skip(start)
    window = reader.window(count)

    assert (window.offset, len(window), reader.offset) == (start, count, start + count)
    assert window.peek(count + 5) == octets[start : start + count]
    assert window.rest() == octets[start : start + count]
    with pytest.raises(DecodeError, match="truncated") as caught:
        window.u8()
    assert caught.value.offset == start + count


@pytest.mark.parametrize(("start", "end"), [(-1, 2), (3, 2), (0, 5), (5, None)])
def test_a_reader_lies_inside_its_buffer(start: int, end: int | None) -> None:
    with pytest.raises(DecodeError, match="outside the buffer"):
        Reader(bytes(4), start, end)
