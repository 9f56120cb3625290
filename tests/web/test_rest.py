from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from tidegate.errors import ConfigError
from tidegate.web.replies import MAX_BODY
from tidegate.web.rest import RestConfig, create_app
from web.fake_backend import FakeBackend, FakeScripts

Connect = Callable[[RestConfig], TestClient[Litestar]]
FLOW = b"{value:'bytes'}"
CHANGES = (
    ("PUT", "/flow/a/json"),
    ("DELETE", "/flow/a/json"),
    ("PUT", "/group/json"),
    ("PUT", "/group/a/json"),
    ("DELETE", "/group/a/json"),
    ("PUT", "/map/a/json"),
    ("DELETE", "/map/a/json"),
    ("PUT", "/threshold/a/json"),
    ("DELETE", "/threshold/a/json"),
    ("PUT", "/bgp/flowspec/192.0.2.254/json"),
    ("DELETE", "/bgp/flowspec/192.0.2.254/json"),
    ("PUT", "/bgp/routepusher/192.0.2.254/192.0.2.1/32/json"),
    ("DELETE", "/bgp/routepusher/192.0.2.254/192.0.2.1/32/json"),
    ("POST", "/bgp/reset/192.0.2.254/json"),
    ("POST", "/bgp/refresh/192.0.2.254/json"),
    ("POST", "/bgp/selftest/192.0.2.254/json"),
    ("POST", "/app/a/scripts/b.py/json"),
    ("PUT", "/app/a/scripts/b.py/json"),
    ("DELETE", "/app/a/scripts/b.py/json"),
    ("POST", "/script/b.py/json"),
    ("PUT", "/script/b.py/json"),
    ("DELETE", "/script/b.py/json"),
)
WRONG = (None, b"", b"Bearer", b"Bearer ", b"Bearer wrong", b"secret", b"Basic secret", b"Bearer secre", b"Bearer \xff")
OPEN = ("/health", "/html/index.html", "/html/start.js")


@pytest.fixture
def connect(backend: FakeBackend) -> Connect:
    return lambda config: TestClient(create_app(backend, config=config), raise_server_exceptions=False)


def test_the_table_of_changes_is_whole(client: TestClient[Litestar]) -> None:
    found = {
        (method, route.path)
        for route in client.app.routes
        for method in getattr(route, "route_handler_map", ())
        if method in {"PUT", "POST", "DELETE"}
    }
    assert len(found) == len(CHANGES) + 1  # `/groups/json` is `/group/json`


def test_read_only_refuses_changes(connect: Connect) -> None:
    client = connect(RestConfig(read_only=True))
    for method, path in CHANGES:
        reply = client.request(method, path, content=FLOW)
        assert (reply.status_code, reply.json()) == (403, {"error": "this server is read-only"})


def test_read_only_may_be_read(connect: Connect) -> None:
    assert connect(RestConfig(read_only=True)).get("/flow/json").status_code == 200


@pytest.mark.parametrize("header", WRONG)
def test_changes_need_the_token(connect: Connect, header: bytes | None) -> None:
    client = connect(RestConfig(token="secret"))  # noqa: S106 - a test's
    headers = {} if header is None else {b"Authorization": header}
    for method, path in CHANGES:
        reply = client.request(method, path, content=FLOW, headers=headers)
        assert reply.status_code == 401
        assert reply.headers["www-authenticate"] == "Bearer"
        assert "token" in reply.json()["error"]


@pytest.mark.parametrize("header", ["Bearer secret", "bearer  secret "])
def test_with_the_token_changes_are_made(connect: Connect, backend: FakeBackend, header: str) -> None:
    client = connect(RestConfig(token="secret"))  # noqa: S106 - a test's
    assert client.put("/flow/a/json", content=FLOW, headers={"Authorization": header}).status_code == 204
    assert list(backend.flows()) == ["a"]
    assert client.get("/flow/json").status_code == 200


@pytest.mark.parametrize("config", [RestConfig(token=""), RestConfig(token=" \t"), RestConfig(token_for_reads=True)])  # noqa: S106 - a test's
def test_a_configuration_that_protects_nothing_is_an_error(backend: FakeBackend, config: RestConfig) -> None:
    with pytest.raises(ConfigError):
        create_app(backend, config=config)


def test_a_token_may_be_needed_for_reads(connect: Connect) -> None:
    client = connect(RestConfig(token="secret", token_for_reads=True))  # noqa: S106 - a test's
    for path in ("/flow/json", "/version", "/events/json", "/api-docs", "/prometheus/analyzer/txt", "/status"):
        assert client.get(path).status_code == 401
        assert client.get(path, headers={"Authorization": "Bearer secret"}).status_code == 200
    for path in OPEN:
        assert client.get(path).status_code == 200


@pytest.mark.parametrize("sent_from", ["cross-site", "same-site"])
def test_pages_of_other_sites_change_nothing(
    client: TestClient[Litestar], backend: FakeBackend, sent_from: str
) -> None:
    headers = {"Sec-Fetch-Site": sent_from, "Origin": "https://evil.example"}
    assert client.put("/flow/a/json", content=FLOW, headers=headers).status_code == 403
    assert client.get("/flow/json", headers=headers).status_code == 200
    assert backend.flows() == {}


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "", "http://testserver.local:1", "http://[::1"])
def test_changes_of_other_origins_are_refused(client: TestClient[Litestar], origin: str) -> None:
    assert client.put("/flow/a/json", content=FLOW, headers={"Origin": origin}).status_code == 403


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8008", 200),
        ("127.0.0.1", 200),
        ("[::1]:8008", 200),
        ("localhost:8008", 200),
        ("LOCALHOST.", 200),
        ("noc.example:8008", 200),
        ("evil.example", 403),
        ("evil.example:8008", 403),
        ("localhost.evil.example", 403),
        ("[::1", 403),
        (":80", 403),
    ],
)
def test_names_that_a_server_on_loopback_answers_to(backend: FakeBackend, host: str, status: int) -> None:
    app = create_app(backend, config=RestConfig(hosts=("noc.example",)))
    client = TestClient(app, base_url="http://127.0.0.1:8008")
    assert client.get("/flow/json", headers={"Host": host}).status_code == status
    assert client.get("/health", headers={"Host": host}).status_code == 200


def test_a_server_on_the_network_answers_to_any_name(backend: FakeBackend) -> None:
    client = TestClient(create_app(backend), base_url="http://192.0.2.1:8008")
    assert client.get("/flow/json", headers={"Host": "telemetry.example"}).status_code == 200


def test_own_pages_and_allowed_origins_may_change(connect: Connect) -> None:
    origin = "https://noc.example"
    client = connect(RestConfig(cors_origins=(origin,)))
    allowed = {"Sec-Fetch-Site": "cross-site", "Origin": origin}
    assert client.put("/flow/a/json", content=FLOW, headers=allowed).status_code == 204
    own = {"Sec-Fetch-Site": "same-origin", "Origin": "http://testserver.local"}
    assert client.put("/flow/a/json", content=FLOW, headers=own).status_code == 204


def test_other_origins_are_told_nothing_by_default(client: TestClient[Litestar], connect: Connect) -> None:
    origin = "https://noc.example"
    assert "access-control-allow-origin" not in client.get("/flow/json", headers={"Origin": origin}).headers
    allowing = connect(RestConfig(cors_origins=(origin,), token="secret"))  # noqa: S106 - a test's
    assert allowing.get("/flow/json", headers={"Origin": origin}).headers["access-control-allow-origin"] == origin
    asked = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization"}
    before = allowing.options("/flow/a/json", headers={"Origin": origin, **asked})
    assert before.status_code == 204
    assert before.headers["access-control-allow-origin"] == origin
    assert "authorization" in before.headers["access-control-allow-headers"].lower()
    other = allowing.options("/flow/a/json", headers={"Origin": "https://evil.example", **asked})
    assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize(
    "path", ["/flow/json", "/flow/nope/json", "/nope", "/html/index.html", "/activeflows/ALL/a/json"]
)
def test_every_reply_has_the_headers_of_safety(client: TestClient[Litestar], path: str) -> None:
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["content-security-policy"].startswith("default-src 'self'")
    assert headers["cache-control"] == "no-store"


def test_what_is_sent_never_comes_back_as_a_page(client: TestClient[Litestar]) -> None:
    script = "<script>alert(1)</script>"
    for reply in (
        client.get(f"/flow/{script.replace('/', '%2F')}/json"),
        client.get(f"/{script}"),
        client.put("/flow/a/json", content=script.encode()),
        client.get("/events/json", params={"maxEvents": script}),
    ):
        assert reply.status_code in {400, 404}
        assert reply.headers["content-type"].startswith("application/json")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nope", 404),
        ("GET", "/flow/a/b/json", 404),
        ("PATCH", "/flow/a/json", 405),
        ("POST", "/flow/a/json", 405),
    ],
)
def test_what_is_not_there(client: TestClient[Litestar], method: str, path: str, status: int) -> None:
    reply = client.request(method, path)
    assert reply.status_code == status
    assert set(reply.json()) == {"error"}


def test_a_body_has_a_size(client: TestClient[Litestar], backend: FakeBackend) -> None:
    body = b"{value:'bytes'" + b" " * (MAX_BODY - 15) + b"}"
    assert len(body) == MAX_BODY
    assert client.put("/flow/a/json", content=body).status_code == 204
    reply = client.put("/flow/b/json", content=body + b" ")
    assert reply.status_code == 413
    assert set(reply.json()) == {"error"}
    assert list(backend.flows()) == ["a"]


def test_an_error_of_our_own_says_nothing_of_the_inside(
    client: TestClient[Litestar], backend: FakeBackend, caplog: pytest.LogCaptureFixture
) -> None:
    backend.measured = {"a": [object()]}  # type: ignore[list-item]  # a fault on purpose
    backend.set_flow("a", {"value": "bytes"})
    with caplog.at_level(logging.ERROR):
        reply = client.get("/activeflows/ALL/a/json")
    assert reply.status_code == 500
    assert reply.json() == {"error": "internal error; the log of the server says more"}
    assert "GET /activeflows/ALL/a/json failed" in caplog.text


def test_the_start_page(client: TestClient[Litestar]) -> None:
    reply = client.get("/", follow_redirects=False)
    assert (reply.status_code, reply.headers["location"]) == (302, "./html/index.html")
    page = client.get("/html/index.html")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert client.get("/html/start.js").headers["content-type"] == "text/javascript; charset=utf-8"
    links = [part.split('"')[0] for part in page.text.split('href="')[1:]]
    assert all(client.get("/html/" + link).status_code == 200 for link in links)


@pytest.mark.parametrize(
    "path",
    ["/html/nope", "/html/..%2Frest.py", "/html/%2e%2e/rest.py", "/html//etc/passwd", "/html/", "/html/.%2frest.py"],
)
def test_pages_are_a_closed_table(client: TestClient[Litestar], path: str) -> None:
    assert client.get(path).status_code == 404


def test_the_server_itself(client: TestClient[Litestar]) -> None:
    version = client.get("/version")
    assert (version.text, version.headers["content-type"]) == ("0.1-7", "text/plain; charset=utf-8")
    assert client.get("/license/json").json()["license"]["expires_ok"] is True
    assert client.get("/health").text == "OK"
    analyzer = client.get("/analyzer/json").json()
    assert analyzer == {"version": "0.1-7", "uptime": 1000, "sFlowAgents": 2, "cpuLoadProcess": 0.25}


@pytest.mark.parametrize(
    ("query", "agents"),
    [
        ("", {"10.0.0.20", "10.0.0.21"}),
        ("?agent=10.0.0.20", {"10.0.0.20"}),
        ("?agent=10.0.0.20&agent=10.0.0.21", {"10.0.0.20", "10.0.0.21"}),
        ("?agent=10.0.0.20,10.9.9.9", {"10.0.0.20"}),
        ("?agent=ALL", {"10.0.0.20", "10.0.0.21"}),
        ("?agent=10.9.9.9", set()),
    ],
)
def test_agents(client: TestClient[Litestar], query: str, agents: set[str]) -> None:
    found = client.get("/agents/json" + query).json()
    assert set(found) == agents
    for info in found.values():
        assert info["sFlowFlowSamples"] == 4013
        assert len(info) == 19


def test_counters_for_prometheus(client: TestClient[Litestar]) -> None:
    reply = client.get("/prometheus/analyzer/txt")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert reply.text == (
        "# TYPE sflow_analyzer_uptime_milliseconds gauge\nsflow_analyzer_uptime_milliseconds 1000\n"
        "# TYPE sflow_analyzer_agents gauge\nsflow_analyzer_agents 2\n"
        "# TYPE sflow_analyzer_agent_count gauge\nsflow_analyzer_agent_count 2\n"
        "# TYPE sflow_analyzer_cpu_load_process gauge\nsflow_analyzer_cpu_load_process 0.25\n"
    )


def test_without_bgp_and_scripts(backend: FakeBackend) -> None:
    client = TestClient(create_app(backend))
    assert client.get("/bgp/neighbors/json").json() == []
    assert client.get("/scripts/json").json() == {}
    assert client.get("/status").text == "OK"
    for path in ("/bgp/flowspec/192.0.2.1/json", "/app/a/status", "/app/a/scripts/b.py/json"):
        assert client.get(path).status_code == 404


def test_two_applications_share_nothing() -> None:
    first, second = FakeBackend(), FakeBackend()
    with TestClient(create_app(first)) as one, TestClient(create_app(second, scripts=FakeScripts())) as two:
        one.put("/flow/a/json", content=FLOW)
        two.put("/flow/b/json", content=FLOW)
        assert (list(one.get("/flow/json").json()), list(two.get("/flow/json").json())) == (["a"], ["b"])
