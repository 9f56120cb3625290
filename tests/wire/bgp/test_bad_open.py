"""OPENs that are wrong, odd or hostile, through a whole peer: refused with the right NOTIFICATION, or agreed to."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest
from msgspec import structs

from tidegate.units import Seconds
from tidegate.wire.bgp.constants import Family, MessageType
from tidegate.wire.bgp.message import frame
from tidegate.wire.bgp.open import Negotiated
from tidegate.wire.bgp.peer import Peer, PeerConfig, Way
from tidegate.wire.bgp.session import Down, Notified, Send, State

NOW = Seconds(1.0)
CONFIG = PeerConfig("192.0.2.2", 65001, "192.0.2.1", peer_as=65002, add_path=True)
AS4 = "4104 0000fdea"
IPV4, IPV6, FLOW4 = "0104 00010001", "0104 00020001", "0104 00010085"


def capabilities(*texts: str) -> bytes:
    """Return one parameter with capabilities."""
    octets = bytes.fromhex("".join(texts))
    return bytes((2, len(octets))) + octets


def opening(
    parameters: bytes = capabilities(AS4, IPV4),
    *,
    version: int = 4,
    asn: int = 65002,
    hold: int = 90,
    router_id: str = "c0000207",
    length: int | None = None,
) -> bytes:
    """Return a whole OPEN; `length` is what stands before the parameters where that is not their length."""
    body = bytes((version,)) + asn.to_bytes(2, "big") + hold.to_bytes(2, "big") + bytes.fromhex(router_id)
    return frame(MessageType.OPEN, body + bytes((len(parameters) if length is None else length,)) + parameters)


def extended(parameters: bytes, *, length: int | None = None) -> bytes:
    """Return parameters as RFC 9072 has them, after the length that does not count."""
    return b"\xff" + (len(parameters) if length is None else length).to_bytes(2, "big") + parameters


def long_parameter(octets: bytes) -> bytes:
    return b"\x02" + len(octets).to_bytes(2, "big") + octets


def answer(message: bytes, config: PeerConfig = CONFIG) -> tuple[int, int, bytes] | Negotiated:
    """Return the NOTIFICATION that a peer answers an OPEN with, or what it agreed to; the same octet by octet."""
    found: list[tuple[int, int, bytes] | Negotiated] = []
    for pieces in ([message], [bytes((octet,)) for octet in message]):
        peer = Peer(config, jitter=lambda: 0.5)
        peer.start(NOW)
        peer.connected(Way.OUT, NOW)
        effects = [each.effect for piece in pieces for each in peer.receive(Way.OUT, piece, NOW)]
        session = peer.sessions[Way.OUT]
        told = [effect.notification for effect in effects if isinstance(effect, Notified)]
        if told:
            assert session.state is State.IDLE
            assert any(isinstance(effect, Down) and not effect.was_up for effect in effects)
            found.append((told[0].code, told[0].subcode, told[0].data))
            continue
        assert session.state is State.OPEN_CONFIRM
        assert session.negotiated is not None
        assert [effect.data[18] for effect in effects if isinstance(effect, Send)] == [MessageType.KEEPALIVE]
        found.append(session.negotiated)
    assert found[0] == found[1]
    return found[0]


def agreed(message: bytes, config: PeerConfig = CONFIG) -> Negotiated:
    found = answer(message, config)
    assert isinstance(found, Negotiated), found
    return found


def refused(message: bytes, config: PeerConfig = CONFIG) -> tuple[int, int]:
    found = answer(message, config)
    assert not isinstance(found, Negotiated), found
    return found[:2]


def test_a_good_one_is_agreed_to() -> None:
    found = agreed(opening())
    assert (found.peer_as, found.hold_time_s) == (65002, 90)
    assert found.families == {Family.IPV4_UNICAST}


@pytest.mark.parametrize("version", [0, 1, 3, 5, 255])
def test_other_versions_are_told_which_one_is_spoken(version: int) -> None:
    assert answer(opening(version=version)) == (2, 1, b"\0\4")


@pytest.mark.parametrize(("hold", "refusal"), [(0, None), (1, (2, 6)), (2, (2, 6)), (3, None), (65535, None)])
def test_hold_times(hold: int, refusal: tuple[int, int] | None) -> None:
    if refusal:
        assert refused(opening(hold=hold)) == refusal
    else:
        assert agreed(opening(hold=hold)).hold_time_s == min(hold, 90)


INTERNAL = structs.replace(CONFIG, peer_as=65001)


def test_identifiers() -> None:
    assert refused(opening(router_id="00000000")) == (2, 3)
    inside = capabilities("4104 0000fde9", IPV4)
    assert refused(opening(inside, asn=65001, router_id="c0000201"), INTERNAL) == (2, 3)
    assert agreed(opening(inside, asn=65001), INTERNAL).internal
    assert agreed(opening(router_id="c0000201")).router_id == 0xC0000201, "RFC 6286: it is another AS"
    assert agreed(opening(router_id="ffffffff")).router_id == 0xFFFFFFFF


ANY = structs.replace(CONFIG, peer_as=None)
TRANS = structs.replace(CONFIG, peer_as=4_200_000_000)
NUMBERS = [  # the field, capability 65, what the peer is told to be; the AS it is, or None where it is refused
    (65002, 65002, 65002, 65002),
    (65002, None, 65002, 65002),
    (65003, 65003, 65002, None),
    (65003, None, 65002, None),
    (0, None, None, None),  # RFC 7607
    (0, 65002, 65002, None),
    (65002, 0, 65002, None),
    (0, 0, None, None),
    (23456, 4_200_000_000, 4_200_000_000, 4_200_000_000),
    (23456, None, 4_200_000_000, None),  # a speaker that cannot say its own number
    (23456, 65002, 65002, 65002),
    (23456, None, None, 23456),
    (65003, 65002, 65002, 65002),  # RFC 6793 has the capability decide
    (65002, 65003, 65002, None),
]


@pytest.mark.parametrize(("field", "capability", "configured", "known"), NUMBERS)
def test_as_numbers(field: int, capability: int | None, configured: int | None, known: int | None) -> None:
    config = structs.replace(CONFIG, peer_as=configured)
    texts = [IPV4] if capability is None else [IPV4, f"4104 {capability:08x}"]
    message = opening(capabilities(*texts), asn=field)
    if known is None:
        assert refused(message, config) == (2, 2)
    else:
        found = agreed(message, config)
        assert (found.peer_as, found.four_octet_as) == (known, capability is not None)


MALFORMED = {
    "as of three octets": "4103 00fdea",
    "as of no octet": "4100",
    "family cut": f"{AS4} 0103 000100",
    "family empty": f"{AS4} 0100",
    "capability past the parameter": f"{AS4} 0105 00010001",
    "only a code": f"{AS4} 02",
    "restart of one octet": f"{AS4} {IPV4} 4001 00",
    "restart with half a family": f"{AS4} {IPV4} 4004 00780001",
    "paths with half a family": f"{AS4} {IPV4} 4503 000101",
    "next hops with half a family": f"{AS4} {IPV4} 0505 0001000100",
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED)
def test_a_capability_that_is_malformed_ends_the_session(text: str) -> None:
    assert refused(opening(capabilities(text))) == (2, 0)


def test_unknown_capabilities_and_families_are_passed_over() -> None:
    found = agreed(
        opening(capabilities(AS4, IPV4, "0104 40040047", "8600", "4705 0001018000", "4902 0161", "ff03 010203"))
    )
    assert found.families == {Family.IPV4_UNICAST}


def test_no_capability_means_ipv4_unicast_and_two_octet_numbers() -> None:
    for parameters in (b"", capabilities()):
        found = agreed(opening(parameters))
        assert found.families == {Family.IPV4_UNICAST}
        assert (found.four_octet_as, found.extended_message) == (False, False)


def test_without_a_family_of_both_the_answer_tells_what_is_missing() -> None:
    only = structs.replace(CONFIG, families=(Family.IPV4_FLOWSPEC,))
    assert answer(opening(capabilities(AS4, IPV6)), only) == (2, 7, bytes.fromhex(FLOW4))
    assert refused(opening(b""), only) == (2, 7)


def orders(texts: Iterable[str]) -> list[Negotiated]:
    """Return what is agreed to for the capabilities in one parameter, in one each, and in any order."""
    found = []
    for order in itertools.permutations(texts):
        found.append(agreed(opening(capabilities(*order))))
        found.append(agreed(opening(b"".join(capabilities(text) for text in order))))
    return found


def test_a_capability_given_twice_is_as_good_as_once() -> None:
    once = agreed(opening(capabilities(AS4, IPV4, "0200")))
    assert set(map(repr, orders((AS4, AS4, IPV4, "0200", IPV4)))) == {repr(once)}


def test_of_two_graceful_restarts_the_last_one_counts() -> None:
    """RFC 4724 section 3."""
    found = agreed(opening(capabilities(AS4, IPV4, "4006 0078 00010180", "4006 400a 00010100")))
    assert found.graceful_restart is not None
    assert (found.graceful_restart.restart_time_s, found.graceful_restart.kept) == (10, ())
    assert found.notification_restart


@pytest.mark.parametrize(
    ("mode", "agreed_to"), [(0, False), (1, False), (2, True), (3, True), (4, False), (6, False), (255, False)]
)
def test_path_identifiers_of_a_known_mode_alone(mode: int, *, agreed_to: bool) -> None:
    """RFC 7911 section 4: any other value is ignored."""
    found = agreed(opening(capabilities(AS4, IPV4, f"4504 000101{mode:02x}")))
    assert found.add_path_receive == ({Family.IPV4_UNICAST} if agreed_to else set())


def test_path_identifiers_are_never_agreed_to_for_rules_or_other_families() -> None:
    found = agreed(opening(capabilities(AS4, IPV4, FLOW4, "450c 00018503 00020103 00010102")))
    assert found.add_path_receive == {Family.IPV4_UNICAST}


LONG = bytes.fromhex(AS4 + IPV4 + IPV6)
FILLER = b"\xf0\xff" + bytes(255)


def test_extended_parameters() -> None:
    """RFC 9072: the type tells that they are, and the length before it does not count."""
    wanted = {Family.IPV4_UNICAST, Family.IPV6_UNICAST}
    for length in (255, 1, 18, 254):
        for octets in (LONG, FILLER + LONG, FILLER * 10 + LONG):
            message = opening(extended(long_parameter(octets)), length=length)
            assert agreed(message).families == wanted, (length, len(octets))
    several = long_parameter(bytes.fromhex(AS4)) + long_parameter(bytes.fromhex(IPV6)) + long_parameter(b"")
    assert agreed(opening(extended(several), length=255)).families == {Family.IPV6_UNICAST}
    assert agreed(opening(extended(b""), length=255)).families == {Family.IPV4_UNICAST}


def test_a_length_of_255_that_is_none_of_rfc_9072() -> None:
    octets = bytes.fromhex(AS4 + IPV4) + b"\xf0" + bytes((253 - 12 - 2,)) + bytes(253 - 12 - 2)
    parameters = bytes((2, len(octets))) + octets
    assert len(parameters) == 255
    assert agreed(opening(parameters)).families == {Family.IPV4_UNICAST}


BAD_EXTENDED = {
    "length one too many": extended(long_parameter(LONG), length=len(long_parameter(LONG)) + 1),
    "length one too few": extended(long_parameter(LONG), length=len(long_parameter(LONG)) - 1),
    "no length": b"\xff",
    "half a length": b"\xff\0",
    "parameter past the end": extended(b"\x02\x00\x20" + LONG),
    "parameter with a short length": extended(bytes((2, len(LONG))) + LONG),
    "capability past the parameter": extended(long_parameter(b"\x41\x05\0\0\xfd\xea")),
    "octets after": extended(long_parameter(LONG)) + b"\0",
}


@pytest.mark.parametrize("parameters", BAD_EXTENDED.values(), ids=BAD_EXTENDED)
def test_extended_parameters_that_do_not_fit(parameters: bytes) -> None:
    assert refused(opening(parameters, length=255)) == (2, 0)


@pytest.mark.parametrize("kind", [0, 1, 3, 254])
def test_other_parameters_are_refused(kind: int) -> None:
    assert refused(opening(bytes((kind, 0)))) == (2, 4)
    assert refused(opening(capabilities(AS4, IPV4) + bytes((kind, 1, 7)))) == (2, 4)
    assert refused(opening(extended(long_parameter(LONG) + bytes((kind, 0, 0))), length=255)) == (2, 4)


def test_the_length_of_parameters_off_by_one() -> None:
    parameters = capabilities(AS4, IPV4)
    for length in (0, len(parameters) - 1, len(parameters) + 1, 254):
        assert refused(opening(parameters, length=length)) == (2, 0), length
