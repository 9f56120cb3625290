"""The engine while it runs: definitions, thresholds, groups and clocks that change."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_batches import SMALL, START_NS, Packet, datagrams_of, flow_batch, last_second, refs, step
from tidegate.data.batch import DatagramBatch
from tidegate.engine.engine import Engine
from tidegate.engine.events import Event, FlowRecord
from tidegate.engine.labels import parse_group, parse_map
from tidegate.engine.lookups import Lookups
from tidegate.engine.syntax import parse_definition, parse_threshold

SECOND = 1_000_000_000
KEY = {"ipsource": "10.1.2.3", "bytes": "1000"}


def engine_of(*specs: dict[str, Any]) -> Engine:
    engine = Engine(SMALL, Lookups())
    for place, spec in enumerate(specs or ({},)):
        put(engine, f"f{place}" if place else "f", **spec)
    return engine


def put(engine: Engine, name: str = "f", **spec: Any) -> None:  # noqa: ANN401 - attributes of the language
    engine.set_flow(parse_definition(name, {"keys": "ipsource", "value": "frames", "t": 1, **spec}))


def limit(engine: Engine, name: str = "x", **spec: Any) -> None:  # noqa: ANN401 - attributes of the language
    engine.set_threshold(parse_threshold(name, {"metric": "f", "value": 50, "byFlow": True, "timeout": 5, **spec}))


def at(seconds: float, **fields: Any) -> Packet:  # noqa: ANN401 - fields of a packet
    return msgspec.structs.replace(Packet(KEY, time_ns=START_NS + round(seconds * SECOND)), **fields)


def shown(engine: Engine, name: str = "f") -> dict[str, float]:
    flow = engine.flows[name]
    found = flow.table.readings(last_second(engine))
    return dict(
        zip((flow.key_text(tuple(key[1:])) for key in found.keys.tolist()), found.values[0].tolist(), strict=True)
    )


def events(told: list[Event | FlowRecord]) -> list[Event]:
    return [one for one in told if isinstance(one, Event)]


def records(told: list[Event | FlowRecord]) -> list[FlowRecord]:
    return [one for one in told if isinstance(one, FlowRecord)]


# Definitions and thresholds


def test_nothing_comes_of_nothing() -> None:
    engine = engine_of()

    assert step(engine, []) == []
    assert engine.advance(START_NS) == engine.finish() == []
    assert shown(engine) == {}


def test_the_same_definition_again_keeps_its_flows_and_another_does_not() -> None:
    engine = engine_of()
    step(engine, [at(0)])

    put(engine)
    assert shown(engine) == {"10.1.2.3": 100}

    put(engine, t=2)
    assert shown(engine) == {}


def test_a_definition_that_is_cleared_needs_nothing_and_tells_nothing() -> None:
    engine = engine_of()
    limit(engine)

    engine.clear_flow("f")
    engine.clear_flow("f")

    assert engine.needs() == frozenset()
    assert step(engine, [at(0)]) == []


def test_thresholds_wait_for_their_definition_and_outlive_it() -> None:
    engine = Engine(SMALL, Lookups())
    limit(engine)
    assert step(engine, [at(0)]) == []

    put(engine)
    assert len(step(engine, [at(0)])) == 1

    put(engine, value="bytes")  # another definition: thresholds begin armed
    assert len(step(engine, [at(0)])) == 1


def test_the_same_threshold_again_keeps_its_state_and_another_begins_armed() -> None:
    engine = engine_of()
    limit(engine)
    assert len(step(engine, [at(0)])) == 1

    limit(engine)
    limit(engine, "y", value=80)
    assert [one.threshold_id for one in events(step(engine, [at(0)]))] == ["y"]

    limit(engine, value=60)
    assert [one.threshold_id for one in events(step(engine, [at(0)]))] == ["x"]

    engine.clear_threshold("x")
    engine.clear_threshold("x")
    limit(engine)
    assert [one.threshold_id for one in events(step(engine, [at(0)]))] == ["x"]


def test_a_threshold_that_moves_to_another_metric() -> None:
    engine = engine_of({}, {"value": "bytes"})
    limit(engine)

    limit(engine, metric="f1")

    assert [one.metric for one in events(step(engine, [at(0)]))] == ["f1"]


def test_triggered_as_the_threshold_says() -> None:
    engine = engine_of()
    limit(engine)
    limit(engine, "all", byFlow=False, timeout=0)
    step(engine, [at(0)])
    now = START_NS
    words = (0, 0xFFFF0A000001)

    assert engine.triggered("x", "f", now, place=(words, "3"), key="10.1.2.3")
    assert engine.triggered("x", "f", now, place=(words, "3"), key=None)
    assert not engine.triggered("x", "f", now, place=(words, "3"), key="10.9.9.9")
    assert not engine.triggered("x", "f", now, place=(words, "4"), key="10.1.2.3")
    assert not engine.triggered("x", "g", now, place=(words, "3"), key=None)
    assert not engine.triggered("z", "f", now, place=(words, "3"), key=None)
    assert engine.triggered("all", "f", now, place=(words, "3"), key=None)
    assert not engine.triggered("all", "f", now + SECOND, place=(words, "3"), key=None)  # 100 falls to 50 in 0.7 s
    assert engine.triggered("x", "f", now + 5 * SECOND, place=(words, "3"), key=None)
    assert not engine.triggered("x", "f", now + 6 * SECOND, place=(words, "3"), key=None)


def test_an_event_tells_what_section_6_says() -> None:
    engine = engine_of({"values": "bytes,avg:ipttl"})
    limit(engine)

    (event,) = events(step(engine, [at(0.25), at(0.25, rate=60.0), at(0.25, rate=10.0)]))

    assert event.interval == pytest.approx(1.96 * 100)
    assert event == Event(
        event_id=0, timestamp=START_NS // 1_000_000 + 250, threshold_id="x", metric="f", threshold=50.0, value=100.0,
        agent="10.0.0.1", data_source="3", flow_key="10.1.2.3", values=(100_000.0, None), samples=1.0,
        interval=event.interval, time_ns=START_NS + SECOND // 4,
    )  # fmt: skip


def test_an_event_of_a_total_has_no_key() -> None:
    engine = engine_of({"keys": ""})
    limit(engine)

    (event,) = events(step(engine, [at(0)]))

    assert (event.flow_key, event.values) == (None, None)


def test_samples_and_interval_are_those_of_the_moment_and_not_of_the_batch() -> None:
    engine = engine_of()
    limit(engine, value=150)

    (event,) = events(step(engine, [at(0), at(0), at(0), at(0)]))

    assert (event.value, event.samples) == (200, 2)
    assert event.interval == pytest.approx(1.96 * 100 * 2**0.5)


# Groups and maps


def test_a_group_that_is_replaced_counts_at_once() -> None:
    engine = engine_of({"keys": "group:ipsource:g", "filter": "map:ipsource:m!=no"})
    engine.set_group("g", parse_group("g", {"a": ["10.0.0.0/8"]}))
    step(engine, [at(0)])
    engine.set_group("g", parse_group("g", {"b": ["10.1.0.0/16"]}))
    step(engine, [at(0)])
    engine.set_map("m", parse_map("m", {"no": ["10.1.2.3"]}))
    step(engine, [at(0)])
    engine.set_map("m", None)
    engine.set_group("g", parse_group("g", {"c": ["10.1.2.3"]}))
    step(engine, [at(0)])

    assert shown(engine) == {"a": 100, "b": 100, "c": 100}


# Modes


def test_one_table_an_agent() -> None:
    engine = engine_of({"aggMode": "AGENT"})
    limit(engine, value=250, byFlow=False)
    packets = [at(0, source=source, agent=agent) for agent in ("::1", "::2") for source in (7, 8, 9)]

    told = events(step(engine, packets))

    assert shown(engine) == {"10.1.2.3": 300}  # of both agents: the last one shown
    assert len(engine.flows["f"].table) == 2
    assert [(one.agent, one.data_source, one.value) for one in told] == [("::1", "7", 300), ("::2", "7", 300)]


def test_definitions_of_discards_see_only_those() -> None:
    engine = engine_of({}, {"dropped": True})

    step(engine, [at(0), at(0, dropped=True, rate=1.0, row={"ipsource": "10.9.9.9"})])

    assert shown(engine) == {"10.1.2.3": 100}
    assert shown(engine, "f1") == {"10.9.9.9": 1}


def test_samples_of_data_sources_there_is_no_room_for_belong_to_no_flow() -> None:
    engine = engine_of()

    step(engine, [at(0, source=source) for source in range(20)])

    assert len(engine.flows["f"].table) == SMALL.max_sources
    assert engine.sources.refused == 4


def test_keys_that_were_seen() -> None:
    engine = engine_of({"keys": "ipsource,null:vlan"})

    step(engine, [at(0)])

    assert engine.keys_seen == {refs("ipsource")[0]: START_NS}


# Records


def test_a_record_of_a_flow_that_ended() -> None:
    engine = engine_of({"log": True, "value": "bytes"})

    told = step(engine, [at(0), at(1.5), at(30, row={"ipsource": "10.9.9.9", "bytes": "1"})])

    assert told == [
        FlowRecord(
            flow_id=0, name="f", flow_keys="10.1.2.3", value=200_000.0, start=START_NS // 1_000_000,
            end=START_NS // 1_000_000 + 1500, agent="10.0.0.1", data_source="3",
        )
    ]  # fmt: skip
    assert [one.flow_keys for one in records(engine.finish())] == ["10.9.9.9"]
    assert engine.finish() == []


def test_records_close_without_samples_as_time_goes_on() -> None:
    engine = engine_of({"log": True})
    step(engine, [at(0)])

    assert engine.advance(START_NS + 4 * SECOND) == []
    assert len(engine.advance(START_NS + 6 * SECOND)) == 1


def test_a_long_flow_is_told_each_active_timeout() -> None:
    engine = engine_of({"log": True, "activeTimeout": 2})

    told = records(step(engine, [at(tenth / 10) for tenth in range(50)]))

    assert [(one.start - START_NS // 1_000_000, one.end - START_NS // 1_000_000) for one in told] == [
        (0, 1900),
        (2000, 3900),
    ]
    assert [one.value for one in told] == [2000, 2000]


def test_flow_start_tells_when_a_flow_appears_and_again_after_the_active_timeout() -> None:
    engine = engine_of({"log": True, "flowStart": True, "activeTimeout": 1})

    told = records(step(engine, [at(0.0), at(0.5), at(1.5), at(9)]))

    assert [(one.start - START_NS // 1_000_000, one.value) for one in told] == [(0, 100), (1500, 100), (9000, 100)]
    assert engine.finish() == []


def test_without_log_there_are_no_records() -> None:
    engine = engine_of({"flowStart": True})

    assert step(engine, [at(0), at(100)]) == engine.finish() == []


# Clocks


def test_small_steps_back_are_jitter_and_time_stands_still() -> None:
    engine = engine_of()

    step(engine, [at(10), at(9.5)])

    assert shown(engine) == pytest.approx({"10.1.2.3": 200})
    assert engine.seconds(START_NS + 9 * SECOND) == engine.seconds(START_NS + 10 * SECOND)


def test_a_clock_that_is_set_back_goes_on_from_where_it_was() -> None:
    engine = engine_of({"log": True})
    step(engine, [at(3600), at(0), at(1)])

    assert shown(engine)["10.1.2.3"] == pytest.approx(200 * np.exp(-1) + 100)
    (record,) = records(engine.advance(START_NS + 60 * SECOND))
    assert (record.start, record.end) == (START_NS // 1_000_000, START_NS // 1_000_000 + 1000)  # as the clock goes now
    assert engine.seconds(START_NS + 2 * SECOND) == pytest.approx(last_second(engine) + 1)


def test_a_clock_that_is_set_forward_ends_the_flows() -> None:
    engine = engine_of()

    step(engine, [at(0), at(40_000_000), at(40_000_000)])

    assert shown(engine) == {"10.1.2.3": 200}


@given(st.lists(st.sampled_from([0, 1, 10**8, 10**10, -1, -(10**9), -(10**9) - 1, -(10**12), 10**15]), min_size=1))
def test_time_never_goes_back(gaps: list[int]) -> None:
    engine = engine_of()
    times = [START_NS + sum(gaps[: place + 1]) for place in range(len(gaps))]
    last = 0.0
    for time in times:
        step(engine, [at(0, time_ns=time)])
        now = last_second(engine)
        assert now >= last
        last = now


def test_datagrams_without_samples_are_accounted() -> None:
    engine = engine_of()
    datagrams: DatagramBatch = datagrams_of([at(0), at(0, sequence=4)])

    assert engine.step(datagrams, flow_batch([], engine.needs())) == []

    (agent,) = engine.sources.counts()
    assert agent.datagrams.lost == 2
