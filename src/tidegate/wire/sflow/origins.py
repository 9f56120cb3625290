"""Where each field of the catalogue stands in the bytes: one table for the column kernels.

A field is read at a mark: a place that the kernels found in a sample (a layer of the sampled header, or a record). A
row lists the marks to try in order; the first that has the field wins. Layer suffixes choose among marks of one kind,
and reach the first row of a field alone: the others are records, which know the outermost packet only.

Answers for: sFlow version 5 sections 5.1 to 5.4 of docs/concepts/dissection.md's tables, and the header formats that
`tidegate.wire.packet.columns` lists.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from tidegate.data.names import Layer
from tidegate.wire.packet.columns import Mark
from tidegate.wire.sflow.rows import Flow

__all__ = ["ORIGINS", "RECORD_ELEMENTS", "RECORD_MARKS", "Op", "Origin", "Record"]


class Op(IntEnum):
    """How a field is read at its mark."""

    UINT = 0  # big-endian, `width` octets, shifted and masked
    IP4 = 1
    IP6 = 2
    ADDRESS = 3  # sFlow address: a type word and 0, 4 or 16 octets
    TEXT = 4  # exactly the octets of the mark
    PLACE = 5  # octets between the start of the sampled header and the mark
    BROADCAST = 6  # of a MAC, like the next two
    MULTICAST = 7
    UNICAST = 8
    STACK = 9  # from all layers, no mark
    CHAIN = 10  # numbers of the IPv6 extension headers
    FRAGMENT = 11  # as UINT, in the first IPv6 fragment header
    ROW = 12  # no mark: what the index wrote at `offset` of the sample's row
    DIRECTION = 13  # no mark: data source beside interfaces


class Record(IntEnum):
    """Kinds of marks that are records or parts of records; a part has the number of its record plus its place."""

    ETHERNET = 64  # 0:2
    IPV4 = 65  # 0:3
    IPV4_TCP = 66  # 0:3 again, where its protocol is 6
    IPV4_UDP = 67
    IPV6 = 68  # 0:4
    IPV6_TCP = 69
    IPV6_UDP = 70
    SWITCH = 71  # 0:1001
    EGRESS_QUEUE = 72  # 0:1036
    QUEUE_LENGTH = 73  # 0:1019
    QUEUE = 74  # 0:1040
    TRANSIT = 75  # 0:1039
    TCP_INFO = 76  # 0:2209
    SOCKET4 = 77  # 0:2100
    SOCKET6 = 78  # 0:2101
    PROXY4 = 160  # 0:2102
    PROXY6 = 161  # 0:2103
    TUNNEL4_IN = 79  # 0:1024
    TUNNEL6_IN = 80  # 0:1026
    VNI_OUT = 81  # 0:1029
    VNI_IN = 82  # 0:1030
    ROUTER = 84  # 0:1002
    GATEWAY = 88  # 0:1003
    GATEWAY_AS = 89  # as, src_as, src_peer_as
    GATEWAY_PATH = 90  # the segments, without their count
    GATEWAY_LAST = 91  # last AS of the path, or `as`
    GATEWAY_FIRST = 92
    GATEWAY_COMMUNITIES = 93  # the communities, without their count
    GATEWAY_LOCALPREF = 94
    HTTP = 96  # 0:2206
    HTTP_OLD = 112  # 0:2201
    MEMCACHE = 128  # 0:2200
    APP = 136  # 0:2202
    ACL = 144  # 0:1037
    FUNCTION = 148  # 0:1038
    TRAP = 152  # 0:1041
    REASON = 156  # 0:1042


# Flow record format (enterprise 0) to kind. Those in RECORD_ELEMENTS bring a mark for each of their elements.
RECORD_MARKS: dict[int, Record] = {
    2: Record.ETHERNET,
    3: Record.IPV4,
    4: Record.IPV6,
    1001: Record.SWITCH,
    1002: Record.ROUTER,
    1003: Record.GATEWAY,
    1019: Record.QUEUE_LENGTH,
    1024: Record.TUNNEL4_IN,
    1026: Record.TUNNEL6_IN,
    1029: Record.VNI_OUT,
    1030: Record.VNI_IN,
    1036: Record.EGRESS_QUEUE,
    1037: Record.ACL,
    1038: Record.FUNCTION,
    1039: Record.TRANSIT,
    1040: Record.QUEUE,
    1041: Record.TRAP,
    1042: Record.REASON,
    2100: Record.SOCKET4,
    2101: Record.SOCKET6,
    2102: Record.PROXY4,
    2103: Record.PROXY6,
    2200: Record.MEMCACHE,
    2201: Record.HTTP_OLD,
    2202: Record.APP,
    2206: Record.HTTP,
    2209: Record.TCP_INFO,
}

# Records whose fields move: u a word, h two words, s a string (marked without length word and padding), a an address.
RECORD_ELEMENTS: dict[Record, str] = {
    Record.ROUTER: "auu",
    Record.HTTP: "uussssssshhuu",
    Record.HTTP_OLD: "ussssssshhuu",
    Record.MEMCACHE: "uusuuuu",
    Record.APP: "sssshhuu",
    Record.ACL: "usu",
    Record.FUNCTION: "s",
    Record.TRAP: "ss",
    Record.REASON: "s",
}

_ALL = (1 << 64) - 1


class Origin(msgspec.Struct, frozen=True):
    """One way to read a field; a number outside `low` to `high` reads as not present."""

    mark: int
    op: Op = Op.UINT
    offset: int = 0  # octets behind the mark
    width: int = 1  # octets
    shift: int = 0
    mask: int = _ALL
    low: int = 0
    high: int = _ALL


def _u(mark: int, offset: int, width: int, **more: int) -> Origin:
    return Origin(mark, Op.UINT, offset, width, **more)


def _part(record: Record, element: int, width: int = 4) -> Origin:
    return Origin(record + element, Op.UINT, 0, width)


def _text(mark: int) -> Origin:
    return Origin(mark, Op.TEXT)


_VLANS = {"low": 1, "high": 4095}
_PRIORITIES = {"low": 0, "high": 7}


def _ip_tos(layer: int, record: int, header: tuple[int, int, int], place: int) -> dict[str, tuple[Origin, ...]]:
    """Rows of the type of service octet: (offset, width, shift) in the header, offset of the word in the record."""
    prefix = "ip" if layer == Layer.IP else "ip6"
    offset, width, shift = header

    def bits(lower: int, mask: int) -> tuple[Origin, ...]:
        return (
            _u(layer, offset, width, shift=shift + lower, mask=mask),
            _u(record, place, 4, shift=lower, mask=mask),
        )

    return {
        f"{prefix}tos": bits(0, 255),
        f"{prefix}dscp": bits(2, 63),
        f"{prefix}dscpname": bits(2, 63),
        f"{prefix}ecn": bits(0, 3),
    }


_ETHERNET: dict[str, tuple[Origin, ...]] = {
    "macdestination": (_u(Layer.ETH, 0, 6), _u(Record.ETHERNET, 12, 6)),
    "macsource": (_u(Layer.ETH, 6, 6), _u(Record.ETHERNET, 4, 6)),
    "ethernetprotocol": (_u(Mark.ETHERTYPE, 0, 2), _u(Record.ETHERNET, 20, 4)),
    "isbroadcast": (Origin(Layer.ETH, Op.BROADCAST), Origin(Record.ETHERNET, Op.BROADCAST, 12)),
    "ismulticast": (Origin(Layer.ETH, Op.MULTICAST), Origin(Record.ETHERNET, Op.MULTICAST, 12)),
    "isunicast": (Origin(Layer.ETH, Op.UNICAST), Origin(Record.ETHERNET, Op.UNICAST, 12)),
    "vlan": (_u(Layer.VLAN, 0, 2, mask=0xFFF, **_VLANS), _u(Record.SWITCH, 0, 4, **_VLANS)),
    "priority": (_u(Layer.VLAN, 0, 1, shift=5), _u(Record.SWITCH, 4, 4, **_PRIORITIES)),
    "mplslabel": (_u(Layer.MPLS, 0, 3, shift=4),),
    "mplsexp": (_u(Layer.MPLS, 2, 1, shift=1, mask=7),),
    "mplsttl": (_u(Layer.MPLS, 3, 1),),
    "pppoesession": (_u(Layer.PPPOE, 2, 2),),
    "arpoperation": (_u(Layer.ARP, 6, 2),),
    "arpmacsender": (_u(Layer.ARP, 8, 6),),
    "arpipsender": (Origin(Layer.ARP, Op.IP4, 14),),
    "arpmactarget": (_u(Layer.ARP, 18, 6),),
    "arpiptarget": (Origin(Layer.ARP, Op.IP4, 24),),
}

_NETWORK: dict[str, tuple[Origin, ...]] = {
    "ip_offset": (Origin(Layer.IP, Op.PLACE),),
    "ipbytes": (_u(Layer.IP, 2, 2), _u(Record.IPV4, 0, 4)),
    "ipid": (_u(Layer.IP, 4, 2),),
    "ipflags": (_u(Layer.IP, 6, 1, shift=5),),
    "ipfragoffset": (_u(Layer.IP, 6, 2, mask=0x1FFF),),
    "ipttl": (_u(Layer.IP, 8, 1),),
    "ipprotocol": (_u(Layer.IP, 9, 1), _u(Record.IPV4, 4, 4)),
    "ipsource": (Origin(Layer.IP, Op.IP4, 12), Origin(Record.IPV4, Op.IP4, 8)),
    "ipdestination": (Origin(Layer.IP, Op.IP4, 16), Origin(Record.IPV4, Op.IP4, 12)),
    **_ip_tos(Layer.IP, Record.IPV4, (1, 1, 0), 28),
    "ip6_offset": (Origin(Layer.IP6, Op.PLACE),),
    "ip6flowlabel": (_u(Layer.IP6, 1, 3, mask=0xFFFFF),),
    "ip6bytes": (_u(Layer.IP6, 4, 2),),
    "ip6nexthdr": (_u(Mark.NEXT_HEADER, 0, 1), _u(Record.IPV6, 4, 4)),
    "ip6ttl": (_u(Layer.IP6, 7, 1),),
    "ip6source": (Origin(Layer.IP6, Op.IP6, 8), Origin(Record.IPV6, Op.IP6, 8)),
    "ip6destination": (Origin(Layer.IP6, Op.IP6, 24), Origin(Record.IPV6, Op.IP6, 24)),
    **_ip_tos(Layer.IP6, Record.IPV6, (0, 2, 4), 52),
    "ip6extensions": (Origin(Mark.IP6_CHAIN, Op.CHAIN),),
    "ip6fragoffset": (Origin(Mark.IP6_CHAIN, Op.FRAGMENT, 2, 2, shift=3),),
    "ip6fragm": (Origin(Mark.IP6_CHAIN, Op.FRAGMENT, 3, 1, mask=1),),
}

_TRANSPORT: dict[str, tuple[Origin, ...]] = {
    "tcp_offset": (Origin(Layer.TCP, Op.PLACE),),
    "tcpsourceport": (_u(Layer.TCP, 0, 2), _u(Record.IPV4_TCP, 16, 4), _u(Record.IPV6_TCP, 40, 4)),
    "tcpdestinationport": (_u(Layer.TCP, 2, 2), _u(Record.IPV4_TCP, 20, 4), _u(Record.IPV6_TCP, 44, 4)),
    "tcpseqno": (_u(Layer.TCP, 4, 4),),
    "tcpackno": (_u(Layer.TCP, 8, 4),),
    "tcpflags": (
        _u(Layer.TCP, 12, 2, mask=0x1FF),
        _u(Record.IPV4_TCP, 24, 4, mask=0x1FF),
        _u(Record.IPV6_TCP, 48, 4, mask=0x1FF),
    ),
    "tcpwindow": (_u(Layer.TCP, 14, 2),),
    "udp_offset": (Origin(Layer.UDP, Op.PLACE),),
    "udpsourceport": (_u(Layer.UDP, 0, 2), _u(Record.IPV4_UDP, 16, 4), _u(Record.IPV6_UDP, 40, 4)),
    "udpdestinationport": (_u(Layer.UDP, 2, 2), _u(Record.IPV4_UDP, 20, 4), _u(Record.IPV6_UDP, 44, 4)),
    "udpbytes": (_u(Layer.UDP, 4, 2),),
    "sctpsourceport": (_u(Layer.SCTP, 0, 2),),
    "sctpdestinationport": (_u(Layer.SCTP, 2, 2),),
    "icmptype": (_u(Layer.ICMP, 0, 1),),
    "icmpcode": (_u(Layer.ICMP, 1, 1),),
    "icmpseqno": (_u(Mark.ECHO, 6, 2),),
    "icmpunreachablenet": (Origin(Mark.UNREACHABLE_NET, Op.IP4, 16),),
    "icmpunreachablehost": (Origin(Mark.UNREACHABLE_HOST, Op.IP4, 16),),
    "icmpunreachableprotocol": (_u(Mark.UNREACHABLE_PROTOCOL, 9, 1),),
    "icmpunreachableport": (_u(Mark.UNREACHABLE_PORT, 2, 2),),
    "icmp6type": (_u(Layer.ICMP6, 0, 1),),
    "icmp6code": (_u(Layer.ICMP6, 1, 1),),
    "dnsqname": (_text(Mark.DNS_NAME),),
    "dnsqr": (_u(Layer.DNS, 2, 1, shift=7),),
    "dnsqtypename": (_u(Mark.DNS_TYPE, 0, 2),),
    "greprotocol": (_u(Layer.GRE, 2, 2),),
    "grevsid": (_u(Mark.GRE_KEY, 0, 3),),
    "vni": (_u(Layer.VXLAN, 4, 3), _u(Record.VNI_IN, 0, 4), _u(Record.VNI_OUT, 0, 4)),
    "vxlanvni": (_u(Layer.VXLAN, 4, 3),),
    "genevevni": (_u(Layer.GENEVE, 4, 3),),
    "ibbt_offset": (Origin(Layer.IBBT, Op.PLACE),),
    "ibbtopcode": (_u(Layer.IBBT, 0, 1),),
    "ibbtopname": (_u(Layer.IBBT, 0, 1),),
    "ibbtoptransport": (_u(Layer.IBBT, 0, 1, shift=5),),
    "ibbtse": (_u(Layer.IBBT, 1, 1, shift=7),),
    "ibbtm": (_u(Layer.IBBT, 1, 1, shift=6, mask=1),),
    "ibbttver": (_u(Layer.IBBT, 1, 1, mask=15),),
    "ibbtdestqp": (_u(Layer.IBBT, 5, 3),),
    "ibbtack": (_u(Layer.IBBT, 8, 1, shift=7),),
    "ibbtrdmalen": (_u(Mark.RDMA, 12, 4),),
}

_RECORDS: dict[str, tuple[Origin, ...]] = {
    "vlansource": (_u(Record.SWITCH, 0, 4, **_VLANS),),
    "prioritysource": (_u(Record.SWITCH, 4, 4, **_PRIORITIES),),
    "vlandestination": (_u(Record.SWITCH, 8, 4, **_VLANS),),
    "prioritydestination": (_u(Record.SWITCH, 12, 4, **_PRIORITIES),),
    "ipnexthoprouter": (Origin(Record.ROUTER, Op.ADDRESS),),
    "ipsourcemaskbits": (_part(Record.ROUTER, 1),),
    "ipdestinationmaskbits": (_part(Record.ROUTER, 2),),
    "bgpnexthop": (Origin(Record.GATEWAY, Op.ADDRESS),),
    "bgpas": (_u(Record.GATEWAY_AS, 0, 4),),
    "bgpsourceas": (_u(Record.GATEWAY_AS, 4, 4),),
    "bgpsourcepeeras": (_u(Record.GATEWAY_AS, 8, 4),),
    "bgpdestinationas": (_u(Record.GATEWAY_LAST, 0, 4),),
    "bgpdestinationpeeras": (_u(Record.GATEWAY_FIRST, 0, 4),),
    "bgpdestinationaspath": (_text(Record.GATEWAY_PATH),),
    "bgpcommunities": (_text(Record.GATEWAY_COMMUNITIES),),
    "bgplocalpref": (_u(Record.GATEWAY_LOCALPREF, 0, 4),),
    "inputipsource": (Origin(Record.TUNNEL4_IN, Op.IP4, 8), Origin(Record.TUNNEL6_IN, Op.IP6, 8)),
    "queueindex": (_u(Record.EGRESS_QUEUE, 0, 4), _u(Record.QUEUE_LENGTH, 0, 4)),
    "queuedepth": (_u(Record.QUEUE, 0, 4),),
    "transitdelay": (_u(Record.TRANSIT, 0, 4),),
    "tcpunacked": (_u(Record.TCP_INFO, 12, 4),),
    "tcplost": (_u(Record.TCP_INFO, 16, 4),),
    "tcpretrans": (_u(Record.TCP_INFO, 20, 4),),
    "tcppathmtu": (_u(Record.TCP_INFO, 24, 4),),
    "tcprtt": (_u(Record.TCP_INFO, 28, 4),),
    "tcprttsdev": (_u(Record.TCP_INFO, 32, 4),),
    "tcpsndcwnd": (_u(Record.TCP_INFO, 36, 4),),
    "tcprttwait": (_u(Record.TCP_INFO, 44, 4),),
    "protocol": (_u(Record.SOCKET4, 0, 4), _u(Record.SOCKET6, 0, 4)),
    "serveraddress": (Origin(Record.SOCKET4, Op.IP4, 4),),
    "clientaddress": (Origin(Record.SOCKET4, Op.IP4, 8),),
    "serveraddress6": (Origin(Record.SOCKET6, Op.IP6, 4),),
    "clientaddress6": (Origin(Record.SOCKET6, Op.IP6, 20),),
    "serverport": (_u(Record.SOCKET4, 12, 4), _u(Record.SOCKET6, 36, 4)),
    "clientport": (_u(Record.SOCKET4, 16, 4), _u(Record.SOCKET6, 40, 4)),
    "proxyprotocol": (_u(Record.PROXY4, 0, 4), _u(Record.PROXY6, 0, 4)),
    "proxyclientaddress": (Origin(Record.PROXY4, Op.IP4, 4),),
    "proxyserveraddress": (Origin(Record.PROXY4, Op.IP4, 8),),
    "proxyclientaddress6": (Origin(Record.PROXY6, Op.IP6, 4),),
    "proxyserveraddress6": (Origin(Record.PROXY6, Op.IP6, 20),),
    "proxyclientport": (_u(Record.PROXY4, 12, 4), _u(Record.PROXY6, 36, 4)),
    "proxyserverport": (_u(Record.PROXY4, 16, 4), _u(Record.PROXY6, 40, 4)),
    "httpmethod": (_part(Record.HTTP, 0), _part(Record.HTTP_OLD, 0)),
    "httpprotocol": (_part(Record.HTTP, 1),),
    "httpurl": (_text(Record.HTTP + 2), _text(Record.HTTP_OLD + 1)),
    "httphost": (_text(Record.HTTP + 3), _text(Record.HTTP_OLD + 2)),
    "httpreferer": (_text(Record.HTTP + 4), _text(Record.HTTP_OLD + 3)),
    "httpuseragent": (_text(Record.HTTP + 5), _text(Record.HTTP_OLD + 4)),
    "httpxff": (_text(Record.HTTP + 6), _text(Record.HTTP_OLD + 5)),
    "httpauthuser": (_text(Record.HTTP + 7), _text(Record.HTTP_OLD + 6)),
    "httpmimetype": (_text(Record.HTTP + 8), _text(Record.HTTP_OLD + 7)),
    "req_bytes": (_part(Record.HTTP, 9, 8), _part(Record.HTTP_OLD, 8, 8), _part(Record.APP, 4, 8)),
    "resp_bytes": (_part(Record.HTTP, 10, 8), _part(Record.HTTP_OLD, 9, 8), _part(Record.APP, 5, 8)),
    "duration": (
        _part(Record.HTTP, 11),
        _part(Record.HTTP_OLD, 10),
        _part(Record.MEMCACHE, 5),
        _part(Record.APP, 6),
    ),
    "httpstatus": (
        _u(Record.HTTP + 12, 0, 4, high=0x7FFFFFFF),  # signed, and negative is unknown
        _u(Record.HTTP_OLD + 11, 0, 4, high=0x7FFFFFFF),
    ),
    "memcachekey": (_text(Record.MEMCACHE + 2),),
    "memcachestatus": (_part(Record.MEMCACHE, 6),),
    "aclname": (_text(Record.ACL + 1),),
    "dropfunction": (_text(Record.FUNCTION),),
    "droptrap": (_text(Record.TRAP + 1),),
    "dropreasonname": (_text(Record.REASON),),
}

_SAMPLE: dict[str, tuple[Origin, ...]] = {
    "inputifindex": (Origin(0, Op.ROW, Flow.INPUT),),
    "outputifindex": (Origin(0, Op.ROW, Flow.OUTPUT),),
    "samplingrate": (Origin(0, Op.ROW, Flow.RATE),),
    "reason": (Origin(0, Op.ROW, Flow.REASON),),
    "bytes": (Origin(0, Op.ROW, Flow.OCTETS),),
    "stripped": (Origin(0, Op.ROW, Flow.STRIPPED),),
    "direction": (Origin(0, Op.DIRECTION),),
    "stack": (Origin(0, Op.STACK),),
}

# In no sample: what routing tables alone say.
_NOWHERE: dict[str, tuple[Origin, ...]] = {"bgpsourceprefix": (), "bgpdestinationprefix": ()}

# agent, subagent and frames stand in every batch: see wire/sflow/columns.py.
ORIGINS: dict[str, tuple[Origin, ...]] = {
    **_SAMPLE,
    **_ETHERNET,
    **_NETWORK,
    **_TRANSPORT,
    **_RECORDS,
    **_NOWHERE,
}
