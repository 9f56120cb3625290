from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.wire.capture.fragments import Piece, Reassembly, read_piece

S = 1_000_000_000


def pieces_of(payload: bytes, key: bytes = b"k") -> list[Piece]:
    return [Piece(key, at, at + 8 >= len(payload), payload[at : at + 8]) for at in range(0, len(payload), 8)]


@given(st.binary(min_size=1, max_size=100), st.randoms(use_true_random=False))
def test_pieces_in_any_order_make_the_whole_once(payload: bytes, random: object) -> None:
    pieces = pieces_of(payload)
    random.shuffle(pieces)  # type: ignore[attr-defined]  # the strategy's type is not exported
    fragments = Reassembly()
    made = [fragments.add(piece, 0) for piece in pieces]
    assert made == [None] * (len(pieces) - 1) + [payload]
    assert (fragments.joined, fragments.waiting, fragments.lost) == (len(pieces), 0, 0)


@pytest.mark.parametrize(
    "second",
    [
        Piece(b"k", 4, last=False, payload=bytes(8)),  # overlaps
        Piece(b"k", 0, last=False, payload=bytes(8)),  # the same again
        Piece(b"k", 65528, last=True, payload=bytes(9)),  # beyond 65,535 octets
        Piece(b"k", 8, last=False, payload=bytes(7)),  # only the last may have other than multiples of 8
        Piece(b"k", 8, last=True, payload=b""),
    ],
)
def test_pieces_that_do_not_fit_cost_the_datagram(second: Piece) -> None:
    fragments = Reassembly()
    fragments.add(Piece(b"k", 0, last=False, payload=bytes(8)), 0)
    assert fragments.add(second, 0) is None
    assert (fragments.waiting, fragments.lost) == (0, 2)


def test_pieces_that_disagree_on_the_end_cost_the_datagram() -> None:
    end = Piece(b"k", 16, last=True, payload=bytes(8))
    for other in (Piece(b"k", 8, last=True, payload=bytes(8)), Piece(b"k", 24, last=False, payload=bytes(8))):
        for first, second in ((end, other), (other, end)):
            fragments = Reassembly()
            fragments.add(first, 0)
            assert fragments.add(second, 0) is None
            assert (fragments.waiting, fragments.lost) == (0, 2)


def test_what_began_too_long_ago_is_given_up() -> None:
    fragments = Reassembly()
    first, second = pieces_of(bytes(16))
    fragments.add(first, 0)
    assert fragments.add(second, 31 * S) is None
    assert (fragments.lost, fragments.waiting) == (1, 1)


def test_too_many_begun_push_the_oldest_out() -> None:
    fragments = Reassembly()
    for i in range(1000):
        fragments.add(Piece(i.to_bytes(4, "big"), 0, last=False, payload=bytes(8)), 0)
    assert fragments.waiting == 256
    assert fragments.lost == 744


@given(st.binary(min_size=1, max_size=80), st.integers(0, 80), st.integers(0, 100))
def test_any_packet_is_read_or_refused(packet: bytes, start: int, length: int) -> None:
    piece = read_piece(bytes([packet[0] | 0x40]) + packet[1:] + bytes(40), start, length)
    assert piece is None or 0 <= piece.offset <= 0xFFFF
