from __future__ import annotations

import contextlib
import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.errors import DecodeError
from tidegate.wire.netlink.ifaddr import AddressFlags, InterfaceAddress, addresses_body, read_address
from tidegate.wire.netlink.message import Message, attribute

V4, V6 = bytes([192, 0, 2, 1]), ipaddress.ip_address("2001:db8::1").packed
PEER = bytes([192, 0, 2, 9])


def message(family: int, *attached: bytes, flags: int = 0x80, index: int = 3) -> Message:
    return Message(20, 0, 1, 0, struct.pack("=BBBBi", family, 24, flags, 0, index) + b"".join(attached))


def flags_of(value: int) -> bytes:
    return attribute(8, struct.pack("=I", value))


@given(
    st.integers(1, 2**31 - 1), st.sampled_from([V4, V6]), st.integers(0, 128), st.integers(0, 255), st.integers(0, 4095)
)
def test_what_the_kernel_says_is_read(index: int, address: bytes, length: int, scope: int, flags: int) -> None:
    body = struct.pack("=BBBBi", 2 if len(address) == 4 else 10, length, flags & 0xFF, scope, index)
    told = Message(20, 0, 1, 0, body + attribute(1, address) + flags_of(flags))
    assert read_address(told) == InterfaceAddress(index, address, flags)


@given(st.binary(max_size=60))
def test_any_octets_are_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(DecodeError):
        read_address(Message(20, 0, 1, 0, body))


def test_the_local_end_of_a_link_between_two_points() -> None:
    assert read_address(message(2, attribute(1, PEER), attribute(2, V4))) == InterfaceAddress(3, V4)


def test_the_short_flags_serve_where_there_are_no_long_ones() -> None:
    read = read_address(message(10, attribute(1, V6), flags=0xA0))
    assert read is not None
    assert read.flags == AddressFlags.PERMANENT | AddressFlags.DEPRECATED


@pytest.mark.parametrize("told", [message(2, attribute(1, V6)), message(10, attribute(1, V4)), message(12), message(2)])
def test_other_families_are_passed_over(told: Message) -> None:
    assert read_address(told) is None


def test_a_short_header() -> None:
    with pytest.raises(DecodeError, match="truncated address header"):
        read_address(Message(20, 0, 1, 0, bytes(7)))


@pytest.mark.parametrize(
    ("address", "flags", "properties"),
    [
        (V4, 0x80, {"usable"}),
        (V4, 0x81, {"usable"}),  # secondary
        (V4, 0x00, {"usable", "autoconfigured"}),  # with a lease
        (V6, 0x01, {"usable", "temporary", "autoconfigured"}),
        (V6, 0x100, {"usable", "autoconfigured"}),  # what temporary ones are made beside
        (V6, 0x880, {"usable", "autoconfigured"}),
        (V6, 0xC0, set()),
        (V6, 0xC8, set()),
        (V6, 0xA0, {"usable", "deprecated"}),
    ],
)
def test_what_flags_mean(address: bytes, flags: int, properties: set[str]) -> None:
    one = InterfaceAddress(3, address, flags)
    names = ("usable", "temporary", "deprecated", "autoconfigured")
    assert {name for name in names if getattr(one, name)} == properties
    assert one.family == (4 if address == V4 else 6)


def test_what_an_advertisement_brought() -> None:
    read = read_address(message(10, attribute(1, V6), attribute(11, b"\x02")))
    assert read is not None
    assert read.autoconfigured
    assert read.advertised


def test_the_request() -> None:
    assert addresses_body() == bytes(8)
