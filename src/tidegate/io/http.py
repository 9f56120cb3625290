"""Serving an ASGI application over HTTP inside an event loop that runs already; uvicorn does the protocol.

The address is bound here, so that one that cannot be used is a `SourceError` before anything starts. Signals are left
to whoever owns the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import h11
import msgspec
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from tidegate.errors import SourceError

__all__ = ["HttpConfig", "HttpServer", "serve_http"]

_BACKLOG: Final = 256
_ADVICE: Final = {
    errno.EADDRINUSE: "the port is in use; stop the program that has it (see ss -ltnp), or set another port",
    errno.EACCES: "this port needs privileges; set a port above 1023, or give CAP_NET_BIND_SERVICE",
    errno.EADDRNOTAVAIL: "this machine has no such address; set one that `ip address` shows",
}


class HttpConfig(msgspec.Struct, frozen=True):
    """Where to listen and how much to accept."""

    host: str = "127.0.0.1"
    port: int = 8008  # 0 takes a free one
    max_connections: int = 1000  # further ones are answered with 503
    idle_s: int = 15  # how long a connection may wait for its next request
    request_s: float = 30.0  # a request that has not come whole within one to two times this is dropped
    stop_s: int = 2  # how long requests may take to end when the server stops


class HttpServer(msgspec.Struct, frozen=True):
    """A server that listens."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """Where to reach it."""
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"


class _Protocol(H11Protocol):
    """Drops connections on which no request comes, or one that never ends: they would hold a place for ever.

    It looks every `request_s` seconds whether the connection still waits for the request it waited for the last time.
    """

    def __init__(self, *args: Any, request_s: float, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's
        super().__init__(*args, **kwargs)
        self._request_s = request_s
        self._look: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        super().connection_made(transport)
        self._look_later(awaited=False)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    def _look_later(self, *, awaited: bool) -> None:
        seen = self.cycle if awaited else self
        self._look = self.loop.call_later(self._request_s, self._drop_if_same, seen)

    def _drop_if_same(self, seen: object) -> None:
        awaited = self.conn.their_state in {h11.IDLE, h11.SEND_BODY}
        if awaited and seen is self.cycle:
            self.transport.close()
        else:
            self._look_later(awaited=awaited)


@contextlib.asynccontextmanager
async def serve_http(
    app: Any,  # noqa: ANN401 - an ASGI application of any make
    config: HttpConfig,
    *,
    before_stop: Callable[[], None] = lambda: None,
) -> AsyncIterator[HttpServer]:
    """Serve `app`, with its lifespan, until the block ends; `before_stop` ends what would wait for long.

    `SourceError` where the address cannot be used or the application does not start.
    """
    sock = _bind(config)
    server = uvicorn.Server(_settings(app, config))
    name = f"http {config.host}:{config.port}"
    try:
        server.config.load()
        server.lifespan = server.config.lifespan_class(server.config)
        await server.startup(sockets=[sock])
    except SystemExit:
        sock.close()
        raise SourceError(name, "the application did not start; the log says why") from None
    except BaseException:
        sock.close()
        raise
    host, port = sock.getsockname()[:2]
    ticking = asyncio.create_task(server.main_loop(), name=name)
    try:
        yield HttpServer(host, port)
    finally:
        before_stop()
        server.should_exit = True
        await ticking
        await server.shutdown(sockets=[sock])


def _settings(app: Any, config: HttpConfig) -> uvicorn.Config:  # noqa: ANN401 - an ASGI application of any make
    return uvicorn.Config(
        app,
        loop="none",
        http=functools.partial(_Protocol, request_s=config.request_s),  # type: ignore[arg-type] # it is called only
        ws="none",
        lifespan="on",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=_BACKLOG,
        limit_concurrency=config.max_connections,
        timeout_keep_alive=config.idle_s,
        timeout_graceful_shutdown=config.stop_s,
    )


def _bind(config: HttpConfig) -> socket.socket:
    name = f"http {config.host}:{config.port}"
    if not 0 <= config.port <= 65535:  # `getaddrinfo` takes it modulo 65536
        raise SourceError(name, "this is no port; ports are 1 to 65535, 0 takes a free one")
    try:
        found = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        sock = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise SourceError(name, f"this is no address to listen on ({error}); such as 127.0.0.1 and 8008") from None
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise SourceError(name, _ADVICE.get(error.errno or 0, str(error.strerror))) from None
    sock.settimeout(0)
    return sock
