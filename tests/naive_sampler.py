"""A sampler of dictionaries, one packet at a time: what it books for each packet that came, taken or not.

It says nothing of which packets sub-sampling leaves out: that is drawn. `Packet` is what a row tells, `packed_rows`
makes rows of packets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from tidegate.agent.sampling_kernels import GroupDirection
from tidegate.data.sampled import Row
from tidegate.kernel import I64, U8

__all__ = ["Booked", "NaiveSampler", "Packet", "packed_rows"]

_WORD = 0xFFFFFFFF
_IPV4, _IPV6, _MPLS = 0x0800, 0x86DD, (0x8847, 0x8848)


class Packet(msgspec.Struct, frozen=True, kw_only=True):
    """A sampled packet as the kernel told of it; None: not told."""

    group: int = 1
    sequence: int | None = None
    input: int | None = None
    output: int | None = None
    narrow: int = 0
    egress: int | None = None
    rate: int = 1
    length: int = 60
    protocol: int | None = None
    tag: int | None = None
    data: bytes = bytes(60)
    layer: int | None = None


class Booked(msgspec.Struct, frozen=True):
    """What a flow sample of a packet says, if it is taken."""

    source: int  # ifIndex
    rate: int  # of the kernel
    pool: int
    drops: int
    input: int
    output: int
    egress: int
    protocol: int
    frame: int
    stripped: int


class _Group(msgspec.Struct):
    last: int | None = None
    credit: int = 0
    pending: int = 0


class NaiveSampler:
    """Groups and sources in dictionaries. `interfaces` tells the layer of each by ifIndex, 0 where it is not known."""

    def __init__(self, *, rate_untold: int = 1) -> None:
        self.interfaces: dict[int, int] = {}
        self.directions: dict[int, GroupDirection] = {}
        self._rate_untold = rate_untold
        self._groups: dict[int, _Group] = {}
        self._sources: dict[int, tuple[int, int]] = {}  # pool and drops

    def set_interfaces(self, layers: Mapping[int, int], *, renamed: Sequence[int] = ()) -> None:
        """Replace the interfaces; those that are `renamed` are others than before."""
        for index in [*self._sources]:
            if index and (index not in layers or index in renamed):
                del self._sources[index]
        self.interfaces = dict(layers)

    def charge(self, group: int, drops: int) -> None:
        """Enter packets that were lost."""
        self._groups.setdefault(group, _Group()).pending += drops

    def book(self, packet: Packet) -> Booked | None:
        """Enter a packet; None where its group is ignored."""
        group = self._groups.setdefault(packet.group, _Group())
        direction = self.directions.get(packet.group, GroupDirection.TOLD)
        if direction is GroupDirection.IGNORED:
            group.last = None
            return None
        if packet.sequence is not None:
            group.pending += _missing(group, packet.sequence)
        lost, group.pending = group.pending, 0
        came, went = self._known(packet.input, packet.narrow & 1), self._known(packet.output, packet.narrow & 2)
        leaves = _leaves(packet, direction)
        source = (went or came) if leaves else (came or went)
        rate = packet.rate or self._rate_untold
        pool, drops = self._sources.get(source, (0, 0))
        pool, drops = (pool + rate * (1 + lost)) & _WORD, (drops + lost) & _WORD
        self._sources[source] = pool, drops
        protocol, frame, stripped = _header(packet, self.interfaces.get(source, 0))
        return Booked(source, rate, pool, drops, came, went, int(leaves), protocol, frame, stripped)

    def _known(self, told: int | None, narrow: int) -> int:
        """Return the ifIndex that was meant, 0 where that is not known."""
        if not told:
            return 0
        if not narrow:
            return told if told in self.interfaces else 0
        fits = [index for index in self.interfaces if index % 65536 == told % 65536]
        return fits[0] if len(fits) == 1 else 0


def _missing(group: _Group, number: int) -> int:
    """Return how many numbers of a group are missing before one."""
    last = group.last
    ahead = 0 if last is None else (number - last + (1 << 31)) % (1 << 32) - (1 << 31)
    if last is None or ahead < -64 or (ahead < 0 and number == 0):
        group.last, group.credit = number, 0
        return 0
    if ahead < 0:
        group.credit += 1
    if ahead <= 0:
        return 0
    settled = min(group.credit, ahead - 1)
    group.last, group.credit = number, group.credit - settled
    return ahead - 1 - settled


def _leaves(packet: Packet, direction: GroupDirection) -> bool:
    if direction is not GroupDirection.TOLD:
        return direction is GroupDirection.EGRESS
    return bool(packet.output) if packet.egress is None else packet.egress == 1


def _header(packet: Packet, known: int) -> tuple[int, int, int]:
    """Return header_protocol, frame_length and stripped."""
    layer = packet.layer or known or _guess(packet)
    tag = 4 if packet.tag is not None else 0
    if layer == 2:
        return 1, min(packet.length + tag + 4, _WORD), 4
    if packet.protocol in _MPLS:
        return 13, min(packet.length + 18, _WORD), 18
    return (12 if packet.data[:1] and packet.data[0] >> 4 == 6 else 11), min(packet.length + 18, _WORD), 18


def _guess(packet: Packet) -> int:
    version = {_IPV4: 4, _IPV6: 6}.get(packet.protocol or 0)
    if version is None or len(packet.data) < 14 or packet.data[0] >> 4 != version:
        return 2
    kind = int.from_bytes(packet.data[12:14], "big")
    return 2 if kind in {packet.protocol, 0x8100, 0x88A8} else 3


def packed_rows(packets: Sequence[Packet]) -> tuple[U8, I64]:
    """Return packets as rows, and the octets that they point to."""
    rows = np.full((len(packets), len(Row)), -1, np.int64)
    octets = b""
    for row, packet in zip(rows, packets, strict=True):
        told = msgspec.structs.asdict(packet)
        row[Row.DATA], row[Row.DATA_LENGTH], row[Row.MAC_LENGTH] = len(octets), len(packet.data), 0
        octets += told.pop("data")
        for name, value in told.items():
            row[Row[name.upper()]] = -1 if value is None else value
    return np.frombuffer(octets, np.uint8), rows
