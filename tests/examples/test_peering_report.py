from __future__ import annotations

import pytest

from script_files import example
from tidegate.apps.fake_runtime import FakeRuntime
from tidegate.apps.prefix_ranking import TopPrefixes
from tidegate.engine.events import ActiveFlow

SCRIPT = example("peering_report")
ROUTER = "192.0.2.254"
TOP = TopPrefixes(
    state="established",
    asn=64500,
    n_prefixes=1000,
    learned_prefixes_added=1000,
    learned_prefixes_removed=0,
    pushed_prefixes_added=0,
    pushed_prefixes_removed=0,
    direction="destination",
    value_total=10e6,
    value_coverage=9e6,
    value_percent_coverage=90.0,
    top_prefixes=[{"prefix": "203.0.113.0/24", "value": 9e6, "nexthop": "198.51.100.1"}],
)


def path(key: str, value: float) -> ActiveFlow:
    return ActiveFlow(key, value, "192.0.2.250", "1", 1)


@pytest.fixture
def fake() -> FakeRuntime:
    fake = FakeRuntime(config={"router": ROUTER, "marked": "64500:100", "seconds": 30}, peers=[ROUTER])
    SCRIPT.setup(fake.rt)
    return fake


def test_networks_behind_others_are_reported(fake: FakeRuntime) -> None:
    assert [(one.agents, one.router, one.t) for one in fake.tables.sources] == [(("ALL",), ROUTER, 30.0)]
    fake.tables.tops[ROUTER] = TOP
    fake.backend.active["as_path"] = [
        path("64500-64501", 4e6), path("64502-64501", 2e6), path("64500", 3.95e6), path("64500-64503", 0.05e6),
    ]  # fmt: skip
    fake.advance(30)
    assert fake.lines("info") == [
        "1 of 1000 prefixes take 90 % of 80.0 Mbit/s",
        "AS 64501: 48.0 Mbit/s, 60 %, not a neighbour",
    ]


def test_without_traffic_nothing_is_said(fake: FakeRuntime) -> None:
    fake.advance(60)
    assert fake.lines() == []


def test_marked_traffic_is_told(fake: FakeRuntime) -> None:
    assert fake.backend.definitions["marked"].filter_text == "bgpcommunities~(.*-)?64500:100(-.*)?"
    fake.fire("marked", flow_key="198.51.100.1", value=250e6)
    assert fake.lines("warning") == ["2000 Mbit/s of 64500:100 by way of 198.51.100.1"]


def test_without_a_router_it_is_the_table_of_the_file() -> None:
    fake = FakeRuntime()
    SCRIPT.setup(fake.rt)
    assert [one.router for one in fake.tables.sources] == ["rib"]
    assert set(fake.backend.definitions) == {"as_path"}
