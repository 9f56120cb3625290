"""The speaker and the script host in the shapes that REST asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TypeVar

import msgspec

from tidegate.apps import script_http
from tidegate.apps.bgp_service import BgpService
from tidegate.apps.prefix_ranking import TopQuery
from tidegate.apps.received import MOST_RULES, Page, best_route, received_routes, received_rules, shown_rules
from tidegate.apps.routing import router_name
from tidegate.apps.script_host import ScriptHost
from tidegate.control.flowspec import flow_key, format_flow, parse_flow
from tidegate.control.unicast import format_unicast, parse_unicast, unicast_key
from tidegate.io.bgp import NeighborStatus
from tidegate.io.bmp import RouterStatus
from tidegate.web.backend import (
    BgpNoticeInfo,
    BmpPeerInfo,
    BmpRouterInfo,
    NeighborInfo,
    ReceivedRequest,
    ScriptReply,
    ScriptRequest,
    ScriptStatus,
    SelfTestInfo,
    TopPrefixesRequest,
)
from tidegate.wire.bgp.prefix import parse_address, parse_prefix

__all__ = ["RestScripts", "RestSpeaker"]

T = TypeVar("T", bound=msgspec.Struct)
_BAD_REQUEST, _UNAVAILABLE = 400, 503


class RestSpeaker:
    """`tidegate.web.backend.Announcer` over what there is of BGP on the same event loop."""

    def __init__(self, service: BgpService) -> None:
        self._service = service

    def neighbors(self) -> list[NeighborInfo]:
        """Return the neighbours."""
        return [_neighbor(status) for status in self._service.neighbors()]

    def flows(self, router: str) -> list[dict[str, object]]:
        """Return the FlowSpec rules wanted at a neighbour."""
        return [dict(format_flow(flow)) for flow in self._service.known().flows(router)]

    def announce_flow(self, router: str, rule: Mapping[str, object]) -> None:
        """Want a FlowSpec rule."""
        self._service.announce(router, parse_flow(rule))

    def withdraw_flow(self, router: str, rule: Mapping[str, object]) -> bool:
        """Want a rule no more."""
        return self._service.withdraw(router, flow_key(rule))

    def routes(self, router: str) -> list[dict[str, object]]:
        """Return the unicast routes wanted at a neighbour."""
        return [dict(format_unicast(route)) for route in self._service.known().routes(router)]

    def announce_route(self, router: str, route: Mapping[str, object]) -> None:
        """Want a unicast route."""
        self._service.announce(router, parse_unicast(route))

    def withdraw_route(self, router: str, prefix: str) -> bool:
        """Want a route no more."""
        return self._service.withdraw(router, unicast_key(prefix))

    def routers(self) -> list[BmpRouterInfo]:
        """Return the routers that tell by BMP."""
        return [_monitored(status) for status in self._service.monitored()]

    def log(self, router: str | None, most: int) -> list[BgpNoticeInfo]:
        """Return what happened lately."""
        name = None if router is None else router_name(router)
        return [_same(BgpNoticeInfo, notice) for notice in self._service.log.latest(name, most=most)]

    async def top_prefixes(self, router: str, request: TopPrefixesRequest) -> dict[str, object]:
        """Return the prefixes that carry most traffic."""
        query = TopQuery(
            most=request.max_prefixes,
            min_value=request.min_value,
            direction=request.direction,
            include_covered=request.include_covered,
            min_prefix=request.min_prefix,
            prune_covered=request.prune_covered,
            ipv6=request.ipv6,
        )
        found: dict[str, object] = msgspec.to_builtins(await asyncio.to_thread(self._service.ranking(router, query)))
        return found

    async def best_route(self, router: str, address: str) -> dict[str, object] | None:
        """Return the longest match of an address."""
        octets = parse_address(address)
        return await asyncio.to_thread(best_route, self._service.find(router), octets)

    async def received_routes(self, router: str, request: ReceivedRequest) -> list[dict[str, object]]:
        """Return routes of a router's table."""
        page = Page(
            most=request.max_routes,
            inside=parse_prefix(request.prefix) if request.prefix else None,
            after=parse_prefix(request.after) if request.after else None,
        )
        return await asyncio.to_thread(received_routes, self._service.find(router), page)

    async def received_flows(self, router: str) -> list[dict[str, object]]:
        """Return the FlowSpec rules that a router has announced."""
        return await asyncio.to_thread(shown_rules, received_rules(self._service.find(router), MOST_RULES))

    def reset(self, router: str) -> None:
        """End the session with a neighbour."""
        self._service.known().reset_peer(router)

    def refresh(self, router: str, family: str | None) -> list[str]:
        """Ask a neighbour for its routes again."""
        return self._service.refresh(router, family)

    async def self_test(self, router: str) -> SelfTestInfo:
        """Try a rule that can hit nothing."""
        found = await self._service.self_test(router)
        return SelfTestInfo(found.passed, found.profile, {one.family: one.text for one in found.families})


def _neighbor(status: NeighborStatus) -> NeighborInfo:
    known = {name: getattr(status, name) for name in NeighborInfo.__struct_fields__ if hasattr(status, name)}
    return NeighborInfo(**known, hold_time=status.hold_time_s, uptime=round(status.uptime_s, 3))


def _monitored(status: RouterStatus) -> BmpRouterInfo:
    known = msgspec.structs.asdict(status)
    return BmpRouterInfo(**{**known, "peers": tuple(_same(BmpPeerInfo, peer) for peer in status.peers)})


def _same(kind: type[T], found: msgspec.Struct) -> T:
    return kind(**msgspec.structs.asdict(found))


class RestScripts:
    """`tidegate.web.backend.ScriptHost` over the script host, whose answers come from the scripts' own threads.

    REST is there before the scripts, which may ask for it: until `host` is set there are none.
    """

    def __init__(self) -> None:
        self.host: ScriptHost | None = None

    def scripts(self) -> dict[str, ScriptStatus]:
        """Return the scripts."""
        return {} if self.host is None else self.host.status()

    async def request(self, app: str, file: str, request: ScriptRequest) -> ScriptReply | None:
        """Ask a script's handler."""
        if self.host is None:
            return ScriptReply("the scripts are being loaded", _UNAVAILABLE)
        if request.error is not None:
            return ScriptReply(request.error, _BAD_REQUEST)
        call = script_http.HttpCall(
            request.method,
            request.path,
            {name: tuple(texts) for name, texts in request.query.items()},
            request.body,
            request.format,
        )
        try:
            value = await asyncio.wrap_future(self.host.ask(app, file, call))
        except script_http.HttpError as error:
            return ScriptReply(error.reason, error.status)
        return ScriptReply(value)
