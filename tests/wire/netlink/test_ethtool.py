from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.errors import DecodeError
from tidegate.wire.netlink.ethtool import (
    Duplex,
    EthernetStats,
    LinkMode,
    link_modes_body,
    read_link_mode,
    read_stats,
    stats_body,
)
from tidegate.wire.netlink.genl import genl_body
from tidegate.wire.netlink.message import Message, attribute, attributes, first_attributes, nested, uint_of

FIELDS = EthernetStats.__struct_fields__
U64 = st.integers(0, 2**64 - 1)


def u32(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))


def u64(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=Q", value))


def header(kind: int, index: int) -> bytes:
    return nested(kind, u32(1, index), attribute(2, b"eth0\0"))


def answer(command: int, *attached: bytes) -> Message:
    return Message(21, 0, 1, 0, genl_body(command, 1, *attached))


def group(number: int, *values: tuple[int, int]) -> bytes:
    histogram = nested(5, u32(7, 64), u32(8, 64), u64(9, 1))
    return nested(4, u32(2, number), u32(3, 17 + number), *(nested(4, u64(*one)) for one in values), histogram)


@given(st.dictionaries(st.sampled_from(FIELDS), U64, min_size=1))
def test_what_a_driver_tells_is_read(told: dict[str, int]) -> None:
    groups: dict[int, list[tuple[int, int]]] = {0: [], 1: [], 3: []}
    for name, value in told.items():
        place = FIELDS.index(name)
        which, first = (0, 0) if place < 1 else (1, 1) if place < 23 else (3, 23)
        groups[which].append((place - first, value))
    message = answer(33, header(2, 9), *(group(number, *values) for number, values in groups.items()))
    assert read_stats(message) == (9, EthernetStats(**told))


@given(st.binary(max_size=80) | st.binary(max_size=60).map(lambda rest: bytes(4) + rest))
def test_any_octets_are_read_or_refused(body: bytes) -> None:
    for read in (read_stats, read_link_mode):
        with contextlib.suppress(DecodeError):
            read(Message(21, 0, 1, 0, body))


def test_numbers_are_those_of_the_kernels_header() -> None:
    mac = group(1, (0, 1), (4, 5), (5, 6), (12, 13), (17, 20), (21, 24))
    rmon = group(3, (0, 30), (3, 33))
    read = read_stats(answer(33, header(2, 1), group(0, (0, 7)), mac, rmon))[1]
    assert read == EthernetStats(
        symbol_errors=7,
        frames_sent=1,  # 30.3.1.1.2
        fcs_errors=5,  # 30.3.1.1.6
        alignment_errors=6,  # 30.3.1.1.7
        octets_received=13,  # 30.3.1.1.14
        multicast_received=20,  # 30.3.1.1.21
        too_long=24,  # 30.3.1.1.25
        undersize=30,
        jabbers=33,
    )


def test_a_driver_without_numbers() -> None:
    assert read_stats(answer(33, header(2, 4), u32(5, 0), group(0), group(1), group(3))) == (4, None)


def test_groups_and_numbers_of_later_kernels_are_passed_over() -> None:
    assert read_stats(answer(33, header(2, 4), group(2, (0, 1)), group(1, (22, 1)), group(9, (0, 1)))) == (4, None)
    assert read_stats(answer(33, header(2, 4), nested(4, nested(4, u64(0, 1))))) == (
        4,
        None,
    )  # a group without a number


def test_padding_is_no_number() -> None:
    stat = nested(4, attribute(1, b""), u64(4, 5))
    assert read_stats(answer(33, header(2, 4), nested(4, u32(2, 1), stat))) == (4, EthernetStats(fcs_errors=5))


@pytest.mark.parametrize(
    ("told", "mode"),
    [
        (u32(5, 10_000) + attribute(6, b"\1"), LinkMode(10_000_000_000, Duplex.FULL)),
        (u32(5, 10) + attribute(6, b"\0"), LinkMode(10_000_000, Duplex.HALF)),
        (u32(5, 800_000) + attribute(6, b"\xff"), LinkMode(800_000_000_000)),
        (u32(5, 0xFFFFFFFF) + attribute(6, b"\xff"), LinkMode()),
        (b"", LinkMode()),
    ],
)
def test_speed_and_duplex(told: bytes, mode: LinkMode) -> None:
    assert read_link_mode(answer(4, header(1, 3), told)) == (3, mode)


@pytest.mark.parametrize("read", [read_stats, read_link_mode])
def test_short_headers(read: object) -> None:
    assert callable(read)
    with pytest.raises(DecodeError, match="truncated generic netlink header"):
        read(Message(21, 0, 1, 0, b"\0"))


def test_requests() -> None:
    assert link_modes_body()[:4] == bytes([4, 1, 0, 0])
    assert uint_of(first_attributes(first_attributes(link_modes_body(5), 4)[1])[1]) == 5
    assert 1 not in first_attributes(first_attributes(stats_body(), 4)[2])
    groups = dict(attributes(first_attributes(stats_body(5), 4)[3]))
    assert {kind: uint_of(value) for kind, value in groups.items()} == {1: 0, 2: 4, 4: 0b1011}
