"""What the decoder does with blocks, whatever they hold; that fields are right is the business of test_agree."""

from __future__ import annotations

import random
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import captures
import strategies
from tidegate.data.block import Block, block_of
from tidegate.data.fields import FIELDS, FieldRef
from tidegate.kernel import compile_kernels
from tidegate.wire.packet.columns import MAX_MARKS
from tidegate.wire.sflow import columns
from tidegate.wire.sflow.columns import AgentFilter, Decoder
from tidegate.wire.sflow.index import TAG_SLOTS
from tidegate.wire.sflow.origins import Record
from tidegate.wire.sflow.rows import Flow
from twins import NEEDS, SEED, block_with_gaps, differences, found_flows

ALL = (1 << 32) - 1


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    list(compile_kernels(columns.KERNELS))


def words(*numbers: int) -> bytes:
    return b"".join(struct.pack(">I", number) for number in numbers)


def datagram(*samples: bytes, agent: int = 0xC0000201, count: int | None = None) -> bytes:
    return words(5, 1, agent, 0, 7, 1000, len(samples) if count is None else count) + b"".join(samples)


def sample(tag: int, body: bytes, *, length: int | None = None) -> bytes:
    return words(tag, len(body) if length is None else length) + body


def flow(*records: bytes, rate: int = 10, count: int | None = None) -> bytes:
    number = len(records) if count is None else count
    return sample(1, words(1, 3, rate, 20, 0, 3, 4, number) + b"".join(records))


def test_nothing() -> None:
    found = Decoder().decode(block_of([], []), NEEDS)
    assert (len(found.datagrams), len(found.flows), len(found.counters)) == (0, 0, 0)
    assert all(column.present.size == 0 for column in found.flows.columns.values())


def test_empty_datagrams() -> None:
    decoder = Decoder()
    found = decoder.decode(block_of([b"", b"", b""], [1, 2, 3]), NEEDS)
    assert len(found.datagrams) == 0
    assert decoder.statistics().counts["bad_truncated"] == 3


@pytest.mark.parametrize("count", [1 << 31, ALL])
def test_counts_are_hints(count: int) -> None:
    cases = [
        datagram(flow(), count=count),
        datagram(flow(sample(1, words(1, 64, 0, count)), count=count), count=count),
        datagram(flow(words(1003, 40, 0, 1, 2, 3, count, 2, count, 5, 6, 7))),
        datagram(flow(words(1003, 32, 0, 1, 2, 3, 0, count, 9, 9))),
        datagram(flow(words(2206, 16, 1, 1, count, 0))),
        datagram(sample(1, words(1, 3, 1, 1, 0, 3, 4, 0), length=count), flow()),
    ]
    assert differences(cases) == []


def test_the_longest_datagram() -> None:
    record = sample(1, words(1, 64, 0, 64) + bytes(64))
    longest = datagram(*[flow(record) for _ in range(510)])
    assert 65_000 < len(longest) <= 65_535
    found = Decoder().decode(block_of([longest] * 3, [0] * 3), [FieldRef("stack")])
    assert len(found.flows) == 3 * 510


def densest() -> list[bytes]:
    """Samples with as many marks an octet as any: as IPv6 in IPv6, as elements of records, as neither."""
    six = bytes([0x60, 0, 0, 0, 0, 0, 41, 64]) + bytes(32)
    header = six * 14
    stack = words(1, 16 + len(header), 11, 64, 0, len(header)) + header
    elements = b"".join(
        words(tag, size) + body
        for tag, size, body in [
            (1002, 16, words(1, 1, 1, 1)),
            (1003, 44, words(1, 1, 1, 1, 1, 1, 2, 1, 9, 0, 1)),
            (2206, 29, words(1, 1, 1, 1 << 24) + words(1, 1 << 24, 0) + b"\0"),
            (2202, 40, words(0, 0, 0, 0, 1, 1, 1, 1, 1, 1)),
            (3, 8, words(1, 6)),
            (4, 8, words(1, 17)),
            *[(tag, 0, b"") for tag in (2, 1001, 1019, 1024, 1026, 1029, 1030, 1036, 1039, 1040, 2100, 2101, 2209)],
        ]
    )
    return [datagram(*[flow(record) for _ in range(40)]) for record in (stack, elements, b"", elements + stack)]


@pytest.mark.parametrize("payload", densest())
def test_the_densest_input_finds_room(payload: bytes) -> None:
    assert differences([payload]) == []
    decoder = Decoder()
    for end in range(len(payload), 0, -97):
        decoder.decode(block_of([payload[:end]], [0]), ())
    assert len(decoder._marks) >= decoder._flows[0, int(Flow.MARKS_END)]


def test_no_header_brings_more_marks_than_there_is_room_for() -> None:
    """The bound of a header alone: the marks behind those of its records."""
    decoder = Decoder()
    for payload in densest():
        rows = len(decoder.decode(block_of([payload], [0]), ()).flows)
        for row in range(rows):
            first, last = decoder._flows[row, int(Flow.MARKS)], decoder._flows[row, int(Flow.MARKS_END)]
            kinds = decoder._marks[first:last, 0]
            assert (kinds < Record.ETHERNET).sum() <= MAX_MARKS


@given(st.lists(st.binary(max_size=200) | strategies.damaged(strategies.captured()), max_size=8), st.integers(0, 99))
def test_any_octets(payloads: list[bytes], seed: int) -> None:
    """Kernels check their indices, so that reading or writing outside would raise."""
    rng = random.Random(seed)  # noqa: S311 - no secret
    block = block_with_gaps(payloads, gap=rng.randrange(9))
    Decoder().decode(block, NEEDS)


def test_a_decoder_grows_when_a_block_does() -> None:
    decoder = Decoder(seed=SEED)
    for octets in range(200):
        payload = (datagram(flow(*[words(2, 0)] * 10, count=99)) + bytes(200))[:octets]
        decoder.decode(block_of([payload], [0]), ())
        assert decoder._octets >= octets
        assert len(decoder._counters) >= octets // 20


def test_nothing_leaks_from_block_to_block() -> None:
    decoder = Decoder(seed=SEED)
    first, second = captures.datagrams("goflow2-basic.bin"), captures.datagrams("cistern-flow.bin")
    alone = found_flows(Decoder(seed=SEED).decode(block_of(second, [1]), NEEDS).flows)
    before = decoder.decode(block_of(first * 20, [0] * 20), NEEDS)
    kept = found_flows(before.flows)
    assert found_flows(decoder.decode(block_of(second, [1]), NEEDS).flows) == alone
    assert found_flows(before.flows) == kept  # what was given on is a copy
    assert len(decoder.decode(block_of([b""], [2]), NEEDS).flows) == 0


def test_only_columns_that_are_needed() -> None:
    block = block_of(captures.datagrams("goflow2-basic.bin"), [0])
    needs = [FieldRef("ipsource"), FieldRef("ipsource", 1)]
    assert list(Decoder().decode(block, needs).flows.columns) == needs
    assert len(FIELDS) == len({need.name for need in NEEDS})


def test_a_filter_lets_agents_in() -> None:
    mask = np.array([[ALL << 32 | ALL, ALL << 32 | 0xFFFFFF00]], np.uint64)
    network = np.array([[0, 0xFFFFC0000200]], np.uint64)
    decoder = Decoder(agents=AgentFilter(network=network, mask=mask))
    counters = sample(2, words(1, 3, 0))
    payloads = [
        datagram(flow(), counters, agent=0xC0000301),
        datagram(flow(rate=7), counters, agent=0xC0000201),
        b"\0\0\0\4",
        datagram(flow(), flow(rate=8), agent=0xC00002FF),
        datagram(flow(), agent=0),
    ]
    found = decoder.decode(block_of(payloads, [1, 2, 3, 4, 5]), ())
    assert found.datagrams.time_ns.tolist() == [2, 4]
    assert found.flows.rate.tolist() == [7, 10, 8]
    assert found.flows.datagram.tolist() == [0, 1, 1]
    assert found.flows.time_ns.tolist() == [2, 4, 4]
    assert found.counters.datagram.tolist() == [0]
    assert decoder.statistics().not_allowed == 2


def test_odd_numbers_do_not_grow_the_statistics() -> None:
    decoder = Decoder()
    rng = random.Random(1)  # noqa: S311 - no secret
    seen = 0
    for _ in range(20):
        payloads = [datagram(sample(rng.getrandbits(32) | 1 << 31, b""), flow(words(4096 + n, 0))) for n in range(200)]
        payloads += [words(rng.getrandbits(32) | 1 << 31, 1, 1) for _ in range(200)]
        decoder.decode(block_of(payloads, [0] * 400), ())
        seen += 200 * 4
    found = decoder.statistics()
    odd = [found.samples, found.records, found.versions]
    assert sum(len(numbers) for numbers in odd) <= TAG_SLOTS + 2
    counted = sum(count for numbers in odd for count in numbers.values()) + found.counts["other_tags"]
    assert counted == seen  # odd samples, flow samples, records and versions
    assert found.samples["0:1"] == 4000
    assert found.counts["other_tags"] > 0


def test_a_block_may_be_read_only_or_not() -> None:
    payload = captures.datagrams("goflow2-basic.bin")[0]
    plain = block_of([payload], [0])
    writable = Block(
        data=np.array(plain.data), offset=plain.offset.copy(), length=plain.length.copy(), time_ns=plain.time_ns,
        source_high=plain.source_high, source_low=plain.source_low, source_port=plain.source_port,
    )  # fmt: skip
    assert not plain.data.flags.writeable
    one, other = (found_flows(Decoder(seed=SEED).decode(block, NEEDS).flows) for block in (plain, writable))
    assert one == other


def test_a_block_too_large_for_marks_is_refused() -> None:
    plain = block_of([b""], [0])
    huge = Block(
        data=np.broadcast_to(np.zeros(1, np.uint8), 1 << 31), offset=plain.offset, length=plain.length,
        time_ns=plain.time_ns, source_high=plain.source_high, source_low=plain.source_low,
        source_port=plain.source_port,
    )  # fmt: skip
    with pytest.raises(ValueError, match="2147483648 octets"):
        Decoder().decode(huge, ())
