"""Keys from routing tables against their specification: random tables, agents, next hops and gateway records."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flow_batches import SMALL, START_NS, Packet, lookups_of, step
from flow_readings import cut, readings, same, sample_of_first, seconds_of, timed, told_by
from naive import Env, NaiveFlows
from naive_rib import SEQUENCE, SET, NaiveRoute, NaiveRouter, NaiveRouting
from tidegate.engine.engine import Engine
from tidegate.engine.syntax import parse_definition

NESTED = ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "192.0.2.0/24"]
NESTED6 = ["::/0", "2001:db8::/32", "2001:db8::1/128", "fe80::/10"]
ADDRESSES = ["10.1.2.3", "10.1.9.9", "10.9.9.9", "192.0.2.1", "8.8.8.8"]
ADDRESSES6 = ["2001:DB8::1", "2001:DB8::2", "FE80::1", "::", "::FFFF:0:0:1"]
HOPS = ["198.51.100.1", "198.51.100.2", "2001:DB8:F::1", "2001:DB8:F::2"]
MACS = ["02AB10000C01", "02AB10000C02", "02AB10000C03"]
AGENTS = ["10.0.0.1", "10.0.0.2", "2001:DB8::A"]
# Equal texts are equal paths: a set that prints as a sequence does would be another key of the same text.
PATHS = [
    (),
    ((SEQUENCE, ()),),
    ((SEQUENCE, (64500,)),),
    ((SEQUENCE, (64500, 64501, 4200000001)),),
    ((SEQUENCE, (64500,)), (SET, (64507, 64508))),
    ((SET, (64509, 64510)),),
]

routes = st.builds(
    NaiveRoute,
    prefix=st.sampled_from(NESTED + NESTED6),
    next_hop=st.sampled_from([*HOPS, None]),
    path=st.sampled_from(PATHS),
    communities=st.sampled_from(["", "64500:1", "64500:1-65535:666"]),
    local_pref=st.sampled_from([None, 0, 100]),
)
# Most tables are full enough that most addresses have a route, and some of them several.
tables = st.lists(routes, min_size=12, max_size=20) | st.lists(routes, max_size=3)
routers = st.builds(NaiveRouter, asn=st.sampled_from([64496, 64497]), routes=tables.map(tuple))


@st.composite
def routings(draw: st.DrawFn) -> NaiveRouting:
    """Return agents tied to some of three routers."""
    three = draw(st.tuples(routers, routers, routers))
    one = st.sampled_from([*three, *three, None])
    pairs = st.tuples(one, one)
    return NaiveRouting(
        agents=draw(st.dictionaries(st.sampled_from(AGENTS), pairs, max_size=2)),
        default=draw(pairs),
        next_hops=draw(st.dictionaries(st.sampled_from(HOPS), st.sampled_from(MACS[:2]), min_size=2)),
    )


records: st.SearchStrategy[dict[str, str]] = st.one_of(
    st.just({}),
    st.just({}),
    st.just({}),
    st.just({"bgpnexthop": "198.51.100.9"}),
    st.fixed_dictionaries(
        {"bgpas": st.just("64999")},
        optional={
            "bgpsourceas": st.sampled_from(["0", "64500"]),
            "bgpdestinationas": st.just("64501"),
            "bgpdestinationaspath": st.just("64500-64501"),
            "bgpcommunities": st.just("64500:1"),
            "bgplocalpref": st.just("100"),
            "bgpnexthop": st.just("198.51.100.1"),
        },
    ),
)
ipv4 = st.fixed_dictionaries({"ipsource": st.sampled_from(ADDRESSES), "ipdestination": st.sampled_from(ADDRESSES)})
ipv6 = st.fixed_dictionaries({"ip6source": st.sampled_from(ADDRESSES6), "ip6destination": st.sampled_from(ADDRESSES6)})
either = st.builds(
    lambda outer, inner, stack: outer | inner | {"stack": stack},
    ipv4,
    ipv6,
    st.sampled_from(["eth.ip.ip6", "eth.vlan.ip6.ip", "eth"]),
)
destination = st.fixed_dictionaries({"ip6destination": st.sampled_from(ADDRESSES6)})
macs = st.fixed_dictionaries({}, optional={"macdestination": st.sampled_from(MACS)})
headers: st.SearchStrategy[dict[str, str]] = st.one_of(ipv4, ipv6, either, destination, st.just({}))
packets = st.lists(
    st.builds(
        Packet,
        row=st.builds(lambda header, mac, record: header | mac | record, headers, macs, records),
        time_ns=st.sampled_from([0, 200_000_000, 1_300_000_000]),
        agent=st.sampled_from(AGENTS),
        rate=st.sampled_from([1.0, 100.0]),
    ),
    min_size=1,
    max_size=25,
).map(lambda drawn: timed(drawn, START_NS))

KEYS = [
    "bgpas", "bgpsourceas", "bgpsourcepeeras", "bgpsourceprefix", "bgpdestinationas", "bgpdestinationpeeras",
    "bgpdestinationprefix", "bgpdestinationaspath", "bgpcommunities", "bgplocalpref", "bgpnexthop",
]  # fmt: skip
exprs = st.one_of(
    st.sampled_from(KEYS),
    st.sampled_from(KEYS).map("null:{}".format),
    st.sampled_from(KEYS).map("null:{}:0".format),
    st.sampled_from(
        ["prefix:bgpdestinationaspath:-:1", "mask:bgpnexthop:24", "group:bgpnexthop:g", "range:bgplocalpref:1:200",
         "or:bgpdestinationas:bgpas", "eq:bgpsourceas:bgpdestinationas",
         "concat:-:bgpsourceprefix:bgpdestinationprefix",
         "if:bgpas:64496:bgpdestinationprefix:bgpsourceprefix", "ipdestination", "null:macdestination"]
    ),
)  # fmt: skip
filters = st.sampled_from(
    ["", "", "bgpas=64496", "bgpdestinationaspath=64500-64501-4200000001", "bgpcommunities~.*65535:666",
     "bgpdestinationprefix=10.1.0.0/16|bgpsourceprefix=2001:db8::/32", "bgplocalpref!=100", "bgpnexthop=198.51.100.1",
     "bgpdestinationas=64508,64496", "bgpsourcepeeras=null"]
)  # fmt: skip
values = st.sampled_from(
    ["frames", "count:bgpdestinationaspath", "count:bgpdestinationprefix", "avg:bgplocalpref", "max:bgpsourceas"]
)
definitions = st.fixed_dictionaries(
    {
        "keys": st.lists(exprs, max_size=3).map(",".join),
        "value": values,
        "values": st.lists(values, max_size=2).map(",".join),
        "filter": filters,
        "t": st.sampled_from([1.0, 2.0]),
    }
)


def compare(spec: dict[str, Any], batches: list[list[Packet]], env: Env) -> None:
    engine = Engine(SMALL, lookups_of(env), seed=7)
    engine.set_flow(parse_definition("f", spec))
    naive = NaiveFlows(parse_definition("f", spec), env)
    packets = [packet for batch in batches for packet in batch]

    for batch in batches:
        step(engine, batch)
    for packet in packets:
        naive.update(sample_of_first(packets, packet))

    now = seconds_of(packets, packets[-1].time_ns)
    same(readings(engine, now), told_by(naive, now))


@given(packets, routings())
def test_every_field_is_that_of_the_specification(packets: list[Packet], routing: NaiveRouting) -> None:
    spec = {"keys": ",".join(f"null:{key}" for key in KEYS), "value": "frames"}
    compare(spec, [packets], Env(routing=routing))


@given(st.sampled_from(KEYS), packets, routings())
def test_a_field_alone_is_that_of_the_specification(key: str, packets: list[Packet], routing: NaiveRouting) -> None:
    compare({"keys": key, "value": "frames"}, [packets], Env(routing=routing))


@given(definitions, packets, routings(), st.lists(st.integers(0, 25), max_size=3))
def test_readings_are_those_of_the_specification(
    spec: dict[str, Any], packets: list[Packet], routing: NaiveRouting, cuts: list[int]
) -> None:
    compare(spec, cut(packets, cuts), Env(groups={"g": {"198.51.100.0/24": "peers"}}, routing=routing))
