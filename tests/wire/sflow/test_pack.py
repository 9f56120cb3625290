"""Flow samples of the kernel beside those of the readable encoder, octet for octet, and how they fill datagrams."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlink_strategies import garbage
from tidegate.data.sampled import Row
from tidegate.errors import DecodeError
from tidegate.kernel import I64, compile_kernels
from tidegate.wire.netlink.message import attribute, attributes
from tidegate.wire.sflow import pack
from tidegate.wire.sflow.decode import decode_datagram
from tidegate.wire.sflow.encode import encode_datagram, encode_sample
from tidegate.wire.sflow.flow_records import SampledHeader, SampledIpv4, SampledIpv6
from tidegate.wire.sflow.pack import Form, Open, Pick, pack_flow_samples
from tidegate.wire.sflow.samples import Datagram, DataSource, FlowSample, InterfaceWord
from tidegate.wire.sflow.tunnel_records import (
    ExtendedEgressQueue,
    ExtendedIpv4TunnelEgress,
    ExtendedIpv4TunnelIngress,
    ExtendedIpv6TunnelEgress,
    ExtendedIpv6TunnelIngress,
    ExtendedQueue,
    ExtendedTimestamp,
    ExtendedTransit,
    ExtendedVniEgress,
    ExtendedVniIngress,
)

WORD = 0xFFFFFFFF
START = 28
PLACES = 14


class Sampled(msgspec.Struct, frozen=True, kw_only=True):
    """A packet and what is said of it; what is None is not told."""

    data: bytes = b""
    mac: bytes = b""
    tag: int | None = None
    tunnel: bytes | None = None
    queue: int | None = None
    occupancy: int | None = None
    delay: int | None = None
    time: int | None = None
    source: DataSource = DataSource(0, 3)
    sequence: int = 1
    rate: int = 400
    pool: int = 800
    drops: int = 0
    input: int = 3
    output: int = 0
    egress: bool = False
    protocol: int = 1
    frame: int = 64
    stripped: int = 4


class Packed(msgspec.Struct, frozen=True):
    """Datagrams as they were left, without their own headers."""

    full: list[tuple[bytes, int]]  # samples, and how many
    open: tuple[bytes, int]
    written: int  # of the samples that were given


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    list(compile_kernels(pack.KERNELS))


def arrays(samples: Sequence[Sampled]) -> tuple[bytes, I64, I64]:
    """Return octets, rows and picks; rows stand in another order than picks."""
    count = len(samples)
    rows = np.full((count, len(Row)), -1, np.int64)
    picks = np.zeros((count, len(Pick)), np.int64)
    data = b"\xee" * 5
    for place, one in enumerate(samples):
        row = count - 1 - place
        rows[row, Row.MAC_LENGTH] = len(one.mac)
        for column, value in {Row.MAC: one.mac, Row.TUNNEL: one.tunnel, Row.DATA: one.data}.items():
            if value or (column is not Row.MAC and value is not None):
                rows[row, column] = len(data)
                data += value
        rows[row, Row.DATA_LENGTH] = len(one.data)
        rows[row, Row.TUNNEL_END] = rows[row, Row.TUNNEL] + len(one.tunnel or b"")
        for name in ("tag", "queue", "occupancy", "delay", "time"):
            told = getattr(one, name)
            rows[row, Row[name.upper()]] = -1 if told is None else told
        picks[place] = [
            row, one.source.type, one.source.index, one.sequence, one.rate, one.pool, one.drops, one.input, one.output,
            one.egress, one.protocol, one.frame, one.stripped,
        ]  # fmt: skip
    return data, rows, picks


def packed(
    samples: Sequence[Sampled], *, header: int = 128, datagram: int = 1400, slots: int = 64, expanded: bool = False
) -> Packed:
    """Return what the kernel writes."""
    data, rows, picks = arrays(samples)
    form = np.zeros(len(Form), np.int64)
    form[[Form.HEADER, Form.DATAGRAM, Form.START, Form.EXPANDED]] = header, datagram, START, expanded
    out = np.full((slots, datagram), 0xAA, np.uint8)
    state, filled = np.zeros(len(Open), np.int64), np.zeros(2 * slots, np.int64)
    places = np.full(PLACES, 99, np.int64)  # what it held before does not matter
    octets = np.frombuffer(data, np.uint8)
    written = pack_flow_samples(octets, rows, picks, 0, len(samples), form, places, out, state, filled)
    slot, fill, count = state.tolist()
    return Packed(
        [(out[place, START : filled[2 * place]].tobytes(), int(filled[2 * place + 1])) for place in range(slot)],
        (out[slot, START:fill].tobytes() if fill else b"", count),
        written,
    )


def naive(
    samples: Sequence[Sampled], *, header: int = 128, datagram: int = 1400, slots: int = 64, expanded: bool = False
) -> Packed:
    """Return what the readable encoder writes: datagrams are filled one after the other."""
    room = datagram - START
    grams: list[list[bytes]] = [[]]
    for written, one in enumerate(samples):
        whole = record_of(one, b"", expanded=expanded)
        left = (room - len(encode_sample(whole))) // 4 * 4
        octets = encode_sample(record_of(one, header_of(one)[: min(header, left)], expanded=expanded))
        if grams[-1] and len(b"".join(grams[-1])) + len(octets) > room:
            grams.append([])
        if len(grams) > slots:
            return Packed([(b"".join(gram), len(gram)) for gram in grams[:-1]], (b"", 0), written)
        grams[-1].append(octets)
    full = [(b"".join(gram), len(gram)) for gram in grams[:-1]]
    return Packed(full, (b"".join(grams[-1]), len(grams[-1])), len(samples))


def header_of(one: Sampled) -> bytes:
    packet = one.mac + one.data
    return packet if one.tag is None else packet[:12] + one.tag.to_bytes(4, "big") + packet[12:]


def record_of(one: Sampled, header: bytes, *, expanded: bool) -> FlowSample:
    records: list[msgspec.Struct] = [SampledHeader(one.protocol, one.frame, one.stripped, header)]
    records += tunnel_records(one)
    if one.queue is not None:
        records.append(ExtendedEgressQueue(min(one.queue, WORD)))
    if one.delay is not None:
        records.append(ExtendedTransit(min(one.delay, WORD)))
    if one.queue is not None and one.occupancy is not None:
        records.append(ExtendedQueue(min(one.occupancy, WORD)))
    if one.time is not None:
        records.append(ExtendedTimestamp(one.time))
    return FlowSample(
        sequence_number=one.sequence, source_id=one.source, sampling_rate=one.rate, sample_pool=one.pool,
        drops=one.drops, input=InterfaceWord(0, one.input), output=InterfaceWord(0, one.output),
        records=tuple(records), expanded=expanded,
    )  # fmt: skip


LEAST = {0: 8, 1: 4, 2: 4, 3: 1, 9: 2, 10: 2, 12: 16, 13: 16}


def tunnel_records(one: Sampled) -> list[msgspec.Struct]:
    """Return the records of a tunnel: what its attributes tell up to one that does not fit."""
    told = {kind: value for kind, value in whole_attributes(one.tunnel or b"") if len(value) >= LEAST.get(kind, 0)}
    source, target = (int.from_bytes(told.get(kind, b"")[:2], "big") for kind in (9, 10))
    protocol = 17 if 9 in told or 10 in told else 0
    tos = told.get(3, b"\0")[0]
    if 1 in told and 2 in told:
        four = SampledIpv4(0, protocol, told[1][:4], told[2][:4], source, target, 0, tos)
        return [ExtendedIpv4TunnelEgress(four) if one.egress else ExtendedIpv4TunnelIngress(four), *network(one, told)]
    if 12 in told and 13 in told:
        six = SampledIpv6(0, protocol, told[12][:16], told[13][:16], source, target, 0, tos)
        return [ExtendedIpv6TunnelEgress(six) if one.egress else ExtendedIpv6TunnelIngress(six), *network(one, told)]
    return []


def whole_attributes(octets: bytes) -> Iterator[tuple[int, bytes]]:
    with contextlib.suppress(DecodeError):
        yield from attributes(octets)


def network(one: Sampled, told: dict[int, bytes]) -> list[msgspec.Struct]:
    if 0 not in told:
        return []
    number = int.from_bytes(told[0][4:8], "big")
    return [ExtendedVniEgress(number) if one.egress else ExtendedVniIngress(number)]


WORDS = st.integers(0, WORD) | st.sampled_from([0, 1, WORD])
TELL = st.none() | st.integers(0, (1 << 63) - 1) | st.sampled_from([0, WORD, WORD + 1, (1 << 63) - 1])


def tunnels() -> st.SearchStrategy[bytes]:
    kinds = {0: 8, 1: 4, 2: 4, 3: 1, 4: 1, 9: 2, 10: 2, 12: 16, 13: 16, 14: 0, 16: 0}
    whole = st.sampled_from(sorted(kinds)).flatmap(
        lambda kind: st.binary(min_size=kinds[kind], max_size=kinds[kind]).map(lambda value: attribute(kind, value))
    )
    odd = st.builds(attribute, st.integers(0, 20), st.binary(max_size=20)) | garbage()
    return st.lists(whole | whole | whole | odd, max_size=10).map(b"".join)


@st.composite
def sampled(draw: st.DrawFn, *, expanded: bool) -> Sampled:
    index = st.integers(0, WORD if expanded else (1 << 24) - 1)
    return Sampled(
        data=draw(st.binary(max_size=60) | st.binary(min_size=300, max_size=500)),
        mac=draw(st.just(b"") | st.binary(min_size=14, max_size=14)),
        tag=draw(st.none() | WORDS),
        tunnel=draw(st.none() | tunnels()),
        queue=draw(TELL), occupancy=draw(TELL), delay=draw(TELL), time=draw(TELL),
        source=DataSource(draw(st.integers(0, 255)), draw(index)),
        sequence=draw(WORDS), rate=draw(st.integers(1, WORD)), pool=draw(WORDS), drops=draw(WORDS),
        input=draw(index), output=draw(index), egress=draw(st.booleans()),
        protocol=draw(st.sampled_from([1, 11, 12, 13])), frame=draw(st.integers(0, 1 << 20)),
        stripped=draw(st.sampled_from([4, 18])),
    )  # fmt: skip


@given(st.data())
def test_samples_are_those_of_the_readable_encoder(data: st.DataObject) -> None:
    expanded = data.draw(st.booleans())
    samples = data.draw(st.lists(sampled(expanded=expanded), max_size=12))
    sizes = {
        "header": data.draw(st.integers(16, 512)),
        "datagram": data.draw(st.integers(512, 1400)),
        "slots": data.draw(st.sampled_from([1, 2, 64])),
    }
    found = packed(samples, expanded=expanded, **sizes)
    assert found == naive(samples, expanded=expanded, **sizes)
    for octets, count in [*found.full, found.open]:
        assert len(octets) <= sizes["datagram"] - START
        empty = encode_datagram(Datagram(bytes(4), 0, 1, 0, ()))
        decoded = decode_datagram(empty[:-4] + count.to_bytes(4, "big") + octets)
        assert decoded.notes == ()
        assert len(decoded.samples) == count


IPV4 = attribute(1, bytes([10, 0, 2, 2])) + attribute(2, bytes([10, 0, 2, 1]))
IPV6 = attribute(12, bytes(15) + b"\1") + attribute(13, bytes(15) + b"\2")
ID = attribute(0, (42).to_bytes(8, "big"))
PORTS = attribute(9, b"\x12\x34") + attribute(10, b"\x12\xb5")


@pytest.mark.parametrize("egress", [False, True])
@pytest.mark.parametrize(
    ("tunnel", "count"),
    [
        (IPV4, 1), (IPV4 + ID, 2), (ID + PORTS + IPV4 + attribute(3, b"\xb8"), 2), (IPV6, 1), (IPV6 + ID + PORTS, 2),
        (IPV6 + IPV4, 1), (ID, 0), (b"", 0), (PORTS, 0), (attribute(1, bytes(4)), 0), (IPV4[:-8] + IPV6, 1),
        (attribute(1, bytes(3)) + attribute(2, bytes(4)), 0), (IPV4 + attribute(0, bytes(7)), 1),
        (IPV4 + b"\xff\xff\0\0" + ID, 1), (IPV4 + b"\3\0\0\0" + ID, 1), (IPV4 + b"\4\0", 1),
    ],
)  # fmt: skip
def test_tunnels(tunnel: bytes, count: int, *, egress: bool) -> None:
    one = Sampled(data=bytes(64), tunnel=tunnel, egress=egress)
    assert packed([one]) == naive([one])
    assert len(tunnel_records(one)) == count


def test_a_tunnel_says_nothing_of_the_next_packet() -> None:
    samples = [Sampled(tunnel=IPV4 + ID + PORTS), Sampled(), Sampled(tunnel=IPV6), Sampled(tunnel=ID)]
    assert packed(samples) == naive(samples)


@pytest.mark.parametrize("mac", [b"", bytes(range(14))])
@pytest.mark.parametrize("tag", [None, 0x81002005])
@pytest.mark.parametrize("length", [0, 1, 5, 11, 12, 13, 14, 60])
def test_headers_of_their_pieces(mac: bytes, tag: int | None, length: int) -> None:
    for header in (16, 17, 18, 19, 20, 128):
        one = Sampled(data=bytes(range(100, 100 + length)), mac=mac, tag=tag)
        assert packed([one], header=header) == naive([one], header=header)


def test_a_packet_that_is_too_short_for_a_tag_is_not_read_beyond_its_end() -> None:
    """It is the last of the octets here: reading on would be an IndexError, or another packet's octets."""
    one = Sampled(data=b"\1\2\3", tag=0x81000005)
    assert header_of(one) == b"\1\2\3\x81\0\0\5"
    assert packed([one]) == naive([one])


def test_numbers_beyond_32_bits_are_all_ones() -> None:
    one = Sampled(queue=1 << 40, occupancy=1 << 40, delay=1 << 40, time=1 << 62)
    assert packed([one]) == naive([one])


def test_an_occupancy_needs_its_queue() -> None:
    found = packed([Sampled(occupancy=7)])
    assert found.open == packed([Sampled()]).open


ROOM = 512 - START


def filling(octets: int, *, expanded: bool = False) -> Sampled:
    """Return a packet whose sample has so many octets."""
    return Sampled(data=bytes(octets - (76 if expanded else 64)))


@pytest.mark.parametrize("expanded", [False, True])
def test_a_sample_that_fills_a_datagram_exactly(*, expanded: bool) -> None:
    whole = filling(ROOM, expanded=expanded)
    found = packed([whole], header=512, datagram=512, expanded=expanded)
    assert found == naive([whole], header=512, datagram=512, expanded=expanded)
    assert len(found.open[0]) == ROOM
    longer = msgspec.structs.replace(whole, data=whole.data + b"\xff")
    assert packed([longer], header=512, datagram=512, expanded=expanded) == found  # the header is cut


def test_two_samples_that_fill_a_datagram_exactly_and_one_octet_more() -> None:
    for second, datagrams in ((filling(ROOM - 200), 0), (filling(ROOM - 199), 1)):
        samples = [filling(200), second]
        found = packed(samples, header=512, datagram=512)
        assert found == naive(samples, header=512, datagram=512)
        assert len(found.full) == datagrams


def test_no_slot_left() -> None:
    samples = [filling(400)] * 5
    found = packed(samples, header=512, datagram=512, slots=3)
    assert found == naive(samples, header=512, datagram=512, slots=3)
    assert (len(found.full), found.open, found.written) == (3, (b"", 0), 3)


def test_nothing_is_written_of_nothing() -> None:
    assert packed([]) == Packed([], (b"", 0), 0)
