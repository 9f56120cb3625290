from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmp_messages import update
from tidegate.errors import SessionReset
from tidegate.wire.bgp.constants import Family
from tidegate.wire.bgp.feed import Fed, feed, heard
from tidegate.wire.bgp.message import KEEPALIVE
from tidegate.wire.bgp.ribin import RibIn
from tidegate.wire.bgp.update import Update
from tidegate.wire.bgp.update_scan import UpdateRun

ORIGIN, PATH, HOP = "400101 00", "400206 0201 0000fdea", "400304 c0000201"
V4, V6 = Family.IPV4_UNICAST, Family.IPV6_UNICAST
TEN, ELEVEN = (update(ORIGIN, PATH, HOP, nlri=nlri) for nlri in ("08 0a", "08 0b"))
SIX = update(ORIGIN, PATH, "800e1a 0002 01 10 20010db8000000000000000000000001 00 20 20010db8")
FAULTY = update("400101 09", PATH, HOP, nlri="08 0a")
FATAL = update(ORIGIN, PATH, HOP, nlri="21 0a")
GONE = update(withdrawn="08 0a")
END = update()


def given_to(rib: RibIn, *messages: bytes, **how: object) -> list[Fed]:
    found = list(feed(rib, messages, heard(), **how))  # type: ignore[arg-type]
    rib.finish()
    return found


def kinds(found: list[Fed]) -> list[str]:
    return [f"{len(each)} updates" if isinstance(each, UpdateRun) else type(each).__name__ for each in found]


def test_updates_without_a_fault_go_together_others_by_themselves() -> None:
    rib = RibIn()
    found = given_to(rib, TEN, ELEVEN, FAULTY, FATAL, SIX, END, KEEPALIVE, TEN[:-1], b"", TEN)
    assert kinds(found) == [
        *("2 updates", "Update", "SessionReset", "1 updates", "Update"),
        *("SessionReset", "SessionReset", "SessionReset", "1 updates"),
    ]
    assert (rib.count(V4), rib.count(V6)) == (2, 1)
    assert found[4] == Update(end_of_rib=V4)


def test_what_is_faulty_is_withdrawn() -> None:
    rib = RibIn()
    given_to(rib, TEN, ELEVEN)
    given_to(rib, FAULTY)
    assert rib.count(V4) == 1


def test_other_families_may_be_left_out() -> None:
    rib = RibIn()
    found = given_to(rib, TEN, SIX, families=(V6,))
    assert (rib.count(V4), rib.count(V6)) == (0, 1)
    assert kinds(found) == ["Update", "Update"]
    assert isinstance(found[0], Update)
    assert found[0].announced == ()


@pytest.mark.parametrize("octets", [TEN + TEN, TEN[:16] + b"\0\x13\2", b"\xfe" * 30, b"\xff" * 18 + b"\2"])
def test_what_is_not_one_update_is_left_out_and_the_next_one_found(octets: bytes) -> None:
    rib = RibIn()
    assert kinds(given_to(rib, octets, ELEVEN)) == ["SessionReset", "1 updates"]
    assert rib.count(V4) == 1


def test_ipv4_routes_over_ipv6_are_read() -> None:
    rib = RibIn()
    over = update(ORIGIN, PATH, "800e17 0001 01 10 20010db8000000000000000000000001 00 08 0a")
    (found,) = given_to(rib, over)
    assert not isinstance(found, SessionReset)
    assert rib.count(V4) == 1


MESSAGES = st.sampled_from([TEN, ELEVEN, SIX, FAULTY, FATAL, GONE, END, KEEPALIVE])


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    octets = bytearray(draw(MESSAGES))
    for _ in range(draw(st.integers(0, 2))):
        octets[draw(st.integers(0, len(octets) - 1))] = draw(st.integers(0, 255))
    return bytes(octets)


@given(st.lists(MESSAGES | damaged() | st.binary(max_size=40), max_size=8))
def test_together_or_one_by_one_they_come_to_the_same(messages: list[bytes]) -> None:
    together, alone = RibIn(), RibIn()
    found = given_to(together, *messages)
    assert sum(len(each) if isinstance(each, UpdateRun) else 1 for each in found) == len(messages)
    for message in messages:
        list(feed(alone, (message,), heard()))
    alone.finish()
    for family in (V4, V6):
        assert together.count(family) == alone.count(family)
