"""An example of each operation, for the OpenAPI document; the tests send the bodies and compare the replies' shapes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

__all__ = ["EXAMPLES", "Example"]


class Example(msgspec.Struct, frozen=True):
    """A body that can be sent, and a reply that can come."""

    body: Mapping[str, Any] | None = None
    reply: Any = None


_FLOW: Final = {"keys": "ipdestination,udpsourceport", "value": "frames", "filter": "ipprotocol=17"}
_FLOW_FULL: Final = {
    **_FLOW,
    "n": 5,
    "t": 2.0,
    "fs": ",",
    "log": False,
    "flowStart": False,
    "activeTimeout": 60.0,
    "dropped": False,
}
_THRESHOLD: Final = {"metric": "udp_reflection", "value": 10000.0, "byFlow": True, "timeout": 2.0}
_GROUP: Final = {"internal": ["10.0.0.0/8", "FC00::/7"], "external": ["0.0.0.0/0", "::/0"]}
_MAP: Final = {"web": ["80", "443"]}
_RULE: Final = {
    "match": {"destination": "192.0.2.1", "version": "4", "protocol": "=17", "source-port": "=53"},
    "then": {"traffic-rate": "0"},
}
_ROUTE: Final = {"nexthop": "192.0.2.254", "communities": "65535:666", "localpref": 100}
_AT: Final = {"agent": "10.0.0.20", "dataSource": "7"}
_CELL: Final = {**_AT, "metricName": "udp_reflection", "lastUpdate": 0, "metricValue": 20133.4}
_TOP: Final = [{"key": "192.0.2.1,53", "value": 20133.4}]
_EVENT: Final = {
    "eventID": 17,
    "timestamp": 1700000000123,
    "thresholdID": "reflection",
    "metric": "udp_reflection",
    "threshold": 10000.0,
    "value": 10137.4,
    **_AT,
    "flowKey": "192.0.2.1,53",
    "samples": 41.2,
    "interval": 3095.0,
}
_RECORD: Final = {
    "flowID": 311,
    "name": "udp_reflection",
    "flowKeys": "192.0.2.1,53",
    "value": 125000.0,
    "start": 1700000000123,
    "end": 1700000007123,
    **_AT,
}
_SCRIPT: Final = {
    "flowsReceived": 0,
    "flowsLost": 0,
    "eventsReceived": 12,
    "eventsLost": 0,
    "requestsReceived": 3,
    "requestsLost": 0,
    "alive": True,
    "gracefulExit": False,
    "cpuMs": 41.5,
}
_NEIGHBOR: Final = {
    "address": "192.0.2.254",
    "state": "established",
    "since": 1700000000.5,
    "wanted": 2,
    "sent": 2,
    "peerAs": 65001,
    "routerId": "192.0.2.254",
    "families": ["ipv4-unicast", "ipv4-flowspec"],
}
_RECEIVED: Final = {
    "prefix": "203.0.113.0/24",
    "nexthop": "198.51.100.1",
    "aspath": "64500-64501",
    "origin": "IGP",
    "localpref": 100,
    "med": 0,
    "communities": "64500:1-64500:2",
    "parentprefix": "203.0.112.0/20",
}
_TOP_PREFIXES: Final = {
    "state": "established",
    "as": 64500,
    "nPrefixes": 512345,
    "learnedPrefixesAdded": 512400,
    "learnedPrefixesRemoved": 55,
    "pushedPrefixesAdded": 10,
    "pushedPrefixesRemoved": 0,
    "direction": "destination",
    "valueTotal": 1.2e9,
    "valueCoverage": 4.5e7,
    "valuePercentCoverage": 3.75,
    "topPrefixes": [{"value": 4.5e7, **_RECEIVED}],
}
_MONITORED: Final = {
    "address": "192.0.2.253",
    "port": 41011,
    "state": "up",
    "since": 1700000000.5,
    "sysName": "edge-1",
    "octets": 41000000,
    "routes": 512345,
    "peers": [
        {
            "name": "loc-rib",
            "asn": 65001,
            "routerId": "192.0.2.253",
            "state": "up",
            "since": 1700000000.5,
            "view": "loc-rib",
            "prefixes": {"ipv4-unicast": 512345},
        }
    ],
}
_NOTICE: Final = {
    "noticeID": 3,
    "time": 1700000000.5,
    "router": "192.0.2.254",
    "kind": "change",
    "text": "openconfirm to established: the peer agreed",
}
_TESTED: Final = {
    "passed": True,
    "profile": "safe",
    "families": {"ipv4-flowspec": "the rule was sent, the session stayed up for 3 s, and the rule was withdrawn"},
}
_PREFIX_PATH: Final = "/bgp/routepusher/{router}/{address}/{bits}/json"

EXAMPLES: Final[Mapping[tuple[str, str], Example]] = MappingProxyType(
    {
        ("get", "/version"): Example(reply="0.1-0"),
        ("get", "/health"): Example(reply="OK"),
        ("get", "/analyzer/json"): Example(reply={"version": "0.1-0", "uptime": 5511000, "sFlowAgents": 2}),
        ("get", "/flowkeys/json"): Example(reply={"ipsource": 12, "ipdestination": 12}),
        ("get", "/flow/json"): Example(reply={"udp_reflection": _FLOW_FULL}),
        ("get", "/flow/{name}/json"): Example(reply=_FLOW_FULL),
        ("put", "/flow/{name}/json"): Example(body=_FLOW),
        ("get", "/activeflows/{agents}/{name}/json"): Example(reply=[{**_TOP[0], **_AT, "flowN": 2}]),
        ("get", "/flowlocations/{agents}/{name}/json"): Example(reply=[{**_AT, "value": 20133.4}]),
        ("get", "/flowvalue/{agent}/{metric}/json"): Example(reply=20133.4),
        ("get", "/flows/json"): Example(reply=[_RECORD]),
        ("get", "/events/json"): Example(reply=[_EVENT]),
        ("get", "/group/json"): Example(reply={"site": _GROUP}),
        ("get", "/groups/json"): Example(reply={"site": _GROUP}),
        ("put", "/group/json"): Example(body=_GROUP),
        ("put", "/groups/json"): Example(body=_GROUP),
        ("get", "/group/{name}/json"): Example(reply=_GROUP),
        ("put", "/group/{name}/json"): Example(body=_GROUP),
        ("get", "/map/json"): Example(reply={"services": _MAP}),
        ("get", "/map/{name}/json"): Example(reply=_MAP),
        ("put", "/map/{name}/json"): Example(body=_MAP),
        ("get", "/threshold/json"): Example(reply={"reflection": _THRESHOLD}),
        ("get", "/threshold/{name}/json"): Example(reply=_THRESHOLD),
        ("put", "/threshold/{name}/json"): Example(body=_THRESHOLD),
        ("get", "/metrics/json"): Example(reply={"udp_reflection": 0}),
        ("get", "/metric/{agent}/json"): Example(reply={"7.udp_reflection": 20133.4}),
        ("get", "/metric/{agents}/{metrics}/json"): Example(
            reply=[{**_CELL, "metricN": 2, "lastUpdateMax": 0, "lastUpdateMin": 0, "topKeys": _TOP}]
        ),
        ("get", "/dump/{agents}/{metrics}/json"): Example(reply=[{**_CELL, "topKeys": _TOP}]),
        ("get", "/table/{agents}/{metrics}/json"): Example(reply=[[{**_CELL, "topKeys": _TOP}]]),
        ("get", "/bgp/neighbors/json"): Example(reply=[_NEIGHBOR]),
        ("get", "/bgp/flowspec/{router}/json"): Example(reply=[_RULE]),
        ("put", "/bgp/flowspec/{router}/json"): Example(body=_RULE),
        ("delete", "/bgp/flowspec/{router}/json"): Example(body=_RULE),
        ("get", "/bgp/topprefixes/{router}/json"): Example(reply=_TOP_PREFIXES),
        ("get", "/bgp/topprefixes6/{router}/json"): Example(reply={**_TOP_PREFIXES, "topPrefixes": []}),
        ("get", "/bgp/prefix/{router}/json"): Example(reply=_RECEIVED),
        ("get", "/bgp/routes/{router}/json"): Example(reply=[_RECEIVED]),
        ("post", "/bgp/reset/{router}/json"): Example(),
        ("post", "/bgp/refresh/{router}/json"): Example(reply=["ipv4-unicast"]),
        ("post", "/bgp/selftest/{router}/json"): Example(reply=_TESTED),
        ("get", "/bgp/bmp/json"): Example(reply=[_MONITORED]),
        ("get", "/bgp/log/json"): Example(reply=[_NOTICE]),
        ("get", "/bgp/routepusher/{router}/json"): Example(reply=["192.0.2.1/32"]),
        ("get", _PREFIX_PATH): Example(reply={"prefix": "192.0.2.1/32", **_ROUTE}),
        ("put", _PREFIX_PATH): Example(body=_ROUTE),
        ("get", "/scripts/json"): Example(reply={"ddos/reflection.py": _SCRIPT}),
        ("get", "/status"): Example(reply="OK"),
        ("get", "/app/{app}/status"): Example(reply="OK"),
    }
)
