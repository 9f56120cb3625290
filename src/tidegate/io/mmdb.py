"""MaxMind-format databases read from files; what is in them is for `tidegate.data.geo`.

The search tree is walked level by level, all nodes of a level at once; a record is decoded once however many networks
point to it. Records are decoded by maxminddb in Python: its C extension (3.2.0) corrupts memory on damaged files.

Answers for: MaxMind DB File Format Specification 2.0, "Binary Search Tree Section" and "IPv4 addresses in IPv6 trees".
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from maxminddb import MODE_FD, InvalidDatabaseError
from maxminddb.decoder import Decoder
from maxminddb.reader import Metadata, Reader
from numpy.typing import NDArray

from tidegate.data.address import MAPPED
from tidegate.data.geo import AsnAttribute, CountryAttribute, GeoTable, Networks, asn_table, country_table
from tidegate.errors import SourceError

__all__ = ["load_asn", "load_country", "read_mmdb"]

_SEPARATOR = 16  # octets of zero between the tree and the data
_BAD = (InvalidDatabaseError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError)


def load_country(path: Path, attribute: CountryAttribute = CountryAttribute.CODE) -> GeoTable:
    """Return the countries of the database at `path`; `SourceError` where it cannot be read."""
    networks = read_mmdb(path)
    try:
        return country_table(networks, attribute)
    except ValueError as error:
        raise SourceError(str(path), str(error)) from None


def load_asn(path: Path, attribute: AsnAttribute = AsnAttribute.NUMBER) -> GeoTable:
    """Return the autonomous systems of the database at `path`; `SourceError` where it cannot be read."""
    networks = read_mmdb(path)
    try:
        return asn_table(networks, attribute)
    except ValueError as error:
        raise SourceError(str(path), str(error)) from None


def read_mmdb(path: Path) -> Networks:
    """Return the networks of the database at `path`; `SourceError` where it cannot be read, records included."""
    try:
        octets = path.read_bytes()
        metadata = Reader(io.BytesIO(octets), MODE_FD).metadata()
        if metadata.ip_version not in (4, 6):
            raise InvalidDatabaseError(f"unknown IP version {metadata.ip_version}")
        rows = _walk(_tree(octets, metadata), 128 if metadata.ip_version == 6 else 32)
    except OSError as error:
        raise SourceError(str(path), error.strerror or str(error)) from None
    except _BAD as error:
        raise SourceError(str(path), f"not a usable MaxMind database: {error}") from None
    high, low, length, pointer = rows
    pointers, record = np.unique(pointer, return_inverse=True)
    records = _records(octets, metadata, pointers, name=str(path))
    return Networks(high, low, length, record.astype(np.int64), records)


def _records(octets: bytes, metadata: Metadata, pointers: NDArray[np.int64], *, name: str) -> Iterator[object]:
    start = metadata.search_tree_size + _SEPARATOR
    decoder = Decoder(octets, start)
    for pointer in pointers:
        try:
            yield decoder.decode(start + int(pointer) - metadata.node_count - _SEPARATOR)[0]
        except _BAD as error:
            raise SourceError(name, f"not a usable MaxMind database: {error}") from None


def _tree(octets: bytes, metadata: Metadata) -> NDArray[np.int64]:
    """Return what each node points to, left and right: (nodes, 2)."""
    count = metadata.node_count
    size = metadata.record_size // 4
    nodes = np.frombuffer(octets, np.uint8, count * size).reshape(count, size).astype(np.int64)
    if metadata.record_size == 28:  # the middle octet holds the top four bits of both
        left = np.column_stack((nodes[:, 3] >> 4, nodes[:, :3]))
        right = np.column_stack((nodes[:, 3] & 15, nodes[:, 4:]))
    else:
        left, right = nodes[:, : size // 2], nodes[:, size // 2 :]
    weights = 256 ** np.arange(left.shape[1] - 1, -1, -1)
    return np.column_stack((left @ weights, right @ weights))


Rows = tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]]


def _walk(tree: NDArray[np.int64], bits: int) -> Rows:
    """Return words, length and pointer of every network that has a record."""
    count = len(tree)
    node = np.zeros(1 if count else 0, np.int64)
    path = np.zeros((2, len(node)), np.uint64)  # the bits that led to each node, first in the top bit of the high word
    ipv4 = _ipv4_start(tree, bits)
    left_to_visit = count
    found: list[Rows] = []
    for depth in range(bits):
        left_to_visit -= len(node)
        if left_to_visit < 0:
            raise InvalidDatabaseError("its search tree leads back into itself")
        path = np.concatenate((path, path | _bit(depth)), axis=1)
        node = np.concatenate((tree[node, 0], tree[node, 1]))
        leaf = node > count
        length = np.full(np.count_nonzero(leaf), depth + 1, np.int64)
        found.append(_mapped(path[:, leaf], length, node[leaf], bits=bits))
        alias = (node == ipv4) & path.any(axis=0)  # 2002::/16 and others that show IPv4 once more
        inner = (node < count) & ~alias
        node, path = node[inner], path[:, inner]
    if len(node):
        raise InvalidDatabaseError("its search tree is deeper than an address")
    high, low, lengths, pointers = (np.concatenate(columns) for columns in zip(*found, strict=True))
    return high, low, lengths, pointers


def _bit(depth: int) -> NDArray[np.uint64]:
    value = 1 << (127 - depth)
    return np.array([[value >> 64], [value & (1 << 64) - 1]], np.uint64)


def _ipv4_start(tree: NDArray[np.int64], bits: int) -> int:
    """Return the node at ::/96, below which IPv4 lies; -1 where the tree has none."""
    node = 0
    for _ in range(96 if bits == 128 else 0):
        if node >= len(tree):
            return -1
        node = int(tree[node, 0])
    return node if 0 < node < len(tree) else -1


def _mapped(path: NDArray[np.uint64], length: NDArray[np.int64], pointer: NDArray[np.int64], *, bits: int) -> Rows:
    """Turn IPv4 into its mapped form: all of a tree of 32 bits, and what lies below ::/96 in one of 128."""
    high, low = path
    if bits == 32:
        return np.zeros_like(high), high >> np.uint64(32) | np.uint64(MAPPED), length + 96, pointer
    ipv4 = (high == 0) & (low >> np.uint64(32) == 0) & (length >= 96)
    return high, np.where(ipv4, low | np.uint64(MAPPED), low), length, pointer
