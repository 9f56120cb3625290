"""The table keeps what its docstring promises, whatever comes."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from naive_kernels import NaiveLog, NaiveTable
from tidegate.engine.definition import Statistic
from tidegate.engine.rows import Items, Rows
from tidegate.engine.table import FlowTable, Log, Readings, Shape
from tidegate.kernel import F64, U64

CAPACITY = 8
T = 2.0
SEED = np.uint64(0xFEDCBA9876543210)
CLOSE = 1 + 1e-9


def shape(capacity: int = CAPACITY, *statistics: Statistic, words: int = 1, log: Log | None = None) -> Shape:
    return Shape(
        words=words,
        t=T,
        statistics=statistics or (Statistic.RATE,),
        capacity=capacity,
        sources=4,
        log=log,
        seed=int(SEED),
    )


def rows_of(keys: U64, times: F64, amounts: F64, words: U64 | None = None) -> Rows:
    """Return rows of one data source; each statistic gets the amounts, or the words."""
    present = np.ones(len(times), np.bool_)
    items = Items(amounts, words if words is not None else np.zeros(len(times), np.uint64), present)
    whole = np.column_stack([np.zeros(len(keys), np.uint64), keys])
    return Rows(
        keys=np.ascontiguousarray(whole, np.uint64),
        times=times,
        sources=np.zeros(len(times), np.int64),
        rates=np.ones(len(times)),
        items=(items,) * 6,
    )


def table_of(shape: Shape, samples: list[tuple[float, int, float]]) -> FlowTable:
    table = FlowTable(shape)
    add(table, samples)
    return table


def add(table: FlowTable, samples: list[tuple[float, int, float]]) -> None:
    times, keys, amounts = (np.array(column) for column in zip(*samples, strict=True))
    rows = rows_of(keys.astype(np.uint64)[:, np.newaxis], times.astype(np.float64), amounts.astype(np.float64))
    table.add(keep_items(rows, table))


def keep_items(rows: Rows, table: FlowTable) -> Rows:
    kept = rows.items[: len(table.shape.statistics)]
    return Rows(keys=rows.keys, times=rows.times, sources=rows.sources, rates=rows.rates, items=kept)


def by_key(readings: Readings) -> dict[int, float]:
    return dict(zip(readings.keys[:, 1].tolist(), readings.values[0].tolist(), strict=True))


# The three guarantees, on streams that overflow the table all the time

gaps = st.sampled_from([0.0, 0.0, 0.01, 0.5, 3.0, 25.0, 300.0])
uniform = st.lists(st.tuples(gaps, st.integers(0, 40), st.sampled_from([1.0, 10.0])), min_size=1, max_size=120)
heavy = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.01, 0.1]), st.sampled_from([1, 1, 1, 2, 2, 3]) | st.integers(4, 10**6), st.just(5.0)
    ),
    min_size=1,
    max_size=120,
)


@st.composite
def adversarial(draw: st.DrawFn) -> list[tuple[float, int, float]]:
    """A key that is fed just as others push it out, each time with slightly more."""
    amount, samples = draw(st.floats(0.5, 2.0)), []
    for turn in range(draw(st.integers(1, 8))):
        samples += [(0.001, 1, amount)]
        samples += [(0.001, 1000 * turn + other, draw(st.sampled_from([amount, 1.01 * amount]))) for other in range(10)]
    return samples


def timed(drawn: list[tuple[float, int, float]]) -> list[tuple[float, int, float]]:
    times = 1000.0 + np.cumsum([gap for gap, _, _ in drawn])
    return [(float(time), key, amount) for time, (_, key, amount) in zip(times, drawn, strict=True)]


streams = st.one_of(uniform, heavy, adversarial()).map(timed)


@given(streams, st.sampled_from([0.0, 0.7, 10.0]))
def test_the_three_guarantees(samples: list[tuple[float, int, float]], late: float) -> None:
    table, naive = FlowTable(shape()), NaiveTable(T)
    for sample in samples:
        heavy_before = [(key, table.reading((0, *key), sample[0])) for key in naive.samples]
        add(table, [sample])
        naive.add(sample[0], (sample[1],), sample[2])
        limit = 2 * naive.total(sample[0]) / CAPACITY
        for key, before in heavy_before:
            if before is not None and before > limit * CLOSE:
                assert table.reading((0, *key), sample[0]) is not None
    now = samples[-1][0] + late

    lost = table.lost(now)
    for key in naive.samples:
        true, reading = naive.reading(key, now), table.reading((0, *key), now) or 0.0
        assert reading <= true * CLOSE
        # a flow that was forgotten starts its life anew, and so may outlive the reset of the true one
        assert reading >= true - lost * CLOSE - 1e-9 * true
        if true > lost * CLOSE:
            assert table.reading((0, *key), now) is not None


@given(streams)
def test_a_table_that_is_large_enough_forgets_nothing_and_is_exact(samples: list[tuple[float, int, float]]) -> None:
    table, naive = table_of(shape(256), samples), NaiveTable(T)
    for time, key, amount in samples:
        naive.add(time, (key,), amount)
    now = samples[-1][0] + 0.3

    alive = {key[0]: reading for key in naive.samples if (reading := naive.reading(key, now)) > 0}
    assert by_key(table.readings(now)) == pytest.approx(alive, rel=1e-9)
    assert table.forgotten == 0
    assert table.lost(now) == 0


def arrays_of(table: object) -> Iterator[np.ndarray]:
    """Yield every array that a table holds, however deep."""
    for value in vars(table).values() if hasattr(table, "__dict__") else ():
        parts = value if isinstance(value, list) else [value]
        for part in parts:
            if isinstance(part, np.ndarray):
                yield part
            elif type(part).__module__.startswith("tidegate.engine.statistics"):
                yield from arrays_of(part)


ALL = (Statistic.RATE, Statistic.AVG, Statistic.MIN, Statistic.MAX, Statistic.COUNT, Statistic.RATE)


def test_memory_is_bounded() -> None:
    table = FlowTable(shape(64, *ALL, log=Log(idle=5, active=60, at_start=False)))
    before = [(array.shape, array.dtype) for array in arrays_of(table)]
    rng = np.random.default_rng(1)

    for turn in range(20):
        times = 100.0 + turn + np.sort(rng.random(500))
        keys = rng.integers(0, 1 << 62, (500, 1)).astype(np.uint64)
        table.add(rows_of(keys, times, np.ones(500), keys[:, 0]))

    assert [(array.shape, array.dtype) for array in arrays_of(table)] == before
    assert 0 < len(table) <= 64
    assert table.forgotten > 5000


def test_forgetting_makes_room_for_a_quarter_at_least() -> None:
    table = FlowTable(shape(64))
    table.set_limits(np.array([[0.0, 1e9, 1.0]]), np.ones((1, 4), np.bool_), [-1])

    add(table, [(1.0, key, 1.0) for key in range(65)])

    assert len(table) <= 49  # all were over the limit: they could not all be kept


# Keys that are triggered


@pytest.mark.parametrize(("triggered", "kept"), [(2, True), (3, False)])
def test_triggered_keys_are_kept_up_to_a_quarter_of_the_table(triggered: int, *, kept: bool) -> None:
    table = FlowTable(shape())
    table.set_limits(np.array([[0.9, 30.0, 1.0]]), np.ones((1, 4), np.bool_), [-1])
    add(table, [(10.0, key, 2.0) for key in range(triggered)])

    add(table, [(12.5, 100 + key, 1.7) for key in range(20)])  # each larger now, but not over the limit

    assert all((table.reading((0, key), 12.5) is not None) == kept for key in range(triggered))


def test_a_key_is_no_longer_kept_when_its_timeout_is_over() -> None:
    table = FlowTable(shape())
    table.set_limits(np.array([[0.9, 1.0, 1.0]]), np.ones((1, 4), np.bool_), [-1])
    add(table, [(10.0, 0, 2.0)])

    add(table, [(12.5, 100 + key, 1.7) for key in range(20)])

    assert table.reading((0, 0), 12.5) is None


def test_a_limit_that_stays_keeps_its_state_and_a_new_one_begins_armed() -> None:
    table = FlowTable(shape())
    first, allowed = np.array([[0.5, 10.0, 1.0]]), np.ones((2, 4), np.bool_)
    table.set_limits(first, allowed[:1], [-1])
    add(table, [(0.0, 1, 2.0)])

    table.set_limits(np.array([[0.1, 10.0, 1.0], *first]), allowed, [-1, 0])

    assert table.triggered_keys(1, 0.0).tolist() == [[0, 1]]
    assert table.triggered_keys(0, 0.0).tolist() == []


def test_limits_hold_only_where_they_are_allowed() -> None:
    table = FlowTable(shape())
    table.set_limits(np.array([[0.5, 0.0, 0.0]]), np.zeros((1, 4), np.bool_), [-1])
    rows = keep_items(rows_of(np.zeros((1, 1), np.uint64), np.zeros(1), np.full(1, 9.0)), table)

    assert table.add(rows).crossings == []
    assert not table.triggered(0, 0, 0.0)


# A flood


def test_a_flood_of_random_keys_does_not_push_out_one_percent() -> None:
    table = FlowTable(shape(1 << 18))
    rng = np.random.default_rng(3)
    count, target = 1 << 16, np.uint64(7)
    for turn in range(16):  # about a million keys, in a second
        keys = rng.integers(1 << 32, 1 << 63, (count, 1)).astype(np.uint64)
        keys[rng.random(count) < 0.01] = target
        times = 50.0 + (turn + np.sort(rng.random(count))) / 16
        table.add(keep_items(rows_of(keys, times, np.full(count, 1000.0)), table))

    reading = table.reading((0, int(target)), 51.0)

    weights = (1 - math.exp(-1 / T)) * T  # of samples spread over one second
    assert reading == pytest.approx(16 * count * 0.01 * 1000.0 * weights / T, rel=0.05)
    assert table.forgotten > 700_000
    assert len(table) <= 1 << 18


# Flow records


log_times = st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.9, 3.0, 7.0]), min_size=1, max_size=20)


@given(log_times, st.booleans(), st.sampled_from([1.0, 4.0, 60.0]))
def test_flow_records_are_those_of_the_twin(gaps: list[float], at_start: bool, active: float) -> None:  # noqa: FBT001 - drawn
    table = FlowTable(shape(log=Log(idle=3.0, active=active, at_start=at_start)))
    naive = NaiveLog(3.0, active, at_start=at_start)
    times = 10.0 + np.cumsum(gaps)
    found = []
    for place, time in enumerate(times.tolist()):
        rows = rows_of(np.ones((1, 1), np.uint64), np.array([time]), np.array([place + 1.0]))
        found += [*table.close_idle(math.floor(time)), *table.add(keep_items(rows, table)).records]
        naive.close(math.floor(time))
        naive.add(time, place + 1.0)
    found += table.close_idle(math.inf, everything=True)
    naive.finish()

    assert [(one.start, one.end, one.total) for one in found] == naive.records
    assert {one.key for one in found} == {(0, 1)}


def test_a_flow_that_is_forgotten_ends_its_record() -> None:
    table = FlowTable(shape(log=Log(idle=3.0, active=60.0, at_start=False)))
    samples = [(1.0, key, 1.0 + key) for key in range(8)]
    times, keys, amounts = (np.array(column, np.float64) for column in zip(*samples, (1.5, 99, 1.0), strict=True))
    rows = keep_items(rows_of(keys.astype(np.uint64)[:, np.newaxis], times, amounts), table)

    records = table.add(rows).records

    assert sorted(one.key[1] for one in records) == [0, 1, 2, 3, 4]
    assert {one.row for one in records} == {8}
    assert {one.end for one in records} == {1.0}


# Counts


@given(st.lists(st.integers(0, 1 << 64).map(lambda word: word % (1 << 64)), min_size=1, max_size=32))
def test_few_different_ones_are_counted_exactly(words: list[int]) -> None:
    table = FlowTable(shape(CAPACITY, Statistic.COUNT))
    ones = np.ones((len(words), 1), np.uint64)
    table.add(
        keep_items(rows_of(ones, np.full(len(words), 2.0), np.ones(len(words)), np.array(words, np.uint64)), table)
    )

    assert table.reading((0, 1), 2.0) == len(set(words))


@pytest.mark.parametrize("different", [40, 100, 600, 5_000, 100_000])
def test_many_different_ones_are_estimated(different: int) -> None:
    table = FlowTable(shape(CAPACITY, Statistic.COUNT))
    errors = []
    for key in range(8):
        words = np.random.default_rng([different, key]).integers(0, 1 << 63, different).astype(np.uint64)
        keys = np.full((different, 1), key, np.uint64)
        # half of them in a period, half in the next
        times = np.repeat([2.0, 4.0], [different // 2, different - different // 2])
        table.add(keep_items(rows_of(keys, times, np.ones(different), words), table))
        reading = table.reading((0, key), 5.0)
        assert reading is not None
        errors.append(reading / different - 1)

    assert math.sqrt(np.mean(np.square(errors))) < 0.13  # twice the standard error


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.5, 2.0, 5.0]), st.integers(0, 60)), min_size=1, max_size=60),
    st.sampled_from([0.0, 2.0, 4.0]),
)
def test_counts_are_of_two_periods(drawn: list[tuple[float, int]], late: float) -> None:
    times = 100.0 + np.cumsum([gap for gap, _ in drawn])
    words = np.array([word for _, word in drawn], np.uint64)
    table = FlowTable(shape(CAPACITY, Statistic.COUNT))
    table.add(keep_items(rows_of(np.ones((len(words), 1), np.uint64), times, np.ones(len(words)), words), table))
    now = float(times[-1]) + late

    window = np.floor(times / T) >= math.floor(now / T) - 1
    assume(all(len(set(words[np.floor(times / T) == period])) <= 32 for period in set(np.floor(times / T))))
    expected = len(set(words[window].tolist()))
    assert table.reading((0, 1), now) == (expected or None)


# Intervals


def test_the_interval_covers_the_truth_in_about_95_of_100() -> None:
    """Samples are a Poisson process; the reading is judged when it has settled."""
    rng = np.random.default_rng(5)
    flows, per_second, rate = 400, 20.0, 1000.0
    table = FlowTable(shape(1 << 10))
    count = rng.poisson(flows * per_second * 8 * T)
    times = np.sort(rng.random(count)) * 8 * T
    keys = rng.integers(0, flows, (count, 1)).astype(np.uint64)
    table.add(keep_items(rows_of(keys, times, np.full(count, rate)), table))

    readings = table.readings(8 * T)

    covered = np.abs(readings.values[0] - per_second * rate) <= readings.interval
    assert len(covered) == flows
    assert 0.90 < covered.mean() < 0.985
    assert readings.values[0].mean() == pytest.approx(per_second * rate, rel=0.02)
    assert readings.samples.mean() == pytest.approx(per_second * T, rel=0.05)
