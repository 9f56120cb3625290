from __future__ import annotations

import pytest
from litestar import Litestar
from litestar.testing import TestClient

ROUTER, ROUTER6 = "192.0.2.254", "2001:db8::fe"
RULE = b"{match:{destination:'192.0.2.1',protocol:'=17','source-port':'=53'},then:{'traffic-rate':0}}"
KEPT = {
    "match": {"destination": "192.0.2.1/32", "protocol": "=17", "source-port": "=53", "version": "4"},
    "then": {"traffic-rate": "0"},
}


def test_neighbours(client: TestClient[Litestar]) -> None:
    assert client.get("/bgp/neighbors/json").json() == [
        {
            "address": address,
            "state": "established",
            "since": 1700000000.5,
            "wanted": 0,
            "sent": 0,
            "peerAs": 65001,
        }
        for address in (ROUTER, ROUTER6)
    ]


def test_a_rule_is_announced_and_withdrawn(client: TestClient[Litestar]) -> None:
    path = f"/bgp/flowspec/{ROUTER}/json"
    put = client.put(path, content=RULE)
    assert (put.status_code, put.content) == (204, b"")
    assert client.get(path).json() == [KEPT]
    assert client.get(f"/bgp/flowspec/{ROUTER6}/json").json() == []
    client.put(path, content=RULE.replace(b"'traffic-rate':0", b"'traffic-rate':12500"))
    assert [rule["then"] for rule in client.get(path).json()] == [{"traffic-rate": "12500"}]
    gone = client.request("DELETE", path, content=RULE)
    assert (gone.status_code, gone.content) == (204, b"")
    assert client.get(path).json() == []
    assert client.request("DELETE", path, content=RULE).status_code == 204


@pytest.mark.parametrize(
    ("body", "error", "text", "column"),
    [
        (b"{match:{destination:'192.0.2.300'}}", "match.destination", "192.0.2.300", 0),
        (b"{match:{destination:'192.0.2.1',protocol:'=x'}}", "match.protocol", "=x", 1),
        (b"{match:{destination:'192.0.2.1',colour:'1'}}", "match: unknown field", "colour", 0),
        (b"{match:{destination:'0.0.0.0/0'}}", "a safe announcement cannot express", None, None),
        (b"{match:{destination:'10.0.0.1',source:'2001:db8::1'}}", "FlowSpec cannot express", None, None),
        (b"{}", "an object is expected under 'match'", "match", 0),
        (b"", "the body is no object", "", 0),
    ],
)
def test_a_rule_that_is_refused(
    client: TestClient[Litestar], body: bytes, error: str, text: str | None, column: int | None
) -> None:
    reply = client.put(f"/bgp/flowspec/{ROUTER}/json", content=body)
    found = reply.json()
    assert reply.status_code == 400
    assert found["error"].startswith(error)
    assert (found.get("text"), found.get("column")) == (text, column)


@pytest.mark.parametrize(
    ("router", "address", "bits", "prefix", "next_hop"),
    [
        (ROUTER, "192.0.2.1", "32", "192.0.2.1/32", "192.0.2.250"),
        (ROUTER6, "2001:DB8::", "32", "2001:db8::/32", "2001:db8::1"),
    ],
)
def test_a_route_is_announced_and_withdrawn(
    client: TestClient[Litestar], router: str, address: str, bits: str, prefix: str, next_hop: str
) -> None:
    path = f"/bgp/routepusher/{router}/{address}/{bits}/json"
    body = f"{{nexthop:'{next_hop}',communities:'65535:666',localpref:'100'}}".encode()
    put = client.put(path, content=body)
    assert (put.status_code, put.content) == (204, b"")
    assert client.get(f"/bgp/routepusher/{router}/json").json() == [prefix]
    kept = {"prefix": prefix, "nexthop": next_hop, "origin": "IGP", "communities": "65535:666", "localpref": 100}
    assert client.get(path).json() == kept
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 404
    assert client.delete(path).status_code == 204
    assert client.get(f"/bgp/routepusher/{router}/json").json() == []


@pytest.mark.parametrize(
    ("rest", "hint"),
    [
        ("192.0.2.1/24", "did you mean 192.0.2.0/24?"),
        *(
            (rest, "such as 192.0.2.1/32")
            for rest in ("192.0.2.1/33", "192.0.2/24", "nope/32", "192.0.2.1/x", "192.0.2.1/-1")
        ),
    ],
)
def test_a_prefix_that_is_none(client: TestClient[Litestar], rest: str, hint: str) -> None:
    for method in ("GET", "PUT", "DELETE"):
        reply = client.request(method, f"/bgp/routepusher/{ROUTER}/{rest}/json", content=b"{nexthop:'192.0.2.250'}")
        assert reply.status_code == 400
        assert reply.json() == {"error": "this is no prefix", "text": rest, "column": 0, "hint": hint}


def test_a_route_needs_a_next_hop(client: TestClient[Litestar]) -> None:
    reply = client.put(f"/bgp/routepusher/{ROUTER}/192.0.2.1/32/json", content=b"{}")
    assert reply.status_code == 400
    assert reply.json()["error"].startswith("nexthop")


def test_the_prefix_of_the_path_counts(client: TestClient[Litestar]) -> None:
    body = b"{prefix:'10.0.0.0/8',nexthop:'192.0.2.250'}"
    client.put(f"/bgp/routepusher/{ROUTER}/192.0.2.1/32/json", content=body)
    assert client.get(f"/bgp/routepusher/{ROUTER}/json").json() == ["192.0.2.1/32"]


def test_a_router_is_meant_however_it_is_written(client: TestClient[Litestar]) -> None:
    path = "/bgp/flowspec/2001:0DB8:0::FE/json"
    assert client.put(path, content=RULE).status_code == 204
    assert client.get(path).json() == client.get(f"/bgp/flowspec/{ROUTER6}/json").json() == [KEPT]


@pytest.mark.parametrize("path", ["flowspec/192.0.2.9", "routepusher/nope", "routepusher/192.0.2.9/192.0.2.1/32"])
def test_a_router_that_is_none(client: TestClient[Litestar], path: str) -> None:
    for method in ("GET", "PUT", "DELETE") if "32" in path else ("GET",):
        assert client.request(method, f"/bgp/{path}/json", content=b"{nexthop:'192.0.2.250'}").status_code == 404
