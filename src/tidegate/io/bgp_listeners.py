"""The sockets that peers connect to: their MD5 keys and time-to-live, and who is not welcome.

A connection is handed to whoever `find` names; one without a name to go to is closed without an answer, counted, and
told of in the log now and then.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import socket
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from tidegate.errors import SourceError
from tidegate.io.bgp_link import Connection, Link, now
from tidegate.io.bgp_socket import apply_ttl, family_of, listen_socket, name_of, set_md5
from tidegate.wire.bgp.peer import Way
from tidegate.wire.bgp.peer_config import PeerConfig

__all__ = ["Listeners", "Refused"]

_LOG: Final = logging.getLogger("tidegate.bgp")
_QUIET_S: Final = 10.0  # from one line about refused connections to the next


class Refused(msgspec.Struct, frozen=True):
    """Why a connection is not welcome."""

    reason: str


class Listeners:
    """Listening sockets; none where `port` is None. `find` returns the link of an address, or why there is none."""

    def __init__(self, addresses: Sequence[str], port: int | None, *, find: Callable[[str], Link | Refused]) -> None:
        self.refused = 0
        self._addresses = addresses if port is not None else ()
        self._port = port or 0
        self._find = find
        self._sockets: list[socket.socket] = []
        self._servers: list[asyncio.Server] = []
        self._quiet_until = 0.0
        self._untold = 0

    def open(self) -> None:
        """Bind the sockets; `SourceError` where one cannot be had, and none is left open then."""
        try:
            for address in self._addresses:
                self._sockets.append(listen_socket(address, self._port))
        except BaseException:
            self.abandon()
            raise

    def abandon(self) -> None:
        """Close sockets that are not served yet."""
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()

    async def serve(self) -> None:
        """Begin to accept."""
        loop = asyncio.get_running_loop()
        for sock in self._sockets:
            factory = functools.partial(Connection, Way.IN, None, find=self._welcome)
            self._servers.append(await loop.create_server(factory, sock=sock))

    def close(self) -> None:
        """Accept no more."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        self._sockets.clear()

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports that are listened on, in the order of the addresses."""
        return tuple(sock.getsockname()[1] for server in self._servers for sock in server.sockets)

    def guard(self, where: str, config: PeerConfig) -> None:
        """Ask an address or prefix for its key, and answer it with a time-to-live that GTSM lets in."""
        for sock in self._sockets:
            if sock.family != family_of(where):
                continue
            if config.md5_key is not None:
                set_md5(sock, where, config.md5_key)
            if config.gtsm_hops is not None:
                apply_ttl(sock, msgspec.structs.replace(config, gtsm_hops=None, ttl=255))

    def unguard(self, where: str, config: PeerConfig) -> None:
        """Forget the key of an address or prefix."""
        for sock in self._sockets if config.md5_key is not None else ():
            if sock.family == family_of(where):
                with contextlib.suppress(SourceError):  # it has none
                    set_md5(sock, where, "")

    def _welcome(self, connection: Connection) -> Link | None:
        """Return the link a new connection belongs to, or None where it is not welcome."""
        sockaddr = connection.transport.get_extra_info("peername")  # None where the peer is gone already
        if not sockaddr or not self._servers:
            return None
        name = name_of(sockaddr)
        found = self._find(name)
        if isinstance(found, Refused):
            self._refuse(name, found.reason)
            return None
        return found if found.accept(connection) else None

    def _refuse(self, name: str, reason: str) -> None:
        self.refused += 1
        if now() < self._quiet_until:
            self._untold += 1
            return
        self._quiet_until = now() + _QUIET_S
        more = f" (and {self._untold} more connections since the last such line)" if self._untold else ""
        self._untold = 0
        _LOG.warning("%s: connection refused: %s%s", name, reason, more)
