"""Ranked prefixes: against a slow twin for drawn readings, and each option by itself."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterable
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from bgp_cases import INTERNAL
from routed import route
from running import prepare
from tidegate.apps.prefix_ranking import MOST_PREFIXES, TopPrefixes, TopQuery, make_query, rank_prefixes
from tidegate.apps.routing import RouterTable
from tidegate.data.address import parse_address
from tidegate.engine.reading import Snapshot
from tidegate.errors import ConfigError
from tidegate.wire.bgp.feed import feed
from tidegate.wire.bgp.ribin import RibIn
from tidegate.wire.bgp.routes import UnicastRoute, route_key
from tidegate.wire.bgp.update import encode_announce

Reading = tuple[str, str, int, float]  # prefix, agent, direction, rate
AGENTS = ("192.0.2.1", "192.0.2.2")


@pytest.fixture(scope="module", autouse=True)
def _kernels() -> None:
    prepare()


def table_of(*routes: UnicastRoute) -> RouterTable:
    rib = RibIn()
    messages = [encode_announce(one, route_key(one), INTERNAL) for one in routes]
    assert list(feed(rib, messages, INTERNAL))
    rib.finish()
    return RouterTable("192.0.2.254", 64500, "established", (rib,), (3, 1))


def snapshot(readings: Iterable[Reading], ports: int = 2) -> Snapshot:
    """Return readings as a table of flows has them, each at a data source of its own among the agent's."""
    rows, sources, values = [], [], []
    for place, (prefix, agent, direction, rate) in enumerate(readings):
        network = ipaddress.ip_network(prefix)
        words = parse_address(str(network.network_address))
        length = network.prefixlen + (96 if network.version == 4 else 0)
        present = direction < 2
        rows.append([*words, length, direction if present else 0, present])
        sources.append(AGENTS.index(agent) * ports + place % ports)
        values.append(rate)
    return Snapshot(
        keys=np.array(rows, np.uint64).reshape(-1, 5),
        sources=np.array(sources, np.int64),
        values=np.array([values], np.float64).reshape(1, -1),
        samples=np.zeros(len(rows)),
        interval=np.zeros(len(rows)),
        text=str,
        place=lambda number: (AGENTS[number // ports], str(number % ports)),
    )


def listed(found: TopPrefixes) -> dict[str, float]:
    return {str(row["prefix"]): float(str(row["value"])) for row in found.top_prefixes}


def naive(readings: Iterable[Reading], *, version: int) -> dict[str, float]:
    by_direction: dict[tuple[str, str], dict[int, float]] = defaultdict(lambda: defaultdict(float))
    for prefix, agent, direction, rate in readings:
        if ipaddress.ip_network(prefix).version == version:
            by_direction[prefix, agent][direction] += rate
    totals: dict[str, float] = defaultdict(float)
    for (prefix, _), rates in by_direction.items():
        totals[prefix] += max(rates.values())
    return totals


PREFIXES = ("10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "0.0.0.0/0", "192.0.2.0/24", "2001:db8::/32", "::/0")


@cache
def every() -> RouterTable:
    return table_of(
        *(route(prefix, 65010, next_hop="2001:db8::1" if ":" in prefix else "192.0.2.1") for prefix in PREFIXES)
    )


READING = st.tuples(
    st.sampled_from(PREFIXES), st.sampled_from(AGENTS), st.integers(0, 2), st.integers(1, 1000).map(float)
)


@given(parts=st.lists(st.lists(READING, max_size=30), max_size=3), ipv6=st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_packet_counts_once_an_agent_whatever_directions_are_sampled(
    parts: list[list[Reading]], *, ipv6: bool
) -> None:
    found = rank_prefixes(every(), [snapshot(part) for part in parts], TopQuery(most=9, ipv6=ipv6))
    wanted = naive([one for part in parts for one in part], version=6 if ipv6 else 4)
    assert listed(found) == pytest.approx(wanted)
    assert list(listed(found).values()) == sorted(listed(found).values(), reverse=True)
    assert found.value_total == pytest.approx(sum(wanted.values()))
    assert found.value_coverage == pytest.approx(found.value_total)


READINGS = [
    ("10.1.2.0/24", AGENTS[0], 0, 100.0),
    ("10.1.0.0/16", AGENTS[0], 0, 50.0),
    ("10.0.0.0/8", AGENTS[0], 0, 20.0),
    ("192.0.2.0/24", AGENTS[0], 0, 10.0),
    ("0.0.0.0/0", AGENTS[0], 0, 5.0),
]


@cache
def five() -> RouterTable:
    return table_of(
        route("10.1.2.0/24", 65010, next_hop="192.0.2.1"),
        route("10.1.0.0/16", 65010, next_hop="192.0.2.1"),
        route("10.0.0.0/8", 65011, next_hop="192.0.2.2"),
        route("192.0.2.0/24", 65010, next_hop="192.0.2.1"),
        route("0.0.0.0/0", 65012, next_hop="192.0.2.2"),
    )


def ranked(**query: object) -> dict[str, float]:
    return listed(rank_prefixes(five(), [snapshot(READINGS)], structs.replace(TopQuery(), **query)))


def test_all_are_listed_unless_asked_otherwise() -> None:
    assert ranked() == {
        "10.1.2.0/24": 100.0, "10.1.0.0/16": 50.0, "10.0.0.0/8": 20.0, "192.0.2.0/24": 10.0, "0.0.0.0/0": 5.0,
    }  # fmt: skip
    assert ranked(most=2) == {"10.1.2.0/24": 100.0, "10.1.0.0/16": 50.0}
    assert ranked(min_value=20) == {"10.1.2.0/24": 100.0, "10.1.0.0/16": 50.0, "10.0.0.0/8": 20.0}
    assert ranked(min_prefix=1).keys() == ranked().keys() - {"0.0.0.0/0"}
    assert ranked(most=0) == {}


def test_without_covered_ones_the_outermost_have_all_of_the_traffic() -> None:
    assert ranked(include_covered=False) == {"0.0.0.0/0": 185.0}
    assert ranked(include_covered=False, min_prefix=1) == {"10.0.0.0/8": 170.0, "192.0.2.0/24": 10.0}


def test_pruned_are_those_that_lead_where_the_prefix_around_them_leads() -> None:
    assert ranked(prune_covered=True) == {"10.1.0.0/16": 150.0, "0.0.0.0/0": 25.0, "192.0.2.0/24": 10.0}
    assert ranked(prune_covered=True, most=1) == {"10.1.2.0/24": 100.0}, "it is covered by no listed one"


def test_the_summary_counts_all() -> None:
    found = rank_prefixes(five(), [snapshot(READINGS)], TopQuery(most=1))
    assert (found.value_total, found.value_coverage) == (185.0, 100.0)
    assert found.value_percent_coverage == pytest.approx(100 * 100 / 185)
    assert (found.n_prefixes, found.learned_prefixes_added, found.pushed_prefixes_added) == (5, 5, 3)
    nothing = rank_prefixes(five(), [], TopQuery())
    assert (nothing.value_total, nothing.value_percent_coverage, nothing.top_prefixes) == (0.0, 0.0, [])


def test_a_prefix_whose_route_has_gone_is_not_listed_but_counts() -> None:
    found = rank_prefixes(table_of(route("10.0.0.0/8", 1)), [snapshot(READINGS)], TopQuery())
    assert listed(found) == {"10.0.0.0/8": 20.0}
    assert found.value_total == 185.0


def test_many_prefixes_are_folded_into_few() -> None:
    inner = [route(f"10.{at >> 8}.{at & 255}.0/24", 1) for at in range(3000)]
    readings = [(str(one.prefix), AGENTS[0], 0, 1.0 + place) for place, one in enumerate(inner)]
    table = table_of(route("10.0.0.0/8", 1), *inner)
    found = rank_prefixes(
        table, [snapshot([*readings, ("10.0.0.0/8", AGENTS[1], 0, 0.5)])], TopQuery(most=5000, prune_covered=True)
    )
    assert listed(found) == pytest.approx({"10.0.0.0/8": sum(range(3001)) + 0.5})


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (TopQuery(direction="up"), "direction: 'up' is none of destination, source, egress, ingress"),
        (TopQuery(most=-1), f"max_prefixes: -1 is not from 0 to {MOST_PREFIXES}"),
        (TopQuery(most=MOST_PREFIXES + 1), f"max_prefixes: {MOST_PREFIXES + 1} is not from 0 to {MOST_PREFIXES}"),
    ],
)
def test_a_query_that_cannot_be_answered(query: TopQuery, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_query(query)
    assert str(caught.value) == said


def test_directions_have_other_names() -> None:
    assert make_query(TopQuery(direction="egress")).direction == "destination"
    assert make_query(TopQuery(direction="ingress")).direction == "source"
