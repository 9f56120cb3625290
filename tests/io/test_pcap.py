from __future__ import annotations

import contextlib
import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import capture_files as cf
from tidegate.data.address import format_address, parse_address
from tidegate.errors import SourceError
from tidegate.io.pcap import Capture, CaptureStats, describe_capture
from tidegate.kernel import compile_kernels
from tidegate.wire.capture import frames, unwrap

SHARED = Path(__file__).resolve().parents[2] / "../shared/data/sflow"
SFLOW = b"\0\0\0\5\0\0\0\1"
BASE_NS = 1_700_000_000_000_000_000

addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)
datagrams = st.builds(
    cf.Datagram,
    time_ns=st.integers(0, 4_000_000_000).map(lambda microseconds: BASE_NS + microseconds * 1000),
    source=addresses,
    source_port=st.integers(0, 65535),
    port=st.just(6343),
    payload=st.binary(max_size=40),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    list(compile_kernels((*frames.KERNELS, *unwrap.KERNELS)))
    yield tmp_path_factory.mktemp("captures")
    for function in (*frames.KERNELS, *unwrap.KERNELS):
        assert len(getattr(function, "signatures", "1")) == 1, "a kernel was compiled again on the data path"


def one(payload: bytes = SFLOW, port: int = 6343, source: str = "192.0.2.9") -> cf.Datagram:
    return cf.Datagram(BASE_NS, source, 1000, port, payload)


def read(folder: Path, content: bytes) -> tuple[list[cf.Datagram], CaptureStats]:
    path = folder / "file.pcap"
    path.write_bytes(content)
    return read_file(path)


def read_file(path: Path) -> tuple[list[cf.Datagram], CaptureStats]:
    capture = Capture(path)
    found = []
    for block in capture:
        for i in range(len(block)):
            start, stop = int(block.offset[i]), int(block.offset[i] + block.length[i])
            source = format_address(int(block.source_high[i]), int(block.source_low[i]))
            found.append(
                cf.Datagram(
                    int(block.time_ns[i]), source, int(block.source_port[i]), 6343, block.data[start:stop].tobytes()
                )
            )
    stats = capture.statistics()
    assert stats.packets == stats.datagrams + stats.joined + sum(stats.skipped.values())
    assert stats.datagrams == len(found)
    return found, stats


def canonical(wanted: list[cf.Datagram]) -> list[cf.Datagram]:
    return [
        cf.Datagram(d.time_ns, format_address(*parse_address(d.source)), d.source_port, d.port, d.payload)
        for d in wanted
    ]


@given(
    wanted=st.lists(datagrams, max_size=6),
    link=st.sampled_from(cf.LINKS),
    order=st.sampled_from("<>"),
    nanosecond=st.booleans(),
    more=st.integers(0, 2),
)
def test_pcap_gives_back_what_was_written(
    folder: Path, wanted: list[cf.Datagram], link: int, *, order: str, nanosecond: bool, more: int
) -> None:
    packets = [cf.frame(cf.udp_packet(d, options=more, extensions=more), link, tags=more) for d in wanted]
    content = cf.pcap(
        [(d.time_ns, p) for d, p in zip(wanted, packets, strict=True)], link, order=order, nanosecond=nanosecond
    )
    found, stats = read(folder, content)
    assert found == canonical(wanted)
    assert (stats.kind, stats.skipped, stats.damage) == ("pcap", {}, "")


@given(st.lists(st.tuples(datagrams, st.sampled_from([cf.enhanced, cf.obsolete])), max_size=6), st.data())
def test_pcapng_gives_back_what_was_written(
    folder: Path, wanted: list[tuple[cf.Datagram, object]], data: st.DataObject
) -> None:
    parts = []
    for datagram, write in wanted:  # each in a section of its own
        order = data.draw(st.sampled_from("<>"))
        link = data.draw(st.sampled_from(cf.LINKS))
        resolution, per_second = data.draw(
            st.sampled_from([(6, 10**6), (9, 10**9), (12, 10**12), (0x80 | 30, 1 << 30)])
        )
        offset = data.draw(st.integers(-1000, 1000)) + (1_699_999_000 if resolution == 12 else 0)
        options = cf.option(2, b"eth0", order) + cf.option(9, bytes([resolution]), order)
        options += cf.option(14, struct.pack(f"{order}q", offset), order) + cf.option(0, b"", order)
        shifted = datagram.time_ns - offset * 10**9
        ticks = -(-shifted * per_second // 10**9)
        assert callable(write)
        parts += [cf.section(order), cf.interface(99, order=order), cf.interface(link, order=order, options=options)]
        parts += [
            cf.block(5, bytes(8), order),
            write(ticks, cf.frame(cf.udp_packet(datagram), link), order=order, number=1),
        ]
    found, stats = read(folder, b"".join(parts) or cf.section())
    assert found == canonical([datagram for datagram, _ in wanted])
    assert (stats.kind, stats.skipped, stats.damage) == ("pcapng", {}, "")


def test_simple_packets_take_the_time_before_them(folder: Path) -> None:
    packet = cf.frame(cf.udp_packet(one()), 1)
    content = cf.section() + cf.interface(1) + cf.simple(packet) + cf.enhanced(7, packet) + cf.simple(packet)
    found, _ = read(folder, content)
    assert [d.time_ns for d in found] == [0, 7000, 7000]
    assert {d.payload for d in found} == {SFLOW}


def test_times_far_off_are_held_within_63_bits(folder: Path) -> None:
    packet = cf.frame(cf.udp_packet(one()), 1)
    far = cf.option(14, struct.pack("<q", -(1 << 62)))
    for resolution in (0, 6, 18, 0x80, 0x80 | 63):
        options = cf.option(9, bytes([resolution]))
        content = cf.section() + cf.interface(1, options=options) + cf.interface(1, options=options + far)
        content += cf.enhanced((1 << 64) - 1, packet) + cf.enhanced((1 << 64) - 1, packet, number=1)
        found, _ = read(folder, content)
        assert all(0 <= d.time_ns <= (1 << 32) * 10**9 for d in found)
        assert len(found) == 2


def test_interfaces_that_cannot_be_used_are_counted(folder: Path) -> None:
    packet = cf.frame(cf.udp_packet(one()), 1)
    content = cf.section() + cf.interface(1, options=cf.option(9, bytes([127]))) + cf.enhanced(1, packet)
    content += cf.enhanced(1, packet, number=5)
    _, stats = read(folder, content)
    assert stats.skipped == {"link type not known": 2}


def test_what_is_no_sflow_is_counted_by_reason(folder: Path) -> None:
    arp = bytes(12) + b"\x08\x06" + bytes(28)
    tcp = cf.frame(cf.ip_packet("192.0.2.1", bytes(20), protocol=6), 1)
    six = cf.frame(cf.ip_packet("2001:db8::1", bytes(20), protocol=58), 1)
    short = cf.frame(cf.ip_packet("192.0.2.1", bytes(6)), 1)
    other = cf.frame(cf.udp_packet(one(b"dns", port=53)), 1)
    good = cf.frame(cf.udp_packet(one()), 1)
    packets = [arp, tcp, six, short, b"", bytes(13), other, good]
    _, stats = read(folder, cf.pcap([(BASE_NS, p) for p in packets], 1))
    assert stats.skipped == {"not IP": 1, "not UDP": 2, "malformed header": 3, "other port": 1}
    assert stats.ports == {53: 1, 6343: 1}


def test_without_traffic_to_6343_sflow_is_known_by_its_first_words(folder: Path) -> None:
    whole = SFLOW + bytes(20)
    netflow = struct.pack(">HH", 5, 1) + bytes(20)
    packets = [cf.udp_packet(one(payload, port=9000)) for payload in (whole, netflow, SFLOW)]
    found, stats = read(folder, cf.pcap([(BASE_NS, p) for p in packets], 101))
    assert [d.payload for d in found] == [whole, SFLOW]
    assert "any port" in stats.selection


def test_a_file_without_sflow_says_where_udp_went(folder: Path) -> None:
    packets = [cf.udp_packet(one(b"x", port=port)) for port in (2055, 2055, 53)]
    _, stats = read(folder, cf.pcap([(BASE_NS, p) for p in packets], 101))
    assert "UDP went to ports 2055 (2), 53 (1)" in describe_capture(stats)


def test_payloads_cut_by_the_snap_length_are_given_as_far_as_they_go(folder: Path) -> None:
    packet = cf.frame(cf.udp_packet(one(SFLOW * 20)), 1)
    found, stats = read(folder, cf.pcap([(BASE_NS, packet[:96])], 1))
    assert [len(d.payload) for d in found] == [96 - 42]
    assert stats.cut == 1
    assert "snap length" in describe_capture(stats)


def test_padding_of_short_frames_is_no_payload(folder: Path) -> None:
    packet = cf.frame(cf.udp_packet(one(b"\0\0\0\5")), 1) + b"\xff" * 20
    assert read(folder, cf.pcap([(BASE_NS, packet)], 1))[0][0].payload == b"\0\0\0\5"


def test_pppoe_and_ah_are_walked_over(folder: Path) -> None:
    packet = cf.udp_packet(one())
    ppp = bytes(12) + b"\x88\x64" + b"\x11\0\0\1" + struct.pack(">H", len(packet) + 2) + b"\x00\x21" + packet
    udp = cf.udp_packet(one(source="2001:db8::1"))[40:]
    ah = cf.frame(cf.ip_packet("2001:db8::1", bytes([17, 4]) + bytes(22) + udp, protocol=51), 1)
    found, _ = read(folder, cf.pcap([(BASE_NS, ppp), (BASE_NS, ah)], 1))
    assert [d.payload for d in found] == [SFLOW, SFLOW]


def fragments_of(source: str, udp: bytes, *, size: int = 16) -> list[bytes]:
    packets = []
    for at in range(0, len(udp), size):
        more = at + size < len(udp)
        if ":" in source:
            head = struct.pack(">BBHI", 17, 0, at | more, 77)
            packets.append(cf.ip_packet(source, head + udp[at : at + size], protocol=44))
        else:
            field = at // 8 | (0x2000 if more else 0)
            packets.append(cf.ip_packet(source, udp[at : at + size], fragment=(77, field)))
    return packets


@given(st.sampled_from(["192.0.2.9", "2001:db8::9"]), st.binary(min_size=20, max_size=200), st.randoms())
def test_fragments_are_joined_in_any_order(folder: Path, source: str, payload: bytes, random: object) -> None:
    udp = struct.pack(">HHHH", 1000, 6343, 8 + len(payload), 0) + payload
    pieces = fragments_of(source, udp)
    random.shuffle(pieces)  # type: ignore[attr-defined]  # the strategy's type is not exported
    whole = cf.udp_packet(one())
    found, stats = read(folder, cf.pcap([(BASE_NS, p) for p in [whole, *pieces, whole]], 101))
    assert [d.payload for d in found] == [SFLOW, payload, SFLOW]
    assert found[1].source == format_address(*parse_address(source))
    assert (stats.joined, stats.skipped) == (len(pieces) - 1, {})


def test_fragments_without_the_rest_are_counted(folder: Path) -> None:
    udp = struct.pack(">HHHH", 1000, 6343, 108, 0) + bytes(100)
    pieces = fragments_of("192.0.2.9", udp)
    _, stats = read(folder, cf.pcap([(BASE_NS, p) for p in pieces[1:]], 101))
    assert stats.skipped == {"fragment lost": len(pieces) - 1}


def test_fragments_that_the_capture_has_cut_are_counted(folder: Path) -> None:
    pieces = fragments_of("192.0.2.9", struct.pack(">HHHH", 1000, 6343, 108, 0) + bytes(100))
    _, stats = read(folder, cf.pcap([(BASE_NS, p[:30]) for p in pieces], 101))
    assert stats.skipped == {"fragment lost": len(pieces)}


def test_joined_fragments_that_are_no_datagram_are_counted(folder: Path) -> None:
    pieces = fragments_of("192.0.2.9", struct.pack(">HHHH", 1000, 6343, 3, 0) + bytes(24))
    _, stats = read(folder, cf.pcap([(BASE_NS, p) for p in pieces], 101))
    assert (stats.joined, stats.skipped) == (1, {"malformed header": 1})


def test_a_large_file_is_read_through_windows(folder: Path) -> None:
    packet = cf.frame(cf.udp_packet(one(SFLOW * 160)), 1)
    path = folder / "large.pcap"
    path.write_bytes(cf.pcap([(BASE_NS + i * 1000, packet) for i in range(6000)], 1))
    capture = Capture(path)
    blocks = list(capture)
    assert len(blocks) > 3
    assert sum(map(len, blocks)) == 6000
    assert capture.position == capture.size == path.stat().st_size
    times = [time for block in blocks for time in block.time_ns.tolist()]
    assert times == [BASE_NS + i * 1000 for i in range(6000)]


def test_many_tiny_packets_do_not_outgrow_the_table(folder: Path) -> None:
    for content in (
        cf.pcap([(BASE_NS, b"")] * 20_000, 1),
        cf.section() + cf.interface(1) + cf.enhanced(0, b"") * 20_000,
    ):
        _, stats = read(folder, content)
        assert stats.skipped == {"malformed header": 20_000}


@pytest.mark.usefixtures("folder")
def test_a_pipe_can_be_read() -> None:
    reader, writer = os.pipe()
    os.write(writer, cf.pcap([(BASE_NS, cf.udp_packet(one()))] * 3, 101))
    os.close(writer)
    found, _ = read_file(Path(f"/dev/fd/{reader}"))
    os.close(reader)
    assert len(found) == 3


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"hello, world", "neither pcap, pcapng nor an sFlow datagram"),
        (b"\x1f\x8b\x08\0", "gunzip"),
        (b"\x28\xb5\x2f\xfd", "unzstd"),
        (bytes.fromhex("a1b2c3d4"), "within the header"),
        (b"\0\0\0\5" + bytes(70000), "too long"),
    ],
)
def test_what_is_no_capture_is_refused(folder: Path, content: bytes, reason: str) -> None:
    path = folder / "bad.pcap"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=reason) as caught:
        Capture(path)
    assert caught.value.name == str(path)


def test_files_that_cannot_be_opened_are_refused(folder: Path) -> None:
    with pytest.raises(SourceError, match="No such file"):
        Capture(folder / "missing.pcap")
    with pytest.raises(SourceError, match="directory"):
        Capture(folder)


def test_a_datagram_file_is_one_datagram(folder: Path) -> None:
    path = folder / "one.bin"
    path.write_bytes(b"\0\0\0\4 not version 5, but named as a datagram")
    found, stats = read_file(path)
    assert [d.payload for d in found] == [path.read_bytes()]
    assert stats.kind == "datagram"


@pytest.mark.parametrize("kind", ["pcap", "pcapng"])
def test_a_file_cut_anywhere_gives_what_is_whole(folder: Path, kind: str) -> None:
    packets = [cf.frame(cf.udp_packet(one(SFLOW + bytes(i))), 1) for i in range(3)]
    if kind == "pcap":
        starts = [cf.pcap([(BASE_NS, p) for p in packets[:i]], 1) for i in range(4)]
    else:
        head = cf.section() + cf.interface(1)
        starts = [head + b"".join(cf.enhanced(1, p) for p in packets[:i]) for i in range(4)]
    for size in range(24, len(starts[3])):
        found, stats = read(folder, starts[3][:size])
        whole = max((i for i in range(4) if len(starts[i]) <= size), default=0)
        assert len(found) == whole
        at_boundary = any(len(start) == size for start in starts) or (kind == "pcapng" and size == len(cf.section()))
        assert (stats.damage == "") == at_boundary


def test_records_that_make_no_sense_end_the_file(folder: Path) -> None:
    good = cf.frame(cf.udp_packet(one()), 1)
    lying = cf.pcap([(BASE_NS, good)], 1) + struct.pack("<IIII", 0, 0, 0x7FFFFFFF, 0) + bytes(100)
    assert "makes no sense" in read(folder, lying)[1].damage
    head = cf.section() + cf.interface(1) + cf.enhanced(1, good)
    unequal = struct.pack("<II", 6, 36) + bytes(24) + struct.pack("<I", 40)
    tiny = struct.pack("<III", 6, 8, 8)
    odd = struct.pack("<III", 6, 13, 13)
    beyond = cf.block(6, struct.pack("<IIIII", 0, 0, 0, 1000, 1000))
    cramped = cf.block(6, bytes(8))
    no_header = cf.block(0x0A0D0D0A, bytes(16))
    future = cf.block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 2, 0, -1))
    huge = struct.pack("<III", 6, 0x7FFFFFFC, 0)
    unequal_section = cf.section()[:-4] + bytes(4)
    for bad in (
        unequal,
        unequal_section,
        tiny,
        odd,
        beyond,
        cramped,
        cf.block(3, b""),
        no_header,
        future,
        huge,
        cf.block(1, b""),
    ):
        found, stats = read(folder, head + bad + head)
        assert len(found) == 1
        assert stats.damage == f"a record at octet {len(head)} makes no sense"


def test_more_interfaces_than_anybody_has_end_the_file(folder: Path) -> None:
    _, stats = read(folder, cf.section() + cf.interface(1) * 5000)
    assert "makes no sense" in stats.damage


@pytest.fixture(scope="module")
def samples() -> list[bytes]:
    packets = [
        cf.frame(cf.udp_packet(one(SFLOW * 3, source=source), extensions=2), 1, tags=1)
        for source in ("192.0.2.1", "::1")
    ]
    packets += [cf.frame(p, 1) for p in fragments_of("::1", bytes(40)) + fragments_of("192.0.2.1", bytes(40))]
    blocks = [
        cf.enhanced(1, packets[0]),
        cf.obsolete(2, packets[1]),
        cf.simple(packets[2]),
        *(cf.enhanced(3, p) for p in packets),
    ]
    ng = cf.section() + cf.interface(1, options=cf.option(9, b"\x09")) + b"".join(blocks)
    return [cf.pcap([(BASE_NS, p) for p in packets], 1), ng]


@settings(max_examples=300)
@given(
    st.integers(0, 1),
    st.lists(st.tuples(st.integers(4, 2000), st.integers(0, 255)), min_size=1, max_size=12),
    st.integers(24, 3000),
    st.sampled_from([None, *cf.LINKS]),
)
def test_damaged_files_are_read_without_a_traceback(
    folder: Path, samples: list[bytes], which: int, edits: list[tuple[int, int]], size: int, link: int | None
) -> None:
    content = bytearray(samples[which])
    if link is not None and which == 0:
        content[20:24] = struct.pack("<I", link)
    for at, value in edits:
        content[at % len(content)] = value
    path = folder / "mutated.bin"
    path.write_bytes(bytes(content[:size]))
    with contextlib.suppress(SourceError):
        read_file(path)


@pytest.mark.skipif(not (SHARED / "manifest.json").exists(), reason="the shared captures are not beside the checkout")
def test_all_shared_captures_give_the_datagrams_that_their_manifest_counts() -> None:
    captures = json.loads((SHARED / "manifest.json").read_text())["captures"]
    assert len(captures) == 50
    for entry in captures:
        found, stats = read_file(SHARED / entry["file"])
        assert len(found) == entry["facts"]["datagrams"] == stats.packets, entry["file"]
        sources = {address.upper() for address in entry["facts"].get("sources", {})}
        if sources:
            assert {d.source for d in found} == sources, entry["file"]
