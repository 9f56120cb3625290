"""From blocks of datagrams to batches: index first, then extract only the fields that are needed.

`Decoder` keeps the scratch arrays between blocks, so that the usual block touches no new memory; everything it returns
is a copy. `tidegate.wire.sflow.view` is the readable twin of the fields.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import numpy as np

from tidegate.data.batch import Column, CounterBatch, DatagramBatch, FlowBatch
from tidegate.data.block import Block
from tidegate.data.fields import FIELDS, FieldRef
from tidegate.data.forms import FORMS, Form
from tidegate.data.hash import hash_octets
from tidegate.kernel import F64, I32, I64, U8, U64, Flags, inline, kernel
from tidegate.octets import be16, be32, be64
from tidegate.wire.packet.columns import MAX_MARKS, walk_chain
from tidegate.wire.sflow import index
from tidegate.wire.sflow.index import COMMON, OTHERS, TAG_SLOTS, TALLY_SIZE, Count, Counters, Flow, Gram, index_block
from tidegate.wire.sflow.origins import ORIGINS, Op, Origin

__all__ = ["KERNELS", "AgentFilter", "Decoded", "Decoder", "DecoderStatistics"]

_UINT, _IP4, _IP6, _ADDRESS = int(Op.UINT), int(Op.IP4), int(Op.IP6), int(Op.ADDRESS)
_PLACE, _BROADCAST, _MULTICAST, _UNICAST = int(Op.PLACE), int(Op.BROADCAST), int(Op.MULTICAST), int(Op.UNICAST)
_STACK, _CHAIN, _FRAGMENT = int(Op.STACK), int(Op.CHAIN), int(Op.FRAGMENT)
_ADDRESSES = {Op.IP4, Op.IP6, Op.ADDRESS}
(_DATAGRAM, _SEQUENCE, _SOURCE, _RATE, _POOL, _DROPS, _INPUT, _OUTPUT, _REASON, _OCTETS,
 _STRIPPED, _HEADER, _MARKS, _MARKS_END) = (int(x) for x in Flow)  # fmt: skip
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


@kernel(f"void({_MARKED}, i8[::1], u8[::1], u8[::1], b1[::1])")
def extract_words(data: U8, marks: I32, flows: I64, how: I64, limits: U64, words: U64, present: Flags) -> None:
    """Fill the rows not present yet; `how` is op, mark, nth, offset, width, shift, `limits` mask, low, high."""
    op, kind, nth, offset, width, shift = how[0], how[1], how[2], how[3], how[4], np.uint64(how[5])
    mask, low, high = limits[0], limits[1], limits[2]
    for row in range(words.size):
        first, last = flows[row, _MARKS], flows[row, _MARKS_END]
        if present[row]:
            continue
        if op == _STACK:
            words[row] = _stack(marks, first, last)
            present[row] = words[row] != np.uint64(0)
            continue
        place = _find(marks, first, last, kind, nth)
        if place < 0:
            continue
        at, end = int(marks[place, 1]), int(marks[place, 2])
        if op in (_CHAIN, _FRAGMENT):
            _, _, _, chain, fragment = walk_chain(data, at, end)
            if op == _CHAIN:
                words[row] = np.uint64(chain)
                present[row] = chain != 0
                continue
            at = fragment if fragment >= 0 else end
        if op in (_UINT, _FRAGMENT):
            if at + offset + width <= end:
                word = _load(data, at + offset, width) >> shift & mask
                if low <= word <= high:
                    words[row] = word
                    present[row] = True
        elif op == _PLACE:
            words[row] = np.uint64(at - flows[row, _HEADER])
            present[row] = True
        elif at + offset + 6 <= end:
            words[row] = _group_bit(op, _load(data, at + offset, 6))
            present[row] = True


@kernel(f"void({_MARKED}, i8[::1], u8[:,::1], b1[::1])")
def extract_addresses(data: U8, marks: I32, flows: I64, how: I64, words: U64, present: Flags) -> None:
    """Fill the rows that are not present yet with the two words of an address; `how` is op, mark, nth, offset."""
    op, kind, nth, offset = how[0], how[1], how[2], how[3]
    for row in range(present.size):
        place = -1 if present[row] else _find(marks, flows[row, _MARKS], flows[row, _MARKS_END], kind, nth)
        if place < 0:
            continue
        at, end = int(marks[place, 1]) + offset, int(marks[place, 2])
        width = 4 if op == _IP4 else 16
        if op == _ADDRESS:
            width = 4 if be32(data, at) == 1 else 16
            at += 4
        if at + width > end:
            continue
        if width == 4:
            words[1, row] = _MAPPED | np.uint64(be32(data, at))
        else:
            words[0, row] = be64(data, at)
            words[1, row] = be64(data, at + 8)
        present[row] = True


@kernel(f"void({_MARKED}, i8[::1], u8, u8[::1], b1[::1], i8[::1], i8[::1])")
def extract_texts(
    data: U8, marks: I32, flows: I64, how: I64, seed: np.uint64, words: U64, present: Flags, start: I64, stop: I64
) -> None:
    """Fill the rows that are not present yet with the hash and the place of octets; `how` is op, mark, nth."""
    for row in range(words.size):
        place = -1 if present[row] else _find(marks, flows[row, _MARKS], flows[row, _MARKS_END], how[1], how[2])
        if place >= 0:
            start[row], stop[row] = marks[place, 1], marks[place, 2]
            words[row] = hash_octets(data, start[row], stop[row], seed)
            present[row] = True


@kernel("void(i8[:,::1], i8[:,::1], Array(i8,1,'C',readonly=True), i8[:,::1], u8[:,::1], f8[:,::1], b1[::1])")
def spread(flows: I64, grams: I64, times: I64, numbers: I64, words: U64, values: F64, dropped: Flags) -> None:
    """Write the columns that every batch has, one pass over the rows.

    `numbers` is time, datagram, sequence, pool, drops; `words` agent high and low, sub-agent, source; `values` rate and
    octets.
    """
    for row in range(dropped.size):
        gram = flows[row, _DATAGRAM]
        numbers[0, row] = times[gram]
        numbers[1, row] = gram
        numbers[2, row] = flows[row, _SEQUENCE]
        numbers[3, row] = flows[row, _POOL]
        numbers[4, row] = flows[row, _DROPS]
        words[0, row] = np.uint64(grams[gram, 5])
        words[1, row] = np.uint64(grams[gram, 6])
        words[2, row] = np.uint64(grams[gram, 1])
        words[3, row] = np.uint64(flows[row, _SOURCE])
        values[0, row] = flows[row, _RATE]
        values[1, row] = max(flows[row, _OCTETS], 0)
        dropped[row] = flows[row, _REASON] >= 0


@kernel("i8(i8[:,::1], i8, b1[::1])")
def keep_rows(rows: I64, count: int, wanted: Flags) -> int:
    """Move the rows whose datagram (column 0) is wanted to the front; return how many there are."""
    kept = 0
    for row in range(count):
        if wanted[rows[row, 0]]:
            rows[kept] = rows[row]
            kept += 1
    return kept


KERNELS = (*index.KERNELS, extract_words, extract_addresses, extract_texts, spread, keep_rows)


class DecoderStatistics(msgspec.Struct, frozen=True):
    """What a decoder has seen since it was made."""

    counts: dict[str, int]  # by the names of index.Count
    not_allowed: int  # datagrams of agents outside the allow-list
    samples: dict[str, int]  # by "enterprise:format"
    records: dict[str, int]  # flow records, by "enterprise:format"
    versions: dict[str, int]  # other versions than 5


class Decoded(msgspec.Struct, frozen=True, eq=False):
    """What one block holds."""

    datagrams: DatagramBatch
    flows: FlowBatch
    counters: CounterBatch


class AgentFilter(msgspec.Struct, frozen=True, eq=False):
    """Prefixes of agent addresses that are let in; an address is let in where any mask matches it."""

    network: U64  # (n, 2)
    mask: U64  # (n, 2)

    def allows(self, high: U64, low: U64) -> Flags:
        """Return for each address whether it is let in."""
        allowed = np.zeros(len(high), np.bool_)
        for network, mask in zip(self.network, self.mask, strict=True):
            allowed |= (high & mask[0] == network[0]) & (low & mask[1] == network[1])
        return allowed


class Decoder:
    """Decodes block after block; not shared between threads."""

    def __init__(self, *, seed: int = 0, agents: AgentFilter | None = None) -> None:
        self._seed = np.uint64(seed)
        self._agents = agents
        self._table = index.record_table()
        self._tally = np.zeros(TALLY_SIZE, np.int64)
        self._not_allowed = 0
        self._octets = 0  # that the arrays below have room for
        self._grams = np.empty((0, len(Gram)), np.int64)
        self._flows = np.empty((0, len(Flow)), np.int64)
        self._counters = np.empty((0, len(Counters)), np.int64)
        self._marks = np.empty((0, 3), np.int32)

    def decode(self, block: Block, needs: Iterable[FieldRef]) -> Decoded:
        """Return the batches of a block of less than 2 GiB, with the columns of `needs` that come from samples."""
        if block.data.size >= 1 << 31:  # marks have 32 bits
            raise ValueError(f"a block of {block.data.size} octets")
        self._make_room(len(block), int(block.length.sum()))
        flow, counter = index_block(
            block.data, block.offset, block.length, self._table, self._grams, self._flows, self._counters, self._marks,
            self._tally,
        )  # fmt: skip
        grams = self._grams[: len(block)]
        good = grams[:, Gram.STATUS] == Count.DATAGRAMS
        if self._agents is not None:
            agents = grams.view(np.uint64)
            good &= self._agents.allows(agents[:, Gram.AGENT_HIGH], agents[:, Gram.AGENT_LOW])
            self._not_allowed += int((grams[:, Gram.STATUS] == Count.DATAGRAMS).sum() - good.sum())
            flow = keep_rows(self._flows, flow, good)
            counter = keep_rows(self._counters, counter, good)
        row_of = np.cumsum(good) - 1  # block row to batch row
        flows = self._flow_batch(block, self._flows[:flow], row_of, needs)
        return Decoded(self._datagram_batch(block, grams, good), flows, self._counter_batch(block, counter, row_of))

    def _make_room(self, datagrams: int, octets: int) -> None:
        """Make the scratch arrays large enough for any content of so many octets."""
        if len(self._grams) < datagrams:
            self._grams = np.empty((datagrams, len(Gram)), np.int64)
        if self._octets < octets:
            rows = octets // 40 + 1  # a flow sample has 8 octets of tag and length, and at least 32 behind them
            self._flows = np.empty((rows, len(Flow)), np.int64)
            self._counters = np.empty((octets // 20 + 1, len(Counters)), np.int64)
            # a header brings MAX_MARKS at most, a record no more marks than it has words with its tag and length:
            # an IPv4 record two in 16 octets, a gateway record two in 16, five in 44, seven in 52
            self._marks = np.empty((octets // 4 + rows * MAX_MARKS, 3), np.int32)
            self._octets = octets

    def _flow_batch(self, block: Block, rows: I64, row_of: I64, needs: Iterable[FieldRef]) -> FlowBatch:
        count = len(rows)
        numbers, words = np.empty((5, count), np.int64), np.empty((4, count), np.uint64)
        values, dropped = np.empty((2, count)), np.empty(count, np.bool_)
        spread(rows, self._grams, block.time_ns, numbers, words, values, dropped)
        columns = {need: self._column(block, rows, need, words) for need in needs}
        return FlowBatch(
            time_ns=numbers[0], datagram=row_of[numbers[1]], agent_high=words[0], agent_low=words[1],
            sub_agent=words[2], source=words[3], sequence=numbers[2], pool=numbers[3], drops=numbers[4],
            rate=values[0], octets=values[1], dropped=dropped, data=block.data, columns=columns,
        )  # fmt: skip

    def _datagram_batch(self, block: Block, grams: I64, good: Flags) -> DatagramBatch:
        chosen = grams[good]
        words = chosen.view(np.uint64)
        return DatagramBatch(
            time_ns=block.time_ns[good], source_high=block.source_high[good], source_low=block.source_low[good],
            agent_high=words[:, Gram.AGENT_HIGH], agent_low=words[:, Gram.AGENT_LOW],
            sub_agent=words[:, Gram.SUB_AGENT], sequence=chosen[:, Gram.SEQUENCE], uptime_ms=chosen[:, Gram.UPTIME],
        )  # fmt: skip

    def _counter_batch(self, block: Block, count: int, row_of: I64) -> CounterBatch:
        rows = self._counters[:count].copy()
        return CounterBatch(
            datagram=row_of[rows[:, Counters.DATAGRAM]], source=rows[:, Counters.SOURCE].astype(np.uint64),
            sequence=rows[:, Counters.SEQUENCE], start=rows[:, Counters.START], stop=rows[:, Counters.END],
            data=block.data,
        )  # fmt: skip

    def _column(self, block: Block, rows: I64, need: FieldRef, words: U64) -> Column:
        sample = _sample_column(rows, need, words)
        if sample is not None:
            return sample
        form = FIELDS[need.name].form
        count = len(rows)
        present = np.zeros(count, np.bool_)
        values = np.zeros((FORMS[form].width, count), np.uint64)
        start, stop = (np.zeros(count, np.int64), np.zeros(count, np.int64)) if FORMS[form].spelling else (None, None)
        origins = ORIGINS[need.name]
        for origin in origins[:1] if need.layer else origins:
            how = np.array(_how(origin, need.layer), np.int64)
            if start is not None and stop is not None:
                extract_texts(block.data, self._marks, rows, how, self._seed, values[0], present, start, stop)
            elif origin.op in _ADDRESSES:
                extract_addresses(block.data, self._marks, rows, how, values, present)
            else:
                limits = np.array([origin.mask, origin.low, origin.high], np.uint64)
                extract_words(block.data, self._marks, rows, how, limits, values[0], present)
        return Column(form, values, present, start, stop)

    def statistics(self) -> DecoderStatistics:
        """Return what was counted so far."""
        counts = {count.name.lower(): int(self._tally[count]) for count in Count}
        tags: list[dict[str, int]] = [{}, {}, {}]
        for space, seen in enumerate(tags):
            common = self._tally[COMMON + (space << 12) : COMMON + (space + 1 << 12)]
            seen.update({f"0:{number}": int(common[number]) for number in np.flatnonzero(common)})
        for slot in np.flatnonzero(self._tally[OTHERS : OTHERS + TAG_SLOTS]):
            word = int(self._tally[OTHERS + slot])
            tag = word & 0xFFFFFFFF
            tags[(word >> 32) - 1][f"{tag >> 12}:{tag & 4095}"] = int(self._tally[OTHERS + TAG_SLOTS + slot])
        versions = {_version(name): count for name, count in tags[2].items()}
        return DecoderStatistics(counts, self._not_allowed, tags[0], tags[1], versions)


def _version(tag: str) -> str:
    enterprise, number = tag.split(":")
    return str(int(enterprise) << 12 | int(number))


def _how(origin: Origin, layer: int) -> tuple[int, ...]:
    return origin.op, origin.mark, layer, origin.offset, origin.width, origin.shift


def _sample_column(rows: I64, need: FieldRef, words: U64) -> Column | None:
    """Return a column that stands in the rows themselves, or None."""
    form = FIELDS[need.name].form
    everywhere = np.ones(len(rows), np.bool_)
    if need.name == "agent":
        return Column(form, words[:2], everywhere)
    if need.name == "subagent":
        return Column(form, words[2:3], everywhere)
    if need.name == "frames":
        return Column(form, np.ones((1, len(rows)), np.uint64), everywhere)
    if need.name == "direction":
        return _direction(rows)
    place = {
        "inputifindex": Flow.INPUT, "outputifindex": Flow.OUTPUT, "samplingrate": Flow.RATE, "reason": Flow.REASON,
        "bytes": Flow.OCTETS, "stripped": Flow.STRIPPED,
    }.get(need.name)  # fmt: skip
    if place is None:
        return None
    values = rows[:, place]
    present = values >= 0
    return Column(form, np.where(present, values, 0).astype(np.uint64)[np.newaxis], present)


def _direction(rows: I64) -> Column:
    source = rows[:, Flow.SOURCE]
    interface = (source > 0) & (source >> 32 == 0)
    ingress = interface & (source == rows[:, Flow.INPUT])
    egress = interface & ~ingress & (source == rows[:, Flow.OUTPUT])
    return Column(Form.DIRECTION, egress.astype(np.uint64)[np.newaxis], ingress | egress)
