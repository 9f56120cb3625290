"""A monitoring station on asyncio: routers connect and tell their peers and routes. All of BMP is in `wire.bgp`.

A router that says much gets its turn like the others: what has been read from a connection is taken a chunk at a time,
for no longer than `_TURN_S` in one turn of the loop, and until then nothing more is read from it. Routers that say
nothing are kept; those whose machine is gone are found out by TCP.

BMP has no port of its own (RFC 7854 section 3.2); 11019 is what GoBGP listens on and what examples of FRR use.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Final, Self, assert_never

import msgspec

from tidegate.errors import ConfigError
from tidegate.io.bgp_socket import any_addresses, listen_socket
from tidegate.units import Seconds
from tidegate.wire.bgp import bmp_session as session
from tidegate.wire.bgp.bmp import PeerKey, View
from tidegate.wire.bgp.bmp_session import BmpConfig, BmpEffect, BmpSession, MonitoredPeer
from tidegate.wire.bgp.constants import Family
from tidegate.wire.bgp.prefix import address_text
from tidegate.wire.bgp.ribin import RibIn
from tidegate.wire.bgp.update import Update
from tidegate.wire.bgp.update_scan import UpdateRun

__all__ = ["BmpHooks", "BmpStation", "RouterPeer", "RouterStatus", "StationConfig"]

_LOG: Final = logging.getLogger("tidegate.bmp")
_CHUNK_OCTETS: Final = 4096  # some 50 UPDATEs: 5 ms where all are good, 15 where all are bad
_TURN_S: Final = 0.01
_GONE: Final = 64  # routers that are remembered after their connection
_WORDS: Final = 100  # lines of log a minute, for each connection
_KEEPALIVE: Final = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 20), (socket.TCP_KEEPCNT, 3))


class StationConfig(msgspec.Struct, frozen=True):
    """Who may connect, and to where. `allow` has prefixes of routers; nobody else is heard."""

    allow: tuple[str, ...]
    listen: tuple[str, ...] | None = None  # None: all addresses of this machine
    port: int = 11019  # 0: a free one
    max_connections: int = 64
    max_connections_each: int = 4  # of one address; beyond it the oldest makes room
    router: BmpConfig = BmpConfig()


def _nothing(*_: object) -> None:
    return


class BmpHooks(msgspec.Struct, frozen=True):
    """What to call on the event loop; the first argument is the router's address."""

    router_up: Callable[[str], object] = _nothing
    router_down: Callable[[str, str], object] = _nothing  # and the reason
    peer_up: Callable[[str, PeerKey], object] = _nothing
    peer_down: Callable[[str, PeerKey, str], object] = _nothing
    routes: Callable[[str, PeerKey, View, Update | UpdateRun], object] = _nothing
    end_of_rib: Callable[[str, PeerKey, View, Family], object] = _nothing


class RouterPeer(msgspec.Struct, frozen=True):
    """One peer of a router as people want to see it; `since` is wall-clock seconds of the last change up or down."""

    name: str
    asn: int
    router_id: str
    state: str  # up or down
    since: float
    reason: str
    table_name: str
    view: str  # that makes its table, empty if none
    prefixes: Mapping[str, int]
    end_of_rib: tuple[str, ...]
    updates: Mapping[str, int]
    problems: Mapping[str, int]
    statistics: Mapping[str, int]
    mirrored: int


class RouterStatus(msgspec.Struct, frozen=True):
    """One connection of a router; `last_error` is why the one before it ended, or this one where it is down."""

    address: str
    port: int
    state: str  # up or down
    since: float
    sys_name: str
    sys_descr: str
    last_error: str
    octets: int
    routes: int
    messages: Mapping[str, int]
    ignored: Mapping[str, int]
    peers: tuple[RouterPeer, ...]


class BmpStation:
    """Listens from `async with` to its end. `lock` is for who looks up from another thread."""

    def __init__(
        self,
        config: StationConfig,
        hooks: BmpHooks | None = None,
        *,
        lock: AbstractContextManager[Any] | None = None,
    ) -> None:
        self.config = config
        self.lock = lock
        self.refused: Counter[str] = Counter()
        self.hooks = hooks or BmpHooks()
        self._allow = tuple(_network(text) for text in config.allow)
        self._servers: list[asyncio.Server] = []
        self._routers: list[_Router] = []  # the oldest first
        self._gone: dict[str, RouterStatus] = {}
        self._waiting: deque[_Router] = deque()
        self._pumping = False

    async def __aenter__(self) -> Self:
        addresses = any_addresses() if self.config.listen is None else self.config.listen
        sockets: list[socket.socket] = []
        try:
            sockets += (listen_socket(address, self.config.port, name="BMP listener") for address in addresses)
            loop = asyncio.get_running_loop()
            while sockets:
                self._servers.append(await loop.create_server(lambda: _Router(self), sock=sockets[0]))
                del sockets[0]
        except BaseException:
            self._stop()
            raise
        finally:
            for sock in sockets:
                sock.close()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        for router in list(self._routers):
            router.end("the station ends")
        while self._routers:  # noqa: ASYNC110 - transports tell of their end in a turn of the loop
            await asyncio.sleep(0)

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports that are listened on."""
        return tuple(sock.getsockname()[1] for server in self._servers for sock in server.sockets)

    def routers(self) -> list[RouterStatus]:
        """Return how routers stand: those that are connected, then those that were."""
        return [*(router.status() for router in self._routers), *self._gone.values()]

    def tables(self, address: str, peer: str | None = None) -> tuple[RibIn, ...]:
        """Return the tables that tell how a router forwards, from its newest connection that has any.

        With the name of one of the router's peers that of this peer alone.
        """
        sessions = [router.session for router in reversed(self._routers) if router.address == address]
        if peer is None:
            return next((tables for session in sessions if (tables := session.preferred())), ())
        named = ((table for key, table in session.tables().items() if str(key) == peer) for session in sessions)
        return next((tables for one in named if (tables := tuple(one))), ())

    def welcome(self, router: _Router) -> bool:
        """Tell whether a connection may stay; an older one of the same router may have to make room."""
        address = ipaddress.ip_address(router.address)
        if not any(address in network for network in self._allow if network.version == address.version):
            self._refuse(router, "the address is not allowed")
            return False
        mine = [each for each in self._routers if each.address == router.address and not each.session.ended]
        if len(mine) >= self.config.max_connections_each:
            mine[0].end("a newer connection of the same router took its place")
        elif len(self._routers) >= self.config.max_connections:
            self._refuse(router, "there are too many connections")
            return False
        gone = self._gone.pop(router.address, None)
        router.last_error = "" if gone is None else gone.last_error
        self._routers.append(router)
        return True

    def lost(self, router: _Router) -> None:
        """Hear that a connection is over."""
        self._routers.remove(router)
        while router in self._waiting:
            self._waiting.remove(router)
        if any(each.address == router.address for each in self._routers):
            return
        if len(self._gone) >= _GONE:
            del self._gone[next(iter(self._gone))]
        self._gone[router.address] = router.status()

    def pump_soon(self, router: _Router) -> None:
        """Take what a router said, when its turn has come."""
        self._waiting.append(router)
        if not self._pumping:
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        until = time.monotonic() + _TURN_S
        while self._waiting:
            router = self._waiting.popleft()
            try:
                router.take()
            except Exception:  # noqa: BLE001 - a fault in here must not silence the other routers
                _LOG.exception("%s: what it said led to a fault of this program", router.address)
                router.end("what it said led to a fault of this program, see the log")
            if time.monotonic() >= until:
                break
        self._pumping = bool(self._waiting)
        if self._pumping:
            asyncio.get_running_loop().call_soon(self._pump)

    def _refuse(self, router: _Router, reason: str) -> None:
        if not self.refused[reason] % _WORDS:
            _LOG.warning("%s: a router was refused: %s", router.address, reason)
        self.refused[reason] += 1

    def _stop(self) -> None:
        for server in self._servers:
            server.close()


class _Router(asyncio.BufferedProtocol):
    """One connection."""

    transport: asyncio.Transport

    def __init__(self, station: BmpStation) -> None:
        self.session = BmpSession(station.config.router, lock=station.lock)
        self.address = ""
        self.port = 0
        self.last_error = ""
        self._station = station
        self._buffer = bytearray(_CHUNK_OCTETS)
        self._heard = b""
        self._since = self._now()
        self._welcome = False
        self._words = 0
        self._words_since = self._since

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, if the router is welcome."""
        if not isinstance(transport, asyncio.Transport):  # pragma: no cover - asyncio gives stream protocols no other
            raise TypeError(transport)
        self.transport = transport
        name = transport.get_extra_info("peername")  # None where the router is gone already
        if name is not None:
            self.address, self.port = str(ipaddress.ip_address(name[0].partition("%")[0])), name[1]
            self._welcome = self._station.welcome(self)
        if not self._welcome:
            transport.abort()
            return
        sock: socket.socket = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):  # it is gone already, and that will be heard
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in _KEEPALIVE:
                sock.setsockopt(socket.IPPROTO_TCP, option, value)
        self._say(logging.INFO, "connected")
        self._call(self._station.hooks.router_up, self.address)

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002 - asyncio's signature
        """Lend asyncio the room for one chunk."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Keep what was read until its turn has come, and read no more."""
        if self._welcome and not self.session.ended:
            self._heard = bytes(memoryview(self._buffer)[:nbytes])
            self.transport.pause_reading()
            self._station.pump_soon(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Hear that it is over."""
        if not self._welcome:
            return
        self._do(self.session.receive(self._heard, self._now()))
        reason = "the router closed the connection" if exc is None else f"the connection broke: {exc}"
        self._do(self.session.close(reason, self._now()))
        self._since = self._now()
        self.last_error = self.session.ended
        self._say(logging.WARNING, f"down: {self.session.ended}")
        self._station.lost(self)
        self._call(self._station.hooks.router_down, self.address, self.session.ended)

    def take(self) -> None:
        """Take what was read, or do a piece of what it came to; read on when all is done."""
        heard, self._heard = self._heard, b""
        self._do(self.session.receive(heard, self._now()) if heard else self.session.work(self._now()))
        if self.session.busy:
            self._station.pump_soon(self)
        elif not self.transport.is_closing():
            self.transport.resume_reading()

    def end(self, reason: str) -> None:
        """Close the connection."""
        self._do(self.session.close(reason, self._now()))
        self.transport.abort()

    def status(self) -> RouterStatus:
        """Return how it stands."""
        status = self.session.status()
        return RouterStatus(
            address=self.address,
            port=self.port,
            state="down" if status.ended else "up",
            since=_wall(self._since, self._now()),
            sys_name=status.sys_name,
            sys_descr=status.sys_descr,
            last_error=self.last_error,
            octets=status.octets,
            routes=status.routes,
            messages=status.messages,
            ignored=status.ignored,
            peers=tuple(_peer(peer, self._now()) for peer in status.peers),
        )

    def _do(self, effects: list[BmpEffect]) -> None:
        for effect in effects:
            self._do_one(effect)

    def _do_one(self, effect: BmpEffect) -> None:
        hooks = self._station.hooks
        match effect:
            case session.Started(sys_name=name):
                self._say(logging.INFO, f"it is {name or 'without a name'}")
            case session.PeerUp(key=key, asn=asn):
                self._say(logging.INFO, f"{key}: up, AS {asn}")
                self._call(hooks.peer_up, self.address, key)
            case session.PeerDown(key=key, reason=reason):
                self._say(logging.INFO, f"{key}: down: {reason}")
                self._call(hooks.peer_down, self.address, key, reason)
            case session.Routes(key=key, view=view, update=update):
                self._call(hooks.routes, self.address, key, view, update)
            case session.EndOfRib(key=key, view=view, family=family):
                self._call(hooks.end_of_rib, self.address, key, view, family)
            case session.Statistics():
                pass  # they are in the status
            case session.Said(words=words):
                self._say(logging.WARNING, words)
            case session.Ended():
                self.transport.close()
            case _:
                assert_never(effect)

    def _call(self, hook: Callable[..., object], *arguments: object) -> None:
        try:
            hook(*arguments)
        except Exception:  # noqa: BLE001 - a hook is a user's code: whatever it raises must not end the connection
            _LOG.exception("a BMP hook failed")

    def _say(self, level: int, words: str) -> None:
        """Log a line, but no more than `_WORDS` a minute: a router could flap its peers a thousand times a second."""
        now = self._now()
        if now - self._words_since >= 60:
            self._words, self._words_since = 0, now
        self._words += 1
        if self._words <= _WORDS:
            _LOG.log(level, "%s: %s", self.address, words)
        elif self._words == _WORDS + 1:
            _LOG.warning("%s: it has more to say than %d lines a minute; they are left out", self.address, _WORDS)

    def _now(self) -> Seconds:
        return Seconds(asyncio.get_running_loop().time())


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise ConfigError("bmp.allow", f"{error}; give prefixes such as 192.0.2.0/24") from None


def _wall(since: Seconds, now: Seconds) -> float:
    return time.time() - (now - since)


def _peer(peer: MonitoredPeer, now: Seconds) -> RouterPeer:
    return RouterPeer(
        name=str(peer.key),
        asn=peer.asn,
        router_id=address_text(peer.router_id.to_bytes(4, "big")),
        state="up" if peer.up else "down",
        since=_wall(peer.since, now),
        reason=peer.reason,
        table_name=peer.table_name,
        view="" if peer.view is None else peer.view.value,
        prefixes={family.label: count for family, count in peer.prefixes.items()},
        end_of_rib=tuple(family.label for family in peer.end_of_rib),
        updates={view.value: count for view, count in peer.updates.items()},
        problems=peer.problems,
        statistics={
            each.name if each.family is None else f"{each.name}:{each.family[0]}/{each.family[1]}": each.value
            for each in peer.statistics
        },
        mirrored=peer.mirrored,
    )
