"""BGP in a running instance: the speaker, the BMP station, what agents are tied to, and the log of it all.

Everything here is for the event loop, but for what `ranking` returns. The speaker begins with its first neighbour: one
of the configuration, or one that a script adds. Ties are looked at each second, and made anew where something came or
went.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final

import msgspec

from tidegate.apps.analyzer import Analyzer
from tidegate.apps.bgp_log import BgpLog
from tidegate.apps.config import FAMILIES, BgpConfig, Config, peers_of, sources_of, state_of, station_of
from tidegate.apps.prefix_ranking import TopPrefixes, TopQuery, make_query, rank_table
from tidegate.apps.routing import (
    FILE,
    RouterTable,
    Source,
    Sources,
    bmp_parts,
    parse_next_hops,
    router_name,
)
from tidegate.data.address import Words
from tidegate.errors import ConfigError, NotPermitted, TidegateError
from tidegate.io.bgp import NeighborStatus, PeerConfig, SelfTest, Speaker
from tidegate.io.bgp_hooks import Hooks
from tidegate.io.bgp_socket import canonical
from tidegate.io.bgp_wanted import EVERYONE
from tidegate.io.bmp import BmpHooks, BmpStation, RouterStatus, StationConfig
from tidegate.wire.bgp.constants import Family, Safi
from tidegate.wire.bgp.routes import Route, RouteKey, UnicastRoute

__all__ = ["BgpService", "Told", "bgp_service"]

_UNPRIVILEGED_BGP_PORT: Final = 1179
_TIE_S: Final = 1.0
_LOG: Final = logging.getLogger(__name__)


def _nothing(*_: object) -> None:
    return


class Told(msgspec.Struct):
    """Whom to tell of neighbours; set by who is there later than the speaker."""

    up: Callable[[str], object] = _nothing
    down: Callable[[str], object] = _nothing
    sent: Callable[[str, RouteKey, int], object] = _nothing


@contextlib.asynccontextmanager
async def bgp_service(
    config: Config, analyzer: Analyzer, told: Told, *, now: Callable[[], float], file: RouterTable | None = None
) -> AsyncIterator[BgpService]:
    """Speak BGP and listen to BMP until the block ends; `SourceError` and `ConfigError` where something cannot start.

    `file` is the table of agents that no source names.
    """
    async with contextlib.AsyncExitStack() as stack:
        service = BgpService(config.bgp, analyzer, told, stack=stack, log=BgpLog(now), file=file)
        station = station_of(config.bmp)
        if station is not None:
            await service.listen(station)
        if config.bgp.peers:
            await service.start()
        await service.tie()
        tying = asyncio.create_task(service.keep_tied())
        try:
            yield service
        finally:
            tying.cancel()
            await asyncio.wait([tying])


class BgpService:
    """See the module and `bgp_service`."""

    def __init__(
        self,
        config: BgpConfig,
        analyzer: Analyzer,
        told: Told,
        *,
        stack: contextlib.AsyncExitStack,
        log: BgpLog,
        file: RouterTable | None,
    ) -> None:
        self.log = log
        self.speaker: Speaker | None = None
        self.station: BmpStation | None = None
        self._config = config
        self._analyzer = analyzer
        self._told = told
        self._stack = stack
        self._file = file
        self._sources = Sources(file)
        self._pushed: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
        self._asns: dict[str, int] = {}  # the last one of each neighbour
        self._starting = asyncio.Lock()
        self._tying = asyncio.Lock()
        self._tied: object = None
        for source in sources_of(config):
            self._sources.add(source)
        self._sources.set_next_hops(parse_next_hops(config.next_hops))

    async def listen(self, config: StationConfig) -> None:
        """Let routers connect by BMP."""

        def say(router: str, text: str) -> None:
            self.log.add(f"bmp:{router}", "bmp", text)

        hooks = BmpHooks(
            router_up=lambda router: say(router, "connected"),
            router_down=lambda router, why: say(router, f"down: {why}"),
            peer_up=lambda router, key: say(router, f"its peer {key} is up"),
            peer_down=lambda router, key, why: say(router, f"its peer {key} is down: {why}"),
            end_of_rib=lambda router, key, _, family: say(router, f"{key}: all routes of {family.label} are told"),
        )
        self.station = await self._stack.enter_async_context(BmpStation(config, hooks, lock=threading.Lock()))

    async def start(self) -> Speaker:
        """Begin to speak, unless that was done; on port 1179 where 179 needs privileges that are not there."""
        async with self._starting:
            if self.speaker is None:
                self.speaker = await self._begin()
                restored = len(self.speaker.restored())
                if restored:
                    self.log.add(EVERYONE, "change", f"{restored} routes restored from the state file")
        return self.speaker

    async def _begin(self) -> Speaker:
        try:
            return await self._stack.enter_async_context(self._speaker(self._config.port))
        except NotPermitted as error:
            if self._config.port != BgpConfig().port:
                raise
            _LOG.warning("%s; listening on port %d", error, _UNPRIVILEGED_BGP_PORT)
            return await self._stack.enter_async_context(self._speaker(_UNPRIVILEGED_BGP_PORT))

    def _speaker(self, port: int | None) -> Speaker:
        hooks = Hooks(
            up=lambda peer: self._told.up(canonical(peer)),
            down=lambda peer: self._told.down(canonical(peer)),
            sent=self._told.sent,
            changed=lambda peer, text: self.log.add(canonical(peer), "change", text),
            warned=lambda peer, text: self.log.add(canonical(peer), "warning", text),
        )
        listen, state = self._config.listen or None, state_of(self._config)
        return Speaker(peers_of(self._config), port=port, listen=listen, hooks=hooks, state=state)

    def ports(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the ports that are listened on for BGP, and for BMP."""
        return (
            () if self.speaker is None else self.speaker.ports,
            () if self.station is None else self.station.ports,
        )

    def known(self) -> Speaker:
        """Return the speaker; `ConfigError` where there is no neighbour yet."""
        if self.speaker is None:
            raise ConfigError("bgp", "there is no BGP neighbour")
        return self.speaker

    async def add_neighbor(self, config: PeerConfig) -> None:
        """Speak with one more neighbour; the same again changes nothing, other settings are a `ConfigError`."""
        speaker = await self.start()
        try:
            known = speaker.peer(config.address).config
        except ConfigError:
            speaker.add_peer(config)
            await self.tie()
            return
        if msgspec.structs.replace(known, address=config.address) != config:
            raise ConfigError(f"bgp.peers.{config.address}", "there is this neighbour with other settings; remove it")

    async def remove_neighbor(self, router: str) -> None:
        """Part with a neighbour; `ConfigError` where there is none."""
        self.known().remove_peer(router)
        await self.tie()

    async def add_source(self, source: Source) -> None:
        """Look agents up in the table of a router, and rank its prefixes."""
        for name in (source.router, source.router6):
            if name:
                self._check_router(name)
        self._sources.add(source)
        await self.tie()

    def _check_router(self, name: str) -> None:
        """Refuse a neighbour that is not there; a router that tells by BMP may come later."""
        if bmp_parts(name) is None or self.station is None:
            self.find(name)

    async def set_next_hops(self, hops: Mapping[Words, int]) -> None:
        """Say which MAC each next hop has."""
        self._sources.set_next_hops(hops)
        await self.tie()

    async def keep_tied(self) -> None:
        """Tie agents again whenever neighbours and tables have come or gone; until cancelled."""
        while True:
            await asyncio.sleep(_TIE_S)
            try:
                await self.tie()
            except TidegateError:
                _LOG.exception("agents were not tied to routers")

    async def tie(self) -> None:
        """Tie agents to the tables that there are, if that has changed."""
        async with self._tying:
            found = (self._sources.version, [self._standing(name) for name in self._sources.routers()])
            if found == self._tied:
                return
            routing, definitions = self._sources.routing(self.find), self._sources.definitions()
            await asyncio.to_thread(self._analyzer.set_routing, routing)
            await asyncio.to_thread(self._analyzer.set_own_flows, definitions)
            self._tied = found

    def _standing(self, name: str) -> tuple[int, list[int]] | None:
        try:
            table = self.find(name)
        except ConfigError:
            return None
        return table.asn, [id(rib) for rib in table.ribs]

    def find(self, router: str) -> RouterTable:
        """Return a router's table; `ConfigError` where there is no such router."""
        name = router_name(router)
        if name == FILE:
            if self._file is None:
                raise ConfigError(FILE, "there is no table of a file: start with --rib FILE")
            return self._file
        by_bmp = bmp_parts(name)
        return self._find_neighbor(name) if by_bmp is None else self._find_monitored(name, *by_bmp)

    def _find_neighbor(self, name: str) -> RouterTable:
        peer = self.known().peer(name)
        negotiated = peer.connections.negotiated
        asn = self._asns.get(name, peer.config.peer_as or 0) if negotiated is None else int(negotiated.peer_as)
        self._asns[name] = asn
        everyone, own = self._pushed.get(EVERYONE, (0, 0)), self._pushed.get(name, (0, 0))
        pushed = everyone[0] + own[0], everyone[1] + own[1]
        return RouterTable(name, asn, peer.connections.best.state.value, (peer.rib_in,), pushed)

    def _find_monitored(self, name: str, router: str, peer: str | None) -> RouterTable:
        if self.station is None:
            raise ConfigError(name, "no router may tell by BMP: [bmp] allow names none")
        status = next((one for one in self.station.routers() if one.address == router), None)
        if status is None:
            known = ", ".join(dict.fromkeys(f"bmp:{one.address}" for one in self.station.routers())) or "none"
            raise ConfigError(name, f"no such router has connected (known: {known})")
        own = next((one.asn for one in status.peers if one.name == "loc-rib"), 0)
        state = "established" if status.state == "up" else "idle"
        return RouterTable(name, own, state, self.station.tables(router, peer))

    def ranking(self, router: str, query: TopQuery) -> Callable[[], TopPrefixes]:
        """Return what ranks a router's prefixes, to be called on another thread; `ConfigError`."""
        asked, table = make_query(query), self.find(router)
        return lambda: rank_table(table, asked, sources=self._sources, analyzer=self._analyzer)

    def announce(self, peer: str | None, route: Route) -> None:
        """Want a route, see `Speaker.announce`."""
        self.known().announce(peer, route)
        self._count(peer, 0, unicast=isinstance(route, UnicastRoute))

    def withdraw(self, peer: str | None, key: RouteKey) -> bool:
        """Want a route no more, see `Speaker.withdraw`."""
        found = self.known().withdraw(peer, key)
        self._count(peer, 1, unicast=found and key.family.safi is Safi.UNICAST)
        return found

    def _count(self, peer: str | None, place: int, *, unicast: bool) -> None:
        if unicast:
            self._pushed[EVERYONE if peer is None else router_name(peer)][place] += 1

    def refresh(self, router: str, family: str | None) -> list[str]:
        """Ask a neighbour for its routes again, of all families or one; return those that it was asked for."""
        labels = {one.label: one for one in Family} | FAMILIES
        if family is not None and family not in labels:
            raise ConfigError("family", f"{family!r:.100} is none of {', '.join(labels)}")
        asked = self.known().request_refresh(router, None if family is None else labels[family])
        return [one.label for one in asked]

    async def self_test(self, router: str) -> SelfTest:
        """Send a neighbour a rule that can hit nothing, see `Speaker.self_test`."""
        return await self.known().self_test(router, wait_s=self._config.self_test_s)

    def neighbors(self) -> list[NeighborStatus]:
        """Return the neighbours."""
        return [] if self.speaker is None else self.speaker.neighbors()

    def monitored(self) -> list[RouterStatus]:
        """Return the routers that tell by BMP."""
        return [] if self.station is None else self.station.routers()

    def totals(self) -> dict[str, object]:
        """Return what `/analyzer/json` tells of BGP; nothing where there is none."""
        totals: dict[str, object] = {}
        neighbors, routers = self.neighbors(), self.monitored()
        if self.speaker is not None:
            totals |= {
                "bgpNeighbors": len(neighbors),
                "bgpNeighborsEstablished": sum(one.state == "established" for one in neighbors),
                "bgpConnectionsRefused": self.speaker.refused,
                "bgpFlaps": sum(one.flaps for one in neighbors),
                "bgpRoutesReceived": sum(sum(one.prefixes.values()) for one in neighbors),
                "bgpRoutesWanted": sum(one.wanted for one in neighbors),
                "bgpRoutesSent": sum(one.sent for one in neighbors),
                "bgpRoutesHeldBack": sum(one.held_back for one in neighbors),
                "bgpUpdateProblems": sum(sum(one.problems.values()) for one in neighbors),
                "bgpOctetsReceived": sum(one.octets_in for one in neighbors),
                "bgpOctetsSent": sum(one.octets_out for one in neighbors),
            }
        if self.station is not None:
            totals |= {
                "bmpRouters": sum(one.state == "up" for one in routers),
                "bmpPeers": sum(peer.state == "up" for one in routers for peer in one.peers),
                "bmpRoutesReceived": sum(one.routes for one in routers),
                "bmpOctetsReceived": sum(one.octets for one in routers),
                "bmpConnectionsRefused": sum(self.station.refused.values()),
            }
        return totals
