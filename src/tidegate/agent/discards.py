"""Alerts of the drop monitor to discarded_packet samples, so many a second at most.

In go netlink messages and moments on a clock that never goes back; out come samples of data source 0:0, which is all
ports as one. What the limit leaves out, and what was lost in the kernel, is in their `drops`.

The monitor reports packets of every network namespace, with interface numbers of their own. An input is named only
where the packet's MAC addresses agree with an interface that has this number here.

Answers for: sFlow Dropped Packet Notification Structures.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from tidegate.agent.drop_reasons import drop_reason
from tidegate.errors import DecodeError
from tidegate.wire.netlink.dropmon import Alert, is_packet_alert, read_alert
from tidegate.wire.netlink.message import Message
from tidegate.wire.sflow.flow_records import SampledHeader
from tidegate.wire.sflow.samples import DataSource, DiscardedPacket
from tidegate.wire.sflow.tunnel_records import (
    ExtendedFunction,
    ExtendedHwTrap,
    ExtendedLinuxDropReason,
    ExtendedTimestamp,
)

__all__ = ["MOST_BESIDE_HEADER", "Discards", "Station"]

_SECOND = 1_000_000_000
_WORD = 0xFFFFFFFF
MOST_BESIDE_HEADER = 376  # octets of a sample whose texts are as long as they can be, without those of its header
_SOURCE = DataSource(type=0, index=0)
_FCS, _NO_MAC = 4, 18  # octets that no software sees; that never were
_EGRESS_REASONS = {b"TC_EGRESS", b"QDISC_DROP", b"BPF_CGROUP_EGRESS"}


class Station(msgspec.Struct, frozen=True):
    """What an interface's packets look like."""

    address: bytes  # MAC, empty where it has none
    takes_all: bool = False  # also packets that are not for its own address: a bridge port, or promiscuous


class Discards:
    """The limit, the numbers and the books of discarded packets."""

    def __init__(self, *, per_second: int, header_octets: int) -> None:
        self._header_octets = header_octets
        self._per_second = self._tokens = float(per_second)
        self._at_ns: int | None = None
        self._sequence = 0
        self.drops = self.broken = self.ignored = 0

    def set_limits(self, *, per_second: int, header_octets: int) -> None:
        """Change how many are sent a second at most, and how much of each."""
        self._per_second, self._header_octets = float(per_second), header_octets

    def charge(self, lost: int) -> None:
        """Enter alerts that were lost before they could be read."""
        self.drops += lost

    def step(
        self, messages: Iterable[Message], now_ns: int, *, stations: Mapping[int, Station] | None = None
    ) -> list[DiscardedPacket]:
        """Return the samples of messages that came up to now; without `stations` inputs are taken as told."""
        passed = 0 if self._at_ns is None else max(0, now_ns - self._at_ns)
        self._at_ns = now_ns
        self._tokens = min(self._per_second, self._tokens + passed * self._per_second / _SECOND)
        found = []
        for message in messages:
            if not is_packet_alert(message):
                continue
            if self._tokens < 1:
                self.drops += 1
                continue
            try:
                alert = read_alert(message)
            except DecodeError:
                self.broken += 1
                continue
            reason = drop_reason(alert)
            if reason is None:
                self.ignored += 1
                continue
            self._tokens -= 1
            found.append(self._sample(alert, reason, stations))
        return found

    def _sample(self, alert: Alert, reason: int, stations: Mapping[int, Station] | None) -> DiscardedPacket:
        self._sequence = (self._sequence + 1) & _WORD
        known = stations is None or _fits(alert, stations)
        return DiscardedPacket(
            sequence_number=self._sequence,
            source_id=_SOURCE,
            drops=self.drops & _WORD,
            input_ifindex=alert.input_ifindex if known else 0,
            output_ifindex=0,
            reason=reason,
            records=tuple(_records(alert, self._header_octets)),
        )


def _fits(alert: Alert, stations: Mapping[int, Station]) -> bool:
    """Tell whether a packet may have come in by the interface that has its number here."""
    station = stations.get(alert.input_ifindex)
    if station is None:
        return False
    if len(station.address) != 6 or station.takes_all or len(alert.payload) < 12:
        return True
    destination, source = alert.payload[:6], alert.payload[6:12]
    if destination == station.address or destination[0] & 1:
        return True
    return alert.reason in _EGRESS_REASONS and any(source == one.address for one in stations.values())


def _records(alert: Alert, header_octets: int) -> Iterable[msgspec.Struct]:
    if alert.payload:
        yield _header(alert, header_octets)
    if alert.symbol:
        yield ExtendedFunction(symbol=alert.symbol)
    if alert.trap or alert.trap_group:
        yield ExtendedHwTrap(group=alert.trap_group, trap=alert.trap)
    if alert.reason:
        yield ExtendedLinuxDropReason(reason=alert.reason)
    if alert.time_ns:
        yield ExtendedTimestamp(nanoseconds=alert.time_ns)


def _header(alert: Alert, header_octets: int) -> SampledHeader:
    """Return the packet's header; one that begins as IP, and whose EtherType is not where it would be, has no MAC."""
    version = {0x0800: 4, 0x86DD: 6}.get(alert.protocol)
    told = int.from_bytes(alert.payload[12:14], "big")
    is_raw = version == alert.payload[0] >> 4 and told not in {alert.protocol, 0x8100, 0x88A8}
    stripped = _NO_MAC if is_raw else _FCS
    return SampledHeader(
        protocol=(11 if version == 4 else 12) if is_raw else 1,
        frame_length=min(alert.octets + stripped, _WORD),
        stripped=stripped,
        header=alert.payload[:header_octets],
    )
