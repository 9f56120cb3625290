"""Alerts to discarded_packet samples: the limit and what it leaves out, whose interfaces are named, records."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlink_recordings import every
from netlink_strategies import garbage, numbers
from packets import eth, ip
from tidegate.agent.discards import MOST_BESIDE_HEADER, Discards, Station
from tidegate.wire.netlink.dropmon import VERSION, is_packet_alert, read_alert
from tidegate.wire.netlink.genl import genl_body
from tidegate.wire.netlink.message import ORDER, Message, attribute, nested, split_messages
from tidegate.wire.sflow.encode import encode_sample
from tidegate.wire.sflow.flow_records import SampledHeader
from tidegate.wire.sflow.samples import DataSource, DiscardedPacket
from tidegate.wire.sflow.tunnel_records import (
    ExtendedFunction,
    ExtendedHwTrap,
    ExtendedLinuxDropReason,
    ExtendedTimestamp,
)

SECOND = 1_000_000_000
R1, R2, H1, H2 = (bytes([2, 0, 0, 0, *end]) for end in ((1, 1), (2, 1), (1, 2), (2, 2)))
STATIONS = {101: Station(R1), 102: Station(R2)}
TIME_NS = 1_700_000_000 * SECOND


def alert(
    *more: bytes, payload: bytes = eth(ip(17, bytes(8)), dst=R1, src=H1), taken_in: int = 101, protocol: int = 0x0800
) -> Message:
    told = [
        attribute(3, b"nft_do_chain+0x47f/0x5e0\0"), nested(4, attribute(0, taken_in.to_bytes(4, ORDER))),
        attribute(5, TIME_NS.to_bytes(8, ORDER)), attribute(6, protocol.to_bytes(2, ORDER)), attribute(7, payload),
        attribute(10, (1000).to_bytes(4, ORDER)),
    ]  # fmt: skip
    reason = attribute(23, b"NETFILTER_DROP\0")
    return Message(32, 0, 0, 0, genl_body(5, VERSION, *more, *told, reason))


def discards(per_second: int = 100, header_octets: int = 128) -> Discards:
    return Discards(per_second=per_second, header_octets=header_octets)


def only(samples: Iterable[DiscardedPacket]) -> DiscardedPacket:
    (sample,) = samples
    return sample


def header(sample: DiscardedPacket) -> SampledHeader:
    first = sample.records[0]
    assert isinstance(first, SampledHeader)
    return first


def test_an_alert_is_a_sample_of_all_ports_as_one() -> None:
    sample = only(discards(header_octets=40).step([alert()], 0, stations=STATIONS))
    assert sample == DiscardedPacket(
        sequence_number=1, source_id=DataSource(0, 0), drops=0, input_ifindex=101, output_ifindex=0, reason=258,
        records=(
            SampledHeader(1, 1004, 4, eth(ip(17, bytes(8)), dst=R1, src=H1)[:40]),
            ExtendedFunction(b"nft_do_chain+0x47f/0x5e0"),
            ExtendedLinuxDropReason(b"NETFILTER_DROP"),
            ExtendedTimestamp(TIME_NS),
        ),
    )  # fmt: skip


def test_a_hardware_drop_tells_its_trap() -> None:
    hardware = [attribute(14, b"\1\0"), attribute(15, b"l2_drops\0"), attribute(16, b"blackhole_route\0")]
    sample = only(discards().step([alert(*hardware)], 0))
    assert ExtendedHwTrap(b"l2_drops", b"blackhole_route") in sample.records


def test_what_is_not_told_has_no_record() -> None:
    message = Message(32, 0, 0, 0, genl_body(5, VERSION, attribute(6, b"\0\x08")))
    sample = only(discards().step([message], 0))
    assert (sample.records, sample.reason, sample.input_ifindex) == ((), 256, 0)


@pytest.mark.parametrize(
    ("payload", "protocol", "wanted"),
    [
        (eth(ip(17)), 0x0800, (1, 4)),
        (ip(17, bytes(8)), 0x0800, (11, 18)),
        (b"\x60" + bytes(39), 0x86DD, (12, 18)),
        (b"\x60" + bytes(39), 0x0800, (1, 4)),
        (b"\x45" + bytes(11) + b"\x08\0", 0x0800, (1, 4)),  # a MAC address that begins like IP
        (b"\x45" + bytes(11) + b"\x81\0", 0x0800, (1, 4)),
        (b"\x45", 0x0800, (11, 18)),
        (eth(b""), 0x88B5, (1, 4)),
    ],
)
def test_packets_with_and_without_a_mac_header(payload: bytes, protocol: int, wanted: tuple[int, int]) -> None:
    found = header(only(discards().step([alert(payload=payload, protocol=protocol)], 0)))
    assert (found.protocol, found.stripped) == wanted
    assert found.frame_length == 1000 + wanted[1]


def test_a_length_of_32_bits_stays_one() -> None:
    message = alert()
    longest = msgspec.structs.replace(message, body=message.body.replace((1000).to_bytes(4, ORDER), b"\xff" * 4))
    assert header(only(discards().step([longest], 0))).frame_length == 0xFFFFFFFF


# The limit.


def test_what_the_limit_leaves_out_is_counted() -> None:
    one = discards(per_second=3)
    found = one.step([alert()] * 5, 0)
    assert [(sample.sequence_number, sample.drops) for sample in found] == [(1, 0), (2, 0), (3, 0)]
    assert one.drops == 2
    found = one.step([alert()] * 3, SECOND // 2)  # one and a half more
    assert [(sample.sequence_number, sample.drops) for sample in found] == [(4, 2)]
    assert one.drops == 4
    assert len(one.step([alert()] * 9, SECOND)) == 2
    assert len(one.step([alert()] * 9, 100 * SECOND)) == 3  # a long silence saves up no more than a second


def test_alerts_that_are_no_drops_take_nothing_of_the_limit() -> None:
    one = discards(per_second=2)
    ordinary = Message(32, 0, 0, 0, genl_body(5, VERSION, attribute(3, b"skb_release_data\0"), attribute(6, b"\0\x08")))
    broken = Message(32, 0, 0, 0, genl_body(5, VERSION, b"\xff\xff\0\0"))
    other = Message(32, 0, 0, 0, genl_body(1, VERSION))
    found = one.step([ordinary, broken, other, alert(), ordinary, alert()], 0)
    assert [sample.sequence_number for sample in found] == [1, 2]
    assert (one.ignored, one.broken, one.drops) == (2, 1, 0)


def test_what_was_lost_in_the_kernel_is_counted() -> None:
    one = discards()
    one.charge(7)
    assert only(one.step([alert()], 0)).drops == 7
    one.charge((1 << 32) - 1)
    assert only(one.step([alert()], 0)).drops == 6


def test_limits_may_change() -> None:
    one = discards(per_second=100)
    one.set_limits(per_second=1, header_octets=16)
    found = one.step([alert()] * 5, 0)
    assert len(found) == 1
    assert header(found[0]).header == eth(ip(17, bytes(8)), dst=R1, src=H1)[:16]
    one.set_limits(per_second=10, header_octets=16)
    assert len(one.step([alert()] * 50, 2 * SECOND)) == 10


def test_a_clock_that_goes_back_gives_nothing() -> None:
    one = discards(per_second=1)
    assert len(one.step([alert()] * 2, 10 * SECOND)) == 1
    assert one.step([alert()] * 2, 0) == []
    assert len(one.step([alert()] * 2, SECOND)) == 1


@given(
    st.lists(st.tuples(st.integers(0, SECOND), st.integers(0, 30)), max_size=30), st.integers(1, 50), st.integers(0, 9)
)
def test_in_is_out_and_drops(steps: list[tuple[int, int]], per_second: int, lost: int) -> None:
    one = discards(per_second=per_second)
    now_ns = sent = came = 0
    for passed, count in steps:
        now_ns += passed
        one.charge(lost)
        found = one.step([alert()] * count, now_ns)
        sent, came = sent + len(found), came + count + lost
        assert sent + one.drops == came
        assert sent <= per_second * (1 + now_ns / SECOND)
    assert one.step([], now_ns) == []


# Interfaces.


def station(address: bytes, *, takes_all: bool = False) -> dict[int, Station]:
    return {101: Station(address, takes_all=takes_all), 102: Station(R2)}


@pytest.mark.parametrize(
    ("payload", "stations", "named"),
    [
        (eth(dst=R1), STATIONS, True),
        (eth(dst=H2), STATIONS, False),  # of another namespace, where 101 is another interface
        (eth(dst=bytes([1, 0, 94, 0, 0, 1])), STATIONS, True),
        (eth(dst=b"\xff" * 6), STATIONS, True),
        (eth(dst=H2), station(R1, takes_all=True), True),
        (eth(dst=H2), station(b""), True),  # an interface without addresses
        (b"\x45" + bytes(10), STATIONS, True),
        (eth(dst=R1), {102: Station(R2)}, False),
        (eth(dst=R1), {}, False),
    ],
)
def test_an_input_is_named_where_the_packet_agrees(
    payload: bytes, stations: dict[int, Station], *, named: bool
) -> None:
    sample = only(discards().step([alert(payload=payload)], 0, stations=stations))
    assert sample.input_ifindex == (101 if named else 0)
    assert only(discards().step([alert(payload=payload)], 0)).input_ifindex == 101  # of a recording


def test_drops_on_the_way_out_have_our_own_address_as_their_source() -> None:
    out = Message(
        32, 0, 0, 0, alert(payload=eth(dst=H2, src=R2)).body.replace(b"NETFILTER_DROP", b"TC_EGRESS\0\0\0\0\0")
    )
    assert only(discards().step([out], 0, stations=STATIONS)).input_ifindex == 101
    foreign = Message(32, 0, 0, 0, out.body.replace(R2, H1))
    assert only(discards().step([foreign], 0, stations=STATIONS)).input_ifindex == 0


@every("dropmon")
def test_interfaces_of_other_namespaces_are_not_named(path: Path) -> None:
    """The router has 101 and 102, and here also a 2; alerts that say 2 are those of h1, whose interface that is."""
    stations = STATIONS | {2: Station(bytes([2, 0, 0, 0, 9, 9]))}
    one = discards(per_second=10_000)
    messages = [message for message in split_messages(path.read_bytes()) if is_packet_alert(message)]
    alerts = [read_alert(message) for message in messages]
    samples = one.step(messages, 0, stations=stations)
    assert len(samples) == len(messages)
    for told, sample in zip(alerts, samples, strict=True):
        to_us = told.payload[:6] in {R1, R2} or told.payload[0] & 1
        if told.input_ifindex == 101 and (to_us or told.reason in {b"TC_EGRESS", b"QDISC_DROP"}):
            assert sample.input_ifindex == 101
        else:
            assert sample.input_ifindex == 0
        assert encode_sample(sample)


# Sizes, and any octets.


def test_the_most_octets_beside_a_header() -> None:
    texts = [attribute(kind, b"x" * 100) for kind in (3, 15, 16, 23)]
    sample = only(discards(header_octets=16).step([alert(*texts, attribute(14, b"\1\0"))], 0))
    assert len(sample.records) == 5
    assert len(encode_sample(sample)) == MOST_BESIDE_HEADER + 16


@given(st.lists(numbers(24, ORDER) | garbage(), max_size=12), st.binary(max_size=60))
def test_whatever_comes_is_a_sample_that_can_be_written_or_is_counted(octets: list[bytes], rest: bytes) -> None:
    one = discards(per_second=1000)
    told = [attribute(6, b"\0\x08"), *octets]
    messages = [Message(32, 0, 0, 0, genl_body(5, VERSION, *parts)) for parts in (told, [*told, rest], [*octets, rest])]
    samples = one.step(messages, 0)
    assert len(samples) + one.broken + one.ignored == len(messages)
    for sample in samples:
        assert len(encode_sample(sample)) <= MOST_BESIDE_HEADER + 128
