"""Many UPDATEs at once, as columns: the fast way into a routing table.

`scan_updates` walks whole messages as they stand in the stream and takes the leading ones that are UPDATEs of unicast
routes without any fault: every length fits, every attribute has its flags and form, no attribute comes twice, nothing
that routes need is missing. It stops at the first message that is anything else, which is for `decode_update`, its
readable twin. What it takes it only points at: octets of prefixes, of attributes, of next hops.

Never here: a decision. What a fault means (RFC 7606) is said in one place, `update` with `attributes`.

Answers for: RFC 4271 sections 4.3 and 5, RFC 4760, RFC 7911 section 3, RFC 8950.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum, IntFlag
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numba import types

from tidegate.data.route_attributes import ATTRIBUTES as SET
from tidegate.data.route_attributes import AttributeRows
from tidegate.kernel import I64, U8, Int, inline, kernel, records
from tidegate.wire.bgp.attributes import ATTRIBUTES
from tidegate.wire.bgp.constants import DEFAULT_LOCAL_PREF, Family
from tidegate.wire.bgp.constants import AttributeCode as Code
from tidegate.wire.bgp.open import Negotiated
from tidegate.wire.bgp.update import Update, decode_update

__all__ = ["KERNELS", "Cut", "Scan", "UpdateRun", "scan_run", "scan_updates"]

_MOST: Final = 1024  # UPDATEs in one run


class Cut(IntEnum):
    """Columns of what one UPDATE consists of: places in the octets that were scanned."""

    START = 0  # the message
    STOP = 1
    IPV6 = 2  # 0 or 1: the family of its routes
    GONE_START = 3  # withdrawn prefixes
    GONE_STOP = 4
    HERE_START = 5  # announced prefixes
    HERE_STOP = 6
    BLOCK_START = 7  # path attributes
    BLOCK_STOP = 8
    REACH_START = 9  # among them MP_REACH_NLRI; both 0 where there is none
    REACH_STOP = 10
    HOP_START = 11  # the next hop in it
    HOP_STOP = 12
    GONE = 13  # how many prefixes
    HERE = 14


class _Option(IntFlag):
    """What was negotiated, as far as it matters here."""

    IPV4 = 1
    IPV6 = 2
    IPV4_PATHS = 4
    IPV6_PATHS = 8
    INTERNAL = 16
    IPV4_OVER_IPV6 = 32
    CONFEDERATION = 64


_START, _STOP, _IPV6 = int(Cut.START), int(Cut.STOP), int(Cut.IPV6)
_GONE_START, _GONE_STOP, _HERE_START, _HERE_STOP = (
    int(Cut.GONE_START),
    int(Cut.GONE_STOP),
    int(Cut.HERE_START),
    int(Cut.HERE_STOP),
)
_BLOCK_START, _BLOCK_STOP, _REACH_START, _REACH_STOP = (
    int(Cut.BLOCK_START),
    int(Cut.BLOCK_STOP),
    int(Cut.REACH_START),
    int(Cut.REACH_STOP),
)
_HOP_START, _HOP_STOP, _GONE, _HERE = int(Cut.HOP_START), int(Cut.HOP_STOP), int(Cut.GONE), int(Cut.HERE)
_WITH_IPV4, _WITH_IPV6 = int(_Option.IPV4), int(_Option.IPV6)
_IPV4_PATHS, _IPV6_PATHS = int(_Option.IPV4_PATHS), int(_Option.IPV6_PATHS)
_INTERNAL, _OVER_IPV6 = int(_Option.INTERNAL), int(_Option.IPV4_OVER_IPV6)
_CONFEDERATION = int(_Option.CONFEDERATION)

_HEADER, _LEAST, _TYPE = 19, 23, 2
_ORIGIN, _AS_PATH, _NEXT_HOP = int(Code.ORIGIN), int(Code.AS_PATH), int(Code.NEXT_HOP)
_LOCAL_PREF, _COMMUNITIES = int(Code.LOCAL_PREF), int(Code.COMMUNITIES)
_AGGREGATOR = int(Code.AGGREGATOR)
_MP_REACH, _MP_UNREACH = int(Code.MP_REACH), int(Code.MP_UNREACH)
_LONG, _KIND = 0x10, 0xC0
_SEQUENCE, _CONFED_SET = 2, 4
_WORST = 0xFFFF_FFFF
_MOST_HOPS = 0xFFFF
_MAPPED = np.uint64(0xFFFF << 32)  # of the low word of an IPv4 address, see data/address.py

# Of each attribute: its flags, -1 where it is not known here; whether external peers may not send it; the octets it
# has, -1 for any; and what they are a multiple of, 0 for any.
_CODES = 63
_CHECKED = (Code.AS4_PATH, Code.AS4_AGGREGATOR)  # a peer with four-octet numbers should not send these (RFC 6793)
_KNOWN = {code: row for code, row in ATTRIBUTES.items() if code not in _CHECKED}
_FLAGS = np.array([_KNOWN[Code(code)].flags if code in _KNOWN else -1 for code in range(_CODES)], np.int64)
_INTERNAL_ONLY = np.array([code in _KNOWN and _KNOWN[Code(code)].internal_only for code in range(_CODES)])
_LENGTHS = {
    Code.ORIGIN: 1,
    Code.NEXT_HOP: 4,
    Code.MED: 4,
    Code.LOCAL_PREF: 4,
    Code.ATOMIC_AGGREGATE: 0,
    Code.AGGREGATOR: 8,
    Code.ORIGINATOR_ID: 4,
    Code.ONLY_TO_CUSTOMER: 4,
}
_STEPS = {
    Code.COMMUNITIES: 4,
    Code.CLUSTER_LIST: 4,
    Code.EXTENDED_COMMUNITIES: 8,
    Code.IPV6_EXTENDED_COMMUNITIES: 20,
    Code.LARGE_COMMUNITIES: 12,
}
_EXACT = np.array([_LENGTHS.get(code, -1) for code in range(_CODES)], np.int64)  # type: ignore[call-overload]
_STEP = np.array([_STEPS.get(code, 0) for code in range(_CODES)], np.int64)  # type: ignore[call-overload]


class Scan(NamedTuple):
    """What is scanned, by what was negotiated, and what is found: a row for each UPDATE."""

    data: U8
    options: Int
    own_as: Int  # routes whose path has it are not for runs
    cuts: I64  # (k, len(Cut))
    rows: AttributeRows  # (k,) of those that announce


_named: Any = types.NamedTuple  # numba ships no types for it
_SCAN = _named(
    (types.Array(types.uint8, 1, "C", readonly=True), types.int64, types.int64, types.int64[:, ::1], records(SET)), Scan
)


@inline
def _u16(data: U8, at: Int) -> Int:
    return np.int64(data[at]) << 8 | np.int64(data[at + 1])


@inline
def _u32(data: U8, at: Int) -> Int:
    return _u16(data, at) << 16 | _u16(data, at + 2)


@inline
def _word(data: U8, at: Int) -> np.uint64:
    return np.uint64(_u32(data, at)) << np.uint64(32) | np.uint64(_u32(data, at + 4))


@inline
def _count_prefixes(data: U8, start: Int, stop: Int, most: Int, with_path_id: bool) -> Int:  # noqa: FBT001
    """Return how many prefixes fill the octets exactly, -1 where they do not."""
    at, count = start, 0
    while at < stop:
        if with_path_id:
            at += 4
        if at >= stop or data[at] > most:
            return -1
        at += 1 + ((np.int64(data[at]) + 7) >> 3)
        count += 1
    return count if at == stop else -1


@inline
def _scan_path(scan: Scan, start: Int, stop: Int, at: Int) -> Int:
    """Read an AS path of four-octet numbers into a row; return its hops (RFC 4271 9.1.2.2), -1 where it has a fault."""
    hops: Int = 0
    first = True
    scan.rows[at].peer_as = scan.rows[at].origin_as = -1
    here: Int = start
    last = _CONFED_SET if scan.options & _CONFEDERATION else _SEQUENCE
    while here < stop:
        if here + 2 > stop:
            return -1
        kind, count = np.int64(scan.data[here]), np.int64(scan.data[here + 1])
        if kind < 1 or kind > last or count == 0 or here + 2 + 4 * count > stop:
            return -1
        for place in range(count):
            asn = _u32(scan.data, here + 2 + 4 * place)
            if asn in (0, scan.own_as):
                return -1
        if first and kind == _SEQUENCE:
            scan.rows[at].peer_as = _u32(scan.data, here + 2)
        first = False
        scan.rows[at].origin_as = _u32(scan.data, here + 4 * count - 2) if kind == _SEQUENCE else -1
        hops += count if kind == _SEQUENCE else np.int64(kind == 1)
        here += 2 + 4 * count
    return hops


@inline
def _scan_reach(scan: Scan, start: Int, stop: Int, at: Int) -> bool:
    """Read MP_REACH_NLRI, `start` being that of its value; tell whether it is good."""
    if start + 5 > stop:
        return False
    afi, safi, hop = _u16(scan.data, start), np.int64(scan.data[start + 2]), np.int64(scan.data[start + 3])
    if safi != 1 or start + 5 + hop > stop:
        return False
    if afi == 2:
        if not scan.options & _WITH_IPV6 or not (hop == 16 or hop == 32):  # noqa: PLR1714 - a set would be memory
            return False
    elif (
        afi != 1
        or not scan.options & _WITH_IPV4
        or not (hop == 4 or (scan.options & _OVER_IPV6 and (hop == 16 or hop == 32)))  # noqa: PLR1714
    ):
        return False
    scan.cuts[at, _IPV6] = afi - 1
    scan.cuts[at, _HOP_START], scan.cuts[at, _HOP_STOP] = start + 4, start + 4 + hop
    scan.cuts[at, _HERE_START], scan.cuts[at, _HERE_STOP] = start + 5 + hop, stop
    return True


@inline
def _suits(code: Int, flags: Int, length: Int, options: Int) -> bool:
    """Tell whether an attribute that is known here has its flags and an allowed length, and may be sent."""
    if flags & _KIND != _FLAGS[code] or (_INTERNAL_ONLY[code] and not options & _INTERNAL):
        return False
    if _STEP[code]:
        return bool(length > 0 and length % _STEP[code] == 0)
    return bool(_EXACT[code] < 0 or length == _EXACT[code])


@inline
def _scan_value(scan: Scan, code: Int, begin: Int, start: Int, stop: Int, at: Int) -> Int:
    """Read the value of an attribute that begins at `begin`; return what it adds to the rank, -1 at a fault."""
    data, base = scan.data, scan.cuts[at, _BLOCK_START]
    if code == _ORIGIN:
        return np.int64(data[start]) if data[start] <= 2 else -1
    if code == _AS_PATH:
        hops = _scan_path(scan, start, stop, at)
        scan.rows[at].path_start, scan.rows[at].path_stop = start - base, stop - base
        return min(hops, np.int64(_MOST_HOPS)) << 2 if hops >= 0 else -1
    if code == _AGGREGATOR:
        return 0 if _u32(data, start) else -1
    if code == _NEXT_HOP:
        scan.rows[at].next_hop_low = _MAPPED | np.uint64(_u32(data, start))
    elif code == _LOCAL_PREF:
        scan.rows[at].local_pref = _u32(data, start)
    elif code == _COMMUNITIES:
        scan.rows[at].communities_start, scan.rows[at].communities_stop = start - base, stop - base
    elif code == _MP_REACH:
        scan.cuts[at, _REACH_START], scan.cuts[at, _REACH_STOP] = begin, stop
        return 0 if _scan_reach(scan, start, stop, at) else -1
    elif code == _MP_UNREACH:
        if stop < start + 3 or _u16(data, start) != 2 or data[start + 2] != 1 or not scan.options & _WITH_IPV6:
            return -1
        scan.cuts[at, _IPV6] = 1
        scan.cuts[at, _GONE_START], scan.cuts[at, _GONE_STOP] = start + 3, stop
    return 0


@inline
def _scan_block(scan: Scan, start: Int, stop: Int, at: Int) -> Int:
    """Read the attributes of one UPDATE; return a bit for each that is there, -1 at a fault."""
    data, row = scan.data, scan.rows
    row[at].local_pref = -1
    row[at].path_start = row[at].path_stop = row[at].communities_start = row[at].communities_stop = 0
    row[at].next_hop_high = row[at].next_hop_low = np.uint64(0)
    seen: Int = np.int64(0)
    rank: Int = np.int64(0)
    here: Int = start
    while here < stop:
        begin = here
        here += 4 if data[here] & _LONG else 3
        if here > stop:
            return -1
        flags, code = np.int64(data[begin]), np.int64(data[begin + 1])
        length = _u16(data, begin + 2) if flags & _LONG else np.int64(data[begin + 2])
        if here + length > stop or code >= _CODES or seen >> code & 1 or not _suits(code, flags, length, scan.options):
            return -1
        seen |= np.int64(1) << code
        more = _scan_value(scan, code, begin, here, here + length, at)
        if more < 0:
            return -1
        rank += more
        here += length
    preferred = row[at].local_pref if row[at].local_pref >= 0 else np.int64(DEFAULT_LOCAL_PREF)
    row[at].rank = np.uint64((np.int64(_WORST) - preferred) << 18 | rank)
    return seen


@inline
def _place_in_key(scan: Scan, at: Int) -> None:
    """Make places count from the start of the key (see `UpdateRun.keys`), and read the next hop of MP_REACH_NLRI."""
    if not scan.cuts[at, _REACH_START]:
        scan.rows[at].path_start += 1
        scan.rows[at].path_stop += 1
        if scan.rows[at].communities_stop:
            scan.rows[at].communities_start += 1
            scan.rows[at].communities_stop += 1
        return
    hop, width = scan.cuts[at, _HOP_START], scan.cuts[at, _HOP_STOP] - scan.cuts[at, _HOP_START]
    if width == 4:
        scan.rows[at].next_hop_low = _MAPPED | np.uint64(_u32(scan.data, hop))
    else:
        scan.rows[at].next_hop_high, scan.rows[at].next_hop_low = _word(scan.data, hop), _word(scan.data, hop + 8)
    reach = scan.cuts[at, _REACH_START] - scan.cuts[at, _BLOCK_START]
    taken = scan.cuts[at, _REACH_STOP] - scan.cuts[at, _REACH_START]
    move = 1 + width - (taken if scan.rows[at].path_start > reach else 0)
    scan.rows[at].path_start += move
    scan.rows[at].path_stop += move
    if scan.rows[at].communities_stop:
        move = 1 + width - (taken if scan.rows[at].communities_start > reach else 0)
        scan.rows[at].communities_start += move
        scan.rows[at].communities_stop += move


@inline
def _count(scan: Scan, at: Int) -> Int:
    """Count the prefixes that are withdrawn and announced; return how many, -1 at a fault."""
    cuts = scan.cuts
    most = 128 if cuts[at, _IPV6] else 32
    paths = bool(scan.options & (_IPV6_PATHS if cuts[at, _IPV6] else _IPV4_PATHS))
    cuts[at, _GONE] = _count_prefixes(scan.data, cuts[at, _GONE_START], cuts[at, _GONE_STOP], most, paths)
    cuts[at, _HERE] = _count_prefixes(scan.data, cuts[at, _HERE_START], cuts[at, _HERE_STOP], most, paths)
    return -1 if min(cuts[at, _GONE], cuts[at, _HERE]) < 0 else cuts[at, _GONE] + cuts[at, _HERE]


@inline
def _scan_update(scan: Scan, start: Int, stop: Int, at: Int) -> bool:
    """Read one UPDATE; tell whether it is one to take."""
    cuts, here = scan.cuts, start + _HEADER
    for column in range(_HERE + 1):
        cuts[at, column] = 0
    cuts[at, _START], cuts[at, _STOP] = start, stop
    gone = here + 2 + _u16(scan.data, here)
    if gone + 2 > stop:
        return False
    block = gone + 2 + _u16(scan.data, gone)
    if block > stop:
        return False
    cuts[at, _BLOCK_START], cuts[at, _BLOCK_STOP] = gone + 2, block
    seen = _scan_block(scan, gone + 2, block, at)
    classic = gone > here + 2 or block < stop
    if seen < 0 or (seen >> _MP_REACH & 1) + (seen >> _MP_UNREACH & 1) + np.int64(classic) != 1:
        return False  # a fault, nothing, or several kinds at once
    if classic:
        cuts[at, _GONE_START], cuts[at, _GONE_STOP] = here + 2, gone
        cuts[at, _HERE_START], cuts[at, _HERE_STOP] = block, stop
    if (classic and not scan.options & _WITH_IPV4) or _count(scan, at) <= 0:
        return False
    needed = 1 << _ORIGIN | 1 << _AS_PATH | (1 << _NEXT_HOP if classic else 0)
    if not cuts[at, _HERE]:
        return True
    _place_in_key(scan, at)
    return bool(seen & needed == needed)


@kernel((_SCAN, types.int64, types.int64))
def scan_updates(scan: Scan, start: Int, limit: Int) -> Int:
    """Take UPDATEs from `start` on, none longer than `limit`; return how many, at most the rows of `cuts`."""
    data = scan.data
    count: Int = 0
    while count < scan.cuts.shape[0] and start + _LEAST <= data.size:
        for step in range(16):
            if data[start + step] != 0xFF:
                return count
        length = _u16(data, start + 16)
        if data[start + 18] != _TYPE or length < _LEAST or length > limit or start + length > data.size:
            return count
        if not _scan_update(scan, start, start + length, count):
            return count
        start += length
        count += 1
    return count


KERNELS = (scan_updates,)


class UpdateRun(msgspec.Struct, frozen=True, eq=False):
    """UPDATEs of unicast routes without a fault, in the order they came: k rows of `cuts`, which point into `data`."""

    data: bytes
    cuts: I64  # (k, len(Cut))
    rows: AttributeRows  # (k,) of those that announce
    negotiated: Negotiated

    def __len__(self) -> int:
        return len(self.cuts)

    @property
    def stop(self) -> int:
        """Where the next message starts."""
        return int(self.cuts[-1, Cut.STOP])

    def updates(self) -> Iterator[Update]:
        """Yield the UPDATEs one by one, read by the twin."""
        for start, stop in self.cuts[:, [Cut.START, Cut.STOP]].tolist():
            yield decode_update(self.data[start + _HEADER : stop], self.negotiated)

    def keys(self, which: I64) -> list[bytes]:
        """Return the attributes of these UPDATEs: the length of an MP_REACH_NLRI next hop, itself, and all others."""
        data = self.data
        columns = self.cuts[which][:, [_BLOCK_START, _BLOCK_STOP, _REACH_START, _REACH_STOP, _HOP_START, _HOP_STOP]]
        found = []
        for start, stop, reach, reached, hop, hopped in columns.tolist():
            if not reach:
                found.append(b"\0" + data[start:stop])
            else:
                head = bytes((hopped - hop,)) + data[hop:hopped]
                found.append(head + data[start:reach] + data[reached:stop])
        return found


def scan_run(data: bytes, start: int, negotiated: Negotiated) -> UpdateRun | None:
    """Return the UPDATEs that stand in front, if any can be taken; nothing is taken of two-octet AS paths."""
    if not negotiated.four_octet_as:
        return None
    octets = np.frombuffer(data, np.uint8)
    most = min((len(data) - start) // _LEAST, _MOST)
    cuts = np.empty((most, len(Cut)), np.int64)
    rows = np.empty(most, SET)
    scan = Scan(octets, _options(negotiated), negotiated.own_as, cuts, rows)
    count = int(scan_updates(scan, start, negotiated.limit))
    return UpdateRun(data, cuts[:count], rows[:count], negotiated) if count else None


def _options(negotiated: Negotiated) -> int:
    """Return what was negotiated; as plain numbers, whose operators do not cost a microsecond each."""
    ipv4, ipv6 = Family.IPV4_UNICAST, Family.IPV6_UNICAST
    paths = negotiated.add_path_receive
    return (
        _WITH_IPV4 * (ipv4 in negotiated.families)
        | _WITH_IPV6 * (ipv6 in negotiated.families)
        | _IPV4_PATHS * (ipv4 in paths)
        | _IPV6_PATHS * (ipv6 in paths)
        | _INTERNAL * negotiated.internal
        | _CONFEDERATION * (negotiated.internal or negotiated.confederation)
        | _OVER_IPV6 * (ipv4 in negotiated.extended_next_hop)
    )
