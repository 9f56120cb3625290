from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmp_messages import update
from tidegate.wire.bgp.bmp_quirks import prepends_own_as, without_as
from tidegate.wire.bgp.feed import heard
from tidegate.wire.bgp.message import KEEPALIVE
from tidegate.wire.bgp.update import Update, decode_update

ORIGIN, HOP, MED = "400101 00", "400304 c0000201", "800404 00000001"
OWN = 65001


def read(message: bytes) -> Update:
    return decode_update(message[19:], heard())


@pytest.mark.parametrize(
    ("path", "asns"),
    [
        ("40020a 0202 0000fde9 0000fdea", (65002,)),
        ("50020006 0201 0000fde9", ()),
        ("400210 0201 0000fde9 0102 00000001 00000002", (1, 2)),
        ("40020e 0203 0000fde9 0000fde9 00000003", (OWN, 3)),
    ],
)
def test_the_own_as_is_taken_off_once(path: str, asns: tuple[int, ...]) -> None:
    message = update(ORIGIN, path, HOP, MED, nlri="08 0a", withdrawn="08 0b")
    before, after = read(message), read(without_as(message, OWN, width=4))
    assert after.attributes.as_path is not None
    assert tuple(asn for segment in after.attributes.as_path for asn in segment.asns) == asns
    assert (after.announced, after.withdrawn, after.problems) == (before.announced, before.withdrawn, ())
    assert after.attributes.med == 1


def test_paths_of_two_octets_a_number_are_read_so() -> None:
    message = update(ORIGIN, "400206 0202 fde9 fdea", HOP, nlri="08 0a")
    assert without_as(message, OWN, width=2) == update(ORIGIN, "50020004 0201 fdea", HOP, nlri="08 0a")


@pytest.mark.parametrize(
    "message",
    [
        update(ORIGIN, "40020a 0202 0000fdea 0000fde9", HOP, nlri="08 0a"),
        update(ORIGIN, "40020a 0102 0000fde9 0000fdea", HOP, nlri="08 0a"),
        update(ORIGIN, "400200", HOP, nlri="08 0a"),
        update(ORIGIN, HOP, nlri="08 0a"),
        update(ORIGIN, "4002ff 0202", nlri="08 0a"),
        update(withdrawn="08 0a"),
        KEEPALIVE,
        b"",
    ],
)
def test_other_messages_stay_as_they_are(message: bytes) -> None:
    assert without_as(message, OWN, width=4) == message


@given(st.binary(max_size=60).map(lambda body: b"\xff" * 16 + (19 + len(body)).to_bytes(2, "big") + b"\2" + body))
def test_any_octets_are_passed_on(message: bytes) -> None:
    assert without_as(message, OWN, width=4)


def test_routers_are_told_by_what_they_say_they_are() -> None:
    assert prepends_own_as("FRRouting 8.4.4")
    assert not prepends_own_as("3.10.0")
