"""The kernel against a slow twin that reads the same specifications one step at a time."""

from __future__ import annotations

import struct

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import capture_files as cf
from tidegate.data.address import words_of_bytes
from tidegate.kernel import compile_kernels
from tidegate.wire.capture import unwrap

list(compile_kernels(unwrap.KERNELS))

Found = tuple[str, bytes, tuple[int, int], int, int, bool]


def u16(octets: bytes, at: int) -> int:
    value: int = struct.unpack_from(">H", octets, at)[0]
    return value


def network(frame: bytes, link: int) -> bytes | str:  # noqa: PLR0911 - a step at a time
    """Return the IP packet, or why there is none."""
    if link in {12, 14, 101, 228, 229}:
        return frame
    if link in {0, 108}:
        return frame[4:]
    if link not in {1, 113, 276}:
        return "link type not known"
    if link == 276:
        if len(frame) < 20:
            return "malformed header"
        rest = frame[:2] + frame[20:]
    else:
        rest = frame[12:] if link == 1 else frame[14:]
    tags = {0x8100, 0x88A8} if link == 276 else {0x8100, 0x88A8, 0x9100, 0x9200}
    while len(rest) >= 2 and u16(rest, 0) in tags:
        rest, tags = rest[4:], {0x8100, 0x88A8, 0x9100, 0x9200}
    if len(rest) < 2:
        return "malformed header"
    if u16(rest, 0) in {0x0800, 0x86DD}:
        return rest[2:]
    tagged = link != 276 or len(frame) - len(rest) > 18
    if u16(rest, 0) == 0x8864 and tagged and len(rest) >= 10 and u16(rest, 8) in {0x21, 0x57}:
        return rest[10:]
    return "not IP"


def udp_of_ipv6(packet: bytes) -> tuple[bytes, int] | str:
    """Return what follows the extension headers and its stated length, or why there is nothing."""
    if len(packet) < 40:
        return "malformed header"
    stated = 40 + u16(packet, 4) if u16(packet, 4) else len(packet)
    kind, at = packet[6], 40
    while kind not in {17, 44}:
        if kind not in {0, 43, 51, 60, 135, 139, 140}:
            return "not UDP"
        if at + 8 > len(packet):
            return "malformed header"
        kind, at = packet[at], at + (4 * (packet[at + 1] + 2) if kind == 51 else 8 * (packet[at + 1] + 1))
    if at > stated:
        return "malformed header"
    return "fragment" if kind == 44 else (packet[at:], stated - at)


def udp_of_ipv4(packet: bytes) -> tuple[bytes, int] | str:
    header = 4 * (packet[0] & 15)
    stated = u16(packet, 2) or len(packet)
    if header < 20 or stated < header or header > len(packet):
        return "malformed header"
    if packet[9] != 17:
        return "not UDP"
    return "fragment" if u16(packet, 6) & 0x3FFF else (packet[header:], stated - header)


def naive_unwrap(frame: bytes, link: int) -> str | Found:  # noqa: PLR0911 - a step at a time
    packet = network(frame, link)
    if isinstance(packet, str):
        return packet
    if len(packet) < 20:
        return "malformed header"
    version = packet[0] >> 4
    if version not in {4, 6}:
        return "not IP"
    body = udp_of_ipv4(packet) if version == 4 else udp_of_ipv6(packet)
    if isinstance(body, str):
        return body
    udp, stated = body
    udp = udp[:stated]
    if len(udp) < 8:
        return "malformed header"
    length = u16(udp, 4) or len(udp)
    if length < 8:
        return "malformed header"
    source = words_of_bytes(packet[12:16] if version == 4 else packet[8:24])
    return "datagram", udp[8:length], source, u16(udp, 0), u16(udp, 2), len(udp) < length


def kernel_unwrap(frame: bytes, link: int) -> str | Found:
    before = b"\xff" * 7  # so that offsets into the frame and into the file differ
    data = np.frombuffer(before + frame + b"\xff" * 7, np.uint8).copy()
    frames = np.array([[len(before)], [len(frame)], [0], [link]], np.int64)
    table, words = np.full((unwrap.ROWS, 1), -7, np.int64), np.zeros((2, 1), np.uint64)
    unwrap.unwrap_frames(data, frames, 1, table, words, np.zeros(65536, np.int64))
    status = unwrap.STATUSES[table[unwrap.STATUS, 0]]
    if status != "datagram":
        return status
    start = int(table[unwrap.START, 0])
    payload = data[start : start + int(table[unwrap.LENGTH, 0])].tobytes()
    source = (int(words[0, 0]), int(words[1, 0]))
    ports = int(table[unwrap.SPORT, 0]), int(table[unwrap.DPORT, 0])
    return status, payload, source, *ports, bool(table[unwrap.CUT, 0])


def frames_of(link: int, source: str, payload: bytes, more: int) -> bytes:
    datagram = cf.Datagram(0, source, 1, 6343, payload)
    return cf.frame(cf.udp_packet(datagram, options=more, extensions=more), link, tags=more)


links = st.sampled_from([*cf.LINKS, 7, -1])
sources = st.sampled_from(["192.0.2.1", "2001:db8::1"])
interesting = st.sampled_from([0, 1, 2, 5, 17, 43, 44, 51, 60, 0x08, 0x45, 0x4F, 0x60, 0x81, 0x86, 0x88, 0xDD, 0xFF])


@settings(max_examples=400)
@given(
    links,
    sources,
    st.binary(max_size=24),
    st.integers(0, 2),
    st.lists(st.tuples(st.integers(0, 100), interesting), max_size=4),
    st.integers(0, 120),
)
def test_kernel_equals_twin_on_damaged_frames(
    link: int, source: str, payload: bytes, more: int, edits: list[tuple[int, int]], size: int
) -> None:
    frame = bytearray(frames_of(link, source, payload, more))
    for at, value in edits:
        frame[at % len(frame)] = value
    assert kernel_unwrap(bytes(frame[:size]), link) == naive_unwrap(bytes(frame[:size]), link)


@given(links, st.binary(max_size=80))
def test_kernel_equals_twin_on_any_octets(link: int, frame: bytes) -> None:
    assert kernel_unwrap(frame, link) == naive_unwrap(frame, link)


def test_lengths_left_out_by_offload_reach_to_the_end_of_the_frame() -> None:
    four = bytearray(cf.udp_packet(cf.Datagram(0, "192.0.2.1", 1, 2, b"payload")))
    four[2:4] = four[24:26] = b"\0\0"
    six = bytearray(cf.udp_packet(cf.Datagram(0, "2001:db8::1", 1, 2, b"payload")))
    six[4:6] = six[44:46] = b"\0\0"
    for packet in (four, six):
        found = kernel_unwrap(bytes(packet), 101)
        assert found == naive_unwrap(bytes(packet), 101)
        assert found[1] == b"payload"


def test_sflow_is_known_by_version_and_address_type() -> None:
    signs = {}
    for words in ((5, 0), (5, 1), (5, 2), (5, 3), (4, 1), (0x10005, 1), (5, 0x10001)):
        packet = cf.udp_packet(cf.Datagram(0, "192.0.2.1", 1, 2, struct.pack(">II", *words)))
        data = np.frombuffer(packet, np.uint8).copy()
        table = np.zeros((unwrap.ROWS, 1), np.int64)
        frames = np.array([[0], [len(packet)], [0], [101]], np.int64)
        unwrap.unwrap_frames(data, frames, 1, table, np.zeros((2, 1), np.uint64), np.zeros(65536, np.int64))
        signs[words] = bool(table[unwrap.SIGNED, 0])
    assert [words for words, signed in signs.items() if signed] == [(5, 0), (5, 1), (5, 2)]
