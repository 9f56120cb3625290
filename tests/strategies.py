"""Hypothesis strategies: packets, sFlow records, samples and datagrams, and damaged captures.

Record strategies follow the layouts of the registry, so that a new record is drawn without a line here, unless it
brings an array or a record of its own.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

import captures
import packets as p
from tidegate.wire.sflow import app_records, flow_records, host_counters, interface_counters, xdr
from tidegate.wire.sflow.formats import COUNTER_RECORDS, FLOW_RECORDS, SAMPLES, Format, Tag
from tidegate.wire.sflow.metrics import RTFLOW_TYPES, RTMETRIC_TYPES
from tidegate.wire.sflow.samples import (
    CountersSample,
    Datagram,
    DataSource,
    DiscardedPacket,
    FlowSample,
    InterfaceWord,
    Metric,
    Rtflow,
    Rtmetric,
    Sample,
    UnknownRecord,
    UnknownSample,
)

U8, U16, U24, U30, U32, U64 = (st.integers(0, (1 << width) - 1) for width in (8, 16, 24, 30, 32, 64))
I32 = st.integers(-(1 << 31), (1 << 31) - 1)
SINGLE = st.floats(width=32, allow_nan=False)
DOUBLE = st.floats(allow_nan=False)
STRINGS = st.binary(max_size=20)


def octets(count: int) -> SearchStrategy[bytes]:
    return st.binary(min_size=count, max_size=count)


def tuples_of(elements: SearchStrategy[Any]) -> SearchStrategy[tuple[Any, ...]]:
    return st.lists(elements, max_size=4).map(tuple)


LABELS = st.lists(octets(1) | st.binary(min_size=1, max_size=12), max_size=4).map(lambda labels: p.wire_name(*labels))


def _leaf(draw: DrawFn) -> tuple[int, bytes]:  # noqa: PLR0911 - one return a protocol
    """Return an IP protocol number and what stands behind the IP header."""
    port = st.sampled_from([53, 80, 4789, 6081, 4791]) | U16
    match draw(st.integers(0, 6)):
        case 0:
            return 6, p.tcp(draw(port), draw(port), flags=draw(st.integers(0, 511)))
        case 1:
            return 17, p.udp(draw(port), draw(port), draw(st.binary(max_size=30)))
        case 2:
            message = p.dns(draw(LABELS), draw(U16), response=draw(st.booleans()), questions=draw(st.integers(0, 2)))
            return 17, p.udp(draw(port), 53, message)
        case 3:
            inner = p.ip(draw(st.sampled_from([1, 6, 17])), p.udp())
            return 1, p.icmp(draw(st.sampled_from([0, 3, 8])), draw(st.integers(0, 4)), rest=draw(U32), payload=inner)
        case 4:
            return 58, p.icmp(draw(U8), draw(U8))
        case 5:
            return 17, p.udp(draw(port), 4791, p.ibbt(draw(U8), length=draw(U32)))
        case _:
            return draw(U8), draw(st.binary(max_size=30))


def _internet(draw: DrawFn, protocol: int, payload: bytes) -> tuple[int, bytes]:
    """Return the version and the octets of an IP packet around a payload."""
    if draw(st.booleans()):
        options = bytes(4 * draw(st.integers(0, 3)))
        fragment = draw(st.sampled_from([0, 0, 0, 5]))
        total = draw(st.none() | U16)
        return 4, p.ip(protocol, payload, tos=draw(U8), options=options, fragment=fragment, total=total)
    for _ in range(draw(st.sampled_from([0, 0, 1, 2, 8]))):
        if draw(st.booleans()):
            protocol, payload = 44, p.fragment(protocol, payload, offset=draw(st.sampled_from([0, 0, 9])))
        else:
            payload = p.extension(protocol, payload, words=draw(st.integers(0, 1)))
            protocol = draw(st.sampled_from([0, 43, 60]))
    return 6, p.ip6(protocol, payload, traffic_class=draw(U8), length=draw(st.none() | U16))


def _frame(draw: DrawFn, version: int, packet: bytes) -> bytes:
    """Return an Ethernet frame around an IP packet."""
    kind = p.TYPES[version]
    match draw(st.integers(0, 4)):
        case 0:
            return p.tagged(p.vlan(draw(st.integers(0, 4095)), packet, kind, priority=draw(st.integers(0, 7))))
        case 1:
            inner = p.vlan(draw(st.integers(0, 4095)), packet, kind)
            return p.tagged(p.vlan(1, inner[2:], 0x8100, tpid=0x88A8))
        case 2:
            return p.eth(p.mpls(draw(st.lists(st.integers(0, (1 << 20) - 1), min_size=1, max_size=3)), packet), 0x8847)
        case 3:
            return p.eth(p.pppoe(draw(U16), 0x0021 if version == 4 else 0x0057, packet), 0x8864)
        case _:
            return p.eth(packet, kind)


def _tunnel(draw: DrawFn, version: int, packet: bytes) -> tuple[int, bytes]:
    """Return protocol number and octets of a tunnel header around an IP packet."""
    match draw(st.integers(0, 3)):
        case 0:
            return 47, p.gre(p.TYPES[version], packet, key=draw(st.none() | U32), sequence=draw(st.none() | U32))
        case 1:
            return 17, p.udp(9, 4789, p.vxlan(draw(U24), _frame(draw, version, packet)))
        case 2:
            return 17, p.udp(9, 6081, p.geneve(draw(U24), 0x6558, _frame(draw, version, packet), options=bytes(8)))
        case _:
            return (4 if version == 4 else 41), packet


@st.composite
def frames(draw: DrawFn) -> bytes:
    """Well-formed Ethernet frames with up to three tunnels."""
    protocol, payload = _leaf(draw)
    version, packet = _internet(draw, protocol, payload)
    for _ in range(draw(st.integers(0, 3))):
        version, packet = _internet(draw, *_tunnel(draw, version, packet))
    return _frame(draw, version, packet)


@st.composite
def damaged(draw: DrawFn, source: SearchStrategy[bytes]) -> bytes:
    """Octets cut off, overwritten or repeated."""
    data = bytearray(draw(source))
    for _ in range(draw(st.integers(0, 4))):
        if data:
            data[draw(st.integers(0, len(data) - 1))] = draw(U8)
    if draw(st.booleans()):
        del data[draw(st.integers(0, len(data))) :]
    return bytes(data)


def headers() -> SearchStrategy[bytes]:
    """Sampled headers: frames as agents cut them, whole or damaged, and noise."""
    cut = st.tuples(frames(), st.integers(0, 256)).map(lambda pair: pair[0][: pair[1]])
    return cut | damaged(frames()) | st.binary(max_size=96)


_BY_TYPE: list[tuple[object, SearchStrategy[Any]]] = [
    (xdr.U32, U32),
    (xdr.I32, I32),
    (xdr.U64, U64),
    (xdr.FLOAT, SINGLE),
    (xdr.MAC, octets(6)),
    (xdr.IP4, octets(4)),
    (xdr.IP6, octets(16)),
    (xdr.ADDRESS, st.sampled_from([0, 4, 16]).flatmap(octets)),
    (xdr.BYTES4, octets(4)),
    (xdr.BYTES16, octets(16)),
    (xdr.STRING, STRINGS),
    (xdr.OPAQUE, STRINGS),
    (xdr.HEADER, headers()),
    (xdr.REST, STRINGS),
    (xdr.U32S, tuples_of(U32)),
    (xdr.I32S, tuples_of(I32)),
    (xdr.MACS, tuples_of(octets(6))),
]


@cache
def _special() -> dict[tuple[type, str], SearchStrategy[Any]]:
    """Fields that hold records of their own."""
    tunnels = (whole(flow_records.SampledEthernet), whole(flow_records.SampledIpv4), whole(flow_records.SampledIpv6))
    named = {row.name: row.record for row in FLOW_RECORDS.values()}
    found: dict[tuple[type, str], SearchStrategy[Any]] = {
        (flow_records.ExtendedGateway, "dst_as_path"): tuples_of(whole(flow_records.AsPathSegment)),
        (interface_counters.Sfp, "lanes"): tuples_of(whole(interface_counters.Lane)),
        (host_counters.HostAdapters, "adapters"): tuples_of(whole(host_counters.HostAdapter)),
        (app_records.ExtendedProxySocketIpv4, "socket"): whole(app_records.ExtendedSocketIpv4),
        (app_records.ExtendedProxySocketIpv6, "socket"): whole(app_records.ExtendedSocketIpv6),
        (flow_records.SampledHeader, "frame_length"): st.integers(0, 1 << 20),
        (flow_records.SampledHeader, "protocol"): st.sampled_from([1, 1, 1, 7, 11, 12, 13, 14]) | U32,
    }
    for family, header in zip(("L2", "ipv4", "ipv6"), tunnels, strict=True):
        for way in ("egress", "ingress"):
            found[named[f"extended_{family}_tunnel_{way}"], "header"] = header
    return found


def _field(record: type[msgspec.Struct], attribute: str, kind: xdr.Xdr) -> SearchStrategy[Any]:
    special = _special().get((record, attribute)) if record.__name__ not in _PLAIN else None
    if special is not None:
        return special
    return next(strategy for alias, strategy in _BY_TYPE if xdr.kind_of(alias) is kind)


_PLAIN = {"SampledEthernet", "SampledIpv4", "SampledIpv6", "AsPathSegment", "Lane", "HostAdapter"} | {
    "ExtendedSocketIpv4",
    "ExtendedSocketIpv6",
}


def whole(record: type[msgspec.Struct]) -> SearchStrategy[Any]:
    """Records with all their fields."""
    return st.builds(record, **{name: _field(record, name, kind) for name, _, kind in xdr.layout(record)})


def cut(record: type[msgspec.Struct]) -> SearchStrategy[Any]:
    """Records whose last fields are absent."""
    names = [name for name, _, _ in xdr.layout(record)]

    def shorten(pair: tuple[msgspec.Struct, int]) -> msgspec.Struct:
        return msgspec.structs.replace(pair[0], **dict.fromkeys(names[pair[1] :]))

    return st.tuples(whole(record), st.integers(0, len(names))).map(shorten)


def unknown_tags(known: dict[Tag, Any]) -> SearchStrategy[Tag]:
    tags = st.tuples(st.sampled_from([0, 9, 4413]) | st.integers(0, (1 << 20) - 1), st.integers(0, 4095))
    return tags.filter(lambda tag: tag not in known)


def unknown_records(known: dict[Tag, Format]) -> SearchStrategy[UnknownRecord]:
    return st.builds(lambda tag, body: UnknownRecord(tag[0], tag[1], body), unknown_tags(known), STRINGS)


def _of(known: dict[Tag, Format], *, aggregates: int) -> SearchStrategy[msgspec.Struct]:
    kinds = [row.record for row in known.values() if row.record is not flow_records.Extended80211Aggregation]
    plain = st.sampled_from(kinds).flatmap(whole) | unknown_records(known)
    if aggregates == 0:
        return plain
    inner = _of(known, aggregates=aggregates - 1)
    return plain | st.builds(flow_records.Extended80211Aggregation, tuples_of(tuples_of(inner)))


@cache
def flow_records_of_any_kind() -> SearchStrategy[msgspec.Struct]:
    return _of(FLOW_RECORDS, aggregates=2) | whole(flow_records.SampledHeader)


@cache
def counter_records_of_any_kind() -> SearchStrategy[msgspec.Struct]:
    return _of(COUNTER_RECORDS, aggregates=0)


EXPANDED_SOURCES = st.builds(DataSource, st.integers(0, 3), U32)
SOURCES = st.builds(DataSource, st.integers(0, 3), st.sampled_from([1, 2, 47]) | U24)
EXPANDED_INTERFACES = st.builds(InterfaceWord, st.integers(0, 3) | U32, st.sampled_from([1, 0xFFFFFFFF]) | U32)
INTERFACES = st.builds(InterfaceWord, st.integers(0, 3), st.sampled_from([1, 2, 47, 0x3FFFFFFF]) | U30)


def _flow(*, expanded: bool) -> SearchStrategy[FlowSample]:
    interfaces = EXPANDED_INTERFACES if expanded else INTERFACES
    return st.builds(
        FlowSample,
        sequence_number=U32,
        source_id=EXPANDED_SOURCES if expanded else SOURCES,
        sampling_rate=st.integers(1, (1 << 32) - 1),
        sample_pool=U32,
        drops=U32,
        input=interfaces,
        output=interfaces,
        records=tuples_of(flow_records_of_any_kind()),
        expanded=st.just(expanded),
    )


def _counters(*, expanded: bool) -> SearchStrategy[CountersSample]:
    return st.builds(
        CountersSample,
        sequence_number=U32,
        source_id=EXPANDED_SOURCES if expanded else SOURCES,
        records=tuples_of(counter_records_of_any_kind()),
        expanded=st.just(expanded),
    )


def discarded_packets() -> SearchStrategy[DiscardedPacket]:
    return st.builds(
        DiscardedPacket,
        sequence_number=U32,
        source_id=EXPANDED_SOURCES,
        drops=U32,
        input_ifindex=U32,
        output_ifindex=U32,
        reason=U32,
        records=tuples_of(flow_records_of_any_kind()),
    )


def metrics(kinds: dict[int, xdr.Xdr]) -> SearchStrategy[tuple[Metric, ...]]:
    flow = {0: STRINGS, 1: octets(6), 2: octets(4), 3: octets(16), 4: U32, 5: U64, 6: SINGLE, 7: DOUBLE}
    gauge = {0: STRINGS, 1: U32, 2: U64, 3: U32, 4: U64, 5: SINGLE, 6: DOUBLE}
    drawn = flow if kinds is RTFLOW_TYPES else gauge
    return tuples_of(
        st.sampled_from(sorted(kinds)).flatmap(lambda kind: st.builds(Metric, STRINGS, st.just(kind), drawn[kind]))
    )


def samples() -> SearchStrategy[Sample]:
    """Samples of every kind that a datagram may hold."""
    return st.one_of(
        _flow(expanded=False),
        _flow(expanded=True),
        _counters(expanded=False),
        _counters(expanded=True),
        discarded_packets(),
        st.builds(Rtmetric, STRINGS, metrics(RTMETRIC_TYPES)),
        st.builds(Rtflow, STRINGS, U32, U32, metrics(RTFLOW_TYPES)),
        st.builds(lambda tag, body: UnknownSample(tag[0], tag[1], body), unknown_tags(SAMPLES), STRINGS),
    )


def datagrams() -> SearchStrategy[Datagram]:
    """Well-formed datagrams."""
    agents = st.sampled_from([0, 4, 16]).flatmap(octets)
    return st.builds(Datagram, agents, U32, U32, U32, tuples_of(samples()))


def captured(*, most: int = 2000) -> SearchStrategy[bytes]:
    """Datagrams of the checkout's captures, up to `most` octets long."""
    found = [data for name in captures.names() for data in captures.datagrams(name)[:20] if len(data) <= most]
    return st.sampled_from(found)
