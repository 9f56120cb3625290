"""Small functions that build packets for tests, each a header in front of its payload."""

from __future__ import annotations

import ipaddress
import struct

MAC_A = bytes.fromhex("02AB10000C01")
MAC_B = bytes.fromhex("02AB10000C02")
TYPES = {4: 0x0800, 6: 0x86DD}


def eth(payload: bytes = b"", kind: int = 0x0800, *, dst: bytes = MAC_B, src: bytes = MAC_A) -> bytes:
    return dst + src + struct.pack(">H", kind) + payload


def vlan(number: int, payload: bytes = b"", kind: int = 0x0800, *, priority: int = 0, tpid: int = 0x8100) -> bytes:
    """A tag with the type in front of it; use as the payload of `tagged`."""
    return struct.pack(">HHH", tpid, priority << 13 | number, kind) + payload


def tagged(tags: bytes, *, dst: bytes = MAC_B, src: bytes = MAC_A) -> bytes:
    """An Ethernet frame whose type field is the first of the tags."""
    return dst + src + tags


def mpls(labels: list[int], payload: bytes = b"", *, exp: int = 0, ttl: int = 64) -> bytes:
    last = len(labels) - 1
    words = [label << 12 | exp << 9 | (place == last) << 8 | ttl for place, label in enumerate(labels)]
    return b"".join(struct.pack(">I", word) for word in words) + payload


def pppoe(session: int, protocol: int, payload: bytes = b"") -> bytes:
    return struct.pack(">BBHHH", 0x11, 0, session, len(payload) + 2, protocol) + payload


def arp(operation: int, sender: str, target: str) -> bytes:
    ends = MAC_A + ipaddress.ip_address(sender).packed + MAC_B + ipaddress.ip_address(target).packed
    return struct.pack(">HHBBH", 1, 0x0800, 6, 4, operation) + ends


def ip(  # noqa: PLR0913 - a header has as many fields
    protocol: int,
    payload: bytes = b"",
    *,
    src: str = "192.0.2.1",
    dst: str = "198.51.100.2",
    tos: int = 0,
    ttl: int = 64,
    flags: int = 0,
    fragment: int = 0,
    options: bytes = b"",
    total: int | None = None,
) -> bytes:
    words = 5 + len(options) // 4
    length = words * 4 + len(payload) if total is None else total
    head = struct.pack(">BBHHHBBH", 4 << 4 | words, tos, length, 7, flags << 13 | fragment, ttl, protocol, 0)
    return head + ipaddress.ip_address(src).packed + ipaddress.ip_address(dst).packed + options + payload


def ip6(  # noqa: PLR0913 - a header has as many fields
    following: int,
    payload: bytes = b"",
    *,
    src: str = "2001:db8::1",
    dst: str = "2001:db8::2",
    traffic_class: int = 0,
    label: int = 0,
    length: int | None = None,
) -> bytes:
    size = len(payload) if length is None else length
    head = struct.pack(">IHBB", 6 << 28 | traffic_class << 20 | label, size, following, 64)
    return head + ipaddress.ip_address(src).packed + ipaddress.ip_address(dst).packed + payload


def extension(following: int, payload: bytes = b"", *, words: int = 0) -> bytes:
    """A hop-by-hop, routing or destination options header of 8 * (words + 1) octets."""
    return bytes([following, words]) + bytes(6 + 8 * words) + payload


def fragment(following: int, payload: bytes = b"", *, offset: int = 0, more: bool = False) -> bytes:
    return struct.pack(">BBHI", following, 0, offset << 3 | more, 7) + payload


def tcp(src: int = 1025, dst: int = 80, *, flags: int = 0x002, window: int = 512) -> bytes:
    return struct.pack(">HHIIHHHH", src, dst, 11, 22, 5 << 12 | flags, window, 0, 0)


def udp(src: int = 1025, dst: int = 9, payload: bytes = b"") -> bytes:
    return struct.pack(">HHHH", src, dst, 8 + len(payload), 0) + payload


def sctp(src: int = 1025, dst: int = 9) -> bytes:
    return struct.pack(">HHII", src, dst, 1, 0)


def icmp(kind: int, code: int = 0, *, rest: int = 0, payload: bytes = b"") -> bytes:
    return struct.pack(">BBHI", kind, code, 0, rest) + payload


def gre(kind: int, payload: bytes = b"", *, key: int | None = None, sequence: int | None = None) -> bytes:
    flags = (0x2000 if key is not None else 0) | (0x1000 if sequence is not None else 0)
    words = b"".join(struct.pack(">I", word) for word in (key, sequence) if word is not None)
    return struct.pack(">HH", flags, kind) + words + payload


def vxlan(network: int, payload: bytes = b"", *, flags: int = 8) -> bytes:
    return struct.pack(">B3xI", flags, network << 8) + payload


def geneve(network: int, kind: int, payload: bytes = b"", *, options: bytes = b"") -> bytes:
    return struct.pack(">BBHI", len(options) // 4, 0, kind, network << 8) + options + payload


def dns(name: bytes, kind: int = 1, *, response: bool = False, questions: int = 1) -> bytes:
    """A message whose first question has `name` in wire form."""
    flags = 0x8000 if response else 0x0100
    return struct.pack(">HHHHHH", 7, flags, questions, 0, 0, 0) + name + struct.pack(">HH", kind, 1)


def wire_name(*labels: bytes) -> bytes:
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def ibbt(opcode: int, *, length: int = 0) -> bytes:
    """InfiniBand base transport header with solicited event and acknowledge request, then an RDMA header."""
    return struct.pack(">BBHIIQII", opcode, 0x80, 0xFFFF, 0x123456, 1 << 31 | 5, 0, 0, length)
