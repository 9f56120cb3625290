from __future__ import annotations

import pytest

from tidegate.apps.fake_backend import FakeBackend
from tidegate.apps.fake_runtime import FakeRuntime
from tidegate.apps.script import (
    ActiveFlow,
    AgentInfo,
    DataSourceInfo,
    Event,
    FlowRecord,
    HttpCall,
    HttpResponse,
    bad_request,
    not_found,
    unavailable,
)
from tidegate.errors import ConfigError, Inexpressible, SourceError, TextError
from tidegate.web.answers import Reply

RULE = {"match": {"destination": "192.0.2.1", "protocol": "=17"}, "then": {"traffic-rate": 0}}


def test_texts_of_the_flow_language_are_checked_as_they_are_live() -> None:
    rt = FakeRuntime().rt
    with pytest.raises(TextError, match="filter"):
        rt.set_flow("f", {"keys": "ipsource", "value": "bytes", "filter": "ipsource="})
    with pytest.raises(TextError, match="value"):
        rt.set_flow("f", {"keys": "ipsource"})
    with pytest.raises(TextError):
        rt.set_threshold("t", {"metric": "f"})
    with pytest.raises(TextError):
        rt.set_group("g", {"label": ["192.0.2.0/33"]})
    rt.set_map("m", {"label": ["00000C07AC01"]})
    assert rt.clear_map("m")
    assert not rt.clear_map("m")
    assert not rt.clear_group("g")
    assert not rt.clear_flow("f")
    assert not rt.clear_threshold("t")


def test_an_event_fires_a_threshold_until_it_is_calm() -> None:
    fake = FakeRuntime(now=1000.0)
    seen: list[Event] = []
    fake.rt.set_threshold("t", {"metric": "f", "value": 10})
    fake.rt.on_event(seen.append, thresholds=["t"])
    with pytest.raises(ConfigError, match=r"no threshold 'u' \(known: t\)"):
        fake.fire("u")
    fake.advance(1.5)
    event = fake.fire("t", flow_key="k", agent="192.0.2.9", data_source="3")
    assert seen == [event]
    assert (event.value, event.timestamp, event.metric) == (20.0, 1_001_500, "f")
    assert fake.rt.threshold_triggered(event)
    fake.calm(event)
    assert not fake.rt.threshold_triggered(event)
    fake.fire("t")
    assert fake.rt.clear_threshold("t")
    assert fake.backend.triggered == set()


def test_time_is_made_up_and_timers_run_at_their_own_moments() -> None:
    fake = FakeRuntime(now=0.0)
    moments: list[float] = []
    tick = fake.rt.every(2, lambda: moments.append(fake.rt.now()))
    fake.rt.after(3, lambda: fake.rt.after(0.5, lambda: moments.append(fake.rt.now())))
    fake.advance(5)
    assert moments == [2.0, 3.5, 4.0]
    tick.cancel()
    fake.advance(100)
    assert moments == [2.0, 3.5, 4.0]
    assert fake.now() == fake.rt.now() == 105.0


def test_what_a_handler_raises_is_raised_to_the_test() -> None:
    fake = FakeRuntime()
    fake.rt.after(1, lambda: fake.rt.bgp.announce_flow(None, {"match": {}}))
    with pytest.raises(Inexpressible):
        fake.advance(1)


def test_rules_and_routes_are_data() -> None:
    fake = FakeRuntime(peers=["198.51.100.1", "198.51.100.2"], now=5.0)
    bgp = fake.rt.bgp
    bgp.announce_flow(None, RULE)
    bgp.announce_flow("198.51.100.1", {**RULE, "then": {"traffic-rate": 1000}})
    bgp.announce_route("198.51.100.2", {"prefix": "192.0.2.1", "nexthop": "192.0.2.254", "localpref": None})
    assert [flow["then"] for flow in fake.flows("198.51.100.2")] == [{"traffic-rate": "0"}]
    assert [flow["then"] for flow in bgp.flows("198.51.100.1")] == [{"traffic-rate": "0"}, {"traffic-rate": "1000"}]
    assert [route["prefix"] for route in bgp.routes("198.51.100.2")] == ["192.0.2.1/32"]
    assert [neighbor.address for neighbor in bgp.neighbors()] == ["198.51.100.1", "198.51.100.2"]
    with pytest.raises(ConfigError, match="no such peer"):
        bgp.announce_flow("198.51.100.3", RULE)
    assert bgp.withdraw_flow(None, RULE)
    assert not bgp.withdraw_flow(None, RULE)
    assert bgp.withdraw_route("198.51.100.2", "192.0.2.1/32")
    assert fake.flows() == []
    assert fake.routes() == []
    assert [(change.what, change.peer, change.time) for change in fake.changes] == [
        ("announce", None, 5.0),
        ("announce", "198.51.100.1", 5.0),
        ("announce", "198.51.100.2", 5.0),
        ("withdraw", None, 5.0),
        ("withdraw", "198.51.100.1", 5.0),
        ("withdraw", "198.51.100.2", 5.0),
    ]


def test_a_rule_that_cannot_be_said_is_refused_and_nothing_is_announced() -> None:
    fake = FakeRuntime()
    with pytest.raises(Inexpressible, match="all traffic"):
        fake.rt.bgp.announce_flow(None, {"match": {"version": 4, "protocol": "=17"}, "then": {"traffic-rate": 0}})
    with pytest.raises(TextError):
        fake.rt.bgp.announce_flow(None, {"match": {"destination": "192.0.2.1"}, "then": {"trafic-rate": 0}})
    with pytest.raises(TextError):
        fake.rt.bgp.announce_route(None, {"prefix": "192.0.2.1", "nexthop": "2001:db8::1"})
    assert fake.changes == []


def test_http_is_recorded_and_answered_by_the_test() -> None:
    fake = FakeRuntime()
    assert fake.rt.http("https://example.net/").status == 200
    fake.answer = lambda request: HttpResponse(201, b'{"id":7}', url=request.url)
    reply = fake.rt.http("/threshold/t/json", method="put", body={"value": 1}, headers={"x-a": "b"}, timeout_s=3)
    assert (reply.ok, reply.json()) == (True, {"id": 7})
    request = fake.requests[1]
    assert (request.url, request.method) == ("http://127.0.0.1:8008/threshold/t/json", "PUT")
    assert (request.body, request.timeout_s) == (b'{"value":1}', 3)
    assert request.headers == {"content-type": "application/json", "x-a": "b"}
    fake.rt.http("http://example.net/", body="ü")
    fake.rt.http("http://example.net/", body=b"\0")
    assert [request.body for request in fake.requests[2:]] == ["ü".encode(), b"\0"]
    with pytest.raises(ConfigError, match="a URL"):
        fake.rt.http("example.net")

    def refuse(request: object) -> HttpResponse:
        raise SourceError("http://example.net/", f"no answer to {request}")

    fake.answer = refuse
    with pytest.raises(SourceError):
        fake.rt.http("http://example.net/")
    with pytest.raises(SourceError, match="no JSON"):
        HttpResponse(200, b"<").json()
    assert HttpResponse(200, b"\xff").text == "\N{REPLACEMENT CHARACTER}"


def test_async_handlers_run() -> None:
    fake = FakeRuntime()

    async def tick() -> None:
        reply = await fake.rt.http_async("http://example.net/")
        fake.rt.log.info(reply.status)

    fake.rt.after(1, tick)
    fake.advance(1)
    assert fake.lines() == ["200"]


def test_flows_and_requests_and_sessions_reach_the_script() -> None:
    fake = FakeRuntime()
    told: list[str] = []

    def on_flow(record: FlowRecord) -> None:
        told.append(f"{record.name} {record.flow_keys} {record.end - record.start}")

    def on_http(call: HttpCall) -> object:
        errors = {"none": not_found(), "bad": bad_request(), "later": unavailable()}
        if call.path:
            raise errors[call.path[0]]
        return {"query": call.query, "body": call.body}

    assert fake.request().status == 404
    fake.rt.on_flow(on_flow, names=["f"])
    fake.rt.on_http(on_http)
    fake.rt.bgp.on_up(lambda peer: told.append(f"up {peer}"))
    fake.rt.bgp.on_down(lambda peer: told.append(f"down {peer}"))
    fake.record("f", "a,b", value=5.0, seconds=2)
    fake.record("other", "a,b", value=5.0)
    fake.peer_up("192.0.2.1")
    fake.peer_down("192.0.2.1")
    assert told == ["f a,b 2000", "up 192.0.2.1", "down 192.0.2.1"]
    assert fake.request("POST", query={"a": ["1"]}, body=[1]).body == b'{"query":{"a":["1"]},"body":[1]}'
    assert [fake.request(path=path).status for path in ("none", "bad", "later")] == [404, 400, 503]


def test_requests_are_answered_as_live() -> None:
    fake = FakeRuntime(name="s.py")

    def on_http(call: HttpCall) -> object:
        if call.path:
            raise bad_request("half \ud800")
        return '["\ud800"]'

    fake.rt.on_http(lambda _: "an older handler")
    fake.rt.on_http(on_http)
    assert fake.request(path="bad") == Reply(400, b'{"error":"half ?"}')
    assert fake.request() == Reply(500, b'{"error":"the script s.py returned what JSON cannot say"}')


def test_what_is_measured_is_what_the_test_says() -> None:
    backend = FakeBackend()
    flow = ActiveFlow("k", 5.0, "192.0.2.1", "1", 1)
    backend.active["f"] = [flow, ActiveFlow("l", 9.0, "192.0.2.1", "1", 1)]
    backend.locations["f", "k"] = [flow]
    backend.keys_seen["ipsource"] = 3
    backend.known_agents["192.0.2.1"] = AgentInfo(("192.0.2.1",), 1, 1, 1)
    backend.data_sources["192.0.2.1", "1"] = DataSourceInfo(1000, 1000.0, 1, 1)
    rt = FakeRuntime(backend).rt
    assert rt.active_flows("f") == rt.flow_locations("f", "k") == []  # not defined yet
    rt.set_flow("f", {"keys": "ipsource", "value": "bytes"})
    assert [each.key for each in rt.active_flows("f")] == ["l", "k"]
    assert [each.key for each in rt.active_flows("f", max_flows=1)] == ["l"]
    assert [each.key for each in rt.active_flows("f", min_value=6)] == ["l"]
    assert rt.flow_value("f", "k", agent="192.0.2.1", data_source="1") == 5.0
    assert rt.flow_value("f", "k", agent="192.0.2.1", data_source="2") is None
    assert rt.flow_locations("f", "k", agents="192.0.2.2") == []
    assert rt.flow_keys() == {"ipsource": 3}
    assert list(rt.agents()) == ["192.0.2.1"]
    assert rt.agents(["192.0.2.2"]) == {}
    assert rt.data_source("192.0.2.1", "1") == DataSourceInfo(1000, 1000.0, 1, 1)
    assert rt.data_source("192.0.2.1", "2") is None


def test_the_store_survives_a_restart_of_the_script() -> None:
    first = FakeRuntime()
    first.rt.store.set("rules", [RULE])
    assert FakeRuntime(store=first.store).rt.store.get("rules") == [RULE]


def test_settings_are_a_copy() -> None:
    config = {"list": [1]}
    rt = FakeRuntime(config=config).rt
    rt.config["list"].append(2)
    assert config == {"list": [1]}


def test_long_lines_are_cut() -> None:
    fake = FakeRuntime(now=3.0)
    for write in (fake.rt.log.debug, fake.rt.log.info, fake.rt.log.warning, fake.rt.log.error):
        write("x" * 10_000)
    assert [(line.level, len(line.text), line.time) for line in fake.log] == [
        ("debug", 8192, 3.0),
        ("info", 8192, 3.0),
        ("warning", 8192, 3.0),
        ("error", 8192, 3.0),
    ]
