"""Kernels: read the fields that somebody needs, one after the other.

A `Program` tells for each field which places to try in order (`tidegate.wire.sflow.origins`). The first try writes
every row, further ones fill the rows that still lack the field; they are left out where no row does, or where the block
has no record of that kind. One pass for all fields at once was tried: its inner loop has to look up what to do for each
field of each row, and that cost more than reading the octets again.
"""

from __future__ import annotations

import msgspec
import numpy as np

from tidegate.data.batch import Column
from tidegate.data.fields import FIELDS, FieldRef
from tidegate.data.forms import FORMS, Form
from tidegate.data.hash import hash_octets
from tidegate.kernel import I32, I64, U8, U64, Flags, inline, kernel
from tidegate.octets import be16, be32, be64
from tidegate.wire.packet.columns import walk_chain
from tidegate.wire.sflow.origins import ORIGINS, RECORD_MARKS, Op, Origin, Record
from tidegate.wire.sflow.rows import Flow

__all__ = ["KERNELS", "Program", "Step", "program_of", "run_program"]

_UINT, _IP4, _ADDRESS = int(Op.UINT), int(Op.IP4), int(Op.ADDRESS)
_PLACE, _BROADCAST, _UNICAST = int(Op.PLACE), int(Op.BROADCAST), int(Op.UNICAST)
_STACK, _CHAIN, _FRAGMENT = int(Op.STACK), int(Op.CHAIN), int(Op.FRAGMENT)
_ROW = int(Op.ROW)
_ADDRESSES = {Op.IP4, Op.IP6, Op.ADDRESS}
_NO_MARK = {Op.STACK, Op.ROW, Op.DIRECTION}
_SOURCE, _INPUT, _OUTPUT = int(Flow.SOURCE), int(Flow.INPUT), int(Flow.OUTPUT)
_HEADER, _MARKS, _MARKS_END = int(Flow.HEADER), int(Flow.MARKS), int(Flow.MARKS_END)
_MAPPED = np.uint64(0xFFFF << 32)


@inline
def _find(marks: I32, first: int, last: int, kind: int, nth: int) -> int:
    """Return the row of the nth mark of a kind, or -1."""
    for place in range(first, last):
        if marks[place, 0] == kind:
            if nth == 0:
                return place
            nth -= 1
    return -1


@inline
def _load(data: U8, at: int, width: int) -> np.uint64:
    if width == 2:
        return np.uint64(be16(data, at))
    if width == 4:
        return np.uint64(be32(data, at))
    if width == 1:
        return np.uint64(data[at])
    if width == 3:
        return np.uint64(be16(data, at)) << np.uint64(8) | np.uint64(data[at + 2])
    if width == 6:
        return np.uint64(be16(data, at)) << np.uint64(32) | np.uint64(be32(data, at + 2))
    return be64(data, at)


@inline
def _stack(marks: I32, first: int, last: int) -> np.uint64:
    """Return the layers as data/forms.py packs them; 0 where there are none."""
    word, shift = 0, 0
    for place in range(first, last):
        if marks[place, 0] < 32:
            word |= int(marks[place, 0]) << shift
            shift += 5
    return np.uint64(word)


@inline
def _group_bit(op: int, mac: np.uint64) -> np.uint64:
    broadcast = mac == np.uint64(0xFFFFFFFFFFFF)
    group = mac >> np.uint64(40) & np.uint64(1) == np.uint64(1)
    if op == _BROADCAST:
        return np.uint64(1) if broadcast else np.uint64(0)
    if op == _UNICAST:
        return np.uint64(0) if group else np.uint64(1)
    return np.uint64(1) if group and not broadcast else np.uint64(0)


_MARKED = "Array(u1,1,'C',readonly=True), i4[:,::1], i8[:,::1]"


@kernel(f"i8({_MARKED}, i8[::1], u8[::1], u8[::1], b1[::1])")
def extract_words(data: U8, marks: I32, flows: I64, how: I64, limits: U64, words: U64, present: Flags) -> int:
    """Write a field of one word; return how many rows lack it. See `_how` for `how`; `limits` is mask, low, high."""
    fill, op, kind, nth, offset, width = how[0], how[1], how[2], how[3], how[4], how[5]
    shift, mask, low, high = np.uint64(how[6]), limits[0], limits[1], limits[2]
    missing = 0
    for row in range(words.size):
        if fill and present[row]:
            continue
        found, word = False, np.uint64(0)
        place = _find(marks, flows[row, _MARKS], flows[row, _MARKS_END], kind, nth)
        if place >= 0:
            at, end = int(marks[place, 1]), int(marks[place, 2])
            if op == _UINT:
                if at + offset + width <= end:
                    word = _load(data, at + offset, width) >> shift & mask
                    found = low <= word <= high
            elif op == _PLACE:
                found, word = True, np.uint64(at - flows[row, _HEADER])
            elif op in (_CHAIN, _FRAGMENT):
                _, _, _, chain, fragment = walk_chain(data, at, end)
                if op == _CHAIN:
                    found, word = chain != 0, np.uint64(chain)
                elif fragment >= 0 and fragment + offset + width <= end:
                    found, word = True, _load(data, fragment + offset, width) >> shift & mask
            elif at + offset + 6 <= end:
                found, word = True, _group_bit(op, _load(data, at + offset, 6))
        present[row] = found
        words[row] = word if found else np.uint64(0)
        missing += 0 if found else 1
    return missing


@kernel(f"i8({_MARKED}, i8[::1], u8[:,::1], b1[::1])")
def extract_addresses(data: U8, marks: I32, flows: I64, how: I64, words: U64, present: Flags) -> int:
    """Write a field of two words; return how many rows lack it."""
    fill, op, kind, nth, offset = how[0], how[1], how[2], how[3], how[4]
    missing = 0
    for row in range(present.size):
        if fill and present[row]:
            continue
        found = False
        place = _find(marks, flows[row, _MARKS], flows[row, _MARKS_END], kind, nth)
        if place >= 0:
            at, end = int(marks[place, 1]) + offset, int(marks[place, 2])
            width = 4 if op == _IP4 else 16
            if op == _ADDRESS:
                width = 4 if be32(data, at) == 1 else 16
                at += 4
            found = at + width <= end
            if found and width == 4:
                words[0, row], words[1, row] = np.uint64(0), _MAPPED | np.uint64(be32(data, at))
            elif found:
                words[0, row], words[1, row] = be64(data, at), be64(data, at + 8)
        present[row] = found
        if not found:
            words[0, row] = words[1, row] = np.uint64(0)
            missing += 1
    return missing


@kernel(f"i8({_MARKED}, i8[::1], u8, u8[::1], b1[::1], i8[::1], i8[::1])")
def extract_texts(
    data: U8, marks: I32, flows: I64, how: I64, seed: np.uint64, words: U64, present: Flags, start: I64, stop: I64
) -> int:
    """Write the hash and the place of octets; return how many rows lack them."""
    fill, kind, nth = how[0], how[2], how[3]
    missing = 0
    for row in range(words.size):
        if fill and present[row]:
            continue
        place = _find(marks, flows[row, _MARKS], flows[row, _MARKS_END], kind, nth)
        present[row] = place >= 0
        words[row], start[row], stop[row] = np.uint64(0), 0, 0
        if place >= 0:
            start[row], stop[row] = marks[place, 1], marks[place, 2]
            words[row] = hash_octets(data, start[row], stop[row], seed)
        else:
            missing += 1
    return missing


@kernel("void(i4[:,::1], i8[:,::1], i8, i8, u8[::1], b1[::1])")
def extract_rows(marks: I32, flows: I64, op: int, column: int, words: U64, present: Flags) -> None:
    """Write a field that needs no mark: a column of the index (-1 is not present), the direction, or the stack."""
    for row in range(words.size):
        word, found = np.uint64(0), False
        if op == _STACK:
            word = _stack(marks, flows[row, _MARKS], flows[row, _MARKS_END])
            found = word != np.uint64(0)
        elif op == _ROW:
            value = flows[row, column]
            found, word = value >= 0, np.uint64(max(value, 0))
        else:
            source = flows[row, _SOURCE]
            if source > 0 and source >> 32 == 0:
                ingress = source == flows[row, _INPUT]
                found = ingress or source == flows[row, _OUTPUT]
                word = np.uint64(0 if ingress or not found else 1)
        words[row], present[row] = word, found


KERNELS = (extract_words, extract_addresses, extract_texts, extract_rows)


class Step(msgspec.Struct, frozen=True, eq=False):
    """One place to try for a field, as the kernels take it."""

    origin: Origin
    how: I64
    limits: U64
    format: int  # of the flow record that it stands in; 0 for the sampled header


class Program(msgspec.Struct, frozen=True, eq=False):
    """How one field is read: the steps to try in order; none where no sample has it."""

    form: Form
    steps: tuple[Step, ...]


def program_of(ref: FieldRef) -> Program:
    """Return how a field is read."""
    origins = ORIGINS[ref.name][:1] if ref.layer else ORIGINS[ref.name]
    steps = (_step(origin, ref.layer, first=place == 0) for place, origin in enumerate(origins))
    return Program(FIELDS[ref.name].form, tuple(steps))


def _step(origin: Origin, layer: int, *, first: bool) -> Step:
    how = _how(origin, layer, first=first)
    limits = np.array([origin.mask, origin.low, origin.high], np.uint64)
    return Step(origin, how, limits, _format_of(origin.mark))


def _how(origin: Origin, layer: int, *, first: bool) -> I64:
    """Return what kernels are told: fill only the rows that lack it or not, op, mark, nth, offset, width, shift."""
    return np.array([not first, origin.op, origin.mark, layer, origin.offset, origin.width, origin.shift], np.int64)


def _format_of(mark: int) -> int:
    """Return the format of the flow record whose mark, or part, a mark is; 0 for marks of the sampled header."""
    starts = [(record, number) for number, record in RECORD_MARKS.items() if record <= mark]
    return max(starts)[1] if mark >= Record.ETHERNET else 0


def run_program(
    program: Program, data: U8, marks: I32, flows: I64, *, seed: np.uint64, formats: frozenset[int]
) -> Column:
    """Return the column of a field for the rows of `flows`; of records only those of `formats` are in them."""
    count = len(flows)
    traits = FORMS[program.form]
    empty = np.empty if program.steps else np.zeros
    words, present = empty((traits.width, count), np.uint64), empty(count, np.bool_)
    start, stop = (np.empty(count, np.int64), np.empty(count, np.int64)) if traits.spelling else (None, None)
    missing = count
    for place, step in enumerate(program.steps):
        if place and (not missing or step.format not in formats):
            continue
        op = step.origin.op
        if start is not None and stop is not None:
            missing = extract_texts(data, marks, flows, step.how, seed, words[0], present, start, stop)
        elif op in _NO_MARK:
            extract_rows(marks, flows, op, step.origin.offset, words[0], present)
        elif op in _ADDRESSES:
            missing = extract_addresses(data, marks, flows, step.how, words, present)
        else:
            missing = extract_words(data, marks, flows, step.how, step.limits, words[0], present)
    return Column(program.form, words, present, start, stop)
