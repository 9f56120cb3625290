"""Asking a running instance over REST: what `tidegate flows`, `events`, `agents` and `bgp` print.

One connection a request, straight to the address: proxies of the environment are not used and redirects not followed,
so that a token goes nowhere else (RFC 9110, RFC 6750 section 2.1).
"""

from __future__ import annotations

import http.client
import json
from http import HTTPStatus
from urllib.parse import quote, urlencode, urlsplit

from tidegate.errors import SourceError

__all__ = ["MAX_ANSWER", "Client"]

MAX_ANSWER = 64 << 20  # octets of a body
_TIMEOUT_S = 10.0
_ADVICE = "is `tidegate run` running, and is this its REST address? See --url"
_HINTS: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "; give its token with --token or TIDEGATE_TOKEN",
    HTTPStatus.FORBIDDEN: "; give its token with --token or TIDEGATE_TOKEN",
}


class Client:
    """One instance, by its URL; `SourceError` where that is no URL."""

    def __init__(self, url: str, token: str = "") -> None:
        self._url = url.rstrip("/")
        try:
            parts = urlsplit(self._url)
            self._host, self._port = parts.hostname or "", parts.port
        except ValueError as error:
            raise SourceError(url, f"this is no URL: {error}") from None
        if parts.scheme not in {"http", "https"} or not self._host:
            raise SourceError(url, "this is no URL; such as http://127.0.0.1:8008")
        if not (token.isascii() and token.isprintable()):
            raise SourceError("--token", "a token is made of printable ASCII characters")
        self._kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._base = parts.path
        self._token = token

    def get(self, *path: str, wait_s: float = 0.0, **query: object) -> object:
        """Return the JSON at a path; `SourceError` says what went wrong where.

        `wait_s` is how long the instance may take on purpose; a query's value of None is left out.
        """
        return self._send("GET", _target(path, query), wait_s)

    def post(self, *path: str, wait_s: float = 0.0, **query: object) -> object:
        """Ask for something to be done, as `get` asks; None where there is nothing to answer."""
        return self._send("POST", _target(path, query), wait_s)

    def _send(self, method: str, target: str, wait_s: float) -> object:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        connection = self._kind(self._host, self._port, timeout=_TIMEOUT_S + wait_s)
        try:
            connection.request(method, self._base + target, headers=headers)
            reply = connection.getresponse()
            data = reply.read(MAX_ANSWER + 1)
        except TimeoutError:
            raise SourceError(self._url, f"no answer in {_TIMEOUT_S + wait_s:g} s; {_ADVICE}") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise SourceError(self._url, f"{_reason(error)}; {_ADVICE}") from None
        finally:
            connection.close()
        if not HTTPStatus.OK <= reply.status < HTTPStatus.MULTIPLE_CHOICES:
            raise SourceError(self._url, _refusal(reply, data))
        if len(data) > MAX_ANSWER:
            raise SourceError(self._url, f"{target} answered more than {MAX_ANSWER} octets; is this tidegate?")
        if method == "POST" and reply.status == HTTPStatus.NO_CONTENT:
            return None
        try:
            return json.loads(data)
        except ValueError:
            raise SourceError(self._url, f"{target} answered no JSON; is this tidegate?") from None


def _target(path: tuple[str, ...], query: dict[str, object]) -> str:
    known = {name: value for name, value in query.items() if value is not None}
    text = urlencode(known, doseq=True)
    return f"{_path(path)}{'?' + text if text else ''}"


def _path(parts: tuple[str, ...]) -> str:
    return "".join(f"/{quote(part, safe=',;')}" for part in parts)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return (error.strerror or str(error)).lower()
    return f"this does not speak HTTP ({type(error).__name__})"


def _refusal(reply: http.client.HTTPResponse, data: bytes) -> str:
    try:
        told = json.loads(data)
    except ValueError:
        told = None
    text = told.get("error") if isinstance(told, dict) else None
    return f"{reply.status} {text or reply.reason}{_HINTS.get(reply.status, '')}"[:2000]
