"""Hostile peers over loopback sockets, from threads of their own: nothing grows, others are served, all is released.

Each test has a well-behaved neighbour, whose session must stand and go on being told things, and a heart that says what
the longest turn of the loop was; that figure is told in the log, and held against a bound for slow machines.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import logging
import os
import resource
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path

import pytest

from bgp_raw import GREETING, KEEPALIVE, Raw, Seen, announcement, dial, need_address, rule, run, until, withdrawals
from tidegate.data import route_kernels
from tidegate.io import bgp_link
from tidegate.io.bgp import PeerConfig, PeerRange, Speaker
from tidegate.kernel import compile_kernels
from tidegate.units import Asn
from tidegate.wire.bgp import update_scan
from tidegate.wire.bgp.communities import TrafficRateBytes
from tidegate.wire.bgp.constants import Family, MessageType
from tidegate.wire.bgp.message import encode_refresh, frame
from tidegate.wire.bgp.open import Capabilities, GracefulRestart, Open, encode_open
from tidegate.wire.bgp.routes import FlowRoute, route_key

HERE = "127.0.0.1"
BAD, GOOD = "127.0.0.1", "127.0.0.2"
LONGEST_TURN_S = 2.0
MOST_MEMORY = 192 << 20
FAMILIES = tuple(Family)
RESET = (1).to_bytes(4, sys.byteorder) + bytes(4)  # SO_LINGER: closed with a reset
BASE = bytes.fromhex("40010100 4002060201 0000fdea 400304 7f000002")

_LOG = logging.getLogger(__name__)


def note(name: str, value: float) -> None:
    """Tell a figure to whoever runs this with `--log-cli-level=INFO`."""
    _LOG.info("%s: %s", name, value)


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    list(compile_kernels((*route_kernels.KERNELS, *update_scan.KERNELS)))


def config(address: str, *, add_path: bool = False, peer_as: int | None = None) -> PeerConfig:
    return PeerConfig(address, 65001, "192.0.2.1", peer_as=peer_as, passive=True, add_path=add_path)


def opening(
    *, asn: int = 65002, router_id: int = 7, restart_s: int = 0, add_path: bool = False, refresh: bool = True
) -> bytes:
    restart = GracefulRestart(restart_s, families=FAMILIES, kept=FAMILIES) if restart_s else None
    paths = (Family.IPV4_UNICAST,) if add_path else ()
    offered = Capabilities(FAMILIES, refresh, asn4=Asn(asn), graceful_restart=restart, add_path_send=paths)
    return encode_open(Open(Asn(asn), 90, router_id, offered))


def update(withdrawn: bytes = b"", nlri: bytes = b"") -> bytes:
    block = BASE if nlri else b""
    body = len(withdrawn).to_bytes(2, "big") + withdrawn + len(block).to_bytes(2, "big") + block + nlri
    return frame(MessageType.UPDATE, body)


def host_routes(count: int) -> bytes:
    """Return UPDATEs that announce so many host routes, hundreds in each."""
    prefixes = [b"\x20" + (0x0B000000 + number).to_bytes(4, "big") for number in range(count)]
    return b"".join(update(nlri=b"".join(prefixes[start : start + 700])) for start in range(0, count, 700))


class Heart:
    """Beats in the loop, and notes its longest pause."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._task = asyncio.create_task(self._beat())

    async def _beat(self) -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.002)
            self.longest_s = max(self.longest_s, time.perf_counter() - before - 0.002)

    def stop(self) -> None:
        self._task.cancel()


class Villain:
    """A thread that does something to a port with sockets that block; what it raises ends the test."""

    def __init__(self, port: int, act: Callable[[Villain], None]) -> None:
        self.port = port
        self.over = threading.Event()  # the test wants it to end
        self.sent = 0
        self.connections = 0
        self._error: BaseException | None = None
        self._act = act
        self._thread = threading.Thread(target=self._go, daemon=True)
        self._thread.start()

    def _go(self) -> None:
        try:
            self._act(self)
        except BaseException as error:  # noqa: BLE001 - it is raised again where the test can see it
            self._error = error

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    def connect(self, source: str = BAD, *, receive_octets: int = 0) -> socket.socket:
        sock = socket.socket()
        try:
            sock.settimeout(5.0)
            if receive_octets:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_octets)
            sock.bind((source, 0))
            sock.connect((HERE, self.port))
        except BaseException:
            sock.close()
            raise
        return sock

    def send(self, sock: socket.socket, octets: bytes) -> None:
        sock.sendall(octets)
        self.sent += len(octets)

    async def end(self) -> None:
        self.over.set()
        await until(lambda: self.done)
        if self._error is not None:
            raise self._error


def memory() -> int:
    """Return what this process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names alone are wanted


class Arena:
    """A speaker with the peers of a test, one of them good, and what is measured."""

    def __init__(self, speaker: Speaker, good: Raw, heart: Heart) -> None:
        self.speaker = speaker
        self.good = good
        self.heart = heart
        self.told = 0

    @property
    def port(self) -> int:
        return self.speaker.ports[0]

    def link(self, address: str = BAD) -> bgp_link.Link:
        return self.speaker._links[address]

    def prefixes(self, address: str = BAD) -> int:
        return next(each for each in self.speaker.neighbors() if each.address == address).prefixes["ipv4-unicast"]

    def state(self, address: str) -> str:
        return next(each for each in self.speaker.neighbors() if each.address == address).state

    async def serve(self, rounds: int = 5) -> None:
        """Tell the good neighbour of a rule again and again; each time it has to arrive before the next."""
        for _ in range(rounds):
            self.told += 1
            self.speaker.announce(GOOD, FlowRoute(rule(0).rule, (TrafficRateBytes(float(self.told)),)))
            while (message := await self.good.message()) is not None and message.type != MessageType.UPDATE:
                pass
            assert message is not None


@contextlib.asynccontextmanager
async def arena(
    *peers: PeerConfig | PeerRange, seen: Seen | None = None, most_memory: int = MOST_MEMORY
) -> AsyncIterator[Arena]:
    """Set the scene; see at the end that the good neighbour is up, what was taken, and that all is released."""
    gc.collect()
    before, open_before = memory(), descriptors()
    hooks = seen.hooks() if seen else None
    async with Speaker([*peers, config(GOOD)], port=0, listen=[HERE], hooks=hooks, jitter=lambda: 0.0) as speaker:
        good = await dial(speaker, GOOD)
        good.writer.write(GREETING + KEEPALIVE)
        heart = Heart()
        here = Arena(speaker, good, heart)
        await until(lambda: here.state(GOOD) == "established")
        for _ in Family:
            while (message := await good.message()) is not None and message.type != MessageType.UPDATE:
                pass  # the markers that the table is complete
        yield here
        await here.serve()
        heart.stop()
        assert here.state(GOOD) == "established"
        assert next(each for each in speaker.neighbors() if each.address == GOOD).flaps == 0
        grown = memory() - before
        note("longest_turn_ms", round(1000 * heart.longest_s, 1))
        note("grown_mb", round(grown / (1 << 20), 1))
        assert heart.longest_s < LONGEST_TURN_S
        assert grown < most_memory
        await good.close()
    await until(lambda: descriptors() <= open_before)


def stand(villain: Villain, greeting: bytes = GREETING, **how: int) -> socket.socket:
    """Return a socket with a session."""
    sock = villain.connect(**how)  # type: ignore[arg-type]
    villain.send(sock, greeting + KEEPALIVE)
    return sock


FLOODS = {
    "updates": b"".join(map(announcement, range(1000))),
    "keepalives": KEEPALIVE * 1000,
    "refreshes": encode_refresh(Family.IPV4_FLOWSPEC) * 1000,
    "refreshes of nothing": frame(MessageType.ROUTE_REFRESH, b"\0\x63\0\1") * 1000,
    "begins and ends of refreshes": (
        frame(MessageType.ROUTE_REFRESH, b"\0\1\1\1") + frame(MessageType.ROUTE_REFRESH, b"\0\1\2\1")
    )
    * 500,
    "empty updates": update() * 1000,
    "updates with a fault": frame(MessageType.UPDATE, bytes.fromhex("0000 0004 40010109 080a")) * 1000,
    "rules with a fault": frame(MessageType.UPDATE, bytes.fromhex("0000 000c 800e09 0001850000 03008106")) * 1000,
}


@pytest.mark.parametrize("octets", FLOODS.values(), ids=FLOODS)
def test_a_flood_of_messages(octets: bytes) -> None:
    async def test() -> None:
        rounds = 30 if b"\x80\x0e\x09" in octets or b"\x40\x01\x01\x09" in octets else 100  # slow to read
        async with arena(config(BAD)) as here:
            for number in range(100):
                here.speaker.announce(BAD, rule(number))

            def act(villain: Villain) -> None:
                sock = stand(villain, opening())
                reading = threading.Thread(target=drink, args=(sock,), daemon=True)
                reading.start()
                for _ in range(rounds):
                    villain.send(sock, octets)
                villain.over.wait()
                sock.shutdown(socket.SHUT_RDWR)
                reading.join()
                sock.close()

            villain = Villain(here.port, act)
            await until(lambda: here.state(BAD) == "established")
            turns = 0
            while here.link().octets_in < rounds * len(octets):
                await here.serve(1)
                turns += 1
            note("served_meanwhile", turns)
            assert here.state(BAD) == "established"
            await villain.end()
            await until(lambda: here.state(BAD) != "established")
            await until(lambda: not here.link().peer.busy)
            assert here.prefixes() == 0

    run(test)


def drink(sock: socket.socket) -> None:
    """Read and forget."""
    with contextlib.suppress(OSError):
        while sock.recv(65536):
            pass


def test_a_million_withdrawals_and_announcements_in_turn() -> None:
    async def test() -> None:
        async with arena(config(BAD)) as here:
            routes, gone = host_routes(50_000), withdrawals(range(50_000))

            def act(villain: Villain) -> None:
                sock = stand(villain)
                for _ in range(10):
                    villain.send(sock, routes + gone)
                villain.over.wait()
                sock.close()

            villain = Villain(here.port, act)
            await until(lambda: here.link().octets_in == len(GREETING + KEEPALIVE) + 10 * len(routes + gone))
            await until(lambda: not here.link().peer.busy)
            assert here.prefixes() == 0
            assert here.link().peer.rib_in.withdrawn == 500_000
            memory_of_table = here.link().peer.rib_in.tables[Family.IPV4_UNICAST].memory
            assert memory_of_table < 32 << 20
            await villain.end()

    run(test)


def test_one_that_flaps_as_fast_as_it_can() -> None:
    async def test() -> None:
        seen = Seen()
        async with arena(config(BAD), seen=seen) as here:

            def act(villain: Villain) -> None:
                for turn in itertools.count():
                    if villain.over.is_set():
                        return
                    with contextlib.suppress(OSError), villain.connect() as sock:
                        villain.send(sock, GREETING + KEEPALIVE + announcement(turn))
                        if turn % 2:
                            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                        else:
                            sock.recv(100)  # else the reset overtakes what was sent
                            sock.shutdown(socket.SHUT_WR)
                            drink(sock)
                    villain.connections += 1

            villain = Villain(here.port, act)
            await asyncio.sleep(0)
            ends = time.monotonic() + 2.0
            while time.monotonic() < ends:
                await here.serve(1)
            sessions = next(each for each in here.speaker.neighbors() if each.address == BAD).flaps
            note("sessions", sessions)
            note("connections", villain.connections)
            assert 0 < sessions < 10, "backing off, this side soon answers no more"
            assert len(here.link()._connections) <= 2
            await villain.end()
            await until(lambda: here.prefixes() == 0)

    run(test)


def test_one_that_does_not_read_while_there_are_ten_thousand_rules_to_say() -> None:
    async def test() -> None:
        async with arena(config(BAD)) as here:
            read = threading.Event()
            heard = bytearray()

            def act(villain: Villain) -> None:
                sock = stand(villain, receive_octets=4096)
                read.wait()
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)  # small ones wait for each other
                while not villain.over.is_set():
                    heard.extend(sock.recv(65536))
                sock.close()

            villain = Villain(here.port, act)
            await until(lambda: here.state(BAD) == "established")
            (connection,) = here.link()._connections.values()
            end = connection.transport.get_extra_info("socket")
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            for number in range(10_000):
                here.speaker.announce(BAD, rule(number))
                if number % 500 == 0:
                    await here.serve(1)
            for number in range(10_000, 20_000):  # and all of them once more, other ones
                here.speaker.withdraw(BAD, route_key(rule(number - 10_000)))
                here.speaker.announce(BAD, rule(number))
                if number % 500 == 0:
                    await here.serve(1)
            assert connection.transport.get_write_buffer_size() <= bgp_link._CHUNK_OCTETS + 4096
            status = next(each for each in here.speaker.neighbors() if each.address == BAD)
            assert status.waiting <= 20_000
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            read.set()
            await until(lambda: next(each for each in here.speaker.neighbors() if each.address == BAD).waiting == 0)
            here.speaker.announce(BAD, rule(50_000))
            await until(lambda: rule_octets(50_000) in heard)
            villain.over.set()
            here.speaker.announce(BAD, rule(50_001))
            await villain.end()

    run(test)


def rule_octets(number: int) -> bytes:
    return b"\x06\x01\x20" + (0x0A000000 + number).to_bytes(4, "big")


def test_one_that_is_another_each_time() -> None:
    async def test() -> None:
        seen = Seen()
        async with arena(config(BAD), seen=seen) as here:
            routes = host_routes(1000)

            def act(villain: Villain) -> None:
                for turn in range(40):
                    greeting = opening(asn=65002 + turn % 3, router_id=7 + turn, restart_s=100)
                    with contextlib.suppress(OSError), villain.connect() as sock:
                        villain.send(sock, greeting + KEEPALIVE + routes)
                        sock.settimeout(0.05)
                        drink(sock)

            villain = Villain(here.port, act)
            most = 0
            while not villain.done:
                await here.serve(1)
                most = max(most, here.prefixes())
            await villain.end()
            assert most <= 1000, "what another has announced is not kept"
            identities = [words for address, words in seen.warned if address == BAD and "and was" in words]
            note("identities", len(identities))
            assert identities

    run(test)


def test_one_that_flaps_the_default_route_over_a_full_table() -> None:
    async def test() -> None:
        async with arena(config(BAD)) as here:
            routes = host_routes(50_000)
            turns = (update(nlri=b"\0") + update(withdrawn=b"\0")) * 1000

            def act(villain: Villain) -> None:
                sock = stand(villain)
                villain.send(sock, routes)
                for _ in range(3):
                    villain.send(sock, turns)
                villain.over.wait()
                sock.close()

            villain = Villain(here.port, act)
            await until(lambda: here.link().octets_in >= len(GREETING + KEEPALIVE + routes))
            while here.link().octets_in < len(GREETING + KEEPALIVE + routes) + 3 * len(turns):
                await here.serve(1)
            await until(lambda: not here.link().peer.busy)
            assert here.prefixes() == 50_000
            await villain.end()

    run(test)


def test_ten_thousand_paths_to_one_prefix() -> None:
    async def test() -> None:
        async with arena(config(BAD, add_path=True)) as here:
            greeting = opening(add_path=True)
            paths = [number.to_bytes(4, "big") + b"\x08\x0a" for number in range(10_000)]

            def said(order: Sequence[bytes], *, announce: bool) -> bytes:
                parts = [b"".join(order[start : start + 500]) for start in range(0, len(order), 500)]
                return b"".join(update(nlri=part) if announce else update(withdrawn=part) for part in parts)

            stream = said(paths, announce=True) + said(paths[::-1], announce=True)
            gone = said(paths[::2], announce=False) + said(paths[::-2], announce=False)

            def act(villain: Villain) -> None:
                sock = stand(villain, greeting)
                villain.send(sock, stream)
                villain.over.wait()
                villain.send(sock, gone)
                drink(sock)
                sock.close()

            villain = Villain(here.port, act)
            while here.link().octets_in < len(greeting + KEEPALIVE + stream) or here.link().peer.busy:
                await here.serve(1)
            assert here.prefixes() == 10_000
            villain.over.set()
            while here.link().octets_in < len(greeting + KEEPALIVE + stream + gone) or here.link().peer.busy:
                await here.serve(1)
            assert here.prefixes() == 0
            here.speaker.reset_peer(BAD)
            await villain.end()

    run(test)


def many(addresses: Iterable[str], count: int) -> list[str]:
    listed = list(addresses)
    return [listed[number % len(listed)] for number in range(count)]


def test_a_flood_of_connections_from_unknown_addresses() -> None:
    need_address("127.0.0.99")

    async def test() -> None:
        async with arena(config(BAD)) as here:

            def act(villain: Villain) -> None:
                for source in many((f"127.0.0.{last}" for last in range(10, 250)), 2000):
                    with contextlib.suppress(OSError), villain.connect(source) as sock:
                        villain.send(sock, GREETING + KEEPALIVE + FLOODS["updates"])

            villain = Villain(here.port, act)
            while not villain.done:
                await here.serve(1)
            await villain.end()
            await until(lambda: here.speaker.refused >= 1500)
            assert [each.address for each in here.speaker.neighbors()] == [BAD, GOOD]

    run(test)


def test_openings_that_take_for_ever() -> None:
    need_address("127.0.0.99")

    async def test() -> None:
        peers = PeerRange("127.0.0.64/26", config("192.0.2.9"), max_neighbors=16, linger_s=0.1)
        async with arena(peers) as here:
            addresses = [f"127.0.0.{last}" for last in range(70, 100)]

            def act(villain: Villain) -> None:
                socks = [villain.connect(source) for source in many(addresses, 200)]
                for octet in GREETING[:-1]:
                    for sock in socks:
                        with contextlib.suppress(OSError):
                            villain.send(sock, bytes((octet,)))
                villain.over.wait()
                for sock in socks:
                    sock.close()

            villain = Villain(here.port, act)
            ends = time.monotonic() + 1.0
            while time.monotonic() < ends:
                await here.serve(1)
            dynamic = [each for each in here.speaker.neighbors() if each.address != GOOD]
            assert len(dynamic) <= 16
            assert not [each for each in dynamic if each.state == "established"]
            assert all(len(link._connections) <= 2 for link in here.speaker._links.values())
            await villain.end()
            await until(lambda: [each.address for each in here.speaker.neighbors()] == [GOOD])

    run(test)
