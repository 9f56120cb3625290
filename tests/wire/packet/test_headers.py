from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

import packets as p
import strategies
from tidegate.data.fields import FIELDS
from tidegate.data.forms import FORMS, Form
from tidegate.data.names import LAYERS
from tidegate.data.spelling import name_octets, name_text
from tidegate.wire.packet.headers import MAX_LAYERS, PacketLayer, dissect
from tidegate.wire.sflow.keys import field_text

ETHERNET, PPP, IPV4, IPV6, MPLS, POS = 1, 7, 11, 12, 13, 14


def stack(header: bytes, protocol: int = ETHERNET) -> str:
    return ".".join(LAYERS[layer.name] for layer in dissect(protocol, header))


def fields(header: bytes, protocol: int = ETHERNET) -> dict[str, str]:
    """Return the text of all fields, inner headers with a suffix."""
    found: dict[str, str] = {}
    seen: dict[str, int] = {}
    for layer in dissect(protocol, header):
        nth = seen.get(layer.name.name, 0)
        seen[layer.name.name] = nth + 1
        for name, value in layer.fields.items():
            found[f"{name}.{nth}" if nth else name] = field_text(name, value)
    return found


def some(header: bytes, *names: str, protocol: int = ETHERNET) -> list[str | None]:
    found = fields(header, protocol)
    return [found.get(name) for name in names]


TCP4, TCP6, UDP4 = p.ip(6, p.tcp()), p.ip6(6, p.tcp()), p.ip(17, p.udp())


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (p.eth(TCP4), "eth.ip.tcp"),
        (p.eth(TCP6, 0x86DD), "eth.ip6.tcp"),
        (p.eth(TCP6, 0x0800), "eth.ip6.tcp"),  # the version nibble tells
        (p.eth(b"\x55" * 40), "eth"),
        (p.tagged(p.vlan(7, TCP4)), "eth.vlan.ip.tcp"),
        (p.tagged(p.vlan(7, p.vlan(8, TCP4)[2:], 0x8100, tpid=0x88A8)), "eth.vlan.vlan.ip.tcp"),
        (p.tagged(p.vlan(7, TCP4, tpid=0x9100)), "eth.vlan.ip.tcp"),
        (p.eth(p.mpls([1, 2], TCP4), 0x8847), "eth.mpls.mpls.ip.tcp"),
        (p.eth(p.mpls([1], TCP6), 0x8848), "eth.mpls.ip6.tcp"),
        (p.eth(p.mpls([1], bytes(4) + p.eth(UDP4)), 0x8847), "eth.mpls.eth.ip.udp"),
        (p.eth(p.mpls([1], b"\x10" + bytes(40)), 0x8847), "eth.mpls"),
        (p.eth(p.pppoe(9, 0x0021, TCP4), 0x8864), "eth.pppoe.ip.tcp"),
        (p.eth(p.pppoe(9, 0x0057, TCP6), 0x8864), "eth.pppoe.ip6.tcp"),
        (p.eth(p.pppoe(9, 0x0281, p.mpls([1], TCP4)), 0x8864), "eth.pppoe.mpls.ip.tcp"),
        (p.eth(p.pppoe(9, 0xC021, bytes(20)), 0x8864), "eth.pppoe"),
        (p.eth(p.pppoe(9, 0x0021, TCP4), 0x8863), "eth.pppoe"),
        (p.tagged(p.vlan(7, p.pppoe(9, 0x0021, TCP4), 0x8864)), "eth.vlan.pppoe.ip.tcp"),
        (p.eth(p.arp(1, "10.0.0.1", "10.0.0.2"), 0x0806), "eth.arp"),
        (p.eth(b"\xaa\xaa\x03\0\0\0\x08\x00" + TCP4, 1000), "eth.llc.ip.tcp"),
        (p.eth(b"\xaa\xaa\x03\0\0\x0c\x20\x00" + bytes(40), 100), "eth.llc"),
        (p.eth(b"\x42\x42\x03" + bytes(40), 38), "eth.llc"),
        (p.eth(p.ip(1, p.icmp(8))), "eth.ip.icmp"),
        (p.eth(p.ip6(58, p.icmp(128)), 0x86DD), "eth.ip6.icmp6"),
        (p.eth(p.ip(132, p.sctp())), "eth.ip.sctp"),
        (p.eth(p.ip(50, bytes(20))), "eth.ip.esp"),
        (p.eth(p.ip(51, bytes([6, 4]) + bytes(22) + p.tcp())), "eth.ip.ah.tcp"),
        (p.eth(p.ip(137, p.mpls([1], TCP4))), "eth.ip.mpls.ip.tcp"),
        (p.eth(p.ip(99, bytes(20))), "eth.ip"),
        (p.eth(p.ip(4, TCP4)), "eth.ip.ip.tcp"),
        (p.eth(p.ip(41, TCP6)), "eth.ip.ip6.tcp"),
        (p.eth(p.ip6(4, TCP4), 0x86DD), "eth.ip6.ip.tcp"),
        (p.eth(p.ip6(41, TCP6), 0x86DD), "eth.ip6.ip6.tcp"),
        (p.eth(p.ip(47, p.gre(0x0800, TCP4))), "eth.ip.gre.ip.tcp"),
        (p.eth(p.ip(47, p.gre(0x86DD, TCP6, key=1, sequence=2))), "eth.ip.gre.ip6.tcp"),
        (p.eth(p.ip(47, p.gre(0x8847, p.mpls([1], TCP4)))), "eth.ip.gre.mpls.ip.tcp"),
        (p.eth(p.ip(47, p.gre(0x6558, p.eth(UDP4), key=1))), "eth.ip.gre.eth.ip.udp"),
        (p.eth(p.ip(47, p.gre(0x88BE, p.eth(UDP4)))), "eth.ip.gre.eth.ip.udp"),
        (p.eth(p.ip(47, p.gre(0x88BE, bytes(8) + p.eth(UDP4), sequence=1))), "eth.ip.gre.eth.ip.udp"),
        (p.eth(p.ip(47, p.gre(0x0806, p.arp(1, "10.0.0.1", "10.0.0.2")))), "eth.ip.gre"),
        (p.eth(p.ip(47, b"\x00\x01\x08\x00" + TCP4)), "eth.ip.gre"),  # version 1: PPTP
        (p.eth(p.ip(47, b"\x40\x00\x08\x00" + bytes(4) + TCP4)), "eth.ip.gre"),  # routing
        (p.eth(p.ip(47, b"\x80\x00\x08\x00" + bytes(4) + TCP4)), "eth.ip.gre.ip.tcp"),  # checksum
        (p.eth(p.ip(17, p.udp(9, 4789, p.vxlan(5, p.eth(TCP4))))), "eth.ip.udp.vxlan.eth.ip.tcp"),
        (p.eth(p.ip(17, p.udp(9, 8472, p.vxlan(5, p.eth(TCP4))))), "eth.ip.udp.vxlan.eth.ip.tcp"),
        (p.eth(p.ip(17, p.udp(4789, 9, p.vxlan(5, p.eth(TCP4))))), "eth.ip.udp"),
        (p.eth(p.ip(17, p.udp(9, 4789, p.vxlan(5, p.eth(TCP4), flags=0)))), "eth.ip.udp"),
        (p.eth(p.ip(17, p.udp(9, 6081, p.geneve(5, 0x6558, p.eth(TCP4))))), "eth.ip.udp.geneve.eth.ip.tcp"),
        (p.eth(p.ip(17, p.udp(9, 6081, p.geneve(5, 0x0800, TCP4, options=bytes(8))))), "eth.ip.udp.geneve.ip.tcp"),
        (p.eth(p.ip(17, p.udp(9, 6081, p.geneve(5, 0x86DD, TCP6)))), "eth.ip.udp.geneve.ip6.tcp"),
        (p.eth(p.ip(17, p.udp(9, 6081, p.geneve(5, 0x0806, bytes(28))))), "eth.ip.udp.geneve"),
        (p.eth(p.ip(17, p.udp(9, 53, bytes(12)))), "eth.ip.udp.dns"),
        (p.eth(p.ip(17, p.udp(53, 9, bytes(12)))), "eth.ip.udp.dns"),
        (p.eth(p.ip(17, p.udp(9, 4791, p.ibbt(4)))), "eth.ip.udp.ibbt"),
        (p.eth(p.ip(6, p.tcp(), options=bytes(8))), "eth.ip.tcp"),
        (p.eth(p.ip(6, p.tcp(), fragment=5)), "eth.ip"),
        (p.eth(p.ip(6, p.tcp(), flags=1)), "eth.ip.tcp"),
        (p.eth(b"\x44" + TCP4[1:]), "eth.ip"),  # a header of 16 octets
        (p.eth(p.ip6(0, p.extension(6, p.tcp())), 0x86DD), "eth.ip6.tcp"),
        (p.eth(p.ip6(44, p.fragment(6, p.tcp(), more=True)), 0x86DD), "eth.ip6.tcp"),
        (p.eth(p.ip6(44, p.fragment(6, p.tcp(), offset=9)), 0x86DD), "eth.ip6"),
        (p.eth(p.ip6(51, bytes([6, 4]) + bytes(22) + p.tcp()), 0x86DD), "eth.ip6.tcp"),
    ],
)
def test_layers_from_the_outside_in(header: bytes, expected: str) -> None:
    assert stack(header) == expected


@pytest.mark.parametrize(
    ("protocol", "header", "expected"),
    [
        (IPV4, TCP4, "ip.tcp"),
        (IPV4, TCP6, "ip6.tcp"),
        (IPV6, TCP4, "ip.tcp"),
        (IPV6, b"\x75" + TCP4, ""),
        (MPLS, p.mpls([3, 4], TCP6), "mpls.mpls.ip6.tcp"),
        (PPP, b"\xff\x03\x00\x21" + TCP4, "ip.tcp"),
        (PPP, b"\x00\x57" + TCP6, "ip6.tcp"),
        (POS, b"\xff\x03\x02\x81" + p.mpls([3], TCP4), "mpls.ip.tcp"),
        (PPP, b"\xc0\x21" + TCP4, ""),
        (2, p.eth(TCP4), ""),
        (15, p.eth(TCP4), ""),
        (0, p.eth(TCP4), ""),
        (ETHERNET, b"", ""),
        (ETHERNET, b"\x02", "eth"),
    ],
)
def test_where_a_header_starts(protocol: int, header: bytes, expected: str) -> None:
    assert stack(header, protocol) == expected


def test_ethernet_fields() -> None:
    names = ("macsource", "macdestination", "ethernetprotocol", "isunicast", "ismulticast", "isbroadcast")
    assert some(p.eth(TCP4), *names) == ["02AB10000C01", "02AB10000C02", "2048", "true", "false", "false"]
    broadcast = p.eth(TCP4, dst=b"\xff" * 6)
    assert some(broadcast, *names[3:]) == ["false", "false", "true"]
    multicast = p.eth(TCP4, dst=bytes.fromhex("01005E000001"))
    assert some(multicast, *names[3:]) == ["false", "true", "false"]


def test_the_type_behind_all_tags_is_the_ethertype() -> None:
    double = p.tagged(p.vlan(7, p.vlan(8, TCP4, priority=5)[2:], 0x8100, tpid=0x88A8, priority=3))
    assert some(double, "ethernetprotocol", "vlan", "priority", "vlan.1", "priority.1") == ["2048", "7", "3", "8", "5"]
    assert some(p.eth(b"\x42\x42\x03", 38), "ethernetprotocol") == ["38"]
    assert some(p.eth(b"\xaa\xaa\x03\0\0\0\x08\x00" + TCP4, 1000), "ethernetprotocol") == ["2048"]


def test_vlan_0_only_carries_a_priority() -> None:
    assert some(p.tagged(p.vlan(0, TCP4, priority=6)), "vlan", "priority") == [None, "6"]


def test_mpls_pppoe_and_arp_fields() -> None:
    labels = p.eth(p.mpls([1048575, 3], TCP4, exp=5, ttl=9), 0x8847)
    assert some(labels, "mplslabel", "mplsexp", "mplsttl", "mplslabel.1") == ["1048575", "5", "9", "3"]
    assert some(p.eth(p.pppoe(513, 0x0021, TCP4), 0x8864), "pppoesession") == ["513"]
    request = p.eth(p.arp(1, "10.0.0.1", "10.0.0.2"), 0x0806)
    names = ("arpoperation", "arpipsender", "arpiptarget", "arpmacsender", "arpmactarget")
    assert some(request, *names) == ["1", "10.0.0.1", "10.0.0.2", "02AB10000C01", "02AB10000C02"]


def test_ipv4_fields() -> None:
    header = p.eth(p.ip(6, p.tcp(), tos=0xB9, ttl=33, flags=1))
    names = ("ip_offset", "ipsource", "ipdestination", "ipprotocol", "ipttl", "ipbytes", "ipid", "ipfragoffset")
    assert some(header, *names) == ["14", "192.0.2.1", "198.51.100.2", "6", "33", "40", "7", "0"]
    bits = ("iptos", "ipdscp", "ipdscpname", "ipecn", "ipflags")
    assert some(header, *bits) == ["10111001", "46", "ef(46)", "01", "001"]
    assert some(p.eth(p.ip(17, b"", fragment=185)), "ipfragoffset") == ["185"]


def test_ipv6_fields() -> None:
    header = p.eth(p.ip6(6, p.tcp(), traffic_class=0x2A, label=0xABCDE), 0x86DD)
    names = ("ip6_offset", "ip6source", "ip6destination", "ip6nexthdr", "ip6ttl", "ip6bytes", "ip6flowlabel")
    assert some(header, *names) == ["14", "2001:DB8::1", "2001:DB8::2", "6", "64", "20", "703710"]
    bits = ("ip6tos", "ip6dscp", "ip6dscpname", "ip6ecn", "ip6extensions", "ip6fragm")
    assert some(header, *bits) == ["00101010", "10", "af11(10)", "10", None, None]


def chain(count: int, payload: bytes = b"") -> bytes:
    """An IPv6 packet with so many destination options headers before TCP."""
    following = 6
    payload = payload or p.tcp()
    for _ in range(count):
        payload = p.extension(following, payload)
        following = 60
    return p.eth(p.ip6(following, payload), 0x86DD)


def test_seven_extension_headers_are_passed_over_and_an_eighth_ends_the_walk() -> None:
    assert stack(chain(7)) == "eth.ip6.tcp"
    assert some(chain(7), "ip6nexthdr", "ip6extensions") == ["6", "60-60-60-60-60-60-60"]
    assert stack(chain(8)) == "eth.ip6"
    assert some(chain(8), "ip6nexthdr", "ip6extensions") == [None, "60-60-60-60-60-60-60"]


def test_fragments_of_ipv6() -> None:
    first = p.eth(p.ip6(0, p.extension(44, p.fragment(6, p.tcp(), more=True))), 0x86DD)
    names = ("ip6extensions", "ip6fragoffset", "ip6fragm", "ip6nexthdr")
    assert some(first, *names) == ["0-44", "0", "true", "6"]
    later = p.eth(p.ip6(44, p.fragment(6, bytes(20), offset=100)), 0x86DD)
    assert some(later, *names, "tcpsourceport") == ["44", "100", "false", "6", None]


def test_a_chain_that_is_cut_off_has_no_next_header() -> None:
    header = p.eth(p.ip6(60, p.extension(6, p.tcp())), 0x86DD)
    assert some(header[:55], "ip6nexthdr", "ip6extensions") == [None, "60"]
    assert some(header[:56], "ip6nexthdr", "ip6extensions") == ["6", "60"]


def test_an_authentication_header_that_is_cut_ends_the_walk() -> None:
    header = p.eth(p.ip(51, bytes([6, 4]) + bytes(22) + p.tcp()))
    assert stack(header[:35]) == "eth.ip.ah"


def test_tcp_udp_and_sctp_fields() -> None:
    header = p.eth(p.ip(6, p.tcp(1025, 443, flags=0x112, window=99)))
    names = ("tcp_offset", "tcpsourceport", "tcpdestinationport", "tcpseqno", "tcpackno", "tcpflags", "tcpwindow")
    assert some(header, *names) == ["34", "1025", "443", "11", "22", "100010010", "99"]
    header = p.eth(p.ip(17, p.udp(1025, 9, b"1234")))
    assert some(header, "udp_offset", "udpsourceport", "udpdestinationport", "udpbytes") == ["34", "1025", "9", "12"]
    assert some(p.eth(p.ip(132, p.sctp(7, 8))), "sctpsourceport", "sctpdestinationport") == ["7", "8"]


def test_icmp_fields() -> None:
    assert some(p.eth(p.ip(1, p.icmp(8, 0, rest=5))), "icmptype", "icmpcode", "icmpseqno") == ["8", "0", "5"]
    assert some(p.eth(p.ip(1, p.icmp(11, 0, rest=5))), "icmptype", "icmpseqno") == ["11", None]
    assert some(p.eth(p.ip6(58, p.icmp(135, 1)), 0x86DD), "icmp6type", "icmp6code") == ["135", "1"]


UNREACHABLE = ("icmpunreachablenet", "icmpunreachablehost", "icmpunreachableprotocol", "icmpunreachableport")


@pytest.mark.parametrize(
    ("code", "inner", "expected"),
    [
        (0, UDP4, ["198.51.100.2", None, None, None]),
        (1, UDP4, [None, "198.51.100.2", None, None]),
        (2, UDP4, [None, None, "17", None]),
        (3, UDP4, [None, None, None, "9"]),
        (3, p.ip(17, p.udp(1, 77), options=bytes(4)), [None, None, None, "77"]),
        (3, p.ip(47, p.udp()), [None] * 4),
        (3, p.ip(17, p.udp(), fragment=3), [None] * 4),
        (3, b"\x43" + UDP4[1:], [None] * 4),
        (4, UDP4, [None] * 4),
        (0, UDP4[:19], [None] * 4),
        (0, TCP6, [None] * 4),
    ],
)
def test_what_was_unreachable(code: int, inner: bytes, expected: list[str | None]) -> None:
    assert some(p.eth(p.ip(1, p.icmp(3, code, payload=inner))), *UNREACHABLE) == expected


def question(name: bytes, kind: int = 1) -> bytes:
    return p.eth(p.ip(17, p.udp(9, 53, p.dns(name, kind))))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (p.wire_name(b"www", b"Example", b"com"), "www.Example.com"),
        (p.wire_name(), "."),
        (p.wire_name(b"a.b", b"c\\", b"\x00 \xff~"), r"a\.b.c\\.\000\032\255~"),
        (p.wire_name(b"x" * 63, b"y" * 63, b"z" * 63, b"w" * 61), ".".join(["x" * 63, "y" * 63, "z" * 63, "w" * 61])),
    ],
)
def test_names_print_as_in_a_master_file(name: bytes, text: str) -> None:
    assert some(question(name, 28), "dnsqname", "dnsqtypename", "dnsqr") == [text, "AAAA", "false"]


@pytest.mark.parametrize(
    "name",
    [
        b"\x03www\xc0\x0c",  # compressed
        b"\x40" + b"x" * 64 + b"\0",
        p.wire_name(b"x" * 63, b"y" * 63, b"z" * 63, b"w" * 62),  # 256 octets
    ],
)
def test_names_that_are_not_read(name: bytes) -> None:
    assert some(question(name), "dnsqname", "dnsqtypename", "dnsqr") == [None, None, "false"]


def test_a_message_without_question_has_no_name() -> None:
    message = p.dns(p.wire_name(b"www"), questions=0, response=True)
    assert some(p.eth(p.ip(17, p.udp(53, 9, message))), "dnsqname", "dnsqr") == [None, "true"]


def test_a_name_that_is_cut_is_not_read_and_a_type_that_is_cut_is_missing() -> None:
    whole = question(p.wire_name(b"www"))
    assert some(whole[:-5], "dnsqname") == [None]
    assert some(whole[:-3], "dnsqname", "dnsqtypename") == ["www", None]


def test_tunnel_fields() -> None:
    outer = p.ip(17, p.udp(9, 4789, p.vxlan(0xABCDEF, p.eth(p.ip(6, p.tcp(), src="10.0.0.9")))))
    assert some(p.eth(outer), "vni", "vxlanvni", "ipsource", "ipsource.1", "macsource.1") == [
        "11259375", "11259375", "192.0.2.1", "10.0.0.9", "02AB10000C01",
    ]  # fmt: skip
    assert some(p.eth(p.ip(17, p.udp(9, 6081, p.geneve(77, 0x6558)))), "genevevni", "vni") == ["77", None]
    nvgre = p.eth(p.ip(47, p.gre(0x6558, p.eth(TCP4), key=0x123456FF)))
    assert some(nvgre, "greprotocol", "grevsid") == ["25944", str(0x123456)]
    assert some(p.eth(p.ip(47, b"\x20\x01\x08\x00" + bytes(8))), "greprotocol", "grevsid") == ["2048", None]


def test_infiniband_fields() -> None:
    names = ("ibbt_offset", "ibbtopcode", "ibbtopname", "ibbtoptransport", "ibbtdestqp", "ibbttver")
    header = p.eth(p.ip(17, p.udp(9, 4791, p.ibbt(6, length=4096))))
    assert some(header, *names) == ["42", "6", "RC_RDMA_WRITE_First", "RC", str(0x123456), "0"]
    assert some(header, "ibbtse", "ibbtm", "ibbtack", "ibbtrdmalen") == ["true", "false", "true", "4096"]
    assert some(p.eth(p.ip(17, p.udp(9, 4791, p.ibbt(4)))), "ibbtopname", "ibbtrdmalen") == ["RC_SEND_Only", None]


def test_no_more_than_twelve_layers_are_listed() -> None:
    deep = p.tcp()
    protocol = 6
    for _ in range(30):
        deep, protocol = p.ip(protocol, deep), 4
    assert len(dissect(ETHERNET, p.eth(deep))) == MAX_LAYERS
    tags = b"".join(p.vlan(9, b"", 0x8100)[2:] for _ in range(40))
    header = p.MAC_B + p.MAC_A + b"\x81\x00" + tags
    assert len(dissect(ETHERNET, header)) == MAX_LAYERS
    assert "ethernetprotocol" not in fields(header)
    labels = p.mpls(list(range(60)), TCP4)
    assert len(dissect(MPLS, labels)) == MAX_LAYERS


def test_a_packet_ends_where_its_ip_header_says() -> None:
    padded = p.eth(p.ip(6, p.tcp()[:4], total=24) + bytes(40))
    assert some(padded, "tcpsourceport", "tcpseqno") == ["1025", None]
    assert stack(p.eth(p.ip(6, b"", total=20) + bytes(26))) == "eth.ip"
    implausible = p.eth(p.ip(6, p.tcp(), total=19))
    assert some(implausible, "tcpseqno") == ["11"]
    padded6 = p.eth(p.ip6(17, p.udp()[:4], length=4) + bytes(40), 0x86DD)
    assert some(padded6, "udpsourceport", "udpbytes") == ["1025", None]
    assert some(p.eth(p.ip6(6, p.tcp(), length=0), 0x86DD), "tcpseqno") == ["11"]


@pytest.mark.parametrize(
    "build",
    [
        lambda: p.eth(p.ip(17, p.udp(9, 4789, p.vxlan(5, p.eth(TCP4))), options=bytes(8))),
        lambda: chain(3),
        lambda: p.tagged(p.vlan(7, p.pppoe(9, 0x0021, TCP4), 0x8864)),
        lambda: p.eth(p.ip(47, p.gre(0x6558, p.eth(TCP4), key=1, sequence=2))),
        lambda: question(p.wire_name(b"www", b"example")),
        lambda: p.eth(p.ip(1, p.icmp(3, 3, payload=UDP4))),
    ],
)
def test_cutting_a_header_only_loses_fields(build: Callable[[], bytes]) -> None:
    header = build()
    whole = fields(header)
    for size in range(len(header)):
        cut = fields(header[:size])
        kept = {name: text for name, text in cut.items() if name not in {"ethernetprotocol", "ip6extensions"}}
        assert kept.items() <= whole.items()


PROTOCOLS = st.sampled_from([ETHERNET, PPP, IPV4, IPV6, MPLS, POS]) | st.integers(0, 20)


@given(PROTOCOLS, strategies.headers())
def test_any_octets_are_dissected_within_bounds(protocol: int, header: bytes) -> None:
    layers = dissect(protocol, header)
    assert len(layers) <= MAX_LAYERS
    assert [layer.offset for layer in layers] == sorted({layer.offset for layer in layers})
    assert all(0 <= layer.offset < len(header) for layer in layers)
    for layer in layers:
        check(layer)


def check(layer: PacketLayer) -> None:
    """Every field is one of the catalogue, with words that its form prints and reads back."""
    for name, value in layer.fields.items():
        form = FIELDS[name].form
        assert FIELDS[name].layered
        if isinstance(value, bytes):
            assert form is Form.DNS_NAME
            assert name_octets(name_text(value)) == value
        else:
            assert len(value) == FORMS[form].width
            assert FORMS[form].parse(FORMS[form].format(value)) == value


@given(strategies.frames())
def test_well_formed_frames_start_with_ethernet_and_hold_ip(header: bytes) -> None:
    names = [LAYERS[layer.name] for layer in dissect(ETHERNET, header)]
    assert names[0] == "eth"
    assert "ip" in names or "ip6" in names
