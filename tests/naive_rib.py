"""The specification of keys from routing tables: a list of routes, and the longest match by looking at each of them.

`NaiveTable` answers as a real table does; `routed_row` gives the texts that a sample gets. The engine is compared with
the latter, given the former.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

import msgspec
import numpy as np

from tidegate.data.address import format_address, parse_address, parse_prefix
from tidegate.data.rib import Found, Router
from tidegate.data.spelling import as_path_text, communities_octets
from tidegate.engine.routing import Routers, Routing
from tidegate.kernel import I64, U64

Row = Mapping[str, str]
SEQUENCE, SET = 2, 1


class NaiveRoute(msgspec.Struct, frozen=True):
    """One route; `path` is segments of a kind and AS numbers, `communities` is text."""

    prefix: str
    next_hop: str | None = "192.0.2.254"
    path: tuple[tuple[int, tuple[int, ...]], ...] = ()
    communities: str = ""
    local_pref: int | None = None

    @property
    def numbers(self) -> list[int]:
        return [number for _, numbers in self.path for number in numbers]

    @property
    def path_octets(self) -> bytes:
        words = [word for kind, numbers in self.path for word in (kind, len(numbers), *numbers)]
        return b"".join(word.to_bytes(4, "big") for word in words)


class NaiveRouter(msgspec.Struct, frozen=True):
    """A router; of routes to one prefix the first is the best."""

    asn: int
    routes: tuple[NaiveRoute, ...]


Pair = tuple[NaiveRouter | None, NaiveRouter | None]  # for IPv4 and IPv6


class NaiveRouting(msgspec.Struct, frozen=True):
    """Agents and next hops by their addresses; MACs as texts."""

    agents: Mapping[str, Pair] = {}
    default: Pair = (None, None)
    next_hops: Mapping[str, str] = {}


def address_of(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(format_address(*parse_address(text)))  # a mapped address is IPv4


def longest_match(routes: tuple[NaiveRoute, ...], address: str, next_hop: str | None = None) -> NaiveRoute | None:
    """Return the best route of the longest prefix or, where one leads to the next hop, the best of those."""
    around = [route for route in routes if address_of(address) in ipaddress.ip_network(route.prefix)]
    length = max((ipaddress.ip_network(route.prefix).prefixlen for route in around), default=None)
    best = [route for route in around if ipaddress.ip_network(route.prefix).prefixlen == length]
    there = [route for route in best if next_hop and route.next_hop and same(route.next_hop, next_hop)]
    return next(iter(there or best), None)


def same(one: str, other: str) -> bool:
    return parse_address(one) == parse_address(other)


class NaiveTable:
    """A table of `NaiveRoute`; `asked` notes what it was asked for."""

    def __init__(self, routes: tuple[NaiveRoute, ...]) -> None:
        self.asked: list[list[tuple[str, str | None]]] = []
        self._routes = routes

    def lookup(self, high: U64, low: U64, next_hop: U64 | None = None) -> Found:
        addresses = [format_address(*words) for words in zip(high.tolist(), low.tolist(), strict=True)]
        pairs = [None] * len(addresses) if next_hop is None else list(zip(*next_hop.tolist(), strict=True))
        hops = [format_address(*words) if words and any(words) else None for words in pairs]
        self.asked.append(list(zip(addresses, hops, strict=True)))
        matches = [longest_match(self._routes, address, hop) for address, hop in zip(addresses, hops, strict=True)]
        routes = list(dict.fromkeys(route for route in matches if route is not None))
        return found_of([-1 if route is None else routes.index(route) for route in matches], routes)


def found_of(rows: list[int], routes: list[NaiveRoute]) -> Found:
    """Return the columns of routes."""
    paths = [route.path_octets for route in routes]
    communities = [communities_octets(route.communities) or b"" if route.communities else b"" for route in routes]
    texts = [text for pair in zip(paths, communities, strict=True) for text in pair]
    stops = np.cumsum([len(text) for text in texts], dtype=np.int64).reshape(-1, 2)
    starts = stops - np.array([len(text) for text in texts], np.int64).reshape(-1, 2)
    prefixes = [parse_prefix(route.prefix) for route in routes]
    hops = [parse_address(route.next_hop) if route.next_hop else (0, 0) for route in routes]
    return Found(
        row=np.array(rows, np.int64),
        prefix=np.array([(*words, length) for words, length in prefixes], np.uint64).reshape(-1, 3).T,
        next_hop=np.array(hops, np.uint64).reshape(-1, 2).T,
        local_pref=whole([-1 if route.local_pref is None else route.local_pref for route in routes]),
        origin_as=whole([route.path[-1][1][-1] if ends(route, -1) else -1 for route in routes]),
        peer_as=whole([route.path[0][1][0] if ends(route, 0) else -1 for route in routes]),
        data=np.frombuffer(b"".join(texts), np.uint8),
        path_start=starts[:, 0].copy(),
        path_stop=stops[:, 0].copy(),
        communities_start=starts[:, 1].copy(),
        communities_stop=stops[:, 1].copy(),
    )


def whole(numbers: list[int]) -> I64:
    return np.array(numbers, np.int64)


def ends(route: NaiveRoute, segment: int) -> bool:
    """Tell whether the path has an AS at its end that is not one of a set."""
    return bool(route.path) and route.path[segment][0] == SEQUENCE and bool(route.path[segment][1])


def routing_of(naive: NaiveRouting) -> Routing:
    """Return what an engine is given for the specification's agents and routers."""
    made: dict[NaiveRouter, Router] = {}

    def router(one: NaiveRouter | None) -> Router | None:
        return None if one is None else made.setdefault(one, Router(one.asn, NaiveTable(one.routes)))

    def pair(one: Pair) -> Routers:
        return Routers(router(one[0]), router(one[1]))

    return Routing(
        agents={parse_address(agent): pair(routers) for agent, routers in naive.agents.items()},
        default=None if naive.default == (None, None) else pair(naive.default),
        next_hops={parse_address(address): int(mac, 16) for address, mac in naive.next_hops.items()},
    )


def routed_row(row: Row, agent: str, routing: NaiveRouting | None) -> Row:
    """Return a sample with what tables say of it: nothing where it has a gateway record."""
    if routing is None or "bgpas" in row or "bgpnexthop" in row:
        return row
    ours = routing.agents.get(format_address(*parse_address(agent)), routing.default)
    source, destination = outer_address(row, "source"), outer_address(row, "destination")
    fields: dict[str, str | int | None] = {}
    if source is not None and (router := ours[family_of(source)]) is not None:
        route = longest_match(router.routes, source)
        if route is not None:
            numbers = route.numbers
            fields["bgpsourceas"] = numbers[-1] if numbers else router.asn
            fields["bgpsourcepeeras"] = numbers[0] if numbers else None
            fields["bgpsourceprefix"] = route.prefix.upper()
    if destination is not None and (router := ours[family_of(destination)]) is not None:
        fields["bgpas"] = router.asn
        route = longest_match(router.routes, destination, meant(row, family_of(destination), routing))
        if route is not None:
            numbers = route.numbers
            fields["bgpdestinationas"] = numbers[-1] if numbers else router.asn
            fields["bgpdestinationpeeras"] = numbers[0] if numbers else None
            fields["bgpdestinationprefix"] = route.prefix.upper()
            fields["bgpdestinationaspath"] = as_path_text(route.path_octets) if numbers else None
            fields["bgpcommunities"] = route.communities or None
            fields["bgplocalpref"] = route.local_pref
            fields["bgpnexthop"] = route.next_hop and format_address(*parse_address(route.next_hop))
    return {**row, **{name: str(value) for name, value in fields.items() if value is not None}}


def family_of(address: str) -> int:
    return 0 if address_of(address).version == 4 else 1


def outer_address(row: Row, side: str) -> str | None:
    """Return the address of the outermost IP header, of IPv4 where the stack does not tell."""
    layers = [layer for layer in row.get("stack", "").split(".") if layer in {"ip", "ip6"}]
    order = ("ip6", "ip") if layers[:1] == ["ip6"] else ("ip", "ip6")
    return next((row[layer + side] for layer in order if layer + side in row), None)


def meant(row: Row, family: int, routing: NaiveRouting) -> str | None:
    """Return the next hop that a packet's destination MAC tells of, rather one of its own family."""
    hops = [address for address, mac in routing.next_hops.items() if mac == row.get("macdestination")]
    own = [address for address in hops if family_of(address) == family]
    return (own or hops)[-1] if hops else None
