"""Kernels of `tidegate.engine.sources`: accounting of sequence numbers and sample pools.

Sequence numbers are judged against the highest seen, with a window of 64 behind it for what comes late or twice. Line
cards and daemons that share a name send several series at once: up to four are followed, each number goes to the
nearest, and a number that is near none begins a new one in place of the one unused for longest, and is no loss.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from tidegate.kernel import F64, I64, U64, Flags, inline, kernel

__all__ = ["KERNELS", "SERIES", "Seen", "account", "account_pool", "note_seen"]


class Seen(IntEnum):
    """Columns of what is known of one sequence of numbers."""

    RECEIVED = 0
    LOST = 1
    OUT_OF_ORDER = 2
    DUPLICATES = 3
    RESTARTS = 4
    SERIES = 5  # how many series are followed
    FIRST = 6  # then for each series: highest number, which are missing (bit i: highest - i), RECEIVED at its last


SERIES = 4
_RECEIVED, _LOST, _LATE, _TWICE, _RESTARTS, _SERIES, _FIRST = (int(x) for x in Seen)
_WINDOW = 64
_JUMP = 1 << 16  # no more than this many are ever taken for lost at once
_HALF, _WHOLE = 1 << 31, 1 << 32
_ONE, _NONE, _ALL = np.uint64(1), np.uint64(0), np.uint64((1 << 64) - 1)


@inline
def _nearest(seen: I64, key: int, sequence: int) -> tuple[int, int]:
    """Return the series that a number goes on with, -1 for none, and how far it is ahead of its highest."""
    found, distance = -1, 0
    for series in range(seen[key, _SERIES]):
        ahead = (sequence - seen[key, _FIRST + 3 * series] + _HALF) % _WHOLE - _HALF
        if -_WINDOW < ahead <= _JUMP and (found < 0 or abs(ahead) < abs(distance)):
            found, distance = series, ahead
    return found, distance


@inline
def _unused(seen: I64, key: int) -> int:
    """Return the place for a new series: a free one, or that of the one unused for longest."""
    if seen[key, _SERIES] < SERIES:
        seen[key, _SERIES] += 1
        return int(seen[key, _SERIES]) - 1
    oldest = 0
    for series in range(1, SERIES):
        if seen[key, _FIRST + 3 * series + 2] < seen[key, _FIRST + 3 * oldest + 2]:
            oldest = series
    return oldest


@kernel("void(i8[::1], i8[::1], b1[::1], i8[:,::1])")
def account(numbers: I64, sequence: I64, wanted: Flags, seen: I64) -> None:
    """Judge a sequence number for each row; `seen` (keys, FIRST + 3 * SERIES)."""
    for at in range(numbers.size):
        key = numbers[at]
        if key < 0 or not wanted[at]:
            continue
        seen[key, _RECEIVED] += 1
        series, ahead = _nearest(seen, key, sequence[at])
        if series < 0:
            seen[key, _RESTARTS] += 1 if seen[key, _SERIES] > 0 else 0
            base = _FIRST + 3 * _unused(seen, key)
            seen[key, base], seen[key, base + 1] = sequence[at], 0
        else:
            base = _FIRST + 3 * series
            missing = np.uint64(seen[key, base + 1])
            if ahead > 0:
                seen[key, _LOST] += ahead - 1
                missing = _ALL if ahead >= _WINDOW else missing << np.uint64(ahead) | (_ONE << np.uint64(ahead)) - _ONE
                missing &= ~_ONE
                seen[key, base] = sequence[at]
            elif missing >> np.uint64(-ahead) & _ONE != _NONE:
                seen[key, _LATE] += 1
                seen[key, _LOST] -= 1
                missing &= ~(_ONE << np.uint64(-ahead))
            else:
                seen[key, _TWICE] += 1
            seen[key, base + 1] = np.int64(missing)
        seen[key, base + 2] = seen[key, _RECEIVED]


@kernel("void(i8[::1], i8[::1], i8[::1], f8[::1], b1[::1], i8[:,::1])")
def account_pool(numbers: I64, pool: I64, drops: I64, rates: F64, wanted: Flags, state: I64) -> None:
    """Follow sample_pool; `state` (keys, 5): last pool, packets since the first, samples since it, drops, rate.

    An advance of more than 1024 times the rate is a restart or another series, and is left out.
    """
    for at in range(numbers.size):
        key = numbers[at]
        if key < 0 or not wanted[at]:
            continue
        if state[key, 4] > 0:
            advance = (pool[at] - state[key, 0]) % _WHOLE
            if 0 < advance <= 1024 * rates[at]:
                state[key, 1] += advance
                state[key, 2] += 1
        state[key, 0], state[key, 3], state[key, 4] = pool[at], drops[at], np.int64(rates[at])


_TIMES, _WORDS = "Array(i8,1,'C',readonly=True)", "Array(u8,1,'C',readonly=True)"


@kernel(f"void(i8[::1], {_TIMES}, i8[::1], {_WORDS}, {_WORDS}, i8[:,::1], u8[:,::1])")
def note_seen(numbers: I64, times: I64, uptimes: I64, high: U64, low: U64, seen: I64, sources: U64) -> None:
    """Note when agents were heard, and the address that their last datagram came from.

    `seen` (keys, 3): first time (0: never), last time, uptime. `sources` (keys, 2): the last address.
    """
    for at in range(numbers.size):
        key = numbers[at]
        if key >= 0:
            if seen[key, 0] == 0:
                seen[key, 0] = times[at]
            seen[key, 1], seen[key, 2] = times[at], uptimes[at]
            sources[key, 0], sources[key, 1] = high[at], low[at]


KERNELS = (account, account_pool, note_seen)
