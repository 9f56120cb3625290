from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bgp_cases import opens
from tidegate.errors import EncodeError, SessionReset
from tidegate.units import Asn
from tidegate.wire.bgp.constants import Family
from tidegate.wire.bgp.message import maybe_message
from tidegate.wire.bgp.open import (
    Capabilities,
    GracefulRestart,
    Open,
    check_open,
    decode_open,
    encode_open,
    negotiate,
)
from tidegate.wire.cursor import Reader

PLAIN = Capabilities(families=(Family.IPV4_UNICAST, Family.IPV4_FLOWSPEC), asn4=Asn(65001))


def body_of(message: Open) -> bytes:
    found = maybe_message(Reader(encode_open(message)))
    assert found is not None
    return found.body


def head(version: int = 4, asn: int = 65001, hold: int = 90, identifier: int = 7) -> bytes:
    return bytes((version,)) + asn.to_bytes(2, "big") + hold.to_bytes(2, "big") + identifier.to_bytes(4, "big")


def reset_of(body: bytes) -> tuple[int, int]:
    with pytest.raises(SessionReset) as caught:
        decode_open(body)
    return caught.value.code, caught.value.subcode


@given(opens())
def test_decoding_undoes_encoding(message: Open) -> None:
    assert decode_open(body_of(message)) == message


def test_an_as_of_four_octets_is_23456_in_the_old_field() -> None:
    body = body_of(Open(Asn(4200000000), 90, 7, Capabilities(asn4=Asn(4200000000))))
    assert body[1:3] == (23456).to_bytes(2, "big")
    assert decode_open(body).asn == 4200000000


@pytest.mark.parametrize(
    ("body", "subcode"),
    [
        (head(version=3) + b"\0", 1),
        (head(hold=1) + b"\0", 6),
        (head(hold=2) + b"\0", 6),
        (head(identifier=0) + b"\0", 3),
        (head() + b"\3\1\1\0", 4),  # authentication, long gone
        (head() + b"\2\2", 0),  # parameters longer than the message
        (head() + b"\2\2\0\0", 0),  # octets after them
        (head() + b"\4\2\2\1\4", 0),  # a capability longer than its parameter
        (head() + b"\6\2\4\1\2\0\1", 0),  # a family without its SAFI
    ],
)
def test_bad_opens(body: bytes, subcode: int) -> None:
    assert reset_of(body) == (2, subcode)


@given(opens(), st.data())
def test_an_open_cut_anywhere_is_refused(message: Open, data: st.DataObject) -> None:
    body = body_of(message)
    cut = data.draw(st.integers(10, max(10, len(body) - 1)))
    if cut < len(body):
        assert reset_of(body[:cut])[0] == 2


@given(st.binary(min_size=10, max_size=80))
def test_any_octets_are_an_open_or_a_reset(body: bytes) -> None:
    try:
        decode_open(body)
    except SessionReset as error:
        assert error.code == 2  # noqa: PT017 - one of two outcomes


def test_long_parameters_of_rfc_9072() -> None:
    many = Capabilities(
        families=tuple(Family),
        graceful_restart=GracefulRestart(120, families=tuple(Family) * 15, kept=tuple(Family)),
        add_path_receive=tuple(Family),
    )
    body = body_of(Open(Asn(65001), 90, 7, many))
    assert body[9:11] == b"\xff\xff"
    assert decode_open(body).capabilities.families == tuple(Family)
    small = head() + b"\xff\xff\0\x07\2\0\4" + bytes((2, 0, 70, 0))  # extended form, though it is short
    assert decode_open(small).capabilities.enhanced_refresh


def test_unknown_capabilities_and_families_are_passed_over() -> None:
    octets = bytes((1, 4, 0, 25, 0, 65, 73, 3, 1, 2, 3))
    capabilities = decode_open(head() + bytes((len(octets) + 2, 2, len(octets))) + octets).capabilities
    assert capabilities == Capabilities(unknown=(73,))


def test_families_unknown_to_us_are_passed_over_in_every_capability() -> None:
    octets = bytes((64, 10, 0x40, 120, 0, 25, 65, 0x80, 0, 1, 1, 0)) + bytes((69, 8, 0, 25, 65, 3, 0, 2, 1, 2))
    capabilities = decode_open(head() + bytes((len(octets) + 2, 2, len(octets))) + octets).capabilities
    assert capabilities.graceful_restart == GracefulRestart(120, notification=True, families=(Family.IPV4_UNICAST,))
    assert capabilities.add_path_send == (Family.IPV6_UNICAST,)
    assert capabilities.add_path_receive == ()


def test_a_restart_time_over_12_bits_is_not_written() -> None:
    with pytest.raises(EncodeError):
        encode_open(Open(Asn(1), 90, 7, Capabilities(graceful_restart=GracefulRestart(4096))))


def test_negotiation() -> None:
    ours = Open(
        Asn(65001), 90, 1, Capabilities(tuple(Family), route_refresh=True, extended_message=True, asn4=Asn(65001))
    )
    theirs = Open(Asn(70000), 30, 2, Capabilities((Family.IPV4_FLOWSPEC,), route_refresh=True, asn4=Asn(70000)))
    agreed = negotiate(ours, theirs)
    assert agreed.families == {Family.IPV4_FLOWSPEC}
    assert (agreed.hold_time_s, agreed.peer_as, agreed.router_id, agreed.limit) == (30, 70000, 2, 4096)
    assert agreed.four_octet_as
    assert agreed.route_refresh
    assert not agreed.internal
    assert negotiate(theirs, ours).families == agreed.families


def test_a_silent_peer_means_ipv4_unicast_in_two_octets() -> None:
    agreed = negotiate(Open(Asn(65001), 90, 1, PLAIN), Open(Asn(65001), 0, 2))
    assert agreed.families == {Family.IPV4_UNICAST}
    assert agreed.hold_time_s == 0
    assert not agreed.four_octet_as
    assert agreed.internal


def test_no_family_in_common_is_told_with_what_was_wanted() -> None:
    flow = Open(Asn(65001), 90, 1, Capabilities((Family.IPV4_FLOWSPEC,)))
    with pytest.raises(SessionReset, match="ipv4-flowspec") as caught:
        negotiate(flow, Open(Asn(65002), 90, 2))
    assert (caught.value.subcode, caught.value.data) == (7, bytes((1, 4, 0, 1, 0, 133)))


def test_add_path_needs_a_sender_and_a_receiver() -> None:
    one = Open(Asn(1), 90, 1, Capabilities((Family.IPV4_UNICAST,), add_path_receive=(Family.IPV4_UNICAST,)))
    other = Open(Asn(2), 90, 2, Capabilities((Family.IPV4_UNICAST,), add_path_send=(Family.IPV4_UNICAST,)))
    assert negotiate(one, other).add_path_receive == {Family.IPV4_UNICAST}
    assert negotiate(other, one).add_path_receive == frozenset()


def test_who_the_peer_must_be() -> None:
    local = Open(Asn(65001), 90, 7)
    check_open(Open(Asn(65002), 90, 7), local=local, peer_as=Asn(65002))
    check_open(Open(Asn(65002), 90, 8), local=local, peer_as=None)
    for remote, wanted, subcode in (
        (Open(Asn(65003), 90, 8), Asn(65002), 2),
        (Open(Asn(0), 90, 8), None, 2),
        (Open(Asn(65001), 90, 7), Asn(65001), 3),
    ):
        with pytest.raises(SessionReset) as caught:
            check_open(remote, local=local, peer_as=wanted)
        assert (caught.value.code, caught.value.subcode) == (2, subcode)


def test_graceful_restart_needs_both_sides() -> None:
    here = GracefulRestart(120, notification=True, families=tuple(Family), kept=tuple(Family))
    there = GracefulRestart(30, restarted=True, families=(Family.IPV4_UNICAST, Family.IPV6_UNICAST), kept=())
    ours = Open(Asn(1), 90, 1, Capabilities((Family.IPV4_UNICAST,), graceful_restart=here))
    theirs = Open(Asn(2), 90, 2, Capabilities((Family.IPV4_UNICAST,), graceful_restart=there))
    agreed = negotiate(ours, theirs)
    assert (agreed.graceful_restart, agreed.notification_restart) == (there, False)
    assert negotiate(theirs, ours).graceful_restart == here
    assert negotiate(ours, ours).notification_restart
    without = Open(Asn(3), 90, 3, Capabilities((Family.IPV4_UNICAST,)))
    for one, other in ((ours, without), (without, ours)):
        assert negotiate(one, other).graceful_restart is None
        assert not negotiate(one, other).notification_restart


def test_the_flags_of_graceful_restart() -> None:
    restart = GracefulRestart(
        120,
        restarted=True,
        notification=True,
        families=(Family.IPV4_UNICAST, Family.IPV4_FLOWSPEC),
        kept=(Family.IPV4_FLOWSPEC,),
    )
    body = body_of(Open(Asn(1), 90, 7, Capabilities(graceful_restart=restart)))
    assert body[-12:] == bytes.fromhex("400a c078 00010100 00018580")
    assert decode_open(body).capabilities.graceful_restart == restart


def test_ipv4_over_ipv6_next_hops() -> None:
    offered = Capabilities((Family.IPV4_UNICAST,), extended_next_hop=(Family.IPV4_UNICAST,))
    body = body_of(Open(Asn(1), 90, 7, offered))
    assert body[-8:] == bytes.fromhex("0506 0001 0001 0002")
    assert decode_open(body).capabilities == offered
    other = Open(Asn(2), 90, 2, offered)
    assert negotiate(Open(Asn(1), 90, 7, offered), other).extended_next_hop == {Family.IPV4_UNICAST}
    plain = Open(Asn(1), 90, 7, Capabilities((Family.IPV4_UNICAST,)))
    assert negotiate(plain, other).extended_next_hop == frozenset()
    octets = bytes.fromhex("0512 0001 0001 0001 0001 0080 0002 0001 0001 0002")  # over IPv4, labelled, then plain
    heard = decode_open(head() + bytes((len(octets) + 2, 2, len(octets))) + octets).capabilities
    assert heard.extended_next_hop == (Family.IPV4_UNICAST,)


@pytest.mark.parametrize(
    "octets",
    [b"\x05\x01\0", b"\x05\x05\0\1\0\1\0", b"\x40\x01\0", b"\x40\x05\0\x78\0\1\1", b"\x45\x03\0\1\1", b"\x41\x02\0\1"],
)
def test_a_capability_that_is_cut_short_is_refused(octets: bytes) -> None:
    assert reset_of(head() + bytes((len(octets) + 2, 2, len(octets))) + octets) == (2, 0)
