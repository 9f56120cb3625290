from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

import captures
import strategies
from tidegate.errors import DecodeError
from tidegate.wire.sflow.decode import MAX_DEPTH, decode_datagram
from tidegate.wire.sflow.flow_records import Extended80211Aggregation, ExtendedSwitch, SampledHeader, SampledIpv4
from tidegate.wire.sflow.keys import flow_words
from tidegate.wire.sflow.samples import (
    BadReason,
    BadSample,
    CountersSample,
    DataSource,
    DiscardedPacket,
    FlowSample,
    InterfaceWord,
    Metric,
    Note,
    Problem,
    Rtmetric,
    UnknownRecord,
    UnknownSample,
)
from tidegate.wire.sflow.tunnel_records import ExtendedIpv4TunnelIngress
from tidegate.wire.sflow.view import datagram_json

HEAD = (5, 1, 0xC0000201, 0, 1, 1000)
MOST = (1 << 32) - 1


def octets(*parts: int | bytes) -> bytes:
    return b"".join(part if isinstance(part, bytes) else struct.pack(">I", part) for part in parts)


def block(tag: int, body: bytes, length: int | None = None) -> bytes:
    return octets(tag, len(body) if length is None else length, body, bytes(-len(body) % 4))


def flow(*records: bytes, rate: int = 100, count: int | None = None) -> bytes:
    body = octets(1, 5, rate, 100, 0, 5, 6, len(records) if count is None else count, *records)
    return block(1, body)


def gram(*samples: bytes, count: int | None = None) -> bytes:
    return octets(*HEAD, len(samples) if count is None else count, *samples)


SWITCH = block(1001, octets(1, 2, 3, 4))
RECORD = ExtendedSwitch(1, 2, 3, 4)


def problems(data: bytes) -> list[Problem]:
    return [note.problem for note in decode_datagram(data).notes]


def records(data: bytes) -> tuple[object, ...]:
    sample = decode_datagram(data).samples[0]
    assert isinstance(sample, FlowSample | CountersSample | DiscardedPacket)
    return sample.records


@pytest.mark.parametrize(
    ("data", "reason", "offset"),
    [
        (b"", "truncated", 0),
        (octets(5), "truncated", 0),
        (octets(4, 1, 2), "version is not 5", 0),
        (octets(5, 3, bytes(40)), "unknown address type", 4),
        (octets(5, 1, 0xC0000201, 0, 1, 1000), "truncated", 12),
        (octets(5, 2, bytes(12)), "truncated", 8),
    ],
)
def test_only_a_header_that_cannot_be_read_raises(data: bytes, reason: str, offset: int) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_datagram(data)
    assert (caught.value.reason, caught.value.offset) == (reason, offset)


@pytest.mark.parametrize(
    ("words", "agent"), [((5, 0), b""), ((5, 1, 1), bytes([0, 0, 0, 1])), ((5, 2, bytes(16)), bytes(16))]
)
def test_agents_of_every_address_type(words: tuple[int | bytes, ...], agent: bytes) -> None:
    assert decode_datagram(octets(*words, 7, 8, 9, 0)).agent_address == agent


def test_an_unknown_version_is_named() -> None:
    with pytest.raises(DecodeError, match=r"version 1703941: version is not 5"):
        decode_datagram(octets(0x001A0005, 0, 0, 0, 0))


def test_the_next_sample_starts_where_the_length_word_says() -> None:
    longer = octets(1, 44, 1, 5, 100, 100, 0, 5, 6, 0, bytes(12))
    datagram = decode_datagram(gram(longer, flow(SWITCH)))
    assert [type(sample) for sample in datagram.samples] == [FlowSample, FlowSample]
    assert records(gram(flow(SWITCH))) == (RECORD,)
    assert datagram.notes == (Note(Problem.SAMPLE_SURPLUS, 68),)


def test_a_sample_that_runs_past_the_datagram_is_read_as_far_as_it_goes() -> None:
    data = gram(flow(SWITCH, SWITCH))[:-4]
    assert records(data) == (RECORD,)
    assert problems(data) == [Problem.TRUNCATED_SAMPLE, Problem.OVERRUN_RECORD]


def test_a_record_that_runs_past_its_sample_ends_it() -> None:
    lying = octets(1001, 17, bytes(16))
    assert records(gram(flow(SWITCH, lying), flow(SWITCH))) == (RECORD,)
    assert problems(gram(flow(SWITCH, lying), flow(SWITCH))) == [Problem.OVERRUN_RECORD]


@pytest.mark.parametrize("count", [2, 1000, MOST])
def test_counts_are_hints(count: int) -> None:
    assert records(gram(flow(SWITCH, count=count))) == (RECORD,)
    assert problems(gram(flow(SWITCH, count=count))) == [Problem.MISSING_RECORDS]
    assert len(decode_datagram(gram(flow(SWITCH), count=count)).samples) == 1
    assert problems(gram(flow(SWITCH), count=count)) == [Problem.MISSING_SAMPLES]


def test_a_count_that_is_too_small_leaves_the_rest() -> None:
    assert records(gram(flow(SWITCH, SWITCH, count=1))) == (RECORD,)
    assert problems(gram(flow(SWITCH), flow(SWITCH), count=1)) == [Problem.TRAILING_OCTETS]


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        (flow(rate=0), BadReason.RATE_ZERO),
        (flow(block(1, octets(1, (1 << 20) + 1, 4, 0))), BadReason.FRAME_TOO_LONG),
        (block(1, bytes(28)), BadReason.SHORT),
        (block(3, bytes(40)), BadReason.SHORT),
        (block(2, bytes(8)), BadReason.SHORT),
        (block(4, bytes(12)), BadReason.SHORT),
        (block(5, bytes(28)), BadReason.SHORT),
        (block(5, bytes(28) + octets(1, block(1, octets(1, MOST, 4, 0)))), BadReason.FRAME_TOO_LONG),
        (block(4300 << 12 | 1002, b""), BadReason.SHORT),
    ],
)
def test_a_bad_sample_does_not_cost_the_others(sample: bytes, reason: BadReason) -> None:
    before, bad, after = decode_datagram(gram(flow(SWITCH), sample, flow(SWITCH))).samples
    assert isinstance(bad, BadSample)
    assert (bad.reason, bad.offset) == (reason, 28 + len(flow(SWITCH)))
    assert before == after


def test_unknown_samples_and_records_are_kept_by_number() -> None:
    strange = block(9 << 12 | 7, b"abc")
    datagram = decode_datagram(gram(strange, flow(strange, SWITCH)))
    assert datagram.samples[0] == UnknownSample(9, 7, b"abc")
    assert records(gram(flow(strange, SWITCH))) == (UnknownRecord(9, 7, b"abc"), RECORD)
    assert datagram.notes == ()


def test_flow_and_counter_records_are_two_spaces_of_numbers() -> None:
    counters = block(2, octets(1, 5, 1, block(1001, octets(1, 2, 3, 0, 5, 0, 6))))
    assert type(records(gram(counters))[0]).__name__ == "Processor"


def test_a_short_record_gives_its_whole_fields() -> None:
    short = block(1001, octets(1, 2, b"\0\0\0"))
    assert records(gram(flow(short))) == (ExtendedSwitch(1, 2),)
    assert problems(gram(flow(short))) == [Problem.SHORT_RECORD]


def test_a_long_record_gives_the_fields_we_know() -> None:
    assert records(gram(flow(block(1001, octets(1, 2, 3, 4, 5))))) == (RECORD,)


def test_header_octets_are_clipped_to_their_record() -> None:
    header = block(1, octets(1, 70, 4, 128, b"\x01\x02\x03\x04"))
    assert records(gram(flow(header))) == (SampledHeader(1, 70, 4, b"\x01\x02\x03\x04"),)


def test_a_header_record_without_length_word_counts_as_none() -> None:
    cut, whole = block(1, octets(1, MOST, 4)), block(1, octets(1, 70, 4, 4, b"abcd"))
    datagram = decode_datagram(gram(flow(cut, whole)))
    sample = datagram.samples[0]
    assert isinstance(sample, FlowSample)
    assert flow_words(datagram, sample)["bytes"] == (70,)


def test_compact_words_are_split_and_expanded_ones_are_not() -> None:
    compact = block(1, octets(1, 2 << 24 | 7, 1, 0, 0, 0x80000003, 0x40000102, 0))
    wide = block(3, octets(1, 2, 7 << 24, 1, 0, 0, 0, 1285816721, 2, 0xFFFFFFFF, 0))
    first, second = decode_datagram(gram(compact, wide)).samples
    assert isinstance(first, FlowSample)
    assert isinstance(second, FlowSample)
    assert (first.source_id, first.input, first.output) == (
        DataSource(2, 7),
        InterfaceWord(2, 3),
        InterfaceWord(1, 258),
    )
    assert (second.source_id, second.input, second.output) == (
        DataSource(2, 7 << 24),
        InterfaceWord(0, 1285816721),
        InterfaceWord(2, 0xFFFFFFFF),
    )


def aggregate(depth: int) -> bytes:
    inner = SWITCH if depth == 0 else aggregate(depth - 1)
    return block(1016, octets(1, 1, inner))


def test_aggregates_are_read_two_deep() -> None:
    two = records(gram(flow(aggregate(1))))
    assert two == (Extended80211Aggregation(((Extended80211Aggregation(((RECORD,),)),),)),)
    assert problems(gram(flow(aggregate(1)))) == []
    assert problems(gram(flow(aggregate(MAX_DEPTH)))) == [Problem.DEEP_RECORD]


def test_nesting_as_deep_as_a_datagram_allows_is_harmless() -> None:
    assert problems(gram(flow(aggregate(200)))) == [Problem.DEEP_RECORD]


def test_an_aggregate_without_count_is_empty() -> None:
    assert records(gram(flow(block(1016, b"\0\0")))) == (Extended80211Aggregation(),)
    assert problems(gram(flow(block(1016, b"")))) == [Problem.SHORT_RECORD]


def test_a_record_inside_a_record_may_be_cut_or_absent() -> None:
    assert records(gram(flow(block(1024, b"")))) == (ExtendedIpv4TunnelIngress(),)
    cut = ExtendedIpv4TunnelIngress(SampledIpv4(40, 47, bytes([10, 0, 0, 1])))
    assert records(gram(flow(block(1024, octets(40, 47, 0x0A000001, b"\x0a"))))) == (cut,)


@pytest.mark.parametrize("count", [3, MOST])
def test_an_aggregate_with_a_lying_count_gives_what_is_there(count: int) -> None:
    lying = block(1016, octets(count, 1, SWITCH))
    assert records(gram(flow(lying))) == (Extended80211Aggregation(((RECORD,),)),)
    assert problems(gram(flow(lying))) == [Problem.SHORT_RECORD]


def test_a_metric_of_unknown_type_ends_the_list() -> None:
    name = octets(1, b"a\0\0\0")
    body = octets(name, 3, name, 1, 7, name, 99, 8, name, 1, 9)
    assert decode_datagram(gram(block(4300 << 12 | 1002, body))).samples == (Rtmetric(b"a", (Metric(b"a", 1, 7),)),)


@pytest.mark.parametrize("count", [1, MOST])
def test_metrics_that_are_cut_leave_those_before_them(count: int) -> None:
    name = octets(1, b"a\0\0\0")
    body = octets(name, 1 + count if count < MOST else count, name, 1, 7, name)
    assert decode_datagram(gram(block(4300 << 12 | 1002, body))).samples == (Rtmetric(b"a", (Metric(b"a", 1, 7),)),)


def reads(data: bytes) -> None:
    """Decode and show: nothing but DecodeError may come out."""
    try:
        datagram = decode_datagram(data)
    except DecodeError:
        return
    datagram_json(datagram)


@pytest.mark.parametrize("capture", [name for name in captures.names() if "segv" not in name])
def test_truncation_at_each_octet_loses_no_sample_before_it(capture: str) -> None:
    data = captures.datagrams(capture)[0]
    header = 40 if data[7] == 2 else 28
    for size in range(header):
        with pytest.raises(DecodeError):
            decode_datagram(data[:size])
    seen = 0
    for size in range(header, len(data)):
        samples = decode_datagram(data[:size]).samples
        assert len(samples) >= seen
        seen = len(samples)


@pytest.mark.parametrize("capture", ["gopacket-live.pcap", "cistern-host.bin", "goflow2-drop-acl.bin"])
def test_what_is_left_of_a_datagram_can_be_shown(capture: str) -> None:
    data = captures.datagrams(capture)[0]
    for size in range(0, len(data), 3):
        reads(data[:size])


@given(strategies.damaged(strategies.captured()))
def test_damaged_captures_never_crash(data: bytes) -> None:
    reads(data)


@given(st.binary(max_size=400))
def test_noise_never_crashes(data: bytes) -> None:
    reads(octets(*HEAD, MOST) + data)
    reads(data)


@given(st.lists(st.integers(0, 12) | st.sampled_from([1001, 1003, 1016, 2206, MOST]), max_size=60))
def test_words_that_look_like_structure_never_crash(words: list[int]) -> None:
    reads(octets(*HEAD, MOST, *words))
