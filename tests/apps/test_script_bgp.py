"""A script's rules at a real speaker on a loop in another thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager

import pytest

from tidegate.apps.bgp_service import Told, bgp_service
from tidegate.apps.config import BgpConfig, Config, PeerText
from tidegate.apps.pipeline import build_analyzer
from tidegate.apps.route_log import RouteLog
from tidegate.apps.script_bgp import Bgp
from tidegate.apps.script_desk import Desk
from tidegate.apps.speaker_port import SpeakerPort
from tidegate.errors import ConfigError, SourceError
from tidegate.io.bgp import PeerConfig

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


@contextmanager
def port_at(loop: asyncio.AbstractEventLoop, *peers: str) -> Iterator[SpeakerPort]:
    texts = tuple(PeerText(address=peer, passive=True) for peer in peers)
    config = Config(bgp=BgpConfig(local_as=65000, router_id="192.0.2.254", port=None, peers=texts))
    analyzer, _ = build_analyzer(config, shards=1, now_ns=lambda: 0)
    stack = AsyncExitStack()
    entering = stack.enter_async_context(bgp_service(config, analyzer, Told(), now=lambda: 0.0))
    service = asyncio.run_coroutine_threadsafe(entering, loop).result(60)
    try:
        yield SpeakerPort(service, loop)
    finally:
        asyncio.run_coroutine_threadsafe(stack.aclose(), loop).result(60)


def test_rules_and_routes_reach_the_speaker(loop: asyncio.AbstractEventLoop) -> None:
    with port_at(loop, "192.0.2.99") as port:
        _announce_and_withdraw(Bgp(port, Desk(0)))


def _announce_and_withdraw(bgp: Bgp) -> None:
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
    with port_at(loop, "192.0.2.98", "192.0.2.99") as live:
        for port in (live, RouteLog(lambda: 0.0, peers=["192.0.2.98", "192.0.2.99"])):
            bgp = Bgp(port, Desk(0))
            for peer in ("192.0.2.98", "192.0.2.99"):
                bgp.announce_flow(peer, RULE)
            assert len(bgp.flows(None)) == bgp.flow_count(None) == 1
            bgp.announce_flow("192.0.2.98", {**RULE, "then": {"traffic-rate": 1000}})
            assert len(bgp.flows(None)) == bgp.flow_count(None) == 2


def test_a_speaker_that_has_ended_is_an_error() -> None:
    other = asyncio.new_event_loop()
    thread = threading.Thread(target=other.run_forever)
    thread.start()
    with port_at(other) as port:
        pass
    other.call_soon_threadsafe(other.stop)
    thread.join()
    other.close()
    for call in (port.neighbors, lambda: port.set_next_hops({}), port.totals):
        with pytest.raises(SourceError, match="the speaker has ended"):
            call()


def test_a_log_without_peers_takes_any() -> None:
    log = RouteLog(lambda: 0.0)
    Bgp(log, Desk(0)).announce_flow("192.0.2.1", RULE)
    assert len(log.flows("192.0.2.1")) == len(log.flows(None)) == 1
    assert log.flows("192.0.2.2") == ()
    assert log.neighbors() == []


def test_routes_for_neighbours_that_come_one_after_the_other_wait_for_theirs(
    loop: asyncio.AbstractEventLoop,
) -> None:
    with port_at(loop) as port:
        bgp = Bgp(port, Desk(0))
        for peer in ("192.0.2.98", "192.0.2.99"):
            bgp.announce_route(peer, {"prefix": f"{peer}/32", "nexthop": "192.0.2.254"})
        for peer in ("192.0.2.99", "192.0.2.98"):
            port.add_neighbor(PeerConfig(peer, 65000, "192.0.2.254", passive=True))
        for peer in ("192.0.2.98", "192.0.2.99"):
            assert [route["prefix"] for route in bgp.routes(peer)] == [f"{peer}/32"]


def test_a_log_knows_a_peer_by_any_spelling() -> None:
    log = RouteLog(lambda: 0.0)
    bgp = Bgp(log, Desk(0))
    bgp.announce_route("2001:DB8::1", {"prefix": "192.0.2.7", "nexthop": "192.0.2.254"})
    assert len(bgp.routes("2001:db8::1")) == 1
    log.add_neighbor(PeerConfig("2001:0db8::1", 65000, "192.0.2.254"))
    log.remove_neighbor("2001:DB8::1")
    assert bgp.routes(None) == []
