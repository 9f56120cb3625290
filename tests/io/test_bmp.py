"""The station on real loopback sockets, with routers made of octets."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from msgspec import structs

import bmp_messages as m
from bgp_raw import need_address, run, until
from tidegate.errors import ConfigError, SourceError
from tidegate.io.bmp import BmpHooks, BmpStation, RouterStatus, StationConfig
from tidegate.wire.bgp.bmp import PeerKey, View
from tidegate.wire.bgp.bmp_session import BmpConfig
from tidegate.wire.bgp.constants import Family, MessageType
from tidegate.wire.bgp.message import frame
from tidegate.wire.bgp.update import Update
from tidegate.wire.bgp.update_scan import UpdateRun

ORIGIN, PATH, HOP = "400101 00", "400206 0201 0000fdea", "400304 c0000201"
TEN = m.monitoring(m.update(ORIGIN, PATH, HOP, nlri="08 0a"))
END_OF_RIB = m.monitoring(frame(MessageType.UPDATE, bytes(4)))
LOCAL = StationConfig(allow=("127.0.0.0/8",), listen=("127.0.0.1",), port=0)


class Seen:
    """What a station told its hooks, in order."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.updates = 0

    def hooks(self) -> BmpHooks:
        def note(kind: str) -> object:
            return lambda *what: self.events.append(" ".join((kind, *map(str, what[:3]))))

        kinds = ("router_up", "router_down", "peer_up", "peer_down", "end_of_rib")
        return BmpHooks(
            **{kind: note(kind) for kind in kinds},  # type: ignore[arg-type]
            routes=self._routes,
        )

    def _routes(self, router: str, key: PeerKey, view: View, found: Update | UpdateRun) -> None:
        for update in found.updates() if isinstance(found, UpdateRun) else (found,):
            self.updates += 1
            if self.updates < 100:
                self.events.append(f"routes {router} {key} {view} {update.announced[0].destinations[0]}")


@asynccontextmanager
async def router(station: BmpStation, source: str = "127.0.0.1") -> AsyncIterator[asyncio.StreamWriter]:
    _, writer = await asyncio.open_connection("127.0.0.1", station.ports[0], local_addr=(source, 0))
    try:
        yield writer
    finally:
        writer.close()


async def closed(station: BmpStation, source: str = "127.0.0.1", octets: bytes = b"") -> None:
    """Connect and wait until the station closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", station.ports[0], local_addr=(source, 0))
    writer.write(octets)
    with suppress(ConnectionResetError):
        await reader.read()
    writer.close()


def only(station: BmpStation) -> RouterStatus:
    (status,) = station.routers()
    return status


def test_a_router_tells_its_peers_and_goes() -> None:
    async def test() -> None:
        seen = Seen()
        async with BmpStation(LOCAL, seen.hooks()) as station:
            async with router(station) as writer:
                writer.write(m.initiation("edge-1", "SomeOS") + m.peer_up() + TEN + END_OF_RIB)
                await until(lambda: len(seen.events) == 4 and only(station).routes == 1)
                status = only(station)
                assert (status.address, status.state, status.last_error) == ("127.0.0.1", "up", "")
                assert (status.sys_name, status.sys_descr, status.routes) == ("edge-1", "SomeOS", 1)
                (peer,) = status.peers
                assert (peer.name, peer.asn, peer.router_id, peer.state) == ("192.0.2.1", 65002, "0.0.0.2", "up")
                assert (peer.prefixes, peer.end_of_rib) == ({"ipv4-unicast": 1}, ("ipv4-unicast",))
                assert peer.view == "adj-rib-in pre-policy"
                (table,) = station.tables("127.0.0.1")
                assert table.count(Family.IPV4_UNICAST) == 1
                assert station.tables("127.0.0.9") == ()
                assert station.tables("127.0.0.1", only(station).peers[0].name) == (table,)
                assert station.tables("127.0.0.1", "192.0.2.9") == ()
            await until(lambda: only(station).state == "down")
            assert only(station).last_error == "the router closed the connection"
            assert station.tables("127.0.0.1") == ()
        assert seen.events == [
            "router_up 127.0.0.1",
            "peer_up 127.0.0.1 192.0.2.1",
            "routes 127.0.0.1 192.0.2.1 adj-rib-in pre-policy 10.0.0.0/8",
            "end_of_rib 127.0.0.1 192.0.2.1 adj-rib-in pre-policy",
            "peer_down 127.0.0.1 192.0.2.1 the router closed the connection",
            "router_down 127.0.0.1 the router closed the connection",
        ]

    run(test)


def test_statistics_are_in_the_status() -> None:
    async def test() -> None:
        async with BmpStation(LOCAL) as station, router(station) as writer:
            family = bytes((0, 1, 1)) + (9).to_bytes(8, "big")
            writer.write(m.peer_up() + m.statistics([(7, (5).to_bytes(8, "big")), (9, family)]))
            await until(lambda: bool(only(station).peers and only(station).peers[0].statistics))
            assert only(station).peers[0].statistics == {
                "adj-rib-in-routes": 5,
                "adj-rib-in-routes-of-family:1/1": 9,
            }

    run(test)


def test_both_families_are_listened_on() -> None:
    need_address("::1")

    async def test() -> None:
        config = structs.replace(LOCAL, listen=("127.0.0.1", "::1"), allow=("::1/128",))
        async with BmpStation(config) as station:
            await closed(station)
            assert station.refused == {"the address is not allowed": 1}
            _, writer = await asyncio.open_connection("::1", station.ports[1])
            writer.write(m.initiation())
            await until(lambda: bool(station.routers()) and only(station).sys_name == "edge-1")
            assert only(station).address == "::1"
            writer.close()

    run(test)


def test_who_is_not_allowed_is_not_heard() -> None:
    async def test() -> None:
        config = structs.replace(LOCAL, allow=("127.0.0.2/32",))
        async with BmpStation(config) as station:
            await closed(station, octets=m.initiation())
            assert station.refused == {"the address is not allowed": 1}
            assert station.routers() == []
            async with router(station, "127.0.0.2") as writer:
                writer.write(m.initiation())
                await until(lambda: bool(station.routers()))

    run(test)


def test_connections_are_bounded() -> None:
    async def test() -> None:
        config = structs.replace(LOCAL, max_connections=1, max_connections_each=1)
        async with BmpStation(config) as station, router(station) as first:
            first.write(m.initiation("first") + m.peer_up())
            await until(lambda: bool(station.routers()) and bool(only(station).peers))
            await closed(station, "127.0.0.2")
            assert station.refused == {"there are too many connections": 1}
            async with router(station) as second:
                second.write(m.initiation("second"))
                await until(lambda: [each.sys_name for each in station.routers()] == ["second"])
                assert only(station).last_error == ""
            await until(lambda: only(station).state == "down")
            async with router(station) as third:
                third.write(m.initiation("third"))
                await until(lambda: only(station).sys_name == "third")
                assert only(station).last_error == "the router closed the connection"

    run(test)


def test_a_newer_connection_of_the_same_router_takes_the_place_of_the_oldest() -> None:
    async def test() -> None:
        seen = Seen()
        config = structs.replace(LOCAL, max_connections_each=1)
        async with BmpStation(config, seen.hooks()) as station, router(station), router(station):
            await until(lambda: len(seen.events) == 3)
            down = "router_down 127.0.0.1 a newer connection of the same router took its place"
            assert sorted(seen.events) == [down, "router_up 127.0.0.1", "router_up 127.0.0.1"]

    run(test)


def test_a_bad_message_ends_the_connection_with_a_reason(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with BmpStation(LOCAL) as station:
            await closed(station, octets=m.initiation() + b"GET / HTTP/1.1\r\n\r\n")
            await until(lambda: only(station).state == "down")
            reason = "a message cannot be read: not BMP version 3, after 1 good ones"
            assert only(station).last_error == reason
            assert f"127.0.0.1: down: {reason}" in caplog.messages

    run(test)


def test_a_router_that_ends_the_stream_is_told_so() -> None:
    async def test() -> None:
        async with BmpStation(LOCAL) as station:
            await closed(station, octets=m.termination(0))
            await until(lambda: only(station).state == "down")
            assert only(station).last_error == "the router ended it: administratively closed"

    run(test)


def test_the_end_of_the_station_closes_all() -> None:
    async def test() -> None:
        seen = Seen()
        async with BmpStation(LOCAL, seen.hooks()) as station:
            reader, writer = await asyncio.open_connection("127.0.0.1", station.ports[0])
            writer.write(m.peer_up())
            await until(lambda: len(seen.events) == 2)
        assert seen.events[2:] == [
            "peer_down 127.0.0.1 192.0.2.1 the station ends",
            "router_down 127.0.0.1 the station ends",
        ]
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()

    run(test)


def test_a_router_that_floods_leaves_turns_to_others() -> None:
    async def test() -> None:
        seen = Seen()
        async with BmpStation(LOCAL, seen.hooks()) as station, router(station) as loud, router(station) as quiet:
            loud.write(m.peer_up() + TEN * 60_000)
            await until(lambda: seen.updates > 0)
            quiet.write(m.initiation("quiet"))
            await until(lambda: any(each.sys_name == "quiet" for each in station.routers()))
            assert seen.updates < 60_000
            await until(lambda: seen.updates == 60_000)

    run(test)


def test_a_hook_that_fails_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a hook of a user")

    async def test() -> None:
        async with BmpStation(LOCAL, BmpHooks(peer_up=fail)) as station, router(station) as writer:
            writer.write(m.peer_up() + TEN)
            await until(lambda: bool(station.routers()) and only(station).routes == 1)
            assert "a BMP hook failed" in caplog.messages

    run(test)


def test_a_router_that_flaps_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tidegate.bmp")

    async def test() -> None:
        async with BmpStation(LOCAL) as station, router(station) as writer:
            writer.write((m.peer_up() + m.peer_down()) * 500)
            await until(lambda: bool(station.routers()) and only(station).messages.get("peer-down") == 500)

    run(test)
    assert len(caplog.messages) < 110
    assert any("they are left out" in line for line in caplog.messages)


def test_routers_that_went_are_remembered_within_bounds() -> None:
    async def test() -> None:
        async with BmpStation(LOCAL) as station:
            for number in range(1, 80):
                await closed(station, f"127.0.1.{number}", m.termination(0))
                await until(lambda: all(each.state == "down" for each in station.routers()))
            assert len(station.routers()) == 64

    run(test)


@pytest.mark.parametrize("text", ["192.0.2.1/24", "router"])
def test_what_is_no_prefix_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"bmp\.allow: .*give prefixes such as"):
        BmpStation(structs.replace(LOCAL, allow=(text,)))


def test_a_port_that_is_taken_is_told() -> None:
    async def test() -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            with pytest.raises(SourceError, match=f"BMP listener 127.0.0.1 port {port}: another program has the port"):
                async with BmpStation(structs.replace(LOCAL, listen=("127.0.0.2", "127.0.0.1"), port=port)):
                    pass

    run(test)


def test_limits_are_those_of_the_configuration() -> None:
    async def test() -> None:
        config = structs.replace(LOCAL, router=BmpConfig(max_message_octets=100))
        async with BmpStation(config) as station:
            await closed(station, octets=m.peer_up())
            await until(lambda: only(station).state == "down")
            assert "message length out of bounds" in only(station).last_error

    run(test)
