"""Which record gives which field of the catalogue, in the order in which gaps are filled.

A row is a field, a record and how to read the one from the other; None means that the record does not tell. The sampled
header comes before all rows, and of several rows of a field the first that tells wins.

Answers for: docs/concepts/dissection.md, "Where a field has several sources".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from tidegate.data.address import words_of_bytes
from tidegate.wire.packet.link import destination_kinds
from tidegate.wire.packet.network import traffic_class
from tidegate.wire.packet.window import Fields, present
from tidegate.wire.sflow import app_records as app
from tidegate.wire.sflow import flow_records as flow
from tidegate.wire.sflow import tunnel_records as tunnel
from tidegate.wire.sflow.samples import first

__all__ = ["record_fields"]


def record_fields(records: tuple[msgspec.Struct, ...]) -> Fields:
    """Return every field that the records of a sample tell, without looking at a sampled header."""
    fields: Fields = {}
    for kind, read in _READERS:
        record = first(records, kind)
        if record is None:
            continue
        for name, value in read(record).items():
            fields.setdefault(name, value)
    return fields


def _address(octets: bytes | None) -> tuple[int, ...] | None:
    return words_of_bytes(octets) if octets else None


def _text(octets: bytes | None) -> bytes | None:
    return octets or None  # the empty string is the unknown one (sFlow version 5 section 3)


def _at_most(value: int | None, limit: int, least: int = 0) -> int | None:
    return value if value is not None and least <= value <= limit else None


def _mac(octets: bytes | None) -> int | None:
    return None if octets is None else int.from_bytes(octets, "big")


def _ethernet(record: flow.SampledEthernet) -> Fields:
    destination = _mac(record.dst_mac)
    fields = present(macsource=_mac(record.src_mac), macdestination=destination, ethernetprotocol=record.type)
    return fields | destination_kinds(destination)


def _ports(record: flow.SampledIpv4 | flow.SampledIpv6) -> Fields:
    if record.protocol == 6:
        flags = None if record.tcp_flags is None else record.tcp_flags & 0x1FF
        return present(tcpsourceport=record.src_port, tcpdestinationport=record.dst_port, tcpflags=flags)
    if record.protocol == 17:
        return present(udpsourceport=record.src_port, udpdestinationport=record.dst_port)
    return {}


def _ipv4(record: flow.SampledIpv4) -> Fields:
    fields = present(
        ipbytes=record.length,
        ipprotocol=record.protocol,
        ipsource=_address(record.src_ip),
        ipdestination=_address(record.dst_ip),
    )
    return fields | _ports(record) | traffic_class("ip", record.tos)


def _ipv6(record: flow.SampledIpv6) -> Fields:
    fields = present(
        ip6nexthdr=record.protocol,
        ip6source=_address(record.src_ip),
        ip6destination=_address(record.dst_ip),
    )
    return fields | _ports(record) | traffic_class("ip6", record.priority)


def _switch(record: flow.ExtendedSwitch) -> Fields:
    vlan, priority = _at_most(record.src_vlan, 4095, least=1), _at_most(record.src_priority, 7)
    return present(
        vlan=vlan,
        priority=priority,
        vlansource=vlan,
        prioritysource=priority,
        vlandestination=_at_most(record.dst_vlan, 4095, least=1),
        prioritydestination=_at_most(record.dst_priority, 7),
    )


def _router(record: flow.ExtendedRouter) -> Fields:
    return present(
        ipnexthoprouter=_address(record.nexthop),
        ipsourcemaskbits=record.src_mask_len,
        ipdestinationmaskbits=record.dst_mask_len,
    )


def _gateway(record: flow.ExtendedGateway) -> Fields:
    fields = present(
        bgpnexthop=_address(record.nexthop),
        bgpas=record.as_,
        bgpsourceas=record.src_as,
        bgpsourcepeeras=record.src_peer_as,
        bgpcommunities=_words(*record.communities or ()) or None,
        bgplocalpref=record.localpref,
    )
    return fields if record.dst_as_path is None else fields | _as_path(record)


def _as_path(record: flow.ExtendedGateway) -> Fields:
    path = [number for segment in record.dst_as_path or () for number in segment.as_number or ()]
    if not path:
        return present(bgpdestinationas=record.as_)
    segments = [(segment.type or 0, segment.as_number or ()) for segment in record.dst_as_path or ()]
    return present(
        bgpdestinationas=path[-1],
        bgpdestinationpeeras=path[0],
        bgpdestinationaspath=b"".join(_words(kind, len(numbers), *numbers) for kind, numbers in segments),
    )


def _words(*words: int) -> bytes:
    return b"".join(word.to_bytes(4, "big") for word in words)


def _tcp_info(record: app.ExtendedTcpInfo) -> Fields:
    return present(
        tcpunacked=record.unacked,
        tcplost=record.lost,
        tcpretrans=record.retrans,
        tcppathmtu=record.pmtu,
        tcprtt=record.rtt,
        tcprttsdev=record.rttvar,
        tcpsndcwnd=record.snd_cwnd,
        tcprttwait=record.min_rtt,
    )


def _http(record: app.HttpRequest | app.HttpRequestOld) -> Fields:
    return present(
        httpmethod=record.method,
        httpprotocol=record.protocol if isinstance(record, app.HttpRequest) else None,
        httpurl=_text(record.uri),
        httphost=_text(record.host),
        httpreferer=_text(record.referer),
        httpuseragent=_text(record.useragent),
        httpxff=_text(record.xff),
        httpauthuser=_text(record.authuser),
        httpmimetype=_text(record.mime_type),
        req_bytes=record.req_bytes,
        resp_bytes=record.resp_bytes,
        duration=record.duration_us,
        httpstatus=_at_most(record.status, 0x7FFFFFFF),
    )


def _memcache(record: app.MemcacheOperation) -> Fields:
    return present(memcachekey=_text(record.key), memcachestatus=record.status, duration=record.duration_us)


def _operation(record: app.AppOperation) -> Fields:
    return present(req_bytes=record.req_bytes, resp_bytes=record.resp_bytes, duration=record.duration_us)


def _socket(record: app.ExtendedSocketIpv4 | app.ExtendedSocketIpv6) -> Fields:
    server, client = _address(record.local_ip), _address(record.remote_ip)
    ports = present(protocol=record.protocol, serverport=record.local_port, clientport=record.remote_port)
    if isinstance(record, app.ExtendedSocketIpv4):
        return ports | present(serveraddress=server, clientaddress=client)
    return ports | present(serveraddress6=server, clientaddress6=client)


def _proxy(record: app.ExtendedProxySocketIpv4 | app.ExtendedProxySocketIpv6) -> Fields:
    """Read the socket behind a proxy, whose own end is the local one and a client there."""
    socket = record.socket
    if socket is None:
        return {}
    client, server = _address(socket.local_ip), _address(socket.remote_ip)
    ports = present(
        proxyprotocol=socket.protocol, proxyclientport=socket.local_port, proxyserverport=socket.remote_port
    )
    if isinstance(record, app.ExtendedProxySocketIpv4):
        return ports | present(proxyclientaddress=client, proxyserveraddress=server)
    return ports | present(proxyclientaddress6=client, proxyserveraddress6=server)


def _tunnel(record: tunnel.ExtendedIpv4TunnelIngress | tunnel.ExtendedIpv6TunnelIngress) -> Fields:
    return present(inputipsource=_address(record.header.src_ip if record.header else None))


_READERS: tuple[tuple[type[msgspec.Struct], Callable[[Any], Fields]], ...] = (
    (flow.SampledEthernet, _ethernet),
    (flow.SampledIpv4, _ipv4),
    (flow.SampledIpv6, _ipv6),
    (flow.ExtendedSwitch, _switch),
    (flow.ExtendedRouter, _router),
    (flow.ExtendedGateway, _gateway),
    (tunnel.ExtendedVniIngress, lambda record: present(vni=record.vni)),
    (tunnel.ExtendedVniEgress, lambda record: present(vni=record.vni)),
    (tunnel.ExtendedIpv4TunnelIngress, _tunnel),
    (tunnel.ExtendedIpv6TunnelIngress, _tunnel),
    (tunnel.ExtendedEgressQueue, lambda record: present(queueindex=record.queue)),
    (flow.ExtendedQueueLength, lambda record: present(queueindex=record.queueIndex)),
    (tunnel.ExtendedQueue, lambda record: present(queuedepth=record.depth)),
    (tunnel.ExtendedTransit, lambda record: present(transitdelay=record.delay)),
    (app.ExtendedTcpInfo, _tcp_info),
    (app.HttpRequest, _http),
    (app.HttpRequestOld, _http),
    (app.MemcacheOperation, _memcache),
    (app.AppOperation, _operation),
    (app.ExtendedSocketIpv4, _socket),
    (app.ExtendedSocketIpv6, _socket),
    (app.ExtendedProxySocketIpv4, _proxy),
    (app.ExtendedProxySocketIpv6, _proxy),
    (tunnel.ExtendedAcl, lambda record: present(aclname=_text(record.name))),
    (tunnel.ExtendedFunction, lambda record: present(dropfunction=_text(record.symbol))),
    (tunnel.ExtendedHwTrap, lambda record: present(droptrap=_text(record.trap))),
    (tunnel.ExtendedLinuxDropReason, lambda record: present(dropreasonname=_text(record.reason))),
)
