"""A script's rules at a real speaker on a loop in another thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from tidegate.apps.script_bgp import Bgp, RouteLog, SpeakerPort
from tidegate.apps.script_desk import Desk
from tidegate.errors import ConfigError, SourceError
from tidegate.io.bgp import PeerConfig, Speaker

RULE = {"match": {"destination": "192.0.2.1", "protocol": "=17"}, "then": {"traffic-rate": 0}}


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def speaker_at(loop: asyncio.AbstractEventLoop, *peers: str) -> Speaker:
    configs = [PeerConfig(address=peer, local_as=65000, router_id="192.0.2.254") for peer in peers]
    made: Future[Speaker] = Future()
    loop.call_soon_threadsafe(lambda: made.set_result(Speaker(configs, port=None)))
    return made.result(60)


def test_rules_and_routes_reach_the_speaker(loop: asyncio.AbstractEventLoop) -> None:
    bgp = Bgp(SpeakerPort(speaker_at(loop, "192.0.2.99"), loop), Desk(0))
    bgp.announce_flow(None, RULE)
    bgp.announce_route("192.0.2.99", {"prefix": "192.0.2.7", "nexthop": "192.0.2.254", "communities": "65535:666"})
    assert [flow["match"]["destination"] for flow in bgp.flows("192.0.2.99")] == ["192.0.2.1/32"]
    assert [route["prefix"] for route in bgp.routes("192.0.2.99")] == ["192.0.2.7/32"]
    assert bgp.flows(None) == bgp.flows("192.0.2.99")
    assert bgp.routes(None) == bgp.routes("192.0.2.99")
    assert [neighbor.wanted for neighbor in bgp.neighbors()] == [2]
    assert bgp.withdraw_flow("192.0.2.99", RULE)
    assert bgp.withdraw_route(None, "192.0.2.7")
    assert not bgp.withdraw_route(None, "192.0.2.7")
    with pytest.raises(ConfigError, match="no such peer"):
        bgp.announce_flow("192.0.2.98", RULE)
    with pytest.raises(ConfigError, match="no such peer"):
        bgp.announce_flow(7, RULE)  # type: ignore[arg-type] # scripts are not always type-checked


def test_what_two_peers_have_is_listed_once(loop: asyncio.AbstractEventLoop) -> None:
    speaker = speaker_at(loop, "192.0.2.98", "192.0.2.99")
    for port in (SpeakerPort(speaker, loop), RouteLog(lambda: 0.0, peers=["192.0.2.98", "192.0.2.99"])):
        bgp = Bgp(port, Desk(0))
        for peer in ("192.0.2.98", "192.0.2.99"):
            bgp.announce_flow(peer, RULE)
        assert len(bgp.flows(None)) == 1
        bgp.announce_flow("192.0.2.98", {**RULE, "then": {"traffic-rate": 1000}})
        assert len(bgp.flows(None)) == 2


def test_a_speaker_that_has_ended_is_an_error() -> None:
    loop = asyncio.new_event_loop()
    port = SpeakerPort(Speaker(port=None), loop)
    loop.close()
    with pytest.raises(SourceError, match="the speaker has ended"):
        port.neighbors()


def test_a_log_without_peers_takes_any() -> None:
    log = RouteLog(lambda: 0.0)
    Bgp(log, Desk(0)).announce_flow("192.0.2.1", RULE)
    assert len(log.flows("192.0.2.1")) == len(log.flows(None)) == 1
    assert log.flows("192.0.2.2") == ()
    assert log.neighbors() == []
