from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from script_files import START_NS, Stage, script_of
from tidegate.apps.ports import RestScripts, RestSpeaker
from tidegate.errors import ConfigError
from tidegate.io.bgp import PeerConfig, Speaker
from tidegate.web.backend import Announcer, ScriptHost, ScriptReply, ScriptRequest

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


def test_the_speaker_as_rest_sees_it() -> None:
    async def run() -> None:
        config = PeerConfig(address=PEER, local_as=65001, router_id="192.0.2.1", passive=True)
        async with Speaker([config], port=None) as speaker:
            await _announce(RestSpeaker(speaker))

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
