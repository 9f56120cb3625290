"""Requests to a script's own paths (section 9.6): what its handler gets, and what becomes of what it returns or raises.

`None` is 204, anything asked for as `txt` is plain text, else it is JSON; a text that is an object or array in JSON
goes as it is. An `HttpError` is its status; any other exception is 500, its text goes to the log, not to the client.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

__all__ = [
    "HttpCall",
    "HttpError",
    "Reply",
    "as_http_error",
    "bad_request",
    "error_reply",
    "not_found",
    "reply_of",
    "unavailable",
]


class HttpCall(msgspec.Struct, frozen=True):
    """A request: `path` behind the script's name without the representation, `query` with all values of a name.

    `body` is the parsed JSON or None, `format` what the client wants: `json` or `txt`.
    """

    method: str
    path: tuple[str, ...] = ()
    query: Mapping[str, tuple[str, ...]] = {}
    body: object = None
    format: str = "json"


class Reply(msgspec.Struct, frozen=True):
    """An answer as it goes to the client."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"


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


def reply_of(result: object, wanted: str) -> Reply:
    """Return the answer for what a handler returned; `TypeError` where JSON cannot say it."""
    if result is None:
        return Reply(204)
    if wanted == "txt":
        return Reply(200, str(result).encode(errors="replace"), "text/plain; charset=utf-8")
    if isinstance(result, str) and _is_structure(result):
        return Reply(200, result.encode())
    return Reply(200, msgspec.json.encode(result))


def as_http_error(error: BaseException) -> HttpError:
    """Return the error that a client may see for what a handler raised.

    Whoever asked may be on an event loop, which an exit of the script's must not end.
    """
    if not isinstance(error, HttpError):
        return HttpError(500, "the script failed")
    fits = isinstance(error.status, int) and 400 <= error.status <= 599
    reason = str(error.reason).encode(errors="replace").decode()  # half a character cannot be sent
    return HttpError(error.status if fits else 500, reason)


def error_reply(error: BaseException) -> Reply:
    """Return the answer for what a handler raised."""
    known = as_http_error(error)
    return Reply(known.status, msgspec.json.encode({"status": known.status, "error": known.reason}))


def _is_structure(text: str) -> bool:
    if text.lstrip()[:1] not in {"{", "["}:
        return False
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return False
    return True
