"""Families of generic netlink, as the control family tells of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.errors import DecodeError
from tidegate.wire.netlink.genl import Family, genl_body, get_family_body, read_family
from tidegate.wire.netlink.message import ORDER, Message, attribute, nested


def _answer(*attached: bytes) -> Message:
    return Message(16, 0, 1, 0, genl_body(1, 2, *attached))


def _group(name: str, number: int) -> bytes:
    return nested(1, attribute(1, name.encode() + b"\0"), attribute(2, number.to_bytes(4, ORDER)))


def test_a_family_is_read_with_its_groups() -> None:
    told = (attribute(1, (34).to_bytes(2, ORDER)), attribute(2, b"psample\0"), attribute(3, (1).to_bytes(4, ORDER)))
    groups = nested(7, _group("config", 14), _group("packets", 15))
    assert read_family(_answer(*told, groups)) == Family("psample", 34, 1, {"config": 14, "packets": 15})


def test_a_request_names_the_family() -> None:
    assert get_family_body("psample") == genl_body(3, 1, attribute(2, b"psample\0"))


@pytest.mark.parametrize("body", [b"", b"\1\2\0", genl_body(1, 2)])
def test_an_answer_without_a_family_is_refused(body: bytes) -> None:
    with pytest.raises(DecodeError):
        read_family(Message(16, 0, 1, 0, body))


@given(st.binary(max_size=100))
def test_any_octets_are_read_or_refused(octets: bytes) -> None:
    try:
        read_family(Message(16, 0, 1, 0, octets))
    except DecodeError:
        return
