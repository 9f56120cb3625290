"""One BGP peer on asyncio: its TCP connections, its timer and its writing.

What happens on a socket goes to `wire.bgp.peer.Peer`; the effects it returns are done here. UPDATEs are made when the
socket can take them, a little at a time, so that neither ten thousand rules nor a peer that does not read hold up the
loop or grow memory: beyond one chunk, what waits is the set of wanted routes itself.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, assert_never

from tidegate.errors import SourceError
from tidegate.io.bgp_hooks import Hooks, Teller
from tidegate.io.bgp_socket import apply_ttl, canonical, dial_socket, socket_address
from tidegate.units import Seconds
from tidegate.wire.bgp.constants import Cease, Family
from tidegate.wire.bgp.peer import Peer, PeerEffect, Way
from tidegate.wire.bgp.peer_news import Gone, Notice
from tidegate.wire.bgp.routes import RouteKey
from tidegate.wire.bgp.session import Changed, Close, Dial, Down, Notified, Refresh, Routes, Send, Up

__all__ = ["Connection", "Hooks", "Link", "Watch", "now"]

_CHUNK_OCTETS: Final = 16384  # read or written in one turn of the loop: some 200 UPDATEs, about 10 ms
_MOST_CLOSING: Final = 16  # connections that still deliver their last message; a peer with as many gets no more
_LEAST_OCTETS: Final = 1024
_LONG_S, _SHORT_S = 0.015, 0.005  # turns of the loop: small messages that have to be read one by one take the longest
_FAREWELL: Final = "tidegate stops"  # what the other side's log shows (RFC 9003)
_LINGER_S: Final = 2.0  # how long a closed connection may take to deliver its last message

Watch = Callable[[RouteKey | Down], object]


def now() -> Seconds:
    """Return the running loop's clock."""
    return Seconds(asyncio.get_running_loop().time())


class Link:
    """A peer with its sockets: at most two connections, one attempt to connect, one timer.

    `spawn` starts a task in the group of whoever owns the link; `idle` hears, again and again, whether nothing is open
    and nothing timed. `watch`, where somebody has set it, hears what was written and how the session fell.
    """

    def __init__(
        self,
        peer: Peer,
        hooks: Hooks,
        *,
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        idle: Callable[[Link, bool], object] = lambda _link, _idle: None,
    ) -> None:
        self.peer = peer
        self.name = canonical(peer.config.address)
        self.teller = Teller(peer.config.address, hooks)
        self.watch: Watch | None = None
        self.octets_in = 0
        self.octets_out = 0
        self.messages_out = 0
        self._spawn = spawn
        self._idle = idle
        self._connections: dict[Way, Connection] = {}
        self._closing: set[Connection] = set()
        self._dialling: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._pumping = False
        self._working = False
        self._quiet = asyncio.Event()
        self._quiet.set()

    async def drained(self) -> None:
        """Wait until every socket is gone."""
        await self._quiet.wait()

    def start(self) -> None:
        """Begin to speak."""
        self.do(self.peer.start(now()))

    def stop(self) -> None:
        """Say Cease 6/2 and close; `drained` tells when that is done."""
        self.teller.ending = True
        self.do(self.peer.stop(now(), text=_FAREWELL))
        self._stop_timer()

    def remove(self) -> None:
        """Say Cease 6/3 and close: this is a peer no more."""
        self.teller.ending = True
        self.do(self.peer.stop(now(), why=Cease.DECONFIGURED))
        self._stop_timer()

    def leave(self) -> None:
        """Close without a word, so that a peer that helps a restart keeps what it was told."""
        self.teller.ending = True
        self.do(self.peer.stop(now(), keep=True))
        self._stop_timer()

    def reset(self, text: str = "") -> None:
        """End the session with Cease 6/4 and words for the other side, or begin anew where the peer was shut out."""
        self.do(self.peer.reset(now(), text=text))
        if self.peer.status().shut:
            self.start()

    def refresh(self, family: Family) -> bool:
        """Ask the peer for the routes of a family again; tell whether it was asked."""
        effects = self.peer.request_refresh(family)
        self.do(effects)
        return bool(effects)

    def abort(self) -> None:
        """Close what is still open at once."""
        for connection in list(self._closing):
            connection.transport.abort()

    def ends(self) -> tuple[str, int, str, int] | None:
        """Return the local address and port and the remote ones of the best connection, or None."""
        way = self.peer.established
        connection = next(iter(self._connections.values()), None) if way is None else self._connections.get(way)
        if connection is None:
            return None
        here = connection.transport.get_extra_info("sockname") or ("", 0)
        there = connection.transport.get_extra_info("peername") or ("", 0)
        return here[0], here[1], there[0], there[1]

    def accept(self, connection: Connection) -> bool:
        """Take on a connection that the peer has opened; tell whether it is welcome."""
        if len(self._closing) >= _MOST_CLOSING or not self.peer.may_accept(now()):
            return False
        try:
            apply_ttl(connection.transport.get_extra_info("socket"), self.peer.config)
        except OSError:
            return False  # gone already, or GTSM cannot be had: then nothing may be heard
        self.do(self.peer.evict(now()))
        return True

    def connected(self, connection: Connection) -> None:
        """Hear that a connection stands."""
        if connection.way is Way.OUT:
            self._dialling = None
        self._connections[connection.way] = connection
        self.do(self.peer.connected(connection.way, now()))

    def received(self, connection: Connection, data: bytes) -> None:
        """Hear octets."""
        self.octets_in += len(data)
        self.do(self.peer.receive(connection.way, data, now()))
        if self._working and self.has(connection):
            connection.transport.pause_reading()

    def _work(self) -> None:
        """Do a piece of what was received or is to be removed, and let the peer go on once that is done."""
        self._working = False
        self.do(self.peer.work(now()))
        if not self._working:
            for connection in self._connections.values():
                connection.transport.resume_reading()

    def lost(self, connection: Connection, reason: str) -> None:
        """Hear that a connection is gone; one that was closed from here does not count any more."""
        self._closing.discard(connection)
        if self._connections.get(connection.way) is connection:
            del self._connections[connection.way]
            self.do(self.peer.disconnected(connection.way, now(), reason=reason))
        self._note_quiet()

    def blocked(self, connection: Connection) -> None:
        """Hear that the peer does not take what was written."""
        if self.has(connection):
            self.peer.sessions[connection.way].blocked(now())
            self.do([])

    def unblocked(self, connection: Connection) -> None:
        """Hear that all that was written has gone to the kernel."""
        if self.has(connection):
            self.peer.sessions[connection.way].unblocked()
            self.do([])

    def has(self, connection: Connection) -> bool:
        """Tell whether this is a connection in use, not one that is being closed."""
        return self._connections.get(connection.way) is connection

    def do(self, effects: list[PeerEffect]) -> None:
        """Do what the peer wants done, then see to its timer, to what is unsaid and to what is left of its routes."""
        for each in effects:
            self._do_one(each)
        if self._timer is not None:
            self._timer.cancel()
        deadline = self.peer.deadline()
        loop = asyncio.get_running_loop()
        self._timer = None if deadline is None else loop.call_at(deadline, self._tick)
        self._note_quiet()
        self.pump_soon()
        if self.peer.rib_in.busy and not self._working:
            self._working = True
            loop.call_soon(self._work)

    def settle(self) -> None:
        """Say whether nothing is open and nothing timed."""
        self._idle(self, self._quiet.is_set() and self._timer is None)

    def _note_quiet(self) -> None:
        if self._connections or self._closing or self._dialling is not None:
            self._quiet.clear()
        else:
            self._quiet.set()
        self.settle()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _stop_dialling(self) -> None:
        if self._dialling is not None:
            self._dialling.cancel()
            self._dialling = None

    def pump_soon(self) -> None:
        """See to what is unsaid, in a turn of the loop of its own."""
        if self.peer.established is not None and not self._pumping:
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _do_one(self, each: PeerEffect) -> None:
        match each.effect:
            case Dial():
                self._dialling = self._spawn(self._connect())
            case Send(data=data):
                self._write(self._connections[each.way], data)
            case Close(abort=abort):
                self._close(each.way, abort=abort)
            case Down() as down:
                self.teller.tell(down)
                if down.was_up and self.watch is not None:
                    self.watch(down)
            case Up() | Routes() | Changed() | Notified() | Gone() | Notice() as news:
                self.teller.tell(news)
            case Refresh():
                pass  # the peer has marked the routes, and they follow
            case effect:
                assert_never(effect)

    def _write(self, connection: Connection, data: bytes, *, messages: int = 1) -> None:
        self.octets_out += len(data)
        self.messages_out += messages
        connection.transport.write(data)

    def _tick(self) -> None:
        self._timer = None
        self.do(self.peer.tick(now()))

    async def _connect(self) -> None:
        config = self.peer.config
        loop = asyncio.get_running_loop()
        try:
            with dial_socket(config) as sock:
                await loop.sock_connect(sock, socket_address(config.address, config.port))
                await loop.create_connection(lambda: Connection(Way.OUT, self), sock=sock.dup())
        except (OSError, SourceError) as error:
            self._dialling = None
            number = error.errno if isinstance(error, OSError) else None
            words = os.strerror(number) if number else str(error)  # an interface that is not here has no number
            reason = f"connecting to {config.address} port {config.port}: {words}"
            self.do(self.peer.disconnected(Way.OUT, now(), reason=reason))

    def _close(self, way: Way, *, abort: bool) -> None:
        if way is Way.OUT:
            self._stop_dialling()
        connection = self._connections.pop(way, None)
        if connection is not None:
            self._end(connection, abort=abort)

    def _end(self, connection: Connection, *, abort: bool = False) -> None:
        self._closing.add(connection)
        if abort:
            connection.transport.abort()
            return
        # The other side must read the last message before it hears of the end: a socket that is closed with octets of
        # the peer unread, or still to come, resets the connection, and the message is lost with it.
        connection.transport.resume_reading()
        try:
            connection.transport.write_eof()
        except OSError:  # the peer has gone already
            connection.transport.abort()
        asyncio.get_running_loop().call_later(_LINGER_S, connection.transport.abort)

    def _pump(self) -> None:
        """Write one chunk of UPDATEs if the socket takes them at once, and come back for the next one."""
        self._pumping = False
        way = self.peer.established
        connection = None if way is None else self._connections.get(way)
        if connection is None or connection.paused:
            return
        messages = self.peer.pull(_CHUNK_OCTETS, now())
        if not messages:
            return
        self._write(connection, b"".join(message.data for message in messages), messages=len(messages))
        wall_ns = time.time_ns()
        for key in (key for message in messages for key in message.keys):
            self.teller.sent(key, wall_ns)
            if self.watch is not None:
                self.watch(key)
        self.pump_soon()


class Connection(asyncio.BufferedProtocol):
    """One TCP connection: it passes on what it hears, and says nothing of its own.

    An incoming one asks `find` for its link once it knows who is there, and is dropped where there is none.
    """

    transport: asyncio.Transport

    def __init__(self, way: Way, link: Link | None, *, find: Callable[[Connection], Link | None] | None = None) -> None:
        self.way = way
        self.paused = False
        self._link = link
        self._find = find
        self._buffer = bytearray(_CHUNK_OCTETS)
        self._room = _CHUNK_OCTETS

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        if not isinstance(transport, asyncio.Transport):  # pragma: no cover - asyncio gives stream protocols no other
            raise TypeError(transport)
        self.transport = transport
        transport.set_write_buffer_limits(high=0)  # told at once when the peer does not take what is written
        if self._find is not None:
            self._link = self._find(self)
        if self._link is None:
            transport.abort()
        else:
            self._link.connected(self)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Lend asyncio the room for one read: a peer with much to say holds up the loop no longer than one chunk."""
        return memoryview(self._buffer)[: self._room]

    def buffer_updated(self, nbytes: int) -> None:
        """Pass octets on, unless the connection is being closed; less at a time where they take long."""
        if self._link is None or not self._link.has(self):
            return
        begin = time.monotonic()
        self._link.received(self, bytes(memoryview(self._buffer)[:nbytes]))
        took = time.monotonic() - begin
        if took > _LONG_S:
            self._room = max(self._room // 2, _LEAST_OCTETS)
        elif took < _SHORT_S:
            self._room = min(self._room * 2, _CHUNK_OCTETS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass on that it is over."""
        if self._link is not None:
            self._link.lost(self, "the peer closed the connection" if exc is None else f"the connection broke: {exc}")

    def pause_writing(self) -> None:
        """Hear from asyncio that octets wait."""
        self.paused = True
        if self._link is not None:
            self._link.blocked(self)

    def resume_writing(self) -> None:
        """Hear from asyncio that none wait."""
        self.paused = False
        if self._link is not None:
            self._link.unblocked(self)
