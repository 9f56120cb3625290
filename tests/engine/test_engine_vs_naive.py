"""The engine against its specification: random definitions over random samples, and any cut into batches."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flow_batches import SMALL, START_NS, Packet, lookups_of, step
from flow_readings import cut, readings, same, sample_of_first, seconds_of, timed, told_by
from naive import Env, NaiveFlows, NaiveThreshold
from tidegate.engine.engine import Engine, EngineConfig
from tidegate.engine.events import Event
from tidegate.engine.syntax import parse_definition, parse_threshold

ENV = Env(
    groups={
        "g": {"10.0.0.0/8": "private", "10.1.0.0/16": "site", "0.0.0.0/0": "external", "2001:db8::/32": "six"},
        "narrow": {"192.0.2.1": "server"},
    },
    maps={
        "m": {"02AB10000C01": "printer", "64": "linux", "true": "1", "SYN": "x", "eth.ip.tcp": "tcp", "10.1.2.3": "a"}
    },
    countries={"192.0.2.0/24": ("DE", "Germany"), "10.0.0.0/8": ("", "Nowhere")},
    systems={"192.0.2.0/24": ("64500", "Example Net"), "2001:db8::/32": ("64501", "")},
    hosts={"10.1.2.3": {"host_name": "web1"}, "2001:DB8::1": {"host_name": "web2"}},
    vendors={"02AB10": "Acme"},
)

# Some texts of each form; fields that the functions below have something to say about.
POOLS: dict[str, list[str]] = {
    "ipsource": ["10.1.2.3", "10.9.9.9", "192.0.2.1", "8.8.8.8"],
    "ipsource.1": ["10.1.2.3", "192.0.2.1"],
    "ip6source": ["2001:DB8::1", "FE80::1", "::"],
    "macsource": ["02AB10000C01", "FFFFFFFFFFFF"],
    "ipttl": ["0", "1", "64", "255"],
    "vlan": ["1", "2", "4095"],
    "tcpflags": ["000000010", "000010010", "000000000"],
    "ipecn": ["00", "11"],
    "iptos": ["00000000", "01000000"],
    "ipflags": ["001", "010"],
    "isbroadcast": ["true", "false"],
    "outputifindex": ["internal", "discard", "multiple", "unknown", "0", "1", "64"],
    "direction": ["ingress", "egress"],
    "stack": ["eth.ip.tcp", "eth.vlan.ip6.udp", "eth.ip.udp.vxlan.eth.ip"],
    "ipdscpname": ["be(0)", "unknown(5)"],
    "dnsqtypename": ["A", "1234"],
    "reason": ["acl", "9999"],
    "ibbtopname": ["CNP", "RC_SEND_Only", "200"],
    "ip6extensions": ["0-43-44", "44"],
    "dnsqname": ["www.example.com", "a\\.b.example.com", "."],
    "httpurl": ["/metrics/json?x=1", "http://u@example.com:80/a/b.html#f", "10.1.2.3", "64", ""],
    "bgpdestinationaspath": ["64500-64501", "64500"],
    "bgpcommunities": ["64500:1-65535:666", "64500:1"],
    "bytes": ["64", "1500"],
}
LITERALS = [
    "64",
    "true",
    "yes",
    "null",
    "10.1.2.3",
    "site",
    "2001:db8:0::1",
    "000000010",
    "eth.ip.tcp",
    "",
    "DE",
    "web1",
]

fields = st.sampled_from([*POOLS, "frames", "custom", "ipdestination"])
literals = st.one_of(
    st.sampled_from(LITERALS), st.sampled_from(sorted({text for pool in POOLS.values() for text in pool}))
)


def escaped(text: str) -> str:
    """Return a literal as an argument of a function, or of a filter's list."""
    return "".join("\\" + letter if letter in "\\:[],&|()=~!" else letter for letter in text)


def calls(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    part = inner.map(lambda text: f"[{text}]" if ":" in text else text)
    literal = literals.map(escaped)
    patterns = {
        "group:{0}:g": 1, "group:{0}:narrow:g": 1, "group:{0}:absent": 1, "map:{0}:m": 1, "country:{0}": 1,
        "country:{0}:both": 1, "asn:{0}": 1, "asn:{0}:descr": 1, "oui:{0}": 1, "oui:{0}:name": 1,
        "host:{0}:host_name": 1, "prefix:{0}:.:2": 1, "suffix:{0}:-:1": 1, "suffix:{0}:/:2": 1, "first:{0}:.:ip:ip6": 1,
        "mask:{0}:24": 1, "mask:{0}:64": 1, "mask:{0}:0": 1, "null:{0}": 1, "null:{0}:x": 1, "null:{0}:64": 1,
        "range:{0}:1:64": 1, "range:{0}:2": 1, "bits:{0}:3": 1, "uri:{0}:path": 1, "uri:{0}:host": 1, "link:{0}": 1,
        "or:{0}:{1}": 2, "or:{0}:{1}:{2}": 3, "eq:{0}:{1}": 2, "concat:-:{0}:{1}": 2, "concat::{0}": 1,
    }  # fmt: skip
    plain = st.tuples(st.sampled_from(sorted(patterns)), part, part, part).map(
        lambda drawn: drawn[0].format(*drawn[1:])
    )
    absent = st.builds("null:{}:{}".format, part, literal)
    branch = st.builds("if:{}:{}:{}:{}".format, part, literal, part, part)
    return st.one_of(plain, plain, absent, branch)


exprs = st.recursive(fields, calls, max_leaves=4)
compares = st.builds(
    "{}{}{}".format,
    exprs,
    st.sampled_from(["=", "!="]),
    st.lists(literals.filter(bool).map(escaped), min_size=1, max_size=2).map(",".join),
) | st.builds(
    "{}{}{}".format, exprs, st.sampled_from(["~", "!~"]), st.sampled_from([".*1", "....1..1.", "[0-9]+", "e.*"])
)
filters = st.one_of(st.just(""), compares, compares, st.builds("({}|{})&{}".format, compares, compares, compares))
numeric = st.sampled_from(
    ["ipttl", "vlan", "bytes", "outputifindex", "httpurl", "bits:ipttl:65", "tcpflags", "or:vlan:ipttl"]
)
kinds = st.sampled_from(["avg", "min", "max", "rate"])
values = st.one_of(
    st.sampled_from(["bytes", "frames", "bps", "fps", "ipttl"]),
    st.builds("{}:{}".format, kinds, numeric.map(lambda text: f"[{text}]" if ":" in text else text)),
    exprs.map(lambda text: f"count:[{text}]" if ":" in text else f"count:{text}"),
)
definitions = st.fixed_dictionaries(
    {
        "keys": st.lists(exprs, max_size=3).map(",".join),
        "value": values,
        "values": st.lists(values, max_size=3).map(",".join),
        "filter": filters,
        "t": st.sampled_from([0.5, 1.0, 2.0]),
        "dropped": st.sampled_from([False, False, False, True]),
    }
)
plain_definitions = st.fixed_dictionaries(
    {
        "keys": st.sampled_from(["", "ipsource", "null:vlan"]),
        "value": st.sampled_from(["frames", "max:ipttl", "min:ipttl", "avg:ipttl", "count:vlan", "count:ipttl"])
        | values,
        "values": st.lists(values, max_size=2).map(",".join),
        "t": st.sampled_from([0.5, 1.0]),
    }
)
thresholds = st.fixed_dictionaries(
    {
        "metric": st.just("f"),
        "value": st.sampled_from([0.0, 1.0, 1.5, 60.0, 150.0, 200.0, 1e5]),
        "byFlow": st.booleans(),
        "timeout": st.sampled_from([0.0, 0.3, 2.0]),
    }
)
rows = st.fixed_dictionaries({}, optional={name: st.sampled_from(pool) for name, pool in POOLS.items()})
GAPS_NS = [0, 0, 1_000, 200_000_000, 500_000_000, 1_300_000_000, 4_000_000_000, 25_000_000_000]
packets = st.lists(
    st.builds(
        Packet,
        row=rows,
        time_ns=st.sampled_from(GAPS_NS),
        source=st.sampled_from([3, 4]),
        rate=st.sampled_from([1.0, 100.0, 300.0]),
        dropped=st.sampled_from([False, False, False, True]),
    ),
    min_size=1,
    max_size=25,
).map(lambda drawn: timed(drawn, START_NS))
few_rows = st.fixed_dictionaries(
    {"ipsource": st.sampled_from(["10.1.2.3", "192.0.2.1"])},
    optional={name: st.sampled_from(POOLS[name]) for name in ("vlan", "ipttl", "bytes", "tcpflags")},
)
few_packets = st.lists(
    st.builds(
        Packet,
        row=few_rows,
        time_ns=st.sampled_from(GAPS_NS[:6]),
        source=st.sampled_from([3, 3, 4]),
        rate=st.sampled_from([1.0, 100.0, 100.0, 1000.0]),
    ),
    min_size=1,
    max_size=25,
).map(lambda drawn: timed(drawn, START_NS))


def engine_of(spec: dict[str, Any], *thresholds: dict[str, Any], config: EngineConfig = SMALL) -> Engine:
    engine = Engine(config, lookups_of(ENV), seed=7)
    engine.set_flow(parse_definition("f", spec))
    for place, one in enumerate(thresholds):
        engine.set_threshold(parse_threshold(f"x{place}", one))
    return engine


@given(definitions, packets, st.lists(st.integers(0, 25), max_size=3), st.sampled_from([0.0, 0.4, 3.0, 30.0]))
def test_readings_are_those_of_the_specification(
    spec: dict[str, Any], packets: list[Packet], cuts: list[int], late: float
) -> None:
    engine = engine_of(spec)
    naive = NaiveFlows(parse_definition("f", spec), ENV)

    for batch in cut(packets, cuts):
        step(engine, batch)
    for packet in packets:
        naive.update(sample_of_first(packets, packet))

    now = seconds_of(packets, packets[-1].time_ns) + late
    same(readings(engine, now), told_by(naive, now))


def events_of(engine: Engine, batches: list[list[Packet]]) -> list[Event]:
    return [one for batch in batches for one in step(engine, batch) if isinstance(one, Event)]


Case = tuple[dict[str, Any], list[Packet], dict[str, Any], list[int]]


def case(value: str, limit: float, steps: list[tuple[int, str]], *, by_flow: bool = True) -> Case:
    """Return a case of one flow: milliseconds after the sample before, and its TTL."""
    gaps = [Packet({"ipsource": "10.1.2.3", "ipttl": ttl}, time_ns=gap * 1_000_000) for gap, ttl in steps]
    threshold = {"metric": "f", "value": limit, "byFlow": by_flow, "timeout": 0.0}
    return {"keys": "ipsource", "value": value, "values": "bytes", "t": 1.0}, timed(gaps, START_NS), threshold, [2]


@given(plain_definitions, few_packets, thresholds, st.lists(st.integers(0, 25), max_size=3))
@example(*case("max:ipttl", 60.0, [(0, "64"), (1300, "1"), (1300, "64")]))  # only the period before was over it
@example(*case("max:ipttl", 60.0, [(0, "64"), (1300, "64"), (1300, "64")]))
@example(*case("min:ipttl", 60.0, [(0, "64"), (1300, "64"), (1300, "255")]))
@example(*case("min:ipttl", 60.0, [(0, "64"), (100, "1"), (1900, "64")]))  # lowered, which arms it by flow alone
@example(*case("avg:ipttl", 60.0, [(0, "64"), (100, "1"), (4000, "255"), (0, "1"), (0, "255")]))
@example(*case("count:ipttl", 1.5, [(0, "1"), (0, "64"), (1300, "1"), (1300, "1"), (0, "64")]))
@example(*case("count:ipttl", 1.5, [(0, "1"), (1300, "64"), (1300, "1"), (1300, "64"), (1300, "64"), (100, "1")]))
@example(*case("avg:ipttl", 60.0, [(0, "64"), (100, "1"), (4000, "255"), (0, "1"), (0, "255")], by_flow=False))
@example(
    {"keys": "ipsource", "value": "frames", "t": 1.0},
    timed(
        [
            Packet({"ipsource": "10.1.2.3"}, rate=1000.0, time_ns=0),
            Packet({"ipsource": "10.9.9.9"}, rate=100.0, time_ns=100_000_000),
            Packet({"ipsource": "10.9.9.9"}, rate=100.0, time_ns=900_000_000),  # alone it would be armed again
        ],
        START_NS,
    ),
    {"metric": "f", "value": 50.0, "byFlow": False, "timeout": 0.0},
    [],
)
@example(*case("frames", 150.0, [(0, "1"), (0, "1"), (300, "1"), (300, "1"), (0, "1")]))
def test_events_are_those_of_the_specification(
    spec: dict[str, Any], packets: list[Packet], limit: dict[str, Any], cuts: list[int]
) -> None:
    engine = engine_of(spec, limit)
    naive = NaiveFlows(parse_definition("f", spec), ENV)
    threshold = NaiveThreshold(parse_threshold("x0", limit), naive)

    found = events_of(engine, cut(packets, cuts))
    for packet in packets:
        threshold.observe(sample_of_first(packets, packet))

    assert len(found) == len(threshold.events)
    for event, expected in zip(found, threshold.events, strict=True):
        told = seconds_of(packets, event.time_ns), f"{event.agent}:{event.data_source}", event.flow_key or ""
        assert told == (expected.time, expected.source, expected.key)
        assert event.value == pytest.approx(expected.value, rel=1e-6)
