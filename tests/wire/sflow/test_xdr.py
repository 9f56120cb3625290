from __future__ import annotations

import math
import struct
from decimal import Decimal

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tidegate.errors import DecodeError, EncodeError
from tidegate.wire.cursor import Reader, Writer
from tidegate.wire.sflow import xdr
from tidegate.wire.sflow.flow_records import ExtendedGateway, ExtendedSwitch
from tidegate.wire.sflow.xdr import array, kind_of, layout, read_struct, show_single, show_struct, write_struct


def written(alias: object, value: object) -> bytes:
    writer = Writer()
    kind_of(alias).write(writer, value)
    return writer.bytes()


@pytest.mark.parametrize(
    ("alias", "value", "octets", "shown"),
    [
        (xdr.U32, 7, "00000007", 7),
        (xdr.I32, -1, "ffffffff", -1),
        (xdr.U64, 1 << 32, "0000000100000000", 1 << 32),
        (xdr.FLOAT, 0.5, "3f000000", 0.5),
        (xdr.MAC, bytes.fromhex("02ab10000c01"), "02ab10000c010000", "02AB10000C01"),
        (xdr.IP4, bytes([192, 0, 2, 1]), "c0000201", "192.0.2.1"),
        (xdr.IP6, bytes(15) + b"\1", "00" * 15 + "01", "::1"),
        (xdr.ADDRESS, b"", "00000000", None),
        (xdr.ADDRESS, bytes([192, 0, 2, 1]), "00000001c0000201", "192.0.2.1"),
        (xdr.ADDRESS, bytes(15) + b"\1", "00000002" + "00" * 15 + "01", "::1"),
        (xdr.STRING, b"abc\xff", "00000004616263ff", "abc\ufffd"),
        (xdr.STRING, b"abcde", "000000056162636465000000", "abcde"),
        (xdr.OPAQUE, b"\1", "0000000101000000", "01"),
        (xdr.BYTES4, b"\1\2\3\4", "01020304", "01020304"),
        (xdr.U32S, (1, 2), "000000020000000100000002", [1, 2]),
        (xdr.MACS, (b"\2" * 6,), "000000010202020202020000", ["020202020202"]),
    ],
)
def test_each_type_is_written_read_and_shown(alias: object, value: object, octets: str, shown: object) -> None:
    assert written(alias, value).hex() == octets
    reader = Reader(bytes.fromhex(octets))
    assert kind_of(alias).read(reader) == value
    assert len(reader) == 0
    assert kind_of(alias).show(value) == shown


@pytest.mark.parametrize("alias", [xdr.STRING, xdr.OPAQUE, xdr.U32S, xdr.MACS])
def test_a_length_that_lies_allocates_nothing(alias: object) -> None:
    with pytest.raises(DecodeError, match="truncated"):
        kind_of(alias).read(Reader(b"\xff\xff\xff\xff" + bytes(64)))


def test_an_address_of_unknown_type_cannot_be_passed_over() -> None:
    with pytest.raises(DecodeError, match="unknown address type at octet 0"):
        kind_of(xdr.ADDRESS).read(Reader(b"\0\0\0\3" + bytes(16)))


@pytest.mark.parametrize(
    ("alias", "value"),
    [
        (xdr.U32, -1),
        (xdr.U32, 1 << 32),
        (xdr.I32, 1 << 31),
        (xdr.U64, 1 << 64),
        (xdr.MAC, bytes(5)),
        (xdr.FLOAT, 1e300),
    ],
)
def test_what_does_not_fit_its_type_is_refused(alias: object, value: object) -> None:
    with pytest.raises(EncodeError):
        written(alias, value)


def test_a_layout_tells_attribute_and_printed_name() -> None:
    names = [(attribute, name) for attribute, name, _ in layout(ExtendedGateway)]
    assert names[:2] == [("nexthop", "nexthop"), ("as_", "as")]


def test_a_record_reads_as_far_as_its_octets_go_and_shows_what_is_there() -> None:
    reader = Reader(struct.pack(">IIH", 1, 2, 3))
    record = read_struct(ExtendedSwitch, reader)
    assert record == ExtendedSwitch(1, 2)
    assert len(reader) == 0
    assert show_struct(record) == {"src_vlan": 1, "src_priority": 2}
    writer = Writer()
    write_struct(writer, record)
    assert writer.bytes() == struct.pack(">II", 1, 2)


class Pair(msgspec.Struct, frozen=True):
    """Two words, for arrays."""

    left: xdr.U32 = None
    right: xdr.U32 = None


def test_an_array_of_records_is_whole_or_absent() -> None:
    pairs = array(Pair)
    writer = Writer()
    pairs.write(writer, (Pair(1, 2), Pair(3, 4)))
    assert pairs.read(Reader(writer.bytes())) == (Pair(1, 2), Pair(3, 4))
    with pytest.raises(DecodeError):
        pairs.read(Reader(writer.bytes()[:-4]))


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
@example(999999995904.0)  # one digit is enough, though what is printed is longer
@example(math.ldexp(1, -149))
@example(float.fromhex("0x1.fffffep127"))
def test_a_shown_single_is_the_same_single_in_the_fewest_digits(value: float) -> None:
    shown = show_single(value)
    assert shown is not None
    assert struct.pack(">f", shown) == struct.pack(">f", value)
    digits = len(Decimal(repr(shown)).normalize().as_tuple().digits)
    assert digits == 1 or single(float(f"{value:.{digits - 1}g}")) != value


def single(value: float) -> float:
    """Return the IEEE 754 single next to a number, infinity for one too large."""
    try:
        return float(struct.unpack(">f", struct.pack(">f", value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_what_json_has_no_number_for_is_shown_as_unknown(value: float) -> None:
    assert show_single(value) is None


def test_only_annotations_of_this_module_carry_a_type() -> None:
    with pytest.raises(TypeError, match="carries no XDR type"):
        kind_of(dict[str, int])
