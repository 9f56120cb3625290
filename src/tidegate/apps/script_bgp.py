"""BGP as scripts see it: rules, routes and neighbours as objects, see docs/guides/scripts.md.

`Bgp` parses and asks a `BgpPort`: the running speaker behind `SpeakerPort`, or `RouteLog`, which only remembers (for
replay and tests). A rule that cannot be expressed exactly raises, and nothing is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from tidegate.apps.config import script_peer
from tidegate.apps.prefix_ranking import TopPrefixes, TopQuery, make_query
from tidegate.apps.received import MOST_RULES, Page, all_routes
from tidegate.apps.routing import Source, make_source, parse_next_hops
from tidegate.apps.script_desk import Desk, Kind
from tidegate.control.flowspec import flow_key, format_flow, parse_flow
from tidegate.control.unicast import format_unicast, parse_unicast, unicast_key
from tidegate.data.address import Words
from tidegate.io.bgp import NeighborStatus, PeerConfig, SelfTest
from tidegate.io.bgp_socket import canonical
from tidegate.wire.bgp.prefix import parse_address, parse_prefix
from tidegate.wire.bgp.routes import FlowRoute, Route, RouteKey, UnicastRoute

__all__ = ["Bgp", "BgpPort"]

Handler = Callable[[str], object]


class BgpPort(Protocol):
    """What there is of BGP, from any thread; errors are those of `tidegate.io.bgp.Speaker`."""

    def announce(self, peer: str | None, route: Route) -> None:
        """Want a route at one peer or all."""

    def withdraw(self, peer: str | None, key: RouteKey) -> bool:
        """Want a route no more; tell whether it was wanted."""

    def flows(self, peer: str | None) -> tuple[FlowRoute, ...]:
        """Return the rules that are wanted at a peer, or at any."""

    def routes(self, peer: str | None) -> tuple[UnicastRoute, ...]:
        """Return the unicast routes that are wanted at a peer, or at any."""

    def neighbors(self) -> list[NeighborStatus]:
        """Return how things stand with each peer."""

    def add_neighbor(self, config: PeerConfig) -> None:
        """Speak with one more neighbour."""

    def remove_neighbor(self, router: str) -> None:
        """Part with a neighbour."""

    def add_source(self, source: Source) -> None:
        """Tie agents to a router."""

    def set_next_hops(self, hops: Mapping[Words, int]) -> None:
        """Say which MAC each next hop has."""

    def top_prefixes(self, router: str, query: TopQuery) -> TopPrefixes:
        """Return the prefixes of a router's table that carry most traffic."""

    def best_route(self, router: str, address: bytes) -> dict[str, object] | None:
        """Return the longest match of an address in a router's table."""

    def received_routes(self, router: str, page: Page) -> list[dict[str, object]]:
        """Return a page of a router's routes."""

    def received_flows(self, router: str, most: int) -> list[dict[str, object]]:
        """Return the rules that a router has announced."""

    def refresh(self, router: str, family: str | None) -> list[str]:
        """Ask a neighbour for its routes again."""

    def self_test(self, router: str) -> SelfTest:
        """Send a neighbour a rule that can hit nothing."""

    def reset(self, router: str) -> None:
        """End the session with a neighbour; it comes back."""


class Bgp:
    """What `rt.bgp` offers. `peer` is a peer's address, or None for every peer that speaks the rule's family.

    What is announced stays wanted until it is withdrawn: it is sent again whenever a session comes up. `router` names a
    table, see docs/guides/routing-tables.md; most often it is a peer's address.
    """

    def __init__(self, port: BgpPort, desk: Desk) -> None:
        self._port = port
        self._desk = desk
        self._own: list[tuple[Kind, str, Handler | None]] = []  # handlers of one neighbour

    def add_neighbor(  # noqa: PLR0913 - the options of the interface
        self,
        router: str,
        local_as: int | str,
        router_id: str | int,
        *,
        ipv6: bool = False,
        flowspec: bool = False,
        flowspec6: bool = False,
        multipath: bool = False,
        on_up: Handler | None = None,
        on_down: Handler | None = None,
        **settings: Any,  # noqa: ANN401 - those of [[bgp.peers]]
    ) -> None:
        """Speak with one more neighbour, with this AS number and router id of this side; IPv4 is always spoken.

        The neighbour connects, unless `passive=False`. `multipath` receives several routes a prefix. `settings` are the
        keys of `[[bgp.peers]]`, such as `peer_as` and `md5_key`. The same neighbour again changes nothing; one with
        other settings is a `ConfigError`.
        """
        flags = {"ipv4": True, "ipv6": ipv6, "ipv4-flowspec": flowspec, "ipv6-flowspec": flowspec6}
        families = [name for name, wanted in flags.items() if wanted]
        told = {"families": families, "add_path": multipath, "passive": True, **settings}
        config = script_peer(router, local_as, router_id, told)
        for kind, handler in ((Kind.BGP_UP, on_up), (Kind.BGP_DOWN, on_down)):
            own = (kind, config.address, handler)
            if handler is not None and own not in self._own:
                self._desk.add(kind, handler, [config.address])
                self._own.append(own)
        self._port.add_neighbor(config)

    def remove_neighbor(self, router: str) -> None:
        """Part with a neighbour, and forget what was announced to it alone."""
        self._port.remove_neighbor(router)

    def neighbors(self) -> list[NeighborStatus]:
        """Return how things stand with each peer."""
        return self._port.neighbors()

    def add_source(
        self, agents: str | Sequence[str], router: str, router6: str = "", *, t: float = 60.0, value: str = "bytes"
    ) -> None:
        """Look the samples of agents up in a router's table, that of `router6` for IPv6, and rank its prefixes.

        `agents` are addresses, or `ALL` or `EDGE` for all that no other source names. `t` is the averaging time of the
        ranking in seconds, `value` is `bytes` or `frames`.
        """
        self._port.add_source(make_source(agents, router, router6, t=t, value=value, key="add_source"))

    def set_next_hops(self, hops: Mapping[str, str]) -> None:
        """Say which MAC each next hop has, `{address: MAC}`, in place of what was said before.

        With a table of several routes a prefix, the destination MAC of a packet then tells which it took.
        """
        self._port.set_next_hops(parse_next_hops(hops))

    def announce_flow(self, peer: str | None, rule: Mapping[str, Any]) -> None:
        """Announce a FlowSpec rule `{"match": {…}, "then": {…}}`; it replaces the one with the same match.

        `TextError` where a text is wrong, `Inexpressible` where FlowSpec or the peer cannot say it, `ConfigError`
        where there is no such peer.
        """
        self._port.announce(peer, parse_flow(rule))

    def withdraw_flow(self, peer: str | None, rule: Mapping[str, Any]) -> bool:
        """Withdraw the rule with this match; `then` is not looked at. Tell whether it was announced."""
        return self._port.withdraw(peer, flow_key(rule))

    def flows(self, peer: str | None) -> list[dict[str, dict[str, str]]]:
        """Return the rules announced to a peer, or to be sent once it is up; with None those of any, each once."""
        return [format_flow(flow) for flow in self._port.flows(peer)]

    def flow_count(self, peer: str | None) -> int:
        """Return how many rules `flows` has."""
        return len(self._port.flows(peer))

    def announce_route(self, peer: str | None, route: Mapping[str, Any]) -> None:
        """Announce `{"prefix", "nexthop", "communities", "localpref", …}`; it replaces the route to the prefix."""
        self._port.announce(peer, parse_unicast(route))

    def withdraw_route(self, peer: str | None, prefix: str) -> bool:
        """Withdraw the route to a prefix; tell whether it was announced."""
        return self._port.withdraw(peer, unicast_key(prefix))

    def routes(self, peer: str | None) -> list[dict[str, str | int]]:
        """Return the routes announced to a peer, or to be sent once it is up; with None those of any, each once."""
        return [format_unicast(route) for route in self._port.routes(peer)]

    def route_count(self, peer: str | None) -> int:
        """Return how many routes `routes` has."""
        return len(self._port.routes(peer))

    def top_prefixes(  # noqa: PLR0913 - the parameters of the interface
        self,
        router: str,
        max_prefixes: int,
        min_value: float = 0.0,
        *,
        direction: str = "destination",
        include_covered: bool = True,
        min_prefix: int = 0,
        prune_covered: bool = False,
    ) -> TopPrefixes:
        """Return the IPv4 prefixes of a router's table that carry most traffic of the agents tied to it.

        `direction` is `destination` or `source`; `max_prefixes` 0 gives the summary alone, `min_prefix` 1 leaves the
        default route out. A prefix is covered where it lies inside another listed one: `include_covered=False` lists
        the outermost alone, `prune_covered` leaves out those with the next hop of the prefix around them. Each element
        of `top_prefixes` may be announced as it is.
        """
        query = TopQuery(max_prefixes, min_value, direction, include_covered, min_prefix, prune_covered, ipv6=False)
        return self._port.top_prefixes(router, make_query(query))

    def top_prefixes6(  # noqa: PLR0913 - as above
        self,
        router: str,
        max_prefixes: int,
        min_value: float = 0.0,
        *,
        direction: str = "destination",
        include_covered: bool = True,
        min_prefix: int = 0,
        prune_covered: bool = False,
    ) -> TopPrefixes:
        """Return the IPv6 prefixes, see `top_prefixes`."""
        query = TopQuery(max_prefixes, min_value, direction, include_covered, min_prefix, prune_covered, ipv6=True)
        return self._port.top_prefixes(router, make_query(query))

    def best_route(self, router: str, address: str) -> dict[str, object] | None:
        """Return the route of a router's table that an address matches, or None."""
        return self._port.best_route(router, parse_address(address))

    def received_routes(
        self, router: str, *, prefix: str | None = None, most: int = 10_000
    ) -> Iterator[dict[str, object]]:
        """Yield the routes of a router's table in order, those inside a prefix or all, to `most` prefixes."""
        inside = None if prefix is None else parse_prefix(prefix)
        return all_routes(lambda page: self._port.received_routes(router, page), inside=inside, most=most)

    def received_flows(self, router: str, *, most: int = MOST_RULES) -> list[dict[str, object]]:
        """Return the FlowSpec rules that a router has announced, as they are tried; at most 2000."""
        return self._port.received_flows(router, most)

    def refresh(self, peer: str, family: str | None = None) -> list[str]:
        """Ask a peer for its routes again, of all families or one such as `ipv4`; return those it was asked for."""
        return self._port.refresh(peer, family)

    def self_test(self, peer: str) -> SelfTest:
        """Send a peer a rule that can hit nothing, watch the session for some seconds and withdraw the rule."""
        return self._port.self_test(peer)

    def reset(self, peer: str) -> None:
        """End the session with a peer; it comes back, also where the peer was shut out."""
        self._port.reset(peer)

    def on_up(self, handler: Handler, *, peers: Sequence[str] = ()) -> None:
        """Call `handler(peer)` when a session comes up, of any peer or those named. Routes are sent without that."""
        self._desk.add(Kind.BGP_UP, handler, _names(peers))

    def on_down(self, handler: Handler, *, peers: Sequence[str] = ()) -> None:
        """Call `handler(peer)` when a session goes down, of any peer or those named."""
        self._desk.add(Kind.BGP_DOWN, handler, _names(peers))


def _names(peers: Sequence[str]) -> Sequence[str]:
    return peers if isinstance(peers, str) else [canonical(str(peer)) for peer in peers]
