from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

import bmp_messages as m
from monitored import EXPECTED, learnt
from tidegate.units import Asn, Seconds
from tidegate.wire.bgp.bmp import PeerHeader, PeerKey, View
from tidegate.wire.bgp.bmp_session import (
    BmpConfig,
    BmpEffect,
    BmpSession,
    Ended,
    EndOfRib,
    MonitoredPeer,
    PeerDown,
    PeerUp,
    Routes,
    Said,
    Started,
    Statistics,
)
from tidegate.wire.bgp.constants import Family, MessageType
from tidegate.wire.bgp.message import KEEPALIVE, frame
from tidegate.wire.bgp.open import Capabilities, Open
from tidegate.wire.bgp.update import Update
from tidegate.wire.bgp.update_scan import UpdateRun

ORIGIN, PATH, HOP = "400101 00", "400206 0201 0000fdea", "400304 c0000201"
V4 = Family.IPV4_UNICAST
TEN = m.update(ORIGIN, PATH, HOP, nlri="08 0a")
POST = structs.replace(m.HEADER, flags=0x40)
OUT = structs.replace(m.HEADER, flags=0x10)
END_OF_RIB = frame(MessageType.UPDATE, bytes(4))


def feed(session: BmpSession, *octets: bytes, now: float = 1.0) -> list[BmpEffect]:
    effects = session.receive(b"".join(octets), Seconds(now))
    while session.busy:
        effects += session.work(Seconds(now))
    return effects


def established(config: BmpConfig | None = None, **opens: Open) -> BmpSession:
    session = BmpSession(config)
    feed(session, m.initiation(), m.peer_up(**opens))  # type: ignore[arg-type]
    return session


def updates(effect: BmpEffect) -> list[Update]:
    assert isinstance(effect, Routes)
    return list(effect.update.updates()) if isinstance(effect.update, UpdateRun) else [effect.update]


def only(session: BmpSession) -> MonitoredPeer:
    (peer,) = session.status().peers
    return peer


def destinations(effects: Iterable[BmpEffect]) -> list[str]:
    return [
        str(destination)
        for effect in effects
        if isinstance(effect, Routes)
        for update in updates(effect)
        for group in update.announced
        for destination in group.destinations
    ]


def with_add_path(*, receive: bool = False, send: bool = False, asn: int = 65001) -> Open:
    return Open(
        Asn(asn),
        90,
        asn,
        Capabilities(
            families=(V4,),
            asn4=Asn(asn),
            add_path_receive=(V4,) if receive else (),
            add_path_send=(V4,) if send else (),
        ),
    )


def test_a_router_tells_who_it_is_its_peers_and_their_routes() -> None:
    session = BmpSession()
    effects = feed(
        session, m.initiation("edge-1", "SomeOS 1"), m.peer_up(), m.monitoring(TEN), m.monitoring(END_OF_RIB)
    )
    assert effects[:2] == [Started("edge-1", "SomeOS 1"), PeerUp(m.KEY, 65002)]
    assert destinations(effects) == ["10.0.0.0/8"]
    assert effects[-1] == EndOfRib(m.KEY, View.PRE_POLICY, V4)
    peer = only(session)
    assert (peer.up, peer.view, peer.prefixes, peer.end_of_rib) == (True, View.PRE_POLICY, {V4: 1}, (V4,))
    assert (peer.asn, peer.router_id, peer.since) == (65002, 2, 1.0)
    status = session.status()
    assert (status.sys_name, status.sys_descr, status.routes) == ("edge-1", "SomeOS 1", 1)
    assert status.messages == {"initiation": 1, "peer-up": 1, "route-monitoring": 2}
    assert session.tables()[m.KEY].count(V4) == 1


def test_withdrawn_routes_leave_the_table() -> None:
    session = established()
    feed(session, m.monitoring(TEN), m.monitoring(m.update(withdrawn="08 0a")))
    assert only(session).prefixes == {}
    assert session.status().routes == 0


def test_what_a_peer_announced_goes_with_it() -> None:
    session = established()
    feed(session, m.monitoring(TEN))
    assert feed(session, m.peer_down(code=4), now=7.0) == [
        PeerDown(m.KEY, "the peer closed the session without a NOTIFICATION")
    ]
    peer = only(session)
    assert (peer.up, peer.since, peer.prefixes, peer.view) == (False, 7.0, {}, None)
    assert session.tables() == {}
    assert feed(session, m.monitoring(TEN)) == []
    assert session.status().ignored == {"routes of a peer that is down": 1}


def test_a_second_peer_up_is_a_new_session() -> None:
    session = established()
    feed(session, m.monitoring(TEN))
    assert feed(session, m.peer_up()) == [
        PeerDown(m.KEY, "the router tells that it is up again"),
        PeerUp(m.KEY, 65002),
    ]
    assert only(session).prefixes == {}
    assert session.status().routes == 0


def test_the_a_flag_says_how_wide_the_path_is() -> None:
    session = established()
    old = structs.replace(m.HEADER, flags=0x20)
    effects = feed(session, m.monitoring(m.update(ORIGIN, "400204 0201 fdea", HOP, nlri="08 0a"), old))
    (routes,) = effects
    (update,) = updates(routes)
    assert update.attributes.as_path is not None
    assert update.attributes.as_path[0].asns == (65002,)
    assert update.problems == ()


@pytest.mark.parametrize(
    ("sent", "received", "header", "with_path_id"),
    [
        (with_add_path(receive=True), with_add_path(send=True, asn=65002), m.HEADER, True),
        (with_add_path(send=True), with_add_path(receive=True, asn=65002), m.HEADER, False),
        (with_add_path(send=True), with_add_path(receive=True, asn=65002), OUT, True),
        (with_add_path(receive=True), with_add_path(send=True, asn=65002), OUT, False),
    ],
)
def test_the_two_opens_say_whether_there_are_path_identifiers(
    sent: Open, received: Open, header: PeerHeader, *, with_path_id: bool
) -> None:
    session = established(BmpConfig(views=(View.PRE_POLICY, View.OUT_PRE_POLICY)), sent=sent, received=received)
    nlri = "00000007 08 0a" if with_path_id else "08 0a"
    effects = feed(session, m.monitoring(m.update(ORIGIN, PATH, HOP, nlri=nlri), header))
    assert destinations(effects) == ["10.0.0.0/8"]


def test_a_loc_rib_with_path_identifiers_says_so_in_either_direction() -> None:
    session = BmpSession()
    sent, received = with_add_path(send=True), with_add_path(send=True)
    feed(session, m.peer_up(m.LOC_RIB, sent, received))
    effects = feed(session, m.monitoring(m.update(ORIGIN, PATH, HOP, nlri="00000007 08 0a"), m.LOC_RIB))
    assert destinations(effects) == ["10.0.0.0/8"]


def test_a_loc_rib_without_peer_up_is_taken_for_up() -> None:
    session = BmpSession()
    said, up, *effects = feed(session, m.monitoring(TEN, m.LOC_RIB), m.monitoring(TEN, m.LOC_RIB))
    assert isinstance(said, Said)
    assert up == PeerUp(m.LOC_RIB.key, 65001)
    assert destinations(effects) == ["10.0.0.0/8", "10.0.0.0/8"]
    assert only(session).up


def test_the_own_as_that_frr_puts_in_front_is_taken_off() -> None:
    path = "40020a 0202 0000fde9 0000fdea"
    for descr, asns in (("FRRouting 8.4.4", (65002,)), ("SomeOS", (65001, 65002))):
        session = BmpSession()
        *_, effect = feed(
            session, m.initiation("edge", descr), m.peer_up(), m.monitoring(m.update(ORIGIN, path, HOP, nlri="08 0a"))
        )
        (update,) = updates(effect)
        assert update.attributes.as_path is not None
        assert update.attributes.as_path[0].asns == asns


def test_local_preference_is_kept_where_policy_may_have_set_it() -> None:
    session = established()
    preferred = m.update(ORIGIN, PATH, HOP, "400504 000000c8", nlri="08 0a")
    before, after = feed(session, m.monitoring(preferred), m.monitoring(preferred, POST))
    assert [each.attributes.local_pref for each in (*updates(before), *updates(after))] == [None, 200]


def test_post_policy_is_preferred_and_takes_over() -> None:
    session = established()
    eleven = m.update(ORIGIN, PATH, HOP, nlri="08 0b")
    feed(session, m.monitoring(TEN), m.monitoring(eleven))
    assert only(session).prefixes == {V4: 2}
    assert destinations(feed(session, m.monitoring(TEN, POST))) == ["10.0.0.0/8"]
    assert feed(session, m.monitoring(eleven)) == []
    peer = only(session)
    assert (peer.view, peer.prefixes) == (View.POST_POLICY, {V4: 1})
    assert peer.updates == {View.PRE_POLICY: 3, View.POST_POLICY: 1}
    assert session.status().routes == 1


def test_which_views_make_tables_can_be_chosen() -> None:
    session = established(BmpConfig(views=(View.PRE_POLICY,)))
    assert feed(session, m.monitoring(TEN, POST), m.monitoring(TEN, OUT)) == []
    assert session.tables() == {}
    assert session.preferred() == ()
    assert session.status().ignored == {"routes of another view": 2}
    feed(session, m.monitoring(TEN))
    assert only(session).view is View.PRE_POLICY


def test_the_loc_rib_is_preferred_over_peers_and_the_global_instance_over_others() -> None:
    session = established()
    feed(session, m.monitoring(TEN))
    assert session.preferred() == (session.tables()[m.KEY],)
    blue = structs.replace(m.LOC_RIB, key=structs.replace(m.LOC_RIB.key, distinguisher=7))
    feed(session, m.peer_up(blue, m.ROUTER, m.ROUTER, [(3, b"blue")]), m.monitoring(TEN, blue))
    assert session.preferred() == (session.tables()[m.KEY],)
    feed(session, m.peer_up(m.LOC_RIB, m.ROUTER, m.ROUTER), m.monitoring(TEN, m.LOC_RIB))
    assert session.preferred() == (session.tables()[m.LOC_RIB.key],)
    assert [peer.table_name for peer in session.status().peers] == ["", "blue", ""]


def test_a_bad_update_costs_its_routes_and_no_more() -> None:
    session = established()
    bad = m.update(ORIGIN, PATH, HOP, nlri="21 0a000000 00")
    said, routes = feed(session, m.monitoring(bad), m.monitoring(bad), m.monitoring(TEN))
    assert said == Said(
        "192.0.2.1: an UPDATE cannot be read and is left out: prefixes: prefix length 33 is over 32; "
        "more are only counted"
    )
    assert destinations([routes]) == ["10.0.0.0/8"]
    assert only(session).problems == {"unreadable UPDATE": 2}
    assert not session.ended


@pytest.mark.parametrize("octets", [b"", KEEPALIVE, TEN + TEN, TEN[:-1], b"\xfe" * 23])
def test_what_is_no_update_is_left_out(octets: bytes) -> None:
    session = established()
    (said,) = feed(session, m.monitoring(octets))
    assert isinstance(said, Said)
    assert only(session).problems == {"unreadable UPDATE": 1}


def test_routes_with_bad_attributes_are_withdrawn() -> None:
    session = established()
    feed(session, m.monitoring(TEN), m.monitoring(m.update("400101 09", PATH, HOP, nlri="08 0a")))
    peer = only(session)
    assert (peer.prefixes, list(peer.problems)) == ({}, ["origin"])


def test_statistics_and_mirrored_messages_are_kept() -> None:
    session = established()
    (effect,) = feed(session, m.statistics([(7, (5).to_bytes(8, "big"))]))
    assert isinstance(effect, Statistics)
    feed(session, m.mirroring([(0, b"x"), (1, b"\0\1")]))
    peer = only(session)
    assert peer.statistics == effect.statistics
    assert (effect.statistics[0].name, effect.statistics[0].value) == ("adj-rib-in-routes", 5)
    assert peer.mirrored == 1
    assert session.status().ignored == {"mirrored messages lost by the router": 1}


def test_what_is_unknown_is_counted() -> None:
    session = BmpSession()
    strange = structs.replace(m.HEADER, key=structs.replace(m.KEY, type=9))
    assert feed(session, m.message(77), m.monitoring(TEN), m.peer_up(strange), m.monitoring(TEN, strange)) == []
    assert session.status().ignored == {"unknown message type": 1, "no such peer": 1, "unknown peer type": 2}
    assert session.status().messages == {"other": 1, "route-monitoring": 2, "peer-up": 1}


def test_a_peer_whose_open_cannot_be_read_is_up_without_routes() -> None:
    session = BmpSession()
    said, up = feed(session, m.peer_up(received=structs.replace(m.NEIGHBOUR, hold_time_s=1)))
    assert said == Said("192.0.2.1: its routes are not read, as an OPEN cannot be: a hold time of 1 s")
    assert up == PeerUp(m.KEY, 65002)
    assert feed(session, m.monitoring(TEN)) == []
    assert only(session).reason.startswith("its routes are not read")


def test_a_termination_ends_the_stream() -> None:
    session = established()
    assert feed(session, m.termination(0), m.monitoring(TEN)) == [Ended("the router ended it: administratively closed")]
    assert feed(session, m.monitoring(TEN)) == []
    assert session.close("gone", Seconds(9.0)) == [PeerDown(m.KEY, "gone")]
    assert session.ended == "the router ended it: administratively closed"


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"\1", "not BMP version 3, after 2 good ones"),
        (b"\3\0\x20\0\0\0", "message length out of bounds, after 2 good ones"),
        (m.message(0, b"short"), "route monitoring > truncated, after 2 good ones"),
    ],
)
def test_a_bad_message_ends_the_stream_with_a_reason(octets: bytes, reason: str) -> None:
    session = established()
    (ended,) = feed(session, octets)
    assert ended == Ended(f"a message cannot be read: {reason}")
    assert session.status().ended == ended.reason


def test_peers_are_bounded_and_those_that_are_down_make_room() -> None:
    session = established(BmpConfig(max_peers=1))
    other = structs.replace(m.HEADER, key=structs.replace(m.KEY, address=bytes(4)))
    assert feed(session, m.peer_up(other)) == [Said("0.0.0.0: not taken, there are 1 peers already")]
    assert session.status().ignored == {"peers over the limit": 1}
    feed(session, m.peer_down(), m.peer_up(other))
    assert [peer.key for peer in session.status().peers] == [other.key]


def test_routes_are_bounded() -> None:
    session = established(BmpConfig(max_routes=2))
    feed(session, m.monitoring(TEN))
    *_, down = feed(session, m.monitoring(m.update(ORIGIN, PATH, HOP, nlri="08 0b 08 0c")))
    assert down == PeerDown(m.KEY, "the router's tables have more than 2 routes")
    assert session.status().routes == 0
    assert feed(session, m.monitoring(TEN)) == []


def test_reasons_that_are_counted_are_bounded() -> None:
    session = established()
    for code in range(100):
        feed(session, m.monitoring(m.update(f"800e 05 00 {code:02x} 01 00 00")))
    problems = only(session).problems
    assert len(problems) == 65
    assert sum(problems.values()) == 100


STREAM = b"".join(
    [
        m.initiation(),
        m.peer_up(),
        m.monitoring(TEN),
        m.monitoring(TEN, POST),
        m.statistics([(7, bytes(8))]),
        m.peer_up(m.LOC_RIB, m.ROUTER, m.ROUTER),
        m.monitoring(TEN, m.LOC_RIB),
        m.monitoring(END_OF_RIB, m.LOC_RIB),
        m.peer_down(),
        m.termination(0),
    ]
)


def told(effects: Iterable[BmpEffect]) -> list[object]:
    """Return effects as they compare, whether UPDATEs came together or not."""
    return [each for effect in effects for each in (updates(effect) if isinstance(effect, Routes) else [effect])]


@given(st.lists(st.integers(0, len(STREAM)), max_size=6))
def test_however_the_stream_is_cut_the_same_is_heard(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]
    session, whole = BmpSession(), BmpSession()
    effects = [e for a, b in pairwise(places) for e in feed(session, STREAM[a:b])]
    assert told(effects) == told(feed(whole, STREAM))
    assert session.status() == whole.status()


def test_octet_by_octet_the_same_is_heard() -> None:
    session, whole = BmpSession(), BmpSession()
    effects = [e for octet in STREAM for e in feed(session, bytes((octet,)))]
    assert told(effects) == told(feed(whole, STREAM))


@given(st.lists(st.binary(max_size=60) | st.sampled_from([STREAM[:40], m.peer_up(), m.monitoring(TEN)]), max_size=8))
def test_any_octets_are_heard_or_end_the_stream(chunks: list[bytes]) -> None:
    session = BmpSession()
    for chunk in chunks:
        feed(session, chunk)
    session.status()
    session.close("over", Seconds(2.0))
    assert session.tables() == {}


@given(st.data())
def test_any_octet_of_a_stream_may_be_wrong(data: st.DataObject) -> None:
    damaged = bytearray(STREAM)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(STREAM) - 1))] = data.draw(st.integers(0, 255))
    session = BmpSession()
    effects = feed(session, bytes(damaged))
    assert sum(isinstance(effect, Ended) for effect in effects) <= 1
    assert session.status().routes == sum(sum(peer.prefixes.values()) for peer in session.status().peers)


def test_peers_of_two_instances_are_two() -> None:
    session = established()
    vrf = structs.replace(m.HEADER, key=PeerKey(1, 7, m.KEY.address))
    feed(session, m.peer_up(vrf), m.monitoring(TEN, vrf))
    assert [peer.prefixes for peer in session.status().peers] == [{}, {V4: 1}]


RECORDINGS = Path(__file__).parents[2] / "data/bmp"


def recording(name: str, config: BmpConfig | None = None) -> BmpSession:
    session = BmpSession(config)
    feed(session, (RECORDINGS / name).read_bytes())
    return session


def test_what_frr_tells_is_what_was_announced_to_it() -> None:
    session = recording("frr-8.4.4.bmp")
    assert learnt(*session.preferred()) == EXPECTED
    peer = only(session)
    assert (str(peer.key), peer.asn, peer.view, peer.problems) == ("127.0.0.2", 65001, View.POST_POLICY, {})
    assert (peer.updates, peer.mirrored) == ({View.PRE_POLICY: 6, View.POST_POLICY: 6}, 11)
    assert len(peer.statistics) == 7
    status = session.status()
    assert (status.sys_name, status.sys_descr, status.ended) == ("vm", "FRRouting 8.4.4", "")
    assert status.ignored == {"no such peer": 2, "routes of another view": 6}


@pytest.mark.parametrize("view", [View.LOC_RIB, View.POST_POLICY, View.PRE_POLICY])
def test_what_gobgp_tells_is_what_was_announced_to_it(view: View) -> None:
    session = recording("gobgp-3.10.0.bmp", BmpConfig(views=(view,)))
    assert learnt(*session.preferred()) == EXPECTED
    assert all(peer.problems == {} for peer in session.status().peers)
    assert session.status().ignored == {"routes of another view": 12}


@pytest.mark.parametrize("name", ["frr-8.4.4.bmp", "gobgp-3.10.0.bmp"])
def test_a_recording_in_pieces_comes_to_the_same(name: str) -> None:
    octets, session = (RECORDINGS / name).read_bytes(), BmpSession()
    for start in range(0, len(octets), 5):
        feed(session, octets[start : start + 5])
    assert learnt(*session.preferred()) == EXPECTED
