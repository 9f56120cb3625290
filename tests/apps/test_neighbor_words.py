from __future__ import annotations

from tidegate.apps.neighbor_words import describe_neighbor

ROW = {
    "address": "192.0.2.254",
    "state": "established",
    "since": 1_700_000_000.0,
    "peerAs": 65002,
    "localAs": 65001,
    "routerId": "192.0.2.254",
    "families": ["ipv4-unicast", "ipv4-flowspec"],
    "capabilities": ["route refresh", "extended messages"],
    "holdTime": 90,
    "wanted": 3,
    "sent": 1,
    "waiting": 1,
    "notNegotiated": 1,
    "flaps": 2,
    "failures": 1,
    "lastError": "hold timer expired",
    "notificationSent": "6/4 administrative reset",
    "prefixes": {"ipv4-unicast": 1000, "ipv6-unicast": 0},
    "stale": {"ipv4-unicast": 10},
    "heldBack": 1,
    "restarting": True,
    "problems": {"origin: missing": 4},
    "octetsIn": 1234,
    "messagesIn": 5,
    "localAddress": "192.0.2.1",
    "localPort": 179,
    "remotePort": 40000,
    "dynamic": True,
}


def test_all_that_is_known_is_said() -> None:
    assert describe_neighbor(ROW) == [
        "neighbour:            192.0.2.254, made from a prefix",
        "state:                established since 2023-11-14T22:13:20Z, ended 2 times, 1 attempts failed in a row",
        "last error:           hold timer expired",
        "notification sent:    6/4 administrative reset",
        "AS:                   65002, here 65001",
        "router id:            192.0.2.254",
        "connection:           192.0.2.1 port 179 to port 40000",
        "families:             ipv4-unicast, ipv4-flowspec",
        "capabilities:         route refresh; extended messages",
        "hold time:            90 s",
        "received:             ipv4-unicast 1,000",
        "of these stale:       ipv4-unicast 10",
        "announced:            1 of 3 sent, 1 updates wait, 1 of a family that the neighbour does not speak",
        "held back:            1, because the session fell when they were sent; see `tidegate bgp log`",
        "after a crash:        not all is said again yet",
        "messages:             5 in, 0 out",
        "octets:               1,234 in, 0 out",
        "problems in updates:  origin: missing 4",
    ]


def test_a_neighbour_that_was_never_up_has_few_lines() -> None:
    assert describe_neighbor({"address": "192.0.2.254", "state": "idle", "shut": "too many routes"}) == [
        "neighbour:            192.0.2.254",
        "state:                idle",
        "kept down:            too many routes",
        "AS:                   not known yet, here ",
        "received:             nothing",
        "announced:            0 of 0 sent",
        "messages:             0 in, 0 out",
        "octets:               0 in, 0 out",
    ]
