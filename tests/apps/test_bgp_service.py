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
from click.testing import CliRunner

import bmp_messages as m
from bgp_raw import need_address, rule
from bgp_raw import run as bounded
from routed import AGENT, HERE, ROUTER, Packet, datagram, route, router, table
from running import prepare
from script_files import write
from tidegate.apps.collector import Running, collector
from tidegate.apps.config import Config
from tidegate.cli import cli
from tidegate.errors import SourceError
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


def script_text(port: int) -> str:
    return f"""
    from tidegate.errors import ConfigError

    def setup(rt):
        rt.bgp.announce_route(None, {{"prefix": "192.0.2.77", "nexthop": "192.0.2.1"}})
        ups, downs = [], []
        settings = {{"port": {port}, "peer_as": 64500, "local_address": "127.0.0.1", "connect_retry_s": 0.1}}

        def begin():
            for _ in range(2):
                rt.bgp.add_neighbor(
                    "127.0.0.2", "65001", "192.0.2.1", flowspec=True, passive=False, on_up=ups.append,
                    on_down=downs.append, **settings
                )
            rt.bgp.add_source("EDGE", "127.0.0.2", t=30, value="frames")
            rt.bgp.set_next_hops({{"192.0.2.1": "00:53:00:00:00:01"}})
            return "begun"

        def look():
            top = rt.bgp.top_prefixes("127.0.0.2", 10)
            best = rt.bgp.best_route("127.0.0.2", "10.0.7.1")
            return {{
                "ups": ups, "downs": downs, "routes": rt.bgp.route_count("127.0.0.2"), "as": top.asn,
                "top": [(row["prefix"], row["nexthop"]) for row in top.top_prefixes],
                "best": best and best["prefix"],
                "received": sum(1 for _ in rt.bgp.received_routes("127.0.0.2", most=1500)),
                "flows": len(rt.bgp.received_flows("127.0.0.2")),
                "neighbors": [one.state for one in rt.bgp.neighbors()],
            }}

        def other():
            try:
                rt.bgp.add_neighbor("127.0.0.2", 65001, "192.0.2.1", **settings)
            except ConfigError as error:
                return str(error)

        calls = {{
            "begin": begin, "look": look, "other": other,
            "refresh": lambda: rt.bgp.refresh("127.0.0.2", "ipv4"),
            "test": lambda: rt.bgp.self_test("127.0.0.2").text,
            "reset": lambda: rt.bgp.reset("127.0.0.2"),
            "remove": lambda: rt.bgp.remove_neighbor("127.0.0.2"),
        }}
        rt.on_http(lambda call: calls[call.path[0]]())
    """


def test_a_script_brings_its_neighbour_and_asks_all_of_it(tmp_path: Path) -> None:
    async def test() -> None:
        async with router() as far:
            for one in table(2000):
                far.announce(HERE, one)
            far.announce(HERE, rule(1))
            script = write(tmp_path, "s.py", script_text(far.ports[0]))
            config = config_of(bgp={"self_test_s": 0.1})
            async with collector(config, clock=SystemClock(), scripts=(script,)) as running:
                await _ask_the_script(Site(running), far)

    run(test)


async def _ask_the_script(site: Site, far: Speaker) -> None:
    async def call(what: str) -> Any:  # noqa: ANN401 - whatever JSON says
        return await site.get("script", "s.py", what, "json")

    assert site.running.speaker is None
    assert await site.get("bgp", "neighbors", "json") == []
    assert await call("begin") == "begun"

    async def looked() -> Any:  # noqa: ANN401 - JSON
        site.send(PACKETS[:1])
        found = await call("look")
        return found if found["received"] == 1500 and found["top"] and found["flows"] else None

    found = await until(looked)
    assert found == {
        "ups": [ROUTER], "downs": [], "routes": 1, "as": 64500, "top": [["10.2.0.0/24", "192.0.2.1"]],
        "best": "10.0.7.0/24", "received": 1500, "flows": 1, "neighbors": ["established"],
    }  # fmt: skip
    assert "there is this neighbour with other settings" in await call("other")
    assert await call("refresh") == ["ipv4-unicast"]
    assert "the session stayed up" in await call("test")
    await site.post("bgp", "reset", ROUTER, "json")

    async def again() -> bool:
        found = await call("look")
        return bool(found["downs"] == [ROUTER] and found["ups"] == [ROUTER, ROUTER])

    await until(again)
    lines = [line["text"] for line in await site.get("bgp", "log", "json", router=ROUTER)]
    assert any("to established" in line for line in lines)
    assert any("NOTIFICATION sent" in line for line in lines)
    totals = await site.get("analyzer", "json")
    assert (totals["bgpNeighbors"], totals["bgpFlaps"], totals["bgpRoutesWanted"]) == (1, 1, 1)
    assert totals["bgpOctetsReceived"] > 1000
    assert far.neighbors()[0].prefixes["ipv4-unicast"] == 1
    assert await site.post("script", "s.py", "remove", "json") is None
    assert await site.get("bgp", "neighbors", "json") == []
    await until(lambda: _is_down(far))


async def _is_down(far: Speaker) -> bool:
    return far.neighbors()[0].state != "established"


LATE = """
    import time


    def setup(rt):
        while not any(one.state == "established" for one in rt.bgp.neighbors()):
            time.sleep(0.01)
        ups = []
        rt.bgp.on_up(ups.append)
        rt.on_http(lambda call: ups)
    """


def test_a_script_hears_of_sessions_that_came_up_before_it_was_ready(tmp_path: Path) -> None:
    async def test() -> None:
        async with peered([], scripts=(write(tmp_path, "s.py", LATE),)) as (site, _):
            assert await until(lambda: site.get("script", "s.py", "json")) == [ROUTER]

    run(test)


def test_a_state_file_that_cannot_be_used_is_no_reason_for_another_port(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        config = config_of(1179, bgp={"state": str(tmp_path), "port": 179})
        with pytest.raises(SourceError, match="cannot be opened"):
            async with collector(config, clock=SystemClock()):
                pass

    run(test)
    assert "listening on port 1179" not in caplog.text


def test_commands_show_it(capsys: pytest.CaptureFixture[str]) -> None:
    async def test() -> None:
        async with peered([*table(), MARKED], config=with_source) as (site, _):
            await received(site, 3001)
            url = site.running.rest_url or ""

            async def shown(*words: str, code: int = 0) -> str:
                done = await asyncio.to_thread(CliRunner().invoke, cli, ["bgp", *words, "--url", url])
                assert done.exit_code == code, done.output
                return done.stdout

            assert "3,001" in await shown("neighbors")
            assert "notification" not in await shown("neighbors", ROUTER)
            assert "state:                established since" in await shown("neighbors", ROUTER)
            assert "received:             ipv4-unicast 3,001" in await shown("neighbors", ROUTER)
            assert "198.51.100.0/24" in await shown("routes", ROUTER, "--address", "198.51.100.9")
            assert len((await shown("routes", ROUTER, "--received", "--most", "1500", "--json")).splitlines()) == 1500
            assert "64500-65010-65020" in await shown("routes", ROUTER, "--prefix", "198.51.100.0/24")
            assert await shown("flowspec", ROUTER, "--received") == "nothing to show\n"
            assert await shown("top", ROUTER) == "nothing to show\n"
            site.send(PACKETS)

            async def ranked() -> bool:
                return "10.2.0.0/24" in await shown("top", ROUTER)

            await until(ranked)
            assert (await shown("refresh", ROUTER)).startswith("asked for ipv4-unicast, ")
            assert await shown("reset", ROUTER) == f"the session with {ROUTER} is reset\n"
            assert "established" in await shown("log", ROUTER)
            assert await shown("bmp") == "nothing to show\n"

    run(test)
    capsys.readouterr()


def test_a_router_that_tells_by_bmp_has_a_table() -> None:
    async def test() -> None:
        bmp = {"allow": ["127.0.0.0/8"], "listen": [HERE], "port": 0}
        bgp = {"sources": [{"router": f"bmp:{ROUTER}", "agents": [AGENT]}]}
        async with collector(config_of(bgp=bgp, bmp=bmp), clock=SystemClock()) as running:
            site = Site(running)
            _, writer = await asyncio.open_connection(HERE, running.bmp_ports[0], local_addr=(ROUTER, 0))
            told = m.monitoring(m.update("400101 00", "400206 0201 0000fdea", "400304 c0000201", nlri="08 0a"))
            writer.write(m.initiation() + m.peer_up() + told)

            async def there() -> Any:  # noqa: ANN401 - JSON
                site.send(PACKETS[:1])
                return await site.get("activeflows", "ALL", "path", "json")

            (flow,) = await until(there)
            assert flow["key"] == "65002"
            (status,) = await site.get("bgp", "bmp", "json")
            assert (status["address"], status["state"], status["sysName"]) == (ROUTER, "up", "edge-1")
            (peer,) = status["peers"]
            assert peer["prefixes"] == {"ipv4-unicast": 1}
            for name in (f"bmp:{ROUTER}", f"bmp:{peer['name']}@{ROUTER}"):
                best = await site.get("bgp", "prefix", name, "json", address="10.2.0.1")
                assert (best["prefix"], best["aspath"]) == ("10.0.0.0/8", "65002")
            top = await site.get("bgp", "topprefixes", f"bmp:{ROUTER}", "json")
            assert (top["state"], [row["prefix"] for row in top["topPrefixes"]]) == ("established", ["10.0.0.0/8"])
            totals = await site.get("analyzer", "json")
            assert (totals["bmpRouters"], totals["bmpPeers"], totals["bmpRoutesReceived"]) == (1, 1, 1)
            writer.close()

            async def gone() -> bool:
                lines = await site.get("bgp", "log", "json", router=f"bmp:{ROUTER}")
                return any(line["text"].startswith("down: ") for line in lines)

            await until(gone)

    run(test)
