from __future__ import annotations

from script_files import example
from tidegate.apps.fake_runtime import FakeRuntime
from tidegate.engine.filters import parse_filter

SCRIPT = example("blackhole")


def started(**config: object) -> FakeRuntime:
    fake = FakeRuntime(config={"enforce": True, **config})
    SCRIPT.setup(fake.rt)
    return fake


def test_a_flooded_host_is_blackholed_with_the_communities() -> None:
    fake = started(localpref=200)
    fake.fire("flood", flow_key="198.51.100.9")
    (route,) = fake.routes()
    assert route["prefix"] == "198.51.100.9/32"
    assert route["nexthop"] == "192.0.2.1"
    assert route["localpref"] == 200
    assert sorted(str(route["communities"]).split("-")) == ["65535:65281", "65535:666"]


def test_ipv6_is_blackholed_as_a_host_route_of_its_family() -> None:
    fake = started()
    fake.fire("flood6", flow_key="2001:DB8::9")
    (route,) = fake.routes()
    assert (route["prefix"], route["nexthop"]) == ("2001:db8::9/128", "100::1")


def test_it_is_released_after_its_time_when_the_flood_is_over() -> None:
    fake = started(hold_s=900)
    fake.calm(fake.fire("flood", flow_key="198.51.100.9"))
    fake.advance(899)
    assert len(fake.routes()) == 1
    fake.advance(1)
    assert fake.routes() == []


def test_it_stands_while_the_flood_is_seen() -> None:
    fake = started(hold_s=900, recheck_s=60)
    flood = fake.fire("flood", flow_key="198.51.100.9")
    fake.advance(1800)
    assert len(fake.routes()) == 1
    fake.calm(flood)
    fake.advance(60)
    assert fake.routes() == []


def test_a_protected_host_is_never_blackholed() -> None:
    fake = started(protected=["198.51.100.0/28"])
    assert fake.backend.definitions["flood"].filter == parse_filter(
        "group:ipdestination:blackhole_own=own&group:ipdestination:blackhole_protected!=protected"
    )
    fake.fire("flood", flow_key="198.51.100.9")  # even if the measurement let it through
    assert fake.changes == []
    assert len(fake.lines("warning")) == 1


def test_a_host_of_others_is_never_blackholed() -> None:
    fake = started(own=["198.51.100.0/24"])
    fake.fire("flood", flow_key="203.0.113.9")
    assert fake.changes == []


def test_without_enforce_it_only_says_what_it_would_do() -> None:
    fake = FakeRuntime(config={"hold_s": 900})
    SCRIPT.setup(fake.rt)
    fake.calm(fake.fire("flood", flow_key="198.51.100.9"))
    fake.advance(900)
    assert fake.changes == []
    assert [line.split(" {")[0] for line in fake.lines("info")] == [
        "observe only, would announce",
        "observe only, would withdraw 198.51.100.9",
    ]


def test_no_more_routes_than_the_settings_allow() -> None:
    fake = started(max_routes=1)
    fake.fire("flood", flow_key="198.51.100.9")
    fake.fire("flood", flow_key="198.51.100.10")
    assert len(fake.routes()) == 1
    assert len(fake.lines("error")) == 1
