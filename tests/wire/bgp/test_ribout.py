from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from bgp_cases import EXTERNAL
from tidegate.errors import EncodeError, Inexpressible
from tidegate.wire.bgp.communities import Action, TrafficRateBytes
from tidegate.wire.bgp.constants import Afi, Family, MessageType, RefreshSubtype
from tidegate.wire.bgp.flowspec import (
    Comparison,
    ComponentType,
    FlowRule,
    NumericComponent,
    NumericOp,
    PrefixComponent,
)
from tidegate.wire.bgp.message import decode_refresh, maybe_message
from tidegate.wire.bgp.open import Negotiated
from tidegate.wire.bgp.prefix import Prefix, parse_address, parse_prefix
from tidegate.wire.bgp.profile import SAFE
from tidegate.wire.bgp.ribout import Outgoing, RibOut
from tidegate.wire.bgp.routes import FlowRoute, Route, RouteKey, UnicastRoute, route_key
from tidegate.wire.bgp.update import Destination, decode_update
from tidegate.wire.cursor import Reader

FAMILIES = (Family.IPV4_UNICAST, Family.IPV4_FLOWSPEC)


def rib(most: int = 100) -> RibOut:
    return RibOut("192.0.2.2", families=FAMILIES, profile=SAFE, most=most)


def rule(host: int, *ports: int, rate: float = 0.0) -> FlowRoute:
    prefix = PrefixComponent(ComponentType.DESTINATION, parse_prefix(f"192.0.2.{host}"))
    ops = tuple(NumericOp(Comparison.EQ, port, 1) for port in ports)
    components = (prefix, NumericComponent(ComponentType.SOURCE_PORT, ops)) if ports else (prefix,)
    return FlowRoute(FlowRule(Afi.IPV4, components), (TrafficRateBytes(rate),))


def hole(host: int, med: int | None = None) -> UnicastRoute:
    return UnicastRoute(parse_prefix(f"198.51.100.{host}"), parse_address("192.0.2.254"), med=med)


class Receiver:
    """What a peer would hold after these messages."""

    def __init__(self) -> None:
        self.routes: dict[tuple[Family, Destination], tuple[tuple[Action, ...], int | None]] = {}
        self.markers: list[Family] = []

    def hear(self, messages: Sequence[Outgoing]) -> None:
        for outgoing in messages:
            message = maybe_message(Reader(outgoing.data))
            assert message is not None
            update = decode_update(message.body, EXTERNAL)
            assert not update.problems
            for group in update.withdrawn:
                for gone in group.destinations:
                    del self.routes[group.family, gone]  # a withdrawal of what was never said would be an error here
            for group in update.announced:
                for here in group.destinations:
                    self.routes[group.family, here] = (update.attributes.extended, update.attributes.med)
            if update.end_of_rib is not None:
                self.markers.append(update.end_of_rib)


def drain(table: RibOut, octets: int = 1 << 20) -> list[Outgoing]:
    messages: list[Outgoing] = []
    while batch := table.pull(EXTERNAL, octets):
        messages += batch
    return messages


def begin(table: RibOut) -> None:
    """Start a session in which all markers are said already."""
    table.begin(FAMILIES)
    assert [message.keys for message in drain(table)] == [(), ()]


def test_everything_is_said_and_then_the_markers() -> None:
    table, peer = rib(), Receiver()
    table.announce(rule(1))
    table.announce(hole(1))
    table.begin(FAMILIES)
    messages = drain(table)
    assert [len(message.keys) for message in messages] == [1, 1, 0, 0]
    peer.hear(messages)
    assert len(peer.routes) == 2
    assert set(peer.markers) == set(FAMILIES)


def test_a_key_that_changes_before_it_is_said_is_said_once() -> None:
    table = rib()
    begin(table)
    for med in range(5):
        table.announce(hole(1, med))
    messages = drain(table)
    assert len(messages) == 1
    peer = Receiver()
    peer.hear(messages)
    assert list(peer.routes.values()) == [((), 4)]


def test_a_route_withdrawn_before_it_was_said_is_never_said() -> None:
    table = rib()
    begin(table)
    key = table.announce(rule(1))
    assert table.withdraw(key)
    assert not table.withdraw(key)
    assert drain(table) == []


def test_the_parts_of_a_rule_come_and_go_together() -> None:
    table, peer = rib(), Receiver()
    begin(table)
    key = table.announce(rule(1, *range(1, 9)))
    messages = drain(table)
    assert [message.keys for message in messages] == [(key,), (key,)]
    peer.hear(messages)
    table.withdraw(key)
    peer.hear(drain(table))
    assert peer.routes == {}


def test_a_part_that_two_rules_share_stays_for_the_other() -> None:
    table, peer = rib(), Receiver()
    begin(table)
    wide = table.announce(rule(1, *range(1, 9)))  # its second part is ports 6, 7 and 8
    narrow = table.announce(rule(1, 6, 7, 8, rate=125.0))
    peer.hear(drain(table))
    assert len(peer.routes) == 2
    table.withdraw(wide)
    peer.hear(drain(table))
    assert list(peer.routes.values()) == [((TrafficRateBytes(125.0),), None)]
    table.withdraw(narrow)
    peer.hear(drain(table))
    assert peer.routes == {}


def test_a_new_session_says_everything_again_and_an_ended_one_nothing() -> None:
    table = rib()
    table.announce(rule(1))
    table.begin(FAMILIES)
    assert len(drain(table)) == 3
    table.end()
    table.announce(rule(2))
    table.end()
    assert drain(table) == []
    table.begin(FAMILIES)
    assert len(drain(table)) == 4


def test_refresh_says_one_family_again() -> None:
    table = rib()
    table.begin(FAMILIES)
    table.announce(rule(1))
    table.announce(hole(1))
    drain(table)
    table.refresh(Family.IPV4_UNICAST)
    assert [message.keys[0].family for message in drain(table)] == [Family.IPV4_UNICAST]


def test_a_little_at_a_time() -> None:
    table = rib()
    begin(table)
    for host in range(10):
        table.announce(rule(host))
    assert len(table.pull(EXTERNAL, 1)) == 1
    assert len(table.pull(EXTERNAL, 150)) == 3
    assert table.waiting == 6


def test_many_kinds_of_action_are_all_said_right() -> None:
    table, peer = rib(most=3000), Receiver()
    begin(table)
    for number in range(1100):  # more than the blocks of attributes that are kept
        table.announce(rule(number % 200, number // 200 + 1, rate=float(number)))
    peer.hear(drain(table))
    rates = [found[0].rate for found, _ in peer.routes.values() if isinstance(found[0], TrafficRateBytes)]
    assert sorted(rates) == [float(number) for number in range(1100)]


def test_families_that_the_session_lacks_are_kept_but_not_said() -> None:
    table = rib()
    table.announce(rule(1))
    few = EXTERNAL.__class__(EXTERNAL.local_as, EXTERNAL.peer_as, 1, 90, frozenset({Family.IPV4_UNICAST}))
    table.begin(few.families)
    assert [message.keys for message in table.pull(few, 1 << 20)] == [()]
    assert len(table) == 1


def test_what_is_refused_changes_nothing() -> None:
    table = rib(most=1)
    begin(table)
    table.announce(rule(1))
    six = UnicastRoute(parse_prefix("2001:db8::1"), parse_address("100::1"))
    for route, error in (
        (rule(2), Inexpressible),
        (six, Inexpressible),
        (hole(1, med=1 << 32), Inexpressible),
        (FlowRoute(rule(1).rule, (TrafficRateBytes(1e39),)), EncodeError),
    ):
        with pytest.raises(error):
            table.announce(route)
    assert list(table.wanted.values()) == [rule(1)]
    table.announce(rule(1, rate=5.0))  # the same key: it replaces
    assert len(drain(table)) == 1


STEP = st.one_of(
    st.tuples(st.just("announce"), st.integers(1, 3), st.integers(0, 9), st.sampled_from([0.0, 8.0])),
    st.tuples(st.just("withdraw"), st.integers(1, 3), st.integers(0, 9), st.just(0.0)),
    st.tuples(st.just("pull"), st.integers(1, 3), st.just(0), st.just(0.0)),
    st.tuples(st.just("hold"), st.integers(1, 3), st.just(0), st.just(0.0)),
    st.tuples(st.just("release"), st.integers(1, 3), st.just(0), st.just(0.0)),
    st.tuples(st.just("refresh"), st.just(0), st.just(0), st.just(0.0)),
)


@given(st.lists(STEP, max_size=40))
def test_the_peer_ends_up_with_what_is_wanted(steps: list[tuple[str, int, int, float]]) -> None:
    table, peer = rib(), Receiver()
    begin(table)
    wanted: dict[RouteKey, Route] = {}
    for what, host, ports, rate in steps:
        route = rule(host, *range(1, ports + 1), rate=0.0 if ports > 5 else rate)
        if what == "announce":
            wanted[table.announce(route)] = route
        elif what == "withdraw":
            assert table.withdraw(route_key(route)) == (wanted.pop(route_key(route), None) is not None)
        elif what == "pull":
            peer.hear(table.pull(EXTERNAL, 70 * host))
        elif what == "hold":
            table.hold_back(list(table.wanted)[:host], "suspect")
        elif what == "release":
            table.release(list(table.held)[:host])
        else:
            table.refresh(Family.IPV4_FLOWSPEC)
    table.release()
    peer.hear(drain(table))
    assert dict(table.wanted) == wanted
    fresh, other = rib(), Receiver()
    begin(fresh)
    for kept in wanted.values():
        fresh.announce(kept)
    other.hear(drain(fresh))
    assert set(peer.routes) == set(other.routes)


def test_sent_are_wanted_routes_told_in_this_session_as_they_are_wanted_now() -> None:
    one = rib()
    one.announce(rule(1, 53, 123))  # a safe profile makes several rules of it
    one.announce(rule(2))
    assert (one.sent, len(one)) == (0, 2)
    one.begin(FAMILIES)
    one.pull(EXTERNAL, 1 << 20)
    assert one.sent == 2
    one.announce(rule(2, rate=1.0))
    assert one.sent == 1
    one.pull(EXTERNAL, 1 << 20)
    one.withdraw(route_key(rule(2, rate=1.0)))
    one.pull(EXTERNAL, 1 << 20)
    assert (one.sent, len(one)) == (1, 1)
    one.end()
    assert one.sent == 0


def test_routes_of_families_that_the_peer_did_not_agree_to_are_told_apart() -> None:
    one = rib()
    one.announce(rule(1))
    one.announce(hole(1))
    assert one.outside(frozenset(FAMILIES)) == 0
    assert one.outside(frozenset({Family.IPV4_UNICAST})) == 1


ENHANCED = structs.replace(EXTERNAL, enhanced_refresh=True)


def spoken(messages: Sequence[Outgoing]) -> list[str]:
    """Return a word a message: a route's last octet, a marker's family, or begin and end of a refresh."""
    words = []
    for outgoing in messages:
        message = maybe_message(Reader(outgoing.data))
        assert message is not None
        if message.type is MessageType.ROUTE_REFRESH:
            refresh = decode_refresh(message.body)
            assert refresh.family is not None
            words.append(f"{RefreshSubtype(refresh.subtype).name.lower()} {refresh.family.label}")
            continue
        update = decode_update(message.body, EXTERNAL)
        if update.end_of_rib is not None:
            words.append(f"end of {update.end_of_rib.label}")
        else:
            (group,) = update.announced or update.withdrawn
            (one,) = group.destinations
            first = one if isinstance(one, Prefix) else one.components[0]
            prefix = first.prefix if isinstance(first, PrefixComponent) else first
            words.append(("" if update.announced else "no ") + str(prefix))
    return words


def talk(table: RibOut, agreed: Negotiated = ENHANCED, octets: int = 1) -> list[str]:
    """Pull until nothing is left, a message at a time."""
    words: list[str] = []
    while batch := table.pull(agreed, octets):
        words += spoken(batch)
    return words


def test_an_enhanced_refresh_has_a_begin_and_an_end() -> None:
    table = rib()
    begin(table)
    table.announce(hole(1))
    table.announce(hole(2))
    table.announce(rule(1))
    talk(table)
    table.refresh(Family.IPV4_UNICAST)
    table.refresh(Family.IPV4_UNICAST)
    assert talk(table) == ["begin ipv4-unicast", "198.51.100.1/32", "198.51.100.2/32", "end ipv4-unicast"]
    table.refresh(Family.IPV4_FLOWSPEC)
    assert talk(table) == ["begin ipv4-flowspec", "192.0.2.1/32", "end ipv4-flowspec"]
    table.refresh(Family.IPV6_UNICAST)  # not of this session
    assert talk(table) == []


def test_a_request_during_a_refresh_is_answered_after_it_once() -> None:
    table = rib()
    begin(table)
    table.announce(hole(1))
    talk(table)
    table.refresh(Family.IPV4_UNICAST)
    assert spoken(table.pull(ENHANCED, 1)) == ["begin ipv4-unicast"]
    for _ in range(1000):
        table.refresh(Family.IPV4_UNICAST)
    whole = ["begin ipv4-unicast", "198.51.100.1/32", "end ipv4-unicast"]
    assert talk(table) == [*whole[1:], *whole]


def test_what_changes_during_a_refresh_is_said_before_its_end() -> None:
    table = rib()
    begin(table)
    for host in (1, 2, 3):
        table.announce(hole(host))
    talk(table)
    table.refresh(Family.IPV4_UNICAST)
    assert spoken(table.pull(ENHANCED, 1)) == ["begin ipv4-unicast"]
    table.withdraw(route_key(hole(2)))
    table.announce(hole(4))
    assert talk(table) == [
        "198.51.100.1/32",
        "no 198.51.100.2/32",
        "198.51.100.3/32",
        "198.51.100.4/32",
        "end ipv4-unicast",
    ]


def test_no_refresh_begins_before_end_of_rib() -> None:
    table = rib()
    table.announce(hole(1))
    table.begin(FAMILIES)
    table.defer()
    table.refresh(Family.IPV4_UNICAST)
    assert talk(table) == ["198.51.100.1/32"]
    assert talk(table, EXTERNAL) == ["198.51.100.1/32"]  # a plain refresh has no begin and may come at once
    table.refresh(Family.IPV4_UNICAST)
    table.complete()
    assert talk(table) == [
        "end of ipv4-unicast",
        "end of ipv4-flowspec",
        "begin ipv4-unicast",
        "198.51.100.1/32",
        "end ipv4-unicast",
    ]


def test_end_of_rib_waits_for_the_whole_set() -> None:
    table = rib()
    table.defer()
    table.begin(FAMILIES)
    table.announce(rule(1))
    assert talk(table) == ["192.0.2.1/32"]
    assert not table.told
    table.announce(rule(2))
    table.complete()
    assert talk(table) == ["192.0.2.2/32", "end of ipv4-unicast", "end of ipv4-flowspec"]
    assert table.told
    table.end()
    assert not table.told


def test_what_is_held_back_is_wanted_and_withdrawn_where_it_was_said() -> None:
    table = rib()
    begin(table)
    keys = [table.announce(rule(host)) for host in (1, 2)]
    talk(table)
    table.hold_back([*keys[:1], route_key(rule(9))], "it resets the peer")
    assert talk(table) == ["no 192.0.2.1/32"]
    assert table.held == {keys[0]: "it resets the peer"}
    assert (len(table), table.sent) == (2, 1)
    table.begin(FAMILIES)
    assert talk(table)[0] == "192.0.2.2/32"
    table.announce(rule(1))  # the same again: it stays where it is
    assert table.held
    assert table.release() == keys[:1]
    assert talk(table) == ["192.0.2.1/32"]
    assert table.release() == []


def test_a_route_held_back_is_let_go_by_a_change_a_withdrawal_or_by_name() -> None:
    table = rib()
    begin(table)
    keys = [table.announce(rule(host)) for host in (1, 2, 3)]
    table.hold_back(keys, "why")
    assert talk(table) == []
    table.announce(rule(1, rate=5.0))
    assert talk(table) == ["192.0.2.1/32"]
    assert table.withdraw(keys[1])
    assert table.release(keys) == keys[2:]
    assert talk(table) == ["192.0.2.3/32"]
    assert table.held == {}


def test_what_comes_and_goes_without_a_session_leaves_nothing() -> None:
    table = rib()
    for host in range(200):
        table.withdraw(table.announce(rule(host)))
    assert (table.waiting, len(table)) == (0, 0)
    begin(table)
    for host in range(200):
        table.withdraw(table.announce(rule(host)))
    assert table.waiting == 0


def test_the_newest_is_said_last_in_a_new_session() -> None:
    table = rib()
    for host in (1, 2, 3):
        table.announce(rule(host))
    table.announce(rule(1, rate=9.0))
    table.begin(FAMILIES)
    assert talk(table)[:3] == ["192.0.2.2/32", "192.0.2.3/32", "192.0.2.1/32"]
