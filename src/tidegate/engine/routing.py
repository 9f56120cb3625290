"""Keys from routing tables: what the table of the agent's router says of a sample that has no gateway record.

What goes in is a batch and `Routing`, which agent is tied to which router; what comes out are columns as a gateway
record would have made them, so that a key means the same wherever it comes from. A sample's record wins whole: where
there is one, no table is asked. Each table is asked once a batch for destinations and once for sources, and only for
what keys need; texts are hashed once a route, not once a sample.

Answers for: docs/concepts/dissection.md, "Where a field has several sources", as far as tables are among them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum

import msgspec
import numpy as np

from tidegate.data.address import Words, is_mapped
from tidegate.data.batch import Column, FlowBatch
from tidegate.data.fields import FIELDS, FieldRef
from tidegate.data.forms import FORMS, Form
from tidegate.data.rib import Found, Router
from tidegate.engine.key_kernels import number_keys
from tidegate.engine.keys import number_rows
from tidegate.engine.routing_kernels import hash_texts, outer_addresses, path_ends, spread_routes
from tidegate.engine.texts import Texts
from tidegate.engine.values import Value
from tidegate.kernel import I32, I64, U64, Flags

__all__ = ["ROUTED", "BatchRoutes", "Routers", "Routing", "Ties", "routing_needs", "tie"]

_MAPPED = np.uint64(0xFFFF)  # of the upper half of the low word of an IPv4 address, see data/address.py
_HALF = np.uint64(32)


class Routers(msgspec.Struct, frozen=True, eq=False):
    """Whose tables IPv4 and IPv6 packets of an agent are looked up in; None: nobody's."""

    ipv4: Router | None = None
    ipv6: Router | None = None


class Routing(msgspec.Struct, frozen=True, eq=False):
    """Which agent is tied to which routers.

    `next_hops` tells the MAC of a next hop: at an exchange, that of a packet's destination tells which of several
    routes it takes. A MAC may be that of an IPv4 and of an IPv6 address; of several of one family the last counts.
    """

    agents: Mapping[Words, Routers] = {}
    default: Routers | None = None  # of agents without a row
    next_hops: Mapping[Words, int] = {}


class Ties(msgspec.Struct, frozen=True, eq=False):
    """`Routing` made ready for batches: k agents, h MACs."""

    routers: tuple[Router, ...]
    agents: U64  # (k, 2), all different
    index: I32  # where each is found, see number_keys
    router: (
        I64  # (2, k + 1) number of the router for IPv4 and IPv6, -1 for none; the last one's is that of other agents
    )
    macs: U64  # (h,) in order
    hops: U64  # (2, 2, h) next hops for IPv4 and IPv6: words of addresses


def tie(routing: Routing) -> Ties:
    """Return agents and routers made ready for batches."""
    numbers: dict[Router, int] = {}

    def number(router: Router | None) -> int:
        return -1 if router is None else numbers.setdefault(router, len(numbers))

    rows = [*routing.agents.values(), routing.default or Routers()]
    router = np.array([[number(row.ipv4) for row in rows], [number(row.ipv6) for row in rows]], np.int64)
    keys = np.array(list(routing.agents), np.uint64).reshape(-1, 2)
    agents, _, index = number_rows(keys, 0)
    macs, hops = _hops(routing.next_hops)
    return Ties(tuple(numbers), np.ascontiguousarray(agents), index, router, macs, hops)


def _hops(next_hops: Mapping[Words, int]) -> tuple[U64, U64]:
    """Return MACs in order and their next hops by family; one of the other family stands in where there is none."""
    by_mac: dict[int, tuple[dict[Words, None], dict[Words, None]]] = {}
    for words, mac in next_hops.items():
        by_mac.setdefault(mac, ({}, {}))[0 if is_mapped(*words) else 1][words] = None
    macs = sorted(by_mac)
    hops = [[[*by_mac[mac][1 - family], *by_mac[mac][family]][-1] for mac in macs] for family in range(2)]
    return np.array(macs, np.uint64), np.ascontiguousarray(np.array(hops, np.uint64).reshape(2, -1, 2).swapaxes(1, 2))


class _Side(Enum):
    """Which address of a packet is looked up: the fields that it stands in."""

    SOURCE = (FieldRef("ipsource"), FieldRef("ip6source"))
    DESTINATION = (FieldRef("ipdestination"), FieldRef("ip6destination"))


_STACK, _MAC = FieldRef("stack"), FieldRef("macdestination")
# A gateway record has at least one of them: `as` and the next hop come first.
_RECORD = (FieldRef("bgpas"), FieldRef("bgpnexthop"))


class _Answer(msgspec.Struct, frozen=True, eq=False):
    """What one router's table says of some rows."""

    rows: I64  # (k,) of the batch
    asn: int
    found: Found  # of k addresses
    first: I64  # (m,) AS of each route's path, -1 where it is empty
    last: I64

    @staticmethod
    def of(rows: I64, router: Router, found: Found) -> _Answer:
        first, last = np.empty((2, len(found.path_start)), np.int64)
        path_ends(found.data, found.path_start, found.path_stop, first, last)
        return _Answer(rows, router.asn, found, first, last)


def _numbers(numbers: I64) -> Column:
    present = numbers >= 0
    return Column(Form.NUMBER, np.where(present, numbers, 0).astype(np.uint64)[np.newaxis], present)


def _text(form: Form, found: Found, places: tuple[I64, I64], *, present: Flags, texts: Texts) -> Column:
    start, stop = (np.require(place, np.int64, ["C", "W"]) for place in places)
    words = np.empty((1, len(start)), np.uint64)
    hash_texts(found.data, start, stop, np.uint64(texts.seed), words[0])
    column = Column(form, words, present, start, stop)
    texts.keep(column, found.data)
    return column


def _path(answer: _Answer, texts: Texts) -> Column:
    found = answer.found
    places = found.path_start, found.path_stop
    return _text(Form.AS_PATH, found, places, present=answer.first >= 0, texts=texts)


def _communities(answer: _Answer, texts: Texts) -> Column:
    found = answer.found
    places = found.communities_start, found.communities_stop
    return _text(Form.COMMUNITIES, found, places, present=places[1] > places[0], texts=texts)


def _origin_as(answer: _Answer, _: Texts) -> Column:
    return _numbers(np.where(answer.last < 0, answer.asn, answer.last))


def _peer_as(answer: _Answer, _: Texts) -> Column:
    return _numbers(answer.first)


def _local_pref(answer: _Answer, _: Texts) -> Column:
    return _numbers(answer.found.local_pref)


def _next_hop(answer: _Answer, _: Texts) -> Column:
    high, low = answer.found.next_hop
    return Column(Form.ADDRESS, answer.found.next_hop, (high | low) != 0)


def _prefix(answer: _Answer, _: Texts) -> Column:
    return Column(Form.PREFIX, answer.found.prefix, np.ones(answer.found.prefix.shape[1], np.bool_))


class _Told(msgspec.Struct, frozen=True):
    """One field: which address is looked up for it, and how its column is made of routes; None: the router's own AS."""

    side: _Side
    column: Callable[[_Answer, Texts], Column] | None


ROUTED: dict[str, _Told] = {
    "bgpas": _Told(_Side.DESTINATION, None),
    "bgpsourceas": _Told(_Side.SOURCE, _origin_as),
    "bgpsourcepeeras": _Told(_Side.SOURCE, _peer_as),
    "bgpsourceprefix": _Told(_Side.SOURCE, _prefix),
    "bgpdestinationas": _Told(_Side.DESTINATION, _origin_as),
    "bgpdestinationpeeras": _Told(_Side.DESTINATION, _peer_as),
    "bgpdestinationprefix": _Told(_Side.DESTINATION, _prefix),
    "bgpdestinationaspath": _Told(_Side.DESTINATION, _path),
    "bgpcommunities": _Told(_Side.DESTINATION, _communities),
    "bgplocalpref": _Told(_Side.DESTINATION, _local_pref),
    "bgpnexthop": _Told(_Side.DESTINATION, _next_hop),
}


def routing_needs(ties: Ties, needs: frozenset[FieldRef]) -> frozenset[FieldRef]:
    """Return the fields that batches must have besides `needs`, so that tables can be asked."""
    sides = {ROUTED[ref.name].side for ref in needs if ref.name in ROUTED}
    if not sides:
        return frozenset()
    macs = [_MAC] if len(ties.macs) and _Side.DESTINATION in sides else []
    return frozenset([*_RECORD, _STACK, *macs, *(ref for side in sides for ref in side.value)])


class BatchRoutes:
    """What tables say of one batch, and what was asked of them so far."""

    def __init__(self, batch: FlowBatch, ties: Ties, texts: Texts) -> None:
        self._batch = batch
        self._ties = ties
        self._texts = texts
        self._addresses: dict[_Side, tuple[U64, list[tuple[Router, I64]]]] = {}
        self._answers: dict[_Side, list[_Answer]] = {}

    def fill(self, name: str, value: Value) -> Value:
        """Return a field of `ROUTED` with what tables say in the rows of samples that have no gateway record."""
        told = ROUTED[name]
        words, present = value.words.copy(), value.present.copy()
        if told.column is None:
            for router, rows in self._looked_up(told.side)[1]:
                words[0, rows], present[rows] = router.asn, True
            return Value(value.form, words, present)
        for answer in self._asked(told.side):
            column = told.column(answer, self._texts)
            routes = np.ascontiguousarray(column.words)
            spread_routes(routes, column.present, answer.found.row, answer.rows, words, present)
        return Value(value.form, words, present)

    def _asked(self, side: _Side) -> list[_Answer]:
        if side not in self._answers:
            words, tied = self._looked_up(side)
            self._answers[side] = [self._ask(side, words[:, rows], rows, router) for router, rows in tied]
        return self._answers[side]

    def _ask(self, side: _Side, words: U64, rows: I64, router: Router) -> _Answer:
        hops = self._next_hops(words, rows) if side is _Side.DESTINATION and len(self._ties.macs) else None
        return _Answer.of(rows, router, router.table.lookup(words[0], words[1], hops))

    def _next_hops(self, words: U64, rows: I64) -> U64 | None:
        """Return the next hops that the destination MACs tell of, 0 where they do not, None where none does."""
        macs, has_mac = self._column(_MAC)
        known = self._ties.macs
        place = np.minimum(np.searchsorted(known, macs[0, rows]), len(known) - 1)
        mapped = has_mac[rows] & (known[place] == macs[0, rows])
        if not mapped.any():
            return None
        hops = np.where(_is_ipv4(words), self._ties.hops[0][:, place], self._ties.hops[1][:, place])
        return np.where(mapped, hops, np.uint64(0))

    def _looked_up(self, side: _Side) -> tuple[U64, list[tuple[Router, I64]]]:
        """Return the address of each row, and the rows that each router's table is asked for."""
        if side not in self._addresses:
            count = len(self._batch)
            words, known = np.empty((2, count), np.uint64), np.empty(count, np.bool_)
            (ip, has_ip), (ip6, has_ip6) = (self._column(ref) for ref in side.value)
            outer_addresses(ip, has_ip, ip6, has_ip6, self._column(_STACK)[0][0], words, known)
            for ref in _RECORD:
                known &= ~self._column(ref)[1]
            self._addresses[side] = words, self._by_router(words, known)
        return self._addresses[side]

    def _by_router(self, words: U64, known: Flags) -> list[tuple[Router, I64]]:
        ties = self._ties
        agents = np.stack([self._batch.agent_high, self._batch.agent_low], axis=1)
        numbers = np.empty(len(agents), np.int64)
        full = np.array([len(ties.agents)])  # no room: other agents get no number, and -1 is the last column
        number_keys(agents, ties.index, ties.agents, np.uint64(0), full, numbers)
        router = np.where(_is_ipv4(words), ties.router[0][numbers], ties.router[1][numbers])
        router[~known] = -1
        used = np.flatnonzero(np.bincount(router + 1, minlength=1)[1:]).tolist()
        return [(ties.routers[number], np.flatnonzero(router == number)) for number in used]

    def _column(self, ref: FieldRef) -> tuple[U64, Flags]:
        """Return words and presence of a field; nowhere present where the batch has no such column."""
        column = self._batch.columns.get(ref)
        if column is not None:
            return column.words, column.present
        count = len(self._batch)
        return np.zeros((FORMS[FIELDS[ref.name].form].width, count), np.uint64), np.zeros(count, np.bool_)


def _is_ipv4(words: U64) -> Flags:
    ipv4: Flags = (words[0] == 0) & (words[1] >> _HALF == _MAPPED)
    return ipv4
