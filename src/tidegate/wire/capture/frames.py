"""From the octets of a capture file to the frames in them: two kernels that walk records.

Each walks a window of the file until it ends, a table is full, or the records stop making sense, and says where it
stands; `io/pcap.py` keeps the windows. Nothing here trusts a length: a record that claims more than `MOST_OCTETS` or a
block with two different lengths ends the walk as damaged.

Answers for: draft-ietf-opsawg-pcap section 5 (records), draft-ietf-opsawg-pcapng section 4 (EPB, SPB, and the obsolete
packet block of appendix A).
"""

from __future__ import annotations

import numpy as np

from tidegate.kernel import I64, U8, inline, kernel

__all__ = ["DAMAGED", "FULL", "KERNELS", "MOST_BLOCK", "MOST_OCTETS", "NEED_MORE", "OTHER", "walk_pcap", "walk_pcapng"]

NEED_MORE, FULL, DAMAGED, OTHER = range(4)  # OTHER: a block that the caller reads
MOST_OCTETS = 262_144  # libpcap's MAXIMUM_SNAPLEN
MOST_BLOCK = 16 << 20  # of a pcapng block, as libpcap has it
_LAST_SECOND = 0xFFFF_FFFF  # times beyond 2106 are taken for damage and held there, so that nanoseconds fit 63 bits


@inline
def _u32(data: U8, at: int, little: bool) -> int:  # noqa: FBT001 - numba calls by position
    value = np.int64(0)
    for k in range(4):
        value = (value << 8) | np.int64(data[at + 3 - k] if little else data[at + k])
    return value  # type: ignore[return-value]  # numba's word, numpy's type


@kernel("void(uint8[::1], boolean, int64[::1], int64[:,::1], int64[::1])")
def walk_pcap(data: U8, little: bool, form: I64, frames: I64, state: I64) -> None:  # noqa: FBT001 - numba calls by position
    """Fill `frames` (rows: offset, octets, time in nanoseconds, link type) from `state[0]` on.

    `form` is the octets of a record header, the nanoseconds of a fraction and the link type. `state` comes back as the
    position, the frames found and why the walk ended.
    """
    at, count, verdict = state[0], 0, NEED_MORE
    header = form[0]
    while at + header <= data.size:
        octets = _u32(data, at + 8, little)
        if octets > MOST_OCTETS:
            verdict = DAMAGED
            break
        if at + header + octets > data.size:
            break
        if count == frames.shape[1]:
            verdict = FULL
            break
        frames[0, count] = at + header
        frames[1, count] = octets
        frames[2, count] = _u32(data, at, little) * 1_000_000_000 + _u32(data, at + 4, little) * form[1]
        frames[3, count] = form[2]
        count += 1
        at += header + octets
    state[0], state[1], state[2] = at, count, verdict


@inline
def _nanoseconds(high: int, low: int, units: int, offset: int) -> int:
    """Return a time stamp of `units` a second (0: 2^63 of them) plus `offset` seconds."""
    ticks = (np.uint64(high) << np.uint64(32)) | np.uint64(low)
    per_second = np.uint64(units) if units > 0 else np.uint64(1) << np.uint64(63)
    seconds = np.int64(ticks // per_second)  # below 0 where it does not fit, and that is before 2106 too
    rest = ticks % per_second
    if per_second <= np.uint64(1_000_000_000):
        fraction = np.int64(rest * np.uint64(1_000_000_000) // per_second)
    else:  # 53 bits are enough to name a nanosecond of a second
        fraction = np.int64(np.float64(rest) * (1e9 / np.float64(per_second)) + 1e-6)
    if seconds < 0 or seconds > _LAST_SECOND:
        seconds = np.int64(_LAST_SECOND)
    return min(max(seconds + offset, 0), _LAST_SECOND) * 1_000_000_000 + fraction  # type: ignore[return-value,operator]  # numba's int


@inline
def _read_packet(  # noqa: PLR0913, PLR0917 - part of a kernel
    data: U8,
    at: int,
    little: bool,  # noqa: FBT001 - numba calls by position
    interfaces: I64,
    frames: I64,
    count: int,
    state: I64,
) -> bool:
    """Fill column `count` of `frames` from the packet block at `at`; tell whether it makes sense."""
    kind = _u32(data, at, little)
    end = at + _u32(data, at + 4, little) - 4
    interface = 0
    if kind == 3:  # simple packet block: as much as the block and the first interface allow
        start = at + 12
        if start > end:
            return False
        octets = min(_u32(data, at + 8, little), end - start)
        if interfaces.shape[0] > 0 and interfaces[0, 3] > 0:
            octets = min(octets, interfaces[0, 3])
    else:
        start = at + 28
        if start > end:
            return False
        octets = _u32(data, at + 20, little)
        interface = _u32(data, at + 8, little)
        if kind == 2:  # 16 bits of interface, 16 of drops
            interface = interface & 0xFFFF if little else interface >> 16
    known = interface < interfaces.shape[0]
    if known and kind != 3:
        high, low = _u32(data, at + 12, little), _u32(data, at + 16, little)
        state[3] = _nanoseconds(high, low, interfaces[interface, 1], interfaces[interface, 2])
    frames[0, count] = start
    frames[1, count] = octets
    frames[2, count] = state[3]
    frames[3, count] = interfaces[interface, 0] if known else -1
    return octets <= end - start


@kernel("void(uint8[::1], boolean, int64[:,::1], int64[:,::1], int64[::1])")
def walk_pcapng(data: U8, little: bool, interfaces: I64, frames: I64, state: I64) -> None:  # noqa: FBT001 - numba calls by position
    """Fill `frames` from `state[0]` on, as `walk_pcap` does, up to a block that the caller must read.

    `interfaces` has rows of link type, units a second, offset in seconds and snap length. `state[3]` is the last time
    seen, which simple packet blocks take, as they have none. Blocks of other kinds are passed over.
    """
    at, count, verdict = state[0], 0, NEED_MORE
    while at + 12 <= data.size:
        kind = _u32(data, at, little)
        if kind in (0x0A0D0D0A, 1):  # section header, interface description
            verdict = OTHER
            break
        total = _u32(data, at + 4, little)
        if total < 12 or total % 4 != 0 or total > MOST_BLOCK:
            verdict = DAMAGED
            break
        if at + total > data.size:
            break
        if _u32(data, at + total - 4, little) != total:
            verdict = DAMAGED
            break
        if count == frames.shape[1]:
            verdict = FULL
            break
        if kind in (2, 3, 6):
            if not _read_packet(data, at, little, interfaces, frames, count, state):
                verdict = DAMAGED
                break
            count += 1
        at += total
    state[0], state[1], state[2] = at, count, verdict


KERNELS = (walk_pcap, walk_pcapng)
