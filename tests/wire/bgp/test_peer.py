"""One peer: two of them back to back in memory, collisions, back-off, and peers that misbehave."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from bgp_cases import EXTERNAL
from tidegate.errors import ConfigError
from tidegate.units import Asn, Seconds
from tidegate.wire.bgp.communities import TrafficRateBytes
from tidegate.wire.bgp.constants import Afi, Cease, Family
from tidegate.wire.bgp.flowspec import (
    Comparison,
    ComponentType,
    FlowRule,
    NumericComponent,
    NumericOp,
    PrefixComponent,
)
from tidegate.wire.bgp.message import KEEPALIVE, Notification, encode_notification, encode_refresh, too_many_prefixes
from tidegate.wire.bgp.open import Capabilities, GracefulRestart, Open, encode_open
from tidegate.wire.bgp.peer import Gone, Notice, Peer, PeerConfig, PeerEffect, Way, check_peer
from tidegate.wire.bgp.peer_news import name_routes
from tidegate.wire.bgp.prefix import parse_address, parse_prefix
from tidegate.wire.bgp.routes import FlowRoute, UnicastRoute, route_key
from tidegate.wire.bgp.session import Changed, Close, Dial, Down, Notified, Refresh, Routes, Send, State, Up
from tidegate.wire.bgp.update import Update, encode_announce

ZERO = Seconds(0.0)
LOW = PeerConfig("192.0.2.2", 65001, "192.0.2.1", connect_retry_s=8.0)
HIGH = PeerConfig("192.0.2.1", 65002, "192.0.2.2", connect_retry_s=8.0)
GREETING = encode_open(Open(Asn(65002), 90, 7, Capabilities(tuple(Family), asn4=Asn(65002))))


def peer(config: PeerConfig = LOW, **changes: object) -> Peer:
    fields = {name: getattr(config, name) for name in config.__struct_fields__}
    return Peer(PeerConfig(**(fields | changes)), jitter=lambda: 1.0)


def acts(effects: list[PeerEffect]) -> list[PeerEffect]:
    """Leave out what is only told."""
    return [each for each in effects if not isinstance(each.effect, Changed | Notified | Notice | Gone)]


def rule(host: int) -> FlowRoute:
    prefix = PrefixComponent(ComponentType.DESTINATION, parse_prefix(f"192.0.2.{host}"))
    return FlowRoute(FlowRule(Afi.IPV4, (prefix,)), (TrafficRateBytes(0.0),))


class Wire:
    """Two peers and the connections between them; octets arrive in the order they were sent."""

    def __init__(self, one: Peer, other: Peer) -> None:
        self.peers = (one, other)
        self.queues: dict[tuple[int, Way], list[bytes]] = {}
        self.seen: tuple[list[object], list[object]] = ([], [])
        self.now = ZERO

    def connect(self, dialler: int) -> None:
        """Open the connection that one side dials."""
        self.queues[dialler, Way.OUT] = []
        self.queues[1 - dialler, Way.IN] = []
        self._take(dialler, self.peers[dialler].connected(Way.OUT, self.now))
        self._take(1 - dialler, self.peers[1 - dialler].connected(Way.IN, self.now))

    def run(self) -> None:
        """Deliver until nothing is on the way, UPDATEs included."""
        while self._deliver() or self._pump():
            pass

    def kinds(self, side: int) -> list[type]:
        """Return what a side has seen that is no Send and no Close."""
        return [type(effect) for effect in self.seen[side]]

    def _far(self, side: int, way: Way) -> tuple[int, Way]:
        return 1 - side, Way.IN if way is Way.OUT else Way.OUT

    def _take(self, side: int, effects: list[PeerEffect]) -> None:
        for each in effects:
            far = self._far(side, each.way)
            match each.effect:
                case Send(data=data):
                    self.queues.get(far, []).append(data)  # what is sent to a closed connection is lost
                case Close():
                    self.queues.pop((side, each.way), None)
                    self.queues.get(far, []).append(b"")  # the end of the stream
                case effect:
                    self.seen[side].append(effect)

    def _deliver(self) -> bool:
        for (side, way), queue in list(self.queues.items()):
            if not queue:
                continue
            data = queue.pop(0)
            if data:
                self._take(side, self.peers[side].receive(way, data, self.now))
            else:
                self.queues.pop((side, way), None)
                self._take(side, self.peers[side].disconnected(way, self.now, reason="closed"))
            return True
        return False

    def _pump(self) -> bool:
        sent = False
        for side, one in enumerate(self.peers):
            way = one.established
            for message in one.pull(1 << 16, self.now) if way is not None else []:
                assert way is not None
                self.queues[self._far(side, way)].append(message.data)
                sent = True
        return sent


def back_to_back(one: Peer, other: Peer) -> Wire:
    wire = Wire(one, other)
    assert [each.effect for each in acts(one.start(ZERO))] == [Dial()]
    other.start(ZERO)
    wire.connect(0)
    wire.run()
    return wire


def updates_of(seen: list[object]) -> list[Update]:
    """Return the UPDATEs that were read one by one, as those of rules are."""
    updates = [effect.update for effect in seen if isinstance(effect, Routes)]
    return [update for update in updates if isinstance(update, Update)]


def test_two_speakers_come_up_and_say_what_they_want() -> None:
    one, other = peer(LOW), peer(HIGH, passive=True)
    one.rib.announce(rule(1))
    wire = back_to_back(one, other)
    assert (one.established, other.established) == (Way.OUT, Way.IN)
    updates = updates_of(wire.seen[1])
    assert [update.end_of_rib for update in updates[1:]] == sorted(Family)
    assert updates[0].announced[0].destinations == (rule(1).rule,)
    assert other.status().received["update"] == 5
    assert one.status().waiting == 0


def test_a_new_session_says_it_all_again() -> None:
    one, other = peer(LOW), peer(HIGH, passive=True)
    one.rib.announce(rule(1))
    wire = back_to_back(one, other)
    one.disconnected(Way.OUT, ZERO, reason="cable")
    other.disconnected(Way.IN, ZERO, reason="cable")
    one.rib.announce(rule(2))
    wire.seen[1].clear()
    assert one.deadline() == 0.0  # there is work to be done at once
    one.tick(ZERO)
    assert one.deadline() == 1.0
    assert [each.effect for each in acts(one.tick(Seconds(1.0)))] == [Dial()]
    wire.connect(0)
    wire.run()
    updates = updates_of(wire.seen[1])
    assert [len(update.announced) for update in updates] == [1, 1, 0, 0, 0, 0]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_connections_at_once_leave_the_one_of_the_higher_identifier(order: tuple[int, int]) -> None:
    low, high = peer(LOW), peer(HIGH)
    wire = Wire(low, high)
    low.start(ZERO)
    high.start(ZERO)
    for dialler in order:
        wire.connect(dialler)
    wire.run()
    assert (low.established, high.established) == (Way.IN, Way.OUT)
    for one in (low, high):
        assert one.failures == 0
        assert sorted(session.state.name for session in one.sessions.values()) == ["ESTABLISHED", "IDLE"]


def test_equal_identifiers_leave_the_one_of_the_higher_as() -> None:
    low, high = peer(LOW), peer(HIGH, router_id="192.0.2.1")
    wire = Wire(low, high)
    low.start(ZERO)
    high.start(ZERO)
    wire.connect(0)
    wire.connect(1)
    wire.run()
    assert (low.established, high.established) == (Way.IN, Way.OUT)


@given(st.data())
def test_however_the_octets_interleave_one_session_comes_up(data: st.DataObject) -> None:
    low, high = peer(LOW), peer(HIGH)
    wire = Wire(low, high)
    low.start(ZERO)
    high.start(ZERO)
    wire.connect(0)
    wire.connect(1)
    for _ in range(60):
        waiting = [key for key, queue in wire.queues.items() if queue]
        if not waiting:
            break
        chosen = data.draw(st.sampled_from(waiting))
        rest = {key: queue for key, queue in wire.queues.items() if key != chosen}
        wire.queues = {chosen: wire.queues[chosen]} | rest
        wire._deliver()
    wire.run()
    assert (low.established, high.established) == (Way.IN, Way.OUT)
    for side in (0, 1):  # ups and downs alternate: nobody ever believes in two sessions
        told = [
            type(effect) for effect in wire.seen[side] if isinstance(effect, Up) or getattr(effect, "was_up", False)
        ]
        assert told == [Up, Down] * (len(told) // 2) + [Up]


def up(config: PeerConfig = LOW) -> Peer:
    one = peer(config)
    one.start(ZERO)
    one.connected(Way.OUT, ZERO)
    one.receive(Way.OUT, GREETING + KEEPALIVE, ZERO)
    assert one.established is Way.OUT
    return one


def test_while_a_session_stands_no_other_connection_is_welcome() -> None:
    one = up()
    assert not one.may_accept(ZERO)
    one.disconnected(Way.OUT, ZERO, reason="gone")
    assert one.may_accept(ZERO)


def test_the_peer_may_dial_anew_before_its_first_connection_is_up() -> None:
    one = peer(LOW, passive=True)
    one.start(ZERO)
    one.connected(Way.IN, ZERO)
    assert one.may_accept(ZERO)
    assert [type(each.effect) for each in acts(one.evict(ZERO))] == [Send, Close]
    one.connected(Way.IN, ZERO)
    one.receive(Way.IN, GREETING + KEEPALIVE, ZERO)
    assert one.established is Way.IN
    assert one.failures == 0


def test_short_sessions_back_off_and_long_ones_do_not() -> None:
    one = up()
    now = 0.0
    waits = []
    for _ in range(10):
        now += 1.0  # each session lives for a second
        one.receive(Way.OUT, encode_notification(Notification(3, 9)), Seconds(now))
        deadline = one.deadline()
        assert deadline is not None
        waits.append(deadline - now)
        now = deadline
        assert [each.effect for each in acts(one.tick(Seconds(now)))] == [Dial()]
        one.connected(Way.OUT, Seconds(now))
        one.receive(Way.OUT, GREETING + KEEPALIVE, Seconds(now))
    assert waits == [1, 2, 4, 8, 16, 32, 64, 120, 120, 120]
    now += 600.0
    one.disconnected(Way.OUT, Seconds(now), reason="gone")
    deadline = one.deadline()
    assert deadline is not None
    assert deadline - now == 1.0


def test_while_backing_off_the_peers_own_connections_are_refused_too() -> None:
    one = peer(LOW, passive=True)
    one.start(ZERO)
    for turn in range(3):
        assert one.may_accept(Seconds(turn))
        one.connected(Way.IN, Seconds(turn))
        one.receive(Way.IN, b"garbage of more than 19 octets", Seconds(turn))
    assert not one.may_accept(Seconds(2.0))
    assert one.may_accept(Seconds(6.0))
    assert one.tick(Seconds(6.0)) == []
    assert one.deadline() is None


def test_an_incoming_session_ends_the_dialling() -> None:
    one = peer()
    one.start(ZERO)
    one.connected(Way.IN, ZERO)
    effects = one.receive(Way.IN, GREETING + KEEPALIVE, ZERO)
    assert [(each.way, type(each.effect)) for each in acts(effects)] == [
        (Way.IN, Send),
        (Way.OUT, Close),
        (Way.IN, Up),
    ]
    one.disconnected(Way.IN, Seconds(500.0), reason="gone")
    assert [each.effect for each in acts(one.tick(Seconds(501.0)))] == [Dial()]


def two(config: PeerConfig) -> Peer:
    """Return a peer with two connections, on both of which the OPEN has come."""
    one = peer(config)
    one.start(ZERO)
    for way in Way:
        one.connected(way, ZERO)
        one.receive(way, GREETING, ZERO)
    return one


def test_the_connection_that_is_not_preferred_may_be_up_for_a_while() -> None:
    one = two(LOW)  # the identifier in GREETING is lower still: what we have dialled is preferred
    effects = one.receive(Way.IN, KEEPALIVE, ZERO)
    assert [(each.way, type(each.effect)) for each in acts(effects)] == [(Way.IN, Up)]
    effects = one.receive(Way.OUT, KEEPALIVE, ZERO)
    assert [(each.way, type(each.effect)) for each in acts(effects)] == [
        (Way.IN, Send),
        (Way.IN, Close),
        (Way.IN, Down),
        (Way.OUT, Up),
    ]
    assert one.established is Way.OUT
    assert one.failures == 0


def test_a_peer_that_keeps_the_other_connection_is_no_failure() -> None:
    one = two(LOW)
    one.receive(Way.IN, KEEPALIVE, ZERO)
    effects = one.receive(Way.OUT, encode_notification(Notification(6, 7)), ZERO)
    assert [(each.way, type(each.effect)) for each in acts(effects)] == [(Way.OUT, Close), (Way.OUT, Down)]
    assert (one.established, one.failures, one.status().last_error) == (Way.IN, 0, "")


def test_stop_says_cease_and_stays_down() -> None:
    one = up()
    effects = one.stop(Seconds(9.0), text="bye")
    assert [type(each.effect) for each in acts(effects)] == [Send, Close, Down]
    assert one.deadline() is None
    assert "bye" in one.status().last_error or one.status().last_error == "stopped"
    assert one.status().state is State.IDLE


def test_stop_while_dialling_or_waiting() -> None:
    one = peer()
    one.start(ZERO)
    assert [type(each.effect) for each in acts(one.stop(ZERO))] == [Close]
    waiting = up()
    waiting.disconnected(Way.OUT, ZERO, reason="gone")
    assert waiting.stop(ZERO) == []
    assert waiting.deadline() is None


def test_a_refused_connection_is_told_and_tried_again() -> None:
    one = peer()
    one.start(ZERO)
    one.disconnected(Way.OUT, ZERO, reason="connection refused")
    status = one.status()
    assert (status.state, status.last_error, status.failures) == (State.ACTIVE, "connection refused", 0)
    assert [each.effect for each in acts(one.tick(Seconds(8.0)))] == [Dial()]


def test_the_status_of_a_session() -> None:
    one = up()
    one.rib.announce(rule(1))
    status = one.status()
    assert status.state is State.ESTABLISHED
    assert status.negotiated is not None
    assert status.negotiated.peer_as == 65002
    assert (status.wanted, status.waiting, status.received["open"]) == (1, 1, 1)
    assert peer(passive=True).status().state is State.ACTIVE


def test_a_session_that_is_over_has_told_nothing() -> None:
    one = up()
    one.rib.announce(rule(1))
    one.pull(1, ZERO)
    one.rib.announce(rule(2))
    assert (one.status().sent, one.status().waiting) == (1, 1)
    one.disconnected(Way.OUT, ZERO, reason="gone")
    status = one.status()
    assert (status.wanted, status.sent, status.waiting) == (2, 0, 0)


def test_bad_parts_of_updates_are_counted_by_reason() -> None:
    one = up()
    body = bytes.fromhex("0000 0009 800f06 000185 02 0e81")
    update = b"\xff" * 16 + (19 + len(body)).to_bytes(2, "big") + b"\2" + body
    for _ in range(3):
        one.receive(Way.OUT, update, ZERO)
    assert one.status().problems == {"unknown component type": 3}


def test_a_refresh_is_answered() -> None:
    one = up()
    one.rib.announce(rule(1))
    while one.pull(1 << 16, ZERO):
        pass
    one.receive(Way.OUT, encode_refresh(Family.IPV4_FLOWSPEC), ZERO)
    assert len(one.pull(1 << 16, ZERO)) == 1
    one.receive(Way.OUT, encode_refresh(Family.IPV6_FLOWSPEC), ZERO)
    assert one.pull(1 << 16, ZERO) == []


def test_graceful_restart_is_offered_only_when_asked_for() -> None:
    assert peer(graceful_restart_s=0).sessions[Way.OUT].config.open.capabilities.graceful_restart is None
    offered = peer().sessions[Way.OUT].config.open.capabilities.graceful_restart
    assert offered is not None
    assert offered.families == tuple(Family)


STAGES = [b"", GREETING, GREETING + KEEPALIVE]


@pytest.mark.parametrize("stage", STAGES, ids=["opensent", "openconfirm", "established"])
@pytest.mark.parametrize("way", Way)
@pytest.mark.parametrize("end", [b"\0" * 64, b"\xff" * 64, None])
def test_garbage_or_a_close_at_every_stage_is_survived(stage: bytes, way: Way, end: bytes | None) -> None:
    one = peer(passive=way is Way.IN)
    one.start(ZERO)
    one.connected(way, ZERO)
    one.receive(way, stage, ZERO)
    if end is None:
        one.disconnected(way, ZERO, reason="closed")
    else:
        one.receive(way, end, ZERO)
    assert one.established is None
    assert one.failures == 1
    assert one.status().last_error
    assert one.may_accept(ZERO)
    one.connected(Way.IN, ZERO)
    one.receive(Way.IN, GREETING + KEEPALIVE, ZERO)
    assert one.established is Way.IN


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"address": "router1"}, "address"),
        ({"local_address": "here"}, "local_address"),
        ({"local_address": "2001:db8::1"}, "local_address"),
        ({"router_id": "::1"}, "router_id"),
        ({"router_id": "0.0.0.0"}, "router_id"),  # noqa: S104 - an identifier, no address to bind
        ({"local_as": 0}, "local_as"),
        ({"peer_as": 1 << 32}, "peer_as"),
        ({"port": 0}, "port"),
        ({"ttl": 256}, "ttl"),
        ({"gtsm_hops": 0}, "gtsm_hops"),
        ({"hold_time_s": 2}, "hold_time_s"),
        ({"graceful_restart_s": 4096}, "graceful_restart_s"),
        ({"max_routes": 0}, "max_routes"),
        ({"stale_s": 0}, "stale_s"),
        ({"max_prefixes": 1 << 32}, "max_prefixes"),
        ({"max_flow_rules": -1}, "max_flow_rules"),
        ({"max_prefixes_warn_percent": 101}, "max_prefixes_warn_percent"),
        ({"max_prefixes_restart_s": -1.0}, "max_prefixes_restart_s"),
        ({"md5_key": "x" * 81}, "md5_key"),
        ({"families": ()}, "families"),
    ],
)
def test_bad_configurations(changes: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        peer(LOW, **changes)
    assert caught.value.key.endswith(f".{key}")


def test_a_good_configuration() -> None:
    check_peer(LOW)
    check_peer(PeerConfig("2001:db8::1", 4200000000, "10.0.0.1", hold_time_s=0, md5_key="k", ttl=1))
    check_peer(PeerConfig("2001:db8::1", 4200000000, "10.0.0.1", local_address="2001:db8::2"))


def offered(**changes: object) -> Capabilities:
    return peer(LOW, **changes).sessions[Way.OUT].config.open.capabilities


def test_who_cannot_say_its_routes_again_asks_nobody_to_keep_them() -> None:
    helper = Peer(LOW, jitter=lambda: 1.0, keeps=False, restarted=True)
    said = helper.sessions[Way.OUT].config.open.capabilities.graceful_restart
    assert said == GracefulRestart(0, notification=True)
    assert not helper.status().restarting


def test_what_is_offered() -> None:
    usual = offered()
    assert usual.route_refresh
    assert usual.enhanced_refresh
    assert usual.extended_message
    assert usual.extended_next_hop == (Family.IPV4_UNICAST,)
    assert (usual.add_path_receive, usual.add_path_send) == ((), ())
    assert usual.graceful_restart == GracefulRestart(120, notification=True, families=tuple(Family), kept=tuple(Family))
    less = offered(graceful_restart_s=0, enhanced_refresh=False, extended_next_hop=False)
    assert less == Capabilities(tuple(Family), route_refresh=True, extended_message=True, asn4=Asn(65001))


def test_several_paths_are_taken_of_unicast_alone() -> None:
    assert offered(add_path=True).add_path_receive == (Family.IPV4_UNICAST, Family.IPV6_UNICAST)
    assert offered(add_path=True, families=(Family.IPV4_FLOWSPEC,)).add_path_receive == ()
    assert offered(families=(Family.IPV6_UNICAST,)).extended_next_hop == ()


def test_a_side_that_is_back_says_so_until_everything_was_said() -> None:
    one = Peer(LOW, jitter=lambda: 1.0, restarted=True)
    one.start(ZERO)
    assert one.sessions[Way.OUT].config.open.capabilities.graceful_restart == GracefulRestart(
        120, restarted=True, notification=True, families=tuple(Family), kept=tuple(Family)
    )
    one.connected(Way.OUT, ZERO)
    one.receive(Way.OUT, GREETING + KEEPALIVE, ZERO)
    assert one.pull(1 << 16, ZERO) == []
    assert one.status().restarting
    one.rib.complete()
    assert len(one.pull(1 << 16, ZERO)) == 4
    restart = one.sessions[Way.OUT].config.open.capabilities.graceful_restart
    assert restart is not None
    assert not restart.restarted
    assert not one.status().restarting


def test_a_side_that_is_back_waits_no_longer_than_its_peers() -> None:
    one = Peer(LOW, jitter=lambda: 1.0, restarted=True)
    one.start(Seconds(10.0))
    one.disconnected(Way.OUT, Seconds(10.0), reason="refused")
    one.tick(Seconds(129.9))
    assert one.status().restarting
    one.tick(Seconds(130.0))
    assert not one.status().restarting


def test_without_graceful_restart_nothing_is_deferred() -> None:
    one = Peer(structs.replace(LOW, graceful_restart_s=0), jitter=lambda: 1.0, restarted=True)
    assert not one.status().restarting


def rules(hosts: range) -> bytes:
    return b"".join(encode_announce(rule(host), route_key(rule(host)), EXTERNAL) for host in hosts)


def test_what_comes_in_one_piece_with_one_route_too_many_is_not_taken() -> None:
    one = up(structs.replace(LOW, max_flow_rules=5))
    effects = [each.effect for each in one.receive(Way.OUT, rules(range(50)), ZERO)]
    assert len([effect for effect in effects if isinstance(effect, Routes)]) == 6
    (told,) = [effect for effect in effects if isinstance(effect, Notified)]
    assert told.notification == too_many_prefixes(Family.IPV4_FLOWSPEC, 5)
    assert one.status().shut.startswith("the peer announced more than 5 routes of ipv4-flowspec")
    assert one.deadline() is None


def test_a_refresh_in_one_piece_with_the_end_of_the_session_is_not_answered() -> None:
    one = up()
    end = encode_notification(Notification(6, 4))
    effects = one.receive(Way.OUT, encode_refresh(Family.IPV4_FLOWSPEC) + end, ZERO)
    assert [type(each.effect) for each in acts(effects)] == [Refresh, Close, Down]


def test_a_reset_comes_back_by_itself() -> None:
    one = up()
    effects = [each.effect for each in one.reset(Seconds(500.0), text="new filters")]
    (told,) = [effect for effect in effects if isinstance(effect, Notified)]
    assert told.why.startswith('administrative reset (6/4): "new filters"')
    assert one.deadline() == 501.0
    assert peer().reset(ZERO) == []


def test_a_peer_that_is_configured_no_more_is_told() -> None:
    one = up()
    effects = [each.effect for each in one.stop(ZERO, why=Cease.DECONFIGURED, text="not sent, it may carry none")]
    (told,) = [effect for effect in effects if isinstance(effect, Notified)]
    assert told.notification == Notification(6, 3)


def test_routes_that_are_held_back_are_named() -> None:
    rest = [rule(host) for host in range(1, 6)]
    path = UnicastRoute(parse_prefix("198.51.100.7"), parse_address("192.0.2.254"))
    anywhere = FlowRoute(
        FlowRule(Afi.IPV4, (NumericComponent(ComponentType.PROTOCOL, (NumericOp(Comparison.EQ, 17, 1),)),))
    )
    assert name_routes([path]) == "198.51.100.7/32"
    assert name_routes(rest) == (
        "rule 060120c0000201 (destination 192.0.2.1/32), rule 060120c0000202 (destination 192.0.2.2/32), "
        "rule 060120c0000203 (destination 192.0.2.3/32), rule 060120c0000204 (destination 192.0.2.4/32) and 1 more"
    )
    assert name_routes([anywhere]) == "rule 03038111"
