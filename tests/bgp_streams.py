"""A peer that is fed a stream in pieces, and all that comes of it in a form that does not depend on how it was cut."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec import structs

from tidegate.units import Asn, Seconds
from tidegate.wire.bgp.attributes import Attributes
from tidegate.wire.bgp.constants import EXTENDED_LIMIT, Afi, Family
from tidegate.wire.bgp.message import KEEPALIVE
from tidegate.wire.bgp.open import Capabilities, GracefulRestart, Open, encode_open
from tidegate.wire.bgp.peer import Peer, PeerConfig, Way
from tidegate.wire.bgp.peer_status import PeerStatus
from tidegate.wire.bgp.prefix import Prefix
from tidegate.wire.bgp.ribin import RibIn, attributes_of
from tidegate.wire.bgp.session import TABLE, Routes, State
from tidegate.wire.bgp.update_scan import UpdateRun

__all__ = ["KINDS", "NOW", "Outcome", "Table", "outcome", "peer_in", "routes_of", "table_of"]

FAMILIES = tuple(Family)
UNICAST = (Family.IPV4_UNICAST, Family.IPV6_UNICAST)
NOW = Seconds(1.0)
HERE = PeerConfig("192.0.2.2", 65001, "192.0.2.1")
ADD_PATH = PeerConfig("192.0.2.2", 65001, "192.0.2.1", add_path=True)
RESTART = GracefulRestart(120, notification=True, families=FAMILIES, kept=FAMILIES)
KINDS: Mapping[str, tuple[PeerConfig, Open]] = MappingProxyType(
    {
        "external": (HERE, Open(Asn(65002), 90, 7, Capabilities(FAMILIES, asn4=Asn(65002)))),
        "internal": (
            ADD_PATH,
            Open(
                Asn(65001),
                90,
                7,
                Capabilities(
                    FAMILIES,
                    route_refresh=True,
                    enhanced_refresh=True,
                    extended_message=True,
                    asn4=Asn(65001),
                    graceful_restart=RESTART,
                    add_path_send=UNICAST,
                    extended_next_hop=(Family.IPV4_UNICAST,),
                ),
            ),
        ),
        "two-octet": (HERE, Open(Asn(65002), 90, 7, Capabilities(FAMILIES, route_refresh=True))),
        "flowspec": (HERE, Open(Asn(65002), 90, 7, Capabilities((Family.IPV4_FLOWSPEC,), asn4=Asn(65002)))),
    }
)

Table = dict[Prefix, tuple[Attributes, bytes, tuple[int, ...]]]


class Outcome(msgspec.Struct, frozen=True):
    """What came of a stream: effects in their order, how the peer stands, and what it has announced."""

    effects: list[Any]
    state: State
    status: PeerStatus
    table: Table
    rules: list[Any]


def peer_in(state: State, kind: str = "external", **changes: Any) -> Peer:  # noqa: ANN401 - the fields of a peer
    """Return a peer whose connection from here has come to a state."""
    config, opening = KINDS[kind]
    peer = Peer(structs.replace(config, **changes), jitter=lambda: 0.5)
    steps = {
        State.CONNECT: lambda: peer.start(NOW),
        State.ACTIVE: lambda: peer.disconnected(Way.OUT, NOW, reason="refused"),
        State.OPEN_SENT: lambda: peer.connected(Way.OUT, NOW),
        State.OPEN_CONFIRM: lambda: peer.receive(Way.OUT, encode_open(opening), NOW),
        State.ESTABLISHED: lambda: peer.receive(Way.OUT, KEEPALIVE, NOW),
    }
    skipped = {State.ACTIVE} if state is not State.ACTIVE else set()
    for step in tuple(steps) if state is not State.IDLE else ():
        if step not in skipped:
            steps[step]()
        if step is state:
            break
    assert peer.sessions[Way.OUT].state is state
    return peer


def outcome(peer: Peer, pieces: Iterable[bytes]) -> Outcome:
    """Feed the pieces; each leaves the peer in a state of the table that keeps one message at most."""
    effects: list[Any] = []
    for piece in pieces:
        for each in peer.receive(Way.OUT, piece, NOW):
            effects += routes_of(each.effect)
        session = peer.sessions[Way.OUT]
        assert session.state in TABLE
        assert len(session._buffer) < EXTENDED_LIMIT
        timed = session.negotiated is None or session.negotiated.hold_time_s > 0
        assert bool(session.timers) == (session.state is not State.IDLE and timed)
    while peer.busy:
        effects += [each.effect for each in peer.work(NOW)]
    rules = [list(one) for one in peer.rib_in.rules.values()]
    return Outcome(effects, peer.sessions[Way.OUT].state, peer.status(), table_of(peer.rib_in), rules)


def routes_of(effect: object) -> list[Any]:
    """Return an effect with runs of UPDATEs taken apart."""
    if isinstance(effect, Routes) and isinstance(effect.update, UpdateRun):
        return [Routes(update) for update in effect.update.updates()]
    return [effect]


def table_of(rib: RibIn) -> Table:
    """Return the unicast routes: attributes but for their next hop, that, and what kernels read."""
    rib.finish()
    found: Table = {}
    for family in UNICAST:
        table = rib.tables[family]
        for held in table.held():
            attributes, next_hop = attributes_of(held)
            row = table.sets.rows[held.number]
            words = ("rank", "peer_as", "origin_as", "local_pref", "next_hop_high", "next_hop_low")
            address = held.prefix.to_bytes(4 if family.afi is Afi.IPV4 else 16, "big")
            said = structs.replace(attributes, next_hop=None)
            found[Prefix(address, held.length, held.path_id)] = said, next_hop, tuple(int(row[word]) for word in words)
    return found
