"""What scripts ask of BGP where nothing is sent: in tests of scripts, and in replays."""

from __future__ import annotations

import pytest
from msgspec import structs

from tidegate.apps.fake_runtime import FakeRuntime
from tidegate.apps.prefix_ranking import TopPrefixes
from tidegate.data.address import parse_address
from tidegate.errors import ConfigError, TextError
from tidegate.wire.bgp.prefix import parse_address as parse_octets

ROUTER = "2001:db8::1"
TOP = TopPrefixes("established", 64500, 3, 3, 0, 0, 0, "destination", 3.0, 3.0, 100.0, [{"prefix": "::/1"}] * 3)


@pytest.fixture
def fake() -> FakeRuntime:
    return FakeRuntime(peers=["192.0.2.1"])


def test_a_neighbour_that_was_added_is_known_and_heard_of(fake: FakeRuntime) -> None:
    ups, downs, all_ups = list[str](), list[str](), list[str]()
    bgp = fake.rt.bgp
    bgp.on_up(all_ups.append)
    for _ in range(2):
        bgp.add_neighbor("2001:DB8:0::1", 65001, "192.0.2.9", ipv6=True, on_up=ups.append, on_down=downs.append)
    assert [one.address for one in bgp.neighbors()] == ["192.0.2.1", ROUTER]
    bgp.announce_route(ROUTER, {"prefix": "2001:db8:9::/48", "nexthop": "2001:db8::2"})
    assert (bgp.route_count(ROUTER), bgp.flow_count(ROUTER), bgp.route_count("192.0.2.1")) == (1, 0, 0)
    fake.peer_up("192.0.2.1")
    fake.peer_up(ROUTER)
    fake.peer_down(ROUTER)
    assert (ups, downs, all_ups) == ([ROUTER], [ROUTER], ["192.0.2.1", ROUTER])
    bgp.remove_neighbor(ROUTER)
    with pytest.raises(ConfigError, match="no such peer"):
        bgp.reset(ROUTER)


def test_handlers_of_named_peers_alone(fake: FakeRuntime) -> None:
    ups = list[str]()
    fake.rt.bgp.on_up(ups.append, peers=["2001:DB8::1"])
    for peer in ("192.0.2.1", ROUTER):
        fake.peer_up(peer)
    assert ups == [ROUTER]
    with pytest.raises(ConfigError, match="a list of names is expected"):
        fake.rt.bgp.on_down(ups.append, peers=ROUTER)


def test_tables_say_what_a_test_has_put(fake: FakeRuntime) -> None:
    bgp, router = fake.rt.bgp, "192.0.2.1"
    assert bgp.top_prefixes(router, 9) == structs.replace(TOP, asn=0, n_prefixes=0, learned_prefixes_added=0,
        value_total=0.0, value_coverage=0.0, value_percent_coverage=0.0, top_prefixes=[])  # fmt: skip
    assert bgp.best_route(router, "192.0.2.7") is None
    assert list(bgp.received_routes(router)) == bgp.received_flows(router) == []
    fake.tables.tops[router] = TOP
    fake.tables.best[router, parse_octets("192.0.2.7")] = {"prefix": "192.0.2.0/24"}
    fake.tables.routes[router] = [{"prefix": f"10.{at >> 8}.{at & 255}.0/24"} for at in range(2500)]
    fake.tables.flows[router] = [{"matches": "all"}] * 2
    assert len(bgp.top_prefixes(router, 2).top_prefixes) == len(bgp.top_prefixes6(router, 2).top_prefixes) == 2
    assert bgp.best_route(router, "192.0.2.7") == {"prefix": "192.0.2.0/24"}
    assert list(bgp.received_routes(router)) == fake.tables.routes[router]
    assert len(list(bgp.received_routes(router, most=1001))) == 1001
    assert len(bgp.received_flows(router, most=1)) == 1


def test_sources_and_next_hops_are_kept(fake: FakeRuntime) -> None:
    bgp = fake.rt.bgp
    bgp.add_source("10.0.0.1,10.0.0.2", "192.0.2.1", "rib", t=5, value="frames")
    bgp.add_source(["EDGE"], "bmp:192.0.2.9")
    first, second = fake.tables.sources
    assert (first.agents, first.router, first.router6, first.t) == (("10.0.0.1", "10.0.0.2"), "192.0.2.1", "rib", 5.0)
    assert (second.agents, second.router, second.value) == (("ALL",), "bmp:192.0.2.9", "bytes")
    bgp.set_next_hops({"192.0.2.9": "00:53:00:00:00:09"})
    assert fake.tables.next_hops == {parse_address("192.0.2.9"): 0x5300000009}


def test_what_is_asked_of_neighbours_is_noted(fake: FakeRuntime) -> None:
    bgp = fake.rt.bgp
    assert bgp.refresh("192.0.2.1") == bgp.refresh("192.0.2.1", "ipv4") == []
    assert not bgp.self_test("192.0.2.1").passed
    bgp.reset("192.0.2.1")
    assert fake.asked == [
        ("refresh", "192.0.2.1"), ("refresh", "192.0.2.1", "ipv4"), ("self_test", "192.0.2.1"), ("reset", "192.0.2.1"),
    ]  # fmt: skip


def test_wrong_arguments_are_told(fake: FakeRuntime) -> None:
    bgp = fake.rt.bgp
    for call, said in (
        (lambda: bgp.add_source("10.0.0.1", "192.0.2.8"), "no such peer"),
        (lambda: bgp.add_source("sw1", "192.0.2.1"), "add_source.agents: 'sw1' is no agent address"),
        (lambda: bgp.add_source("ALL", "192.0.2.1", t=-1), "add_source.t: -1 is not a number of seconds"),
        (lambda: bgp.add_source("ALL", "192.0.2.1", value="bits"), "add_source.value: 'bits' is none of"),
        (lambda: bgp.set_next_hops({"192.0.2.9": "x"}), "next_hops: 'x' is no MAC"),
        (lambda: bgp.set_next_hops(7), "next_hops: an object"),  # type: ignore[arg-type] # scripts are not typed
        (lambda: bgp.top_prefixes("192.0.2.1", -1), "max_prefixes: -1 is not from 0"),
        (lambda: bgp.top_prefixes("192.0.2.8", 1), "no such peer"),
        (lambda: bgp.add_neighbor("192.0.2.8", 65001, "192.0.2.9", prt=1), "prt: unknown setting; did you mean port"),
    ):
        with pytest.raises(ConfigError, match=said):
            call()
    with pytest.raises(TextError):
        bgp.best_route("192.0.2.1", "here")
    with pytest.raises(TextError):
        list(bgp.received_routes("192.0.2.1", prefix="10.0.0.1/8"))
