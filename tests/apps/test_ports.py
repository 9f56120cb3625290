from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from script_files import START_NS, Stage, script_of
from tidegate.apps.bgp_service import BgpService, Told, bgp_service
from tidegate.apps.config import BgpConfig, Config, PeerText
from tidegate.apps.pipeline import build_analyzer
from tidegate.apps.ports import RestScripts, RestSpeaker
from tidegate.errors import ConfigError, TextError
from tidegate.web.backend import (
    Announcer,
    ReceivedRequest,
    ScriptHost,
    ScriptReply,
    ScriptRequest,
    TopPrefixesRequest,
)

RULE = {"match": {"destination": "203.0.113.7/32", "protocol": "=17"}, "then": {"traffic-rate": "0"}}
ROUTE = {"prefix": "203.0.113.7/32", "nexthop": "192.0.2.1"}
PEER = "127.0.0.9"


async def _announce(bgp: Announcer) -> None:
    (neighbor,) = bgp.neighbors()
    assert (neighbor.address, neighbor.state, neighbor.wanted, neighbor.sent) == (PEER, "active", 0, 0)
    assert (neighbor.peer_as, neighbor.router_id, neighbor.families) == (None, None, ())
    assert (neighbor.local_as, neighbor.uptime, neighbor.hold_time) == (65001, 0.0, None)
    assert neighbor.prefixes["ipv6-flowspec"] == 0
    bgp.announce_flow(PEER, RULE)
    bgp.announce_route(PEER, ROUTE)
    (rule,), (route,) = bgp.flows(PEER), bgp.routes(PEER)
    assert rule["match"] == {**RULE["match"], "version": "4"}
    assert (route["prefix"], route["nexthop"]) == ("203.0.113.7/32", "192.0.2.1")
    assert bgp.neighbors()[0].wanted == 2
    assert bgp.withdraw_flow(PEER, RULE)
    assert bgp.withdraw_route(PEER, "203.0.113.7/32")
    assert not bgp.withdraw_route(PEER, "203.0.113.7/32")
    assert (bgp.flows(PEER), bgp.routes(PEER)) == ([], [])
    for call in (bgp.flows, bgp.routes, lambda router: bgp.announce_flow(router, RULE)):
        with pytest.raises(ConfigError):
            call("192.0.2.200")


@asynccontextmanager
async def service(*peers: str) -> AsyncIterator[BgpService]:
    texts = tuple(PeerText(address=peer, passive=True) for peer in peers)
    config = Config(bgp=BgpConfig(local_as=65001, router_id="192.0.2.1", port=None, peers=texts))
    analyzer, _ = build_analyzer(config, shards=1, now_ns=lambda: START_NS)
    async with bgp_service(config, analyzer, Told(), now=lambda: START_NS / 1e9) as made:
        yield made


def test_the_speaker_as_rest_sees_it() -> None:
    async def run() -> None:
        async with service(PEER) as made:
            await _announce(RestSpeaker(made))

    asyncio.run(run())


def test_without_a_neighbour_there_is_nothing_and_errors_say_so() -> None:
    async def run() -> None:
        async with service() as made:
            bgp = RestSpeaker(made)
            assert (bgp.neighbors(), bgp.routers(), bgp.log(None, 10)) == ([], [], [])
            for call in (bgp.flows, bgp.routes, bgp.reset, lambda router: bgp.refresh(router, None)):
                with pytest.raises(ConfigError, match="there is no BGP neighbour"):
                    call(PEER)
            with pytest.raises(ConfigError, match="start with --rib FILE"):
                await bgp.best_route("rib", "192.0.2.1")
            with pytest.raises(ConfigError, match="allow names none"):
                await bgp.best_route("bmp:192.0.2.1", "192.0.2.1")

    asyncio.run(run())


def test_what_tables_are_asked_is_checked() -> None:
    async def run() -> None:
        async with service(PEER) as made:
            bgp = RestSpeaker(made)
            assert await bgp.best_route(PEER, "192.0.2.1") is None
            assert await bgp.received_routes(PEER, ReceivedRequest(10)) == []
            assert await bgp.received_flows(PEER) == []
            assert bgp.refresh(PEER, "ipv4") == [], "there is no session to ask in"
            with pytest.raises(ConfigError, match="'ipv5' is none of"):
                bgp.refresh(PEER, "ipv5")
            with pytest.raises(TextError, match="not an IPv4 or IPv6 address"):
                await bgp.best_route(PEER, "here")
            with pytest.raises(TextError, match="did you mean"):
                await bgp.received_routes(PEER, ReceivedRequest(10, prefix="192.0.2.1/24"))
            with pytest.raises(ConfigError, match="'sideways' is none of destination, source, egress, ingress"):
                await bgp.top_prefixes(PEER, TopPrefixesRequest(1, 0, "sideways", True, 0, False, False))  # noqa: FBT003
            found = await bgp.self_test(PEER)
            assert not found.passed
            assert "the session is not up" in found.families["ipv4-flowspec"]
            bgp.reset(PEER)

    asyncio.run(run())


def request(method: str = "GET") -> ScriptRequest:
    return ScriptRequest(method, ("a",), {"q": ["1"]}, "json")


def test_scripts_as_rest_sees_them(tmp_path: Path) -> None:
    text = """
    def setup(rt):
        rt.on_http(lambda call: {"path": call.path, "query": call.query})
    """
    stage = Stage(script_of(tmp_path, text), in_step=False)
    stage.host.start(START_NS)
    ports: ScriptHost
    ports = rest = RestScripts()
    assert ports.scripts() == {}
    assert asyncio.run(ports.request("", "s.py", request())) == ScriptReply("the scripts are being loaded", 503)
    rest.host = stage.host
    assert ports.scripts()["s.py"].alive
    reply = asyncio.run(ports.request("", "s.py", request()))
    assert reply == ScriptReply({"path": ("a",), "query": {"q": ("1",)}})
    assert asyncio.run(ports.request("", "none.py", request())) == ScriptReply("no such script", 404)
    stage.host.stop()
    late = asyncio.run(ports.request("", "s.py", request()))
    assert late is not None
    assert late.status == 503
