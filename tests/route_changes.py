"""Changes of routing tables as runs of UPDATEs bring them, and what a plain dict of routes would answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from tidegate.data.route_attributes import ATTRIBUTES
from tidegate.data.route_table import RouteTable

__all__ = ["Change", "Key", "is_mapped", "longest", "naive_longest", "octets_of", "take", "tired_after"]

Change = tuple[int, int, int, int | None]  # address, length, path identifier, rank of the attributes or None: withdraw
Key = tuple[int, int, int]  # address, length, path identifier


def octets_of(address: int, length: int, path_id: int | None, width: int) -> bytes:
    head = b"" if path_id is None else path_id.to_bytes(4, "big")
    return head + bytes((length,)) + address.to_bytes(width, "big")[: (length + 7) // 8]


def take(table: RouteTable, changes: Iterable[Change], *, with_path_id: bool = False) -> None:
    """Hand changes over as one run of UPDATEs, each with one prefix; the attributes of rank r are the octet r."""
    data, gone, here, keys = b"", [], [], []
    for address, length, path_id, rank in changes:
        octets = octets_of(address, length, path_id if with_path_id else None, table.octets)
        span = (len(data), len(data) + len(octets))
        data += octets
        gone.append(span if rank is None else (0, 0))
        here.append((0, 0) if rank is None else span)
        keys += [] if rank is None else [bytes((rank,))]
    rows = np.zeros(len(keys), ATTRIBUTES)
    rows["rank"] = [key[0] for key in keys]
    rows["next_hop_low"] = [key[0] for key in keys]
    spans = [np.array(column, np.int64).reshape(-1, 2) for column in (gone, here)]
    table.take(np.frombuffer(data, np.uint8), spans[0], spans[1], keys, rows, with_path_id=with_path_id)


def words_of(address: int, width: int) -> tuple[int, int]:
    return (0, 0xFFFF << 32 | address) if width == 4 else (address >> 64, address & (1 << 64) - 1)


def longest(table: RouteTable, addresses: list[int]) -> list[tuple[int, int] | None]:
    words = np.array([words_of(address, table.octets) for address in addresses], np.uint64).reshape(-1, 2)
    found = np.full(len(addresses), -1, np.int64)
    table.match(np.ascontiguousarray(words[:, 0]), np.ascontiguousarray(words[:, 1]), found)
    table.chosen(found, None)
    high, low, length = table.prefix_columns(found)
    rows = []
    for row, one, other, bits in zip(found.tolist(), high.tolist(), low.tolist(), length.tolist(), strict=True):
        address, size = (other & 0xFFFFFFFF, bits - 96) if table.octets == 4 else (one << 64 | other, bits)
        rows.append(None if row < 0 else (address, size))
    return rows


def naive_longest(known: Iterable[Key], address: int, width: int) -> tuple[int, int] | None:
    around = [
        (length, prefix) for prefix, length, _ in known if address >> 8 * width - length == prefix >> 8 * width - length
    ]
    return (max(around)[1], max(around)[0]) if around else None


def is_mapped(address: int, width: int) -> bool:
    return width == 16 and address >> 32 == 0xFFFF


@contextmanager
def tired_after(steps: int) -> Iterator[None]:
    """Let a piece of work be so small that changes stop in the middle."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tidegate.data.route_table._WORK", steps)
        yield
