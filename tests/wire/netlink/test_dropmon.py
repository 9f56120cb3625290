"""Alerts of the drop monitor: recorded ones, drawn ones, and the requests that start and stop it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlink_recordings import every, told_of
from netlink_strategies import garbage, numbers
from tidegate.errors import DecodeError
from tidegate.wire.netlink.dropmon import (
    VERSION,
    Alert,
    Which,
    config_body,
    is_packet_alert,
    lost_alerts,
    read_alert,
    start_body,
    stats_body,
    stop_body,
)
from tidegate.wire.netlink.genl import genl_body
from tidegate.wire.netlink.message import ORDER, Message, attribute, first_attributes, nested, split_messages

PACKET_ALERT = 5


def alert_of(*octets: bytes, command: int = PACKET_ALERT) -> Message:
    return Message(32, 0, 0, 0, genl_body(command, VERSION, *octets))


def u(value: int, width: int) -> bytes:
    return value.to_bytes(width, ORDER)


@every("dropmon")
def test_recordings(path: Path) -> None:
    messages = list(split_messages(path.read_bytes()))
    alerts = [read_alert(message) for message in messages if is_packet_alert(message)]
    told = told_of(path)
    assert told.get("messages", len(messages)) == len(messages)
    found = Counter(f"{alert.reason.decode()} in {alert.symbol.partition(b'+')[0].decode()}" for alert in alerts)
    assert found == told.get("reasons", {})
    for alert in alerts:
        assert alert.payload
        assert alert.octets >= len(alert.payload)
        assert alert.time_ns > 1_600_000_000_000_000_000
        assert alert.input_ifindex
        assert not alert.is_hardware


def test_a_hardware_alert() -> None:
    octets = [
        attribute(14, u(1, 2)), attribute(15, b"l2_drops\0"), attribute(16, b"source_mac_is_multicast\0"),
        nested(4, attribute(0, u(7, 4)), attribute(1, b"swp7\0")), attribute(5, u(1 << 60, 8)),
        attribute(6, u(0x0800, 2)), attribute(7, b"packet"), attribute(10, u(60, 4)), attribute(22, b"cookie"),
    ]  # fmt: skip
    assert read_alert(alert_of(*octets)) == Alert(
        input_ifindex=7, time_ns=1 << 60, protocol=0x0800, payload=b"packet", octets=60, is_hardware=True,
        trap_group=b"l2_drops", trap=b"source_mac_is_multicast",
    )  # fmt: skip


def test_what_is_not_told() -> None:
    assert read_alert(alert_of()) == Alert()
    assert read_alert(alert_of(attribute(7, b"abc"))).octets == 3
    with pytest.raises(DecodeError):
        read_alert(alert_of(command=1))
    assert not is_packet_alert(Message(32, 0, 0, 0, b"\5\2"))


@pytest.mark.parametrize("width", [0, 1, 3, 16, 60_000])
def test_numbers_of_another_width_are_none(width: int) -> None:
    """A number of 16 octets would not fit any record, and the sample could not be written."""
    value = b"\xff" * width
    told = [attribute(kind, value) for kind in (5, 6, 10, 14)]
    assert read_alert(alert_of(*told, nested(4, attribute(0, value)))) == Alert()


def test_texts_end_at_their_zero_and_at_64_octets() -> None:
    told = [attribute(kind, b"ab\0cd") for kind in (3, 15, 16, 23)]
    alert = read_alert(alert_of(*told))
    assert (alert.symbol, alert.trap_group, alert.trap, alert.reason) == (b"ab",) * 4
    assert read_alert(alert_of(attribute(3, b"\xff" * 5000))).symbol == b"\xff" * 64


@given(st.lists(numbers(24, ORDER) | garbage(), max_size=12), st.binary(max_size=60))
def test_any_octets_are_read_or_refused(octets: list[bytes], rest: bytes) -> None:
    for message in (alert_of(*octets), alert_of(*octets, rest), Message(32, 0, 0, 0, rest)):
        try:
            alert = read_alert(message)
        except DecodeError:
            continue
        assert 0 <= alert.input_ifindex < 1 << 32
        assert 0 <= alert.octets < 1 << 32
        assert 0 <= alert.time_ns < 1 << 64


def test_lost_alerts_are_summed() -> None:
    stats = nested(12, attribute(0, u(5, 8))), nested(13, attribute(0, u(7, 8)))
    assert lost_alerts(alert_of(*stats, command=9)) == 12
    assert lost_alerts(alert_of(stats[0], command=9)) == 5
    assert lost_alerts(alert_of(command=9)) == 0


def test_requests() -> None:
    body = config_body(octets=128, queue=1000)
    assert body[:2] == bytes([2, VERSION])
    assert first_attributes(body, 4) == {1: b"\1", 9: u(128, 4), 11: u(1000, 4)}
    assert start_body(Which.SOFTWARE) == genl_body(3, VERSION, attribute(20, b""))
    assert stop_body(*Which) == genl_body(4, VERSION, attribute(20, b""), attribute(21, b""))
    assert stats_body() == genl_body(8, VERSION)
