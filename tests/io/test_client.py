from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tidegate.errors import SourceError
from tidegate.io.client import Client


@contextmanager
def answering(answer: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Serve one raw answer on loopback; yield the URL and what was asked."""
    asked: list[bytes] = []

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            asked.append(connection.recv(65536))
            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", asked
        thread.join()


def reply(status: str, body: bytes, headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


def test_what_is_asked_and_what_comes_back() -> None:
    with answering(reply("200 OK", b'[{"a": 1}]')) as (url, asked):
        got = Client(url + "/base/", "hush").get(
            "active flows", "a/b;c", "json", maxFlows=3, names=["x", "y&"], no=None
        )
    assert got == [{"a": 1}]
    lines = asked[0].decode().split("\r\n")
    assert lines[0] == "GET /base/active%20flows/a%2Fb;c/json?maxFlows=3&names=x&names=y%26 HTTP/1.1"
    assert "Authorization: Bearer hush" in lines


def test_what_is_to_be_done_may_be_answered_with_nothing() -> None:
    for answer, wanted in ((reply("204 No Content", b""), None), (reply("200 OK", b"[1]"), [1])):
        with answering(answer) as (url, asked):
            assert Client(url).post("bgp", "reset", "::1", "json", family=None) == wanted
        assert asked[0].startswith(b"POST /bgp/reset/%3A%3A1/json HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (reply("404 Not Found", b'{"error": "no flow x"}'), "404 no flow x"),
        (reply("500 Internal Server Error", b"<html>"), "500 Internal Server Error"),
        (reply("401 Unauthorized", b""), "401 Unauthorized; give its token with --token or TIDEGATE_TOKEN"),
        (reply("302 Found", b"", "Location: http://192.0.2.1/\r\n"), "302 Found"),
        (reply("299 Odd", b"[]"), None),
        (reply("599 Odd", b""), "599 Odd"),
        (reply("200 OK", b"hello"), "/x answered no JSON; is this tidegate?"),
        (reply("204 No Content", b""), "/x answered no JSON; is this tidegate?"),
        (reply("200 OK", b"\xff\xfe"), "/x answered no JSON; is this tidegate?"),
        (b"SSH-2.0-OpenSSH\r\n", "this does not speak HTTP (BadStatusLine); is `tidegate run` running"),
        (b"", "is `tidegate run` running"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort", "/x answered no JSON; is this tidegate?"),
    ],
)
def test_answers_that_are_none_say_so(answer: bytes, said: str | None) -> None:
    with answering(answer) as (url, _):
        if said is None:
            assert Client(url).get("x") == []
            return
        with pytest.raises(SourceError) as caught:
            Client(url).get("x")
    assert said in str(caught.value)
    assert str(caught.value).startswith(url)


@pytest.mark.parametrize("url", ["", "127.0.0.1:8008", "file:///etc/passwd", "http://", "http://h:port", "http://[::1"])
def test_addresses_that_are_none_are_refused(url: str) -> None:
    with pytest.raises(SourceError, match="this is no URL"):
        Client(url)


def test_a_token_with_line_ends_is_refused_and_not_shown() -> None:
    with pytest.raises(SourceError, match="printable") as caught:
        Client("http://127.0.0.1", "hush\r\nX: y")
    assert "hush" not in str(caught.value)


def test_nobody_there_is_said_in_words() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        with pytest.raises(SourceError, match="connection refused; is `tidegate run` running"):
            Client(url).get("x")


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://192.0.2.1:1")
    with answering(reply("200 OK", b"{}")) as (url, _):
        assert Client(url).get("x") == {}
