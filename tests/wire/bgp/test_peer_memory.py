"""Peers that flood, flap, change or do not read: what is kept of them stays as it is."""

from __future__ import annotations

import gc
import sys
import types
from collections.abc import Callable

import numpy as np

from tidegate.units import Asn, Seconds
from tidegate.wire.bgp.communities import TrafficRateBytes
from tidegate.wire.bgp.constants import Afi, Family, MessageType, RefreshSubtype
from tidegate.wire.bgp.flowspec import ComponentType, FlowRule, PrefixComponent
from tidegate.wire.bgp.message import KEEPALIVE, Notification, encode_notification, encode_refresh, frame
from tidegate.wire.bgp.open import Capabilities, GracefulRestart, Negotiated, Open, encode_open, negotiate
from tidegate.wire.bgp.peer import Peer, PeerConfig, PeerEffect, Way
from tidegate.wire.bgp.prefix import Prefix, parse_address
from tidegate.wire.bgp.routes import FlowRoute, UnicastRoute, route_key
from tidegate.wire.bgp.session import Close, Down, Send, State
from tidegate.wire.bgp.update import encode_announce, encode_withdraw

ZERO = Seconds(0.0)
RESTART = GracefulRestart(120, notification=True, families=tuple(Family), kept=tuple(Family))
OFFER = Capabilities(
    tuple(Family), route_refresh=True, enhanced_refresh=True, asn4=Asn(65002), graceful_restart=RESTART
)
THEIRS = Open(Asn(65002), 90, 7, OFFER)
_SHARED = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MappingProxyType)


def weigh(root: object) -> int:
    """Return the octets of everything that is reached from an object."""
    seen: set[int] = set()
    waiting = [root]
    total = 0
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, _SHARED):
            continue
        seen.add(id(one))
        total += one.nbytes if isinstance(one, np.ndarray) else sys.getsizeof(one)
        waiting += gc.get_referents(one)
    return total


def up(now: Seconds = ZERO, *, open_: Open = THEIRS, peer: Peer | None = None, **changes: object) -> Peer:
    """Return a peer with a session that the other side dialled."""
    config = PeerConfig("192.0.2.2", 65001, "192.0.2.1", passive=True, **changes)  # type: ignore[arg-type]
    one = peer or Peer(config, jitter=lambda: 1.0)
    one.connected(Way.IN, now)
    one.receive(Way.IN, encode_open(open_) + KEEPALIVE, now)
    assert one.established is Way.IN
    return one


def agreed(peer: Peer) -> Negotiated:
    """Return how the other side reads and writes."""
    return negotiate(THEIRS, peer.sessions[Way.IN].config.open)


def hole(number: int) -> UnicastRoute:
    return UnicastRoute(Prefix((number << 8).to_bytes(4, "big"), 24), parse_address("192.0.2.254"))


def rule(number: int, rate: float = 0.0) -> FlowRoute:
    prefix = PrefixComponent(ComponentType.DESTINATION, Prefix(number.to_bytes(4, "big"), 32))
    return FlowRoute(FlowRule(Afi.IPV4, (prefix,)), (TrafficRateBytes(rate),))


def drain(peer: Peer, now: Seconds = ZERO) -> int:
    """Pull everything; return the octets."""
    octets = 0
    while messages := peer.pull(1 << 16, now):
        octets += sum(len(message.data) for message in messages)
    return octets


def finish(peer: Peer, now: Seconds = ZERO) -> list[PeerEffect]:
    """Take all that was received."""
    effects = []
    while peer.busy:
        effects += peer.work(now)
    return effects


def grown(peer: Peer, turn: Callable[[int], object], *, turns: int) -> int:
    """Return by how many octets a peer has grown over turns, after it has had some."""
    for number in range(turns):
        turn(number)
    before = weigh(peer)
    for number in range(turns, 3 * turns):
        turn(number)
    return weigh(peer) - before


def test_a_flood_of_refresh_requests_is_answered_once() -> None:
    peer = up()
    for number in range(1000):
        peer.rib.announce(rule(number))
    whole = drain(peer)
    flood = encode_refresh(Family.IPV4_FLOWSPEC) * 5000

    def turn(_: int) -> None:
        peer.receive(Way.IN, flood, ZERO)

    assert grown(peer, turn, turns=3) < 1000
    assert drain(peer) <= whole + 2 * 23


def test_a_flood_of_refresh_markers_keeps_nothing() -> None:
    peer = up()
    peer.receive(Way.IN, encode_announce(rule(1), route_key(rule(1)), agreed(peer)), ZERO)
    both = b"".join(
        encode_refresh(family, subtype)
        for family in Family
        for subtype in (RefreshSubtype.BEGIN, RefreshSubtype.BEGIN, RefreshSubtype.END, RefreshSubtype.END)
    )
    odd = frame(MessageType.ROUTE_REFRESH, b"\0\1\x09\1") + frame(MessageType.ROUTE_REFRESH, b"\0\x19\0\x46")
    ends = b"".join(encode_withdraw(route_key(rule(1)).__class__(family, b""), agreed(peer)) for family in Family)

    def turn(_: int) -> None:
        peer.receive(Way.IN, (ends + both + odd) * 50, ZERO)
        finish(peer)

    assert grown(peer, turn, turns=3) < 1000
    assert peer.established is Way.IN
    assert peer.status().problems == {
        "ROUTE-REFRESH of a family that was not negotiated": 450,
        "ROUTE-REFRESH of an unknown subtype": 450,
    }


def test_a_million_withdrawals_of_nothing_leave_nothing() -> None:
    peer = up()
    words = b"".join(route_key(hole(number)).nlri for number in range(1000))
    body = len(words).to_bytes(2, "big") + words + b"\0\0"
    flood = frame(MessageType.UPDATE, body, limit=65535)

    def turn(_: int) -> None:
        for _ in range(100):
            peer.receive(Way.IN, flood, ZERO)
            finish(peer)

    assert len(flood) > 4000
    assert grown(peer, turn, turns=4) < 1000
    assert peer.rib_in.count(Family.IPV4_UNICAST) == 0


def test_routes_that_come_and_go_leave_nothing() -> None:
    peer = up()

    def turn(number: int) -> None:
        for host in range(number * 50, number * 50 + 50):
            for route in (hole(host), rule(host)):
                key = route_key(route)
                peer.receive(Way.IN, encode_announce(route, key, agreed(peer)), ZERO)
                peer.receive(Way.IN, encode_withdraw(key, agreed(peer)), ZERO)
        finish(peer)

    assert grown(peer, turn, turns=4) < 4000
    assert sum(peer.status().routes.values()) == 0


def test_a_peer_that_announces_without_end_is_shut_out() -> None:
    peer = up(max_prefixes=1000)
    told: list[PeerEffect] = []
    for start in range(0, 20_000, 500):
        octets = b"".join(
            encode_announce(hole(number), route_key(hole(number)), agreed(peer)) for number in range(start, start + 500)
        )
        told += peer.receive(Way.IN, octets, ZERO) + finish(peer)
    assert [type(each.effect) for each in told].count(Close) == 1
    assert sum(peer.status().routes.values()) == 0
    assert peer.status().state is State.IDLE
    assert not peer.may_accept(Seconds(1e6))


def test_what_a_peer_that_does_not_read_is_to_be_told_is_no_more_than_what_is_wanted() -> None:
    peer = up()

    def turn(number: int) -> None:
        for host in range(200):
            peer.rib.announce(rule(host, rate=float(number)))
        for host in range(100):
            peer.rib.withdraw(route_key(rule(host)))

    assert grown(peer, turn, turns=5) < 4000
    assert peer.status().waiting == 100


def test_a_peer_that_does_not_read_is_given_up() -> None:
    peer = up()
    peer.sessions[Way.IN].blocked(ZERO)
    for second in range(0, 480, 20):
        peer.receive(Way.IN, KEEPALIVE, Seconds(second))
        assert not any(isinstance(each.effect, Down) for each in peer.tick(Seconds(second)))
    peer.receive(Way.IN, KEEPALIVE, Seconds(479.0))
    effects = [each.effect for each in peer.tick(Seconds(480.0))]
    assert Close(abort=True) in effects
    assert not any(isinstance(effect, Send) and effect.data != KEEPALIVE for effect in effects)


def test_a_peer_that_flaps_every_second_leaves_nothing() -> None:
    peer = up()
    for host in range(20):
        peer.rib.announce(rule(host))
    octets = encode_announce(hole(1), route_key(hole(1)), agreed(peer)) + encode_announce(
        rule(7), route_key(rule(7)), agreed(peer)
    )

    def turn(number: int) -> None:
        now = Seconds(float(number))
        peer.tick(now)
        if not peer.established and peer.may_accept(now):
            peer.evict(now)
            up(now, peer=peer)
        peer.receive(Way.IN, octets, now)
        finish(peer, now)
        drain(peer, now)
        if number % 2:
            peer.disconnected(Way.IN, now, reason="flap")
        else:
            peer.receive(Way.IN, encode_notification(Notification(3, 9)), now)

    assert grown(peer, turn, turns=300) < 6000
    assert len(peer.status().held_back) <= 20


def test_a_peer_that_is_somebody_else_each_time_leaves_nothing() -> None:
    peer = up()

    def turn(number: int) -> None:
        now = Seconds(300.0 * number)
        peer.disconnected(Way.IN, now, reason="gone")
        peer.tick(Seconds(now + 130.0))
        asn = Asn(65002 + number % 1000)
        offer = Capabilities(tuple(Family), asn4=asn, graceful_restart=RESTART)
        up(Seconds(now + 140.0), open_=Open(asn, 90, 7 + number, offer), peer=peer)

    assert grown(peer, turn, turns=50) < 1000


def test_a_message_that_never_ends_is_kept_up_to_its_length() -> None:
    peer = up()
    octets = b"\xff" * 16 + (4096).to_bytes(2, "big") + b"\2" + bytes(4000)
    for octet in octets:
        peer.receive(Way.IN, bytes((octet,)), ZERO)
    assert len(peer.sessions[Way.IN]._buffer) == len(octets)
    assert weigh(peer.sessions[Way.IN]) < 40_000


def test_reasons_of_problems_are_bounded() -> None:
    peer = up()
    peer._count(f"reason {number}" for number in range(1000))
    problems = peer.status().problems
    assert len(problems) == 65
    assert problems["other"] == 936


def test_what_is_weighed_here_is_seen_to_grow() -> None:
    peer = up()

    def turn(number: int) -> None:
        peer.rib.announce(rule(number))

    assert grown(peer, turn, turns=100) > 20_000
