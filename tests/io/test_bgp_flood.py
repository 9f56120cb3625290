"""Peers that mean no good: the loop goes on in between, and what they can make grow has a bound."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest

from bgp_raw import (
    GREETING,
    KEEPALIVE,
    Raw,
    Seen,
    announcement,
    announcements,
    dial,
    greeting,
    passive_speaker,
    rule,
    run,
    until,
    withdrawals,
)
from tidegate.io import bgp_link
from tidegate.io.bgp import PeerConfig, Speaker
from tidegate.wire.bgp.constants import Family
from tidegate.wire.bgp.message import encode_refresh
from tidegate.wire.bgp.peer import Way

CHUNK = bgp_link._CHUNK_OCTETS


class Turns:
    """Counts the turns that others get while something happens."""

    def __init__(self) -> None:
        self.count = 0
        self._task = asyncio.create_task(self._go())

    async def _go(self) -> None:
        while True:
            await asyncio.sleep(0)
            self.count += 1

    def stop(self) -> None:
        self._task.cancel()


async def flood(raw: Raw, octets: bytes) -> None:
    raw.writer.write(octets)
    await raw.writer.drain()


def resident() -> int:
    """Return how many octets of memory this process has."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_flood_of_routes_leaves_turns_to_others() -> None:
    async def test() -> None:
        count = 20_000
        octets = b"".join(map(announcement, range(count)))
        async with passive_speaker() as speaker:  # without a hook for UPDATEs, as most are
            raw = await dial(speaker)
            raw.writer.write(GREETING + KEEPALIVE)
            await until(lambda: speaker.neighbors()[0].state == "established")
            turns = Turns()
            feeding = asyncio.create_task(flood(raw, octets))
            await until(lambda: speaker._links["127.0.0.1"].octets_in >= len(octets))
            await until(lambda: speaker.neighbors()[0].prefixes["ipv4-unicast"] == count)
            assert turns.count >= len(octets) // CHUNK
            turns.stop()
            await feeding
            await raw.close()

    run(test)


def test_a_million_withdrawals_of_nothing_leave_nothing() -> None:
    async def test() -> None:
        async with passive_speaker() as speaker:
            raw = await dial(speaker)
            raw.writer.write(GREETING + KEEPALIVE)
            await until(lambda: speaker.neighbors()[0].state == "established")
            link = speaker._links["127.0.0.1"]
            before = resident()
            wanted = link.octets_in
            for block in range(200):
                octets = withdrawals(range(block * 5000, (block + 1) * 5000))
                wanted += len(octets)
                await flood(raw, octets)
                await until(lambda wanted=wanted: link.octets_in >= wanted)  # type: ignore[misc]
            assert resident() - before < 32 << 20
            assert speaker.neighbors()[0].prefixes["ipv4-unicast"] == 0
            assert speaker.neighbors()[0].state == "established"
            await raw.close()

    run(test)


def test_requests_for_all_routes_from_one_that_does_not_read_grow_nothing() -> None:
    async def test() -> None:
        seen = Seen()
        async with passive_speaker(seen) as speaker:
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(("127.0.0.1", speaker.ports[0]))
            sock.sendall(greeting(refresh=True) + KEEPALIVE)
            await seen.up.get()
            (connection,) = speaker._links["127.0.0.1"]._connections.values()
            connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            for number in range(2000):
                speaker.announce(None, rule(number))
            loop = asyncio.get_running_loop()
            sock.setblocking(False)  # noqa: FBT003 - the standard library takes it so
            for _ in range(50):
                await loop.sock_sendall(sock, encode_refresh(Family.IPV4_FLOWSPEC) * 1000)
            await until(lambda: speaker.neighbors()[0].received["route_refresh"] == 50_000)
            assert connection.transport.get_write_buffer_size() <= CHUNK + 4096
            assert speaker.neighbors()[0].waiting <= 2000
            sock.close()
            await seen.down.get()

    run(test)


def test_one_octet_at_a_time_keeps_one_message() -> None:
    async def test() -> None:
        seen = Seen()
        async with passive_speaker(seen) as speaker:
            raw = await dial(speaker)
            for octet in GREETING + KEEPALIVE:
                raw.writer.write(bytes((octet,)))
                await raw.writer.drain()
                await asyncio.sleep(0)
            await seen.up.get()
            await flood(raw, announcement(1)[:-1])
            await until(
                lambda: speaker._links["127.0.0.1"].octets_in == len(GREETING + KEEPALIVE + announcement(1)) - 1
            )
            assert len(speaker._links["127.0.0.1"].peer.sessions[Way.IN]._buffer) < 100
            await flood(raw, announcement(1)[-1:])
            await seen.route()
            await raw.close()

    run(test)


def test_one_that_comes_and_goes_is_soon_not_answered() -> None:
    async def test() -> None:
        seen = Seen()
        async with passive_speaker(seen) as speaker:
            answered = 0
            for _ in range(50):
                raw = await dial(speaker)
                raw.writer.write(GREETING + KEEPALIVE)
                if await raw.message() is not None:
                    answered += 1
                    await seen.up.get()
                    raw.writer.close()
                    await seen.down.get()
                await raw.close()
            assert 3 <= answered <= 5
            assert speaker.neighbors()[0].failures == answered

    run(test)


def test_connections_one_after_the_other_are_not_all_kept() -> None:
    async def test() -> None:
        async with passive_speaker() as speaker:
            raws = []
            for _ in range(100):
                raws.append(await dial(speaker))
                await raws[-1].message()
            link = speaker._links["127.0.0.1"]
            assert len(link._connections) == 1
            assert len(link._closing) <= bgp_link._MOST_CLOSING
            for raw in raws:
                await raw.close()

    run(test)


def test_a_peer_that_floods_does_not_keep_another_from_being_told() -> None:
    async def test() -> None:
        peers = [PeerConfig(f"127.0.0.{last}", 65001, "192.0.2.1", passive=True) for last in (1, 2)]
        async with Speaker(peers, port=0, listen=["127.0.0.1"]) as speaker:
            loud = await dial(speaker)
            loud.writer.write(GREETING + KEEPALIVE)
            quiet = await dial(speaker, "127.0.0.2")
            quiet.writer.write(GREETING + KEEPALIVE)
            await until(lambda: all(status.state == "established" for status in speaker.neighbors()))
            octets = b"".join(map(announcement, range(1000)))

            async def shout() -> None:
                while True:
                    await flood(loud, octets)

            shouting = asyncio.create_task(shout())
            await until(lambda: speaker._links["127.0.0.1"].octets_in > 10 * CHUNK)
            heard = 0
            for number in range(20):
                speaker.announce("127.0.0.2", rule(number))
                while (message := await quiet.message()) is not None and message.type != 2:
                    pass
                heard += message is not None
            assert heard == 20
            shouting.cancel()
            loud.writer.transport.abort()
            await loud.close()
            await quiet.close()

    run(test)


def test_routes_of_one_that_does_not_come_back_are_removed() -> None:
    async def test() -> None:
        seen = Seen()
        async with passive_speaker(seen) as speaker:
            raw = await dial(speaker)
            raw.writer.write(greeting(restart_s=1) + KEEPALIVE)
            raw.announce(5000)
            await until(lambda: speaker.neighbors()[0].prefixes["ipv4-unicast"] == 5000)
            raw.writer.transport.abort()
            await seen.down.get()
            await until(lambda: speaker.neighbors()[0].stale == {"ipv4-unicast": 5000})
            await until(lambda: speaker.neighbors()[0].prefixes["ipv4-unicast"] == 0)
            assert any("5000 routes of ipv4-unicast" in text for _, text in seen.changed)
            await raw.close()

    run(test)


def test_one_that_fills_whole_messages_waits_while_its_routes_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegate.data.route_table._WORK", 50)  # as if this machine were slow

    async def test() -> None:
        paused = 0

        async with passive_speaker() as speaker:
            raw = await dial(speaker)
            raw.writer.write(GREETING + KEEPALIVE)
            octets = announcements(range(20_000))
            feeding = asyncio.create_task(flood(raw, octets))
            link = speaker._links["127.0.0.1"]

            def is_there() -> bool:
                nonlocal paused
                paused += any(not one.transport.is_reading() for one in link._connections.values())
                return speaker.neighbors()[0].prefixes["ipv4-unicast"] == 20_000

            await until(is_there)
            assert paused > 100
            await feeding
            assert speaker.neighbors()[0].state == "established"
            await raw.close()

    run(test)
