"""Agents and data sources: a number for each, and what their sequence numbers tell of losses.

Numbers are given in order of appearance and never change. There is room for a fixed number of each; samples of data
sources beyond it are dropped and counted, so that datagrams with made-up agent addresses cannot grow memory.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np

from tidegate.data.address import Words, format_address
from tidegate.data.batch import CounterBatch, DatagramBatch, FlowBatch
from tidegate.engine.keys import KeyNumbers
from tidegate.engine.source_kernels import SERIES, Seen, account, account_pool, note_seen
from tidegate.kernel import I64, Flags

__all__ = ["AgentCounts", "Sequence", "SourceCounts", "Sources", "source_text"]

_COLUMNS = Seen.FIRST + 3 * SERIES


def source_text(source: int) -> str:
    """Return a data source as the flow language prints it: `3` for an interface, `2.1` for others."""
    kind, index = source >> 32, source & 0xFFFFFFFF
    return str(index) if kind == 0 else f"{kind}.{index}"


class Sequence(msgspec.Struct, frozen=True):
    """What one sequence of numbers tells."""

    received: int = 0
    lost: int = 0
    out_of_order: int = 0
    duplicates: int = 0
    restarts: int = 0

    def __add__(self, other: Sequence) -> Sequence:
        pairs = zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True)
        return Sequence(*(mine + theirs for mine, theirs in pairs))


class SourceCounts(msgspec.Struct, frozen=True):
    """One data source."""

    agent: Words
    sub_agent: int
    source: int  # type << 32 | index
    flows: Sequence
    counters: Sequence
    drops: int  # as the agent last said
    rate: int  # as the agent last said; 0 before its first packet sample
    effective_rate: float | None  # packets a sample, from the sample pool


class AgentCounts(msgspec.Struct, frozen=True):
    """One agent, all its sub-agents together; times in nanoseconds since 1970 UTC."""

    agent: Words
    datagrams: Sequence
    first_ns: int
    last_ns: int
    uptime_ms: int
    udp_source: Words  # of its last datagram
    sources: tuple[SourceCounts, ...]

    def __add__(self, other: AgentCounts) -> AgentCounts:
        """Return what two sub-agents or two shards know of one agent; address and uptime are of the one heard last."""
        later = other if other.last_ns >= self.last_ns else self
        return msgspec.structs.replace(
            later,
            datagrams=self.datagrams + other.datagrams,
            first_ns=min(self.first_ns, other.first_ns),
            sources=self.sources + other.sources,
        )


class Sources:
    """See the module."""

    def __init__(self, *, agents: int = 1 << 12, sources: int = 1 << 16, seed: int = 0) -> None:
        self.capacity = sources
        self.refused = 0  # samples of data sources there was no room for
        self.untold = 0  # datagrams of agents there was no room for: their sequence numbers are not judged
        self._agents = KeyNumbers(agents, 3, seed)  # address, sub-agent
        self._sources = KeyNumbers(sources, 4, seed)  # address, sub-agent, source
        self._datagrams = np.zeros((agents, _COLUMNS), np.int64)
        self._seen_ns = np.zeros((agents, 3), np.int64)  # first, last, uptime
        self._udp = np.zeros((agents, 2), np.uint64)
        self._flows = np.zeros((sources, _COLUMNS), np.int64)
        self._counters = np.zeros((sources, _COLUMNS), np.int64)
        self._pool = np.zeros((sources, 5), np.int64)
        self._first = np.zeros(sources, np.int64)
        self._first_of: dict[Words, int] = {}
        self._followed = 0  # how many data sources `_first` tells of

    def __len__(self) -> int:
        return len(self._sources)

    def note_datagrams(self, datagrams: DatagramBatch) -> None:
        """Judge datagram sequence numbers."""
        keys = np.empty((len(datagrams), 3), np.uint64)
        keys[:, 0], keys[:, 1], keys[:, 2] = datagrams.agent_high, datagrams.agent_low, datagrams.sub_agent
        numbers = self._agents.of(keys)
        everything = np.ones(len(numbers), np.bool_)
        self.untold += int(np.count_nonzero(numbers < 0))
        account(numbers, datagrams.sequence, everything, self._datagrams)
        note_seen(
            numbers, datagrams.time_ns, datagrams.uptime_ms, datagrams.source_high, datagrams.source_low,
            self._seen_ns, self._udp,
        )  # fmt: skip

    def note_flows(self, flows: FlowBatch) -> I64:
        """Judge sample sequence numbers and pools; return the number of each row's data source, -1 for none."""
        keys = np.empty((len(flows), 4), np.uint64)
        keys[:, 0], keys[:, 1] = flows.agent_high, flows.agent_low
        keys[:, 2], keys[:, 3] = flows.sub_agent, flows.source
        numbers = self._sources.of(keys)
        self.refused += int(np.count_nonzero(numbers < 0))
        packets = ~flows.dropped
        account(numbers, flows.sequence, packets, self._flows)
        account_pool(numbers, flows.pool, flows.drops, flows.rate, packets, self._pool)
        return numbers

    def note_counters(self, counters: CounterBatch, datagrams: DatagramBatch) -> I64:
        """Judge counters sample sequence numbers; return the number of each row's data source, -1 for none."""
        at = counters.datagram
        keys = np.empty((len(counters), 4), np.uint64)
        keys[:, 0], keys[:, 1] = datagrams.agent_high[at], datagrams.agent_low[at]
        keys[:, 2], keys[:, 3] = datagrams.sub_agent[at], counters.source
        numbers = self._sources.of(keys)
        self.refused += int(np.count_nonzero(numbers < 0))
        account(numbers, counters.sequence, np.ones(len(numbers), np.bool_), self._counters)
        return numbers

    def of_agents(self, wanted: frozenset[Words] | None) -> Flags:
        """Return which data sources belong to some agents, or to any."""
        keys = self._sources.keys[: len(self)]
        if wanted is None:
            return np.ones(len(keys), np.bool_)
        chosen = np.zeros(len(keys), np.bool_)
        for high, low in wanted:
            chosen |= (keys[:, 0] == np.uint64(high)) & (keys[:, 1] == np.uint64(low))
        return chosen

    def find(self, agent: Words, source: str) -> Iterator[int]:
        """Yield the numbers of an agent's data sources with a text, one for each sub-agent that has it."""
        for number in np.flatnonzero(self.of_agents(frozenset([agent]))):
            if source_text(int(self._sources.keys[number, 3])) == source:
                yield int(number)

    def agent_of(self, number: int) -> str:
        """Return the agent address of a data source."""
        return format_address(int(self._sources.keys[number, 0]), int(self._sources.keys[number, 1]))

    def place_of(self, number: int) -> tuple[str, str]:
        """Return the agent address and the text of a data source."""
        return self.agent_of(number), self.text_of(number)

    def text_of(self, number: int) -> str:
        """Return the text of a data source."""
        return source_text(int(self._sources.keys[number, 3]))

    def first_of_agent(self, numbers: I64) -> I64:
        """Return for each data source the lowest number of one of its agent: a number for the agent; -1 for -1."""
        for number in range(self._followed, len(self)):
            high, low = self._sources.keys[number, :2].tolist()
            self._first[number] = self._first_of.setdefault((high, low), number)
        self._followed = len(self)
        return np.where(numbers >= 0, self._first[numbers], -1)

    def counts(self) -> list[AgentCounts]:
        """Return everything that is known, by agent in order of appearance."""
        sources: dict[Words, list[SourceCounts]] = {}
        for number in range(len(self)):
            counts = self.source_counts(number)
            sources.setdefault(counts.agent, []).append(counts)
        agents: dict[Words, AgentCounts] = {}
        for number in range(len(self._agents)):
            high, low, _ = (int(word) for word in self._agents.keys[number])
            first, last, uptime = (int(value) for value in self._seen_ns[number])
            known = agents.get((high, low))
            mine = AgentCounts(
                agent=(high, low),
                datagrams=_sequence(self._datagrams[number]),
                first_ns=first,
                last_ns=last,
                uptime_ms=uptime,
                udp_source=(int(self._udp[number, 0]), int(self._udp[number, 1])),
                sources=tuple(sources.pop((high, low), ())),  # of all sub-agents, with the first of them
            )
            agents[high, low] = mine if known is None else known + mine
        return list(agents.values())

    def source_counts(self, number: int) -> SourceCounts:
        """Return what is known of one data source."""
        high, low, sub_agent, source = (int(word) for word in self._sources.keys[number])
        _, packets, samples, drops, rate = (int(value) for value in self._pool[number])
        return SourceCounts(
            agent=(high, low),
            sub_agent=sub_agent,
            source=source,
            flows=_sequence(self._flows[number]),
            counters=_sequence(self._counters[number]),
            drops=drops,
            rate=rate,
            effective_rate=packets / samples if samples else None,
        )


def _sequence(row: I64) -> Sequence:
    return Sequence(*(int(value) for value in row[: Seen.RESTARTS + 1]))
