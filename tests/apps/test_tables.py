from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tidegate.apps import tables
from tidegate.apps.output import show_json, show_lines, show_table
from tidegate.apps.tables import Column

EVENT = {
    "eventID": 7, "timestamp": 1_700_000_000_123, "thresholdID": "udp", "metric": "udp", "threshold": 1000.0,
    "value": 51_680.0, "agent": "192.0.2.250", "dataSource": "1", "flowKey": "203.0.113.7,53",
}  # fmt: skip
KNOWN = {"udp": {"keys": "ipdestination,udpsourceport", "value": "frames"}, "n": {"keys": "a", "value": "ipttl"}}


def cells(columns: Sequence[Column], row: dict[str, Any]) -> dict[str, str]:
    return {column.title: column.text(row) for column in columns}


def test_events_have_times_places_and_units() -> None:
    assert cells(tables.events(KNOWN), EVENT) == {
        "id": "7", "time": "2023-11-14T22:13:20.123Z", "threshold": "udp", "at": "192.0.2.250>1",
        "key": "203.0.113.7,53", "value": "51.7 kpkt/s",
    }  # fmt: skip


def test_values_of_other_kinds_have_no_unit() -> None:
    assert cells(tables.events(KNOWN), EVENT | {"metric": "n"})["value"] == "51,680.0"
    assert cells(tables.events({}), EVENT)["value"] == "51,680.0"


def test_flows_have_keys_as_title_and_an_interval() -> None:
    row = {"key": "203.0.113.7,53", "value": 2.5e9, "agent": "::1", "dataSource": "3", "flowN": 2, "interval": 1e6}
    shown = cells(tables.flows({"b": {"keys": "k", "value": "bytes"}}, "b"), row)
    assert shown == {"k": "203.0.113.7,53", "value": "2.5 GB/s", "95 %": "± 1.0 MB/s", "largest at": "::1>3", "of": "2"}
    assert cells(tables.flows({}, "b"), row | {"interval": None})["95 %"] == ""


def test_a_time_beyond_all_calendars_is_a_number() -> None:
    assert cells(tables.events({}), EVENT | {"timestamp": 10**18})["time"] == "1000000000000000.000"


def test_rules_and_routes_are_one_line() -> None:
    rule = {"match": {"destination": "203.0.113.7/32", "protocol": "=17"}, "then": {"traffic-rate": "0"}}
    assert cells(tables.FLOWSPEC, rule) == {
        "match": "destination 203.0.113.7/32, protocol =17", "then": "traffic-rate 0",
    }  # fmt: skip
    route = {"prefix": "203.0.113.7/32", "nexthop": "192.0.2.1", "communities": ["65535:666", "no-export"]}
    assert cells(tables.ROUTES, route)["more"] == "communities 65535:666, no-export"


def test_routes_and_ranked_prefixes_show_what_tells_them_apart() -> None:
    route = {
        "prefix": "203.0.113.0/24", "nexthop": "192.0.2.1", "aspath": "64500-64501", "origin": "IGP", "med": 0,
        "communities": "64500:1", "largecommunities": "1:2:3",
    }  # fmt: skip
    assert cells(tables.RECEIVED, route) == {
        "prefix": "203.0.113.0/24", "next hop": "192.0.2.1", "AS path": "64500-64501", "origin": "IGP", "pref": "",
        "MED": "0", "communities": "64500:1, 1:2:3",
    }  # fmt: skip
    ranked = cells(tables.top_prefixes("bytes"), route | {"value": 4.5e7, "parentprefix": "203.0.112.0/20"})
    assert (ranked["value"], ranked["inside"]) == ("45.0 MB/s", "203.0.112.0/20")
    found = {"topPrefixes": [1], "nPrefixes": 1000, "as": 64500, "state": "established", "valuePercentCoverage": 12.34}
    assert tables.coverage(found) == "1 of 1,000 prefixes of AS 64500 (established): 12.3 % of the traffic"


def test_monitored_peers_and_notices() -> None:
    peer = {"router": "192.0.2.1", "name": "loc-rib", "asn": 65001, "state": "down", "prefixes": {"ipv4-unicast": 1000}}
    shown = cells(tables.MONITORED, peer | {"reason": "it left"})
    assert (shown["peer"], shown["routes"], shown["why down"]) == ("loc-rib", "1,000", "it left")
    assert cells(tables.MONITORED, peer | {"state": "up", "reason": "it left"})["why down"] == ""
    notice = {"time": 1_700_000_000.5, "router": "192.0.2.1", "kind": "change", "text": "up"}
    assert cells(tables.LOG, notice)["time"] == "2023-11-14T22:13:20.500Z"


def test_objects_without_any_field_are_shown_as_well() -> None:
    every = (
        tables.AGENTS, tables.NEIGHBORS, tables.FLOWSPEC, tables.ROUTES, tables.DEFINITIONS, tables.events({}),
        tables.RECEIVED, tables.RECEIVED_FLOWSPEC, tables.MONITORED, tables.LOG, tables.top_prefixes("bytes"),
    )  # fmt: skip
    assert tables.coverage({})
    for columns in every:
        assert all(isinstance(column.text({}), str) for column in columns)


def test_a_table_in_a_pipe_is_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    show_table([EVENT | {"flowKey": "k" * 300}], tables.events(KNOWN))
    header, line = capsys.readouterr().out.splitlines()
    assert header.split() == ["id", "time", "threshold", "at", "key", "value"]
    assert "k" * 300 in line


def test_markup_in_keys_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    show_table([EVENT | {"flowKey": "[bold]x[/bold]"}], tables.events(KNOWN))
    assert "[bold]x[/bold]" in capsys.readouterr().out


def test_nothing_is_said_to_be_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    show_table([], tables.AGENTS)
    assert capsys.readouterr().out == "nothing to show\n"


def test_lines_and_json_have_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    show_lines([EVENT, EVENT], tables.events(KNOWN))
    line = "7  2023-11-14T22:13:20.123Z  udp  192.0.2.250>1  203.0.113.7,53  51.7 kpkt/s\n"
    assert capsys.readouterr().out == 2 * line
    show_json([{"a": 1}, {"b": None}])
    assert capsys.readouterr().out == '{"a":1}\n{"b":null}\n'
