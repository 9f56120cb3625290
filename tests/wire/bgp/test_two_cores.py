"""Two peers back to back in memory: what they tell each other, restarts, refreshes, limits, and any order of events."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bgp_cores import Cores
from tidegate.units import Seconds
from tidegate.wire.bgp.communities import TrafficRateBytes
from tidegate.wire.bgp.constants import Afi, Cease, Family
from tidegate.wire.bgp.flowspec import ComponentType, FlowRule, PrefixComponent
from tidegate.wire.bgp.message import Notification
from tidegate.wire.bgp.peer import Gone, Notice, NoticeKind, Peer, PeerConfig, Way
from tidegate.wire.bgp.prefix import parse_address, parse_prefix
from tidegate.wire.bgp.routes import FlowRoute, Route, UnicastRoute, route_key
from tidegate.wire.bgp.session import Down, Notified, Routes, State, Up
from tidegate.wire.bgp.update import Update

LOW = {"address": "192.0.2.2", "local_as": 65001, "router_id": "192.0.2.1"}
HIGH = {"address": "192.0.2.1", "local_as": 65002, "router_id": "192.0.2.2"}


def low(*, restarted: bool = False, jitter: float = 1.0, **changes: object) -> Peer:
    return Peer(PeerConfig(**{**LOW, **changes}), jitter=lambda: jitter, restarted=restarted)  # type: ignore[arg-type]


def high(*, restarted: bool = False, **changes: object) -> Peer:
    return Peer(PeerConfig(**{**HIGH, **changes}), jitter=lambda: 1.0, restarted=restarted)  # type: ignore[arg-type]


def rule(host: int, rate: float = 0.0) -> FlowRoute:
    prefix = PrefixComponent(ComponentType.DESTINATION, parse_prefix(f"192.0.2.{host}"))
    return FlowRoute(FlowRule(Afi.IPV4, (prefix,)), (TrafficRateBytes(rate),))


def hole(host: int) -> UnicastRoute:
    return UnicastRoute(parse_prefix(f"198.51.100.{host}"), parse_address("192.0.2.254"))


def up(one: Peer | None = None, other: Peer | None = None, *, routes: int = 3) -> Cores:
    """Bring two sides up, the first of which announces some routes."""
    cores = Cores(one or low(), other or high(passive=True))
    for host in range(routes):
        cores.peers[0].rib.announce(rule(host))
        cores.peers[0].rib.announce(hole(host))
    cores.start()
    cores.run()
    assert [peer.status().state for peer in cores.peers] == [State.ESTABLISHED, State.ESTABLISHED]
    return cores


def notices(cores: Cores, side: int, kind: NoticeKind) -> list[str]:
    return [notice.text for notice in cores.of(side, Notice) if notice.kind is kind]


def settled(cores: Cores, seconds: float = 400.0) -> None:
    """Let time pass, and see that both sides are up and each has what the other wants."""
    cores.wait(seconds)
    assert [peer.status().state for peer in cores.peers] == [State.ESTABLISHED, State.ESTABLISHED]
    for side in (0, 1):
        assert cores.held(side) == cores.wanted(1 - side)
        assert sum(cores.peers[side].status().stale.values()) == 0


def test_both_come_up_and_exchange_what_they_want() -> None:
    cores = up()
    cores.peers[1].rib.announce(rule(77))
    cores.run()
    settled(cores, 1.0)
    status = cores.peers[1].status()
    assert (status.routes[Family.IPV4_FLOWSPEC], status.routes[Family.IPV4_UNICAST]) == (3, 3)
    assert set(status.end_of_rib) == set(Family)
    cores.peers[0].rib.withdraw(route_key(rule(1)))
    cores.run()
    settled(cores, 1.0)


def test_a_session_without_traffic_stays_up_by_keepalives() -> None:
    cores = up()
    cores.wait(3600.0)
    assert len(cores.of(0, Up)) == 1
    assert cores.peers[0].status().received["keepalive"] >= 120


@pytest.mark.parametrize("enhanced", [True, False])
def test_a_refresh_brings_everything_again_and_removes_nothing(enhanced: bool) -> None:  # noqa: FBT001
    cores = up(low(enhanced_refresh=enhanced))
    cores.seen[1].clear()
    cores.take(1, cores.peers[1].request_refresh(Family.IPV4_FLOWSPEC))
    cores.run()
    assert len(cores.of(1, Routes)) == 3
    assert cores.of(1, Gone) == []
    settled(cores, 1.0)


def test_a_refresh_removes_what_was_lost_on_the_way() -> None:
    cores = up()
    cores.peers[0].rib.wanted.clear()
    cores.peers[0].rib._wire.clear()  # the other side is never told: as if a withdrawal had been lost
    cores.peers[0].rib._parts.clear()
    cores.take(1, cores.peers[1].request_refresh(Family.IPV4_FLOWSPEC))
    cores.run()
    (gone,) = cores.of(1, Gone)
    assert (gone.families, gone.routes) == ((Family.IPV4_FLOWSPEC,), 3)
    assert "refresh" in gone.why


def test_nothing_is_asked_for_that_was_not_agreed_to() -> None:
    cores = up(low(families=(Family.IPV4_UNICAST, Family.IPV4_FLOWSPEC)))
    assert cores.peers[1].request_refresh(Family.IPV6_UNICAST) == []
    assert low().request_refresh(Family.IPV4_UNICAST) == []


def returned(hosts: range) -> Peer:
    """Return a new side 0, after a crash, with these routes from its store."""
    peer = low(restarted=True)
    for host in hosts:
        peer.rib.announce(rule(host))
        peer.rib.announce(hole(host))
    return peer


def test_a_crash_leaves_the_rules_until_the_same_are_announced_again() -> None:
    cores = up()
    before = cores.held(1)
    cores.crash(0, returned(range(3)))
    cores.deliver((1, Way.IN))  # the end of the stream
    assert cores.held(1) == before
    assert cores.peers[1].status().stale[Family.IPV4_FLOWSPEC] == 3
    assert "6 routes" in notices(cores, 1, NoticeKind.STALE)[0]
    cores.wait(5.0)
    assert cores.held(1) == before
    assert cores.peers[1].status().end_of_rib == {}  # what was announced before may not be all
    assert cores.peers[0].status().restarting
    cores.peers[0].rib.complete()
    cores.run()
    assert cores.of(1, Gone) == []
    assert not cores.peers[0].status().restarting
    settled(cores, 1.0)


def test_what_a_crash_lost_goes_with_end_of_rib() -> None:
    cores = up()
    cores.crash(0, returned(range(1)))
    cores.peers[0].rib.complete()
    cores.wait(5.0)
    assert {gone.families: gone.routes for gone in cores.of(1, Gone)} == {
        (Family.IPV4_FLOWSPEC,): 2,
        (Family.IPV4_UNICAST,): 2,
    }
    settled(cores, 1.0)


def test_a_machine_that_died_without_a_word_is_replaced_by_its_new_connection() -> None:
    cores = up()
    before = cores.held(1)
    cores.crash(0, returned(range(3)), silent=True)
    cores.peers[0].rib.complete()
    cores.wait(1.0)
    assert notices(cores, 1, NoticeKind.REPLACED) == ["the peer has opened another connection: it has restarted"]
    assert [type(effect) for effect in cores.of(1, Up)] == [Up, Up]
    assert cores.held(1) == before
    assert cores.of(1, Gone) == []
    settled(cores, 1.0)


def test_a_machine_that_is_back_may_dial_where_the_other_side_had_dialled() -> None:
    cores = Cores(high(), low(passive=True))
    cores.peers[1].rib.announce(rule(1))
    cores.start()
    cores.run()
    before = cores.peers[0].established
    assert before is Way.OUT
    fresh = low(restarted=True)
    fresh.rib.announce(rule(1))
    fresh.rib.complete()
    cores.crash(1, fresh, silent=True)
    cores.wait(1.0)
    assert cores.peers[0].established is Way.IN  # though its own connections are to be preferred
    assert notices(cores, 0, NoticeKind.REPLACED) == ["the peer has opened another connection: it has restarted"]
    assert cores.of(0, Gone) == []
    settled(cores, 1.0)


def test_a_second_connection_that_comes_to_nothing_changes_nothing() -> None:
    cores = Cores(high(), low(passive=True))
    cores.start()
    cores.run()
    peer = cores.peers[0]
    for _ in range(3):
        assert peer.may_accept(cores.now)
        assert [each.effect for each in peer.evict(cores.now) if isinstance(each.effect, Down)] == []
        peer.connected(Way.IN, cores.now)
    peer.receive(Way.IN, b"GET / HTTP/1.1\r\n\r\n", cores.now)
    assert (peer.established, peer.failures) == (Way.OUT, 0)
    assert len(cores.of(0, Up)) == 1


def test_a_side_that_never_comes_back_is_forgotten() -> None:
    cores = up()
    cores.crash(0, low(passive=True))
    cores.run()
    cores.wait(119.0)
    assert sum(cores.peers[1].status().routes.values()) == 6
    cores.wait(2.0)
    assert sum(cores.peers[1].status().routes.values()) == 0
    assert cores.of(1, Gone)[0].why == "the peer did not come back in time"


def test_the_own_longest_time_counts_where_it_is_shorter() -> None:
    cores = up(other=high(passive=True, stale_s=20))
    cores.crash(0, low(passive=True))
    cores.wait(21.0)
    assert sum(cores.peers[1].status().routes.values()) == 0


def test_end_of_rib_that_never_comes_is_waited_for_in_vain() -> None:
    cores = up(other=high(passive=True, stale_s=30))
    cores.crash(0, returned(range(1)))
    cores.wait(29.0)
    assert sum(cores.peers[1].status().stale.values()) == 4
    cores.wait(3.0)
    assert sum(cores.peers[1].status().stale.values()) == 0
    assert {gone.why for gone in cores.of(1, Gone)} == {"the peer sent no End-of-RIB in time"}


def test_end_of_rib_comes_at_the_latest_after_the_restart_time() -> None:
    cores = up()
    cores.crash(0, returned(range(1)))
    cores.wait(119.0)
    assert cores.peers[1].status().end_of_rib == {}
    cores.wait(2.0)
    assert set(cores.peers[1].status().end_of_rib) == set(Family)
    settled(cores, 1.0)


def test_a_restart_without_its_routes_removes_them_at_once() -> None:
    cores = up()
    cores.crash(0, low(graceful_restart_s=0))
    cores.wait(2.0)
    (gone,) = cores.of(1, Gone)
    assert (gone.routes, gone.why) == (6, "the peer has come back without them")


def test_another_with_the_same_address_inherits_nothing() -> None:
    cores = up()
    other = low(router_id="192.0.2.99", restarted=True)
    cores.crash(0, other)
    cores.wait(2.0)
    (text,) = notices(cores, 1, NoticeKind.IDENTITY)
    assert text == "the peer is AS 65001 with identifier 192.0.2.99, and was AS 65001 with identifier 192.0.2.1"
    (gone,) = cores.of(1, Gone)
    assert (gone.routes, gone.why) == (6, "the peer has come back as another")


def test_without_graceful_restart_everything_goes_at_once() -> None:
    cores = up(low(graceful_restart_s=0))
    cores.crash(0, low(graceful_restart_s=0))
    cores.run()
    assert [(gone.routes, gone.why) for gone in cores.of(1, Gone)] == [(6, "the session is over")]


def test_an_orderly_stop_leaves_nothing() -> None:
    cores = up()
    cores.take(0, cores.peers[0].stop(cores.now, text="for good"))
    cores.run()
    (heard,) = cores.of(1, Notified)
    assert (heard.sent, heard.notification.code, heard.notification.subcode) == (False, 6, Cease.HARD_RESET)
    assert 'administrative shutdown (6/2): "for good"' in heard.why
    assert sum(cores.peers[1].status().routes.values()) == 0
    assert cores.peers[0].status().shut == "stopped"
    assert not cores.peers[0].may_accept(cores.now)
    cores.wait(1000.0)
    assert cores.peers[0].status().state is State.IDLE
    cores.take(0, cores.peers[0].start(cores.now))
    settled(cores)


def test_a_stop_that_keeps_leaves_the_rules_to_the_helper() -> None:
    cores = up()
    cores.take(0, cores.peers[0].stop(cores.now, keep=True))
    cores.run()
    assert cores.of(1, Notified) == []
    assert sum(cores.peers[1].status().stale.values()) == 6
    cores.crash(0, returned(range(3)))
    cores.peers[0].rib.complete()
    settled(cores, 10.0)
    assert cores.of(1, Gone) == []


def test_a_reset_keeps_the_routes_where_both_sides_agreed_to() -> None:
    cores = up()
    cores.take(0, cores.peers[0].reset(cores.now, text="new filters"))
    cores.run()
    (heard,) = cores.of(1, Notified)
    assert heard.why.startswith('administrative reset (6/4): "new filters"')
    assert sum(cores.peers[1].status().stale.values()) == 6
    settled(cores, 10.0)
    assert cores.of(1, Gone) == []


@pytest.mark.parametrize("restart_s", [120, 0])
def test_a_cut_cable_is_noticed_by_the_hold_timer(restart_s: int) -> None:
    cores = up(other=high(passive=True, graceful_restart_s=restart_s))
    cores.cut = True
    cores.wait(91.0)
    (told,) = cores.of(1, Notified)
    assert (told.sent, told.notification.code) == (True, 4)
    kept = sum(cores.peers[1].status().stale.values())
    assert kept == (6 if restart_s else 0)  # RFC 8538 section 4: where it is agreed on, as if TCP had ended
    cores.cut = False
    settled(cores, 60.0)


def test_too_many_prefixes_end_the_session() -> None:
    cores = up(other=high(passive=True, max_flow_rules=10), routes=0)
    for host in range(7):
        cores.peers[0].rib.announce(rule(host))
    cores.run()
    assert notices(cores, 1, NoticeKind.PREFIX_WARNING) == []
    cores.peers[0].rib.announce(rule(7))
    cores.run()
    (warning,) = notices(cores, 1, NoticeKind.PREFIX_WARNING)
    assert warning == "8 routes of ipv4-flowspec have come, 80 % of the 10 that may"
    for host in range(8, 60):
        cores.peers[0].rib.announce(rule(host))
    cores.run()
    (told,) = cores.of(0, Notified)
    assert "maximum number of prefixes reached (6/1): ipv4-flowspec, at most 10" in told.why
    assert sum(cores.peers[1].status().routes.values()) == 0
    status = cores.peers[1].status()
    assert "it is shut out until started" in status.shut
    assert status.last_error == status.shut
    cores.wait(1000.0)
    assert not cores.peers[1].may_accept(cores.now)
    for host in range(5, 60):
        cores.peers[0].rib.withdraw(route_key(rule(host)))
    cores.take(1, cores.peers[1].start(cores.now))
    settled(cores)


def test_a_peer_that_was_shut_out_may_come_back_after_a_while() -> None:
    cores = up(other=high(max_flow_rules=10, max_prefixes_restart_s=300), routes=0)
    for host in range(20):
        cores.peers[0].rib.announce(rule(host))
    cores.run()
    for host in range(20):
        cores.peers[0].rib.withdraw(route_key(rule(host)))
    cores.wait(299.0)
    assert cores.peers[1].status().state is State.IDLE
    cores.wait(150.0)
    assert cores.peers[1].status().shut == ""
    settled(cores, 1.0)


def test_zero_is_no_limit() -> None:
    cores = up(other=high(passive=True, max_prefixes=0, max_flow_rules=0), routes=100)
    settled(cores, 1.0)


@pytest.mark.parametrize("jitter", [0.0, 0.5])
def test_both_dial_at_once_and_one_session_is_left(jitter: float) -> None:
    cores = Cores(low(jitter=jitter), high())
    cores.peers[0].rib.announce(rule(1))
    cores.start()
    assert cores.connect(0)
    assert cores.connect(1)
    settled(cores, 2.0)
    assert cores.peers[0].established is Way.IN  # that of the higher identifier


def test_a_connection_lost_at_any_octet_is_only_a_delay() -> None:
    whole = up()
    total = whole.octets[0] + whole.octets[1]
    for cut in range(1, total, 7):
        cores = Cores(low(), high(passive=True))
        for host in range(3):
            cores.peers[0].rib.announce(rule(host))
            cores.peers[0].rib.announce(hole(host))
        cores.start()
        left = cut
        while left > 0:
            end = next((end for end, queue in cores.ends.items() if queue), None)
            if end is None:
                if not cores.step():
                    break
                continue
            cores.deliver(end, 1)
            left -= 1
        cores.lose(0, Way.OUT)
        settled(cores, 10.0)


def refusing(cores: Cores, bad: Route) -> None:
    """Let everything happen, with a side 1 that resets the session at one rule."""
    assert isinstance(bad, FlowRoute)
    peer = cores.peers[1]
    while cores.step():
        updates = [effect.update for effect in cores.of(1, Routes)]
        heard = [group for update in updates if isinstance(update, Update) for group in update.announced]
        cores.seen[1].clear()
        way = peer.established
        if way is not None and any(bad.rule in group.destinations for group in heard):
            end = peer.sessions[way].stop(cores.now, notification=Notification(3, 9))
            cores.take(1, peer._handle(way, end, cores.now))


@pytest.mark.parametrize("settled_first", [True, False])
def test_a_peer_that_resets_on_one_rule_is_told_the_others(settled_first: bool) -> None:  # noqa: FBT001
    cores = up(routes=0)
    if settled_first:
        for host in range(30):
            cores.peers[0].rib.announce(rule(host))
        settled(cores, 600.0)
    for host in range(200, 220):
        cores.peers[0].rib.announce(rule(host))
    bad = rule(219)
    while not notices(cores, 0, NoticeKind.HELD_BACK):
        refusing(cores, bad)
        cores.now = Seconds(cores.now + 1.0)
        cores.tick()
        assert cores.now < 900.0
    (text,) = notices(cores, 0, NoticeKind.HELD_BACK)
    assert text.startswith("held back: ")
    assert "; sent within a minute before each of the last resets of the session: " in text
    assert "UPDATE" not in text or "(3/9)" in text
    assert len(cores.of(0, Down)) == 3
    while cores.peers[0].established is None:
        refusing(cores, bad)
        cores.now = Seconds(cores.now + 1.0)
        cores.tick()
    refusing(cores, bad)
    settled(cores, 100.0)
    held = cores.peers[0].status().held_back
    assert set(held) == {route_key(bad)}
    assert len(cores.of(0, Down)) == 3
    cores.peers[0].rib.release()
    settled(cores, 1.0)


def test_an_operator_who_resets_holds_nothing_back() -> None:
    cores = up()
    for _ in range(5):
        cores.take(1, cores.peers[1].reset(cores.now))
        cores.wait(20.0)
    assert cores.peers[0].status().held_back == {}


STEP = st.one_of(
    st.tuples(st.just("announce"), st.integers(0, 1), st.integers(0, 5)),
    st.tuples(st.just("withdraw"), st.integers(0, 1), st.integers(0, 5)),
    st.tuples(st.just("deliver"), st.integers(0, 3), st.sampled_from([1, 7, 18, 19, 64, 4096])),
    st.tuples(st.just("deliver"), st.integers(0, 3), st.just(4096)),
    st.tuples(st.just("connect"), st.integers(0, 1), st.just(0)),
    st.tuples(st.just("pump"), st.integers(0, 1), st.sampled_from([1, 100, 4096])),
    st.tuples(st.just("run"), st.just(0), st.just(0)),
    st.tuples(st.just("refuse"), st.integers(0, 1), st.just(0)),
    st.tuples(st.just("lose"), st.integers(0, 1), st.integers(0, 1)),
    st.tuples(st.just("crash"), st.integers(0, 1), st.integers(0, 1)),
    st.tuples(st.just("reset"), st.integers(0, 1), st.just(0)),
    st.tuples(st.just("refresh"), st.integers(0, 1), st.integers(0, 3)),
    st.tuples(st.just("wait"), st.just(0), st.sampled_from([0, 1, 5, 40, 100, 400])),
    st.tuples(st.just("tick"), st.just(0), st.integers(0, 200)),
)
MADE = (low, high)


def act(cores: Cores, what: str, side: int, number: int) -> None:  # noqa: C901, PLR0912 - one branch a thing that can happen
    peer = cores.peers[side % 2]
    match what:
        case "announce":
            peer.rib.announce(rule(number))
            peer.rib.announce(hole(number))
        case "withdraw":
            peer.rib.withdraw(route_key(rule(number)))
        case "deliver":
            waiting = [end for end, queue in cores.ends.items() if queue]
            if waiting:
                cores.deliver(waiting[side % len(waiting)], number)
        case "connect" if side in cores.dialling:
            cores.connect(side)
        case "refuse" if side in cores.dialling:
            cores.refuse(side)
        case "pump":
            cores.pump(side, number)
        case "run":
            cores.run()
        case "lose":
            cores.lose(side, tuple(Way)[number])
        case "crash":
            fresh = MADE[side](restarted=True)
            for route in peer.rib.wanted.values():
                fresh.rib.announce(route)
            fresh.rib.complete()
            cores.crash(side, fresh, silent=bool(number))
        case "reset":
            cores.take(side, peer.reset(cores.now))
        case "refresh":
            cores.take(side, peer.request_refresh(tuple(Family)[number]))
        case "wait":
            cores.wait(number)
        case "tick":
            cores.now = Seconds(cores.now + number)
            cores.tick()
        case _:
            pass  # nobody dials


@settings(max_examples=150)
@given(st.lists(STEP, max_size=60))
def test_whatever_happens_both_end_up_with_what_the_other_wants(steps: list[tuple[str, int, int]]) -> None:
    cores = Cores(low(), high())
    cores.start()
    for step in steps:
        act(cores, *step)
    settled(cores, 1500.0)
    for peer in cores.peers:
        peer.rib.release()
    settled(cores, 1.0)
