from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from tidegate.web.backend import ScriptReply, ScriptRequest
from tidegate.web.polls import Polls
from tidegate.web.rest import RestConfig, create_app, end_polls
from web.asgi import Call, until_waiting
from web.fake_backend import FakeBackend, FakeScripts


def asked(scripts: FakeScripts, reply: ScriptReply | None = None) -> list[ScriptRequest]:
    """Add the script `ddos/top.py`, and return the requests it gets."""
    seen: list[ScriptRequest] = []

    def answer(request: ScriptRequest) -> ScriptReply:
        seen.append(request)
        return reply or ScriptReply("done")

    scripts.add("ddos/top.py", answer)
    return seen


def deep_list(depth: int) -> list[object]:
    deep: list[object] = []
    for _ in range(depth):
        deep = [deep]
    return deep


def test_how_scripts_do(client: TestClient[Litestar], scripts: FakeScripts) -> None:
    scripts.add("ddos/top.py", lambda _: ScriptReply())
    assert client.get("/scripts/json").json() == {
        "ddos/top.py": {
            "flowsReceived": 0,
            "flowsLost": 0,
            "eventsReceived": 0,
            "eventsLost": 0,
            "requestsReceived": 0,
            "requestsLost": 0,
            "alive": True,
            "gracefulExit": False,
            "cpuMs": 1.5,
        }
    }


def test_status(client: TestClient[Litestar], scripts: FakeScripts) -> None:
    scripts.add("good/a.py", lambda _: ScriptReply())
    scripts.add("good/b.py", lambda _: ScriptReply(), state="ended")
    good = client.get("/status")
    assert (good.status_code, good.text, good.headers["content-type"]) == (200, "OK", "text/plain; charset=utf-8")
    scripts.add("bad/a.py", lambda _: ScriptReply(), state="failed")
    bad = client.get("/status")
    assert (bad.status_code, bad.text) == (503, "UNAVAILABLE")
    assert [client.get(f"/app/{app}/status").status_code for app in ("good", "bad", "goo", "nope")] == [
        200,
        503,
        404,
        404,
    ]


def test_a_stuck_script_is_not_ok(client: TestClient[Litestar], scripts: FakeScripts) -> None:
    scripts.add("good/a.py", lambda _: ScriptReply(), state="stuck")
    assert client.get("/status").status_code == 503


def test_a_script_without_an_application(client: TestClient[Litestar], scripts: FakeScripts) -> None:
    scripts.add("plain.py", lambda request: ScriptReply(list(request.path)))
    assert client.get("/script/plain.py/a/b/json").json() == ["a", "b"]
    assert client.get("/script/other.py/json").status_code == 404


def test_what_a_handler_is_told(client: TestClient[Litestar], scripts: FakeScripts) -> None:
    seen = asked(scripts)
    client.put("/app/ddos/scripts/top.py/trend/now/json?a=1&a=2&b=x%20y", content=b"{mode:'automatic'}")
    client.get("/app/ddos/scripts/top.py/json")
    client.post("/app/ddos/scripts/top.py/json", content=b'"automatic"')
    client.delete("/app/ddos/scripts/top.py/txt")
    client.post("/app/ddos/scripts/top.py/json", content=b"{mode:")
    query = {"a": ["1", "2"], "b": ["x y"]}
    assert seen[:4] == [
        ScriptRequest("PUT", ("trend", "now"), query, "json", {"mode": "automatic"}),
        ScriptRequest("GET", (), {}, "json"),
        ScriptRequest("POST", (), {}, "json", "automatic"),
        ScriptRequest("DELETE", (), {}, "txt"),
    ]
    assert seen[4].body is None
    assert seen[4].error is not None


@pytest.mark.parametrize(
    ("value", "kind", "status", "content", "media"),
    [
        ({"a": [1, None]}, "json", 200, b'{"a":[1,null]}', "application/json"),
        (7, "json", 200, b"7", "application/json"),
        ("automatic", "json", 200, b'"automatic"', "application/json"),
        ('{"a": 1}', "json", 200, b'{"a": 1}', "application/json"),
        ("[1,", "json", 200, b'"[1,"', "application/json"),
        ("up 1\n", "txt", 200, b"up 1\n", "text/plain; charset=utf-8"),
        ("<html>", "txt", 200, b"<html>", "text/plain; charset=utf-8"),
        ("half \ud800", "txt", 200, b"half ?", "text/plain; charset=utf-8"),
        (None, "json", 204, b"", None),
        (None, "txt", 204, b"", None),
    ],
)
def test_what_a_handler_answers(  # noqa: PLR0913, PLR0917 - the columns of the table
    client: TestClient[Litestar],
    scripts: FakeScripts,
    value: object,
    kind: str,
    status: int,
    content: bytes,
    media: str | None,
) -> None:
    asked(scripts, ScriptReply(value))
    if value is None:
        scripts.add("ddos/top.py", lambda _: ScriptReply())
    reply = client.get(f"/app/ddos/scripts/top.py/{kind}")
    assert (reply.status_code, reply.content) == (status, content)
    assert media is None or reply.headers["content-type"] == media


def test_an_error_of_a_handler(client: TestClient[Litestar], scripts: FakeScripts) -> None:
    asked(scripts, ScriptReply("bad_request", status=400))
    reply = client.get("/app/ddos/scripts/top.py/json")
    assert (reply.status_code, reply.json()) == (400, {"error": "bad_request"})
    asked(scripts, ScriptReply(status=503))
    assert client.get("/app/ddos/scripts/top.py/json").status_code == 503


@pytest.mark.parametrize("value", [object(), {"a": "\ud800"}, {(1, 2): 3}, iter("ab"), deep_list(100_000)])
def test_an_answer_that_is_no_json_is_an_error(
    client: TestClient[Litestar], scripts: FakeScripts, caplog: pytest.LogCaptureFixture, value: object
) -> None:
    asked(scripts, ScriptReply(value))
    with caplog.at_level(logging.ERROR):
        reply = client.get("/app/ddos/scripts/top.py/json")
    assert (reply.status_code, reply.json()) == (500, {"error": "the script top.py returned what JSON cannot say"})
    assert "top.py" in caplog.text


@pytest.mark.parametrize(
    "path",
    [
        "ddos/scripts/nope.py/json",
        "nope/scripts/top.py/json",
        "ddos/scripts/top.py",
        "ddos/scripts/json",
        "ddos/scripts/top.py/html",
    ],
)
def test_a_script_that_is_not_there(client: TestClient[Litestar], scripts: FakeScripts, path: str) -> None:
    seen = asked(scripts)
    assert client.get(f"/app/{path}").status_code == 404
    assert seen == []


class Stuck(FakeScripts):
    """Scripts that never answer."""

    async def request(self, app: str, file: str, request: ScriptRequest) -> ScriptReply | None:
        await asyncio.get_running_loop().create_future()
        return await super().request(app, file, request)


def test_a_handler_has_a_time(backend: FakeBackend) -> None:
    app = create_app(backend, scripts=Stuck(), config=RestConfig(script_timeout_s=0.01))
    reply = TestClient(app).get("/app/a/scripts/b.py/json")
    assert reply.status_code == 503
    assert "did not answer" in reply.json()["error"]


def test_a_request_that_waits_for_a_script_ends_when_the_server_stops() -> None:
    async def stopped() -> list[dict[str, Any]]:
        app = create_app(FakeBackend(), scripts=Stuck())
        polls: Polls = app.state["polls"]
        async with asyncio.timeout(30), polls.running():
            call = Call(app, "/app/a/scripts/b.py/json")
            await until_waiting(polls)
            end_polls(app)
            await call.task
        return call.sent

    start, *body = asyncio.run(stopped())
    assert start["status"] == 503
    assert json.loads(b"".join(part.get("body", b"") for part in body)) == {"error": "the collector is about to stop"}
