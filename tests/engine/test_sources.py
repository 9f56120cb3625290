"""Numbers of data sources, and what sequence numbers and pools tell."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_batches import START_NS, Packet, datagrams_of, flow_batch
from naive_kernels import NaiveSequence
from tidegate.data.address import parse_address
from tidegate.data.batch import CounterBatch
from tidegate.engine.sources import Sequence, Sources, source_text

WHOLE = 1 << 32


def judged(sequences: list[int]) -> Sequence:
    """Return what the flow samples of one data source tell."""
    sources = Sources(agents=2, sources=2)
    sources.note_flows(flow_batch([Packet({}, sequence=number % WHOLE) for number in sequences], []))
    return sources.source_counts(0).flows


@pytest.mark.parametrize("start", [1, 0, WHOLE - 3])
@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ([0], Sequence(1)),
        ([0, 1, 2, 3, 4, 5], Sequence(6)),
        ([0, 1, 4, 5], Sequence(4, lost=2)),
        ([0, 1, 1, 2], Sequence(4, duplicates=1)),
        ([0, 2, 1, 3], Sequence(4, out_of_order=1)),
        ([0, 3, 2, 2, 4], Sequence(5, lost=1, out_of_order=1, duplicates=1)),
        ([0, 70, 5], Sequence(3, lost=69, restarts=1)),  # too late to be told from a restart
        ([0, 65_536], Sequence(2, lost=65_535)),
        ([0, 65_537], Sequence(2, restarts=1)),
        ([100_000, 100_001, 1, 2, 3], Sequence(5, restarts=1)),
    ],
)
def test_what_numbers_tell(start: int, steps: list[int], told: Sequence) -> None:
    assert judged([start + step for step in steps]) == told


def test_four_series_at_once_are_no_loss() -> None:
    starts = [10, 1_000_000, 2_000_000_000, 3_000_000_000]

    told = judged([start + turn for turn in range(50) for start in starts])

    assert told == Sequence(200, restarts=3)


def test_series_near_each_other_are_told_apart_once_both_are_known() -> None:
    starts = [30_000, 1_000]  # the other way round, the first step from one to the other looks like a loss

    assert judged([start + turn for turn in range(50) for start in starts]) == Sequence(100, restarts=1)


def test_a_fifth_series_takes_the_place_of_the_one_unused_for_longest() -> None:
    starts = [number * 1_000_000 for number in range(5)]

    told = judged([*starts, *(start + 1 for start in starts[1:]), 1])

    assert told == Sequence(10, restarts=5)


steps = st.one_of(st.integers(-70, 70), st.sampled_from([1, 1, 1, 2, 65_536, 65_537, 1 << 31, -100_000, 10**9]))


@given(st.integers(0, WHOLE - 1), st.lists(steps, max_size=60))
def test_accounting_is_that_of_the_twin_and_never_loses_billions(start: int, drawn: list[int]) -> None:
    numbers = [int(number) % WHOLE for number in start + np.cumsum([0, *drawn])]
    naive = NaiveSequence()
    for number in numbers:
        naive.add(number)

    told = judged(numbers)

    assert told == Sequence(naive.received, naive.lost, naive.out_of_order, naive.duplicates, naive.restarts)
    assert 0 <= told.lost <= 65_536 * len(numbers)


def test_discarded_packets_are_not_in_the_series() -> None:
    sources = Sources(agents=2, sources=2)

    sources.note_flows(flow_batch([Packet({}), Packet({}, sequence=50, dropped=True), Packet({}, sequence=2)], []))

    assert sources.source_counts(0).flows == Sequence(2)


# Pools


def pool_of(*samples: tuple[int, float]) -> float | None:
    sources = Sources(agents=2, sources=2)
    sources.note_flows(flow_batch([Packet({}, pool=pool, rate=rate) for pool, rate in samples], []))
    return sources.source_counts(0).effective_rate


def test_the_effective_rate_is_the_advance_of_the_pool_a_sample() -> None:
    assert pool_of((1000, 100.0)) is None
    assert pool_of((1000, 100.0), (1090, 100.0), (1210, 100.0)) == 105.0
    assert pool_of((WHOLE - 50, 100.0), (50, 100.0)) == 100.0
    assert pool_of((5_000_000, 100.0), (0, 100.0), (100, 100.0)) == 100.0  # a restart is left out
    assert pool_of((0, 100.0), (0, 100.0)) is None  # agents that do not count


def test_drops_and_rate_are_the_last_told() -> None:
    sources = Sources(agents=2, sources=2)
    assert sources.note_flows(flow_batch([], [])).tolist() == []

    sources.note_flows(flow_batch([Packet({}, rate=10.0, drops=3), Packet({}, rate=20.0, drops=4)], []))

    counts = sources.source_counts(0)
    assert (counts.rate, counts.drops, counts.source) == (20, 4, 3)


# Tables


def test_numbers_are_given_in_order_of_appearance_and_stay() -> None:
    sources = Sources(agents=8, sources=8)
    packets = [
        Packet({}, source=source, agent=agent) for source, agent in ((3, "::1"), (4, "::1"), (3, "::2"), (4, "::1"))
    ]

    assert sources.note_flows(flow_batch(packets, [])).tolist() == [0, 1, 2, 1]
    assert sources.note_flows(flow_batch(packets[::-1], [])).tolist() == [1, 2, 1, 0]
    assert [sources.place_of(number) for number in range(3)] == [("::1", "3"), ("::1", "4"), ("::2", "3")]
    assert sources.first_of_agent(np.array([0, 1, 2, -1])).tolist() == [0, 0, 2, -1]
    assert list(sources.find(parse_address("::1"), "4")) == [1]
    assert sources.of_agents(None).tolist() == [True] * 3
    assert sources.of_agents(frozenset([parse_address("::2")])).tolist() == [False, False, True]
    assert len(sources) == 3


def test_a_full_table_refuses_and_counts() -> None:
    sources = Sources(agents=2, sources=2)
    packets = [Packet({}, agent=f"10.0.0.{number}") for number in range(5)]

    sources.note_datagrams(datagrams_of(packets))
    assert sources.note_flows(flow_batch(packets, [])).tolist() == [0, 1, -1, -1, -1]
    assert sources.note_flows(flow_batch(packets[:3], [])).tolist() == [0, 1, -1]

    assert sources.refused == 4
    assert sources.untold == 3
    assert [counts.datagrams.received for counts in sources.counts()] == [1, 1]


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3)), max_size=60))
def test_numbering_is_that_of_a_dictionary(drawn: list[tuple[int, int]]) -> None:
    sources = Sources(agents=4, sources=8)
    batch = flow_batch([Packet({}, source=source, agent=f"10.0.0.{agent}") for source, agent in drawn], [])
    known = {key: number for number, key in enumerate(dict.fromkeys(drawn)) if number < 8}

    assert sources.note_flows(batch).tolist() == [known.get(key, -1) for key in drawn]
    assert sources.refused == sum(key not in known for key in drawn)


def test_agents_are_counted_over_sub_agents() -> None:
    sources = Sources(agents=4, sources=8)
    packets = [
        Packet({}, sub_agent=sub_agent, sequence=number, time_ns=START_NS + number)
        for sub_agent, number in ((0, 1), (1, 900_001), (0, 2), (0, 5), (1, 900_002))
    ]
    sources.note_datagrams(msgspec.structs.replace(datagrams_of(packets), uptime_ms=np.array([1, 2, 3, 4, 5])))
    sources.note_flows(flow_batch(packets, []))

    (agent,) = sources.counts()

    assert agent.datagrams == Sequence(5, lost=2)
    assert (agent.first_ns - START_NS, agent.last_ns - START_NS, agent.uptime_ms) == (1, 900_002, 5)
    assert [one.sub_agent for one in agent.sources] == [0, 1]
    assert agent.sources[0].flows == Sequence(3, lost=2)


def test_counters_samples_have_their_own_series() -> None:
    sources = Sources(agents=4, sources=2)
    datagrams = datagrams_of([Packet({}), Packet({}, agent="10.0.0.2")])
    whole = np.array([0, 0, 1, 1], np.int64)
    counters = CounterBatch(
        datagram=whole,
        source=np.array([3, 3, 3, 9], np.uint64),
        sequence=np.array([1, 3, 8, 1], np.int64),
        start=whole,
        stop=whole,
        data=np.zeros(1, np.uint8),
    )

    sources.note_counters(counters, datagrams)

    assert sources.source_counts(0).counters == Sequence(2, lost=1)
    assert sources.source_counts(0).flows == Sequence()
    assert sources.source_counts(1).counters == Sequence(1)
    assert sources.refused == 1


@pytest.mark.parametrize(("source", "text"), [(3, "3"), (2 << 32 | 1, "2.1"), (0, "0"), (255 << 32 | 7, "255.7")])
def test_texts_of_data_sources(source: int, text: str) -> None:
    assert source_text(source) == text
