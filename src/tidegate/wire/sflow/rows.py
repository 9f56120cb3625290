"""Columns of the rows that `tidegate.wire.sflow.index` writes, and what it counts."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["Count", "Counters", "Flow", "Gram"]


class Gram(IntEnum):
    """Columns of a datagram's row."""

    STATUS = 0  # a member of Count; DATAGRAMS where the header was read
    SUB_AGENT = 1
    SEQUENCE = 2
    UPTIME = 3  # milliseconds
    DROPPED = 4  # samples dropped in it
    AGENT_HIGH = 5  # agent address, the bits of its two words
    AGENT_LOW = 6


class Flow(IntEnum):
    """Columns of a flow or discarded packet sample's row."""

    DATAGRAM = 0
    SEQUENCE = 1
    SOURCE = 2  # type << 32 | index
    RATE = 3
    POOL = 4
    DROPS = 5
    INPUT = 6  # as data/forms.py Interface
    OUTPUT = 7
    REASON = 8  # -1: a packet sample
    OCTETS = 9  # -1: not told
    STRIPPED = 10  # -1: no sampled header
    HEADER = 11  # first octet of the sampled header
    MARKS = 12  # first of its marks
    MARKS_END = 13


class Counters(IntEnum):
    """Columns of a counters sample's row."""

    DATAGRAM = 0
    SEQUENCE = 1
    SOURCE = 2
    START = 3  # its records, from the count word
    END = 4


class Count(IntEnum):
    """What is counted; the names label counters."""

    DATAGRAMS = 0
    BAD_TRUNCATED = 1  # a datagram too short for its header
    BAD_VERSION = 2
    BAD_ADDRESS = 3  # agent address of unknown type
    SHORT_SAMPLE = 4  # dropped: too short for its fixed part
    RATE_ZERO = 5  # dropped
    FRAME_TOO_LONG = 6  # dropped
    UNKNOWN_SAMPLE = 7  # skipped by length
    TRUNCATED_SAMPLE = 8  # read up to the end of the datagram
    OVERRUN_RECORD = 9  # dropped, with the rest of its sample's records
    UNKNOWN_RECORD = 10  # skipped by length: of another enterprise than 0, or a format that the registry lacks
    TRAILING = 11  # datagrams with octets behind their last sample
    MISSING_SAMPLES = 12  # datagrams that promised more samples than they hold
    OTHER_TAGS = 13  # samples and records whose number found no place in the table of numbers
