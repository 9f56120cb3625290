"""The kernel's drop monitor: alerts about packets it dropped, and how it is started and stopped.

In go messages of the multicast group `events`; out comes an `Alert` where one is about a packet. Alerts are read one by
one: their number is limited before anybody reads them.

Answers for: linux/net_dropmon.h of 5.4 to 6.18, net/core/drop_monitor.c.
"""

from __future__ import annotations

from enum import Enum

import msgspec

from tidegate.errors import DecodeError
from tidegate.wire.netlink.genl import genl_body
from tidegate.wire.netlink.message import ORDER, Message, attribute, first_attributes, uint_of

__all__ = [
    "FAMILY",
    "MULTICAST_GROUP",
    "VERSION",
    "Alert",
    "Which",
    "config_body",
    "is_packet_alert",
    "lost_alerts",
    "read_alert",
    "start_body",
    "stats_body",
    "stop_body",
]

FAMILY = "NET_DM"
MULTICAST_GROUP = "events"
VERSION = 2
_HEADER = 4  # genlmsghdr
_CONFIG, _START, _STOP, _PACKET_ALERT, _STATS_GET = 2, 3, 4, 5, 8
_PACKET_MODE = 1
_TEXT = 64


class Which(Enum):
    """Who drops; the value is the attribute that names them in START and STOP."""

    SOFTWARE = 20
    HARDWARE = 21


class Alert(msgspec.Struct, frozen=True):
    """A packet that was dropped; texts are empty and numbers 0 where the kernel does not tell.

    Texts have 64 octets at most, more than any kernel's; numbers the width that Linux gives them.
    """

    symbol: bytes = b""  # kernel function, with an offset behind a plus sign
    input_ifindex: int = 0  # in the network namespace of the packet, whichever that is
    time_ns: int = 0
    protocol: int = 0  # EtherType
    payload: bytes = b""
    octets: int = 0  # of the packet, without FCS
    is_hardware: bool = False
    trap_group: bytes = b""
    trap: bytes = b""
    reason: bytes = b""


def config_body(*, octets: int, queue: int) -> bytes:
    """Return the request for alerts a packet: octets of each to copy, alerts to hold for each processor."""
    return genl_body(
        _CONFIG,
        VERSION,
        attribute(1, bytes([_PACKET_MODE])),
        attribute(9, octets.to_bytes(4, ORDER)),
        attribute(11, queue.to_bytes(4, ORDER)),
    )


def start_body(*which: Which) -> bytes:
    """Return the request to begin."""
    return genl_body(_START, VERSION, *(attribute(one.value, b"") for one in which))


def stop_body(*which: Which) -> bytes:
    """Return the request to end."""
    return genl_body(_STOP, VERSION, *(attribute(one.value, b"") for one in which))


def stats_body() -> bytes:
    """Return the request for the number of alerts that were lost in the kernel."""
    return genl_body(_STATS_GET, VERSION)


def lost_alerts(message: Message) -> int:
    """Return how many alerts were lost, of software and hardware, by an answer to `stats_body`; `DecodeError`."""
    told = first_attributes(message.body, _HEADER)
    return sum(uint_of(first_attributes(told.get(kind, b"")).get(0)) for kind in (12, 13))


def is_packet_alert(message: Message) -> bool:
    """Tell whether a message is an alert about one packet."""
    return len(message.body) >= _HEADER and message.body[0] == _PACKET_ALERT


def read_alert(message: Message) -> Alert:
    """Return an alert; `DecodeError` where its attributes do not fit or it tells of no packet."""
    if not is_packet_alert(message):
        raise DecodeError("no packet alert", 0)
    told = first_attributes(message.body, _HEADER)
    payload = told.get(7, b"")
    return Alert(
        symbol=_text(told.get(3)),
        input_ifindex=_number(first_attributes(told.get(4, b"")).get(0), 4),
        time_ns=_number(told.get(5), 8),
        protocol=_number(told.get(6), 2),
        payload=payload,
        octets=_number(told.get(10), 4) if 10 in told else len(payload),
        is_hardware=_number(told.get(14), 2) == 1,
        trap_group=_text(told.get(15)),
        trap=_text(told.get(16)),
        reason=_text(told.get(23)),
    )


def _number(value: bytes | None, width: int) -> int:
    """Return a number, 0 where its attribute has another width."""
    return uint_of(value) if value is not None and len(value) == width else 0


def _text(value: bytes | None) -> bytes:
    return (value or b"").partition(b"\0")[0][:_TEXT]
