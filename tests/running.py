"""Parts of a running collector for tests: captures written and sent, attacks made up, conditions waited for."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from capture_files import Datagram, frame, pcap, udp_packet
from tidegate.apps.config import Config
from tidegate.apps.demo_traffic import attack_datagram
from tidegate.apps.kernels import ALL_KERNELS
from tidegate.data.address import format_address
from tidegate.data.block import Block, block_of
from tidegate.engine.events import Event, FlowRecord
from tidegate.kernel import compile_kernels

T = TypeVar("T")
LIMIT_S = 60.0
START_NS = 1_700_000_000_000_000_000
SECOND = 1_000_000_000

# Keys, values and records of several kinds, all triggered by the background and by the attack.
CONFIG = msgspec.convert(
    {
        "sflow": {"host": "127.0.0.1", "port": 0},
        "rest": {"port": 0},
        "flows": {
            "udp": {"keys": "ipdestination,udpsourceport", "value": "frames", "t": 1, "log": True},
            "tcp": {"keys": "ipsource,ipdestination", "value": "bytes", "t": 2, "log": True, "activeTimeout": 3},
            "talkers": {"keys": "ipdestination", "value": "count:ipsource", "t": 2},
        },
        "thresholds": {
            "udp": {"metric": "udp", "value": 1000, "byFlow": True, "timeout": 1},
            "tcp": {"metric": "tcp", "value": 1000, "byFlow": True, "timeout": 1},
            "all": {"metric": "tcp", "value": 2000, "timeout": 1},
            "talkers": {"metric": "talkers", "value": 10, "byFlow": True, "timeout": 1},
        },
    },
    Config,
)


def prepare() -> None:
    """Compile all kernels, as programs do at their start."""
    for _ in compile_kernels(ALL_KERNELS):
        pass


def until(ask: Callable[[], T], what: str = "it") -> T:
    """Ask until the answer is true."""
    deadline = time.monotonic() + LIMIT_S
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.01)
    return answer


def attack(count: int, *, first: int = 0) -> list[bytes]:
    """Return datagrams of a DNS reflection attack."""
    draw = random.Random(first)  # noqa: S311 - made-up traffic
    return [attack_datagram(number, draw) for number in range(first, first + count)]


def blocks(payloads: Sequence[bytes], *, step_ns: int, size: int, start_ns: int = START_NS) -> list[Block]:
    """Return datagrams as blocks of at most `size`, received `step_ns` apart."""
    times = [start_ns + place * step_ns for place in range(len(payloads))]
    return [
        block_of(list(payloads[place : place + size]), times[place : place + size])
        for place in range(0, len(payloads), size)
    ]


def datagrams_of(block: Block) -> list[Datagram]:
    """Return what a block holds."""
    found = []
    for row in range(len(block)):
        start = int(block.offset[row])
        payload = block.data[start : start + int(block.length[row])].tobytes()
        source = format_address(int(block.source_high[row]), int(block.source_low[row]))
        found.append(Datagram(int(block.time_ns[row]), source, int(block.source_port[row]), 6343, payload))
    return found


def write_capture(path: Path, datagrams: Sequence[Datagram]) -> Path:
    """Write datagrams as a nanosecond pcap file."""
    frames = [(one.time_ns, frame(udp_packet(one), 1)) for one in datagrams]
    path.write_bytes(pcap(frames, 1, nanosecond=True))
    return path


def write_payloads(path: Path, payloads: Sequence[bytes], *, step_ns: int, start_ns: int = START_NS) -> Path:
    """Write datagrams that came `step_ns` apart as a nanosecond pcap file."""
    return write_capture(
        path,
        [
            Datagram(start_ns + place * step_ns, "192.0.2.77", 5000, 6343, payload)
            for place, payload in enumerate(payloads)
        ],
    )


class Heard:
    """What was told, as JSON lines in the order of telling."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def one(self, told: Event | FlowRecord) -> None:
        self.lines.append(msgspec.json.encode(told).decode())

    def deliver(self, events: Sequence[Event], records: Sequence[FlowRecord]) -> None:
        self.lines += [msgspec.json.encode(told).decode() for told in events]
        self.lines += [msgspec.json.encode(told).decode() for told in records]


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
