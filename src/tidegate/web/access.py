"""Who may do what: read-only instances, a token for changes, and browsers that other sites send."""

from __future__ import annotations

import hmac
from typing import Any, Final

import msgspec
from litestar.connection import ASGIConnection
from litestar.exceptions import HTTPException, NotAuthorizedException, PermissionDeniedException
from litestar.handlers import BaseRouteHandler
from litestar.types import Guard, Message, Scope

__all__ = ["PUBLIC", "RestConfig", "access_guard", "add_security_headers"]

PUBLIC: Final = {"public": True}  # `opt` of what may be read without a token: nothing about the network
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class RestConfig(msgspec.Struct, frozen=True):
    """How REST is served."""

    read_only: bool = False  # changes are 403
    token: str | None = None  # changes need `Authorization: Bearer <token>`, else 401
    token_for_reads: bool = False  # reads too
    cors_origins: tuple[str, ...] = ()  # origins whose pages may read and change, such as https://noc.example.net
    script_timeout_s: float = 30.0  # how long a script's handler may take


def access_guard(config: RestConfig) -> Guard:
    """Return the guard of all routes."""

    def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        reads = connection.scope.get("method") in _READS
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


def _check_site(connection: ASGIConnection[Any, Any, Any, Any], config: RestConfig) -> None:
    """Refuse a change that a page of another site sent: a server on loopback is in reach of every page one opens."""
    if connection.headers.get("sec-fetch-site") not in {"cross-site", "same-site"}:
        return
    if connection.headers.get("origin") not in config.cors_origins:
        raise HTTPException(status_code=403, detail="pages of other sites may not change anything (see cors_origins)")


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
