"""BGP on asyncio: sockets, timers and nothing else. All of the protocol is in `wire.bgp`.

One `Speaker` on one event loop. What happens on a socket goes to the peer's `Peer`; the effects it returns are done
here. UPDATEs are made when the socket can take them, a little at a time, so that neither ten thousand rules nor a peer
that does not read hold up the loop or grow memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import random
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Final, assert_never

import msgspec

from tidegate.errors import ConfigError, Inexpressible
from tidegate.io.bgp_socket import apply_ttl, dial_socket, family_of, listen_socket, set_md5
from tidegate.units import Seconds
from tidegate.wire.bgp.constants import Family
from tidegate.wire.bgp.peer import Peer, PeerConfig, PeerEffect, Way
from tidegate.wire.bgp.routes import FlowRoute, Route, RouteKey, UnicastRoute, route_key
from tidegate.wire.bgp.session import Close, Dial, Down, Refresh, Routes, Send, Up
from tidegate.wire.bgp.update import Update

__all__ = ["Hooks", "NeighborStatus", "PeerConfig", "Speaker"]

_LOG: Final = logging.getLogger("tidegate.bgp")
_CHUNK_OCTETS: Final = 16384  # encoded in about 5 ms, so that the loop stays responsive
_LINGER_S: Final = 2.0  # how long a closed connection may take to deliver its last message


def _nothing(*_: object) -> None:
    return


class Hooks(msgspec.Struct, frozen=True):
    """What to call on the event loop. `sent` has the peer, the route's key and wall-clock nanoseconds of the write."""

    up: Callable[[str], object] = _nothing
    down: Callable[[str], object] = _nothing
    sent: Callable[[str, RouteKey, int], object] = _nothing
    update: Callable[[str, Update], object] = _nothing


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
    sent: int
    wanted: int
    waiting: int
    failures: int
    last_error: str


class _Link:
    """A peer with its sockets: at most two connections, one attempt to connect, one timer."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.address = peer.config.address
        self.connections: dict[Way, _Connection] = {}
        self.dialling: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.pumping = False
        self.sent = 0


class Speaker:
    """Speaks BGP with a set of peers from `async with` to its end, which is a Cease 6/2 to each of them.

    `port` None listens nowhere; 0 takes a free port, see `ports`. Peers may be added and removed at any time, routes
    announced and withdrawn at any time; what is wanted is sent when, and each time, a session comes up.
    """

    def __init__(
        self,
        peers: Sequence[PeerConfig] = (),
        *,
        port: int | None = 179,
        listen: Sequence[str] = ("0.0.0.0", "::"),  # noqa: S104 - a router must reach it; unknown peers are refused
        hooks: Hooks | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.refused = 0
        self._port = port
        self._listen = listen
        self._hooks = hooks or Hooks()
        self._jitter = jitter
        self._links: dict[str, _Link] = {}
        self._listeners: list[socket.socket] = []
        self._servers: list[asyncio.Server] = []
        self._closing: set[asyncio.Transport] = set()
        self._tasks: asyncio.TaskGroup | None = None
        for config in peers:
            self.add_peer(config)

    async def __aenter__(self) -> Speaker:
        loop = asyncio.get_running_loop()
        try:
            for address in self._listen if self._port is not None else ():
                self._listeners.append(listen_socket(address, self._port or 0))
            for link in self._links.values():
                self._guard(link.peer.config)
            for sock in self._listeners:
                self._servers.append(await loop.create_server(lambda: _Connection(self, Way.IN), sock=sock))
        except BaseException:
            for sock in self._listeners:
                sock.close()
            raise
        self._tasks = await asyncio.TaskGroup().__aenter__()
        for link in self._links.values():
            self._do(link, link.peer.start(_now()))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.close()
        for link in self._links.values():
            self._stop(link)
        deadline = _now() + _LINGER_S
        while self._closing and _now() < deadline:
            await asyncio.sleep(0.005)
        for transport in self._closing:
            transport.abort()
        if self._tasks is not None:
            await self._tasks.__aexit__(kind, error, trace)
            self._tasks = None
        self._servers.clear()
        self._listeners.clear()

    async def run(self) -> None:
        """Speak until cancelled."""
        async with self:
            await asyncio.get_running_loop().create_future()

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports that are listened on, in the order of the addresses."""
        return tuple(sock.getsockname()[1] for server in self._servers for sock in server.sockets)

    def add_peer(self, config: PeerConfig) -> None:
        """Take on a peer; `ConfigError` where it cannot be used or its address has one already."""
        link = _Link(Peer(config, jitter=self._jitter))
        name = _canonical(config.address)
        if name in self._links:
            raise ConfigError(f"bgp.peers.{config.address}", "this address has a peer already")
        self._links[name] = link
        if self._tasks is not None:
            self._guard(config)
            self._do(link, link.peer.start(_now()))

    def remove_peer(self, peer: str) -> bool:
        """Part from a peer with Cease 6/2 and forget its routes; tell whether there was one."""
        link = self._links.pop(_canonical(peer), None)
        if link is None:
            return False
        self._stop(link)
        for sock in self._listeners if link.peer.config.md5_key is not None else ():
            if sock.family == family_of(link.address):
                set_md5(sock, link.address, None)
        return True

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
            self._pump_soon(link)
        if refusal is not None:
            raise refusal

    def withdraw(self, peer: str | None, key: RouteKey) -> bool:
        """Want a route no more; tell whether any of the peers had it."""
        links = [self._link(peer)] if peer is not None else list(self._links.values())
        found = [link.peer.rib.withdraw(key) for link in links]
        for link in links:
            self._pump_soon(link)
        return any(found)

    def routes(self, peer: str) -> tuple[UnicastRoute, ...]:
        """Return the unicast routes that are wanted at a peer."""
        wanted = self._link(peer).peer.rib.wanted.values()
        return tuple(route for route in wanted if isinstance(route, UnicastRoute))

    def flows(self, peer: str) -> tuple[FlowRoute, ...]:
        """Return the FlowSpec rules that are wanted at a peer."""
        wanted = self._link(peer).peer.rib.wanted.values()
        return tuple(route for route in wanted if isinstance(route, FlowRoute))

    def neighbors(self) -> list[NeighborStatus]:
        """Return how things stand with each peer."""
        return [_status(link) for link in self._links.values()]

    def _link(self, peer: str) -> _Link:
        link = self._links.get(_canonical(peer))
        if link is None:
            known = ", ".join(self._links) or "none"
            raise ConfigError(f"bgp.peers.{peer}", f"no such peer (known: {known})")
        return link

    def _addressed(self, peer: str | None, family: Family) -> list[_Link]:
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

    def _stop(self, link: _Link) -> None:
        self._do(link, link.peer.stop(_now()))
        if link.timer is not None:
            link.timer.cancel()

    def _accept(self, connection: _Connection) -> _Link | None:
        """Return the link a new connection belongs to, or None where it is not welcome."""
        host = str(connection.transport.get_extra_info("peername")[0])
        link = self._links.get(_canonical(host))
        if link is None or self._tasks is None or not link.peer.may_accept(_now()):
            self.refused += 1
            return None
        apply_ttl(connection.transport.get_extra_info("socket"), link.peer.config)
        self._do(link, link.peer.evict(_now()))
        return link

    def _do(self, link: _Link, effects: list[PeerEffect]) -> None:
        for each in effects:
            self._do_one(link, each)
        if link.timer is not None:
            link.timer.cancel()
        deadline = link.peer.deadline()
        loop = asyncio.get_running_loop()
        link.timer = None if deadline is None else loop.call_at(deadline, self._tick, link)
        self._pump_soon(link)

    def _do_one(self, link: _Link, each: PeerEffect) -> None:
        match each.effect:
            case Dial():
                self._dial(link)
            case Send(data=data):
                link.connections[each.way].transport.write(data)
            case Close(abort=abort):
                self._close(link, each.way, abort=abort)
            case Up():
                _LOG.info("%s: established, AS %d", link.address, each.effect.negotiated.peer_as)
                self._call(self._hooks.up, link.address)
            case Down(was_up=True, reason=reason):
                _LOG.warning("%s: down: %s", link.address, reason)
                self._call(self._hooks.down, link.address)
            case Down():
                _LOG.info("%s: not connected: %s", link.address, each.effect.reason)
            case Routes(update=update):
                self._call(self._hooks.update, link.address, update)
            case Refresh():
                pass  # the peer has marked the routes
            case effect:
                assert_never(effect)

    def _call(self, hook: Callable[..., object], *arguments: object) -> None:
        """Call a hook; what it raises is its own affair and never ends a session."""
        try:
            hook(*arguments)
        except Exception:
            _LOG.exception("a BGP hook failed")

    def _tick(self, link: _Link) -> None:
        link.timer = None
        self._do(link, link.peer.tick(_now()))

    def _dial(self, link: _Link) -> None:
        if self._tasks is None:
            return
        link.dialling = self._tasks.create_task(self._connect(link))

    async def _connect(self, link: _Link) -> None:
        config = link.peer.config
        loop = asyncio.get_running_loop()
        sock = None
        try:
            sock = dial_socket(config)
            await loop.sock_connect(sock, (config.address, config.port))
            link.dialling = None  # from here on the connection is the one to be closed
            await loop.create_connection(lambda: _Connection(self, Way.OUT, link), sock=sock)
        except OSError as error:
            if sock is not None:
                sock.close()
            link.dialling = None
            reason = f"connecting to {config.address} port {config.port}: {os.strerror(error.errno or 0)}"
            self._do(link, link.peer.disconnected(Way.OUT, _now(), reason=reason))
        except asyncio.CancelledError:
            if sock is not None:
                sock.close()
            raise

    def _close(self, link: _Link, way: Way, *, abort: bool) -> None:
        if way is Way.OUT and link.dialling is not None:
            link.dialling.cancel()
            link.dialling = None
        connection = link.connections.pop(way, None)
        if connection is None:
            return
        connection.link = None  # nothing it still hears counts
        self._closing.add(connection.transport)
        if abort:
            connection.transport.abort()
        else:
            connection.transport.close()
            asyncio.get_running_loop().call_later(_LINGER_S, connection.transport.abort)

    def _pump_soon(self, link: _Link) -> None:
        if link.peer.established is not None and not link.pumping:
            link.pumping = True
            asyncio.get_running_loop().call_soon(self._pump, link)

    def _pump(self, link: _Link) -> None:
        """Write one chunk of UPDATEs if the socket takes them at once, and come back for the next one."""
        link.pumping = False
        way = link.peer.established
        connection = None if way is None else link.connections.get(way)
        if connection is None or connection.paused:
            return
        messages = link.peer.pull(_CHUNK_OCTETS)
        if not messages:
            return
        connection.transport.write(b"".join(message.data for message in messages))
        wall_ns = time.time_ns()
        link.sent += len(messages)
        for message in messages:
            for key in message.keys:
                self._call(self._hooks.sent, link.address, key, wall_ns)
        self._pump_soon(link)


class _Connection(asyncio.Protocol):
    """One TCP connection: it passes on what it hears, and says nothing of its own."""

    transport: asyncio.Transport

    def __init__(self, speaker: Speaker, way: Way, link: _Link | None = None) -> None:
        self.link = link
        self.paused = False
        self._speaker = speaker
        self._way = way

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not isinstance(transport, asyncio.Transport):  # pragma: no cover - asyncio gives stream protocols no other
            raise TypeError(transport)
        self.transport = transport
        transport.set_write_buffer_limits(high=0)  # told at once when the peer does not take what is written
        if self._way is Way.IN:
            self.link = self._speaker._accept(self)
        if self.link is None:
            transport.abort()
            return
        self.link.connections[self._way] = self
        self._speaker._do(self.link, self.link.peer.connected(self._way, _now()))

    def data_received(self, data: bytes) -> None:
        if self.link is not None:
            self._speaker._do(self.link, self.link.peer.receive(self._way, data, _now()))

    def connection_lost(self, exc: Exception | None) -> None:
        self._speaker._closing.discard(self.transport)
        link, self.link = self.link, None
        if link is None:
            return
        link.connections.pop(self._way, None)
        reason = "the peer closed the connection" if exc is None else f"the connection broke: {exc}"
        self._speaker._do(link, link.peer.disconnected(self._way, _now(), reason=reason))

    def pause_writing(self) -> None:
        self.paused = True
        if self.link is not None:
            self.link.peer.sessions[self._way].blocked(_now())
            self._speaker._do(self.link, [])

    def resume_writing(self) -> None:
        self.paused = False
        if self.link is not None:
            self.link.peer.sessions[self._way].unblocked()
            self._speaker._do(self.link, [])


def _now() -> Seconds:
    return Seconds(asyncio.get_running_loop().time())


def _canonical(address: str) -> str:
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(address.partition("%")[0]))
    return address


def _status(link: _Link) -> NeighborStatus:
    status = link.peer.status()
    agreed = status.negotiated
    return NeighborStatus(
        address=status.address,
        state=status.state.value,
        since=time.time() - (time.monotonic() - status.since),
        peer_as=None if agreed is None else agreed.peer_as,
        router_id=None if agreed is None else str(ipaddress.IPv4Address(agreed.router_id)),
        families=() if agreed is None else tuple(family.label for family in sorted(agreed.families)),
        received=status.received,
        problems=status.problems,
        sent=link.sent,
        wanted=status.wanted,
        waiting=status.waiting,
        failures=status.failures,
        last_error=status.last_error,
    )
