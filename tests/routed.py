"""Traffic and routes for tests of routing: datagrams of chosen packets, and a router with a table of thousands."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Sequence

import msgspec

from tidegate.io.bgp import PeerConfig, Speaker
from tidegate.wire.bgp.constants import Origin
from tidegate.wire.bgp.prefix import parse_address, parse_prefix
from tidegate.wire.bgp.routes import UnicastRoute
from tidegate.wire.sflow.encode import encode_datagram
from tidegate.wire.sflow.flow_records import SampledHeader
from tidegate.wire.sflow.samples import Datagram, DataSource, FlowSample, InterfaceWord

AGENT = "192.0.2.250"
RATE = 1000
ROUTER, HERE = "127.0.0.2", "127.0.0.1"


class Packet(msgspec.Struct, frozen=True):
    """One sampled packet of `octets` octets; it comes in at interface 1 and goes out at `out`."""

    source: str
    destination: str
    octets: int = 1000
    out: int = 7
    seen_at: int = 1  # the interface whose samples it is among


def _header(packet: Packet) -> bytes:
    source, destination = ipaddress.ip_address(packet.source), ipaddress.ip_address(packet.destination)
    ends = source.packed + destination.packed
    if source.version == 4:
        ip = struct.pack(">BBHHHBBH", 0x45, 0, packet.octets - 14, 0, 0, 64, 17, 0) + ends
    else:
        ip = struct.pack(">IHBB", 6 << 28, packet.octets - 54, 17, 64) + ends
    ethernet = bytes.fromhex("0200c0000201 0200c00002fe") + (b"\x08\0" if source.version == 4 else b"\x86\xdd")
    return (ethernet + ip + struct.pack(">HHHH", 1024, 9, 8, 0)).ljust(96, b"\0")


def datagram(number: int, packets: Sequence[Packet], *, agent: str = AGENT) -> bytes:
    """Return the datagram that is the `number`th of its agent, from 0, and has as many samples each time."""
    samples = []
    for place, packet in enumerate(packets):
        sequence = number * len(packets) + place + 1
        samples.append(
            FlowSample(
                sequence_number=sequence,
                source_id=DataSource(0, packet.seen_at),
                sampling_rate=RATE,
                sample_pool=sequence * RATE & 0xFFFFFFFF,
                drops=0,
                input=InterfaceWord(0, 1),
                output=InterfaceWord(0, packet.out),
                records=(SampledHeader(protocol=1, frame_length=packet.octets, stripped=0, header=_header(packet)),),
            )
        )
    octets = ipaddress.ip_address(agent).packed
    return encode_datagram(Datagram(octets, 0, number + 1, 10_000 + number * 10, tuple(samples)))


def route(
    prefix: str,
    *path: int,
    next_hop: str = "192.0.2.1",
    communities: Iterable[str] = (),
    med: int | None = None,
    origin: Origin = Origin.IGP,
) -> UnicastRoute:
    words = [text.split(":") for text in communities]
    numbers = tuple(int(high) << 16 | int(low) for high, low in words)
    return UnicastRoute(parse_prefix(prefix), parse_address(next_hop), origin, path, med, communities=numbers)


def table(count: int = 3000) -> list[UnicastRoute]:
    """Return `count` routes 10.0.0.0/24, 10.0.1.0/24, …, each of its own AS from 4,200,000,000 on."""
    return [route(f"10.{number >> 8}.{number & 255}.0/24", 4_200_000_000 + number) for number in range(count)]


def router() -> Speaker:
    """Return a router of AS 64500 at `ROUTER`, which waits for AS 65001."""
    config = PeerConfig(HERE, 64500, "192.0.2.10", peer_as=65001, passive=True)
    return Speaker([config], port=0, listen=[ROUTER])
