from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.control.community_syntax import format_communities, parse_communities
from tidegate.errors import TextError
from tidegate.wire.bgp.communities import RawCommunity, TrafficRateBytes

U32 = st.integers(0, (1 << 32) - 1)


@pytest.mark.parametrize(
    ("text", "standard"),
    [
        ("", ()),
        ("65535:666", (0xFFFF029A,)),
        ("65535:666-65000:1", (0xFFFF029A, 0xFDE80001)),
        ("blackhole,no-export", (0xFFFF029A, 0xFFFFFF01)),
        ("no-export-subconfed-no-export-NO-ADVERTISE 1:2", (0xFFFFFF03, 0xFFFFFF01, 0xFFFFFF02, 0x00010002)),
    ],
)
def test_lists(text: str, standard: tuple[int, ...]) -> None:
    assert parse_communities(text, "communities") == (standard, ())


def test_three_numbers_are_an_extended_community() -> None:
    assert parse_communities("128:6:0-1:2", "communities") == ((0x00010002,), (TrafficRateBytes(0.0),))
    assert parse_communities("0:2:65000", "communities")[1] == (RawCommunity(bytes.fromhex("000200000000fde8")),)


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("x", 0),
        ("1:65536", 0),
        ("1:2-", 3),
        ("1:2-3", 4),
        ("1:2:3:4", 0),
        ("256:1:1", 0),
        ("1:1:281474976710656", 0),
        ("1:2;3:4", 3),
        ("1:2--3:4", 4),
        ("blackholes", 9),
        ("\u0663:\u0661", 0),
    ],
)
def test_wrong_lists_are_pointed_at(text: str, column: int) -> None:
    with pytest.raises(TextError, match="communities") as caught:
        parse_communities(text, "communities")
    assert caught.value.column == column


def test_a_list_has_an_end() -> None:
    with pytest.raises(TextError):
        parse_communities("-".join(["1:2"] * 256), "communities")


@given(st.lists(U32, max_size=10))
def test_lists_come_back_from_their_text(standard: list[int]) -> None:
    raw = RawCommunity(bytes.fromhex("0002fde800000001"))
    assert parse_communities(format_communities(standard, [raw]), "c") == (tuple(standard), (raw,))


@given(st.text(max_size=30))
def test_any_text_is_a_list_or_an_error(text: str) -> None:
    with suppress(TextError):
        parse_communities(text, "communities")
