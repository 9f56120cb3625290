"""What the tables of several peers say of a prefix, as the validation of FlowSpec rules asks it.

Of the routes to one prefix the best is by LOCAL_PREF, length of the AS path and ORIGIN, then of an external peer before
an internal one, then of the lower peer address (RFC 4271 section 9.1.2.2, without MED and the cost of next hops, which
only a router knows).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from itertools import groupby, takewhile

import msgspec

from tidegate.control.flow_validation import BestRoute, route_of
from tidegate.data.route_table import Held, RouteTable
from tidegate.wire.bgp.constants import Afi, Family
from tidegate.wire.bgp.prefix import Prefix
from tidegate.wire.bgp.ribin import RibIn, attributes_of

__all__ = ["PeerTable", "TableRoutes"]


class PeerTable(msgspec.Struct, frozen=True, eq=False):
    """The routes of one peer, and who it is: an address of 4 or 16 octets."""

    address: bytes
    internal: bool
    rib: RibIn


class _Candidate(msgspec.Struct, frozen=True, eq=False):
    """A route of a peer; candidates to one prefix in the order of `order` stand the best first."""

    held: Held
    order: tuple[int, bool, int, bytes]
    peer: bytes


class TableRoutes:
    """The unicast routes of all peers that `peers` returns, see `flow_validation.UnicastRoutes`.

    Only for who changes the tables: none may change while `more_specific` is read.
    """

    def __init__(self, peers: Callable[[], Iterable[PeerTable]]) -> None:
        self._peers = peers

    def best(self, prefix: Prefix) -> BestRoute | None:
        """Return the best route to the longest prefix that covers all of `prefix`."""
        number, family = _number(prefix)
        found = [
            _candidate(held, peer, peer.rib.tables[family])
            for peer in self._peers()
            for held in peer.rib.tables[family].covering(number, prefix.length)[:1]
        ]
        best = min(found, key=lambda one: (-one.held.length, one.order), default=None)
        return None if best is None else _best_route(best)

    def more_specific(self, prefix: Prefix) -> Iterator[BestRoute]:
        """Yield the best routes to all longer prefixes inside `prefix`."""
        number, family = _number(prefix)
        inside = merge(
            *(_inside(peer, peer.rib.tables[family], number, prefix.length) for peer in self._peers()),
            key=lambda one: (one.held.prefix, one.held.length),
        )
        for _, same in groupby(inside, key=lambda one: (one.held.prefix, one.held.length)):
            yield _best_route(min(same, key=lambda one: one.order))


def _number(prefix: Prefix) -> tuple[int, Family]:
    family = Family.IPV4_UNICAST if prefix.afi is Afi.IPV4 else Family.IPV6_UNICAST
    return int.from_bytes(prefix.address, "big"), family


def _inside(peer: PeerTable, table: RouteTable, number: int, length: int) -> Iterator[_Candidate]:
    spare = 8 * table.octets - length
    for held in takewhile(lambda one: one.prefix >> spare == number >> spare, table.held(number)):
        if held.length > length:
            yield _candidate(held, peer, table)


def _candidate(held: Held, peer: PeerTable, table: RouteTable) -> _Candidate:
    return _Candidate(held, (table.rank(held), peer.internal, held.path_id, peer.address), peer.address)


def _best_route(candidate: _Candidate) -> BestRoute:
    attributes, _ = attributes_of(candidate.held)
    return route_of(attributes, candidate.peer)
