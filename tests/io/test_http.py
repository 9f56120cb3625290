from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec
import pytest

from tidegate.errors import SourceError
from tidegate.io.http import HttpConfig, HttpServer, serve_http
from tidegate.web.polls import Polls
from tidegate.web.replies import MAX_BODY
from tidegate.web.rest import create_app, end_polls
from web.asgi import until_waiting
from web.fake_backend import FakeBackend, event

LOCAL = HttpConfig(port=0)
PATIENCE_S = 30.0
FLOW = b"{keys:'ipsource',value:'bytes'}"


class Served:
    """REST on a loopback port, and what clients do with it."""

    def __init__(
        self, server: HttpServer, backend: FakeBackend, polls: Polls, writers: list[asyncio.StreamWriter]
    ) -> None:
        self.server = server
        self.backend = backend
        self.polls = polls
        self.writers = writers

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(self.server.host, self.server.port)
        self.writers.append(writer)
        return reader, writer

    async def ask(self, *requests: bytes) -> list[tuple[int, bytes]]:
        """Send requests on one connection, each after the reply to the one before."""
        reader, writer = await self.connect()
        replies = []
        for request in requests:
            writer.write(request)
            replies.append(await read_reply(reader))
        return replies


async def close(writers: list[asyncio.StreamWriter]) -> None:
    for writer in writers:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def read_reply(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    status = int(head.split()[1])
    length = next((int(line.split(":")[1]) for line in head.split("\r\n") if line.startswith("content-length:")), 0)
    return status, await reader.readexactly(length)


def get(target: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def put(target: str, body: bytes) -> bytes:
    return f"PUT {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@asynccontextmanager
async def served(config: HttpConfig = LOCAL) -> AsyncIterator[Served]:
    backend = FakeBackend()
    app = create_app(backend)
    async with asyncio.timeout(PATIENCE_S), AsyncExitStack() as stack:
        writers: list[asyncio.StreamWriter] = []
        stack.push_async_callback(close, writers)
        server = await stack.enter_async_context(serve_http(app, config, before_stop=lambda: end_polls(app)))
        yield Served(server, backend, app.state["polls"], writers)


def on_loop(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    async def run() -> None:
        await test()

    def outer() -> None:
        asyncio.run(run())

    outer.__name__ = test.__name__
    return outer


@on_loop
async def test_many_requests_on_one_connection() -> None:
    async with served() as one:
        replies = await one.ask(get("/version"), put("/flow/a/json", FLOW), get("/flow/json"), get("/nope"))
        assert [status for status, _ in replies] == [200, 204, 200, 404]
        assert list(json.loads(replies[2][1])) == ["a"]


@on_loop
async def test_a_body_in_chunks() -> None:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (FLOW[:5], FLOW[5:6], FLOW[6:])) + b"0\r\n\r\n"
    head = b"PUT /flow/a/json HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with served() as one:
        assert (await one.ask(head + chunks, get("/version")))[0] == (204, b"")
        assert list(one.backend.flows()) == ["a"]


@on_loop
async def test_a_body_in_chunks_has_a_size() -> None:
    head = b"PUT /flow/a/json HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with served() as one:
        reader, writer = await one.connect()
        writer.write(head + b"%x\r\n" % (MAX_BODY + 1) + b" " * (MAX_BODY + 1) + b"\r\n0\r\n\r\n")
        assert (await read_reply(reader))[0] == 413


@on_loop
async def test_requests_one_behind_the_other() -> None:
    async with served() as one:
        reader, writer = await one.connect()
        writer.write(put("/flow/a/json", FLOW) + get("/flow/json") + get("/version"))
        assert [(await read_reply(reader))[0] for _ in range(3)] == [204, 200, 200]


@on_loop
async def test_dozens_of_idle_polls_and_others_are_answered() -> None:
    async with served() as one:
        waiting = [await one.connect() for _ in range(60)]
        for _, writer in waiting:
            writer.write(get("/events/json?eventID=-1&timeout=3600"))
        await until_waiting(one.polls, 60)
        assert (await one.ask(get("/version")))[0][0] == 200
        await asyncio.to_thread(one.backend.add, event(1))
        for reader, _ in waiting:
            status, body = await read_reply(reader)
            assert (status, [row["eventID"] for row in json.loads(body)]) == (200, [1])


@on_loop
async def test_a_client_that_goes_away_ends_its_poll() -> None:
    async with served() as one:
        _, writer = await one.connect()
        writer.write(get("/events/json?eventID=-1&timeout=3600"))
        await until_waiting(one.polls, 1)
        writer.transport.abort()
        await until_waiting(one.polls, 0)


@on_loop
async def test_polls_are_answered_when_the_server_stops() -> None:
    async with served() as one:
        reader, writer = await one.connect()
        writer.write(get("/events/json?eventID=-1&timeout=3600"))
        idle_reader, _ = await one.connect()
        await until_waiting(one.polls, 1)
        reply, rest = asyncio.create_task(read_reply(reader)), asyncio.create_task(idle_reader.read())
    assert (await reply, await rest) == ((200, b"[]"), b"")
    assert one.backend.watchers == []


@on_loop
async def test_the_port_is_free_again_after_a_stop() -> None:
    async with served() as one:
        port = one.server.port
        await one.ask(get("/version"))
    async with served(HttpConfig(port=port)) as again:
        assert again.server.port == port
        assert (await again.ask(get("/version")))[0][0] == 200


@on_loop
async def test_a_failure_inside_stops_the_server_too() -> None:
    with pytest.raises(ZeroDivisionError):
        async with served() as one:
            raise ZeroDivisionError
    with pytest.raises(ConnectionRefusedError):
        await one.connect()


@on_loop
async def test_a_port_in_use_says_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = HttpConfig(port=taken.getsockname()[1])
        with pytest.raises(SourceError, match="the port is in use") as caught:
            async with served(config):
                pytest.fail("it listens")
    assert caught.value.name == f"http 127.0.0.1:{config.port}"


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (HttpConfig(host="192.0.2.1"), "this machine has no such address"),
        (HttpConfig(host="no host"), "this is no address to listen on"),
        (HttpConfig(host="\ud800"), "this is no address to listen on"),
        (HttpConfig(port=70000), "this is no port"),
        (HttpConfig(port=-1), "this is no port"),
    ],
)
def test_an_address_that_cannot_be_used(config: HttpConfig, reason: str) -> None:
    async def run() -> None:
        async with served(config):
            pytest.fail("it listens")

    with pytest.raises(SourceError, match=reason):
        asyncio.run(run())


@on_loop
async def test_an_application_that_does_not_start_is_an_error() -> None:
    async def broken(scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[..., Any]) -> None:
        assert scope["type"] == "lifespan"
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no"})

    with pytest.raises(SourceError, match="did not start"):
        async with serve_http(broken, LOCAL):
            pytest.fail("it serves")


@on_loop
async def test_connections_beyond_the_limit_are_turned_away() -> None:
    async with served(HttpConfig(port=0, max_connections=3)) as one:
        waiting = [await one.connect() for _ in range(2)]
        for _, writer in waiting:
            writer.write(get("/events/json?eventID=-1&timeout=3600"))
        await until_waiting(one.polls, 2)
        reader, writer = await one.connect()
        writer.write(get("/version"))
        assert (await read_reply(reader))[0] == 503


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\x02\x00", b"NONSENSE", b"GET /\x00 HTTP/1.1"])
def test_garbage_ends_its_connection_only(garbage: bytes) -> None:
    async def run() -> None:
        async with served() as one:
            reader, writer = await one.connect()
            writer.write(garbage + b"\r\n\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.1 400")
            assert (await one.ask(get("/version")))[0][0] == 200

    asyncio.run(run())


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"GET /flow",
        b"PUT /flow/a/json HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{keys",
        get("/health") + b"GET /flow",
    ],
    ids=["silent", "head", "body", "second"],
)
def test_a_request_that_does_not_come_to_its_end_is_dropped(beginning: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with served(msgspec.structs.replace(LOCAL, request_s=0.1)) as rest:
            reader, writer = await rest.connect()
            writer.write(beginning)
            with contextlib.suppress(ConnectionError):
                await reader.read()  # to the end
            assert (await rest.ask(get("/health")))[0] == (200, b"OK")

    asyncio.run(asyncio.wait_for(test(), PATIENCE_S))
    assert [entry.message for entry in caplog.records if entry.levelname == "ERROR"] == []


def test_a_poll_may_wait_for_longer_than_a_request_may_come() -> None:
    async def test() -> None:
        async with served(msgspec.structs.replace(LOCAL, request_s=0.1)) as rest:
            poll = asyncio.create_task(rest.ask(get("/events/json?eventID=-1&timeout=60")))
            await until_waiting(rest.polls, 1)
            with contextlib.suppress(ConnectionError):
                reader, _ = await rest.connect()
                await reader.read()  # the silent one is dropped, which takes two looks; the poll is not
            rest.backend.add(event(1))
            assert (await poll)[0][0] == 200

    asyncio.run(asyncio.wait_for(test(), PATIENCE_S))


def test_urls_of_both_families() -> None:
    assert HttpServer("127.0.0.1", 8008).url == "http://127.0.0.1:8008"
    assert HttpServer("::1", 8008).url == "http://[::1]:8008"
