"""psample messages to rows: recorded ones, drawn ones, and each trap of the attributes by itself."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlink_recordings import every, frames, told_of
from netlink_strategies import FLAGS, cut_datagrams, garbage, numbers, padded
from netlink_twins import Packet, expected, found
from tidegate.kernel import compile_kernels
from tidegate.wire.netlink import samples
from tidegate.wire.netlink.message import ORDER, attribute, encode_message, nested

FAMILY = 34
INPUT, OUTPUT, SIZE, GROUP, SEQUENCE, RATE, DATA = range(7)
TUNNEL, PAD, QUEUE, OCCUPANCY, DELAY, TIME, PROTOCOL, COOKIE, PROBABILITY = range(8, 17)


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    list(compile_kernels(samples.KERNELS))


def u(value: int, width: int = 4) -> bytes:
    return value.to_bytes(width, ORDER)


WHOLE = {GROUP: u(5), SIZE: u(98), RATE: u(1), DATA: b"packet"}


def message(*octets: bytes, command: int = 0, kind: int = FAMILY) -> bytes:
    body = struct.pack("=BBH", command, 1, 0) + b"".join(octets)
    return padded(encode_message(kind, 0, 0, body))


def sample(*more: bytes, without: int = -1) -> bytes:
    return message(*(attribute(kind, value) for kind, value in WHOLE.items() if kind != without), *more)


def both(*datagrams: bytes, family: int = FAMILY) -> tuple[list[Packet], dict[str, int]]:
    """Return what the kernels and their twin agree on."""
    packets, told = found(datagrams, family)
    assert (packets, told) == expected(datagrams, family)
    return packets, told


def one(*more: bytes) -> Packet:
    (packet,), _ = both(sample(*more))
    return packet


@every("psample")
def test_recordings_are_read_as_the_twin_reads_them(path: Path) -> None:
    datagram = path.read_bytes()
    packets, told = both(datagram, family=0)
    assert told["broken"] == told["incomplete"] == 0
    assert bool(packets) != path.stem.startswith("groups")
    if told_of(path):
        assert told_of(path)["messages"] == told["samples"] + told["other"]


@every("psample", captured=True)
def test_rows_are_what_a_capture_beside_them_saw(path: Path) -> None:
    packets, _ = both(path.read_bytes(), family=0)
    if path.stem == "vlan-device":  # a capture on the parent; group 6 is the VLAN device
        packets = [packet for packet in packets if packet["group"] == 7]
    seen = frames(path)
    assert len(packets) == len(seen)
    for packet, (frame, octets) in zip(packets, seen, strict=True):
        data = packet["data"]
        assert isinstance(data, bytes)
        if packet["length"] == octets - 4:  # the outer tag was taken off
            assert frame[12:14] in {b"\x81\x00", b"\x88\xa8"}
            frame = frame[:12] + frame[16:]  # noqa: PLW2901 - the frame as the kernel sees it
        else:
            assert packet["length"] == octets
        common = min(len(data), len(frame))
        assert data[:common] == frame[:common]
        assert len(data) <= octets
        assert packet["rate"] == 1


@given(st.data())
def test_drawn_messages_are_read_as_the_twin_reads_them(data: st.DataObject) -> None:
    datagrams = data.draw(st.lists(cut_datagrams(drawn_messages()), max_size=4))
    both(*datagrams, family=data.draw(st.sampled_from([0, FAMILY, 35])))


def drawn_messages() -> st.SearchStrategy[bytes]:
    return st.builds(
        lambda parts, command: message(*parts, command=command), drawn_attributes(), st.sampled_from([0, 0, 0, 0, 2])
    )


@st.composite
def drawn_attributes(draw: st.DrawFn) -> list[bytes]:
    """Draw what a sample needs, more often than not, and anything besides, in any order, once or twice."""
    needed = [attribute(kind | draw(FLAGS), value) for kind, value in WHOLE.items() if draw(st.integers(0, 9))]
    more = draw(st.lists(numbers(18, ORDER) | garbage() | tunnels(), max_size=8))
    return draw(st.permutations([*needed, *more]))


def tunnels() -> st.SearchStrategy[bytes]:
    inner = st.lists(st.builds(attribute, st.integers(0, 16), st.binary(max_size=16)), max_size=5)
    return st.builds(lambda kind, parts: nested(kind, *parts), st.sampled_from([7, 8]), inner)


@given(st.binary(max_size=400), st.sampled_from([0, FAMILY]))
def test_any_octets_are_read_as_the_twin_reads_them(octets: bytes, family: int) -> None:
    both(octets, sample() + octets, octets + sample(), family=family)


def test_a_message_cut_at_each_octet() -> None:
    whole = sample(attribute(INPUT, u(3, 2)), attribute(TUNNEL, attribute(0, bytes(8))))
    for octets in range(len(whole)):
        packets, told = both(sample(), whole[:octets])
        assert len(packets) == 1
        assert told["broken"] == (octets > 0)


def attribute_cut_at_each_octet() -> Iterator[bytes]:
    inner = b"".join(attribute(kind, value) for kind, value in WHOLE.items())
    for octets in range(len(inner)):
        yield message(inner[:octets])


def test_a_message_whose_last_attribute_is_cut() -> None:
    for octets in attribute_cut_at_each_octet():
        packets, told = both(octets)
        assert told["broken"] + told["incomplete"] + len(packets) == 1
    assert both(message(*(attribute(kind, value) for kind, value in WHOLE.items())))[1]["samples"] == 1


def test_several_messages_in_one_datagram() -> None:
    done, error, overrun = (encode_message(kind, 2, 0, bytes(4)) for kind in (3, 2, 4))
    datagram = sample(attribute(SEQUENCE, u(1))) + error + overrun + sample(attribute(SEQUENCE, u(2))) + done
    packets, told = both(datagram)
    assert [packet["sequence"] for packet in packets] == [1, 2]
    assert sum(told.values()) == 2  # netlink's own are none of ours


def test_more_packets_than_a_batch_has_rows() -> None:
    numbered = [sample(attribute(SEQUENCE, u(number))) for number in range(2500)]
    for datagrams in (numbered, [b"".join(numbered)]):
        packets, told = both(*datagrams)
        assert [packet["sequence"] for packet in packets] == list(range(2500))
        assert told["samples"] == 2500


@pytest.mark.parametrize("width", [2, 4, 8])
def test_interface_numbers_of_any_width(width: int) -> None:
    packet = one(attribute(INPUT, u(4464, width)), attribute(OUTPUT, u(7, 4)))
    assert (packet["input"], packet["output"], packet["narrow"]) == (4464, 7, int(width == 2))


def test_each_interface_number_has_a_width_of_its_own() -> None:
    """One of 16 bits must not have the other looked up by its low half."""
    assert one(attribute(INPUT, u(70000, 4)), attribute(OUTPUT, u(7, 2)))["narrow"] == 2
    assert one(attribute(INPUT, u(1, 2)), attribute(INPUT, u(70000, 4)))["narrow"] == 0


def test_interfaces_may_be_missing() -> None:
    packet = one()
    assert "input" not in packet
    assert "output" not in packet


@pytest.mark.parametrize("missing", WHOLE)
def test_a_sample_without_what_it_needs_is_incomplete(missing: int) -> None:
    packets, told = both(sample(without=missing))
    assert (packets, told["incomplete"]) == ([], 1)


def test_data_may_be_empty_and_anywhere() -> None:
    assert one(attribute(DATA, b""))["data"] == b""
    first = [attribute(kind, WHOLE[kind]) for kind in (DATA, GROUP, SIZE, RATE)]
    packets, _ = both(message(*first), message(*reversed(first)))
    assert [packet["data"] for packet in packets] == [b"packet"] * 2


@pytest.mark.parametrize(
    ("probability", "rate"),
    [
        (0xFFFFFFFF, 1), (1 << 31, 2), (0xFFFFFFFF // 3, 3), (0xFFFFFFFF * 2 // 3, 2), (0xFFFFFFFF * 3 // 4, 1),
        (1, 0xFFFFFFFF), (2, 0x80000000), (10_000_000, 429), (0xFFFFFFFE, 1),
    ],
)  # fmt: skip
def test_a_probability_becomes_a_rate(probability: int, rate: int) -> None:
    assert one(attribute(PROBABILITY, b""), attribute(RATE, u(probability)))["rate"] == rate


def test_a_probability_may_stand_before_what_it_reinterprets() -> None:
    flag, rest = attribute(PROBABILITY, b""), [attribute(kind, value) for kind, value in WHOLE.items()]
    (packet,), _ = both(message(flag, *rest))
    assert packet["rate"] == 0xFFFFFFFF


def test_a_probability_of_nothing_is_incomplete() -> None:
    assert both(sample(attribute(PROBABILITY, b""), attribute(RATE, u(0))))[1]["incomplete"] == 1


def test_numbers_that_open_vswitch_does_not_count_are_not_told() -> None:
    """Its GROUP_SEQ is always 0: counted, each sample would be a repetition, or a restart."""
    assert "sequence" not in one(attribute(PROBABILITY, b""), attribute(SEQUENCE, u(0)))
    assert one(attribute(PROBABILITY, b""), attribute(SEQUENCE, u(3)))["sequence"] == 3
    assert one(attribute(SEQUENCE, u(0)))["sequence"] == 0


@pytest.mark.parametrize("kind", [7, 8])
def test_the_tunnel_is_at_7_on_some_kernels(kind: int) -> None:
    inner = attribute(0, bytes(7) + b"\x2a")
    assert one(nested(kind, inner))["tunnel"] == inner


def test_unknown_attributes_and_padding_are_passed_over() -> None:
    unknown = [attribute(kind, b"odd") for kind in (PAD, COOKIE, 17, 99, 0x3FFF)]
    assert one(*unknown) == one()


def test_flags_of_types_do_not_matter() -> None:
    assert one(attribute(INPUT | 0x4000, u(3, 2)), attribute(RATE | 0x8000, u(9)))["input"] == 3


def test_64_bits_beyond_63_are_the_greatest_there_is() -> None:
    packet = one(*(attribute(kind, b"\xff" * 8) for kind in (OCCUPANCY, DELAY, TIME)))
    assert {packet[name] for name in ("occupancy", "delay", "time")} == {(1 << 63) - 1}


def test_a_rate_or_length_of_64_bits_is_cut_to_what_sflow_can_say() -> None:
    packet = one(attribute(RATE, b"\xff" * 8), attribute(SIZE, b"\xff" * 8))
    assert (packet["rate"], packet["length"]) == (0xFFFFFFFF, 0xFFFFFFFF)


def test_a_message_about_a_group_is_no_sample() -> None:
    packets, told = both(message(attribute(GROUP, u(5)), attribute(7, u(1)), command=2))
    assert (packets, told["other"]) == ([], 1)
