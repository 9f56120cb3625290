"""Fuzz the BGP decoders: `.venv/bin/python fuzz/bgp.py fuzz/corpus/bgp -max_total_time=60`.

The first octet of an input picks the decoder, the rest is what it reads. Each must return or raise what it documents;
what it returns must survive its encoder; what a session keeps must stay within one message.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import atheris

with atheris.instrument_imports(include=["tidegate"]):
    from tidegate.apps.flowspec_decode import decode_flows
    from tidegate.apps.flowspec_print import text_lines
    from tidegate.control.flow_json import rule_from_json, rule_to_json
    from tidegate.errors import DecodeError, EncodeError, Inexpressible, SessionReset, SourceError, TextError
    from tidegate.units import Asn, Seconds
    from tidegate.wire.bgp.attributes import decode_attributes, encode_attributes
    from tidegate.wire.bgp.communities import decode_action, encode_action
    from tidegate.wire.bgp.constants import EXTENDED_LIMIT, Afi, Family, MessageType
    from tidegate.wire.bgp.flow_order import ordered_rule, rule_order
    from tidegate.wire.bgp.flowspec import OffsetForm, decode_rule, encode_rule
    from tidegate.wire.bgp.message import KEEPALIVE, frame
    from tidegate.wire.bgp.open import Negotiated, Open, decode_open, encode_open
    from tidegate.wire.bgp.peer import Peer, PeerConfig, Way
    from tidegate.wire.bgp.profile import PROFILES, adapt
    from tidegate.wire.bgp.routes import FlowRoute
    from tidegate.wire.bgp.update import decode_update
    from tidegate.wire.cursor import Reader

ALL = frozenset(Family)
SESSIONS = (
    Negotiated(Asn(65001), Asn(65002), 1, 90, ALL),
    Negotiated(Asn(65001), Asn(65001), 1, 90, ALL, extended_message=True),
    Negotiated(Asn(65001), Asn(65002), 1, 90, ALL, four_octet_as=False),
    Negotiated(Asn(65001), Asn(65002), 1, 90, ALL, add_path_receive=ALL),
)


def check(condition: object) -> None:
    """Fail where a property does not hold."""
    if not condition:
        raise AssertionError


def rule(data: bytes, afi: Afi) -> None:
    """Read a rule: it comes back from its encoder if that takes it, and from JSON; profiles split it or refuse."""
    words(data)
    try:
        found = decode_rule(Reader(data), afi)
    except DecodeError:
        return
    check(rule_from_json(rule_to_json(found), afi) == found)
    check(ordered_rule(rule_order(found), afi) == found)
    try:
        octets = encode_rule(found)
    except EncodeError:
        return
    check(decode_rule(Reader(octets), afi) == found)
    for form in OffsetForm:
        written = encode_rule(found, offsets=form)
        check(decode_rule(Reader(written), afi, offsets=form) == found)
    for profile in PROFILES.values():
        try:
            parts = adapt(FlowRoute(found), profile)
        except Inexpressible:
            continue
        check(all(len(key.nlri) <= profile.max_octets + 2 for key in parts))


def words(data: bytes) -> None:
    """Tell what octets mean, of whatever they are."""
    try:
        shown = list(decode_flows(data.hex()))
    except (SourceError, TextError):
        return
    check(all(len(list(text_lines(one))) > 1 for one in shown))


def update(data: bytes, negotiated: Negotiated) -> None:
    """Read an UPDATE, or have the session reset."""
    try:
        decode_update(data, negotiated)
    except SessionReset as error:
        code = error.code
    else:
        return
    check(1 <= code <= 3)


def attributes(data: bytes, negotiated: Negotiated) -> None:
    """Read a block of attributes: what was kept reads the same after its encoder, octet for octet."""
    try:
        found, _ = decode_attributes(Reader(data), negotiated)
    except SessionReset:
        return
    octets = encode_attributes(found, negotiated)
    again, problems = decode_attributes(Reader(octets), negotiated)
    check(not problems)
    check(encode_attributes(again, negotiated) == octets)


def opening(data: bytes) -> None:
    """Read an OPEN of the length that the header check lets through."""
    if len(data) < 10:
        return
    try:
        found = decode_open(data)
    except SessionReset:
        return
    written = Reader(encode_open(found))
    written.skip(19)
    again = decode_open(written.rest())
    check(again.capabilities.families == found.capabilities.families)


def action(data: bytes) -> None:
    """Read an extended community of either width."""
    octets = data[:20] if len(data) >= 20 else data[:8]
    if len(octets) in {8, 20}:
        encode_action(decode_action(octets))


def stream(data: bytes) -> None:
    """Feed a connection any octets, in pieces, in any state: it never keeps more than one message."""
    peer = Peer(PeerConfig("192.0.2.1", 65001, "192.0.2.2", passive=True), jitter=lambda: 0.5)
    peer.connected(Way.IN, Seconds(0.0))
    if data[:1] > b"\x7f":
        peer.receive(Way.IN, encode_open(Open(Asn(23456), 90, 7)), Seconds(1.0))
    if data[:1] > b"\xbf":
        peer.receive(Way.IN, KEEPALIVE + frame(MessageType.UPDATE, data[:1000]), Seconds(1.0))
    reader = Reader(data)
    now = 2.0
    while len(reader):
        peer.receive(Way.IN, reader.take(min(len(reader), 1 + reader.peek(1)[0])), Seconds(now))
        peer.tick(Seconds(now))
        now += 1.0
    check(len(peer.sessions[Way.IN]._buffer) < EXTENDED_LIMIT)  # noqa: SLF001 - a fuzzer looks inside


TARGETS: tuple[Callable[[bytes], None], ...] = (
    lambda data: rule(data, Afi.IPV4),
    lambda data: rule(data, Afi.IPV6),
    opening,
    action,
    stream,
    *(lambda data, session=session: update(data, session) for session in SESSIONS),
    *(lambda data, session=session: attributes(data, session) for session in SESSIONS),
)


def one_input(data: bytes) -> None:
    """Run the decoder that the first octet picks."""
    if data:
        TARGETS[data[0] % len(TARGETS)](data[1:])


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
