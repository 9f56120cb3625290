from __future__ import annotations

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from tidegate.web.backend import BgpNoticeInfo, BmpPeerInfo, BmpRouterInfo
from tidegate.web.rest import create_app
from web.fake_backend import FakeAnnouncer, FakeBackend

ROUTER, ROUTER6 = "192.0.2.254", "2001:db8::fe"
LEARNED: list[dict[str, object]] = [
    {"prefix": "203.0.112.0/20", "nexthop": "198.51.100.1"},
    {"prefix": "203.0.113.0/24", "nexthop": "198.51.100.1"},
]


def test_top_prefixes_are_asked_for_as_the_parameters_say(client: TestClient[Litestar], bgp: FakeAnnouncer) -> None:
    bgp.top = {"state": "established", "topPrefixes": []}
    query = "maxPrefixes=5&minValue=2.5&direction=egress&includeCovered=false&minPrefix=1&pruneCovered=true"
    assert client.get(f"/bgp/topprefixes/{ROUTER}/json?{query}").json() == bgp.top
    assert client.get(f"/bgp/topprefixes6/{ROUTER6}/json").json() == bgp.top
    (_, first, asked), (_, second, plain) = bgp.asked
    assert (first, second) == (ROUTER, ROUTER6)
    assert asked == {
        "max_prefixes": 5, "min_value": 2.5, "direction": "egress", "include_covered": False, "min_prefix": 1,
        "prune_covered": True, "ipv6": False,
    }  # fmt: skip
    assert plain == {
        "max_prefixes": 100, "min_value": 0.0, "direction": "destination", "include_covered": True, "min_prefix": 0,
        "prune_covered": False, "ipv6": True,
    }  # fmt: skip


def test_the_route_of_an_address(client: TestClient[Litestar], bgp: FakeAnnouncer) -> None:
    bgp.learned[ROUTER] = list(LEARNED)
    assert client.get(f"/bgp/prefix/{ROUTER}/json?address=203.0.113.9").json() == LEARNED[1]
    missing = client.get(f"/bgp/prefix/{ROUTER}/json?address=192.0.2.1")
    assert (missing.status_code, missing.json()["error"]) == (
        404,
        f"there is no route to 192.0.2.1 in the table of {ROUTER}",
    )
    assert client.get(f"/bgp/prefix/{ROUTER}/json?address=x").json()["error"] == "not an IPv4 or IPv6 address"
    assert client.get(f"/bgp/prefix/{ROUTER}/json").status_code == 400


def test_routes_wanted_and_received(client: TestClient[Litestar], bgp: FakeAnnouncer) -> None:
    bgp.learned[ROUTER] = list(LEARNED)
    bgp.announce_route(ROUTER, {"prefix": "192.0.2.1", "nexthop": "192.0.2.9"})
    assert [row["prefix"] for row in client.get(f"/bgp/routes/{ROUTER}/json").json()] == ["192.0.2.1/32"]
    query = "received=true&prefix=203.0.0.0/8&after=203.0.0.0/9&maxRoutes=1"
    assert client.get(f"/bgp/routes/{ROUTER}/json?{query}").json() == LEARNED[:1]
    assert bgp.asked == [("routes", ROUTER, {"max_routes": 1, "prefix": "203.0.0.0/8", "after": "203.0.0.0/9"})]


def test_rules_received_have_words(client: TestClient[Litestar], bgp: FakeAnnouncer) -> None:
    bgp.announce_flow(ROUTER, {"match": {"destination": "192.0.2.1"}, "then": {"traffic-rate": "0"}})
    (row,) = client.get(f"/bgp/flowspec/{ROUTER}/json?received=true").json()
    assert (row["match"]["destination"], row["does"]) == ("192.0.2.1/32", "pass")


def test_sessions_are_reset_refreshed_and_tested(client: TestClient[Litestar], bgp: FakeAnnouncer) -> None:
    reply = client.post(f"/bgp/reset/{ROUTER}/json")
    assert (reply.status_code, reply.content) == (204, b"")
    assert client.post(f"/bgp/refresh/{ROUTER}/json?family=ipv6").json() == ["ipv6"]
    assert client.post(f"/bgp/refresh/{ROUTER}/json").json() == ["ipv4-unicast"]
    assert client.post(f"/bgp/selftest/{ROUTER}/json").json() == {
        "passed": True, "profile": "safe", "families": {"ipv4-flowspec": "the session stayed up"},
    }  # fmt: skip
    assert [what for what, _, _ in bgp.asked] == ["reset", "refresh", "refresh", "selftest"]


def test_bmp_and_the_log(client: TestClient[Litestar], bgp: FakeAnnouncer) -> None:
    peer = BmpPeerInfo("loc-rib", 65001, "192.0.2.253", "up", 1.5, prefixes={"ipv4-unicast": 7})
    bgp.monitored = [BmpRouterInfo("192.0.2.253", 41011, "up", 1.5, sys_name="edge", peers=(peer,))]
    (router,) = client.get("/bgp/bmp/json").json()
    assert (router["sysName"], router["peers"][0]["prefixes"]) == ("edge", {"ipv4-unicast": 7})
    bgp.notices = [BgpNoticeInfo(2, 1.5, ROUTER, "change", "up"), BgpNoticeInfo(1, 1.0, ROUTER6, "warning", "full")]
    assert [row["noticeID"] for row in client.get("/bgp/log/json").json()] == [2, 1]
    assert [row["text"] for row in client.get(f"/bgp/log/json?router={ROUTER6}").json()] == ["full"]
    assert len(client.get("/bgp/log/json?maxEntries=1").json()) == 1


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (f"topprefixes/{ROUTER}/json?maxPrefixes=-1", "maxPrefixes"),
        (f"topprefixes/{ROUTER}/json?minPrefix=129", "minPrefix"),
        (f"topprefixes6/{ROUTER}/json?minValue=x", "minValue"),
        (f"routes/{ROUTER}/json?received=true&maxRoutes=0", "maxRoutes"),
        (f"routes/{ROUTER}/json?received=perhaps", "received"),
        ("log/json?maxEntries=1001", "maxEntries"),
    ],
)
def test_a_parameter_that_is_wrong_is_named(client: TestClient[Litestar], path: str, name: str) -> None:
    reply = client.get(f"/bgp/{path}")
    assert (reply.status_code, name in reply.json()["error"]) == (400, True)


READS = ("topprefixes", "topprefixes6", "prefix", "routes")


@pytest.mark.parametrize("resource", READS)
def test_a_router_that_is_none(client: TestClient[Litestar], resource: str) -> None:
    path = f"/bgp/{resource}/192.0.2.9/json?address=192.0.2.1&received=true"
    assert client.get(path).status_code == 404


def test_without_bgp_there_is_nothing() -> None:
    with TestClient(create_app(FakeBackend()), raise_server_exceptions=False) as client:
        assert client.get("/bgp/bmp/json").json() == client.get("/bgp/log/json").json() == []
        for resource in READS:
            reply = client.get(f"/bgp/{resource}/{ROUTER}/json?address=192.0.2.1")
            assert "BGP is not configured" in reply.json()["error"]
