"""The readable decoder: one datagram to records, driven by the registry.

Lenient by rule: a length word decides where the next sample or record starts, counts are hints, one bad sample never
costs its datagram. Only a header that cannot be read raises. What was wrong is kept beside the samples as notes, so
that statistics can be taken. `tidegate.wire.sflow.index` is the fast twin.

Answers for: sFlow version 5 section 5 and docs/concepts/dissection.md, "Datagram, sample, record".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from tidegate.errors import DecodeError
from tidegate.wire.cursor import Reader
from tidegate.wire.sflow.flow_records import Extended80211Aggregation, SampledHeader
from tidegate.wire.sflow.formats import COUNTER_RECORDS, FLOW_RECORDS, Format, Tag
from tidegate.wire.sflow.metrics import read_rtflow, read_rtmetric
from tidegate.wire.sflow.samples import (
    BadReason,
    BadSample,
    CountersSample,
    Datagram,
    DataSource,
    DiscardedPacket,
    FlowSample,
    InterfaceWord,
    Note,
    Problem,
    Sample,
    UnknownRecord,
    UnknownSample,
)
from tidegate.wire.sflow.xdr import layout, read_address, read_struct

__all__ = ["MAX_DEPTH", "MAX_FRAME", "decode_counter_records", "decode_datagram", "sampled_header"]

MAX_FRAME = 1 << 20  # a longer frame_length is a sign of a corrupt sample (sflowtool pull request 35)
MAX_DEPTH = 2  # records inside an 802.11 aggregate inside an 802.11 aggregate

Notes = list[Note]
Registry = Mapping[Tag, Format]


def decode_datagram(data: bytes) -> Datagram:
    """Return the records of one datagram; `DecodeError` where its header cannot be read."""
    reader = Reader(data)
    agent = _header(reader)
    sub_agent, sequence, uptime, count = (reader.u32() for _ in range(4))
    notes: Notes = []
    samples: list[Sample] = []
    while len(samples) < count and len(reader) >= 8:
        samples.append(_sample(reader, notes))
    if len(samples) < count:
        notes.append(Note(Problem.MISSING_SAMPLES, reader.offset))
    if len(reader):
        notes.append(Note(Problem.TRAILING_OCTETS, reader.offset))
    return Datagram(agent, sub_agent, sequence, uptime, tuple(samples), tuple(notes))


def _header(reader: Reader) -> bytes:
    """Read version and agent address, having checked that the whole header is there."""
    if len(reader) < 8:
        raise DecodeError("truncated", 0, ("datagram header",))
    version = reader.u32()
    if version != 5:
        raise DecodeError("version is not 5", 0, (f"version {version}",))
    address = read_address(reader)
    if len(reader) < 16:
        raise DecodeError("truncated", reader.offset, ("datagram header",))
    return address


def _tag(word: int) -> Tag:
    return word >> 12, word & 0xFFF


def _advance(reader: Reader, length: int) -> Reader:
    """Return a window of `length` octets and pass over their padding too, as far as it is there."""
    window = reader.window(length)
    reader.skip(min(-length % 4, len(reader)))
    return window


def _sample(reader: Reader, notes: Notes) -> Sample:
    """Read one sample: the tag chooses how, the length word where the next one starts."""
    start = reader.offset
    tag = _tag(reader.u32())
    length = reader.u32()
    if length > len(reader):
        notes.append(Note(Problem.TRUNCATED_SAMPLE, start))
        length = len(reader)
    body = _advance(reader, length)
    read = _READERS.get(tag)
    if read is None:
        return UnknownSample(*tag, body.rest())
    try:
        sample = read(body, notes)
    except DecodeError:
        return BadSample(*tag, BadReason.SHORT, start)
    if not isinstance(sample, FlowSample | DiscardedPacket):
        return sample
    reason = _bad(sample)
    return BadSample(*tag, reason, start) if reason else sample


def _bad(sample: FlowSample | DiscardedPacket) -> BadReason | None:
    if isinstance(sample, FlowSample) and sample.sampling_rate == 0:
        return BadReason.RATE_ZERO
    header = sampled_header(sample.records)
    if header is not None and header.frame_length is not None and header.frame_length > MAX_FRAME:
        return BadReason.FRAME_TOO_LONG
    return None


def sampled_header(records: tuple[msgspec.Struct, ...]) -> SampledHeader | None:
    """Return the first sampled header that has octets of a packet, or at least a length word for them."""
    found = (record for record in records if isinstance(record, SampledHeader) and record.header is not None)
    return next(found, None)


def _source(reader: Reader, *, expanded: bool) -> DataSource:
    if expanded:
        return DataSource(reader.u32(), reader.u32())
    word = reader.u32()
    return DataSource(word >> 24, word & 0xFFFFFF)


def _interface(reader: Reader, *, expanded: bool) -> InterfaceWord:
    if expanded:
        return InterfaceWord(reader.u32(), reader.u32())  # no mask: ifIndexes above 2^30 exist (akvorado 370)
    word = reader.u32()
    return InterfaceWord(word >> 30, word & 0x3FFFFFFF)


def decode_counter_records(octets: bytes) -> tuple[msgspec.Struct, ...]:
    """Return the records of a counters sample, from its record count on; `DecodeError` where even that is cut."""
    return _records(Reader(octets), COUNTER_RECORDS, [])


def _flow_sample(reader: Reader, notes: Notes, *, expanded: bool = False) -> FlowSample:
    return FlowSample(
        sequence_number=reader.u32(),
        source_id=_source(reader, expanded=expanded),
        sampling_rate=reader.u32(),
        sample_pool=reader.u32(),
        drops=reader.u32(),
        input=_interface(reader, expanded=expanded),
        output=_interface(reader, expanded=expanded),
        records=_records(reader, FLOW_RECORDS, notes),
        expanded=expanded,
    )


def _counters_sample(reader: Reader, notes: Notes, *, expanded: bool = False) -> CountersSample:
    return CountersSample(
        sequence_number=reader.u32(),
        source_id=_source(reader, expanded=expanded),
        records=_records(reader, COUNTER_RECORDS, notes),
        expanded=expanded,
    )


def _discarded_packet(reader: Reader, notes: Notes) -> DiscardedPacket:
    return DiscardedPacket(
        sequence_number=reader.u32(),
        source_id=_source(reader, expanded=True),
        drops=reader.u32(),
        input_ifindex=reader.u32(),
        output_ifindex=reader.u32(),
        reason=reader.u32(),
        records=_records(reader, FLOW_RECORDS, notes),
    )


_READERS: dict[Tag, Callable[[Reader, Notes], Sample]] = {
    (0, 1): _flow_sample,
    (0, 2): _counters_sample,
    (0, 3): lambda reader, notes: _flow_sample(reader, notes, expanded=True),
    (0, 4): lambda reader, notes: _counters_sample(reader, notes, expanded=True),
    (0, 5): _discarded_packet,
    (4300, 1002): lambda reader, _: read_rtmetric(reader),
    (4300, 1003): lambda reader, _: read_rtflow(reader),
}


def _records(reader: Reader, registry: Registry, notes: Notes, *, depth: int = 0) -> tuple[msgspec.Struct, ...]:
    """Read a counted list of records up to the end of the window."""
    count = reader.u32()
    records: list[msgspec.Struct] = []
    while len(records) < count and len(reader) >= 8:
        start = reader.offset
        tag = _tag(reader.u32())
        length = reader.u32()
        if length > len(reader):
            notes.append(Note(Problem.OVERRUN_RECORD, start))
            reader.skip(len(reader))
            return tuple(records)
        records.append(_record(_advance(reader, length), registry.get(tag), tag, notes, depth=depth))
    if len(records) < count:
        notes.append(Note(Problem.MISSING_RECORDS, reader.offset))
    if len(reader) and depth == 0:
        notes.append(Note(Problem.SAMPLE_SURPLUS, reader.offset))
    return tuple(records)


def _record(body: Reader, known: Format | None, tag: Tag, notes: Notes, *, depth: int) -> msgspec.Struct:
    """Read one record from its window."""
    start = body.offset
    if known is None:
        return UnknownRecord(*tag, body.rest())
    if known.record is Extended80211Aggregation:
        if depth == MAX_DEPTH:
            notes.append(Note(Problem.DEEP_RECORD, start))
            return UnknownRecord(*tag, body.rest())
        return _aggregation(body, notes, depth=depth + 1)
    record = read_struct(known.record, body)
    if getattr(record, layout(known.record)[-1][0]) is None:
        notes.append(Note(Problem.SHORT_RECORD, start))
    return record


def _aggregation(body: Reader, notes: Notes, *, depth: int) -> Extended80211Aggregation:
    """Read the frames of an aggregate (sFlow 802.11 Structures): each a counted list of flow records."""
    start = body.offset
    if len(body) < 4:
        notes.append(Note(Problem.SHORT_RECORD, start))
        return Extended80211Aggregation()
    count = body.u32()
    pdus: list[tuple[msgspec.Struct, ...]] = []
    while len(pdus) < count and len(body) >= 4:
        pdus.append(_records(body, FLOW_RECORDS, notes, depth=depth))
    if len(pdus) < count:
        notes.append(Note(Problem.SHORT_RECORD, start))
    return Extended80211Aggregation(tuple(pdus))
