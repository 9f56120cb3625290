"""Bodies in and error replies out: relaxed JSON whatever its content type, and errors that point at the column."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from litestar import MediaType, Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import ExceptionHandlersMap

from tidegate.errors import ConfigError, TextError, TidegateError
from tidegate.web.answers import ErrorReply
from tidegate.web.relaxed import parse_relaxed_json

__all__ = ["ERROR_HANDLERS", "MAX_BODY", "bad_text", "not_found", "parse_body", "parse_object", "split_list"]

MAX_BODY: Final = 16 << 20  # octets of a request's body: a group of half a million prefixes
MAX_SHOWN: Final = 400  # characters of a wrong text that a reply repeats

_log = logging.getLogger(__name__)


def parse_body(body: bytes) -> object:
    """Return what a body of relaxed JSON describes; an empty body is None."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TextError(body.decode("utf-8", "replace"), error.start, "the body is not UTF-8") from None
    return parse_relaxed_json(text) if text.strip() else None


def parse_object(body: bytes) -> Mapping[str, object]:
    """Return the object of a body of relaxed JSON."""
    value = parse_body(body)
    if not isinstance(value, dict):
        shown = body[:MAX_SHOWN].decode("utf-8", "replace")
        raise TextError(shown, 0, "the body is no object", "such as {name:'value'}")
    return value


def split_list(text: str) -> list[str]:
    """Return the items of a list in a path or query, separated by `,` or `;`."""
    return [item for item in text.replace(";", ",").split(",") if item]


def not_found(what: str) -> HTTPException:
    """Return the error of a name that does not exist."""
    return HTTPException(status_code=404, detail=f"there is no {what}")


def bad_text(text: str, reason: str, hint: str = "") -> TextError:
    """Return the error of a text that is wrong as a whole."""
    return TextError(text, 0, reason, hint)


def _reply(status: int, error: ErrorReply, headers: Mapping[str, str] | None = None) -> Response[bytes]:
    body = msgspec.json.encode(error)
    return Response(body, status_code=status, media_type=MediaType.JSON, headers=dict(headers or {}))


def _shown(error: TextError) -> ErrorReply:
    start = 0 if len(error.text) <= MAX_SHOWN else max(error.column - MAX_SHOWN // 2, 0)
    text = error.text[start : start + MAX_SHOWN].encode("utf-8", "replace").decode()
    return ErrorReply(error.reason, text=text, column=error.column - start, hint=error.hint)


def _user_error(_: Request[Any, Any, Any], error: TidegateError) -> Response[bytes]:
    if isinstance(error, TextError):
        return _reply(400, _shown(error))
    return _reply(404 if isinstance(error, ConfigError) else 400, ErrorReply(str(error)))


def _http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    if isinstance(error, ValidationException):
        return _reply(400, _parameter_error(request, error))
    return _reply(error.status_code, ErrorReply(error.detail or "error"), error.headers)


def _parameter_error(request: Request[Any, Any, Any], error: ValidationException) -> ErrorReply:
    problems = error.extra if isinstance(error.extra, list) else []
    for problem in problems:
        if isinstance(problem, dict) and "key" in problem:
            plain = str(problem["key"]).replace("_", "")
            given = {name.lower(): (name, str(value)) for name, value in request.query_params.multi_items()}
            name, text = given.get(plain, (plain, ""))
            return _shown(TextError(text, 0, f"{name}: {problem.get('message', 'wrong value')}"))
    return ErrorReply("a parameter is wrong")


def _own_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _reply(500, ErrorReply("internal error; the log of the server says more"))


ERROR_HANDLERS: Final[ExceptionHandlersMap] = {
    TidegateError: _user_error,
    HTTPException: _http_error,
    Exception: _own_error,
}
