"""What a station knows of one router: its peers, their tables, and what came in. All of BMP but the socket.

Octets and the time go in; what happened comes out as effects. UPDATEs are read as the two OPENs of their peer say; what
RFC 7606 asks is done to them, so a bad one costs its routes and no more. Of the views a router tells of one peer the
first in `BmpConfig.views` makes the table, the others are counted. Only what makes the stream unreadable ends it.

Answers for: RFC 7854 sections 3.3, 4 and 5, RFC 8671 section 5, RFC 9069 sections 4 to 6.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any, Final

import msgspec

from tidegate.errors import DecodeError, SessionReset
from tidegate.units import Asn, Seconds
from tidegate.wire.bgp import bmp
from tidegate.wire.bgp.bmp import PeerHeader, PeerKey, PeerType, View
from tidegate.wire.bgp.bmp_quirks import prepends_own_as, without_as
from tidegate.wire.bgp.constants import Family
from tidegate.wire.bgp.feed import Fed, feed, heard
from tidegate.wire.bgp.open import Negotiated, Open, decode_open
from tidegate.wire.bgp.ribin import RibIn
from tidegate.wire.bgp.update import Update
from tidegate.wire.bgp.update_scan import UpdateRun
from tidegate.wire.cursor import Reader

__all__ = [
    "BmpConfig",
    "BmpEffect",
    "BmpSession",
    "BmpStatus",
    "EndOfRib",
    "Ended",
    "MonitoredPeer",
    "PeerDown",
    "PeerUp",
    "Routes",
    "Said",
    "Started",
    "Statistics",
]

_REASONS: Final = 64  # different ones that are counted by name
_OTHER: Final = "other"
_BAD: Final = "unreadable UPDATE"
_INBOUND: Final = frozenset({View.PRE_POLICY, View.POST_POLICY})
_TYPES: Final[frozenset[int]] = frozenset(PeerType)
_NAMES: Final[Mapping[int, str]] = MappingProxyType({kind: kind.name.lower().replace("_", "-") for kind in bmp.BmpType})


class BmpConfig(msgspec.Struct, frozen=True):
    """How one router is listened to. `views` are those that make tables, the one to prefer first."""

    views: tuple[View, ...] = (View.LOC_RIB, View.POST_POLICY, View.PRE_POLICY)
    max_peers: int = 1024
    max_routes: int = 20_000_000  # of all tables of this router
    max_message_octets: int = bmp.MESSAGE_OCTETS


class Started(msgspec.Struct, frozen=True):
    """The router said who it is."""

    sys_name: str
    sys_descr: str


class PeerUp(msgspec.Struct, frozen=True):
    """A peer of the router is established."""

    key: PeerKey
    asn: int


class PeerDown(msgspec.Struct, frozen=True):
    """It is not any more, and what it had announced is gone."""

    key: PeerKey
    reason: str


class Routes(msgspec.Struct, frozen=True, eq=False):
    """What a peer announced and withdrew, in the view that makes its table."""

    key: PeerKey
    view: View
    update: Update | UpdateRun


class EndOfRib(msgspec.Struct, frozen=True):
    """All routes of a family that there were at the start have been told."""

    key: PeerKey
    view: View
    family: Family


class Statistics(msgspec.Struct, frozen=True):
    """What the router counts of a peer."""

    key: PeerKey
    statistics: tuple[bmp.Statistic, ...]


class Said(msgspec.Struct, frozen=True):
    """Words for a log."""

    words: str


class Ended(msgspec.Struct, frozen=True):
    """The connection is to be closed, whoever's wish that is."""

    reason: str


BmpEffect = Started | PeerUp | PeerDown | Routes | EndOfRib | Statistics | Said | Ended


class MonitoredPeer(msgspec.Struct, frozen=True):
    """One peer as people want to see it; `view` is None while nothing makes its table, `since` is of up or down."""

    key: PeerKey
    asn: int
    router_id: int
    up: bool
    since: Seconds
    reason: str
    table_name: str
    view: View | None
    prefixes: Mapping[Family, int]
    end_of_rib: tuple[Family, ...]
    updates: Mapping[View, int]
    problems: Mapping[str, int]
    statistics: tuple[bmp.Statistic, ...]
    mirrored: int


class BmpStatus(msgspec.Struct, frozen=True):
    """One router; `ended` is why its stream is over, else empty."""

    sys_name: str
    sys_descr: str
    peers: tuple[MonitoredPeer, ...]
    messages: Mapping[str, int]
    ignored: Mapping[str, int]
    octets: int
    routes: int
    ended: str


class _Peer:
    """One peer: what its OPENs said, and its table."""

    def __init__(self, header: PeerHeader, now: Seconds) -> None:
        self.header = header
        self.since = now
        self.up = False
        self.reason = ""
        self.table_name = ""
        self.opens: tuple[Open, Open] | None = None  # sent by the router, received by it
        self.view: View | None = None
        self.rib: RibIn | None = None  # large even where it is empty, so it is made with the first route
        self.routes = 0
        self.end_of_rib: dict[Family, None] = {}
        self.updates: Counter[View] = Counter()
        self.problems: Counter[str] = Counter()
        self.statistics: tuple[bmp.Statistic, ...] = ()
        self.mirrored = 0
        self._agreed: dict[tuple[View, bool], Negotiated] = {}

    def agreed(self, header: PeerHeader) -> Negotiated | None:
        """Return how UPDATEs of this header's view are to be read; None where the OPENs could not be."""
        if self.opens is None:
            return None
        which = header.view, header.two_octet_as
        if which not in self._agreed:
            self._agreed[which] = _agree(*self.opens, which[0], four_octet_as=not which[1])
        return self._agreed[which]

    def close(self, reason: str, now: Seconds) -> None:
        """Forget the session and its routes."""
        self.up, self.reason, self.since = False, reason, now
        self.opens, self.view, self.rib, self.routes = None, None, None, 0
        self.end_of_rib.clear()
        self._agreed.clear()

    def status(self) -> MonitoredPeer:
        """Return what is to be seen of it."""
        return MonitoredPeer(
            key=self.header.key,
            asn=self.header.asn,
            router_id=self.header.router_id,
            up=self.up,
            since=self.since,
            reason=self.reason,
            table_name=self.table_name,
            view=self.view,
            prefixes={} if self.rib is None else {each: count for each in Family if (count := self.rib.count(each))},
            end_of_rib=tuple(self.end_of_rib),
            updates=dict(self.updates),
            problems=dict(self.problems),
            statistics=self.statistics,
            mirrored=self.mirrored,
        )


class BmpSession:
    """One router's stream, from its first octet to its end. `lock` is for who looks up from another thread.

    What was received is in the tables after `work`; while the session is `busy`, nothing more should be read.
    """

    def __init__(self, config: BmpConfig | None = None, *, lock: AbstractContextManager[Any] | None = None) -> None:
        self.config = BmpConfig() if config is None else config
        self._lock = lock
        self._busy: dict[PeerKey, _Peer] = {}
        self.ended = ""
        self._buffer = bytearray()
        self._wanted = bmp.HEADER_OCTETS
        self._peers: dict[PeerKey, _Peer] = {}
        self._name = self._descr = ""
        self._messages: Counter[str] = Counter()
        self._ignored: Counter[str] = Counter()
        self._octets = self._routes = 0

    def receive(self, data: bytes, now: Seconds) -> list[BmpEffect]:
        """Take octets off the stream; at most one incomplete message is kept."""
        if self.ended:
            return []
        self._buffer += data
        self._octets += len(data)
        if len(self._buffer) < self._wanted and len(self._buffer) >= bmp.HEADER_OCTETS:
            return []  # else a long message in small pieces would be copied again with each
        reader = Reader(bytes(self._buffer))
        effects = list(self._read(reader, now))
        del self._buffer[: reader.offset]
        self._wanted = bmp.octets_wanted(reader)
        if self.ended:
            self._buffer.clear()
        return effects

    @property
    def busy(self) -> bool:
        """Whether there is more to do for `work`."""
        return bool(self._busy)

    def work(self, now: Seconds) -> list[BmpEffect]:
        """Do a bounded piece of what was received."""
        for key, peer in self._busy.items():
            if peer.rib is None or not peer.rib.work():
                del self._busy[key]
            return list(self._count_routes(peer, now))
        return []

    def close(self, reason: str, now: Seconds) -> list[BmpEffect]:
        """Hear that the connection is over: all peers are down."""
        self.ended = self.ended or reason
        return [self._down(peer, reason, now) for peer in self._peers.values() if peer.up]

    def tables(self) -> dict[PeerKey, RibIn]:
        """Return the table of each peer that has one."""
        return {key: peer.rib for key, peer in self._peers.items() if peer.rib is not None}

    def preferred(self) -> tuple[RibIn, ...]:
        """Return the tables that tell how this router forwards in its global instance.

        That is the Loc-RIB where the router tells it and `views` has it before the others, else the tables of its
        peers that have the most preferred view of all.
        """
        found: dict[View, list[RibIn]] = {}
        for peer in self._peers.values():
            if peer.rib is not None and peer.view is not None and not peer.header.key.distinguisher:
                found.setdefault(peer.view, []).append(peer.rib)
        return next((tuple(found[view]) for view in self.config.views if view in found), ())

    def status(self) -> BmpStatus:
        """Return how things stand."""
        return BmpStatus(
            sys_name=self._name,
            sys_descr=self._descr,
            peers=tuple(peer.status() for peer in self._peers.values()),
            messages=dict(self._messages),
            ignored=dict(self._ignored),
            octets=self._octets,
            routes=self._routes,
            ended=self.ended,
        )

    def _read(self, reader: Reader, now: Seconds) -> Iterator[BmpEffect]:
        """Take messages; routes of one peer that come together go on together."""
        together: list[bmp.RouteMonitoring] = []
        while not self.ended:
            try:
                message = bmp.maybe_message(reader, self.config.max_message_octets)
                record = None if message is None else bmp.decode(message)
            except DecodeError as error:
                where = " > ".join((*error.path, error.reason))
                yield from self._monitor(together, now)
                yield self._end(f"a message cannot be read: {where}, after {self._messages.total()} good ones")
                return
            if together and not (isinstance(record, bmp.RouteMonitoring) and _same(together[0], record)):
                yield from self._monitor(together, now)
                together = []
            if message is None or record is None:
                return
            self._messages[_NAMES.get(message.type, _OTHER)] += 1
            if isinstance(record, bmp.RouteMonitoring):
                yield from self._maybe_assume(record.header, now)
            if isinstance(record, bmp.RouteMonitoring) and record.header.key in self._peers:
                together.append(record)
            else:
                yield from self._take(record, now)

    def _end(self, reason: str) -> Ended:
        self.ended = reason
        return Ended(reason)

    def _take(self, record: bmp.Record, now: Seconds) -> Iterator[BmpEffect]:
        match record:
            case bmp.Initiation(sys_name=name, sys_descr=descr):
                self._name, self._descr = name, descr
                yield Started(name, descr)
            case bmp.Termination():
                yield self._end(f"the router ended it: {record}")
            case bmp.Unknown(reason=reason):
                self._ignored[f"unknown {reason}"] += 1
            case bmp.PeerUpNotification(header=header) if header.key.type in _TYPES:
                yield from self._peer_up(record, now)
            case _ if record.header.key not in self._peers:
                self._ignored["no such peer" if record.header.key.type in _TYPES else "unknown peer type"] += 1
            case _:
                yield from self._about(record, self._peers[record.header.key], now)

    def _about(self, record: bmp.Record, peer: _Peer, now: Seconds) -> Iterator[BmpEffect]:
        """Take what is said of a peer that is known."""
        match record:
            case bmp.PeerDownNotification():
                yield self._down(peer, str(record), now)
            case bmp.StatisticsReport(statistics=statistics):
                peer.statistics = statistics
                yield Statistics(peer.header.key, statistics)
            case bmp.RouteMirroring(messages=messages, lost=lost):
                peer.mirrored += messages
                if lost:
                    self._ignored["mirrored messages lost by the router"] += 1
            case _:  # pragma: no cover - `_read` and `_take` have the others
                raise AssertionError(record)

    def _peer_up(self, record: bmp.PeerUpNotification, now: Seconds) -> Iterator[BmpEffect]:
        key = record.header.key
        old = self._peers.get(key)
        if old is not None and old.up:
            yield self._down(old, "the router tells that it is up again", now)
        if old is None and not self._make_room():
            self._ignored["peers over the limit"] += 1
            yield Said(f"{key}: not taken, there are {self.config.max_peers} peers already")
            return
        peer = self._peers[key] = _Peer(record.header, now)
        peer.up, peer.table_name = True, record.table_name
        try:
            peer.opens = decode_open(record.sent), decode_open(record.received)
        except SessionReset as error:
            peer.reason = f"its routes are not read, as an OPEN cannot be: {error.reason}"
            yield Said(f"{key}: {peer.reason}")
        yield PeerUp(key, record.header.asn)

    def _maybe_assume(self, header: PeerHeader, now: Seconds) -> Iterator[BmpEffect]:
        """Take a Loc-RIB for up of which only routes are told, as GoBGP 3 does; it then has no path identifiers."""
        if header.key.type != PeerType.LOC_RIB or header.key in self._peers or not self._make_room():
            return
        peer = self._peers[header.key] = _Peer(header, now)
        peer.up = True
        made_up = Open(Asn(header.asn), 0, header.router_id)
        peer.opens = made_up, made_up
        yield Said(f"{header.key}: the router tells its routes without Peer Up; they are read without path identifiers")
        yield PeerUp(header.key, header.asn)

    def _make_room(self) -> bool:
        """Forget a peer that is down where the list is full; tell whether there is room."""
        if len(self._peers) < self.config.max_peers:
            return True
        gone = next((key for key, peer in self._peers.items() if not peer.up), None)
        if gone is not None:
            del self._peers[gone]
        return gone is not None

    def _down(self, peer: _Peer, reason: str, now: Seconds) -> PeerDown:
        self._routes -= peer.routes
        peer.close(reason, now)
        self._busy.pop(peer.header.key, None)
        return PeerDown(peer.header.key, reason)

    def _monitor(self, records: list[bmp.RouteMonitoring], now: Seconds) -> Iterator[BmpEffect]:
        """Take routes of one peer in one view."""
        if not records:
            return
        header = records[0].header
        peer, view = self._peers[header.key], header.view
        peer.updates[view] += len(records)
        agreed = peer.agreed(header)
        rib = None if agreed is None else self._maybe_table(peer, view)
        if agreed is None or rib is None:
            self._ignored["routes of another view" if peer.up else "routes of a peer that is down"] += len(records)
            return
        self._busy[header.key] = peer
        for found in feed(rib, self._messages_of(peer, records), agreed):
            yield from self._fed(peer, view, found)
        yield from self.work(now)

    def _messages_of(self, peer: _Peer, records: list[bmp.RouteMonitoring]) -> list[bytes]:
        """Return the UPDATEs, put right where the router is known to write them otherwise than it heard them."""
        messages = [record.update for record in records]
        if peer.opens is None or not prepends_own_as(self._descr) or records[0].header.view not in _INBOUND:
            return messages
        own, other = (each.asn for each in peer.opens)
        width = 2 if records[0].header.two_octet_as else 4
        return messages if own == other else [without_as(each, own, width=width) for each in messages]

    def _fed(self, peer: _Peer, view: View, found: Fed) -> Iterator[BmpEffect]:
        key = peer.header.key
        if isinstance(found, SessionReset):
            if _BAD not in peer.problems:
                yield Said(f"{key}: an UPDATE cannot be read and is left out: {found.reason}; more are only counted")
            _count(peer.problems, _BAD)
            return
        if isinstance(found, Update):
            for problem in found.problems:
                _count(peer.problems, problem.part)
            if found.end_of_rib is not None:
                peer.end_of_rib[found.end_of_rib] = None
                yield EndOfRib(key, view, found.end_of_rib)
                return
        yield Routes(key, view, found)

    def _maybe_table(self, peer: _Peer, view: View) -> RibIn | None:
        """Return the table that routes of this view go to, if any; a view that is preferred takes over, empty."""
        views = self.config.views
        if view not in views:
            return None
        if peer.view is None or views.index(view) < views.index(peer.view):
            self._routes -= peer.routes
            peer.view, peer.rib, peer.routes = view, RibIn(lock=self._lock), 0
            peer.end_of_rib.clear()
        return peer.rib if view is peer.view else None

    def _count_routes(self, peer: _Peer, now: Seconds) -> Iterator[BmpEffect]:
        routes = 0 if peer.rib is None else sum(map(peer.rib.count, Family))
        self._routes += routes - peer.routes
        peer.routes = routes
        if self._routes > self.config.max_routes:
            yield self._down(peer, f"the router's tables have more than {self.config.max_routes} routes", now)


def _same(one: bmp.RouteMonitoring, other: bmp.RouteMonitoring) -> bool:
    """Tell whether two messages may be taken together."""
    return one.header.flags == other.header.flags and one.header.key == other.header.key


def _count(counts: Counter[str], what: str) -> None:
    """Count by name, as long as there are not too many names."""
    counts[what if what in counts or len(counts) < _REASONS else _OTHER] += 1


def _agree(sent: Open, received: Open, view: View, *, four_octet_as: bool) -> Negotiated:
    """Return how to read a peer's UPDATEs of one view.

    The router has agreed to the families, so all are taken; attributes that only internal peers send are wanted
    wherever policy may have set them. ADD-PATH is as the two OPENs say, for routes to the peer the other way round;
    the two OPENs of a Loc-RIB are made up by the router and say the same (RFC 9069 section 5.2).
    """
    ours, theirs = (received, sent) if view in {View.OUT_PRE_POLICY, View.OUT_POST_POLICY} else (sent, received)
    receive, send = set(ours.capabilities.add_path_receive), set(theirs.capabilities.add_path_send)
    if view is View.LOC_RIB:
        receive |= set(ours.capabilities.add_path_send)
        send |= set(theirs.capabilities.add_path_receive)
    internal = view is not View.PRE_POLICY or sent.asn == received.asn
    return heard(internal=internal, four_octet_as=four_octet_as, add_path=frozenset(receive & send))
