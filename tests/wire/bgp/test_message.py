from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.errors import EncodeError, SessionReset
from tidegate.wire.bgp.constants import Cease, Family, MessageType, RefreshSubtype, describe
from tidegate.wire.bgp.message import (
    KEEPALIVE,
    Message,
    Notification,
    RouteRefresh,
    decode_notification,
    decode_refresh,
    encode_notification,
    encode_refresh,
    frame,
    hard_reset,
    maybe_message,
    shutdown,
    too_many_prefixes,
)
from tidegate.wire.cursor import Reader

BODIES = {
    MessageType.OPEN: bytes(10),
    MessageType.UPDATE: bytes(4),
    MessageType.NOTIFICATION: b"\6\2",
    MessageType.KEEPALIVE: b"",
    MessageType.ROUTE_REFRESH: bytes(4),
}


@pytest.mark.parametrize("kind", MessageType)
def test_a_message_cut_at_each_octet_is_not_there_yet(kind: MessageType) -> None:
    octets = frame(kind, BODIES[kind])
    for cut in range(len(octets)):
        reader = Reader(octets, 0, cut)
        assert maybe_message(reader) is None
        assert len(reader) == cut
    reader = Reader(octets + b"\xff")
    assert maybe_message(reader) == Message(kind, BODIES[kind])
    assert len(reader) == 1


def header(length: int, kind: int) -> bytes:
    return b"\xff" * 16 + length.to_bytes(2, "big") + bytes((kind,))


@pytest.mark.parametrize(
    ("octets", "subcode", "data"),
    [
        (b"\xff" * 15 + b"\xfe", 1, b""),
        (b"GET / HTTP/1.1\r\n", 1, b""),
        (b"\xfe", 1, b""),
        (header(18, 4), 2, b"\0\x12"),
        (header(20, 4), 2, b"\0\x14"),
        (header(28, 1), 2, b"\0\x1c"),
        (header(22, 2), 2, b"\0\x16"),
        (header(20, 3), 2, b"\0\x14"),
        (header(4097, 2), 2, b"\x10\x01"),
        (header(65535, 1), 2, b"\xff\xff"),
        (header(0, 2), 2, b"\0\0"),
        (header(19, 0), 3, b"\0"),
        (header(19, 6), 3, b"\6"),
    ],
)
def test_a_bad_header_is_told_at_once(octets: bytes, subcode: int, data: bytes) -> None:
    with pytest.raises(SessionReset) as caught:
        maybe_message(Reader(octets))
    assert (caught.value.code, caught.value.subcode, caught.value.data) == (1, subcode, data)


def test_extended_messages_are_for_updates_alone() -> None:
    assert maybe_message(Reader(header(65535, 2)), 65535) is None
    with pytest.raises(SessionReset):
        maybe_message(Reader(header(4097, 1)), 65535)


@given(st.binary(max_size=64))
def test_any_octets_are_a_message_or_none_or_a_reset(octets: bytes) -> None:
    reader = Reader(octets)
    try:
        message = maybe_message(reader)
    except SessionReset as error:
        assert error.code == 1  # noqa: PT017 - one of three outcomes
    else:
        assert message is None or len(octets) - len(reader) == 19 + len(message.body)


def test_frame_refuses_what_is_too_long() -> None:
    assert len(frame(MessageType.UPDATE, bytes(4077))) == 4096
    with pytest.raises(EncodeError, match="4097"):
        frame(MessageType.UPDATE, bytes(4078))
    assert header(19, 4) == KEEPALIVE


@given(st.integers(0, 255), st.integers(0, 255), st.binary(max_size=300))
def test_notification_is_exact_and_always_has_words(code: int, subcode: int, data: bytes) -> None:
    notification = Notification(code, subcode, data)
    message = maybe_message(Reader(encode_notification(notification)))
    assert message is not None
    assert decode_notification(message.body) == notification
    assert f"({code}/{subcode})" in str(notification)


def test_shutdown_text() -> None:
    assert shutdown(Cease.SHUTDOWN, "bis später").text == "bis später"
    assert str(shutdown(Cease.RESET, "x")) == 'administrative reset (6/4): "x"'
    assert shutdown(Cease.SHUTDOWN).data == b""
    with pytest.raises(EncodeError, match="256"):
        shutdown(Cease.SHUTDOWN, "x" * 256)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x05abc", "abc"),
        (b"\x02abc", "ab"),
        (b"\x02\xc3\x28", "\ufffd("),
        (b"\x03a\n\x1b", "a\ufffd\ufffd"),
        (b"", ""),
    ],
)
def test_shutdown_text_of_any_octets_is_harmless(data: bytes, text: str) -> None:
    assert Notification(6, 2, data).text == text


def test_other_notifications_have_no_text() -> None:
    assert Notification(6, 7, b"\x01a").text == ""
    assert describe(2, 99) == "OPEN message error (2/99)"
    assert describe(99, 1) == "unknown error (99/1)"


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize("subtype", RefreshSubtype)
def test_route_refresh(family: Family, subtype: RefreshSubtype) -> None:
    message = maybe_message(Reader(encode_refresh(family, subtype)))
    assert message is not None
    assert decode_refresh(message.body) == RouteRefresh(family, subtype)


def test_route_refresh_of_another_family() -> None:
    assert decode_refresh(bytes((0, 25, 0, 70))).family is None


@pytest.mark.parametrize("body", [b"", b"\0\1\0", b"\0\1\1\1\0", b"\0\1\2\1" + bytes(4000)])
def test_route_refresh_of_a_bad_length_is_returned_whole(body: bytes) -> None:
    with pytest.raises(SessionReset) as caught:
        decode_refresh(body)
    assert (caught.value.code, caught.value.subcode) == (7, 1)
    assert caught.value.data == frame(MessageType.ROUTE_REFRESH, body, limit=65535)  # RFC 7313 section 5


def test_a_peer_without_enhanced_refresh_is_not_told_of_its_errors() -> None:
    with pytest.raises(SessionReset) as caught:
        decode_refresh(b"\0\1\0", enhanced=False)
    assert (caught.value.code, caught.value.subcode, caught.value.data) == (1, 2, b"\0\x16")
    assert decode_refresh(b"\0\1\1\1\0", enhanced=False).family is Family.IPV4_UNICAST


def test_route_filters_after_a_request_are_passed_over() -> None:
    assert decode_refresh(b"\0\1\0\1" + bytes(9)) == RouteRefresh(Family.IPV4_UNICAST)


def test_a_hard_reset_holds_another_notification() -> None:
    hard = hard_reset(shutdown(Cease.SHUTDOWN, "bye"))
    assert (hard.code, hard.subcode, hard.hard) == (6, 9, True)
    assert hard.inner == shutdown(Cease.SHUTDOWN, "bye")
    plain = Notification(6, 9, b"\6")  # too short to hold one
    assert plain.inner is plain


def test_too_many_prefixes_names_family_and_limit() -> None:
    assert too_many_prefixes(Family.IPV6_UNICAST, 1000) == Notification(6, 1, bytes.fromhex("000201 000003e8"))
