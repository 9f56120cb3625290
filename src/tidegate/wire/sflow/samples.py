"""Datagrams and samples as frozen records, compact and expanded encodings alike.

Answers for: sFlow version 5 section 5 (datagram, samples, data sources, interfaces), sFlow Dropped Packet Notification
Structures, and what InMon's own samples 4300:1002 and 4300:1003 are known to be.
"""

from __future__ import annotations

from enum import Enum
from typing import TypeVar

import msgspec

__all__ = [
    "BadReason",
    "BadSample",
    "CountersSample",
    "DataSource",
    "Datagram",
    "DiscardedPacket",
    "FlowSample",
    "InterfaceWord",
    "Metric",
    "Note",
    "Problem",
    "Rtflow",
    "Rtmetric",
    "Sample",
    "UnknownRecord",
    "UnknownSample",
    "first",
]


class Problem(Enum):
    """What a datagram got wrong without being lost; the values label counters."""

    TRUNCATED_SAMPLE = "sample runs past the datagram"
    OVERRUN_RECORD = "record runs past its sample"
    SHORT_RECORD = "record shorter than its structure"
    MISSING_RECORDS = "fewer records than promised"
    MISSING_SAMPLES = "fewer samples than promised"
    TRAILING_OCTETS = "octets behind the last sample"
    SAMPLE_SURPLUS = "octets behind the last record of a sample"
    DEEP_RECORD = "record nested too deep"


class Note(msgspec.Struct, frozen=True):
    """A problem and the octet of the datagram where it stands."""

    problem: Problem
    offset: int


class DataSource(msgspec.Struct, frozen=True):
    """Where samples come from: type 0 interface, 1 VLAN, 2 physical entity, 3 logical entity."""

    type: int
    index: int


class InterfaceWord(msgspec.Struct, frozen=True):
    """An input or output: format 0 an ifIndex, 1 a drop reason, 2 a number of interfaces."""

    format: int
    value: int


class UnknownRecord(msgspec.Struct, frozen=True):
    """A record without a row in the registry, or nested too deep; `body` is what its length word covers."""

    enterprise: int
    format: int
    body: bytes

    @property
    def length(self) -> int:
        """Octets of the body."""
        return len(self.body)


class FlowSample(msgspec.Struct, frozen=True):
    """A sampled packet or transaction: 0:1, and 0:3 where `expanded`."""

    sequence_number: int
    source_id: DataSource
    sampling_rate: int
    sample_pool: int
    drops: int
    input: InterfaceWord
    output: InterfaceWord
    records: tuple[msgspec.Struct, ...] = ()
    expanded: bool = False


class CountersSample(msgspec.Struct, frozen=True):
    """Counters of a data source: 0:2, and 0:4 where `expanded`."""

    sequence_number: int
    source_id: DataSource
    records: tuple[msgspec.Struct, ...] = ()
    expanded: bool = False


class DiscardedPacket(msgspec.Struct, frozen=True):
    """A packet that was dropped (0:5); interfaces are plain ifIndexes, `drops` counts suppressed notifications."""

    sequence_number: int
    source_id: DataSource
    drops: int
    input_ifindex: int
    output_ifindex: int
    reason: int
    records: tuple[msgspec.Struct, ...] = ()


class Metric(msgspec.Struct, frozen=True):
    """A name, the number of its type and its value, in a sample of an application."""

    name: bytes
    type: int
    value: bytes | int | float


class Rtmetric(msgspec.Struct, frozen=True):
    """Metrics of an application (4300:1002)."""

    name: bytes
    metrics: tuple[Metric, ...] = ()


class Rtflow(msgspec.Struct, frozen=True):
    """A flow of an application (4300:1003)."""

    name: bytes
    sampling_rate: int
    sample_pool: int
    fields: tuple[Metric, ...] = ()


class UnknownSample(msgspec.Struct, frozen=True):
    """A sample without a row in the registry; `body` is what its length word covers."""

    enterprise: int
    format: int
    body: bytes

    @property
    def length(self) -> int:
        """Octets of the body."""
        return len(self.body)


class BadReason(Enum):
    """Why a sample was dropped; the values label counters."""

    SHORT = "too short for its fixed part"
    RATE_ZERO = "sampling rate 0"
    FRAME_TOO_LONG = "frame_length above 2^20"


class BadSample(msgspec.Struct, frozen=True):
    """A sample that was dropped; `offset` is where its data_format stands in the datagram."""

    enterprise: int
    format: int
    reason: BadReason
    offset: int


Sample = FlowSample | CountersSample | DiscardedPacket | Rtmetric | Rtflow | UnknownSample | BadSample


class Datagram(msgspec.Struct, frozen=True):
    """One datagram; `agent_address` has 0 (unknown), 4 or 16 octets, `uptime` is in milliseconds."""

    agent_address: bytes
    sub_agent_id: int
    sequence_number: int
    uptime: int
    samples: tuple[Sample, ...] = ()
    notes: tuple[Note, ...] = ()


R = TypeVar("R", bound=msgspec.Struct)


def first(records: tuple[msgspec.Struct, ...], kind: type[R]) -> R | None:
    """Return the first record of a kind: of several of one type the first counts."""
    return next((record for record in records if type(record) is kind), None)
