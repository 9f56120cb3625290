"""The agent's core as a whole: packets, alerts and counters in, datagrams out, whatever changes in between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from naive_sampler import Packet, packed_rows
from tidegate.agent import sampling_kernels
from tidegate.agent.config import AgentConfig, DiscardsConfig, NflogConfig, PsampleConfig, Source
from tidegate.agent.exporter import Exporter
from tidegate.agent.sampler import KnownInterface
from tidegate.data.block import Block
from tidegate.data.sampled import Packets
from tidegate.kernel import compile_kernels
from tidegate.wire.netlink.dropmon import VERSION
from tidegate.wire.netlink.genl import genl_body
from tidegate.wire.netlink.message import Message, attribute
from tidegate.wire.sflow import pack
from tidegate.wire.sflow.decode import decode_datagram
from tidegate.wire.sflow.encode import encode_sample
from tidegate.wire.sflow.host_counters import HostAdapter, HostAdapters
from tidegate.wire.sflow.interface_counters import IfCounters, PortName
from tidegate.wire.sflow.samples import CountersSample, Datagram, DataSource, DiscardedPacket, FlowSample, UnknownRecord

ADDRESS = bytes([192, 0, 2, 1])
MS = 1_000_000
SOURCE = DataSource(0, 3)


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    list(compile_kernels((*sampling_kernels.KERNELS, *pack.KERNELS)))


def exporter(config: AgentConfig | None = None, *, source: Source = Source.PSAMPLE, known: int = 5) -> Exporter:
    one = Exporter(config or AgentConfig(), source=source, agent_address=ADDRESS, seed=7, started_ns=0)
    one.set_interfaces([KnownInterface(index, f"e{index}") for index in range(1, known + 1)], 0)
    return one


def packets(*told: Packet) -> Packets:
    data, rows = packed_rows(told)
    return Packets(data, np.ascontiguousarray(rows), len(told))


def alert(payload: bytes = bytes(60)) -> Message:
    octets = [attribute(6, b"\0\x08"), attribute(7, payload), attribute(23, b"NO_SOCKET\0")]
    return Message(32, 0, 0, 0, genl_body(5, VERSION, *octets))


def decoded(blocks: Iterable[Block]) -> list[Datagram]:
    found = [
        decode_datagram(block.data[start : start + length].tobytes())
        for block in blocks
        for start, length in zip(block.offset.tolist(), block.length.tolist(), strict=True)
    ]
    assert all(datagram.notes == () for datagram in found)
    return found


def everything(one: Exporter, now_ns: int = 0) -> list[Datagram]:
    return decoded(one.take(now_ns, all_of_them=True))


def samples(found: Iterable[Datagram]) -> list[object]:
    return [sample for datagram in found for sample in datagram.samples]


def counters(found: Iterable[Datagram]) -> list[CountersSample]:
    return [sample for sample in samples(found) if isinstance(sample, CountersSample)]


def forms(found: Iterable[Datagram]) -> list[bool]:
    """Return of each flow and counters sample whether it is expanded."""
    return [sample.expanded for sample in samples(found) if isinstance(sample, FlowSample | CountersSample)]


def flows(found: Iterable[Datagram]) -> list[FlowSample]:
    return [sample for sample in samples(found) if isinstance(sample, FlowSample)]


def test_samples_of_all_kinds_share_datagrams() -> None:
    one = exporter()
    one.packets(packets(Packet(input=3), Packet(output=4)), 0)
    one.alerts([alert()], 0)
    one.counters(SOURCE, "e3", [PortName(b"e3")], 0)
    (found,) = everything(one)
    assert [type(sample) for sample in found.samples] == [FlowSample, FlowSample, DiscardedPacket, CountersSample]
    assert (found.agent_address, found.sub_agent_id, found.sequence_number) == (ADDRESS, 100_000, 1)
    assert one.deadline() is None


def test_groups_of_psample_mean_what_the_user_says() -> None:
    config = AgentConfig(psample=PsampleConfig(ingress_groups=(1,), egress_groups=(2,), ignored_groups=(9,)))
    batch = [Packet(group=group, input=3, output=4) for group in (1, 2, 9, 5)]
    one = exporter(config)
    one.packets(packets(*batch), 0)
    assert [sample.source_id.index for sample in flows(everything(one))] == [3, 4, 4]
    one = exporter(config, source=Source.NFLOG)  # whose groups have other meanings
    one.packets(packets(*[msgspec.structs.replace(packet, egress=0) for packet in batch]), 0)
    assert [sample.source_id.index for sample in flows(everything(one))] == [3, 3, 3, 3]


def test_packets_that_tell_no_rate_have_the_configured_one() -> None:
    one = exporter(AgentConfig(nflog=NflogConfig(rate=50)), source=Source.NFLOG)
    one.packets(packets(Packet(input=3, rate=0)), 0)
    assert flows(everything(one))[0].sampling_rate == 50


# Counters.


def test_counters_are_numbered_by_source() -> None:
    one = exporter()
    for source, name in ((SOURCE, "e3"), (DataSource(0, 4), "e4"), (SOURCE, "e3"), (DataSource(2, 1), "host")):
        one.counters(source, name, [PortName(name.encode())], 0)
    found = [(sample.source_id.index, sample.sequence_number) for sample in counters(everything(one))]
    assert found == [(3, 1), (4, 1), (3, 2), (1, 1)]


def test_another_interface_with_the_same_number_begins_anew() -> None:
    one = exporter()
    one.counters(SOURCE, "e3", [PortName(b"e3")], 0)
    one.set_interfaces([KnownInterface(3, "other")], 0)
    one.counters(SOURCE, "other", [PortName(b"other")], 0)
    one.set_interfaces([KnownInterface(3, "e3")], 0)
    one.counters(SOURCE, "e3", [PortName(b"e3")], 0)
    assert [sample.sequence_number for sample in counters(everything(one))] == [1, 1, 1]


def test_counters_that_no_datagram_has_room_for_go_in_several_samples() -> None:
    one = exporter(AgentConfig(datagram_octets=512, polling_s=1))
    records = [UnknownRecord(9, number, bytes(200)) for number in range(5)]
    one.counters(SOURCE, "e3", [IfCounters(*range(1, 20)), *records], 0)
    found = everything(one)
    assert [record for sample in counters(found) for record in sample.records][1:] == records
    assert [sample.sequence_number for sample in counters(found)] == [1, 2, 3]
    assert [len(sample.records) for sample in counters(found)] == [2, 2, 2]


def test_a_record_that_no_datagram_has_room_for_is_left_out_and_counted() -> None:
    adapters = HostAdapters(tuple(HostAdapter(index, (bytes(6),)) for index in range(40)))
    for records in ([adapters], [PortName(b"a"), adapters, PortName(b"b")]):
        one = exporter(AgentConfig(datagram_octets=512))
        one.counters(DataSource(2, 1), "host", records, 0)
        found = [record for sample in counters(everything(one)) for record in sample.records]
        assert found == [record for record in records if record is not adapters]
        assert one.statistics()["counters_too_large"] == 1


def test_a_reading_of_nothing_is_no_sample() -> None:
    one = exporter()
    one.counters(SOURCE, "e3", [], 0)
    assert everything(one) == []


@given(st.lists(st.integers(0, 130), max_size=12), st.sampled_from([512, 600, 1400]))
def test_every_record_goes_out_once_in_order(sizes: list[int], datagram: int) -> None:
    one = exporter(AgentConfig(datagram_octets=datagram))
    records = [UnknownRecord(9, number, bytes(4 * words)) for number, words in enumerate(sizes)]
    one.counters(SOURCE, "e3", records, 0)
    found = counters(everything(one))
    assert [record for sample in found for record in sample.records] == [
        record for record in records if len(record.body) <= datagram - 28 - 20 - 8
    ]
    assert [sample.sequence_number for sample in found] == list(range(1, len(found) + 1))
    for sample, after in pairwise(found):  # none is split where it would fit
        assert len(encode_sample(sample)) + 8 + len(octets_of(after.records[0])) > datagram - 28


def octets_of(record: msgspec.Struct) -> bytes:
    assert isinstance(record, UnknownRecord)
    return record.body


# From compact to expanded.


def test_an_interface_beyond_24_bits_makes_all_samples_expanded_for_good() -> None:
    one = exporter()
    one.packets(packets(Packet(input=3)), 0)
    waiting = decoded(one.set_interfaces([KnownInterface(3, "e3"), KnownInterface(1 << 24, "far")], 5 * MS))
    assert forms(waiting) == [False]
    one.packets(packets(Packet(input=1 << 24), Packet(input=3)), 5 * MS)
    one.counters(DataSource(0, 1 << 24), "far", [PortName(b"far")], 5 * MS)
    found = everything(one, 5 * MS)
    assert [sample.source_id.index for sample in flows(found)] == [1 << 24, 3]
    assert forms(found) == [True] * 3
    assert [datagram.sequence_number for datagram in waiting + found] == [1, 2]
    assert one.set_interfaces([KnownInterface(3, "e3")], 6 * MS) == []
    one.packets(packets(Packet(input=3)), 6 * MS)
    assert flows(everything(one))[0].expanded


def test_the_number_before_is_compact() -> None:
    one = exporter()
    one.set_interfaces([KnownInterface((1 << 24) - 1, "near")], 0)
    one.packets(packets(Packet(input=(1 << 24) - 1)), 0)
    one.counters(DataSource(0, (1 << 24) - 1), "near", [PortName(b"near")], 0)
    found = everything(one)
    assert forms(found) == [False] * 2


def test_counters_of_such_an_interface_are_enough() -> None:
    one = exporter()
    one.packets(packets(Packet(input=3)), 0)
    one.counters(DataSource(0, 1 << 24), "far", [PortName(b"far")], 0)
    found = everything(one)
    assert forms(found) == [False, True]


def test_learning_such_an_interface_loses_nothing_that_waits() -> None:
    one = exporter(known=0)
    for number, index in enumerate((3, 4, 1 << 24, 5)):
        batch = packets(Packet(input=index))
        one.learn(batch)
        one.packets(batch, number * MS)
    found = everything(one, 4 * MS)
    assert [sample.source_id.index for sample in flows(found)] == [3, 4, 1 << 24, 5]
    assert forms(found) == [False, False, True, True]


# Another configuration.


def test_reconfiguring_loses_nothing() -> None:
    one = exporter(AgentConfig(most_samples=1 << 20))
    one.packets(packets(*[Packet(input=3, sequence=number) for number in range(40)]), 0)
    one.counters(SOURCE, "e3", [PortName(b"e3")], 0)
    config = AgentConfig(datagram_octets=512, header_octets=16, sub_agent=9, discards=DiscardsConfig(per_second=1))
    waiting = decoded(one.configure(config, agent_address=bytes(16), now_ns=3 * MS))
    assert (len(flows(waiting)), len(counters(waiting))) == (40, 1)
    assert {datagram.sub_agent_id for datagram in waiting} == {100_000}
    one.packets(packets(*[Packet(input=3, sequence=number) for number in range(40, 50)]), 4 * MS)
    one.counters(SOURCE, "e3", [PortName(b"e3")], 4 * MS)
    assert len(one.alerts([alert()] * 5, 4 * MS)) == 1
    found = everything(one, 4 * MS)
    assert {(datagram.sub_agent_id, datagram.agent_address) for datagram in found} == {(9, bytes(16))}
    assert [sample.sequence_number for sample in flows(waiting + found)] == list(range(1, 51))
    assert [sample.sequence_number for sample in counters(waiting + found)] == [1, 2]
    assert {sample.drops for sample in flows(found)} == {0}
    numbered = [datagram.sequence_number for datagram in waiting + found]
    assert numbered == list(range(1, len(numbered) + 1))
    assert one.statistics()["samples"] == 53


def test_groups_that_are_ignored_for_a_while_lost_nothing() -> None:
    one = exporter()
    one.packets(packets(Packet(group=7, input=3, sequence=0)), 0)
    ignoring = AgentConfig(psample=PsampleConfig(ignored_groups=(7,)))
    one.configure(ignoring, agent_address=ADDRESS, now_ns=0)
    one.packets(packets(Packet(group=7, input=3, sequence=1)), 0)
    one.configure(AgentConfig(), agent_address=ADDRESS, now_ns=0)
    one.packets(packets(Packet(group=7, input=3, sequence=2)), 0)
    assert [(sample.sequence_number, sample.drops) for sample in flows(everything(one))] == [(2, 0)]


@pytest.mark.parametrize("address", [ADDRESS, bytes(16)])
@pytest.mark.parametrize(("header", "datagram"), [(512, 512), (512, 8192), (16, 512), (128, 1400)])
def test_alerts_fit_the_smallest_datagram_with_the_longest_header(header: int, datagram: int, address: bytes) -> None:
    config = AgentConfig(header_octets=header, datagram_octets=datagram)
    one = Exporter(AgentConfig(), source=Source.NONE, agent_address=address, seed=1, started_ns=0)
    one.configure(config, agent_address=address, now_ns=0)
    texts = [attribute(kind, b"x" * 99) for kind in (3, 15, 16, 23)]
    longest = Message(
        32, 0, 0, 0, genl_body(5, VERSION, *texts, attribute(5, bytes(7) + b"\1"), attribute(7, bytes(900)))
    )
    short = alert(bytes(900))
    assert (
        len(one.alerts([msgspec.structs.replace(longest, body=longest.body + attribute(14, b"\1\0")), short], 0)) == 2
    )
    assert len(samples(everything(one))) == 2


def test_what_became_of_everything_is_told() -> None:
    one = exporter(AgentConfig(discards=DiscardsConfig(per_second=1)))
    one.packets(packets(Packet(input=3, sequence=0), Packet(input=3, sequence=2), Packet(input=99)), 0)
    one.alerts([alert(), alert()], 0)
    everything(one)
    told = Counter(one.statistics())
    assert {name for name, count in told.items() if count} == {
        "packets_taken", "packets_lost", "packets_unknown_interface", "sub_sampling", "discards_suppressed_or_lost",
        "samples", "datagrams",
    }  # fmt: skip
    assert (told["packets_taken"], told["packets_lost"], told["samples"], told["datagrams"]) == (3, 1, 4, 1)


class Taken(msgspec.Struct, frozen=True):
    """A step of the property below."""

    packets: int = 0
    alerts: int = 0
    readings: int = 0
    far: bool = False
    octets: int = 0  # of another configuration


TAKEN = st.builds(
    Taken, st.integers(0, 40), st.integers(0, 3), st.integers(0, 3), st.sampled_from([False] * 5 + [True]),
    st.sampled_from([0, 0, 0, 512, 1400]),
)  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, 150), TAKEN), max_size=20))
def test_what_goes_in_comes_out_in_order(steps: list[tuple[int, Taken]]) -> None:
    one = exporter(AgentConfig(most_samples=10_000_000, discards=DiscardsConfig(per_second=100_000)))
    now_ns = came = alerts = readings = 0
    found: list[Datagram] = []
    for passed, step in [*steps, (1000, Taken())]:
        while (due := one.deadline()) is not None and due <= now_ns + passed * MS:
            found += decoded(one.take(max(due, now_ns)))
        now_ns += passed * MS
        if step.far:
            found += decoded(one.set_interfaces([KnownInterface(3, "e3"), KnownInterface(1 << 30, "far")], now_ns))
        if step.octets:
            config = AgentConfig(most_samples=10_000_000, datagram_octets=step.octets)
            found += decoded(one.configure(config, agent_address=ADDRESS, now_ns=now_ns))
        one.packets(packets(*[Packet(input=3, sequence=came + number) for number in range(step.packets)]), now_ns)
        alerts += len(one.alerts([alert()] * step.alerts, now_ns))
        for _ in range(step.readings):
            one.counters(SOURCE, "e3", [PortName(b"e3")], now_ns)
        came, readings = came + step.packets, readings + step.readings
    assert one.deadline() is None
    assert [sample.sequence_number for sample in flows(found)] == list(range(1, came + 1))
    assert [sample.sequence_number for sample in counters(found)] == list(range(1, readings + 1))
    assert [datagram.sequence_number for datagram in found] == list(range(1, len(found) + 1))
    assert len(samples(found)) == came + alerts + readings == one.statistics()["samples"]
    assert all(sample.drops == 0 for sample in flows(found))
