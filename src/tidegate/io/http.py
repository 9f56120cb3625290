"""Serving an ASGI application over HTTP inside an event loop that runs already; uvicorn does the protocol.

The address is bound here, so that one that cannot be used is a `SourceError` before anything starts. Signals are left
to whoever owns the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import msgspec
import uvicorn

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
    stop_s: int = 2  # how long requests may take to end when the server stops


class HttpServer(msgspec.Struct, frozen=True):
    """A server that listens."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """Where to reach it."""
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"


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
        http="h11",
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
