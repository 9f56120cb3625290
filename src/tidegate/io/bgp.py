"""BGP on asyncio: the speaker with its peers and its listeners. All of the protocol is in `wire.bgp`.

One `Speaker` on one event loop; what is announced is kept for each peer and said whenever its session comes up.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import random
import socket
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from tidegate.errors import ConfigError, Inexpressible
from tidegate.io.bgp_link import Connection, Hooks, Link
from tidegate.io.bgp_socket import any_addresses, apply_ttl, family_of, listen_socket, set_md5
from tidegate.wire.bgp.constants import Family
from tidegate.wire.bgp.peer import Peer, PeerConfig, Way
from tidegate.wire.bgp.routes import FlowRoute, Route, RouteKey, UnicastRoute, route_key

__all__ = ["Hooks", "NeighborStatus", "PeerConfig", "Speaker"]

_LINGER_S: Final = 2.0  # how long peers may take to read their Cease


class NeighborStatus(msgspec.Struct, frozen=True):
    """One peer as people want to see it; `since` is wall-clock seconds of the last change up or down."""

    address: str
    state: str
    since: float
    peer_as: int | None
    router_id: str | None
    families: tuple[str, ...]
    received: Mapping[str, int]
    problems: Mapping[str, int]
    wanted: int
    sent: int
    waiting: int
    not_negotiated: int
    failures: int
    last_error: str


class Speaker:
    """Speaks BGP with a set of peers from `async with` to its end, which is a Cease 6/2 to each of them.

    `port` None listens nowhere; 0 takes a free port, see `ports`; `listen` None means every address of this machine
    (unknown peers are refused). `ConfigError` where a peer cannot be used or its address has one already. Routes may be
    announced and withdrawn at any time; what is wanted is sent when, and each time, a session comes up.
    """

    def __init__(
        self,
        peers: Sequence[PeerConfig] = (),
        *,
        port: int | None = 179,
        listen: Sequence[str] | None = None,
        hooks: Hooks | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._port = port
        self._listen = any_addresses() if listen is None else listen
        self._hooks = hooks or Hooks()
        self._links: dict[str, Link] = {}
        self._listeners: list[socket.socket] = []
        self._servers: list[asyncio.Server] = []
        self._tasks: asyncio.TaskGroup | None = None
        for config in peers:
            name = _canonical(config.address)
            if name in self._links:
                raise ConfigError(f"bgp.peers.{config.address}", "this address has a peer already")
            self._links[name] = Link(Peer(config, jitter=jitter), self._hooks, spawn=self._spawn)

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        try:
            for address in self._listen if self._port is not None else ():
                self._listeners.append(listen_socket(address, self._port or 0))
            for link in self._links.values():
                self._guard(link.peer.config)
            for sock in self._listeners:
                factory = functools.partial(Connection, Way.IN, None, find=self._find)
                self._servers.append(await loop.create_server(factory, sock=sock))
        except BaseException:
            for sock in self._listeners:
                sock.close()
            raise
        self._tasks = await asyncio.TaskGroup().__aenter__()
        for link in self._links.values():
            link.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.close()
        links = self._links.values()
        for link in links:
            link.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_S):
                for link in links:
                    await link.drained()
        for link in links:
            link.abort()
        if self._tasks is not None:
            tasks, self._tasks = self._tasks, None
            try:
                await tasks.__aexit__(kind, error, trace)
            except BaseExceptionGroup as group:
                if group.exceptions != (error,):  # what the block raised is raised by itself, not as a group
                    raise
        self._servers.clear()
        self._listeners.clear()

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports that are listened on, in the order of the addresses."""
        return tuple(sock.getsockname()[1] for server in self._servers for sock in server.sockets)

    def announce(self, peer: str | None, route: Route) -> None:
        """Want a route at one peer, or at every peer of its family; it replaces the route with the same key.

        `Inexpressible` where a peer cannot be told of it (with `peer` None the others are), `EncodeError` where the
        route is none, `ConfigError` where there is no such peer. A peer that is not up is told when it is.
        """
        family = route_key(route).family
        refusal: Inexpressible | None = None
        for link in self._addressed(peer, family):
            try:
                link.peer.rib.announce(route)
            except Inexpressible as error:
                refusal = refusal or error
            link.pump_soon()
        if refusal is not None:
            raise refusal

    def withdraw(self, peer: str | None, key: RouteKey) -> bool:
        """Want a route no more; tell whether any of the peers had it."""
        links = [self._link(peer)] if peer is not None else list(self._links.values())
        found = [link.peer.rib.withdraw(key) for link in links]
        for link in links:
            link.pump_soon()
        return any(found)

    def routes(self, peer: str | None) -> tuple[UnicastRoute, ...]:
        """Return the unicast routes that are wanted at a peer, or at any where `peer` is None, each once."""
        return tuple(route for route in self._wanted(peer) if isinstance(route, UnicastRoute))

    def flows(self, peer: str | None) -> tuple[FlowRoute, ...]:
        """Return the FlowSpec rules that are wanted at a peer, or at any where `peer` is None, each once."""
        return tuple(route for route in self._wanted(peer) if isinstance(route, FlowRoute))

    def neighbors(self) -> list[NeighborStatus]:
        """Return how things stand with each peer."""
        return [_status(link) for link in self._links.values()]

    def _wanted(self, peer: str | None) -> Iterable[Route]:
        links = [self._link(peer)] if peer is not None else list(self._links.values())
        return dict.fromkeys(route for link in links for route in link.peer.rib.wanted.values())

    def _link(self, peer: str) -> Link:
        link = self._links.get(_canonical(peer)) if isinstance(peer, str) else None  # a script may say anything
        if link is None:
            known = ", ".join(self._links) or "none"
            raise ConfigError(f"bgp.peers.{peer}", f"no such peer (known: {known})")
        return link

    def _addressed(self, peer: str | None, family: Family) -> list[Link]:
        if peer is not None:
            return [self._link(peer)]
        links = [link for link in self._links.values() if family in link.peer.config.families]
        if not links:
            raise Inexpressible("the route", f"the family {family.label}", "any peer")
        return links

    def _guard(self, config: PeerConfig) -> None:
        """Make the listeners ask for this peer's key, and answer with a time-to-live that GTSM lets in."""
        for sock in self._listeners:
            if sock.family != family_of(config.address):
                continue
            if config.md5_key is not None:
                set_md5(sock, config.address, config.md5_key)
            if config.gtsm_hops is not None:
                apply_ttl(sock, msgspec.structs.replace(config, gtsm_hops=None, ttl=255))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        if self._tasks is None:  # pragma: no cover - links are started inside `async with`
            raise RuntimeError("the speaker is not running")
        return self._tasks.create_task(work)

    def _find(self, connection: Connection) -> Link | None:
        """Return the link a new connection belongs to, or None where it is not welcome."""
        name = connection.transport.get_extra_info("peername")  # None where the peer is gone already
        link = self._links.get(_canonical(name[0])) if name else None
        if link is None or not self._servers[0].is_serving() or not link.accept(connection):
            return None
        return link


def _canonical(address: str) -> str:
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(address.partition("%")[0]))
    return address


def _status(link: Link) -> NeighborStatus:
    status = link.peer.status()
    agreed = status.negotiated
    return NeighborStatus(
        address=status.address,
        state=status.state.value,
        since=time.time() - (time.monotonic() - status.since),
        peer_as=None if agreed is None else agreed.peer_as,
        router_id=None if agreed is None else str(ipaddress.IPv4Address(agreed.router_id)),
        families=() if agreed is None else tuple(family.label for family in sorted(agreed.families)),
        received=dict(status.received),
        problems=dict(status.problems),
        wanted=status.wanted,
        sent=status.sent,
        waiting=status.waiting,
        not_negotiated=status.not_negotiated,
        failures=status.failures,
        last_error=status.last_error,
    )
