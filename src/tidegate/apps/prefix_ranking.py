"""Which prefixes of a router's table carry most traffic: readings of flows and the table in, the object of REST out.

A flow is the traffic whose longest match is one prefix, by direction. Each agent counts a packet where it comes in or
where it goes out, or in both places; of an agent the direction that shows more counts, and agents are added up.

A prefix is covered where it lies inside another listed one. Covered prefixes are listed like others, unless asked
otherwise: without `include_covered` only the outermost are, and with `prune_covered` not those that lead to the same
next hop as the prefix around them; the traffic of what is left out is added to that of the prefix around it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from tidegate.apps.analyzer import Analyzer
from tidegate.apps.received import route_to, unicast
from tidegate.apps.routing import DIRECTIONS, RouterTable, Sources, definition_name
from tidegate.data.address import MAPPED
from tidegate.engine.keys import number_rows
from tidegate.engine.reading import Snapshot
from tidegate.errors import ConfigError
from tidegate.kernel import F64, U64
from tidegate.wire.bgp.prefix import Prefix

__all__ = ["MOST_PREFIXES", "TopPrefixes", "TopQuery", "make_query", "rank_prefixes", "rank_table"]

MOST_PREFIXES: Final = 10_000
_FOLDED: Final = 100_000  # prefixes that are looked at where some may be left out
_OTHER_NAMES: Final = {"egress": "destination", "ingress": "source"}  # what scripts of other analyzers say
_PREFIX_WORDS: Final = 3

Key = tuple[int, int]  # address as a number of the family's width, length
Row = tuple[Key, float]


class TopQuery(msgspec.Struct, frozen=True):
    """What is asked for: at most `most` prefixes, with at least `min_value` each and at least `min_prefix` bits."""

    most: int = 100
    min_value: float = 0.0
    direction: str = "destination"
    include_covered: bool = True
    min_prefix: int = 0
    prune_covered: bool = False
    ipv6: bool = False


class TopPrefixes(msgspec.Struct, frozen=True, rename="camel"):
    """A router's table, and its prefixes with most traffic; rates in octets or packets a second."""

    state: str
    asn: int = msgspec.field(name="as")
    n_prefixes: int
    learned_prefixes_added: int  # routes announced since the neighbour is known, those that replaced another included
    learned_prefixes_removed: int  # routes withdrawn
    pushed_prefixes_added: int  # routes announced to it
    pushed_prefixes_removed: int
    direction: str
    value_total: float  # of the traffic that has a route of this family
    value_coverage: float  # of that, what the listed prefixes carry
    value_percent_coverage: float
    top_prefixes: list[dict[str, object]]


def make_query(query: TopQuery) -> TopQuery:
    """Return a query with its direction as it is called here; `ConfigError` where something is wrong."""
    direction = _OTHER_NAMES.get(query.direction, query.direction)
    if direction not in DIRECTIONS:
        names = ", ".join([*DIRECTIONS, *_OTHER_NAMES])
        raise ConfigError("direction", f"{query.direction!r:.100} is none of {names}")
    if not 0 <= query.most <= MOST_PREFIXES:
        raise ConfigError("max_prefixes", f"{query.most} is not from 0 to {MOST_PREFIXES}")
    return msgspec.structs.replace(query, direction=direction)


def rank_table(table: RouterTable, query: TopQuery, *, sources: Sources, analyzer: Analyzer) -> TopPrefixes:
    """Return the prefixes that carry most traffic of the agents tied to a table; asks the shards."""
    source = sources.of(table.name)
    if source is None:
        return rank_prefixes(table, [], query)
    agents = sources.agents(table.name, ipv6=query.ipv6, known=analyzer.agents())
    snapshots = analyzer.snapshots(agents, definition_name(source, query.direction))
    return rank_prefixes(table, snapshots or [], query)


def rank_prefixes(table: RouterTable, snapshots: Sequence[Snapshot], query: TopQuery) -> TopPrefixes:
    """Return the prefixes with most traffic; may take a while, from any thread."""
    rows = _readings(snapshots, ipv6=query.ipv6)
    total = sum((value for _, value in rows), 0.0)
    listed = _Listing(table, query).choose(rows) if query.most else []
    coverage = sum((value for _, value, _ in listed), 0.0)
    family = unicast(query.ipv6)
    return TopPrefixes(
        state=table.state,
        asn=table.asn,
        n_prefixes=sum(rib.tables[family].prefixes for rib in table.ribs),
        learned_prefixes_added=sum(rib.learned[family] for rib in table.ribs),
        learned_prefixes_removed=sum(rib.forgotten[family] for rib in table.ribs),
        pushed_prefixes_added=table.pushed[0],
        pushed_prefixes_removed=table.pushed[1],
        direction=query.direction,
        value_total=total,
        value_coverage=coverage,
        value_percent_coverage=100 * coverage / total if total else 0.0,
        top_prefixes=[_shown(route, value) for _, value, route in listed],
    )


def _shown(route: dict[str, object], value: float) -> dict[str, object]:
    return {"prefix": route["prefix"], "value": value, **route}


def _readings(snapshots: Sequence[Snapshot], *, ipv6: bool) -> list[Row]:
    """Return the prefixes of a family with their rates, the largest first."""
    agents: dict[str, int] = {}
    parts = [part for one in snapshots if len(part := _part(one, agents))]
    if not parts:
        return []
    keys = np.concatenate([part[:, :-1] for part in parts]).astype(np.uint64)
    values = np.concatenate([part[:, -1] for part in parts]).view(np.float64)
    for columns in (keys.shape[1], _PREFIX_WORDS + 1, _PREFIX_WORDS):  # direction, then agent, are given up
        keys, values = _merged(keys, values, columns, largest=columns == _PREFIX_WORDS + 1)
    mapped = (keys[:, 0] == 0) & (keys[:, 1] >> np.uint64(32) == np.uint64(MAPPED >> 32)) & (keys[:, 2] >= 96)
    chosen = np.flatnonzero(mapped != ipv6)
    order = chosen[np.argsort(-values[chosen], kind="stable")]
    found = zip(keys[order].tolist(), values[order].tolist(), strict=True)
    if ipv6:
        return [((high << 64 | low, length), value) for (high, low, length), value in found]
    return [((low & 0xFFFFFFFF, length - 96), value) for (_, low, length), value in found]


def _part(taken: Snapshot, known: dict[str, int]) -> U64:
    """Return prefix, agent, direction and the rate's bits, a row a flow; agents are numbered in `known`."""
    here = np.flatnonzero(~np.isnan(taken.values[0]))
    sources, places = np.unique(taken.sources[here], return_inverse=True)
    names = [taken.place(number)[0] for number in sources.tolist()]
    agents = np.array([known.setdefault(name, len(known)) for name in names], np.uint64)
    out = np.empty((len(here), taken.keys.shape[1] + 2), np.uint64)
    out[:, :_PREFIX_WORDS] = taken.keys[here, :_PREFIX_WORDS]
    out[:, _PREFIX_WORDS] = agents[places]
    out[:, _PREFIX_WORDS + 1 : -1] = taken.keys[here, _PREFIX_WORDS:]
    out[:, -1] = taken.values[0, here].view(np.uint64)
    return out


def _merged(keys: U64, values: F64, columns: int, *, largest: bool) -> tuple[U64, F64]:
    """Return what rows that agree in their first columns come to: their largest value, or their sum."""
    different, numbers, _ = number_rows(np.ascontiguousarray(keys[:, :columns]), 0)
    out = np.zeros(len(different))
    (np.maximum if largest else np.add).at(out, numbers, values)
    return different, out


class _Listing:
    """Chooses what is listed: the largest first, and covered ones folded into what is around them if that is asked."""

    def __init__(self, table: RouterTable, query: TopQuery) -> None:
        self._table = table
        self._query = query
        self._octets = 16 if query.ipv6 else 4
        self._routes: dict[Key, dict[str, object] | None] = {}
        self._values: dict[Key, float] = {}
        self._order: list[Key] = []

    def choose(self, rows: Sequence[Row]) -> list[tuple[Key, float, dict[str, object]]]:
        """Return what is listed with values and routes, the largest first; prefixes without a route are left out."""
        query = self._query
        folds = not query.include_covered or query.prune_covered
        for key, value in rows[:_FOLDED]:
            if value < query.min_value or (len(self._values) >= query.most and not folds):
                break
            if key[1] >= query.min_prefix:
                self._take(key, value, folds=folds)
        ranked = sorted(self._values.items(), key=lambda row: -row[1])
        return [(key, value, route) for key, value in ranked if (route := self._route(key)) is not None]

    def _take(self, key: Key, value: float, *, folds: bool) -> None:
        outer = self._outer(key) if folds else None
        if outer is not None and self._folds(outer, key):
            self._values[outer] += value
        elif len(self._values) < self._query.most and self._route(key) is not None:
            self._values[key] = value
            insort(self._order, key)
            for inner in self._inside(key) if folds else ():
                if self._outer(inner) == key and self._folds(key, inner):
                    self._values[key] += self._values.pop(inner)
                    self._order.remove(inner)

    def _folds(self, outer: Key, inner: Key) -> bool:
        if not self._query.include_covered:
            return True
        one, other = self._route(outer), self._route(inner)
        return one is not None and (other is None or one.get("nexthop") == other.get("nexthop"))

    def _outer(self, key: Key) -> Key | None:
        """Return the longest listed prefix around another."""
        address, length = key
        bits = 8 * self._octets
        around = ((address >> bits - short << bits - short, short) for short in range(length - 1, -1, -1))
        return next((one for one in around if one in self._values), None)

    def _inside(self, key: Key) -> list[Key]:
        """Return the listed prefixes inside another."""
        address, length = key
        stop = address + (1 << 8 * self._octets - length)
        first, last = bisect_left(self._order, (address, length + 1)), bisect_left(self._order, (stop, 0))
        return self._order[first:last]

    def _route(self, key: Key) -> dict[str, object] | None:
        if key not in self._routes:
            prefix = Prefix(key[0].to_bytes(self._octets, "big"), key[1])
            self._routes[key] = route_to(self._table, prefix)
        return self._routes[key]
