"""The key catalogue: every field of a sample that a flow definition can name, one row each.

Where a field stands in the bytes is told by `tidegate.wire.sflow.origins`, row by row under the same names; what its
words mean by `tidegate.data.forms`; which fields routing tables know by `tidegate.engine.routing`. A name may carry a
layer suffix (`ipsource.1`): the second occurrence of that header from the outside. Reference pages and REST pick lists
are made from this table.
"""

from __future__ import annotations

import msgspec

from tidegate.data.forms import Form

__all__ = ["FIELDS", "MAX_LAYER", "Field", "FieldRef", "field_ref"]

MAX_LAYER = 11  # no more layers than this are dissected behind the first: see wire/packet/columns.py


class Field(msgspec.Struct, frozen=True):
    """One field: its name in the flow language, what its words mean, and whether a layer suffix makes sense."""

    name: str
    form: Form
    about: str
    layered: bool = False


class FieldRef(msgspec.Struct, frozen=True, order=True):
    """A field at a layer: `ipsource.1` is `FieldRef("ipsource", 1)`."""

    name: str
    layer: int = 0

    def __str__(self) -> str:
        return f"{self.name}.{self.layer}" if self.layer else self.name


def field_ref(text: str) -> FieldRef | None:
    """Return the field that `text` names, or None where the catalogue has none."""
    name, dot, suffix = text.partition(".")
    field = FIELDS.get(name)
    if field is None:
        return None
    if not dot:
        return FieldRef(name)
    if not field.layered or not (suffix.isascii() and suffix.isdigit() and len(suffix) <= 2) or int(suffix) > MAX_LAYER:
        return None
    return FieldRef(name, int(suffix))


def _header(form: Form, **about: str) -> list[Field]:
    return [Field(name, form, text, layered=True) for name, text in about.items()]


def _sample(form: Form, **about: str) -> list[Field]:
    return [Field(name, form, text) for name, text in about.items()]


_ROWS: list[Field] = [
    # the sample itself
    *_sample(Form.ADDRESS, agent="agent address of the datagram"),
    *_sample(
        Form.INTERFACE,
        inputifindex="interface the packet came in by",
        outputifindex="interface the packet left by",
    ),
    *_sample(Form.DIRECTION, direction="ingress where the data source is the input interface, egress for the output"),
    *_sample(Form.STACK, stack="protocol names from the outside in, at most twelve"),
    *_sample(
        Form.NUMBER,
        bytes="length of the packet in octets as the agent reports it",
        frames="one packet",
        stripped="octets removed before the header was copied",
        samplingrate="packets that this sample stands for",
        subagent="sub-agent of the datagram",
    ),
    *_sample(Form.REASON, reason="why a packet was dropped (only in discarded packet samples)"),
    # Ethernet, IEEE 802.1Q
    *_header(Form.MAC, macsource="source MAC", macdestination="destination MAC"),
    *_header(
        Form.NUMBER,
        ethernetprotocol="EtherType behind all VLAN tags",
        vlan="VLAN of the tag, else of the switch record",
        priority="802.1p priority of the tag, else of the switch record",
        mplslabel="MPLS label",
        mplsexp="MPLS traffic class",
        mplsttl="MPLS TTL",
        pppoesession="PPPoE session",
    ),
    *_header(
        Form.BOOLEAN,
        isbroadcast="destination MAC is the broadcast address",
        ismulticast="destination MAC is a group address other than broadcast",
        isunicast="destination MAC is no group address",
    ),
    # sFlow extended_switch, extended_router, extended_gateway
    *_sample(
        Form.NUMBER,
        vlansource="VLAN on entry (switch record)",
        vlandestination="VLAN on exit (switch record)",
        prioritysource="802.1p priority on entry (switch record)",
        prioritydestination="802.1p priority on exit (switch record)",
        ipsourcemaskbits="source prefix length (router record)",
        ipdestinationmaskbits="destination prefix length (router record)",
        bgpas="AS of the router (gateway record, else routing table)",
        bgpsourceas="AS of the source (gateway record, else routing table)",
        bgpsourcepeeras="neighbouring AS towards the source (gateway record, else routing table)",
        bgpdestinationas="AS of the destination (gateway record, else routing table)",
        bgpdestinationpeeras="neighbouring AS towards the destination (gateway record, else routing table)",
        bgplocalpref="LOCAL_PREF (gateway record, else routing table)",
    ),
    *_sample(
        Form.ADDRESS,
        ipnexthoprouter="next hop (router record)",
        bgpnexthop="BGP next hop (gateway record, else routing table)",
    ),
    *_sample(
        Form.AS_PATH,
        bgpdestinationaspath="AS path to the destination, joined by - (gateway record, else routing table)",
    ),
    *_sample(Form.COMMUNITIES, bgpcommunities="communities, joined by - (gateway record, else routing table)"),
    *_sample(
        Form.PREFIX,
        bgpsourceprefix="prefix of the route to the source (routing table)",
        bgpdestinationprefix="prefix of the route to the destination (routing table)",
    ),
    # ARP, RFC 826
    *_header(Form.NUMBER, arpoperation="1 request, 2 reply"),
    *_header(Form.ADDRESS, arpipsender="sender protocol address", arpiptarget="target protocol address"),
    *_header(Form.MAC, arpmacsender="sender hardware address", arpmactarget="target hardware address"),
    # IPv4, RFC 791
    *_header(Form.ADDRESS, ipsource="IPv4 source", ipdestination="IPv4 destination"),
    *_header(
        Form.NUMBER,
        ip_offset="octets before the IPv4 header",
        ipprotocol="IPv4 protocol",
        ipdscp="IPv4 DSCP",
        ipttl="IPv4 TTL",
        ipbytes="IPv4 total length in octets",
        ipid="IPv4 identification",
        ipfragoffset="IPv4 fragment offset in units of eight octets",
    ),
    *_header(Form.BITS8, iptos="IPv4 type of service"),
    *_header(Form.DSCP, ipdscpname="IPv4 DSCP with its name"),
    *_header(Form.BITS2, ipecn="IPv4 ECN"),
    *_header(Form.BITS3, ipflags="IPv4 flags: reserved, don't fragment, more fragments"),
    # IPv6, RFC 8200
    *_header(Form.ADDRESS, ip6source="IPv6 source", ip6destination="IPv6 destination"),
    *_header(
        Form.NUMBER,
        ip6_offset="octets before the IPv6 header",
        ip6nexthdr="first header number behind the extension headers",
        ip6dscp="IPv6 DSCP",
        ip6flowlabel="IPv6 flow label",
        ip6ttl="IPv6 hop limit",
        ip6bytes="IPv6 payload length in octets",
        ip6fragoffset="IPv6 fragment offset in units of eight octets",
    ),
    *_header(Form.BITS8, ip6tos="IPv6 traffic class"),
    *_header(Form.DSCP, ip6dscpname="IPv6 DSCP with its name"),
    *_header(Form.BITS2, ip6ecn="IPv6 ECN"),
    *_header(Form.HEADERS, ip6extensions="numbers of the extension headers, joined by -"),
    *_header(Form.BOOLEAN, ip6fragm="more fragments follow"),
    # TCP RFC 9293, UDP RFC 768, SCTP RFC 9260, ICMP RFC 792, ICMPv6 RFC 4443
    *_header(
        Form.NUMBER,
        tcp_offset="octets before the TCP header",
        tcpsourceport="TCP source port",
        tcpdestinationport="TCP destination port",
        tcpseqno="TCP sequence number",
        tcpackno="TCP acknowledgement number",
        tcpwindow="TCP window",
        udp_offset="octets before the UDP header",
        udpsourceport="UDP source port",
        udpdestinationport="UDP destination port",
        udpbytes="UDP length in octets",
        sctpsourceport="SCTP source port",
        sctpdestinationport="SCTP destination port",
        icmptype="ICMP type",
        icmpcode="ICMP code",
        icmpseqno="ICMP echo sequence number",
        icmpunreachableprotocol="protocol that was unreachable (ICMP type 3 code 2)",
        icmpunreachableport="destination port that was unreachable (ICMP type 3 code 3)",
        icmp6type="ICMPv6 type",
        icmp6code="ICMPv6 code",
    ),
    *_header(Form.BITS9, tcpflags="TCP flags: NS CWR ECE URG ACK PSH RST SYN FIN"),
    *_header(
        Form.ADDRESS,
        icmpunreachablenet="destination whose network was unreachable (ICMP type 3 code 0)",
        icmpunreachablehost="destination that was unreachable (ICMP type 3 code 1)",
    ),
    # DNS, RFC 1035
    *_header(Form.DNS_NAME, dnsqname="name of the first question"),
    *_header(Form.BOOLEAN, dnsqr="false for a query, true for a response"),
    *_header(Form.DNS_TYPE, dnsqtypename="type of the first question"),
    # tunnels: GRE RFC 2784, NVGRE RFC 7637, VXLAN RFC 7348, Geneve RFC 8926
    *_header(
        Form.NUMBER,
        greprotocol="EtherType in the GRE header",
        grevsid="NVGRE virtual subnet",
        vni="VXLAN network, else of the VNI record",
        vxlanvni="VXLAN network",
        genevevni="Geneve network",
    ),
    *_sample(Form.ADDRESS, inputipsource="outer source of the tunnel that was removed (tunnel ingress record)"),
    # RoCE version 2: InfiniBand base transport header
    *_header(
        Form.NUMBER,
        ibbt_offset="octets before the InfiniBand transport header",
        ibbtopcode="InfiniBand opcode",
        ibbtdestqp="InfiniBand destination queue pair",
        ibbttver="InfiniBand transport version",
        ibbtrdmalen="RDMA length in octets",
    ),
    *_header(Form.BOOLEAN, ibbtack="acknowledge request", ibbtse="solicited event", ibbtm="migration state"),
    *_header(Form.IB_OPCODE, ibbtopname="InfiniBand opcode by name"),
    *_header(Form.IB_TRANSPORT, ibbtoptransport="InfiniBand transport by name"),
    # queue, transit and TCP records
    *_sample(
        Form.NUMBER,
        queueindex="egress queue",
        queuedepth="octets in the queue when the packet came",
        transitdelay="time in the device in nanoseconds",
        tcprtt="smoothed round trip time in microseconds",
        tcprttsdev="variation of the round trip time in microseconds",
        tcprttwait="least round trip time in microseconds",
        tcpunacked="segments not acknowledged",
        tcplost="segments lost",
        tcpretrans="segments sent again",
        tcppathmtu="path MTU in octets",
        tcpsndcwnd="congestion window in segments",
    ),
    # application records: sFlow HTTP, memcache
    *_sample(
        Form.NUMBER,
        protocol="IP protocol of the socket",
        serverport="port of the server",
        clientport="port of the client",
        proxyprotocol="IP protocol of the socket between a proxy and the server behind it",
        proxyserverport="port of the server behind a proxy",
        proxyclientport="port that a proxy asks from",
        httpstatus="HTTP status",
        req_bytes="octets of the request",
        resp_bytes="octets of the response",
        duration="time of the operation in microseconds",
        httpmethod="HTTP method by number",
        httpprotocol="HTTP version, 1001 for 1.1",
        memcachestatus="memcache status by number",
    ),
    *_sample(
        Form.ADDRESS,
        serveraddress="IPv4 address of the server",
        clientaddress="IPv4 address of the client",
        serveraddress6="IPv6 address of the server",
        clientaddress6="IPv6 address of the client",
        proxyserveraddress="IPv4 address of the server behind a proxy",
        proxyclientaddress="IPv4 address that a proxy asks from",
        proxyserveraddress6="IPv6 address of the server behind a proxy",
        proxyclientaddress6="IPv6 address that a proxy asks from",
    ),
    *_sample(
        Form.TEXT,
        httphost="HTTP host",
        httpuseragent="HTTP user agent",
        httpxff="HTTP X-Forwarded-For",
        httpauthuser="HTTP user",
        httpmimetype="HTTP content type",
        httpurl="HTTP request target",
        httpreferer="HTTP referer",
        memcachekey="memcache key",
        aclname="name of the access list that dropped the packet",
        dropfunction="kernel function that dropped the packet",
        droptrap="hardware trap that dropped the packet",
        dropreasonname="kernel's name of the drop reason",
    ),
]

FIELDS: dict[str, Field] = {row.name: row for row in _ROWS}
