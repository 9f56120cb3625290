"""Peers of a speaker on loopback sockets: what its hooks are told, and peers made of octets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import suppress

import pytest

from tidegate.errors import SourceError
from tidegate.io.bgp import Hooks, PeerConfig, Speaker
from tidegate.io.bgp_socket import listen_socket, set_md5
from tidegate.units import Asn
from tidegate.wire.bgp.communities import TrafficRateBytes
from tidegate.wire.bgp.constants import Afi, Family, MessageType
from tidegate.wire.bgp.flowspec import ComponentType, FlowRule, PrefixComponent
from tidegate.wire.bgp.message import KEEPALIVE, Message, Notification, decode_notification, frame, maybe_message
from tidegate.wire.bgp.open import Capabilities, GracefulRestart, Negotiated, Open, encode_open
from tidegate.wire.bgp.prefix import Prefix
from tidegate.wire.bgp.routes import FlowRoute, RouteKey, UnicastRoute, route_key
from tidegate.wire.bgp.update import Update, encode_announce
from tidegate.wire.cursor import Reader

__all__ = [
    "GREETING",
    "KEEPALIVE",
    "Raw",
    "Seen",
    "announcement",
    "announcements",
    "dial",
    "greeting",
    "need_address",
    "need_md5",
    "passive_speaker",
    "rule",
    "run",
    "until",
    "withdrawals",
]

LIMIT_S = 20.0


def greeting(families: Sequence[Family] = tuple(Family), *, restart_s: int = 0, refresh: bool = False) -> bytes:
    """Return the OPEN of a peer of AS 65002; with `restart_s` it does graceful restart of its families."""
    restart = GracefulRestart(restart_s, families=tuple(families), kept=tuple(families)) if restart_s else None
    capabilities = Capabilities(tuple(families), refresh, asn4=Asn(65002), graceful_restart=restart)
    return encode_open(Open(Asn(65002), 90, 7, capabilities))


GREETING = greeting()
NEGOTIATED = Negotiated(Asn(65002), Asn(65001), 1, 90, frozenset(Family))


def rule(number: int) -> FlowRoute:
    prefix = PrefixComponent(ComponentType.DESTINATION, Prefix((0x0A000000 + number).to_bytes(4, "big"), 32))
    return FlowRoute(FlowRule(Afi.IPV4, (prefix,)), (TrafficRateBytes(0.0),))


def run(test: Callable[[], Awaitable[None]]) -> None:
    """Run a test's coroutine; one that hangs fails."""

    async def bounded() -> None:
        async with asyncio.timeout(LIMIT_S):
            await test()

    asyncio.run(bounded())


def need_md5() -> None:
    """Skip where the kernel was built without TCP MD5."""
    with socket.socket() as probe:
        try:
            set_md5(probe, "127.0.0.1", "k")
        except SourceError as error:
            pytest.skip(str(error))


def need_address(address: str) -> None:
    """Skip where the machine has no such loopback address."""
    try:
        listen_socket(address, 0).close()
    except SourceError as error:
        pytest.skip(str(error))


async def until(condition: Callable[[], bool]) -> None:
    """Give the loop its turns until a condition holds; the test's own limit ends it otherwise."""
    while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
        await asyncio.sleep(0)


def announcement(number: int) -> bytes:
    """Return an UPDATE of the same peer with one IPv4 host route."""
    prefix = Prefix((0x0B000000 + number).to_bytes(4, "big"), 32)
    route = UnicastRoute(prefix, b"\x7f\0\0\2")
    return encode_announce(route, route_key(route), NEGOTIATED)


def announcements(numbers: Iterable[int]) -> bytes:
    """Return UPDATEs that announce such routes, hundreds in each."""
    attributes = bytes.fromhex("4001010040020602010000fdea4003047f000002")
    head = bytes(2) + len(attributes).to_bytes(2, "big") + attributes
    return b"".join(frame(MessageType.UPDATE, head + block) for block in _blocks(numbers))


def _blocks(numbers: Iterable[int]) -> Iterator[bytes]:
    prefixes = [b"\x20" + (0x0B000000 + number).to_bytes(4, "big") for number in numbers]
    return (b"".join(prefixes[start : start + 800]) for start in range(0, len(prefixes), 800))


def withdrawals(numbers: Iterable[int]) -> bytes:
    """Return UPDATEs that withdraw such routes, hundreds in each."""
    return b"".join(
        frame(MessageType.UPDATE, len(block).to_bytes(2, "big") + block + bytes(2)) for block in _blocks(numbers)
    )


class Seen:
    """What a speaker told its hooks, as queues to wait on."""

    def __init__(self) -> None:
        self.up: asyncio.Queue[str] = asyncio.Queue()
        self.down: asyncio.Queue[str] = asyncio.Queue()
        self.updates: asyncio.Queue[Update] = asyncio.Queue()
        self.sent: asyncio.Queue[tuple[str, RouteKey, int]] = asyncio.Queue()
        self.changed: list[tuple[str, str]] = []
        self.warned: list[tuple[str, str]] = []

    def hooks(self) -> Hooks:
        return Hooks(
            up=self.up.put_nowait,
            down=self.down.put_nowait,
            sent=lambda *what: self.sent.put_nowait(what),
            update=lambda _peer, update: self.updates.put_nowait(update),
            changed=lambda *what: self.changed.append(what),
            warned=lambda *what: self.warned.append(what),
        )

    async def route(self) -> Update:
        """Return the next UPDATE that is no End-of-RIB."""
        while (update := await self.updates.get()).end_of_rib is not None:
            pass
        return update


class Raw:
    """A peer made of octets: it says what the test says."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self._reader = reader
        self._octets = b""

    async def message(self) -> Message | None:
        """Return the next message, or None at the end of the stream."""
        while True:
            reader = Reader(self._octets)
            found = maybe_message(reader)
            if found is not None:
                self._octets = reader.rest()
                return found
            with suppress(ConnectionResetError):
                if more := await self._reader.read(65536):
                    self._octets += more
                    continue
            return None

    async def notification(self) -> Notification | None:
        """Return the NOTIFICATION that ends the stream, or None if it ends without."""
        last = None
        while (message := await self.message()) is not None:
            last = decode_notification(message.body) if message.type == 3 else last
        return last

    def announce(self, count: int, *, first: int = 0) -> None:
        """Announce unicast routes, one an UPDATE."""
        for number in range(first, first + count):
            self.writer.write(announcement(number))

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


async def dial(speaker: Speaker, source: str = "127.0.0.1") -> Raw:
    return Raw(*await asyncio.open_connection("127.0.0.1", speaker.ports[0], local_addr=(source, 0)))


def passive_speaker(seen: Seen | None = None) -> Speaker:
    config = PeerConfig("127.0.0.1", 65001, "192.0.2.1", peer_as=65002, passive=True)
    return Speaker([config], port=0, listen=["127.0.0.1"], hooks=seen.hooks() if seen else None)
