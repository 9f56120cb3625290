"""HTTP as a client: one request, one whole answer of bounded size within a bounded time (RFC 9110).

Every status is an answer; what gives none (no connection, no time, too long) is a `SourceError`. Proxies of the
environment are not used, redirects are followed at most ten times.
"""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp
import msgspec

from tidegate.errors import SourceError

__all__ = ["MAX_ANSWER", "HttpRequest", "HttpResponse", "fetch"]

MAX_ANSWER = 16 << 20  # octets of a body


class HttpRequest(msgspec.Struct, frozen=True):
    """A request; `timeout_s` is for all of it."""

    url: str
    method: str = "GET"
    body: bytes = b""
    headers: Mapping[str, str] = {}
    timeout_s: float = 10.0


class HttpResponse(msgspec.Struct, frozen=True):
    """An answer; names of headers are in lower case, of repeated ones the last is here."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}
    url: str = ""

    @property
    def ok(self) -> bool:
        """Whether the status is one of success."""
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        """The body as UTF-8; what is none is replaced."""
        return self.body.decode(errors="replace")

    def json(self) -> object:
        """Return the body read as JSON; `SourceError` where it is none."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise SourceError(self.url, f"the answer is no JSON: {error}") from None


async def fetch(request: HttpRequest) -> HttpResponse:
    """Return the answer to a request."""
    timeout = aiohttp.ClientTimeout(total=request.timeout_s)
    data = request.body or None
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(request.method, request.url, data=data, headers=dict(request.headers)) as reply,
        ):
            body = await _body(reply)
            headers = {name.lower(): value for name, value in reply.headers.items()}
            return HttpResponse(reply.status, body, headers, str(reply.url))
    except TimeoutError:
        raise SourceError(request.url, f"no answer within {request.timeout_s:g} s") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise SourceError(request.url, f"{type(error).__name__}: {error}") from None


async def _body(reply: aiohttp.ClientResponse) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in reply.content.iter_any():
        size += len(part)
        if size > MAX_ANSWER:
            raise SourceError(str(reply.url), f"the answer is longer than {MAX_ANSWER} octets")
        parts.append(part)
    return b"".join(parts)
