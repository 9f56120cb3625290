"""What the engine tells depends on the samples and their order alone, not on how they were cut into batches."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flow_batches import START_NS, Packet, last_second, step
from tidegate.engine.engine import Engine, EngineConfig
from tidegate.engine.events import Event, FlowRecord
from tidegate.engine.lookups import Lookups
from tidegate.engine.syntax import parse_definition, parse_threshold

TINY = EngineConfig(table_size=4, max_sources=3, max_agents=3, texts=4, text_octets=64)
SPECS: list[dict[str, Any]] = [
    {"keys": "ipsource", "value": "bytes", "values": "frames,avg:ipttl,max:ipttl,count:vlan", "log": True},
    {"keys": "ipsource", "value": "frames", "log": True, "flowStart": True, "activeTimeout": 2},
    {"keys": "ipsource", "value": "frames", "t": 0.5, "log": True, "activeTimeout": 1},
    {"keys": "ipsource,null:vlan", "value": "avg:ipttl", "values": "count:vlan", "t": 0.5},
    {"keys": "ipsource", "value": "max:ipttl", "values": "bytes", "t": 1},
    {"keys": "", "value": "count:ipsource", "values": "min:ipttl", "t": 4},
    {"keys": "ipsource", "value": "frames", "aggMode": "AGENT", "log": True},
]
LIMITS: list[dict[str, Any]] = [
    {"value": 40, "byFlow": True, "timeout": 0.3},
    {"value": 1, "byFlow": False, "timeout": 0},
    {"value": 60, "byFlow": True, "timeout": 10},
]
# Jitter, steps of the clock, silences in which records end, and more than the 128 t after which weights are rebased.
GAPS_NS = [0, 1, 100_000_000, 700_000_000, 1_000_000_000, 6_000_000_000, 70_000_000_000, 300_000_000_000]
BACK_NS = [-1, -500_000_000, -1_000_000_001, -3_600_000_000_000]
packets = st.lists(
    st.builds(
        Packet,
        row=st.fixed_dictionaries(
            {"ipsource": st.integers(0, 9).map("10.0.0.{}".format), "bytes": st.sampled_from(["64", "1500"])},
            optional={"ipttl": st.sampled_from(["1", "64"]), "vlan": st.sampled_from(["1", "2", "3"])},
        ),
        time_ns=st.sampled_from([*GAPS_NS[:5], *GAPS_NS, *BACK_NS]),
        agent=st.sampled_from(["10.0.0.1", "10.0.0.1", "10.0.0.2"]),
        source=st.sampled_from([1, 2]),
        rate=st.sampled_from([1.0, 100.0]),
        sequence=st.integers(0, 9),
    ),
    min_size=1,
    max_size=30,
)


def timed(gaps: list[Packet]) -> list[Packet]:
    times = START_NS + np.cumsum([packet.time_ns for packet in gaps])
    return [msgspec.structs.replace(packet, time_ns=int(time)) for packet, time in zip(gaps, times, strict=True)]


def run(
    batches: list[list[Packet]], specs: list[dict[str, Any]], seed: int = 0
) -> tuple[list[Event | FlowRecord], list[bytes]]:
    """Return everything that is told, and the tables at the end."""
    engine = Engine(TINY, Lookups(), seed=seed)
    for place, spec in enumerate(specs):
        engine.set_flow(parse_definition(f"f{place}", spec))
        for number, limit in enumerate(LIMITS):
            engine.set_threshold(parse_threshold(f"x{place}.{number}", {"metric": f"f{place}", **limit}))
    told = [one for batch in batches if batch for one in step(engine, batch)]
    told += engine.finish()
    last = last_second(engine)
    tables = [flow.table.readings(last) for flow in engine.flows.values()]
    return told, [part.tobytes() for one in tables for part in (one.keys, one.values, one.samples, one.interval)]


@given(packets, st.lists(st.sampled_from(SPECS), min_size=1, max_size=3), st.lists(st.integers(0, 30), max_size=5))
def test_any_cut_tells_the_same(drawn: list[Packet], specs: list[dict[str, Any]], cuts: list[int]) -> None:
    packets = timed(drawn)
    whole, tables = run([packets], specs)
    ends = sorted({0, len(packets), *(cut for cut in cuts if cut < len(packets))})

    parts, tables_of_parts = run([packets[start:end] for start, end in pairwise(ends)], specs)
    singles, tables_of_singles = run([[packet] for packet in packets], specs)

    assert parts == whole
    assert singles == whole
    assert tables == tables_of_parts == tables_of_singles


@given(packets, st.lists(st.sampled_from(SPECS), min_size=1, max_size=2), st.integers(0, (1 << 64) - 1))
def test_any_seed_tells_the_same(drawn: list[Packet], specs: list[dict[str, Any]], seed: int) -> None:
    """Of few different ones: counts of many depend on the seed."""
    packets = timed(drawn)

    assert run([packets], specs, seed) == run([packets], specs)


def test_counts_of_many_addresses_are_the_same_in_every_run() -> None:
    gaps = [Packet({"ipsource": f"10.0.{number // 250}.{number % 250}"}, time_ns=10**5) for number in range(2000)]
    spec = {"keys": "", "value": "count:ipsource", "t": 10}
    told = [run([timed(gaps)], [spec], seed) for seed in (0, 1, 1 << 63)]
    assert told[0] == told[1] == told[2]


def test_advancing_between_batches_changes_no_record() -> None:
    spec = {"keys": "ipsource", "value": "frames", "log": True, "activeTimeout": 2, "t": 0.5}
    rng = np.random.default_rng(4)
    gaps = [
        Packet({"ipsource": f"10.0.0.{rng.integers(3)}"}, time_ns=int(rng.integers(10**7, 4 * 10**9)))
        for _ in range(60)
    ]
    packets = timed(gaps)
    engine, told = Engine(TINY, Lookups()), []
    engine.set_flow(parse_definition("f0", spec))
    for before, packet in pairwise([packets[0], *packets]):
        for tenth in range(0, packet.time_ns - before.time_ns, 10**8):
            told += engine.advance(before.time_ns + tenth)
        told += step(engine, [packet])
    told += engine.finish()

    records = [one for one in run([packets], [spec])[0] if isinstance(one, FlowRecord)]
    assert len(records) > 10
    assert sorted(map(repr, told)) == sorted(map(repr, records))
