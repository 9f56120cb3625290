"""What agents in the guest sent: taken apart outside, where it is fast."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import msgspec

from tidegate.wire.sflow.decode import decode_datagram
from tidegate.wire.sflow.flow_records import SampledHeader
from tidegate.wire.sflow.samples import Datagram, DiscardedPacket, FlowSample, first

S = TypeVar("S", bound=msgspec.Struct)


@lru_cache(maxsize=1)
def datagrams(path: Path) -> tuple[Datagram, ...]:
    """Return the datagrams of a file, each behind its length; one that is not well-formed fails."""
    octets, place, found = path.read_bytes(), 0, []
    while place < len(octets):
        length = struct.unpack_from("=I", octets, place)[0]
        found.append(decode_datagram(octets[place + 4 : place + 4 + length]))
        place += 4 + length
    assert not [one.notes for one in found if one.notes]
    return tuple(found)


def samples(sent: Sequence[Datagram], kind: type[S]) -> list[S]:
    """Return the samples of a kind in their order."""
    return [sample for one in sent for sample in one.samples if isinstance(sample, kind)]


def header(sample: FlowSample | DiscardedPacket) -> SampledHeader:
    """Return what a sample says of its packet."""
    found = first(sample.records, SampledHeader)
    assert found is not None
    return found


def packet(sample: FlowSample | DiscardedPacket) -> bytes:
    """Return the first octets of a sample's packet."""
    octets = header(sample).header
    assert octets is not None
    return octets
