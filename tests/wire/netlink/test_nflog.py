"""NFLOG messages to rows: recorded ones, drawn ones, and each trap of the attributes by itself."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlink_recordings import every, frames, told_of
from netlink_strategies import FLAGS, cut_datagrams, garbage, numbers, padded
from netlink_twins import Packet, expected, found
from packets import eth, ip, ip6
from tidegate.kernel import compile_kernels
from tidegate.wire.netlink import samples
from tidegate.wire.netlink.message import attribute, encode_message, first_attributes, nested, split_messages
from tidegate.wire.netlink.nflog import CONFIG, NFLOG, bind_body, unbind_body

HEADER, MARK, TIME, INPUT, OUTPUT, PORT_IN, PORT_OUT, STATION, PAYLOAD, PREFIX = range(1, 11)
SEQUENCE, LINK, MAC, VLAN, L2HDR = 12, 15, 16, 20, 21
INET, BRIDGE, NETDEV = 1, 7, 5
ETHERNET = b"\0\1"


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    list(compile_kernels(samples.KERNELS))


def u(value: int, width: int = 4) -> bytes:
    return value.to_bytes(width, "big")


def header(protocol: int = 0x0800, hook: int = 0) -> bytes:
    return attribute(HEADER, struct.pack(">HBx", protocol, hook))


def message(*octets: bytes, family: int = INET, group: int = 5) -> bytes:
    return padded(encode_message(NFLOG, 0, 0, struct.pack(">BBH", family, 0, group) + b"".join(octets)))


def both(*datagrams: bytes, family: int = NFLOG) -> tuple[list[Packet], dict[str, int]]:
    """Return what the kernels and their twin agree on."""
    packets, told = found(datagrams, family)
    assert (packets, told) == expected(datagrams, family)
    return packets, told


def one(*more: bytes, hook: int = 2, protocol: int = 0x0800, family: int = INET) -> Packet:
    """Return the packet of a message; the payload is one of IPv4 unless `more` has another."""
    (packet,), _ = both(message(header(protocol, hook), attribute(PAYLOAD, ip(17, bytes(8))), *more, family=family))
    return packet


@every("nflog")
def test_recordings_are_read_as_the_twin_reads_them(path: Path) -> None:
    octets = path.read_bytes()
    packets, told = both(octets)
    assert told["broken"] == told["incomplete"] == told["other"] == 0
    messages = [message.type for message in split_messages(octets)]
    assert len(packets) == messages.count(NFLOG)
    manifest = told_of(path)
    assert manifest.get("messages", len(messages)) == len(messages)
    assert manifest.get("packets", len(packets)) == len(packets)


@every("nflog", captured=True)
def test_rows_are_what_a_capture_beside_them_saw(path: Path) -> None:
    packets, _ = both(path.read_bytes())
    seen = frames(path)
    assert len(packets) == len(seen)
    for packet, (frame, octets) in zip(packets, seen, strict=True):
        header = whole_header(packet)
        common = min(len(header), len(frame))
        assert header[:common] == frame[:common]
        assert (packet["layer"], packet["rate"]) == (2, 1)
        if frame[12:14] in {b"\x08\x00", b"\x86\xdd"}:
            assert packet["length"] == octets


def whole_header(packet: Mapping[str, int | bytes]) -> bytes:
    """Return a packet's octets with its MAC header and its VLAN tag in their places."""
    pieces = packet["mac"], packet["data"]
    octets = b"".join(piece for piece in pieces if isinstance(piece, bytes))
    tag = packet.get("tag")
    return octets if not isinstance(tag, int) else octets[:12] + tag.to_bytes(4, "big") + octets[12:]


@given(st.data())
def test_drawn_messages_are_read_as_the_twin_reads_them(data: st.DataObject) -> None:
    datagrams = data.draw(st.lists(cut_datagrams(drawn_messages()), max_size=4))
    both(*datagrams, family=data.draw(st.sampled_from([NFLOG, NFLOG, 0, 34])))


@st.composite
def drawn_messages(draw: st.DrawFn) -> bytes:
    """Draw what a packet needs, more often than not, and anything besides, in any order, once or twice."""
    needed = [draw(headers()), draw(payloads())]
    more = draw(st.lists(numbers(22, "big") | garbage() | places() | headers() | payloads(), max_size=8))
    parts = draw(st.permutations([one for one in needed if draw(st.integers(0, 9))] + more))
    return message(*parts, family=draw(st.sampled_from([0, 1, 2, 5, 5, 7, 10])), group=draw(st.integers(0, 65535)))


def headers() -> st.SearchStrategy[bytes]:
    return st.builds(
        header, st.sampled_from([0x0800, 0x86DD, 0x8100, 0x88B5]) | st.integers(0, 65535), st.integers(0, 5)
    )


def payloads() -> st.SearchStrategy[bytes]:
    """Payloads that begin as IP, as Ethernet, and as neither, cut anywhere."""
    packets = st.sampled_from([ip(17, bytes(30)), ip6(17, bytes(30)), ip(17, b"", total=9000), ip6(17, length=0)])
    frame = st.builds(lambda mac, packet: mac + packet, st.sampled_from([b"", eth()]), packets | st.binary(max_size=40))
    return st.builds(
        lambda flags, octets, end: attribute(PAYLOAD | flags, octets[:end]),
        FLAGS,
        frame,
        st.none() | st.integers(0, 40),
    )


def places() -> st.SearchStrategy[bytes]:
    """Attributes that decide where the MAC header is, whether there is a tag, and what the rate is."""
    links = st.builds(attribute, st.just(LINK), st.sampled_from([ETHERNET, b"\3\4", b"\xff\xfe", b"\0\1\0"]))
    macs = st.builds(
        attribute, st.sampled_from([MAC, L2HDR]), st.sampled_from([eth(), b"", bytes(18), bytes(20), bytes(13)])
    )
    tags = st.builds(
        lambda parts: nested(VLAN, *parts),
        st.lists(st.builds(attribute, st.integers(0, 3), st.binary(min_size=1, max_size=3)) | garbage(), max_size=4),
    )
    prefixes = st.from_regex(rb"\A(N=)?[0-9 ]{0,12}[ a]?\x00?\Z").map(lambda text: attribute(PREFIX, text))
    return links | macs | tags | prefixes


@given(st.binary(max_size=400))
def test_any_octets_are_read_as_the_twin_reads_them(octets: bytes) -> None:
    whole = message(header(), attribute(PAYLOAD, ip(17)))
    both(octets, whole + octets, octets + whole)


def test_a_message_cut_at_each_octet() -> None:
    inner = [header(), attribute(PAYLOAD, ip(17)), nested(VLAN, attribute(1, u(0x8100, 2)), attribute(2, u(5, 2)))]
    whole = message(*inner)
    for octets in range(len(whole)):
        assert both(whole[:octets])[1]["broken"] == (octets > 0)
    for end in range(len(b"".join(inner))):
        packets, told = both(message(b"".join(inner)[:end]))
        assert len(packets) + told["broken"] + told["incomplete"] == 1


def test_a_message_without_its_own_header_is_broken() -> None:
    assert both(encode_message(NFLOG, 0, 0, b"\1\0"))[1]["broken"] == 1


def test_a_batch_ends_with_done() -> None:
    whole = message(header(), attribute(PAYLOAD, ip(17)))
    packets, told = both(whole * 10 + encode_message(3, 0, 0, bytes(4)))
    assert (len(packets), sum(told.values())) == (10, 10)


@pytest.mark.parametrize("missing", ["header", "payload"])
def test_a_message_without_what_it_needs_is_incomplete(missing: str) -> None:
    part = attribute(PAYLOAD, ip(17)) if missing == "header" else header()
    assert both(message(part))[1]["incomplete"] == 1


def test_nothing_is_read_for_another_family() -> None:
    whole = message(header(), attribute(PAYLOAD, ip(17)))
    assert both(whole, family=34)[1]["other"] == 1
    assert both(encode_message(34, 0, 0, bytes(4)))[1]["other"] == 1
    assert both(encode_message(CONFIG, 0, 0, bytes(4)))[1]["other"] == 1


@pytest.mark.parametrize(
    ("family", "hook", "egress"),
    [
        (INET, 0, 0),
        (INET, 1, 0),
        (INET, 2, 0),
        (INET, 3, 1),
        (INET, 4, 1),
        (BRIDGE, 4, 1),
        (NETDEV, 0, 0),
        (NETDEV, 1, 1),
    ],
)
def test_the_hook_tells_the_direction(family: int, hook: int, egress: int) -> None:
    assert one(family=family, hook=hook)["egress"] == egress


def test_bridge_ports_say_more_than_the_bridge() -> None:
    told = [attribute(INPUT, u(3)), attribute(PORT_IN, u(7)), attribute(OUTPUT, u(4)), attribute(PORT_OUT, u(8))]
    for parts in (told, told[::-1]):
        packet = one(*parts)
        assert (packet["input"], packet["output"]) == (7, 8)
    packet = one(attribute(INPUT, u(3)), attribute(OUTPUT, u(4)))
    assert (packet["input"], packet["output"]) == (3, 4)


@pytest.mark.parametrize(
    ("prefix", "rate"),
    [
        (b"N=400 web\0", 400), (b"N=400\0", 400), (b"N=1", 1), (b"N=0 ", 0), (b"N=", 0), (b"N= 4", 0), (b"n=4", 0),
        (b"", 0), (b"N", 0), (b"in N=4", 0), (b"N=4294967295 ", 0xFFFFFFFF), (b"N=4294967296 ", 0),
        (b"N=00000000004", 0),        (b"N=99999999999999999999999999999999999", 0), (b"N=-4", 0), (b"N=\xff", 0),
    ],
)  # fmt: skip
def test_the_prefix_tells_the_rate(prefix: bytes, rate: int) -> None:
    assert one(attribute(PREFIX, prefix))["rate"] == rate


@pytest.mark.parametrize(
    ("packet", "protocol", "octets"),
    [
        (ip(17, bytes(8), total=1400), 0x0800, 1400),
        (ip(17, bytes(30), total=20), 0x0800, 50),  # never less than there is
        (ip(17, bytes(8), total=1400)[:3], 0x0800, 3),
        (ip6(17, bytes(8), length=1400), 0x86DD, 1440),
        (ip6(17, bytes(8), length=0), 0x86DD, 48),  # a jumbogram
        (ip6(17, bytes(8), length=1400)[:5], 0x86DD, 5),
        (bytes(60), 0x0800, 60),
        (bytes(60), 0x86DD, 60),
        (ip(17, bytes(8), total=1400), 0x88B5, 28),
    ],
)  # fmt: skip
def test_the_ip_header_tells_the_length(packet: bytes, protocol: int, octets: int) -> None:
    assert one(attribute(PAYLOAD, packet), protocol=protocol)["length"] == octets


def test_a_vlan_header_inside_a_frame_is_not_taken_for_ip() -> None:
    """Injected frames may tell the inner protocol: octets 2 and 3 behind the MAC header are then no length."""
    frame = eth(b"\0\5\x08\0" + ip(17, bytes(8)), 0x8100)
    packet = one(attribute(PAYLOAD, frame), attribute(L2HDR, frame[:14]), family=NETDEV, hook=1)
    assert packet["length"] == len(frame)


def test_where_the_mac_header_is() -> None:
    apart = [attribute(LINK, ETHERNET), attribute(MAC, eth())]
    packet = one(*apart)
    assert (packet["layer"], packet["mac"], packet["length"]) == (2, eth(), 42)
    assert one(apart[1])["layer"] == 3  # of nobody knows what link
    assert one(attribute(LINK, b"\3\4"), apart[1])["layer"] == 2  # loopback
    assert one(attribute(LINK, b"\2\0"), attribute(MAC, bytes(14)))["layer"] == 3
    assert one(attribute(LINK, ETHERNET), attribute(MAC, bytes(18)))["layer"] == 3
    packet = one(attribute(L2HDR, eth()), family=NETDEV, hook=0)
    assert (packet["layer"], packet["mac"]) == (2, eth())
    for parts in ([attribute(L2HDR, eth()), attribute(MAC, bytes(14))], [*apart, attribute(L2HDR, eth(src=bytes(6)))]):
        assert one(*parts)["mac"] == first_attributes(b"".join(parts))[L2HDR]
    assert one(*apart, attribute(L2HDR, bytes(20)))["layer"] == 3


def test_on_netdev_egress_the_payload_begins_with_what_l2hdr_tells() -> None:
    frame = eth(ip(17, bytes(8)))
    packet = one(attribute(PAYLOAD, frame), attribute(L2HDR, eth()), family=NETDEV, hook=1)
    assert (packet["layer"], packet["mac"], packet["data"], packet["length"]) == (2, b"", frame, 42)
    packet = one(family=NETDEV, hook=1)  # as tun devices have it
    assert (packet["layer"], packet["data"], packet["length"]) == (3, ip(17, bytes(8)), 28)
    outer = bytes(24)
    packet = one(attribute(PAYLOAD, outer + ip(17, bytes(8))), attribute(L2HDR, outer), family=NETDEV, hook=1)
    assert (packet["layer"], packet["data"], packet["length"]) == (3, ip(17, bytes(8)), 28)
    short = message(header(hook=1), attribute(PAYLOAD, bytes(13)), attribute(L2HDR, eth()), family=NETDEV)
    assert both(short)[1]["incomplete"] == 1


def test_vlan_tags_are_whole_or_absent() -> None:
    tpid, tci = attribute(1, u(0x88A8, 2)), attribute(2, u(0x2005, 2))
    assert one(nested(VLAN, tpid, tci))["tag"] == 0x88A82005
    assert one(nested(VLAN, tci, attribute(9, b""), tpid))["tag"] == 0x88A82005
    for broken in (nested(VLAN, tpid), nested(VLAN, tci), nested(VLAN), nested(VLAN, tpid, tci, b"\7\0\0\0")):
        assert "tag" not in one(broken)


def test_times() -> None:
    assert one(attribute(TIME, u(1_700_000_000, 8) + u(999_999, 8)))["time"] == 1_700_000_000_999_999_000
    assert one(attribute(TIME, b"\xff" * 16))["time"] == 0xFFFFFFFF * 10**9 + 0xFFFFFFFF % 10**6 * 1000
    assert "time" not in one(attribute(TIME, bytes(8)))
    assert "time" not in one()


def test_numbers_are_there_when_they_are_asked_for() -> None:
    assert one(attribute(SEQUENCE, u(0)))["sequence"] == 0
    assert one(attribute(SEQUENCE, u(0xFFFFFFFF)))["sequence"] == 0xFFFFFFFF
    assert "sequence" not in one()
    assert one(attribute(SEQUENCE, u(7)), attribute(MARK, u(9)), attribute(STATION, bytes(12)))["sequence"] == 7


def test_requests() -> None:
    body = bind_body(6343, copy=128, at_once=32)
    assert body[:4] == b"\0\0" + u(6343, 2)
    assert first_attributes(body, 4) == {1: b"\1", 2: u(128) + b"\2\0", 4: u(5), 5: u(32), 6: u(1, 2)}
    assert first_attributes(unbind_body(6343), 4) == {1: b"\2"}
