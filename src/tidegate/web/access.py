"""Who may do what: read-only instances, a token for changes, and browsers that other sites send.

A server on loopback is in reach of every page that a browser on the machine opens. Requests of such pages are known by
where they say they come from (`Sec-Fetch-Site`, `Origin`), and those of pages whose own name was pointed at loopback
(DNS rebinding) by the name they ask for (`Host`).
"""

from __future__ import annotations

import hmac
import ipaddress
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from litestar.connection import ASGIConnection
from litestar.exceptions import HTTPException, NotAuthorizedException, PermissionDeniedException
from litestar.handlers import BaseRouteHandler
from litestar.types import Guard, Message, Scope

from tidegate.errors import ConfigError

__all__ = ["PUBLIC", "RestConfig", "access_guard", "add_security_headers"]

PUBLIC: Final = {"public": True}  # `opt` of what may be read without a token: nothing about the network
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class RestConfig(msgspec.Struct, frozen=True):
    """How REST is served."""

    read_only: bool = False  # changes are 403
    token: str | None = None  # changes need `Authorization: Bearer <token>`, else 401
    token_for_reads: bool = False  # reads too
    cors_origins: tuple[str, ...] = ()  # origins whose pages may read and change, such as https://noc.example.net
    hosts: tuple[str, ...] = ()  # names, besides addresses and localhost, that a server on loopback answers to
    script_timeout_s: float = 30.0  # how long a script's handler may take


def access_guard(config: RestConfig) -> Guard:
    """Return the guard of all routes; `ConfigError` where the configuration would protect less than it seems to."""
    if config.token is not None and not config.token.strip():
        raise ConfigError("token", "an empty token protects nothing; leave it out, or give a long random text")
    if config.token_for_reads and config.token is None:
        raise ConfigError("token_for_reads", "there is no token; set token too")

    def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        reads = connection.scope.get("method") in _READS
        if not handler.opt.get("public"):
            _check_host(connection, config)
        if not reads:
            _check_site(connection, config)
            if config.read_only:
                raise PermissionDeniedException("this server is read-only")
        if config.token is None or (reads and (not config.token_for_reads or handler.opt.get("public"))):
            return
        if not _has_token(connection, config.token):
            raise NotAuthorizedException(
                "a token is needed: Authorization: Bearer <token>", headers={"WWW-Authenticate": "Bearer"}
            )

    return guard


def _has_token(connection: ASGIConnection[Any, Any, Any, Any], token: str) -> bool:
    scheme, _, given = connection.headers.get("authorization", "").partition(" ")
    matches = hmac.compare_digest(given.strip().encode("utf-8", "replace"), token.encode())
    return scheme.lower() == "bearer" and matches


def _check_host(connection: ASGIConnection[Any, Any, Any, Any], config: RestConfig) -> None:
    """Refuse a name that is not known to be this server's, where it is reached by loopback."""
    server = connection.scope.get("server")
    address = _address(server[0]) if server else None
    if address is None or not address.is_loopback:
        return
    name = _host(connection.headers.get("host", ""))
    if name and name not in {"localhost", *config.hosts} and _address(name) is None:
        raise HTTPException(status_code=403, detail=f"this server is not known as {name}; list it in hosts if it is")


def _check_site(connection: ASGIConnection[Any, Any, Any, Any], config: RestConfig) -> None:
    """Refuse a change that a page of another site sent."""
    origin = connection.headers.get("origin")
    if origin in config.cors_origins:
        return
    own = connection.headers.get("host", "").lower()
    foreign = origin is not None and origin.lower().partition("://")[2] != own
    if foreign or connection.headers.get("sec-fetch-site") in {"cross-site", "same-site"}:
        raise HTTPException(status_code=403, detail="pages of other sites may not change anything (see cors_origins)")


def _host(header: str) -> str:
    """Return the name or address of a Host header, without the port."""
    try:
        return (urlsplit(f"//{header}").hostname or header).removesuffix(".")
    except ValueError:
        return header


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


_HEADERS: Final[tuple[tuple[bytes, bytes], ...]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)


async def add_security_headers(message: Message, _: Scope) -> None:
    """Add headers to every reply, errors included."""
    if message["type"] == "http.response.start":
        message["headers"] = [*message.get("headers", ()), *_HEADERS]
