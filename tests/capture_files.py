"""A plain writer of capture files: what the readers under test must give back."""

from __future__ import annotations

import ipaddress
import struct

import msgspec

LINKS = (0, 1, 12, 14, 101, 108, 113, 228, 229, 276)


class Datagram(msgspec.Struct, frozen=True):
    """A UDP datagram as a capture holds it."""

    time_ns: int
    source: str
    source_port: int
    port: int
    payload: bytes


def udp_packet(datagram: Datagram, *, options: int = 0, extensions: int = 0) -> bytes:
    """Return the IP packet; IPv4 with `options` words of NOPs, IPv6 with `extensions` hop-by-hop like headers."""
    udp = struct.pack(">HHHH", datagram.source_port, datagram.port, 8 + len(datagram.payload), 0) + datagram.payload
    return ip_packet(datagram.source, udp, options=options, extensions=extensions)


def ip_packet(
    source: str,
    body: bytes,
    *,
    protocol: int = 17,
    options: int = 0,
    extensions: int = 0,
    fragment: tuple[int, int] = (0, 0),
) -> bytes:
    """Return an IP packet around a body; `fragment` is the identification and the field of flags and offset."""
    address = ipaddress.ip_address(source)
    if address.version == 4:
        header = 20 + 4 * options
        start = struct.pack(">BBHHHBBH", 0x40 | header // 4, 0, header + len(body), *fragment, 64, protocol, 0)
        return start + address.packed + bytes([192, 0, 2, 1]) + b"\x01" * (4 * options) + body
    for _ in range(extensions):
        body = bytes([protocol, 1]) + bytes(14) + body
        protocol = 60
    return struct.pack(">IHBB", 6 << 28, len(body), protocol, 64) + address.packed + bytes(16) + body


def frame(packet: bytes, link: int, *, tags: int = 0) -> bytes:
    """Return a packet in the frame of a link type."""
    kind = b"\x08\x00" if packet[0] >> 4 == 4 else b"\x86\xdd"
    protocol = b"\x81\x00\x00\x07" * tags + kind
    if link == 1:
        return bytes(12) + protocol + packet
    if link == 113:
        return bytes(14) + protocol + packet
    if link == 276:
        return protocol[:2] + bytes(18) + protocol[2:] + packet
    if link in {0, 108}:
        return struct.pack(">I", 2 if packet[0] >> 4 == 4 else 30) + packet
    return packet


def pcap(frames: list[tuple[int, bytes]], link: int, *, order: str = "<", nanosecond: bool = False) -> bytes:
    """Return a pcap file of (time in nanoseconds, frame)."""
    magic, unit = (0xA1B23C4D, 1) if nanosecond else (0xA1B2C3D4, 1000)
    parts = [struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 262144, link)]
    for time_ns, octets in frames:
        seconds, rest = divmod(time_ns, 1_000_000_000)
        parts += [struct.pack(f"{order}IIII", seconds, rest // unit, len(octets), len(octets)), octets]
    return b"".join(parts)


def section(order: str = "<") -> bytes:
    """Return a section header block."""
    return block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link: int, *, order: str = "<", options: bytes = b"", snap: int = 0) -> bytes:
    """Return an interface description block."""
    return block(1, struct.pack(f"{order}HHI", link, 0, snap) + options, order)


def option(code: int, value: bytes, order: str = "<") -> bytes:
    """Return an option, padded."""
    return struct.pack(f"{order}HH", code, len(value)) + value + bytes(-len(value) % 4)


def enhanced(ticks: int, octets: bytes, *, order: str = "<", number: int = 0) -> bytes:
    """Return an enhanced packet block."""
    head = struct.pack(f"{order}IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(octets), len(octets))
    return block(6, head + octets + bytes(-len(octets) % 4), order)


def obsolete(ticks: int, octets: bytes, *, order: str = "<", number: int = 0) -> bytes:
    """Return a packet block as it was before the enhanced one."""
    head = struct.pack(f"{order}HHIIII", number, 3, ticks >> 32, ticks & 0xFFFFFFFF, len(octets), len(octets))
    return block(2, head + octets + bytes(-len(octets) % 4), order)


def simple(octets: bytes, *, order: str = "<") -> bytes:
    """Return a simple packet block."""
    return block(3, struct.pack(f"{order}I", len(octets)) + octets + bytes(-len(octets) % 4), order)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    """Return a block of pcapng."""
    total = struct.pack(f"{order}I", 12 + len(body))
    return struct.pack(f"{order}I", kind) + total + body + total
