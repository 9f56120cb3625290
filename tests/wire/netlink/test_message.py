"""Frames and attributes of netlink, answers to requests."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.errors import DecodeError
from tidegate.wire.netlink.message import (
    ORDER,
    Answer,
    Flags,
    Kind,
    Message,
    attribute,
    attributes,
    encode_message,
    first_attributes,
    nested,
    read_answer,
    split_messages,
    text_of,
    uint_of,
)

HEADER = 16


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.integers(0, 2**32 - 1), st.binary())))
def test_messages_come_back(told: list[tuple[int, int, int, bytes]]) -> None:
    octets = b"".join(one + bytes(-len(one) % 4) for one in (encode_message(*fields) for fields in told))
    assert [(one.type, one.flags, one.sequence, one.body) for one in split_messages(octets)] == told


@given(st.lists(st.tuples(st.integers(0, 0x3FFF), st.binary(max_size=50))))
def test_attributes_come_back(told: list[tuple[int, bytes]]) -> None:
    assert list(attributes(b"".join(attribute(*one) for one in told))) == told
    assert list(attributes(nested(5, *(attribute(*one) for one in told)))) == [
        (5, b"".join(attribute(*one) for one in told))
    ]


@given(st.binary(max_size=200))
def test_any_octets_are_read_or_refused(octets: bytes) -> None:
    for read in (split_messages, attributes):
        with suppress(DecodeError):
            list(read(octets))


@given(st.binary(max_size=200), st.integers(0, 0xFFFF), st.sampled_from([Kind.ERROR, Kind.DONE]))
def test_any_answer_is_read_or_refused(octets: bytes, flags: int, kind: Kind) -> None:
    try:
        read_answer(Message(kind, flags, 1, 0, octets))
    except DecodeError:
        return


def test_a_message_longer_than_its_buffer_is_refused_behind_those_that_fit() -> None:
    octets = encode_message(20, 0, 1, b"body") + encode_message(21, 0, 2, b"body")[:-1]
    messages = split_messages(octets)
    assert next(messages).type == 20
    with pytest.raises(DecodeError, match="at octet 20"):
        next(messages)


def test_the_first_of_several_attributes_counts() -> None:
    assert first_attributes(attribute(3, b"a") + attribute(3, b"b") + attribute(0, b"c")) == {3: b"a", 0: b"c"}


def test_numbers_and_texts() -> None:
    assert uint_of((258).to_bytes(2, ORDER)) == 258
    assert uint_of(None, 7) == 7
    assert text_of(b"eth0\0rest") == "eth0"
    assert not text_of(None)


def test_an_acknowledgement_is_an_error_of_number_zero() -> None:
    request = encode_message(16, 5, 1, b"")
    assert read_answer(Message(Kind.ERROR, 0, 1, 0, struct.pack("=i", 0) + request)) == Answer(0)


@pytest.mark.parametrize("flags", [Flags.ACK_TLVS, Flags.ACK_TLVS | Flags.CAPPED])
def test_the_kernels_words_stand_behind_the_request(flags: int) -> None:
    request = encode_message(16, 5, 1, b"the body, an odd one")
    repeated = request[:HEADER] if flags & Flags.CAPPED else request + bytes(-len(request) % 4)
    body = struct.pack("=i", -22) + repeated + attribute(1, b"not like this\0")
    assert read_answer(Message(Kind.ERROR, flags, 1, 0, body)) == Answer(22, "not like this")


def test_a_dump_may_end_with_an_error_and_words() -> None:
    body = struct.pack("=i", -95) + attribute(1, b"the driver cannot\0")
    assert read_answer(Message(Kind.DONE, Flags.ACK_TLVS | Flags.MULTI, 1, 0, body)) == Answer(95, "the driver cannot")


def test_an_error_without_a_number_is_refused() -> None:
    with pytest.raises(DecodeError, match="truncated"):
        read_answer(Message(Kind.ERROR, 0, 1, 0, b"\0\0"))
