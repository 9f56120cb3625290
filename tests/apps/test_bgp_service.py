"""A collector and a router on loopback: the table comes by BGP, samples by UDP, and REST shows both together."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bgp_raw import need_address, rule
from bgp_raw import run as bounded
from routed import HERE, ROUTER, Packet, datagram, route, router, table
from running import prepare
from tidegate.apps.collector import Running, collector
from tidegate.apps.config import Config
from tidegate.io.bgp import Speaker
from tidegate.io.client import Client
from tidegate.io.clock import SystemClock
from tidegate.wire.bgp.routes import Route

FLOWS = {
    "path": {"keys": "bgpdestinationaspath", "value": "bytes", "t": 60},
    "communities": {"keys": "bgpcommunities", "value": "bytes", "t": 60},
    "ours": {"keys": "bgpas,bgpdestinationas,bgpnexthop", "value": "bytes", "t": 60},
}
PACKETS = [Packet("10.1.0.9", "10.2.0.1"), Packet("10.1.0.9", "198.51.100.7", 500), Packet("10.1.0.9", "10.3.0.1", 250)]
MARKED = route("198.51.100.0/24", 65010, 65020, next_hop="192.0.2.99", communities=["64500:1", "64500:2"], med=7)


@pytest.fixture(scope="module", autouse=True)
def _kernels() -> None:
    prepare()


def run(test: Callable[[], Awaitable[None]]) -> None:
    need_address(ROUTER)
    bounded(test)


def config_of(port: int = 0, **more: Any) -> Config:  # noqa: ANN401 - sections of the configuration
    peer = {"address": ROUTER, "port": port, "peer_as": 64500, "local_address": HERE, "connect_retry_s": 0.1}
    bgp = {"local_as": 65001, "router_id": "192.0.2.1", "port": 0, "listen": [HERE]}
    sections = {
        "sflow": {"host": HERE, "port": 0},
        "rest": {"port": 0},
        "bgp": {**bgp, "peers": [peer] if port else [], **more.pop("bgp", {})},
        "flows": FLOWS,
        **more,
    }
    return msgspec.convert(sections, Config)


class Site:
    """A running collector with its client."""

    def __init__(self, running: Running) -> None:
        self.running = running
        assert running.rest_url is not None
        self._client = Client(running.rest_url)
        self._number = 0

    async def get(self, *path: str, **query: object) -> Any:  # noqa: ANN401 - whatever JSON says
        return await asyncio.to_thread(lambda: self._client.get(*path, wait_s=1, **query))

    async def post(self, *path: str, **query: object) -> Any:  # noqa: ANN401 - as above
        return await asyncio.to_thread(lambda: self._client.post(*path, wait_s=30, **query))

    def send(self, packets: Iterable[Packet], count: int = 20) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for _ in range(count):
                sock.sendto(datagram(self._number, list(packets)), (HERE, self.running.sflow_ports[0]))
                self._number += 1

    async def flows(self, name: str) -> dict[str, float]:
        """Return the flows of a definition, each in parts of all."""
        found = await self.get("activeflows", "ALL", name, "json")
        total = sum(flow["value"] for flow in found)
        return {flow["key"]: round(flow["value"] / total, 3) for flow in found}


@contextlib.asynccontextmanager
async def peered(
    routes: Iterable[Route], *, config: Callable[[int], Config] = config_of, scripts: tuple[Path, ...] = ()
) -> AsyncIterator[tuple[Site, Speaker]]:
    async with router() as far:
        for one in routes:
            far.announce(HERE, one)
        async with collector(config(far.ports[0]), clock=SystemClock(), scripts=scripts) as running:
            yield Site(running), far


async def until(ask: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ANN401 - whatever was asked for
    while not (found := await ask()):  # noqa: ASYNC110 - it is asked over REST
        await asyncio.sleep(0.01)
    return found


async def received(site: Site, count: int) -> None:
    async def there() -> bool:
        (neighbor,) = await site.get("bgp", "neighbors", "json")
        return bool(neighbor["prefixes"].get("ipv4-unicast") == count)

    await until(there)


def with_source(port: int, **more: Any) -> Config:  # noqa: ANN401 - sections of the configuration
    return config_of(port, bgp={"sources": [{"router": ROUTER}]}, **more)


def test_samples_get_the_keys_of_their_routers_table() -> None:
    async def test() -> None:
        async with peered([*table(), MARKED], config=with_source) as (site, _):
            await received(site, 3001)

            async def counted() -> bool:
                site.send(PACKETS)
                return bool(await site.get("activeflows", "ALL", "communities", "json"))

            await until(counted)
            assert await site.flows("communities") == {"64500:1-64500:2": 1.0}
            shares = await site.flows("path")
            assert sorted(shares) == ["64500-4200000512", "64500-4200000768", "64500-65010-65020"]
            assert shares["64500-4200000512"] == pytest.approx(2 * shares["64500-65010-65020"], abs=0.01)
            assert set(await site.flows("ours")) == {
                "64500,4200000512,192.0.2.1",
                "64500,4200000768,192.0.2.1",
                "64500,65020,192.0.2.99",
            }

    run(test)


def test_prefixes_are_ranked_by_their_traffic() -> None:
    async def test() -> None:
        routes = [*table(), MARKED, route("10.0.0.0/8", 65030, next_hop="192.0.2.7")]
        async with peered(routes, config=with_source) as (site, _):
            await received(site, 3002)

            async def ranked() -> Any:  # noqa: ANN401 - JSON
                site.send(PACKETS)
                found = await site.get("bgp", "topprefixes", ROUTER, "json", maxPrefixes=2)
                return found if found["topPrefixes"] else None

            await until(ranked)
            found = await site.get("bgp", "topprefixes", ROUTER, "json", maxPrefixes=2)
            assert (found["state"], found["as"], found["nPrefixes"]) == ("established", 64500, 3002)
            assert (found["learnedPrefixesAdded"], found["learnedPrefixesRemoved"]) == (3002, 0)
            assert (found["pushedPrefixesAdded"], found["pushedPrefixesRemoved"]) == (0, 0)
            first, second = found["topPrefixes"]
            assert first["value"] == pytest.approx(2 * second["value"])
            assert found["valueCoverage"] == pytest.approx(first["value"] + second["value"])
            assert found["valuePercentCoverage"] == pytest.approx(100 * 1500 / 1750)
            assert {name: first[name] for name in first if name != "value"} == {
                "prefix": "10.2.0.0/24",
                "nexthop": "192.0.2.1",
                "aspath": "64500-4200000512",
                "origin": "IGP",
                "parentprefix": "10.0.0.0/8",
            }
            assert (second["prefix"], second["communities"], second["med"]) == ("198.51.100.0/24", "64500:1-64500:2", 7)
            towards = await site.get("bgp", "topprefixes", ROUTER, "json", direction="source")
            assert [one["prefix"] for one in towards["topPrefixes"]] == ["10.1.0.0/24"]
            other = await site.get("bgp", "topprefixes6", ROUTER, "json")
            assert (other["nPrefixes"], other["topPrefixes"], other["valueTotal"]) == (0, [], 0.0)
            best = await site.get("bgp", "prefix", ROUTER, "json", address="10.200.1.1")
            assert (best["prefix"], best["aspath"]) == ("10.0.0.0/8", "64500-65030")

    run(test)


def test_a_table_is_read_page_by_page() -> None:
    async def test() -> None:
        async with peered(table(2500), config=with_source) as (site, far):
            far.announce(HERE, rule(1))
            await received(site, 2500)
            found, after = [], ""
            while page := await site.get(
                "bgp", "routes", ROUTER, "json", received="true", after=after or None, maxRoutes=1000
            ):
                assert len(page) <= 1000
                found += [one["prefix"] for one in page]
                after = page[-1]["prefix"]
            assert found == [str(one.prefix) for one in table(2500)]
            inside = await site.get("bgp", "routes", ROUTER, "json", received="true", prefix="10.1.4.0/23")
            assert [one["prefix"] for one in inside] == ["10.1.4.0/24", "10.1.5.0/24"]

            async def rules() -> Any:  # noqa: ANN401 - JSON
                return await site.get("bgp", "flowspec", ROUTER, "json", received="true")

            (shown,) = await until(rules)
            assert shown["match"] == {"destination": "10.0.0.1/32", "version": "4"}
            assert shown["then"] == {"traffic-rate": "0"}
            assert shown["does"]

    run(test)
