"""The specification twin is itself checked against formulas and against polling."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naive import LIFE, Env, NaiveEvent, NaiveFlows, NaiveThreshold, Reading, Sample
from tidegate.engine.definition import Statistic
from tidegate.engine.syntax import parse_definition, parse_threshold

HOST = ("10.0.0.1:3", "10.1.2.3")


def flows_of(**spec: object) -> NaiveFlows:
    return NaiveFlows(parse_definition("f", {"keys": "ipsource", "value": "frames", **spec}), Env())


def sample(time: float, rate: float = 100.0, source: str = HOST[0], **row: str) -> Sample:
    return Sample(time, source, rate, {"ipsource": HOST[1], "bytes": "1000", **row})


def watch(flows: NaiveFlows, samples: list[Sample], **spec: object) -> NaiveThreshold:
    threshold = NaiveThreshold(parse_threshold("x", {"metric": "f", **spec}), flows)
    for one in samples:
        threshold.observe(one)
    return threshold


def value_of(flows: NaiveFlows, now: float) -> float:
    value = flows.at(HOST, now)[0]
    assert value is not None
    return value


# Flows


def test_one_sample_decays() -> None:
    flows = flows_of(t=2)

    assert flows.update(sample(10.0)) == HOST

    assert value_of(flows, 10.0) == 50.0
    assert value_of(flows, 12.0) == pytest.approx(50.0 * math.exp(-1))


@given(st.lists(st.floats(0.001, 5), min_size=1, max_size=20), st.floats(0.1, 10))
def test_a_rate_is_the_sum_of_aged_samples(gaps: list[float], t: float) -> None:
    flows, times = flows_of(t=t), [sum(gaps[:place]) for place in range(len(gaps))]
    for time in times:
        flows.update(sample(time))
    now = times[-1] + 0.5 * t

    assert value_of(flows, now) == pytest.approx(sum(100 / t * math.exp((time - now) / t) for time in times), rel=1e-3)


def test_steady_traffic_reads_as_its_rate() -> None:
    flows = flows_of(value="bytes", t=1)
    for place in range(2000):
        flows.update(sample(place * 0.01))

    assert value_of(flows, 19.99) == pytest.approx(100 * 1000 / 0.01, rel=0.01)


def test_bits_are_eight_times_bytes() -> None:
    both = [flows_of(value=value) for value in ("bytes", "bps")]
    for flows in both:
        flows.update(sample(0.0))

    assert value_of(both[1], 0.0) == 8 * value_of(both[0], 0.0) == 8 * 100 * 1000 / 2


@pytest.mark.parametrize(
    "spec",
    [
        {"keys": "ipsource,vlan"},
        {"filter": "ipsource!=10.1.2.3"},
        {"value": "ipttl"},
        {"value": "ipsource"},
        {"dropped": True},
    ],
)
def test_samples_that_belong_to_no_flow(spec: dict[str, object]) -> None:
    assert flows_of(**spec).update(sample(0.0)) is None


def test_keys_are_joined_and_may_be_absent() -> None:
    assert flows_of(keys="ipsource,null:vlan", fs="_SEP_").update(sample(0.0)) == (HOST[0], "10.1.2.3_SEP_null")
    assert flows_of(keys="").update(sample(0.0)) == (HOST[0], "")
    dropped = Sample(0.0, "a", 1.0, {"ipsource": "1"}, dropped=True)
    assert flows_of(dropped=True).update(dropped) == ("a", "1")


def test_data_sources_are_apart() -> None:
    flows = flows_of()
    flows.update(sample(0.0))

    assert flows.at(("10.0.0.1:4", HOST[1]), 0.0) == [None]


def test_values_of_all_kinds() -> None:
    flows = flows_of(value="bytes", values="avg:ipttl,min:ipttl,max:ipttl,count:ipdestination", t=4)
    for time, rate, ttl, destination in ((0.0, 100.0, "10", "a"), (1.0, 300.0, "30", "b"), (2.0, 100.0, "20", "a")):
        flows.update(sample(time, rate, ipttl=ttl, ipdestination=destination))
    flows.update(sample(2.0))  # without both

    ages = [(100 * math.exp(-2 / 4), 10), (300 * math.exp(-1 / 4), 30), (100.0, 20)]
    mean = sum(weight * number for weight, number in ages) / sum(weight for weight, _ in ages)
    assert flows.at(HOST, 2.0)[1:] == pytest.approx([mean, 10, 30, 2])
    assert flows.at(HOST, 4.0)[1:] == pytest.approx([mean, 10, 30, 2])
    flows.update(sample(5.0, ipttl="25", ipdestination="c"))
    assert flows.at(HOST, 7.0)[2:] == pytest.approx([10, 30, 3])
    assert flows.at(HOST, 8.0)[2:] == pytest.approx([25, 25, 1])
    assert flows.at(HOST, 12.0)[2:] == [None, None, None]


def test_a_flow_without_samples_is_gone_and_starts_anew() -> None:
    flows = flows_of(t=1)
    flows.update(sample(0.0))
    assert flows.at(HOST, LIFE) == [None]

    flows.update(sample(LIFE))

    assert value_of(flows, LIFE) == 100.0


numbers = st.sampled_from([0.0, 1.0, 2.0, 3.0, 5.0])


@given(
    st.sampled_from(Statistic),
    st.lists(st.tuples(st.sampled_from([0.0, 0.25, 0.5, 1.0, 1.5]), numbers), min_size=1, max_size=6),
    st.sampled_from([0.25, 0.5, 1.5, 2.0, 4.0]),
)
def test_the_moment_of_the_fall_is_where_polling_finds_it(
    statistic: Statistic, steps: list[tuple[float, float]], limit: float
) -> None:
    reading, now = Reading(statistic, 1.0), 0.0
    for gap, number in steps:
        now += gap
        reading.add(now, 1.0, number)
    value = reading.at(now)
    if value is None or value <= limit:
        return

    until = reading.above_until(limit)

    above = [tick for tick in range(1100) if ((reading.at(now + tick / 100 + 0.005)) or 0.0) > limit]
    polled = now + (above[-1] + 1) / 100 if above else now
    assert until == pytest.approx(polled, abs=0.011)


# Thresholds. With t=1 and frames, a sample at rate r lifts the reading by r.


def test_an_event_when_the_limit_is_crossed_and_no_second_while_triggered() -> None:
    samples = [sample(0.0, 60), sample(0.0, 40), sample(0.0, 1), sample(0.1, 500)]

    threshold = watch(flows_of(t=1), samples, value=100, byFlow=True, timeout=1)

    assert threshold.events == [NaiveEvent(0.0, *HOST, 101.0)]


def test_it_is_armed_again_when_the_reading_has_stayed_at_the_limit_for_the_timeout() -> None:
    fall = math.log(2)  # from 200 to 100
    for late, events in ((-1e-6, 1), (1e-6, 2)):
        samples = [sample(0.0, 200), sample(fall + 0.5 + late, 200)]
        threshold = watch(flows_of(t=1), samples, value=100, byFlow=True, timeout=0.5)
        assert len(threshold.events) == events


def test_one_sample_over_the_limit_restarts_the_wait() -> None:
    samples = [sample(0.0, 200), sample(1.0, 100), sample(1.6, 200)]

    threshold = watch(flows_of(t=1), samples, value=100, byFlow=True, timeout=0.5)

    assert len(threshold.events) == 1  # over again at 1.0, fell at 1.55


def test_samples_below_the_limit_do_not_restart_the_wait() -> None:
    samples = [sample(0.0, 200), sample(1.0, 1), sample(1.1, 1), sample(1.2, 200)]

    threshold = watch(flows_of(t=1), samples, value=100, byFlow=True, timeout=0.5)

    assert [event.time for event in threshold.events] == [0.0, 1.2]


def test_without_timeout_it_is_armed_at_the_moment_of_the_fall() -> None:
    samples = [sample(0.0, 200), sample(0.69, 200), sample(2.0, 200)]

    threshold = watch(flows_of(t=1), samples, value=100, byFlow=True)

    assert [event.time for event in threshold.events] == [0.0, 2.0]


def test_triggered_until_the_timeout_is_over() -> None:
    threshold = watch(flows_of(t=1), [sample(0.0, 200)], value=100, byFlow=True, timeout=1)

    until = math.log(2) + 1
    assert not threshold.triggered(("elsewhere", HOST[1]), 0.0)
    assert threshold.triggered(HOST, 0.0)
    assert threshold.triggered(HOST, until - 1e-6)
    assert not threshold.triggered(HOST, until + 1e-6)


def two_keys() -> list[Sample]:
    return [sample(0.0, 150), sample(0.1, 300, ipsource="10.9.9.9"), sample(0.2, 500, ipsource="10.9.9.9")]


def test_by_flow_each_key_has_its_own_state() -> None:
    threshold = watch(flows_of(t=1), two_keys(), value=100, byFlow=True, timeout=1)

    assert [event.key for event in threshold.events] == [HOST[1], "10.9.9.9"]


def test_not_by_flow_a_source_has_one_state() -> None:
    threshold = watch(flows_of(t=1), two_keys(), value=100, timeout=1)

    assert [event.key for event in threshold.events] == [HOST[1]]
    assert threshold.triggered((HOST[0],), 2.7)  # the other key fell after 2 seconds
    other = watch(flows_of(t=1), [*two_keys(), sample(0.3, 150, source="b")], value=100, timeout=1)
    assert [event.source for event in other.events] == [HOST[0], "b"]


def test_an_event_bears_the_largest_key_of_its_source() -> None:
    samples = [sample(0.0, 150), sample(0.3, 145, ipsource="10.9.9.9"), sample(0.41, 101, ipsource="10.8.8.8")]

    threshold = watch(flows_of(t=1), samples, value=100, timeout=0)

    assert [event.key for event in threshold.events] == [HOST[1]]
    late = watch(flows_of(t=1), [sample(0.0, 90), sample(0.0, 100.5, ipsource="10.9.9.9")], value=100)
    assert [(event.key, event.value) for event in late.events] == [("10.9.9.9", 100.5)]


def test_counts_trigger_and_fall_as_samples_leave_the_periods() -> None:
    flows = flows_of(value="count:ipdestination", t=1)
    samples = [sample(time, ipdestination=name) for time, name in ((0.5, "a"), (1.5, "b"), (1.6, "c"))]

    threshold = watch(flows, samples, value=2, byFlow=True, timeout=0.25)

    assert threshold.events == [NaiveEvent(1.6, *HOST, 3.0)]
    assert threshold.triggered(HOST, 2.24)
    assert not threshold.triggered(HOST, 2.25)


@given(
    st.lists(st.tuples(st.floats(0.0, 1.5), st.sampled_from([50.0, 90.0, 150.0])), min_size=1, max_size=12),
    st.sampled_from([0.0, 0.3, 1.0]),
)
def test_events_are_those_that_fine_polling_finds(steps: list[tuple[float, float]], timeout: float) -> None:
    """Poll each hundredth of a second; where a decision is nearer than that, either answer is right."""
    times = [round(sum(gap for gap, _ in steps[: place + 1]), 2) + 0.005 for place in range(len(steps))]
    samples = [sample(time, rate) for time, (_, rate) in zip(times, steps, strict=True)]
    flows, polled, armed, below_since = flows_of(t=1), [], True, -math.inf
    for tick in range(round(times[-1] * 100) + 2):
        for one in (one for one in samples if round((one.time - 0.005) * 100) == tick):
            flows.update(one)
            if value_of(flows, one.time) > 100:
                polled += [one.time] if armed else []
                armed, below_since = False, math.inf
        now = tick / 100 + 0.01
        below_since = min(below_since, now) if (flows.at(HOST, now)[0] or 0.0) <= 100 else math.inf
        armed = armed or now >= below_since + timeout

    exact = watch(flows_of(t=1), samples, value=100, byFlow=True, timeout=timeout).events
    strict, lax = (
        watch(flows_of(t=1), samples, value=100, byFlow=True, timeout=max(0, timeout + slack)).events
        for slack in (0.025, -0.025)
    )

    if strict == lax == exact:
        assert [event.time for event in exact] == polled
