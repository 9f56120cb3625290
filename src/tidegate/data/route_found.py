"""From routing tables to what lookups return: only routes that were found are copied, each once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tidegate.data.rib import Found, nothing_found
from tidegate.data.route_table import RouteTable
from tidegate.kernel import I64, U8, U64, Int, kernel

__all__ = ["KERNELS", "found_routes", "spell_paths"]


@kernel("i8(Array(u1,1,'C',readonly=True), i8[::1], i8[::1], u1[::1], i8[::1], i8[::1])")
def spell_paths(data: U8, start: I64, stop: I64, out: U8, out_start: I64, out_stop: I64) -> Int:
    """Write k AS paths as the sFlow gateway record spells them; return the octets they take.

    They stand in `data` as BGP spells them: type, count, four octets an AS. sFlow takes four octets for type and count.
    Nothing is written where `out` has no octets.
    """
    size: Int = 0
    for row in range(start.size):
        out_start[row] = size
        at = start[row]
        while at < stop[row]:
            octets = 4 * np.int64(data[at + 1])
            if out.size:
                for step in range(8):
                    out[size + step] = 0
                out[size + 3], out[size + 7] = data[at], data[at + 1]
                for step in range(octets):
                    out[size + 8 + step] = data[at + 2 + step]
            size += 8 + octets
            at += 2 + octets
        out_stop[row] = size
    return size


KERNELS = (spell_paths,)
_ROW, _SET = np.int64(32), np.int64(0xFFFF_FFFF)


def found_routes(tables: Sequence[RouteTable], high: U64, low: U64, next_hop: U64 | None) -> Found:
    """Return the longest match of n addresses among all tables, see `RouteLookup`; of equals that of the first."""
    high, low = np.ascontiguousarray(high, np.uint64), np.ascontiguousarray(low, np.uint64)
    row, length = np.full((2, len(high)), -1, np.int64)
    parts: list[Found] = []
    for table in tables:
        if len(table):
            with table.reading():
                part = _found(table, high, low, next_hop)
            here = np.flatnonzero(part.row >= 0)
            own = part.prefix[2, part.row[here]].astype(np.int64)
            here, own = here[own > length[here]], own[own > length[here]]
            row[here] = part.row[here] + sum(one.prefix.shape[1] for one in parts)
            length[here] = own
            parts.append(part)
    return _joined(row, parts) if parts else nothing_found(len(high))


def _found(table: RouteTable, high: U64, low: U64, next_hop: U64 | None) -> Found:
    prefixes = np.full(len(high), -1, np.int64)
    table.match(high, low, prefixes)
    chosen = table.chosen(prefixes, next_hop)
    here = np.flatnonzero(prefixes >= 0)
    routes, numbers = np.unique(prefixes[here] << _ROW | chosen[here], return_inverse=True)
    row = np.full(len(high), -1, np.int64)
    row[here] = numbers
    sets = table.sets.rows[routes & _SET]
    octets = [table.sets.octets[number] or b"" for number in (routes & _SET).tolist()]
    data = np.frombuffer(b"".join(octets), np.uint8)
    base = np.cumsum([0, *map(len, octets)], dtype=np.int64)[:-1]
    paths, path_start, path_stop = _paths(data, base + sets["path_start"], base + sets["path_stop"])
    return Found(
        row=row,
        prefix=np.array(table.prefix_columns(routes >> _ROW), np.uint64).reshape(3, -1),
        next_hop=np.array((sets["next_hop_high"], sets["next_hop_low"])).reshape(2, -1),
        local_pref=sets["local_pref"].copy(),
        origin_as=sets["origin_as"].copy(),
        peer_as=sets["peer_as"].copy(),
        data=np.concatenate((paths, data)),
        path_start=path_start,
        path_stop=path_stop,
        communities_start=base + sets["communities_start"] + len(paths),
        communities_stop=base + sets["communities_stop"] + len(paths),
    )


def _paths(data: U8, start: I64, stop: I64) -> tuple[U8, I64, I64]:
    places = np.empty(len(start), np.int64), np.empty(len(start), np.int64)
    size = int(spell_paths(data, start, stop, np.empty(0, np.uint8), *places))
    out = np.empty(size, np.uint8)
    spell_paths(data, start, stop, out, *places)
    return out, *places


def _joined(row: I64, parts: list[Found]) -> Found:
    """Return what several tables say; `row` numbers their routes one after the other."""
    base = np.cumsum([0, *(len(one.data) for one in parts)]).tolist()

    def places(name: str) -> I64:
        return np.concatenate([getattr(one, name) + start for one, start in zip(parts, base, strict=False)])

    def column(name: str) -> Any:  # noqa: ANN401 - arrays of every type
        return np.concatenate([getattr(one, name) for one in parts], axis=-1)

    return Found(
        row=row,
        prefix=column("prefix"),
        next_hop=column("next_hop"),
        local_pref=column("local_pref"),
        origin_as=column("origin_as"),
        peer_as=column("peer_as"),
        data=column("data"),
        path_start=places("path_start"),
        path_stop=places("path_stop"),
        communities_start=places("communities_start"),
        communities_stop=places("communities_stop"),
    )
