from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.engine.events import ActiveFlow
from tidegate.engine.reading import Snapshot, each_source, locations, merged
from tidegate.engine.source_kernels import KERNELS
from tidegate.kernel import compile_kernels

NAN = math.nan
# (key, data source, value, further value, samples, interval); whole numbers, so that sums have one result
Row = tuple[int, int, float, float, float, float]


@pytest.fixture(scope="module", autouse=True)
def _kernels() -> None:
    list(compile_kernels(KERNELS))


def _text(words: tuple[int, ...]) -> str:
    return f"key{words[0]}"


def snapshot_of(shard: int, rows: list[Row]) -> Snapshot:
    columns = np.array(rows, float).reshape(-1, 6)
    return Snapshot(
        keys=np.column_stack([columns[:, 0], 7 * columns[:, 0]]).astype(np.uint64),
        sources=columns[:, 1].astype(np.int64),
        values=columns[:, 2:4].T.copy(),
        samples=columns[:, 4],
        interval=columns[:, 5],
        text=_text,
        place=lambda number: (f"agent{shard}", str(number)),
        seed=9,
    )


def flow_of(shard: int, row: Row) -> ActiveFlow:
    key, source, value, further, samples, interval = row
    return ActiveFlow(
        key=f"key{key}",
        value=value,
        agent=f"agent{shard}",
        data_source=str(source),
        flow_n=1,
        values=(None if math.isnan(further) else further,),
        samples=samples,
        interval=None if math.isnan(interval) else interval,
    )


def naive(shards: list[list[Row]], mode: str, most: int, least: float) -> list[ActiveFlow]:
    by_key: dict[int, list[ActiveFlow]] = {}
    for shard, rows in enumerate(shards):
        for row in rows:
            if not math.isnan(row[2]):
                by_key.setdefault(row[0], []).append(flow_of(shard, row))
    flows = [_together(parts, mode) for parts in by_key.values()]
    return sorted((flow for flow in flows if flow.value >= least), key=lambda flow: -flow.value)[:most]


def _together(parts: list[ActiveFlow], mode: str) -> ActiveFlow:
    largest = max(parts, key=lambda flow: flow.value)
    values = [flow.values[0] for flow in parts if flow.values and flow.values[0] is not None]
    count = len(parts) if mode == "avg" else 1
    one: dict[str, Any] = {
        "value": sum(flow.value for flow in parts) / count,
        "values": (sum(values) / (len(values) if mode == "avg" else 1) if values else None,),
        "samples": sum(flow.samples or 0.0 for flow in parts),
        "interval": None
        if any(flow.interval is None for flow in parts)
        else math.sqrt(sum((flow.interval or 0.0) ** 2 for flow in parts)) / count,
    }
    if mode == "max":
        one = {name: getattr(largest, name) for name in one}
    return ActiveFlow(key=largest.key, agent=largest.agent, data_source=largest.data_source, flow_n=len(parts), **one)


whole = st.integers(0, 20).map(float)
row = st.tuples(st.integers(1, 6), st.integers(0, 3), whole | st.just(NAN), whole | st.just(NAN), whole, whole)
shards_of_rows = st.lists(
    st.lists(row, max_size=12, unique_by=lambda one: one[:2]), min_size=1, max_size=3
)  # a data source has one row a key


def exactly(flows: list[ActiveFlow]) -> list[tuple[object, ...]]:
    """Return flows without the order of equal values, and with rounded roots."""
    found = [
        (-flow.value, flow.key, flow.flow_n, flow.values, flow.samples, round(flow.interval or 0, 9)) for flow in flows
    ]
    return sorted(found, key=repr)


@given(shards_of_rows, st.sampled_from(["max", "sum", "avg"]), st.sampled_from([0.0, 5.0, 21.0]))
def test_merging_is_what_it_says(shards: list[list[Row]], mode: str, least: float) -> None:
    taken = [snapshot_of(number, rows) for number, rows in enumerate(shards)]
    flows = merged(taken, mode=mode, most=100, least=least)
    expected = naive(shards, mode, 100, least)
    if mode == "max":  # of two places with the same largest value either may speak
        assert [
            (flow.key, flow.value, flow.flow_n) for flow in sorted(flows, key=lambda one: (-one.value, one.key))
        ] == [(flow.key, flow.value, flow.flow_n) for flow in sorted(expected, key=lambda one: (-one.value, one.key))]
        every = {
            (one.key, one.value, one.agent, one.data_source, one.values, one.samples, one.interval)
            for shard, rows in enumerate(shards)
            for one in (flow_of(shard, row) for row in rows)
        }
        assert {(f.key, f.value, f.agent, f.data_source, f.values, f.samples, f.interval) for f in flows} <= every
    else:
        assert exactly(flows) == exactly(expected)
    assert [flow.value for flow in flows] == sorted((flow.value for flow in flows), reverse=True)


@given(shards_of_rows, st.sampled_from(["max", "sum", "avg"]), st.integers(1, 4))
def test_only_the_largest_are_given(shards: list[list[Row]], mode: str, most: int) -> None:
    taken = [snapshot_of(number, rows) for number, rows in enumerate(shards)]
    every = merged(taken, mode=mode, most=1000, least=0.0)
    assert merged(taken, mode=mode, most=most, least=0.0) == every[:most]


@given(shards_of_rows, st.integers(1, 6))
def test_locations_are_all_rows_of_a_key(shards: list[list[Row]], key: int) -> None:
    taken = [snapshot_of(number, rows) for number, rows in enumerate(shards)]
    expected = [
        flow_of(number, one)
        for number, rows in enumerate(shards)
        for one in rows
        if one[0] == key and not math.isnan(one[2])
    ]
    found = locations(taken, f"key{key}")
    assert sorted(found, key=repr) == sorted(expected, key=repr)
    assert [flow.value for flow in found] == sorted((flow.value for flow in found), reverse=True)


@given(shards_of_rows, st.integers(1, 4))
def test_each_source_gives_its_largest(shards: list[list[Row]], most: int) -> None:
    taken = [snapshot_of(number, rows) for number, rows in enumerate(shards)]
    found = each_source(taken, most)
    for number, rows in enumerate(shards):
        for source in {one[1] for one in rows}:
            values = sorted((one[2] for one in rows if one[1] == source and not math.isnan(one[2])), reverse=True)
            mine = [flow.value for flow in found if (flow.agent, flow.data_source) == (f"agent{number}", str(source))]
            assert mine == values[:most]


def test_nothing_merges_to_nothing() -> None:
    empty = snapshot_of(0, [])
    assert merged([], mode="sum", most=1, least=0.0) == []
    assert merged([empty, empty], mode="sum", most=1, least=0.0) == []
    assert locations([empty], "key1") == each_source([empty], 3) == []


def test_rows_without_a_value_count_for_nothing() -> None:
    taken = snapshot_of(0, [(1, 0, 4.0, NAN, 1.0, 3.0), (1, 1, NAN, 9.0, 5.0, 3.0), (1, 2, 2.0, NAN, 1.0, 4.0)])
    (flow,) = merged([taken], mode="avg", most=9, least=0.0)
    assert (flow.value, flow.flow_n, flow.values, flow.samples, flow.interval) == (3.0, 2, (None,), 2.0, 2.5)
