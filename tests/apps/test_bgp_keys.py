"""BGP keys of captures, from a table that UPDATEs filled: sums worked out by hand from what sflowtool says of them.

A sum is octets of the packet times the sampling rate, over all samples of a key. 64500 and so on stand for no real AS.
"""

from __future__ import annotations

import ipaddress

import pytest

import captures
from running import SECOND, START_NS, blocks, prepare
from tidegate.apps.analyzer import Analyzer
from tidegate.apps.config import Config
from tidegate.apps.pipeline import build_analyzer
from tidegate.apps.shard import Shard
from tidegate.data.address import parse_address
from tidegate.data.rib import Router
from tidegate.engine.routing import Routers, Routing
from tidegate.wire.bgp.attributes import Attributes, Segment
from tidegate.wire.bgp.constants import Afi, Family, Origin, SegmentType
from tidegate.wire.bgp.prefix import parse_prefix
from tidegate.wire.bgp.ribin import RibIn
from tidegate.wire.bgp.update import RouteGroup, Update

FLOWS = {
    "paths": "bgpdestinationaspath,bgpcommunities",
    "systems": "bgpas,bgpdestinationas,null:bgpdestinationpeeras",
    "hops": "bgpnexthop,null:bgplocalpref",
    "prefixes": "bgpdestinationprefix",
    "sources": "bgpsourceprefix,bgpsourceas",
}


@pytest.fixture(scope="module", autouse=True)
def _kernels() -> None:
    prepare()


def announce(
    rib: RibIn, prefix: str, path: tuple[int, ...] = (), communities: tuple[int, ...] = (), *, hop: str = "192.0.2.1",
    local_pref: int | None = None,
) -> None:  # fmt: skip
    parsed = parse_prefix(prefix)
    family = Family.IPV4_UNICAST if parsed.afi is Afi.IPV4 else Family.IPV6_UNICAST
    segments = (Segment(SegmentType.SEQUENCE, path),) if path else ()
    said = Attributes(origin=Origin.IGP, as_path=segments, local_pref=local_pref, communities=communities)
    rib.take(Update(announced=(RouteGroup(family, (parsed,), ipaddress.ip_address(hop).packed),), attributes=said))


def community(first: int, second: int) -> int:
    return first << 16 | second


def totals(analyzer: Analyzer, shards: list[Shard], *names: str) -> dict[str, dict[str, float]]:
    """Return the sum of each key of each definition; captures go to the shards in turn."""
    for number, name in enumerate(names):
        for block in blocks(captures.datagrams(name), step_ns=SECOND // 1000, size=100):
            shards[number % len(shards)].take(block)
    analyzer.finish()
    found: dict[str, dict[str, float]] = {flow: {} for flow in FLOWS}
    for record in analyzer.flow_records(most=10_000):
        sums = found[record.name]
        sums[record.flow_keys] = sums.get(record.flow_keys, 0) + record.value
    return found


def analyzer_of(routing: Routing | None, *, shards: int = 2) -> tuple[Analyzer, list[Shard]]:
    analyzer, made = build_analyzer(Config(), shards=shards, now_ns=lambda: START_NS + SECOND)
    for name, keys in FLOWS.items():
        analyzer.set_flow(name, {"keys": keys, "value": "bytes", "log": True})
    analyzer.set_routing(routing)
    return analyzer, made


def table() -> RibIn:
    rib = RibIn()
    announce(rib, "14.128.0.0/10", (64500,), hop="192.0.2.9")
    announce(rib, "14.139.0.0/16", (64500, 64501), (community(64500, 1),), local_pref=120)
    announce(rib, "54.208.0.0/15", (64500, 64502), (community(64500, 1), community(64500, 2)))
    announce(rib, "217.77.80.0/20", (64503,))
    announce(rib, "80.16.0.0/15", (64503, 4_200_000_001), (community(65535, 666),), hop="192.0.2.2", local_pref=80)
    announce(rib, "192.168.1.0/24")
    announce(rib, "199.58.161.0/24", (64505,))
    rib.finish()
    return rib


NAMES = ("cistern-flows-3.bin", "telegraf-dell-expanded-3.bin", "overflowd-two-port-1000.pcap")
# cistern, 1:512, 199.58.161.163 and .130 to 14.139.155.135 and 54.208.14.164, 109.175.40.137 to 199.58.161.163
TO_14, TO_54, TO_199 = 558 * 512, 1518 * 512, 70 * 512
# telegraf, 1:1024, 172.16.0.22 and 217.77.81.5 to 217.77.82.245 and 80.16.24.240; one between 192.168.6.0/24
TO_217, TO_80 = 1468 * 1024, 126 * 1024
# overflowd, 1:300, all between 192.168.1.2 and 192.168.1.3: 3901 samples one way and 1954 the other
TO_2, TO_3 = 41_098_800, 1_776_515_400


def test_sums_of_captures_without_gateway_records() -> None:
    routers = Routers(Router(64496, table()))
    found = totals(*analyzer_of(Routing(default=routers)), *NAMES)

    assert found["paths"] == {
        "64500-64501,64500:1": TO_14,
        "64500-64502,64500:1-64500:2": TO_54,
        "64503-4200000001,65535:666": TO_80,
    }
    assert found["prefixes"] == {
        "14.139.0.0/16": TO_14, "54.208.0.0/15": TO_54, "217.77.80.0/20": TO_217, "80.16.0.0/15": TO_80,
        "199.58.161.0/24": TO_199, "192.168.1.0/24": TO_3 + TO_2,
    }  # fmt: skip
    assert found["systems"] == {
        "64496,64501,64500": TO_14, "64496,64502,64500": TO_54, "64496,64503,64503": TO_217,
        "64496,4200000001,64503": TO_80, "64496,64505,64505": TO_199, "64496,64496,null": TO_3 + TO_2,
    }  # fmt: skip
    assert found["hops"] == {
        "192.0.2.1,120": TO_14, "192.0.2.2,80": TO_80, "192.0.2.1,null": TO_54 + TO_217 + TO_199 + TO_3 + TO_2,
    }  # fmt: skip
    assert found["sources"] == {
        "199.58.161.0/24,64505": TO_14 + TO_54, "217.77.80.0/20,64503": TO_80, "192.168.1.0/24,64496": TO_3 + TO_2,
    }  # fmt: skip


def test_only_agents_that_are_tied_have_keys() -> None:
    cistern = parse_address("208.85.240.52")
    routing = Routing(agents={cistern: Routers(Router(64496, table()))})
    found = totals(*analyzer_of(routing), *NAMES)
    assert found["prefixes"] == {"14.139.0.0/16": TO_14, "54.208.0.0/15": TO_54, "199.58.161.0/24": TO_199}
    assert totals(*analyzer_of(None), *NAMES) == {flow: {} for flow in FLOWS}


@pytest.mark.skipif(not captures.SHARED.is_dir(), reason="../shared/data is not beside this checkout")
def test_sums_of_a_capture_in_which_some_samples_have_gateway_records() -> None:
    """Of akvorado's five samples, 1:1024, two are IPv4 with records; three are IPv6 and have none."""
    rib = RibIn()
    announce(rib, "2a0c:8880::/32", (64510, 64511), (community(64510, 7),), hop="2001:db8::1", local_pref=90)
    announce(rib, "45.90.160.0/22", (64512,), (community(64512, 9),))  # the records say otherwise
    announce(rib, "191.87.0.0/16", (64513,), (community(64513, 9),))
    rib.finish()
    router = Router(64496, rib)
    routing = Routing(agents={parse_address("172.16.0.3"): Routers(router, router)})

    found = totals(*analyzer_of(routing), "akvorado-1140.pcap")

    v6, to_45, to_191 = 3 * 1518 * 1024, 439 * 1024, 64 * 1024
    assert found["paths"] == {
        "64510-64511,64510:7": v6,
        "203698-6762-26615,39421:1000-39421:1001-65000:40000-65000:40001-65000:60001": to_191,
    }
    assert found["systems"] == {
        "64496,64511,64510": v6, "39421,39421,null": to_45, "39421,26615,203698": to_191,
    }  # fmt: skip
    assert found["hops"] == {"2001:DB8::1,90": v6, "0.0.0.0,0": to_45, "31.14.69.110,100": to_191}
    assert found["prefixes"] == {"2A0C:8880::/32": v6}
    assert found["sources"] == {"2A0C:8880::/32,64511": v6}
