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
            f"bgp/routepusher/{ROUTER}/json": ["192.0.2.1/32"],
            f"bgp/routepusher/{ROUTER}/192.0.2.1/32/json": route,
        }
    )
    assert questions.agents(client) == [{"agent": "192.0.2.1", "uptime": 1}]
    assert questions.neighbors(client) == [{"address": ROUTER}]
    assert questions.rules(client, ROUTER) == [rule]
    assert questions.routes(client, ROUTER) == [route]


@pytest.mark.parametrize("answer", [None, 7, "text", [1, None], {"a": 1}])
def test_what_has_another_shape_has_no_rows(answer: object) -> None:
    client = Answers({"agents/json": answer, "bgp/neighbors/json": answer}, answer)
    assert questions.agents(client) == questions.neighbors(client) == questions.events(client, most=1) == []
