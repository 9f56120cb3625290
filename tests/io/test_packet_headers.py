"""The kernel beside a plain twin, over drawn control data; what the real kernel gives is in `test_packet_socket`."""

from __future__ import annotations

import struct

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tidegate.data.sampled import Row
from tidegate.io.mmsg import CONTROL, CONTROL_LENGTH_AT, LENGTH_AT, NAME, NAME_LENGTH_AT
from tidegate.io.packet_headers import read_packet_headers

NOW, INTERFACE, RATE = 1_700_000_000_123_456_789, 70_000, 400
SOCKET, PACKET = 1, 263  # levels
TIME, AUXDATA = 35, 8  # kinds
TAG, TAG_TYPE = 0x10, 0x40  # of the status: there is a tag; its TPID is told


class Message(msgspec.Struct, frozen=True):
    """What the kernel gave with a packet; `control_length` is what it says that the control data has."""

    length: int
    protocol: int
    packet_type: int
    control: bytes
    control_length: int


def cmsg(level: int, kind: int, value: bytes, length: int | None = None) -> bytes:
    """Return a control message, padded, which may lie about its length."""
    octets = struct.pack("=Qii", 16 + len(value) if length is None else length, level, kind) + value
    return octets + bytes(-len(octets) % 8)


def time_cmsg(seconds: int, nanoseconds: int) -> bytes:
    return cmsg(SOCKET, TIME, struct.pack("=qq", seconds, nanoseconds))


def auxdata(status: int, length: int, tci: int = 0, tpid: int = 0) -> bytes:
    return cmsg(PACKET, AUXDATA, struct.pack("=IIIHHHH", status, length, min(length, 128), 0, 14, tci, tpid))


def told(message: Message, layer: int) -> list[int]:
    """Return the row of a packet, the plain way."""
    row = dict.fromkeys(Row, -1)
    row |= {Row.GROUP: INTERFACE, Row.RATE: RATE, Row.LAYER: layer, Row.NARROW: 0, Row.MAC_LENGTH: 0}
    row |= {Row.PROTOCOL: message.protocol, Row.TIME: NOW}
    row |= {Row.LENGTH: message.length, Row.DATA_LENGTH: message.length}
    is_egress = message.packet_type == 4
    row |= {Row.EGRESS: int(is_egress), Row.OUTPUT if is_egress else Row.INPUT: INTERFACE}
    rest = message.control[: message.control_length]
    while len(rest) >= 16:
        size, _, kind = struct.unpack_from("=qii", rest)
        if not 16 <= size <= len(rest):
            break
        value = rest[16:size]
        if kind == TIME and len(value) >= 16:
            seconds, nanoseconds = struct.unpack_from("=qq", value)
            row[Row.TIME] = seconds * 10**9 + nanoseconds
        if kind == AUXDATA and len(value) >= 20:
            status, length, _, _, _, tci, tpid = struct.unpack_from("=IIIHHHH", value)
            row[Row.LENGTH] = length
            if status & TAG:
                row[Row.TAG] = (tpid if status & TAG_TYPE else 0x8100) << 16 | tci
        rest = rest[size + (-size % 8) :]
    return [row[column] for column in Row]


def found(messages: list[Message], layer: int) -> tuple[list[list[int]], int]:
    """Return what the kernel makes of packets, and the greatest length; what it leaves for the next call is checked."""
    count = len(messages)
    headers = np.zeros((count + 1, 8), np.int64)  # one more than there are packets
    names = np.zeros((count + 1, NAME), np.uint8)
    controls = np.zeros((count + 1, CONTROL // 8), np.int64)
    for i, one in enumerate(messages):
        headers.view(np.int32)[i, LENGTH_AT] = one.length
        headers.view(np.int32)[i, NAME_LENGTH_AT] = 20
        headers[i, CONTROL_LENGTH_AT] = one.control_length
        names[i, :12] = list(struct.pack(">HHiHBB", 17, one.protocol, 9, 1, one.packet_type, 6))
        controls.view(np.uint8)[i] = list(one.control.ljust(CONTROL, b"\xff")[:CONTROL])
    lengths = np.full(count, -7, np.int64)
    rows = np.full((count, len(Row)), -7, np.int64)
    longest = read_packet_headers(
        headers, headers.view(np.int32), names, controls, controls.view(np.int32), NOW, INTERFACE, RATE, layer, lengths,
        rows,
    )  # fmt: skip
    assert headers[:count, CONTROL_LENGTH_AT].tolist() == [CONTROL] * count
    assert headers.view(np.int32)[:count, NAME_LENGTH_AT].tolist() == [NAME] * count
    assert not headers[count].any()
    assert lengths.tolist() == [one.length for one in messages]
    return rows.tolist(), longest


WORDS = st.integers(0, 0xFFFFFFFF)
HALVES = st.integers(0, 0xFFFF)
CONTROL_MESSAGES = st.one_of(
    st.builds(time_cmsg, st.integers(-(2**31), 2**33), st.integers(0, 999_999_999)),
    st.builds(auxdata, WORDS, WORDS, HALVES, HALVES),
    st.builds(auxdata, st.sampled_from([0, TAG, TAG | TAG_TYPE, TAG_TYPE]), WORDS, HALVES, HALVES),
    st.builds(cmsg, st.sampled_from([SOCKET, PACKET]), st.sampled_from([TIME, AUXDATA, 1, 40]), st.binary(max_size=40)),
    st.builds(cmsg, st.just(PACKET), st.just(AUXDATA), st.binary(min_size=20, max_size=20), st.integers(0, 2**63 - 1)),
)


@st.composite
def messages(draw: st.DrawFn) -> Message:
    control = b"".join(draw(st.lists(CONTROL_MESSAGES, max_size=4))) + draw(st.binary(max_size=20))
    control = control[:CONTROL]
    return Message(
        length=draw(st.integers(0, 65535)),
        protocol=draw(HALVES),
        packet_type=draw(st.integers(0, 7)),
        control=control,
        control_length=draw(st.just(len(control)) | st.integers(0, len(control))),
    )


def plain(*control: bytes) -> Message:
    octets = b"".join(control)
    return Message(60, 0x0800, 0, octets, len(octets))


@given(st.lists(messages(), max_size=6), st.sampled_from([2, 3]))
@example([plain(time_cmsg(5, 6), auxdata(TAG | TAG_TYPE, 1500, 7, 0x88A8))], 2)
@example([plain(auxdata(TAG, 1500, 7, 0x88A8), time_cmsg(5, 6))], 2)
def test_rows_are_those_of_the_twin(drawn: list[Message], layer: int) -> None:
    rows, longest = found(drawn, layer)
    assert rows == [told(one, layer) for one in drawn]
    assert longest == max((one.length for one in drawn), default=0)


@pytest.mark.parametrize(
    ("status", "tag"), [(0, -1), (TAG_TYPE, -1), (TAG, 0x8100_2005), (TAG | TAG_TYPE, 0x88A8_2005)]
)
def test_a_tag_is_told_where_there_is_one(status: int, tag: int) -> None:
    row = found([plain(time_cmsg(5, 6), auxdata(status, 0xFFFFFFFF, 0x2005, 0x88A8))], 2)[0][0]
    assert (row[Row.TAG], row[Row.LENGTH], row[Row.TIME]) == (tag, 0xFFFFFFFF, 5_000_000_006)


def test_without_control_data_the_length_is_that_of_the_octets_and_the_time_that_of_the_reading() -> None:
    row = found([plain()], 3)[0][0]
    assert (row[Row.LENGTH], row[Row.DATA_LENGTH], row[Row.TIME], row[Row.LAYER]) == (60, 60, NOW, 3)


def test_ways_are_told_apart() -> None:
    ways = [Message(60, 0x0800, packet_type, b"", 0) for packet_type in range(8)]
    rows = found(ways, 2)[0]
    assert [row[Row.EGRESS] for row in rows] == [0, 0, 0, 0, 1, 0, 0, 0]
    assert [(row[Row.INPUT], row[Row.OUTPUT]) for row in rows][3:5] == [(INTERFACE, -1), (-1, INTERFACE)]
