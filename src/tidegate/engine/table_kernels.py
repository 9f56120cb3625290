"""Kernels of `tidegate.engine.table`: add what samples bring to the slots of their keys, see which limits they cross.

Values decay exponentially with the definition's `t`. Instead of decaying every slot as time goes by, samples are
weighed up: what comes at x counts exp((x - landmark) / t), and a reading divides by the same at its own time (forward
decay, Cormode, Shkapenyuk, Srivastava and Xu, 2009). A sample costs one multiplication, and one exponential a datagram.

A kernel stops at a row where the caller has something to do first: the table is full, or a limit was crossed and the
further values of that very moment are wanted. It returns that row; the caller goes on from there. So results do not
depend on where one batch ends and the next begins.
"""

from __future__ import annotations

import numpy as np

from tidegate.data.hash import mix
from tidegate.engine.key_kernels import AHEAD
from tidegate.kernel import F64, I64, U8, U64, Flags, inline, kernel

__all__ = [
    "FEW",
    "KERNELS",
    "LIFE",
    "REGISTERS",
    "add_amounts",
    "add_distinct",
    "add_extremes",
    "add_means",
    "add_rates",
    "log_flows",
]

LIFE = 10.0  # a flow without samples for this many times its t is gone
REGISTERS = 256
FEW = 32  # as many words take the room of the registers

_ZERO = np.uint64(0)
_POWERS = np.array([2.0**-rank for rank in range(64)])


@inline
def _crossings(
    at: int,
    slot: int,
    source: int,
    time: float,
    reading: float,
    rest: float,
    turn: float,
    until: float,
    decay: float,
    limits: F64,
    allowed: Flags,
    above: F64,
    above_source: F64,
    events: F64,
    count: int,
) -> int:
    """Apply every threshold to one reading; return how many events there are now.

    `limits` (thresholds, 4): value, timeout, by flow, latest moment in `above`, which saves a look at it. `above`
    (capacity, thresholds) and `above_source` (thresholds, sources) hold until when the reading stays over the value if
    nothing more comes. That is `until`, or before that the moment at which a reading that decays with `decay` (0: it
    does not) falls to the value, or `turn` where what will be left of the reading then, `rest`, is not over the value.
    All of them are 0 where the value was never crossed.
    """
    for threshold in range(limits.shape[0]):
        value, timeout, by_flow = limits[threshold, 0], limits[threshold, 1], limits[threshold, 2] != 0.0
        if reading <= value:
            if by_flow and time < limits[threshold, 3]:
                above[slot, threshold] = min(above[slot, threshold], time)
            continue
        if not allowed[threshold, source]:
            continue
        before = above[slot, threshold] if by_flow else above_source[threshold, source]
        if before == 0.0 or time >= before + timeout:
            events[count, 0], events[count, 1], events[count, 2] = at, threshold, reading
            count += 1
        falls = until if rest > value else min(turn, until)
        if decay > 0.0 and value > 0.0:
            falls = min(falls, time + decay * np.log(reading / value))
        if by_flow:
            above[slot, threshold] = falls
            limits[threshold, 3] = max(limits[threshold, 3], falls)
        else:
            above_source[threshold, source] = max(before, falls)
    return count


_ROWS = "i8[::1], i8, i8, f8[::1]"  # slots, from which row to which, times
_LIMITS = "f8[:,::1], b1[:,::1], f8[:,::1], f8[:,::1], f8[:,::1]"


@kernel(f"UniTuple(i8,2)({_ROWS}, f8[::1], i8[::1], f8, f8, b1, f8[:,::1], {_LIMITS})")
def add_rates(
    slots: I64,
    row: int,
    stop: int,
    times: F64,
    amounts: F64,
    sources: I64,
    t: float,
    landmark: float,
    alone: bool,  # noqa: FBT001 - numba knows no keyword-only arguments
    sums: F64,
    limits: F64,
    allowed: Flags,
    above: F64,
    above_source: F64,
    events: F64,
) -> tuple[int, int]:
    """Add amounts to their slots and check limits after each; return the row to go on from and how many events.

    `sums` (capacity, 4): amounts, their squares, samples, each weighed up; time of the last sample. `events` (rows *
    thresholds, 5): row, threshold, reading, samples it rests on, half of its 95 % interval. With `alone` a row that
    crosses a limit is the last one.
    """
    count = 0
    last = np.nan
    weight = 1.0
    life = LIFE * t
    oldest = np.inf  # of the slots of the next rows: looking at many first waits for memory once, as `find_slots` does
    for at in range(row, stop):
        if (at - row) % AHEAD == 0:
            oldest = np.inf
            for next_row in range(at, min(at + AHEAD, stop)):
                oldest = min(oldest, sums[slots[next_row], 3])
        if times[at] != last:
            last = times[at]
            weight = np.exp((last - landmark) / t)
        slot = slots[at]
        if last >= oldest + life and last >= sums[slot, 3] + life:
            sums[slot, 0] = sums[slot, 1] = sums[slot, 2] = 0.0
        weighed = amounts[at] * weight
        sums[slot, 0] += weighed
        sums[slot, 1] += weighed * weighed
        sums[slot, 2] += weight
        sums[slot, 3] = last
        if limits.shape[0]:
            before = count
            count = _crossings(
                at, slot, sources[at], last, sums[slot, 0] / (weight * t), np.inf, np.inf, last + life, t,
                limits, allowed, above, above_source, events, count,
            )  # fmt: skip
            for event in range(before, count):
                events[event, 3] = sums[slot, 2] / weight
                events[event, 4] = 1.96 * np.sqrt(sums[slot, 1]) / (weight * t)
            if alone and count:
                return at + 1, count
    return stop, count


@kernel(f"void({_ROWS}, f8[::1], b1[::1], f8, f8, f8[:,::1])")
def add_amounts(
    slots: I64,
    row: int,
    stop: int,
    times: F64,
    amounts: F64,
    present: Flags,
    t: float,
    landmark: float,
    sums: F64,
) -> None:
    """Add amounts of a further rate; `sums` (capacity, 2): amounts, time of the last sample that had one."""
    last = np.nan
    weight = 1.0
    for at in range(row, stop):
        if not present[at]:
            continue
        if times[at] != last:
            last = times[at]
            weight = np.exp((last - landmark) / t)
        slot = slots[at]
        if last >= sums[slot, 1] + LIFE * t:
            sums[slot, 0] = 0.0
        sums[slot, 0] += amounts[at] * weight
        sums[slot, 1] = last


@kernel(f"UniTuple(i8,2)({_ROWS}, f8[::1], f8[::1], b1[::1], i8[::1], f8, f8, f8[:,::1], {_LIMITS})")
def add_means(
    slots: I64,
    row: int,
    stop: int,
    times: F64,
    numbers: F64,
    rates: F64,
    present: Flags,
    sources: I64,
    t: float,
    landmark: float,
    sums: F64,
    limits: F64,
    allowed: Flags,
    above: F64,
    above_source: F64,
    events: F64,
) -> tuple[int, int]:
    """Add numbers to means weighted by sampling rate; `sums` (capacity, 3): numbers, rates, time of the last.

    Returns as `add_rates` does with `alone`, and so do the kernels below.
    """
    for at in range(row, stop):
        if not present[at]:
            continue
        slot, time = slots[at], times[at]
        weight = np.exp((time - landmark) / t) * rates[at]
        if time >= sums[slot, 2] + LIFE * t:
            sums[slot, 0] = sums[slot, 1] = 0.0
        sums[slot, 0] += weight * numbers[at]
        sums[slot, 1] += weight
        sums[slot, 2] = time
        count = _crossings(
            at, slot, sources[at], time, sums[slot, 0] / sums[slot, 1], np.inf, np.inf, time + LIFE * t, 0.0,
            limits, allowed, above, above_source, events, 0,
        )  # fmt: skip
        if count:
            return at + 1, count
    return stop, 0


@inline
def _period(time: float, t: float) -> float:
    return np.floor(time / t)  # type: ignore[no-any-return] # numba types it


@kernel(f"UniTuple(i8,2)({_ROWS}, f8[::1], b1[::1], i8[::1], f8, f8, f8[:,::1], {_LIMITS})")
def add_extremes(
    slots: I64,
    row: int,
    stop: int,
    times: F64,
    numbers: F64,
    present: Flags,
    sources: I64,
    t: float,
    sign: float,
    state: F64,
    limits: F64,
    allowed: Flags,
    above: F64,
    above_source: F64,
    events: F64,
) -> tuple[int, int]:
    """Keep the largest `sign * number` of this period of t seconds and of the one before.

    `state` (capacity, 3): number of the period, its extreme, the extreme of the period before; -inf for none.
    """
    for at in range(row, stop):
        if not present[at]:
            continue
        slot, time = slots[at], times[at]
        period = _period(time, t)
        if period != state[slot, 0]:
            state[slot, 2] = state[slot, 1] if period == state[slot, 0] + 1 else -np.inf
            state[slot, 1] = -np.inf
            state[slot, 0] = period
        state[slot, 1] = max(state[slot, 1], sign * numbers[at])
        count = _crossings(
            at, slot, sources[at], time, sign * max(state[slot, 1], state[slot, 2]), sign * state[slot, 1],
            (period + 1) * t, (period + 2) * t, 0.0, limits, allowed, above, above_source, events, 0,
        )  # fmt: skip
        if count:
            return at + 1, count
    return stop, 0


@inline
def _note_word(registers: U8, word: np.uint64, seed: np.uint64) -> bool:
    """Note a word in registers; tell whether that changed them."""
    word = mix(word ^ seed)
    register = np.int64(word & np.uint64(REGISTERS - 1))
    rank = np.uint8(1)
    rest = word >> np.uint64(8)
    while rest & np.uint64(1) == _ZERO and rank < 57:
        rest >>= np.uint64(1)
        rank += np.uint8(1)
    if rank <= registers[register]:
        return False
    registers[register] = rank
    return True


@inline
def _estimate(registers: U8) -> float:
    """Estimate how many different words were noted (Flajolet et al., HyperLogLog, 2007).

    With 256 registers the standard error is 1.04 / sqrt(256) = 6.5 %; small numbers are counted linearly, which is
    better.
    """
    total = 0.0
    empty = 0
    for register in range(REGISTERS):
        total += _POWERS[registers[register]]
        empty += 1 if registers[register] == 0 else 0
    estimate = 0.7182725932495458 * REGISTERS * REGISTERS / total  # 0.7213 / (1 + 1.079 / 256)
    if estimate <= 2.5 * REGISTERS and empty > 0:
        return REGISTERS * np.log(REGISTERS / empty)  # type: ignore[no-any-return] # numba types it
    return estimate


@inline
def _holds(words: U64, count: int, word: np.uint64) -> bool:
    for place in range(count):  # noqa: SIM110 - numba knows no any()
        if words[place] == word:
            return True
    return False


@inline
def _clear(scratch: U8) -> None:
    for register in range(REGISTERS):
        scratch[register] = 0


@inline
def _merge(scratch: U8, words: U64, registers: U8, count: int, seed: np.uint64) -> None:
    """Note in `scratch` what one period holds."""
    for place in range(count):
        _note_word(scratch, words[place], seed)
    if count < 0:
        for register in range(REGISTERS):
            scratch[register] = max(scratch[register], registers[register])


@inline
def _distinct(
    words: U64, registers: U8, now: int, before: int, count: int, older: int, seed: np.uint64, scratch: U8
) -> float:
    """Return how many different words two periods of one slot hold together; `count` and `older` as in `state`."""
    if count >= 0 and older >= 0:
        total = count
        for place in range(older):
            total += 0 if _holds(words[now], count, words[before, place]) else 1
        return float(total)
    _clear(scratch)
    _merge(scratch, words[now], registers[now], count, seed)
    _merge(scratch, words[before], registers[before], older, seed)
    return _estimate(scratch)


@inline
def _note_distinct(words: U64, registers: U8, count: int, word: np.uint64, seed: np.uint64, scratch: U8) -> int:
    """Note a word in a period; return the new count of its list, -1 for registers, or -2 where nothing changed."""
    if count < 0:
        return -1 if _note_word(registers, word, seed) else -2
    if _holds(words, count, word):
        return -2
    if count < FEW:
        words[count] = word
        return count + 1
    _clear(scratch)
    _merge(scratch, words, registers, count, seed)
    _note_word(scratch, word, seed)
    for register in range(REGISTERS):
        registers[register] = scratch[register]
    return -1


@kernel(
    f"UniTuple(i8,2)({_ROWS}, u8[::1], b1[::1], i8[::1], f8, u8, f8[:,::1], u8[:,:,::1], u1[:,:,::1], u1[::1], "
    f"{_LIMITS})"
)
def add_distinct(
    slots: I64,
    row: int,
    stop: int,
    times: F64,
    items: U64,
    present: Flags,
    sources: I64,
    t: float,
    seed: np.uint64,
    state: F64,
    words: U64,
    registers: U8,
    scratch: U8,
    limits: F64,
    allowed: Flags,
    above: F64,
    above_source: F64,
    events: F64,
) -> tuple[int, int]:
    """Count different items of this period of t seconds and of the one before: exactly while they are few.

    A period of a slot holds a list of up to FEW words, or registers, in the same memory: `words` (capacity, 2, FEW) and
    `registers` (capacity, 2, REGISTERS), for even and for odd periods. `state` (capacity, 5): number of the period, the
    count of both periods, that of this one alone, lengths of the two lists (-1: registers). `scratch` (REGISTERS).
    """
    for at in range(row, stop):
        if not present[at]:
            continue
        slot, time = slots[at], times[at]
        period = _period(time, t)
        now = int(np.int64(period) & 1)
        fresh = period != state[slot, 0]
        if fresh:
            state[slot, 3 + now] = 0.0
            if period != state[slot, 0] + 1:
                state[slot, 4 - now] = 0.0
            state[slot, 0] = period
        length = int(state[slot, 3 + now])
        count = _note_distinct(words[slot, now], registers[slot, now], length, items[at], seed, scratch)
        if count != -2:
            state[slot, 3 + now] = count
            older = int(state[slot, 4 - now])
            state[slot, 1] = _distinct(words[slot], registers[slot], now, 1 - now, count, older, seed, scratch)
            state[slot, 2] = state[slot, 1]
            if older:
                state[slot, 2] = _distinct(words[slot], registers[slot], now, 1 - now, count, 0, seed, scratch)
        crossed = _crossings(
            at, slot, sources[at], time, state[slot, 1], state[slot, 2], (period + 1) * t, (period + 2) * t, 0.0,
            limits, allowed, above, above_source, events, 0,
        )  # fmt: skip
        if crossed:
            return at + 1, crossed
    return stop, 0


@inline
def _record(records: F64, count: int, slot: int, start: float, end: float, total: float, row: int) -> int:
    records[count, 0], records[count, 1], records[count, 2], records[count, 3] = slot, start, end, total
    records[count, 4] = row
    return count + 1


@kernel("i8(i8[::1], i8, i8, f8[::1], f8[::1], f8, f8, b1, f8[:,::1], f8[:,::1])")
def log_flows(
    slots: I64,
    row: int,
    stop: int,
    times: F64,
    amounts: F64,
    idle: float,
    active: float,
    at_start: bool,  # noqa: FBT001 - numba knows no keyword-only arguments
    state: F64,
    records: F64,
) -> int:
    """Keep totals by slot and write the records that end; return how many.

    `state` (capacity, 3): total, start, time of the last sample; start is NaN where no record is open. `records` (2 *
    rows, 5): slot, start, end, total, row. A record ends when nothing came for `idle` seconds or it has lasted
    `active`; with `at_start` it is written when it begins, and the flow is told again once `active` has passed.
    """
    count = 0
    for at in range(row, stop):
        slot, time = slots[at], times[at]
        start, last = state[slot, 1], state[slot, 2]
        if start == start and (time >= last + idle or time >= start + active):  # noqa: PLR0124 - false for NaN
            if not at_start:
                count = _record(records, count, slot, start, last, state[slot, 0], at)
            start = np.nan
        if start != start:  # noqa: PLR0124 - true for NaN
            state[slot, 0], state[slot, 1] = 0.0, time
            if at_start:
                count = _record(records, count, slot, time, time, amounts[at], at)
        state[slot, 0] += amounts[at]
        state[slot, 2] = time
    return count


KERNELS = (
    add_rates,
    add_amounts,
    add_means,
    add_extremes,
    add_distinct,
    log_flows,
)
