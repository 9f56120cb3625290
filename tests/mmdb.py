"""A small writer of MaxMind-format databases, so that tests need no one's data.

Format: MaxMind DB File Format Specification 2.0. A longer prefix inside a shorter one takes its place there.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

MARKER = b"\xab\xcd\xefMaxMind.com"

Node = list["Node | bytes | None"]


def mmdb_bytes(records: Mapping[str, object], *, ip_version: int = 6, record_size: int = 24) -> bytes:
    """Return the file of a database with one record a CIDR."""
    root: Node = [None, None]
    for cidr, record in sorted(records.items(), key=lambda item: ipaddress.ip_network(item[0]).prefixlen):
        _insert(root, _bits(cidr, ip_version), encode(record))
    nodes = _nodes(root)
    size = 0
    offsets: dict[bytes, int] = {}
    for leaf in (side for node in nodes for side in node if isinstance(side, bytes)):
        if leaf not in offsets:
            offsets[leaf] = size
            size += len(leaf)
    places = {id(node): index for index, node in enumerate(nodes)}

    def record_of(side: Node | bytes | None) -> int:
        if side is None:
            return len(nodes)
        return len(nodes) + 16 + offsets[side] if isinstance(side, bytes) else places[id(side)]

    tree = b"".join(_pair(record_of(node[0]), record_of(node[1]), record_size) for node in nodes)
    return tree + bytes(16) + b"".join(offsets) + MARKER + encode(metadata(len(nodes), ip_version, record_size))


class Short(int):
    """A number of 16 bits."""


class Long(int):
    """A number of 64 bits."""


def metadata(node_count: int, ip_version: int, record_size: int) -> dict[str, object]:
    return {
        "binary_format_major_version": Short(2),
        "binary_format_minor_version": Short(0),
        "build_epoch": Long(1_700_000_000),
        "database_type": "Test",
        "description": {"en": "made by a test"},
        "ip_version": Short(ip_version),
        "languages": ["en"],
        "node_count": node_count,
        "record_size": Short(record_size),
    }


def _bits(cidr: str, ip_version: int) -> str:
    network = ipaddress.ip_network(cidr)
    bits = f"{int(network.network_address):0{network.max_prefixlen}b}"[: network.prefixlen]
    return "0" * 96 + bits if network.version == 4 and ip_version == 6 else bits


def _insert(root: Node, bits: str, leaf: bytes) -> None:
    node = root
    for bit in map(int, bits[:-1]):
        inner = node[bit]
        if not isinstance(inner, list):
            inner = [inner, inner]
            node[bit] = inner
        node = inner
    node[int(bits[-1])] = leaf


def _nodes(root: Node) -> list[Node]:
    nodes = [root]
    for node in nodes:
        nodes += [side for side in node if isinstance(side, list)]
    return nodes


def _pair(left: int, right: int, record_size: int) -> bytes:
    if record_size == 28:
        middle = (left >> 24) << 4 | right >> 24
        return (left & 0xFFFFFF).to_bytes(3, "big") + bytes([middle]) + (right & 0xFFFFFF).to_bytes(3, "big")
    return left.to_bytes(record_size // 8, "big") + right.to_bytes(record_size // 8, "big")


def encode(value: object) -> bytes:
    """Return a value of the data section: map, array, text, number or boolean."""
    match value:
        case bool():
            return _control(14, int(value))
        case int():
            octets = value.to_bytes((value.bit_length() + 7) // 8, "big")
            kind = 5 if isinstance(value, Short) else 9 if isinstance(value, Long) else 6
            return _control(kind, len(octets)) + octets
        case str():
            return _control(2, len(value.encode())) + value.encode()
        case dict():
            return _control(7, len(value)) + b"".join(encode(name) + encode(inner) for name, inner in value.items())
        case list():
            return _control(11, len(value)) + b"".join(map(encode, value))
        case _:
            raise TypeError(value)


def _control(kind: int, size: int) -> bytes:
    small, more = (size, b"") if size < 29 else (29, bytes([size - 29]))
    return bytes([kind << 5 | small]) + more if kind < 8 else bytes([small, kind - 7]) + more
