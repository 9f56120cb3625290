"""Captured datagrams for tests: those of the checkout, and those of the shared data where they are present."""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent / "data" / "sflow"
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "sflow"
WHERE = SHARED if SHARED.is_dir() else HERE


def names() -> list[str]:
    """Return the names of the captures that are there."""
    return sorted(path.name for path in WHERE.iterdir() if path.suffix in {".pcap", ".bin"})


def datagrams(name: str) -> list[bytes]:
    """Return the UDP payloads of a capture."""
    path = WHERE / name
    data = path.read_bytes()
    return [data] if path.suffix == ".bin" else list(_payloads(data))


def _payloads(data: bytes) -> Iterator[bytes]:
    """Read a classic little-endian pcap of Ethernet frames."""
    place = 24
    while place < len(data):
        size = struct.unpack_from("<I", data, place + 8)[0]
        yield _udp_payload(data[place + 16 : place + 16 + size])
        place += 16 + size


def _udp_payload(frame: bytes) -> bytes:
    start = 18 if frame[12:14] == b"\x81\x00" else 14
    udp = start + (40 if frame[start] >> 4 == 6 else 4 * (frame[start] & 15))
    return frame[udp + 8 : udp + struct.unpack_from(">H", frame, udp + 4)[0]]


def sflowtool(name: str) -> list[dict[str, Any]]:
    """Return what sflowtool says of each datagram of a capture."""
    stem = WHERE / Path(name).stem
    plain = Path(f"{stem}.sflowtool.jsonl")
    text = plain.read_bytes() if plain.exists() else gzip.decompress(Path(f"{plain}.gz").read_bytes())
    return [json.loads(line)["sflowtool"] for line in text.splitlines()]
