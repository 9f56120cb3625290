from __future__ import annotations

from itertools import islice

import pytest

from tidegate.apps import questions
from tidegate.errors import ConfigError
from tidegate.io.client import Client

URL = "http://127.0.0.1:8008"
ROUTER = "192.0.2.254"


class Answers(Client):
    """A client that answers by path, the same each time or one after the other, and keeps what was asked."""

    def __init__(self, answers: dict[str, object], *events: object) -> None:
        super().__init__(URL)
        self._answers = answers
        self._events = iter(events)
        self.asked: list[tuple[str, dict[str, object]]] = []

    def get(self, *path: str, wait_s: float = 0.0, **query: object) -> object:
        self.asked.append(("/".join(path), {"wait_s": wait_s, **query}))
        return next(self._events) if path[0] == "events" else self._answers["/".join(path)]


def test_definitions_are_known_by_name() -> None:
    client = Answers({"flow/json": {"udp": {"keys": "ipsource"}}})
    assert questions.definitions(client) == questions.definitions(client, "udp") == {"udp": {"keys": "ipsource"}}
    with pytest.raises(ConfigError, match=r"tcp: there is no flow definition of this name \(known: udp\)"):
        questions.definitions(client, "tcp")
    with pytest.raises(ConfigError, match="known: none; put one"):
        questions.definitions(Answers({"flow/json": {}}), "udp")
    assert questions.named(questions.definitions(client), "name") == [{"name": "udp", "keys": "ipsource"}]


def test_flows_of_a_definition() -> None:
    client = Answers({"activeflows/ALL/udp/json": [{"key": "a"}]})
    assert questions.flows(client, "udp", agents="ALL", most=3, mode="sum") == [{"key": "a"}]
    assert client.asked[0][1] == {"wait_s": 0.0, "maxFlows": 3, "aggMode": "sum"}


def test_events_come_oldest_first() -> None:
    client = Answers({}, [{"eventID": 2}, {"eventID": 1}], [])
    assert questions.events(client, most=5) == [{"eventID": 1}, {"eventID": 2}]
    assert questions.events(client, most=5, thresholds=("udp",)) == []
    assert [query["thresholdID"] for _, query in client.asked] == [None, ["udp"]]


def test_events_are_followed_from_the_last_that_was_told() -> None:
    client = Answers({}, [{"eventID": 2}, {"eventID": 1}], [], [{"eventID": 4}, {"eventID": 3}], [])
    told = list(islice(questions.follow_events(client, most=5, thresholds=("udp",)), 4))
    assert told == [[{"eventID": 1}, {"eventID": 2}], [], [{"eventID": 3}, {"eventID": 4}], []]
    assert [query.get("eventID") for _, query in client.asked] == [None, 2, 2, 4]
    assert all(query["thresholdID"] == ["udp"] for _, query in client.asked)
    assert client.asked[1][1]["wait_s"] == client.asked[1][1]["timeout"]


def test_agents_neighbours_and_what_is_announced() -> None:
    route, rule = {"prefix": "192.0.2.1/32"}, {"match": {"version": "4"}}
    client = Answers(
        {
            "agents/json": {"192.0.2.1": {"uptime": 1}},
            "bgp/neighbors/json": [{"address": ROUTER}],
            f"bgp/flowspec/{ROUTER}/json": [rule],
            f"bgp/routes/{ROUTER}/json": [route],
        }
    )
    assert questions.agents(client) == [{"agent": "192.0.2.1", "uptime": 1}]
    assert questions.neighbors(client) == [{"address": ROUTER}]
    assert questions.rules(client, ROUTER) == [rule]
    assert questions.routes(client, ROUTER) == [route]
    assert questions.neighbors(client, ROUTER) == [{"address": ROUTER}]
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1: there is no such BGP neighbour \(known: 192\.0\.2\.254\)"):
        questions.neighbors(client, "192.0.2.1")


def test_a_neighbour_is_meant_however_it_is_written() -> None:
    client = Answers({"bgp/neighbors/json": [{"address": "2001:db8::1"}, {"address": "fe80::1%eth0"}]})
    assert questions.neighbors(client, "2001:DB8:0::1") == [{"address": "2001:db8::1"}]
    assert questions.neighbors(client, "fe80::1%eth0") == [{"address": "fe80::1%eth0"}]
    with pytest.raises(ConfigError, match="known: none"):
        questions.neighbors(Answers({"bgp/neighbors/json": []}), "here")


class Pages(Client):
    """A client that has a table of `count` prefixes, two routes each."""

    def __init__(self, count: int) -> None:
        super().__init__(URL)
        self._routes = [{"prefix": f"10.{at >> 8}.{at & 255}.0/24"} for at in range(count)]
        self.asked: list[tuple[str, ...]] = []

    def get(self, *path: str, wait_s: float = 0.0, **query: object) -> object:
        assert wait_s
        after = next((at for at, row in enumerate(self._routes, 1) if row["prefix"] == query["after"]), 0)
        self.asked.append(path)
        return [row for row in self._routes[after : after + int(str(query["maxRoutes"]))] for _ in range(2)]


@pytest.mark.parametrize(("most", "pages"), [(5, 1), (1000, 1), (1500, 2), (9999, 3)])
def test_a_table_is_asked_for_in_pages(most: int, pages: int) -> None:
    client = Pages(2500)
    found = questions.received_routes(client, ROUTER, prefix=None, most=most)
    assert len(found) == 2 * min(most, 2500)
    assert len({row["prefix"] for row in found}) == min(most, 2500)
    assert client.asked == [("bgp", "routes", ROUTER, "json")] * pages


def test_monitored_peers_have_their_router() -> None:
    routers = [
        {"address": ROUTER, "sysName": "edge", "peers": [{"name": "loc-rib", "state": "up"}]},
        {"address": "192.0.2.9", "state": "down", "lastError": "it closed"},
    ]
    first, second = questions.monitored(Answers({"bgp/bmp/json": routers}))
    assert first == {"name": "loc-rib", "state": "up", "router": ROUTER, "sysName": "edge"}
    assert (second["router"], second["name"], second["reason"]) == ("192.0.2.9", "", "it closed")


def test_what_happened_comes_oldest_first() -> None:
    client = Answers({"bgp/log/json": [{"noticeID": 2}, {"noticeID": 1}]})
    assert questions.bgp_log(client, None, most=2) == [{"noticeID": 1}, {"noticeID": 2}]
    assert client.asked[0][1] == {"wait_s": 0.0, "router": None, "maxEntries": 2}


@pytest.mark.parametrize("answer", [None, 7, "text", [1, None], {"a": 1}])
def test_what_has_another_shape_has_no_rows(answer: object) -> None:
    client = Answers({"agents/json": answer, "bgp/neighbors/json": answer}, answer)
    assert questions.agents(client) == questions.neighbors(client) == questions.events(client, most=1) == []
