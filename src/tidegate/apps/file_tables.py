"""Routing in a replay: all routers have the table of one file, as no router is there to tell its own.

`RouteTables` for scripts; the samples of all agents are looked up in the file from the start.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tidegate.apps.analyzer import Analyzer
from tidegate.apps.config import BgpConfig, sources_of
from tidegate.apps.prefix_ranking import TopPrefixes, TopQuery, rank_table
from tidegate.apps.received import Page, best_route, received_routes, received_rules, shown_rules
from tidegate.apps.routing import RouterTable, Source, Sources, parse_next_hops, router_name
from tidegate.data.address import Words

__all__ = ["FileTables"]


class FileTables:
    """See the module. The sources of the configuration count for rankings: whose agents are whose."""

    def __init__(self, analyzer: Analyzer, table: RouterTable, config: BgpConfig) -> None:
        self._analyzer = analyzer
        self._table = table
        self._sources = Sources(table)
        for source in sources_of(config):
            self._sources.add(source)
        self._sources.set_next_hops(parse_next_hops(config.next_hops))
        self._tie()

    def _tie(self) -> None:
        self._analyzer.set_routing(self._sources.routing(self._find))
        self._analyzer.set_own_flows(self._sources.definitions())

    def _find(self, router: str) -> RouterTable:
        return msgspec.structs.replace(self._table, name=router_name(router))

    def add_source(self, source: Source) -> None:
        """Rank the prefixes of a router's agents."""
        self._sources.add(source)
        self._tie()

    def set_next_hops(self, hops: Mapping[Words, int]) -> None:
        """Say which MAC each next hop has."""
        self._sources.set_next_hops(hops)
        self._tie()

    def top_prefixes(self, router: str, query: TopQuery) -> TopPrefixes:
        """Return the prefixes that carry most traffic of the agents tied to a router."""
        return rank_table(self._find(router), query, sources=self._sources, analyzer=self._analyzer)

    def best_route(self, router: str, address: bytes) -> dict[str, object] | None:
        """Return the longest match of an address."""
        return best_route(self._find(router), address)

    def received_routes(self, router: str, page: Page) -> list[dict[str, object]]:
        """Return a page of the file's routes."""
        return received_routes(self._find(router), page)

    def received_flows(self, router: str, most: int) -> list[dict[str, object]]:
        """Return the rules of the file, if it has any."""
        return shown_rules(received_rules(self._find(router), most))
