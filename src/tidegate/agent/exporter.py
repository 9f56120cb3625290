"""The agent's core: packets, alerts and counters in, datagrams out.

In go batches of sampled packets, messages of the drop monitor and records of counters, each with the moment it was
read, on a clock that never goes back; out come blocks of datagrams when they are due. Nothing here waits or sends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from tidegate.agent.config import AgentConfig, Source
from tidegate.agent.datagrams import DatagramForm, Datagrams
from tidegate.agent.discards import MOST_BESIDE_HEADER, Discards, Station
from tidegate.agent.sampler import EXPANDED_FROM, KnownInterface, Sampler
from tidegate.agent.sampling_kernels import GroupDirection
from tidegate.data.block import Block
from tidegate.data.sampled import Packets
from tidegate.wire.netlink.message import Message
from tidegate.wire.sflow.encode import encode_sample
from tidegate.wire.sflow.samples import CountersSample, DataSource, DiscardedPacket

__all__ = ["Exporter"]

_WORD = 0xFFFFFFFF


class Exporter:
    """Sampler, limits and open datagrams of one agent; one thread's. `source` is where its packets come from."""

    def __init__(
        self, config: AgentConfig, *, source: Source, agent_address: bytes, seed: int, started_ns: int
    ) -> None:
        self._source = source
        self.sampler = Sampler(seed=seed, most_samples=config.most_samples, rate_untold=config.nflog.rate)
        self.sampler.set_groups(_directions(config, self._source))
        self._datagrams = Datagrams(_form(config, agent_address, expanded=False), started_ns=started_ns)
        self.discards = Discards(per_second=config.discards.per_second, header_octets=self._discard_header())
        self._counters_sequence: dict[tuple[int, int, str], int] = {}
        self._too_large = 0

    def configure(self, config: AgentConfig, *, agent_address: bytes, now_ns: int) -> list[Block]:
        """Take another configuration; what was waiting is returned in the former form."""
        self._datagrams.set_form(_form(config, agent_address, expanded=self._datagrams.form.expanded), now_ns)
        self.sampler.set_limits(most_samples=config.most_samples, rate_untold=config.nflog.rate)
        self.sampler.set_groups(_directions(config, self._source))
        self.discards.set_limits(per_second=config.discards.per_second, header_octets=self._discard_header())
        return self._datagrams.take(now_ns)

    def set_interfaces(self, known: Sequence[KnownInterface], now_ns: int) -> list[Block]:
        """Replace the interfaces there are; what was waiting is returned where all must change to expanded samples."""
        self.sampler.set_interfaces(known)
        here = {(0, one.index, one.name) for one in known}
        for key in [key for key in self._counters_sequence if key[0] == 0 and key not in here]:
            del self._counters_sequence[key]
        return self._datagrams.take(now_ns) if self._widen(now_ns, needed=self.sampler.needs_expanded) else []

    def packets(self, packets: Packets, now_ns: int) -> None:
        """Take a batch of packets."""
        picks = self.sampler.step(packets.data, packets.rows, packets.count, now_ns)
        self._widen(now_ns, needed=self.sampler.needs_expanded)
        self._datagrams.add_flows(packets.data, packets.rows, picks, now_ns)

    def learn(self, packets: Packets) -> None:
        """Take the interfaces that packets name for known: for recordings."""
        self.sampler.learn(packets.rows, packets.count)

    def alerts(
        self, messages: Iterable[Message], now_ns: int, *, stations: Mapping[int, Station] | None = None
    ) -> list[DiscardedPacket]:
        """Take messages of the drop monitor; return what they became."""
        discarded = self.discards.step(messages, now_ns, stations=stations)
        for sample in discarded:
            self._datagrams.add(encode_sample(sample), now_ns)
        return discarded

    def counters(self, source: DataSource, name: str, records: Sequence[msgspec.Struct], now_ns: int) -> None:
        """Take a reading of a data source's counters, in as many samples as it needs; `name` tells sources apart.

        A record that no datagram has room for is left out, and counted.
        """
        self._widen(now_ns, needed=source.index >= EXPANDED_FROM)
        key = (source.type, source.index, name)
        for part in self._parts(source, records):
            sequence = (self._counters_sequence.get(key, 0) + 1) & _WORD
            self._counters_sequence[key] = sequence
            self._datagrams.add(self._counters_sample(source, part, sequence), now_ns)

    def deadline(self) -> int | None:
        """Return when `take` has something at the latest, None where nothing waits."""
        return self._datagrams.deadline()

    def take(self, now_ns: int, *, all_of_them: bool = False) -> list[Block]:
        """Return the datagrams that are due."""
        return self._datagrams.take(now_ns, all_of_them=all_of_them)

    def statistics(self) -> dict[str, int]:
        """Return counts since the start."""
        return {
            **{f"packets_{name}": count for name, count in self.sampler.statistics().items()},
            "sub_sampling": self.sampler.every,
            "discards_suppressed_or_lost": self.discards.drops,
            "discards_ignored": self.discards.ignored,
            "discards_broken": self.discards.broken,
            "counters_too_large": self._too_large,
            "samples": self._datagrams.samples,
            "datagrams": self._datagrams.sequence,
        }

    def _widen(self, now_ns: int, *, needed: bool) -> bool:
        """Go over to expanded samples where it is needed, for good: an agent uses one encoding."""
        form = self._datagrams.form
        if form.expanded or not needed:
            return False
        self._datagrams.set_form(msgspec.structs.replace(form, expanded=True), now_ns)
        return True

    def _discard_header(self) -> int:
        """Return how much of a discarded packet a datagram has room for."""
        return min(self._datagrams.form.header_octets, self._datagrams.room - MOST_BESIDE_HEADER)

    def _parts(self, source: DataSource, records: Sequence[msgspec.Struct]) -> Iterator[list[msgspec.Struct]]:
        """Yield records of a reading, as many as fit a datagram at a time."""
        empty = len(self._counters_sample(source, (), 0))
        part: list[msgspec.Struct] = []
        left = room = self._datagrams.room - empty
        for record in records:
            octets = len(self._counters_sample(source, (record,), 0)) - empty
            if octets > room:
                self._too_large += 1
                continue
            if octets > left:
                yield part
                part, left = [], room
            part.append(record)
            left -= octets
        if part:
            yield part

    def _counters_sample(self, source: DataSource, records: Iterable[msgspec.Struct], sequence: int) -> bytes:
        return encode_sample(
            CountersSample(
                sequence_number=sequence,
                source_id=source,
                records=tuple(records),
                expanded=self._datagrams.form.expanded,
            )
        )


def _form(config: AgentConfig, agent_address: bytes, *, expanded: bool) -> DatagramForm:
    return DatagramForm(
        agent_address=agent_address,
        sub_agent=config.sub_agent,
        header_octets=config.header_octets,
        datagram_octets=config.datagram_octets,
        delay_ns=config.delay_ms * 1_000_000,
        expanded=expanded,
    )


def _directions(config: AgentConfig, source: Source) -> dict[int, GroupDirection]:
    """Return what groups of psample mean; packets of the other sources tell it themselves."""
    if source is not Source.PSAMPLE:
        return {}
    named = config.psample
    return {
        **dict.fromkeys(named.ingress_groups, GroupDirection.INGRESS),
        **dict.fromkeys(named.egress_groups, GroupDirection.EGRESS),
        **dict.fromkeys(named.ignored_groups, GroupDirection.IGNORED),
    }
