from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.wire.bgp.constants import NOTIFICATION_TEXTS, Cease, Family
from tidegate.wire.bgp.explain import ADVICE, explain
from tidegate.wire.bgp.message import Notification, hard_reset, shutdown, too_many_prefixes

GOLDEN = [
    (
        Notification(2, 2),
        False,
        "bad peer AS (2/2) - the peer expects another AS: check local_as here and the remote AS it has for us",
    ),
    (
        Notification(2, 2),
        True,
        "bad peer AS (2/2) - the peer is in another AS than expected: check peer_as here and the peer's own AS",
    ),
    (
        too_many_prefixes(Family.IPV4_UNICAST, 1000),
        True,
        (
            "maximum number of prefixes reached (6/1): ipv4-unicast, at most 1000 - the peer announced more "
            "than max_prefixes or max_flow_rules: see what it announces, or raise the limit"
        ),
    ),
    (
        Notification(6, 1, bytes.fromhex("001941 0000000a")),
        False,
        (
            "maximum number of prefixes reached (6/1): AFI 25 SAFI 65, at most 10 - the peer takes fewer routes "
            "than it was sent: raise its limit for us, or announce fewer"
        ),
    ),
    (
        shutdown(Cease.SHUTDOWN, "moving house"),
        False,
        'administrative shutdown (6/2): "moving house" - the session was shut down at the peer: ask there',
    ),
    (
        hard_reset(shutdown(Cease.SHUTDOWN, "bye")),
        False,
        'hard reset (6/9): administrative shutdown (6/2): "bye" - the session was shut down at the peer: ask there',
    ),
    (
        Notification(6, 5),
        False,
        (
            "connection rejected (6/5) - the peer does not want this session: check that our address and AS are "
            "configured and enabled there"
        ),
    ),
    (
        Notification(2, 7, bytes((1, 4, 0, 1, 0, 133, 1, 4, 0, 25, 0, 70, 2, 0, 99, 1, 7))),
        False,
        (
            "unsupported capability (2/7): multiprotocol ipv4-flowspec, multiprotocol AFI 25 SAFI 70, route "
            "refresh, code 99 - the peer insists on a capability that we do not offer: compare the families of "
            "both sides"
        ),
    ),
    (
        Notification(2, 1, b"\0\3"),
        False,
        "unsupported version number (2/1): version 3 is spoken there - the peer does not speak BGP version 4",
    ),
    (
        Notification(3, 5, bytes.fromhex("c00807 00")),
        False,
        (
            "attribute length error (3/5): attribute COMMUNITIES, data c0080700 - the peer could not read an "
            "UPDATE of ours: choose the profile that suits it; suspect the routes sent last"
        ),
    ),
    (
        Notification(3, 1),
        True,
        (
            "malformed attribute list (3/1) - an UPDATE of the peer cannot be read: capture the connection and "
            "report it to who runs the peer"
        ),
    ),
    (
        Notification(4, 0),
        True,
        (
            "hold timer expired (4/0) - nothing came from the peer for the hold time: look at the path and at the "
            "peer's load"
        ),
    ),
    (
        Notification(5, 1, b"\2"),
        False,
        (
            "unexpected message in OpenSent (5/1): a message of type UPDATE - the peer did not expect this "
            "message of ours: capture the connection and report it"
        ),
    ),
    (
        Notification(7, 1, bytes(30)),
        False,
        (
            f"invalid ROUTE-REFRESH length (7/1): data {'00' * 24} and 6 octets more - the peer refuses a "
            "ROUTE-REFRESH of ours: switch enhanced_refresh off for it"
        ),
    ),
    (
        Notification(8, 0),
        True,
        "send hold timer expired (8/0) - the peer has stopped reading: look at the peer's load and at the path",
    ),
    (Notification(99, 3), False, "unknown error (99/3)"),
]


@pytest.mark.parametrize(("notification", "sent", "words"), GOLDEN)
def test_the_words(notification: Notification, sent: bool, words: str) -> None:  # noqa: FBT001 - a column of a table
    assert explain(notification, sent=sent) == words


def test_a_bad_header_tells_what_was_wrong() -> None:
    assert "(1/2): a length of 4097 - what came is no BGP message" in explain(
        Notification(1, 2, b"\x10\x01"), sent=True
    )
    assert "(1/3): a message of type 9 - " in explain(Notification(1, 3, b"\x09"), sent=True)


def test_data_that_is_not_what_its_code_promises_is_shown_as_it_is() -> None:
    assert ": data 0001 - " in explain(Notification(6, 1, b"\0\1"), sent=False)
    assert ": data 0104 - " in explain(Notification(2, 7, b"\1\4"), sent=False)
    assert ": data 0102 - " in explain(Notification(2, 2, b"\1\2"), sent=False)


def test_every_error_has_advice_for_both_sides() -> None:
    for code, subcode in NOTIFICATION_TEXTS:
        received, _ = ADVICE.get((code, subcode)) or ADVICE.get((code, 0)) or ("", "")
        assert received or (code, subcode) == (6, 0)
    for key in ADVICE:
        assert key in NOTIFICATION_TEXTS


@given(st.integers(0, 255), st.integers(0, 255), st.binary(max_size=4096), st.booleans())
def test_any_notification_is_one_line_of_some_length(code: int, subcode: int, data: bytes, sent: bool) -> None:  # noqa: FBT001
    words = explain(Notification(code, subcode, data), sent=sent)
    assert f"({code}/{subcode})" in words
    assert words.isprintable()
    assert len(words) < 900
