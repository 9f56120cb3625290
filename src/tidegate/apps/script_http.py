"""Requests to a script's own paths: what its handler gets, and what becomes of what it raises.

An `HttpError` is its status; any other exception is 500, its text goes to the log, not to the client. What becomes of
what a handler returns is in `tidegate.web.answers`.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

__all__ = ["HttpCall", "HttpError", "as_http_error", "bad_request", "not_found", "unavailable"]


class HttpCall(msgspec.Struct, frozen=True):
    """A request: `path` behind the script's name without the representation, `query` with all values of a name.

    `body` is the parsed JSON or None, `format` what the client wants: `json` or `txt`.
    """

    method: str
    path: tuple[str, ...] = ()
    query: Mapping[str, tuple[str, ...]] = {}
    body: object = None
    format: str = "json"


class HttpError(Exception):
    """Raise it in a handler to answer with an error."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.status} {self.reason}"


def not_found(reason: str = "not found") -> HttpError:
    """Return a 404, to be raised."""
    return HttpError(404, reason)


def bad_request(reason: str = "bad request") -> HttpError:
    """Return a 400, to be raised."""
    return HttpError(400, reason)


def unavailable(reason: str = "service unavailable") -> HttpError:
    """Return a 503, to be raised."""
    return HttpError(503, reason)


def as_http_error(error: BaseException) -> HttpError:
    """Return the error that a client may see for what a handler raised.

    Whoever asked may be on an event loop, which an exit of the script's must not end.
    """
    if not isinstance(error, HttpError):
        return HttpError(500, "the script failed")
    fits = isinstance(error.status, int) and 400 <= error.status <= 599
    return HttpError(error.status if fits else 500, str(error.reason))
