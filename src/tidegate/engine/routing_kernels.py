"""Kernels of `tidegate.engine.routing`: the address to look up, and columns of samples made of columns of routes."""

from __future__ import annotations

import numpy as np

from tidegate.data.hash import hash_octets
from tidegate.data.names import Layer
from tidegate.kernel import I64, U8, U64, Flags, inline, kernel
from tidegate.octets import be32

__all__ = ["KERNELS", "hash_texts", "outer_addresses", "path_ends", "spread_routes"]

_IP, _IP6 = int(Layer.IP), int(Layer.IP6)

_FLAGS = "Array(b1,1,'C',readonly=True)"
_NUMBERS = "Array(i8,1,'C',readonly=True)"
_WORDS = "Array(u8,2,'C',readonly=True)"
_OCTETS = "Array(u1,1,'C',readonly=True)"


@inline
def _outer_ip(stack: np.uint64) -> int:
    """Return the layer of the outermost IP header, 0 where there is none; a stack is packed as in data/forms.py."""
    word = np.int64(stack)
    while word > 0:
        layer = word & 31
        if layer in (_IP, _IP6):
            return int(layer)
        word >>= 5
    return 0


@kernel(f"void({_WORDS}, {_FLAGS}, {_WORDS}, {_FLAGS}, Array(u8,1,'C',readonly=True), u8[:,::1], b1[::1])")
def outer_addresses(ip: U64, has_ip: Flags, ip6: U64, has_ip6: Flags, stack: U64, words: U64, known: Flags) -> None:
    """Write the address of the outermost IP header of each row (2, n), and whether there is one.

    The stack is looked at where both headers are there; where it tells of neither, both come from records, and IPv4 is
    taken.
    """
    for row in range(known.size):
        known[row] = has_ip[row] or has_ip6[row]
        second = has_ip6[row] and (not has_ip[row] or _outer_ip(stack[row]) == _IP6)
        for part in range(2):
            words[part, row] = ip6[part, row] if second else ip[part, row]


@kernel(f"void({_OCTETS}, {_NUMBERS}, {_NUMBERS}, u8, u8[::1])")
def hash_texts(data: U8, start: I64, stop: I64, seed: np.uint64, words: U64) -> None:
    """Write the word of the octets of each route."""
    for route in range(words.size):
        words[route] = hash_octets(data, start[route], stop[route], seed)


@kernel(f"void({_OCTETS}, {_NUMBERS}, {_NUMBERS}, i8[::1], i8[::1])")
def path_ends(data: U8, start: I64, stop: I64, first: I64, last: I64) -> None:
    """Write the first and the last AS of each path, -1 where it has none: as those of gateway records are read."""
    for route in range(first.size):
        first[route] = last[route] = -1
        at, end = start[route], stop[route]
        while at + 8 <= end:
            count = be32(data, at + 4)
            at += 8
            if at + 4 * count > end:
                break
            if count:
                first[route] = be32(data, at) if first[route] < 0 else first[route]
                last[route] = be32(data, at + 4 * (count - 1))
            at += 4 * count


@kernel(f"void({_WORDS}, {_FLAGS}, {_NUMBERS}, {_NUMBERS}, u8[:,::1], b1[::1])")
def spread_routes(told: U64, has: Flags, route: I64, rows: I64, words: U64, present: Flags) -> None:
    """Write what routes have into the rows of a batch that they were found for; -1 is no route."""
    for at in range(rows.size):
        if route[at] < 0 or not has[route[at]]:
            continue
        for part in range(told.shape[0]):
            words[part, rows[at]] = told[part, route[at]]
        present[rows[at]] = True


KERNELS = (outer_addresses, hash_texts, path_ends, spread_routes)
