"""Datagrams as a capture file: nanosecond pcap of Ethernet frames, as any tool reads it.

Answers for: draft-ietf-opsawg-pcap section 4, RFC 791, RFC 8200, RFC 768 (checksums).
"""

from __future__ import annotations

import struct

import msgspec

from tidegate.errors import EncodeError

__all__ = ["Endpoint", "pcap_header", "pcap_record"]

_MAGIC = 0xA1B23C4D  # times in nanoseconds
_ETHERNET = 1
_SNAP = 1 << 18
_UDP = 17


class Endpoint(msgspec.Struct, frozen=True):
    """An address of 4 or 16 octets, and a port."""

    address: bytes
    port: int


def pcap_header() -> bytes:
    """Return what stands before the records."""
    return struct.pack("<IHHiIII", _MAGIC, 2, 4, 0, 0, _SNAP, _ETHERNET)


def pcap_record(payload: bytes, time_ns: int, *, source: Endpoint, target: Endpoint) -> bytes:
    """Return a record with a UDP datagram in an Ethernet frame; `EncodeError` where the addresses are of two kinds."""
    if len(source.address) != len(target.address):
        raise EncodeError("a datagram has two addresses of one family")
    frame = bytes(12) + _packet(payload, source, target)
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return struct.pack("<IIII", seconds & 0xFFFFFFFF, rest, len(frame), len(frame)) + frame


def _packet(payload: bytes, source: Endpoint, target: Endpoint) -> bytes:
    length = 8 + len(payload)
    addresses = source.address + target.address
    ports = struct.pack(">HHH", source.port, target.port, length)
    checksum = _checksum(addresses + struct.pack(">II", length, _UDP) + ports + bytes(2) + payload) or 0xFFFF
    datagram = ports + checksum.to_bytes(2, "big") + payload
    if len(source.address) == 16:
        return b"\x86\xdd" + struct.pack(">IHBB", 6 << 28, length, _UDP, 64) + addresses + datagram
    start = struct.pack(">BBHHHBB", 0x45, 0, 20 + length, 0, 0x4000, 64, _UDP)
    header = start + _checksum(start + bytes(2) + addresses).to_bytes(2, "big") + addresses
    return b"\x08\x00" + header + datagram


def _checksum(octets: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f">{(len(octets) + 1) // 2}H", octets + bytes(len(octets) & 1)))
    total = (total & 0xFFFF) + (total >> 16)
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
