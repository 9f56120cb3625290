"""From blocks of datagrams to batches: index first, then extract only the fields that are needed.

`Decoder` keeps the scratch arrays between blocks, so that the usual block touches no new memory; everything it returns
is a copy. `tidegate.wire.sflow.keys` is the readable twin of the fields.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import numpy as np

from tidegate.data.batch import Column, CounterBatch, DatagramBatch, FlowBatch
from tidegate.data.block import Block
from tidegate.data.fields import FieldRef
from tidegate.data.forms import Form
from tidegate.kernel import F64, I64, U64, Flags, kernel
from tidegate.wire.packet.columns import MAX_MARKS
from tidegate.wire.sflow import extract, index
from tidegate.wire.sflow.extract import Program, program_of, run_program
from tidegate.wire.sflow.index import COMMON, OTHERS, TAG_SLOTS, TALLY_SIZE, index_block
from tidegate.wire.sflow.origins import RECORD_MARKS
from tidegate.wire.sflow.rows import Count, Counters, Flow, Gram

__all__ = ["KERNELS", "AgentFilter", "Decoded", "Decoder", "DecoderStatistics"]

# Fields that stand in every batch: no need to read them again.
_AGENT, _SUB_AGENT, _FRAMES = FieldRef("agent"), FieldRef("subagent"), FieldRef("frames")
_OF_DATAGRAM = frozenset([_AGENT, _SUB_AGENT, _FRAMES])
_DATAGRAMS = int(Count.DATAGRAMS)
_FORMATS = np.array(sorted(RECORD_MARKS), np.int64)
_FORMATS_AT = COMMON + (1 << 12) + _FORMATS  # where a tally counts them
(_DATAGRAM, _SEQUENCE, _SOURCE, _RATE, _POOL, _DROPS, _INPUT, _OUTPUT, _REASON, _OCTETS,
 _STRIPPED, _HEADER, _MARKS, _MARKS_END) = (int(x) for x in Flow)  # fmt: skip


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
            for column in range(rows.shape[1]):
                rows[kept, column] = rows[row, column]
            kept += 1
    return kept


KERNELS = (*index.KERNELS, *extract.KERNELS, spread, keep_rows)


class DecoderStatistics(msgspec.Struct, frozen=True):
    """What a decoder has seen since it was made."""

    counts: dict[str, int]  # by the names of rows.Count
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
        self._wanted: frozenset[FieldRef] = frozenset()
        self._programs: dict[FieldRef, Program] = {}
        self._records = np.zeros(len(_FORMATS), np.int64)  # how many of each format were seen up to the last block

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
        good = grams[:, Gram.STATUS] == _DATAGRAMS
        if self._agents is not None:
            agents = grams.view(np.uint64)
            good &= self._agents.allows(agents[:, Gram.AGENT_HIGH], agents[:, Gram.AGENT_LOW])
            self._not_allowed += int(np.count_nonzero(grams[:, Gram.STATUS] == _DATAGRAMS) - np.count_nonzero(good))
            flow = keep_rows(self._flows, flow, good)
            counter = keep_rows(self._counters, counter, good)
        row_of = None if np.count_nonzero(good) == len(good) else np.cumsum(good) - 1  # None: batch rows are block rows
        flows = self._flow_batch(block, self._flows[:flow], row_of, needs)
        chosen = slice(None) if row_of is None else good
        return Decoded(self._datagram_batch(block, grams, chosen), flows, self._counter_batch(block, counter, row_of))

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

    def _flow_batch(self, block: Block, rows: I64, row_of: I64 | None, needs: Iterable[FieldRef]) -> FlowBatch:
        count = len(rows)
        numbers, words = np.empty((5, count), np.int64), np.empty((4, count), np.uint64)
        values, dropped = np.empty((2, count)), np.empty(count, np.bool_)
        spread(rows, self._grams, block.time_ns, numbers, words, values, dropped)
        columns = self._columns(block, rows, needs, words)
        return FlowBatch(
            time_ns=numbers[0], datagram=_renumbered(numbers[1], row_of), agent_high=words[0], agent_low=words[1],
            sub_agent=words[2], source=words[3], sequence=numbers[2], pool=numbers[3], drops=numbers[4],
            rate=values[0], octets=values[1], dropped=dropped, data=block.data, columns=columns,
        )  # fmt: skip

    def _columns(self, block: Block, rows: I64, needs: Iterable[FieldRef], words: U64) -> dict[FieldRef, Column]:
        wanted = frozenset(needs)
        if wanted != self._wanted:
            self._wanted = wanted
            self._programs = {need: program_of(need) for need in sorted(wanted - _OF_DATAGRAM)}
        formats = self._new_formats()
        columns = {
            need: run_program(program, block.data, self._marks, rows, seed=self._seed, formats=formats)
            for need, program in self._programs.items()
        }
        everywhere = np.ones(len(rows), np.bool_)
        if _AGENT in wanted:
            columns[_AGENT] = Column(Form.ADDRESS, words[:2], everywhere)
        if _SUB_AGENT in wanted:
            columns[_SUB_AGENT] = Column(Form.NUMBER, words[2:3], everywhere)
        if _FRAMES in wanted:
            columns[_FRAMES] = Column(Form.NUMBER, np.ones((1, len(rows)), np.uint64), everywhere)
        return columns

    def _new_formats(self) -> frozenset[int]:
        """Return which formats of flow records that fields are read from came since the last call."""
        records = self._tally[_FORMATS_AT]
        new = frozenset(_FORMATS[records != self._records].tolist())
        self._records = records
        return new

    def _datagram_batch(self, block: Block, grams: I64, rows: slice | Flags) -> DatagramBatch:
        chosen = grams[rows].T.copy()
        words = chosen.view(np.uint64)
        return DatagramBatch(
            time_ns=block.time_ns[rows], source_high=block.source_high[rows], source_low=block.source_low[rows],
            agent_high=words[Gram.AGENT_HIGH], agent_low=words[Gram.AGENT_LOW], sub_agent=words[Gram.SUB_AGENT],
            sequence=chosen[Gram.SEQUENCE], uptime_ms=chosen[Gram.UPTIME],
        )  # fmt: skip

    def _counter_batch(self, block: Block, count: int, row_of: I64 | None) -> CounterBatch:
        rows = self._counters[:count].T.copy()
        return CounterBatch(
            datagram=_renumbered(rows[Counters.DATAGRAM], row_of), source=rows[Counters.SOURCE].view(np.uint64),
            sequence=rows[Counters.SEQUENCE], start=rows[Counters.START], stop=rows[Counters.END], data=block.data,
        )  # fmt: skip

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


def _renumbered(rows: I64, row_of: I64 | None) -> I64:
    return rows if row_of is None else row_of[rows]


def _version(tag: str) -> str:
    enterprise, number = tag.split(":")
    return str(int(enterprise) << 12 | int(number))
