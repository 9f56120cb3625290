"""From a window of an MRT file to the routes of some peers in it: a kernel that walks RIB records.

A collector's table has a hundred routes for each prefix, of which one is wanted: the others are passed over at some
nanoseconds each. The kernel reads what `mrt.decode` reads as `RibRecord`, and stops at any other record.

Answers for: RFC 6396 sections 2, 4.3.2 and 4.3.4, RFC 8050 section 4.
"""

from __future__ import annotations

from tidegate.kernel import I64, U8, inline, kernel
from tidegate.octets import be8, be16, be32
from tidegate.wire.bgp.mrt import HEADER_OCTETS, RECORD_OCTETS, RIB_SUBTYPES, MrtType
from tidegate.wire.bgp.mrt_routes import Batch, Form

__all__ = ["FULL", "KERNELS", "NEED_MORE", "OTHER", "PEERS", "ROW_COLUMNS", "add_rows", "walk_rib"]

NEED_MORE, FULL, OTHER = range(3)  # OTHER: a record that the caller reads
PEERS = 1 << 16  # in one index, at most
ROW_COLUMNS = 6
_TABLE_DUMP_V2 = int(MrtType.TABLE_DUMP_V2)
_MOST_OCTETS = RECORD_OCTETS


@inline
def _scan(data: U8, at: int, end: int, extra: int, wanted: U8) -> int:
    """Return how many entries are wanted, -1 where they do not fit; a path identifier has `extra` octets."""
    if at + 2 > end:
        return -1
    found = 0
    entries = be16(data, at)
    at += 2
    for _ in range(entries):
        if at + 8 + extra > end:
            return -1
        found += 1 if wanted[be16(data, at)] else 0
        at += 8 + extra + be16(data, at + 6 + extra)
        if at > end:
            return -1
    return found


@kernel("void(uint8[::1], uint8[:,::1], int64[:,::1], int64[:,::1], int64[::1])")
def walk_rib(data: U8, wanted: U8, counts: I64, rows: I64, state: I64) -> None:
    """Fill `rows` (see `add_rows`) from `state[0]` on, for entries whose peer has `wanted[family, peer]`.

    All entries are counted in `counts[family, peer]`; family 0 is IPv4, 1 is IPv6. `rows` has room for 65536 at least.
    `state` comes back as the position, the rows found, why the walk ended, and how many records were good and bad, the
    last two added to what was there.
    """
    at, count, verdict = state[0], 0, NEED_MORE
    while at + HEADER_OCTETS <= data.size:
        subtype, octets = be16(data, at + 6), be32(data, at + 8)
        family = 0 if subtype == 2 or subtype == 8 else 1  # noqa: PLR1714 - numba would make a set of it
        extra = 4 if subtype >= 8 else 0
        known = subtype == 2 or subtype == 4 or subtype == 8 or subtype == 10  # noqa: PLR1714
        if be16(data, at + 4) != _TABLE_DUMP_V2 or not known or octets > _MOST_OCTETS:
            verdict = OTHER
            break
        end = at + HEADER_OCTETS + octets
        if end > data.size:
            break
        prefix = at + HEADER_OCTETS + 4
        bits = be8(data, prefix) if octets >= 5 else 255
        place = prefix + 1 + (bits + 7) // 8
        found = -1 if bits > (128 if family else 32) else _scan(data, place, end, extra, wanted[family])
        if found < 0:
            state[4] += 1
            at = end
            continue
        if count + found > rows.shape[0]:
            verdict = FULL
            break
        entries = be16(data, place)
        entry = place + 2
        for _ in range(entries):
            peer, size = be16(data, entry), be16(data, entry + 6 + extra)
            counts[family, peer] += 1
            if wanted[family, peer]:
                rows[count, 0] = subtype
                rows[count, 1] = be32(data, entry + 6) if extra else 0
                rows[count, 2] = prefix
                rows[count, 3] = place
                rows[count, 4] = entry + 8 + extra
                rows[count, 5] = entry + 8 + extra + size
                count += 1
            entry += 8 + extra + size
        state[3] += 1
        at = end
    state[0], state[1], state[2] = at, count, verdict


def add_rows(data: bytes, rows: I64, batch: Batch) -> None:
    """Put the routes of n rows into a batch.

    A row is the record's subtype, the path identifier, where the NLRI begins and ends, and where the attributes do.
    """
    forms = {subtype: Form(family, with_path_id=extra) for subtype, (family, extra) in RIB_SUBTYPES.items()}
    add = batch.add
    for subtype, path_id, nlri, nlri_end, start, end in rows.tolist():
        add(forms[subtype], data[start:end], data[nlri:nlri_end], path_id)


KERNELS = (walk_rib,)
