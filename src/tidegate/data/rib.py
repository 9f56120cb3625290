"""What routing tables say of many addresses at once, as columns.

A table answers `lookup` with a `Found`: for each address the number of its route, and the routes as columns. It holds
copies, so that a table may change while somebody still reads. Addresses and prefixes are 128 bit, see data/address.py.
"""

from __future__ import annotations

from typing import Protocol

import msgspec
import numpy as np

from tidegate.kernel import I64, U8, U64

__all__ = ["Found", "RouteLookup", "Router", "nothing_found"]


class Found(msgspec.Struct, frozen=True, eq=False):
    """The longest match of each of n addresses among m different routes.

    AS paths and communities are octets of `data`, in the spelling of the sFlow gateway record (`Form.AS_PATH`,
    `Form.COMMUNITIES`): route i has `data[path_start[i]:path_stop[i]]`. Empty is none.
    """

    row: I64  # (n,) number of the route, -1 where there is none
    prefix: U64  # (3, m) words of the address, and the length (IPv4 plus 96): as Form.PREFIX
    next_hop: U64  # (2, m)
    local_pref: I64  # (m,) -1 where the route has none
    origin_as: I64  # (m,) last AS of the path, -1 where the path is empty or ends in a set
    peer_as: I64  # (m,) first AS of the path, -1 where the path is empty or begins with a set
    data: U8
    path_start: I64  # (m,)
    path_stop: I64
    communities_start: I64
    communities_stop: I64


class RouteLookup(Protocol):
    """A table that can be asked, from any thread."""

    def lookup(self, high: U64, low: U64, next_hop: U64 | None = None) -> Found:
        """Return the longest match of n addresses.

        Where a prefix has several routes it is the best one or, with `next_hop` (2, n), one that leads there.
        """


class Router(msgspec.Struct, frozen=True, eq=False):
    """A router that agents are tied to: its AS, and its table."""

    asn: int
    table: RouteLookup


def nothing_found(count: int) -> Found:
    """Return what an empty table says of `count` addresses."""
    none = np.empty(0, np.int64)
    return Found(
        row=np.full(count, -1, np.int64),
        prefix=np.empty((3, 0), np.uint64),
        next_hop=np.empty((2, 0), np.uint64),
        local_pref=none,
        origin_as=none,
        peer_as=none,
        data=np.empty(0, np.uint8),
        path_start=none,
        path_stop=none,
        communities_start=none,
        communities_stop=none,
    )
