"""The HTTP client against servers on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from tidegate.errors import SourceError
from tidegate.io.fetch import MAX_ANSWER, HttpRequest, HttpResponse, fetch

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def ask(handler: Handler, request: HttpRequest) -> HttpResponse:
    """Serve one handler on a free port, and send it a request to the path `request.url`."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}{request.url}"
        return await fetch(HttpRequest(url, request.method, request.body, request.headers, request.timeout_s))
    finally:
        await runner.cleanup()


async def _echo(request: web.Request) -> web.StreamResponse:
    body = await request.read()
    return web.Response(status=418, body=request.method.encode() + body, headers={"X-Seen": request.headers["X-Sent"]})


def test_any_status_is_an_answer() -> None:
    reply = asyncio.run(ask(_echo, HttpRequest("/a", "PUT", b"body", {"X-Sent": "value"})))
    assert (reply.status, reply.ok, reply.text) == (418, False, "PUTbody")
    assert reply.headers["x-seen"] == "value"
    assert reply.url.endswith("/a")


async def _endless(request: web.Request) -> web.StreamResponse:
    reply = web.StreamResponse()
    await reply.prepare(request)
    for _ in range(MAX_ANSWER // (1 << 20) + 2):
        await reply.write(bytes(1 << 20))
    return reply


def test_a_long_answer_is_cut_off() -> None:
    with pytest.raises(SourceError, match="longer than"):
        asyncio.run(ask(_endless, HttpRequest("/", timeout_s=60)))


async def _silent(request: web.Request) -> web.StreamResponse:
    await request.read()
    await asyncio.get_running_loop().create_future()
    return web.Response()


def test_no_answer_is_an_error_in_time() -> None:
    with pytest.raises(SourceError, match=r"no answer within 0\.05 s"):
        asyncio.run(ask(_silent, HttpRequest("/", timeout_s=0.05)))


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://[::bad/", "http://127.0.0.1:99999/"])
def test_what_cannot_be_reached_is_an_error(url: str) -> None:
    with pytest.raises(SourceError):
        asyncio.run(fetch(HttpRequest(url)))
