"""BGP where nothing is sent: what scripts announce is kept, and their calls are answered, for replay and tests.

What tables say comes from `RouteTables`: the file of a replay, or what a test has put.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from tidegate.apps.prefix_ranking import TopPrefixes, TopQuery
from tidegate.apps.received import Page
from tidegate.apps.routing import FILE, Source, bmp_parts
from tidegate.control.flowspec import format_flow
from tidegate.control.unicast import format_unicast
from tidegate.data.address import Words
from tidegate.errors import ConfigError
from tidegate.io.bgp import NeighborStatus, PeerConfig, SelfTest
from tidegate.io.bgp_socket import canonical
from tidegate.wire.bgp.routes import FlowRoute, Route, RouteKey, UnicastRoute, route_key
from tidegate.wire.bgp.session import State

__all__ = ["FakeTables", "RouteChange", "RouteLog", "RouteTables"]

_MAX_CHANGES = 100_000
Shown = dict[str, object]


class RouteTables(Protocol):
    """What routers have told, and which agents are looked up there."""

    def add_source(self, source: Source) -> None:
        """Tie agents to a router."""

    def set_next_hops(self, hops: Mapping[Words, int]) -> None:
        """Say which MAC each next hop has."""

    def top_prefixes(self, router: str, query: TopQuery) -> TopPrefixes:
        """Return the prefixes that carry most traffic."""

    def best_route(self, router: str, address: bytes) -> Shown | None:
        """Return the longest match of an address."""

    def received_routes(self, router: str, page: Page) -> list[Shown]:
        """Return a page of a router's routes."""

    def received_flows(self, router: str, most: int) -> list[Shown]:
        """Return the rules that a router has announced."""


class FakeTables:
    """`RouteTables` that say what a test has put into `tops`, `best`, `routes` and `flows`, each by router."""

    def __init__(self) -> None:
        self.sources: list[Source] = []
        self.next_hops: Mapping[Words, int] = {}
        self.tops: dict[str, TopPrefixes] = {}
        self.best: dict[tuple[str, bytes], Shown] = {}
        self.routes: dict[str, list[Shown]] = {}
        self.flows: dict[str, list[Shown]] = {}

    def add_source(self, source: Source) -> None:
        """Keep a source."""
        self.sources.append(source)

    def set_next_hops(self, hops: Mapping[Words, int]) -> None:
        """Keep the MACs."""
        self.next_hops = hops

    def top_prefixes(self, router: str, query: TopQuery) -> TopPrefixes:
        """Return what was put, at most as many prefixes as are asked for; an empty table where nothing was."""
        nothing = TopPrefixes("established", 0, 0, 0, 0, 0, 0, query.direction, 0.0, 0.0, 0.0, [])
        found = self.tops.get(router, nothing)
        return msgspec.structs.replace(found, top_prefixes=found.top_prefixes[: query.most])

    def best_route(self, router: str, address: bytes) -> Shown | None:
        """Return what was put for a router and an address."""
        return self.best.get((router, address))

    def received_routes(self, router: str, page: Page) -> list[Shown]:
        """Return the routes that were put, behind the last one of the page before."""
        found = self.routes.get(router, [])
        after = next((at for at, route in enumerate(found, 1) if route.get("prefix") == str(page.after)), 0)
        return found[after : after + page.most]

    def received_flows(self, router: str, most: int) -> list[Shown]:
        """Return the rules that were put."""
        return self.flows.get(router, [])[:most]


class RouteChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """A rule or route that was announced or withdrawn; `peer` None is every peer."""

    what: str  # "announce" or "withdraw"
    peer: str | None
    flow: dict[str, dict[str, str]] | None = None
    route: dict[str, str | int] | None = None
    time: float = 0.0  # seconds since 1970 UTC


class RouteLog:
    """A speaker that speaks to nobody: it keeps what is wanted, and the latest changes in order.

    With `peers`, or once one was added, another one is a `ConfigError`, as it is with a real speaker. `asked` has what
    else was asked of neighbours: what, whom, and the family of a refresh.
    """

    def __init__(
        self, now: Callable[[], float], *, peers: Sequence[str] = (), tables: RouteTables | None = None
    ) -> None:
        self.changes: list[RouteChange] = []
        self.asked: deque[tuple[str, ...]] = deque(maxlen=_MAX_CHANGES)
        self._tables = tables or FakeTables()
        self._now = now
        self._peers = tuple(peers)
        self._wanted: dict[tuple[str | None, RouteKey], Route] = {}

    def announce(self, peer: str | None, route: Route) -> None:
        """Remember a route."""
        peer = self._known(peer)
        self._wanted[peer, route_key(route)] = route
        self._note("announce", peer, route)

    def withdraw(self, peer: str | None, key: RouteKey) -> bool:
        """Forget a route; with `peer` None wherever it is."""
        peer = self._known(peer)
        found = [(at, kept) for at, kept in self._wanted if kept == key and peer in {None, at}]
        for place in found:
            self._note("withdraw", place[0], self._wanted.pop(place))
        return bool(found)

    def flows(self, peer: str | None) -> tuple[FlowRoute, ...]:
        """Return wanted rules, of every peer where `peer` is None."""
        return tuple(route for route in self._at(peer) if isinstance(route, FlowRoute))

    def routes(self, peer: str | None) -> tuple[UnicastRoute, ...]:
        """Return wanted routes, of every peer where `peer` is None."""
        return tuple(route for route in self._at(peer) if isinstance(route, UnicastRoute))

    def add_neighbor(self, config: PeerConfig) -> None:
        """Know one more peer; the same again changes nothing."""
        name = canonical(config.address)
        if name not in self._peers:
            self._peers += (name,)

    def remove_neighbor(self, router: str) -> None:
        """Forget a peer, and what was wanted there."""
        name = self._known(router)
        self._peers = tuple(peer for peer in self._peers if peer != name)
        self._wanted = {key: route for key, route in self._wanted.items() if key[0] != name}

    def add_source(self, source: Source) -> None:
        """Tie agents to a router."""
        for router in (source.router, source.router6):
            self._check_router(router or FILE)
        self._tables.add_source(source)

    def set_next_hops(self, hops: Mapping[Words, int]) -> None:
        """Say which MAC each next hop has."""
        self._tables.set_next_hops(hops)

    def top_prefixes(self, router: str, query: TopQuery) -> TopPrefixes:
        """Return the prefixes that carry most traffic."""
        self._check_router(router)
        return self._tables.top_prefixes(router, query)

    def best_route(self, router: str, address: bytes) -> Shown | None:
        """Return the longest match of an address."""
        self._check_router(router)
        return self._tables.best_route(router, address)

    def received_routes(self, router: str, page: Page) -> list[Shown]:
        """Return a page of a router's routes."""
        self._check_router(router)
        return self._tables.received_routes(router, page)

    def received_flows(self, router: str, most: int) -> list[Shown]:
        """Return the rules that a router has announced."""
        self._check_router(router)
        return self._tables.received_flows(router, most)

    def refresh(self, router: str, family: str | None) -> list[str]:
        """Note that routes were asked for; nobody was asked."""
        self._check(router)
        self.asked.append(("refresh", router, *((family,) if family else ())))
        return []

    def self_test(self, router: str) -> SelfTest:
        """Note that a self-test was asked for; no rule was sent."""
        self._check(router)
        self.asked.append(("self_test", router))
        return SelfTest(router, "none", passed=False, families=())

    def reset(self, router: str) -> None:
        """Note that a session was to be reset."""
        self._check(router)
        self.asked.append(("reset", router))

    def neighbors(self) -> list[NeighborStatus]:
        """Return the peers, none of them up."""
        return [_silent(peer, len(self._at(peer))) for peer in self._peers]

    def wanted(self) -> list[tuple[str | None, Route]]:
        """Return all that is wanted, with the peer."""
        return [(peer, route) for (peer, _), route in self._wanted.items()]

    def _at(self, peer: str | None) -> list[Route]:
        peer = None if peer is None else canonical(peer)
        return list(
            dict.fromkeys(route for (at, _), route in self._wanted.items() if peer is None or at in {None, peer})
        )

    def _known(self, peer: str | None) -> str | None:
        """Return the one spelling of a peer, None for every peer; `ConfigError` where there is no such peer."""
        self._check(peer)
        return None if peer is None else canonical(peer)

    def _check(self, peer: str | None) -> None:
        if peer is None or not self._peers or {peer, canonical(peer)} & set(self._peers):
            return
        raise ConfigError(f"bgp.peers.{peer}", f"no such peer (known: {', '.join(self._peers)})")

    def _check_router(self, router: str) -> None:
        """Refuse a peer that there is not; other tables than those of peers may be named."""
        if router != FILE and bmp_parts(router) is None:
            self._check(router)

    def _note(self, what: str, peer: str | None, route: Route) -> None:
        del self.changes[:-_MAX_CHANGES]
        if isinstance(route, FlowRoute):
            self.changes.append(RouteChange(what, peer, flow=format_flow(route), time=self._now()))
        else:
            self.changes.append(RouteChange(what, peer, route=format_unicast(route), time=self._now()))


def _silent(peer: str, wanted: int) -> NeighborStatus:
    return NeighborStatus(
        address=peer,
        state=State.IDLE.value,
        since=0.0,
        peer_as=None,
        router_id=None,
        families=(),
        received={},
        problems={},
        wanted=wanted,
        sent=0,
        waiting=wanted,
        not_negotiated=0,
        failures=0,
        last_error="",
    )
