from __future__ import annotations

from ipaddress import ip_address

import msgspec
import pytest
from hypothesis import given

import packets as p
import strategies
from tidegate.data.fields import FIELDS, field_ref
from tidegate.data.forms import FORMS
from tidegate.wire.sflow import app_records as app
from tidegate.wire.sflow import flow_records as flow
from tidegate.wire.sflow import tunnel_records as tunnel
from tidegate.wire.sflow.flow_records import SampledEthernet, SampledHeader, SampledIpv4, SampledIpv6
from tidegate.wire.sflow.keys import flow_fields, flow_words
from tidegate.wire.sflow.samples import (
    Datagram,
    DataSource,
    DiscardedPacket,
    FlowSample,
    InterfaceWord,
)

GRAM = Datagram(ip_address("192.0.2.9").packed, 3, 1, 1000)
FLOW = FlowSample(1, DataSource(0, 5), 400, 100, 0, InterfaceWord(0, 5), InterfaceWord(0, 6))
DROP = DiscardedPacket(1, DataSource(0, 5), 0, 5, 6, 258)

TCP4 = p.eth(p.ip(6, p.tcp()))


def ip(text: str) -> bytes:
    return ip_address(text).packed


def header(octets: bytes, *, protocol: int = 1, length: int = 100) -> SampledHeader:
    return SampledHeader(protocol, length, 4, octets)


def fields(*records: msgspec.Struct) -> dict[str, str]:
    return flow_fields(GRAM, msgspec.structs.replace(FLOW, records=records))


def some(found: dict[str, str], *names: str) -> list[str | None]:
    return [found.get(name) for name in names]


def test_fields_of_the_sample_itself() -> None:
    names = ("agent", "subagent", "samplingrate", "frames", "inputifindex", "outputifindex", "direction", "bytes")
    assert some(fields(), *names) == ["192.0.2.9", "3", "400", "1", "5", "6", "ingress", None]
    assert some(fields(header(TCP4)), "bytes", "stripped", "stack") == ["100", "4", "eth.ip.tcp"]
    assert some(fields(), "reason", "stack", "stripped") == [None, None, None]


def test_an_unknown_agent_reads_as_all_zero() -> None:
    assert flow_fields(Datagram(b"", 0, 0, 0), FLOW)["agent"] == "0.0.0.0"  # noqa: S104 - an address, not a bind
    assert flow_fields(Datagram(ip("2001:db8::1"), 0, 0, 0), FLOW)["agent"] == "2001:DB8::1"


@pytest.mark.parametrize(
    ("word", "expanded", "text"),
    [
        (InterfaceWord(0, 0), False, "0"),
        (InterfaceWord(0, 0x3FFFFFFF), False, "internal"),
        (InterfaceWord(0, 0x3FFFFFFF), True, "internal"),
        (InterfaceWord(0, 0xFFFFFFFF), True, "internal"),
        (InterfaceWord(0, 1285816721), True, "1285816721"),
        (InterfaceWord(1, 258), False, "discard"),
        (InterfaceWord(2, 0), False, "multiple"),
        (InterfaceWord(2, 7), True, "multiple"),
        (InterfaceWord(3, 1), False, "unknown"),
        (InterfaceWord(9, 1), True, "unknown"),
    ],
)
def test_interfaces_of_flow_samples(word: InterfaceWord, text: str, *, expanded: bool) -> None:
    sample = msgspec.structs.replace(FLOW, input=word, output=word, expanded=expanded)
    assert some(flow_fields(GRAM, sample), "inputifindex", "outputifindex") == [text, text]


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (7, "7"), (0x3FFFFFFF, "internal"), (1 << 31, "unknown"), (0xFFFFFFFF, "unknown")]
)
def test_interfaces_of_discarded_packets(value: int, text: str) -> None:
    sample = msgspec.structs.replace(DROP, input_ifindex=value, output_ifindex=value)
    assert some(flow_fields(GRAM, sample), "inputifindex", "outputifindex") == [text, text]


@pytest.mark.parametrize(
    ("source", "incoming", "outgoing", "direction"),
    [
        (DataSource(0, 5), 5, 6, "ingress"),
        (DataSource(0, 6), 5, 6, "egress"),
        (DataSource(0, 5), 5, 5, "ingress"),
        (DataSource(0, 7), 5, 6, None),
        (DataSource(0, 0), 0, 0, None),
        (DataSource(2, 5), 5, 6, None),
        (DataSource(0, 0x3FFFFFFF), 0x3FFFFFFF, 6, None),
    ],
)
def test_direction(source: DataSource, incoming: int, outgoing: int, direction: str | None) -> None:
    sample = msgspec.structs.replace(
        FLOW, source_id=source, input=InterfaceWord(0, incoming), output=InterfaceWord(0, outgoing), expanded=True
    )
    assert flow_fields(GRAM, sample).get("direction") == direction
    drop = msgspec.structs.replace(DROP, source_id=source, input_ifindex=incoming, output_ifindex=outgoing)
    assert flow_fields(GRAM, drop).get("direction") == direction


def test_discarded_packets_are_not_scaled_and_tell_why() -> None:
    found = flow_fields(GRAM, DROP)
    assert some(found, "reason", "samplingrate", "frames", "direction") == ["acl", "1", "1", "ingress"]
    assert flow_fields(GRAM, msgspec.structs.replace(DROP, reason=9999))["reason"] == "9999"


ETHERNET = SampledEthernet(64, b"\x02" * 6, b"\xff" * 6, 0x0806)
IPV4 = SampledIpv4(1500, 6, ip("10.0.0.1"), ip("10.0.0.2"), 1025, 80, 0xF02, 0x1B8)
IPV6 = SampledIpv6(1400, 17, ip("2001:db8::3"), ip("2001:db8::4"), 1026, 53, 0, 0x28)


def test_records_fill_the_gaps_of_the_header() -> None:
    found = fields(IPV4, header(b"", protocol=11), ETHERNET, IPV6)
    assert some(found, "macsource", "macdestination", "ethernetprotocol") == ["020202020202", "FFFFFFFFFFFF", "2054"]
    assert some(found, "isbroadcast", "ismulticast", "isunicast") == ["true", "false", "false"]
    assert some(found, "ipsource", "ipdestination", "ipprotocol", "ipbytes") == ["10.0.0.1", "10.0.0.2", "6", "1500"]
    assert some(found, "iptos", "ipdscp", "ipdscpname", "ipecn") == ["10111000", "46", "ef(46)", "00"]
    assert some(found, "tcpsourceport", "tcpdestinationport", "tcpflags") == ["1025", "80", "100000010"]
    assert some(found, "ip6source", "ip6destination", "ip6nexthdr") == ["2001:DB8::3", "2001:DB8::4", "17"]
    assert some(found, "ip6tos", "ip6dscpname", "ip6ecn") == ["00101000", "af11(10)", "00"]
    assert some(found, "udpsourceport", "udpdestinationport") == ["1026", "53"]
    assert some(found, "ttl", "ip6bytes", "ip_offset") == [None, None, None]


def test_the_header_comes_before_the_records() -> None:
    found = fields(IPV4, header(TCP4), flow.ExtendedSwitch(7, 3, 8, 4), ETHERNET)
    assert some(found, "ipsource", "ipbytes", "macsource") == ["192.0.2.1", "40", "02AB10000C01"]
    assert some(found, "vlan", "priority") == ["7", "3"]
    tagged = header(p.tagged(p.vlan(9, p.ip(6, p.tcp()), priority=1)))
    assert some(fields(flow.ExtendedSwitch(7, 3, 8, 4), tagged), "vlan", "priority", "vlansource") == ["9", "1", "7"]


def test_of_several_records_the_first_counts() -> None:
    other = msgspec.structs.replace(IPV4, length=40, src_ip=ip("10.9.9.9"))
    assert some(fields(IPV4, other), "ipsource", "bytes") == ["10.0.0.1", "1500"]


@pytest.mark.parametrize(
    ("records", "length"),
    [
        ((), None),
        ((ETHERNET, IPV4), "64"),
        ((IPV4, ETHERNET), "64"),
        ((IPV6, IPV4), "1500"),
        ((IPV6,), "1400"),
        ((IPV4, header(TCP4, length=70)), "70"),
        ((header(p.eth(p.ip(6, p.tcp(), total=1500)), length=66),), "1514"),
        ((header(p.eth(p.ip(6, p.tcp(), total=19)), length=5),), "5"),
        ((header(p.eth(b"\x42" + p.ip(6, p.tcp(), total=1500)[1:]), length=66),), "66"),
        ((header(p.eth(p.ip6(6, p.tcp(), length=1440), 0x86DD), length=66),), "1494"),
        ((header(p.eth(p.ip(6, p.tcp(), total=1500)), length=3000),), "3000"),
        ((header(p.eth(p.ip(6, p.tcp(), total=1500))[:17], length=66),), "66"),
        ((header(p.eth(p.ip6(6, p.tcp(), length=1500), 0x86DD)[:19], length=66),), "66"),
    ],
)
def test_the_length_of_the_packet(records: tuple[msgspec.Struct, ...], length: str | None) -> None:
    assert fields(*records).get("bytes") == length


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (flow.ExtendedSwitch(0, 8, 4096, 0xFFFFFFFF), {}),
        (
            flow.ExtendedSwitch(4095, 7, 1, 0),
            {"vlan": "4095", "priority": "7", "vlansource": "4095", "prioritysource": "7", "vlandestination": "1",
             "prioritydestination": "0"},
        ),
        (
            flow.ExtendedRouter(ip("10.0.0.1"), 24, 0),
            {"ipnexthoprouter": "10.0.0.1", "ipsourcemaskbits": "24", "ipdestinationmaskbits": "0"},
        ),
        (flow.ExtendedRouter(b"", 24), {"ipsourcemaskbits": "24"}),
        (
            flow.ExtendedGateway(
                ip("2001:db8::1"), 65000, 0, 65001,
                (flow.AsPathSegment(2, (65001, 65002)), flow.AsPathSegment(1, ()),
                 flow.AsPathSegment(1, (7, 4200000000))),
                (65000 << 16 | 1, 0xFFFF029A), 100,
            ),
            {"bgpnexthop": "2001:DB8::1", "bgpas": "65000", "bgpsourceas": "0", "bgpsourcepeeras": "65001",
             "bgpdestinationas": "4200000000", "bgpdestinationpeeras": "65001",
             "bgpdestinationaspath": "65001-65002-7-4200000000", "bgpcommunities": "65000:1-65535:666",
             "bgplocalpref": "100"},
        ),
        (
            flow.ExtendedGateway(b"", 65000, 1, 2, (flow.AsPathSegment(2, ()),), (), 0),
            {"bgpas": "65000", "bgpsourceas": "1", "bgpsourcepeeras": "2", "bgpdestinationas": "65000",
             "bgplocalpref": "0"},
        ),
        (flow.ExtendedGateway(b"", 65000, 1, 2), {"bgpas": "65000", "bgpsourceas": "1", "bgpsourcepeeras": "2"}),
        (tunnel.ExtendedIpv4TunnelIngress(SampledIpv4(1, 2, ip("10.0.0.7"))), {"inputipsource": "10.0.0.7"}),
        (tunnel.ExtendedIpv6TunnelIngress(SampledIpv6(1, 2, ip("::7"))), {"inputipsource": "::7"}),
        (tunnel.ExtendedIpv4TunnelIngress(), {}),
        (tunnel.ExtendedVniIngress(9), {"vni": "9"}),
        (tunnel.ExtendedVniEgress(9), {"vni": "9"}),
        (tunnel.ExtendedEgressQueue(4), {"queueindex": "4"}),
        (flow.ExtendedQueueLength(5, 900), {"queueindex": "5"}),
        (tunnel.ExtendedQueue(77), {"queuedepth": "77"}),
        (tunnel.ExtendedTransit(88), {"transitdelay": "88"}),
        (
            app.ExtendedTcpInfo(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12),
            {"tcpunacked": "4", "tcplost": "5", "tcpretrans": "6", "tcppathmtu": "7", "tcprtt": "8",
             "tcprttsdev": "9", "tcpsndcwnd": "10", "tcprttwait": "12"},
        ),
        (
            app.HttpRequest(2, 1001, b"/a", b"h", b"", b"ua", b"x", b"u", b"text/html", 1 << 40, 3, 4, 200),
            {"httpmethod": "2", "httpprotocol": "1001", "httpurl": "/a", "httphost": "h", "httpuseragent": "ua",
             "httpxff": "x", "httpauthuser": "u", "httpmimetype": "text/html", "req_bytes": "1099511627776",
             "resp_bytes": "3", "duration": "4", "httpstatus": "200"},
        ),
        (
            app.HttpRequestOld(2, b"/\xff", b"h", b"r", b"", b"", b"", b"", 1, 3, 4, -1),
            {"httpmethod": "2", "httpurl": "/\ufffd", "httphost": "h", "httpreferer": "r", "req_bytes": "1",
             "resp_bytes": "3", "duration": "4"},
        ),
        (app.MemcacheOperation(1, 7, b"k", 1, 2, 3, 1), {"memcachekey": "k", "memcachestatus": "1", "duration": "3"}),
        (
            app.AppOperation(b"a", b"b", b"c", b"d", 5, 6, 7, 0),
            {"req_bytes": "5", "resp_bytes": "6", "duration": "7"},
        ),
        (
            app.ExtendedSocketIpv4(6, ip("10.0.0.1"), ip("10.0.0.2"), 80, 1025),
            {"protocol": "6", "serveraddress": "10.0.0.1", "clientaddress": "10.0.0.2", "serverport": "80",
             "clientport": "1025"},
        ),
        (
            app.ExtendedSocketIpv6(6, ip("::1"), ip("::2"), 80, 1025),
            {"protocol": "6", "serveraddress6": "::1", "clientaddress6": "::2", "serverport": "80",
             "clientport": "1025"},
        ),
        (
            app.ExtendedProxySocketIpv4(app.ExtendedSocketIpv4(6, ip("10.0.0.1"), ip("10.0.0.2"), 1025, 80)),
            {"proxyprotocol": "6", "proxyclientaddress": "10.0.0.1", "proxyserveraddress": "10.0.0.2",
             "proxyclientport": "1025", "proxyserverport": "80"},
        ),
        (
            app.ExtendedProxySocketIpv6(app.ExtendedSocketIpv6(6, ip("::1"), ip("::2"), 1025, 80)),
            {"proxyprotocol": "6", "proxyclientaddress6": "::1", "proxyserveraddress6": "::2",
             "proxyclientport": "1025", "proxyserverport": "80"},
        ),
        (tunnel.ExtendedAcl(1, b"deny-all", 1), {"aclname": "deny-all"}),
        (tunnel.ExtendedFunction(b"nf_hook_slow+0xa"), {"dropfunction": "nf_hook_slow+0xa"}),
        (tunnel.ExtendedHwTrap(b"l2_drops", b"blackhole_route"), {"droptrap": "blackhole_route"}),
        (tunnel.ExtendedLinuxDropReason(b"NO_SOCKET"), {"dropreasonname": "NO_SOCKET"}),
        (tunnel.ExtendedLinuxDropReason(b""), {}),
        (flow.Extended80211Aggregation(((ETHERNET, IPV4),)), {}),
    ],
)  # fmt: skip
def test_fields_of_each_record(record: msgspec.Struct, expected: dict[str, str]) -> None:
    bare = fields()
    assert {name: text for name, text in fields(record).items() if name not in bare} == expected


@pytest.mark.parametrize(
    ("first", "second", "name", "text"),
    [
        (tunnel.ExtendedVniIngress(1), tunnel.ExtendedVniEgress(2), "vni", "1"),
        (tunnel.ExtendedEgressQueue(1), flow.ExtendedQueueLength(2, 3), "queueindex", "1"),
        (app.HttpRequest(1), app.HttpRequestOld(2), "httpmethod", "1"),
        (app.MemcacheOperation(duration_us=1), app.AppOperation(duration_us=2), "duration", "1"),
        (
            tunnel.ExtendedIpv4TunnelIngress(SampledIpv4(src_ip=ip("10.0.0.7"))),
            tunnel.ExtendedIpv6TunnelIngress(SampledIpv6(src_ip=ip("::7"))),
            "inputipsource",
            "10.0.0.7",
        ),
        (app.ExtendedSocketIpv4(6), app.ExtendedSocketIpv6(17), "protocol", "6"),
        (IPV4, msgspec.structs.replace(IPV6, protocol=6), "tcpsourceport", "1025"),
    ],
)
def test_which_record_comes_first(first: msgspec.Struct, second: msgspec.Struct, name: str, text: str) -> None:
    assert fields(first, second)[name] == text
    assert fields(second, first)[name] == text


def test_inner_layers_have_a_suffix_and_no_other_source() -> None:
    inner = p.tagged(p.vlan(0, p.ip(6, p.tcp(), src="10.0.0.9")))
    outer = p.tagged(p.vlan(0, p.ip(17, p.udp(9, 4789, p.vxlan(5, inner)))))
    found = fields(header(outer), flow.ExtendedSwitch(7, 3, 8, 4))
    assert some(found, "vlan", "vlan.1", "ipsource", "ipsource.1", "priority.1") == [
        "7", None, "192.0.2.1", "10.0.0.9", "0",
    ]  # fmt: skip
    assert found["stack"] == "eth.vlan.ip.udp.vxlan.eth.vlan.ip.tcp"


@given(strategies.datagrams())
def test_every_field_is_in_the_catalogue_and_its_text_reads_back(datagram: Datagram) -> None:
    for sample in datagram.samples:
        if not isinstance(sample, FlowSample | DiscardedPacket):
            continue
        texts = flow_fields(datagram, sample)
        for name, value in flow_words(datagram, sample).items():
            reference = field_ref(name)
            assert reference is not None
            traits = FORMS[FIELDS[reference.name].form]
            if isinstance(value, bytes):
                assert traits.spelling is not None
            else:
                assert traits.parse(texts[name]) == value


def test_the_records_give_no_field_that_the_catalogue_lacks() -> None:
    assert all(field_ref(name) for name in fields(header(TCP4), IPV4, IPV6, ETHERNET))
