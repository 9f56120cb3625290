"""Records to one datagram, from the same registry and layouts as the decoder.

Strict: a value that its field cannot hold raises `EncodeError`, nothing is cut. Length words count no padding; padding
octets are zero. What the decoder reads of the result are the same records again.

Answers for: sFlow version 5 section 5, sFlow Dropped Packet Notification Structures.
"""

from __future__ import annotations

import msgspec

from tidegate.errors import EncodeError
from tidegate.wire.cursor import Writer
from tidegate.wire.sflow.flow_records import Extended80211Aggregation
from tidegate.wire.sflow.formats import COUNTER_RECORDS, FLOW_RECORDS, Tag
from tidegate.wire.sflow.metrics import write_rtflow, write_rtmetric
from tidegate.wire.sflow.samples import (
    CountersSample,
    Datagram,
    DataSource,
    DiscardedPacket,
    FlowSample,
    InterfaceWord,
    Rtflow,
    Rtmetric,
    Sample,
    UnknownRecord,
    UnknownSample,
)
from tidegate.wire.sflow.xdr import write_address, write_struct

__all__ = ["encode_datagram", "encode_sample"]

Tags = dict[type[msgspec.Struct], Tag]

_FLOW_TAGS: Tags = {row.record: tag for tag, row in FLOW_RECORDS.items()}
_COUNTER_TAGS: Tags = {row.record: tag for tag, row in COUNTER_RECORDS.items()}


def encode_datagram(datagram: Datagram) -> bytes:
    """Return the octets of a datagram; `EncodeError` where a value does not fit. Notes are not written."""
    writer = Writer()
    writer.u32(5)
    write_address(writer, datagram.agent_address)
    for word in (datagram.sub_agent_id, datagram.sequence_number, datagram.uptime, len(datagram.samples)):
        writer.u32(word)
    for sample in datagram.samples:
        _write_sample(writer, sample)
    return writer.bytes()


def encode_sample(sample: Sample) -> bytes:
    """Return the octets of one sample, tag and length included; `EncodeError` where a value does not fit."""
    writer = Writer()
    _write_sample(writer, sample)
    return writer.bytes()


def _write_tag(writer: Writer, tag: Tag) -> None:
    enterprise, number = tag
    if not (0 <= enterprise < 1 << 20 and 0 <= number < 1 << 12):
        raise EncodeError(f"{enterprise}:{number} does not fit a data format")
    writer.u32(enterprise << 12 | number)


def _write_block(writer: Writer, tag: Tag, body: bytes) -> None:
    _write_tag(writer, tag)
    writer.u32(len(body))
    writer.put(body)
    writer.put(bytes(-len(body) % 4))


def _write_sample(writer: Writer, sample: Sample) -> None:
    body = Writer()
    match sample:
        case FlowSample():
            tag = (0, 3) if sample.expanded else (0, 1)
            _write_flow_sample(body, sample)
        case CountersSample():
            tag = (0, 4) if sample.expanded else (0, 2)
            body.u32(sample.sequence_number)
            _write_source(body, sample.source_id, expanded=sample.expanded)
            _write_records(body, sample.records, _COUNTER_TAGS)
        case DiscardedPacket():
            tag = (0, 5)
            _write_discarded(body, sample)
        case Rtmetric():
            tag = (4300, 1002)
            write_rtmetric(body, sample)
        case Rtflow():
            tag = (4300, 1003)
            write_rtflow(body, sample)
        case UnknownSample():
            tag = (sample.enterprise, sample.format)
            body.put(sample.body)
        case _:
            raise EncodeError(f"a sample that was dropped cannot be written: {sample.reason.value}")
    _write_block(writer, tag, body.bytes())


def _write_source(writer: Writer, source: DataSource, *, expanded: bool) -> None:
    if expanded:
        writer.u32(source.type)
        writer.u32(source.index)
        return
    writer.u8(source.type)
    writer.uint(source.index, 3)


def _write_interface(writer: Writer, interface: InterfaceWord, *, expanded: bool) -> None:
    if expanded:
        writer.u32(interface.format)
        writer.u32(interface.value)
        return
    if not (0 <= interface.format < 4 and 0 <= interface.value < 1 << 30):
        raise EncodeError(f"{interface} does not fit a compact sample")
    writer.u32(interface.format << 30 | interface.value)


def _write_flow_sample(writer: Writer, sample: FlowSample) -> None:
    writer.u32(sample.sequence_number)
    _write_source(writer, sample.source_id, expanded=sample.expanded)
    for word in (sample.sampling_rate, sample.sample_pool, sample.drops):
        writer.u32(word)
    _write_interface(writer, sample.input, expanded=sample.expanded)
    _write_interface(writer, sample.output, expanded=sample.expanded)
    _write_records(writer, sample.records, _FLOW_TAGS)


def _write_discarded(writer: Writer, sample: DiscardedPacket) -> None:
    writer.u32(sample.sequence_number)
    _write_source(writer, sample.source_id, expanded=True)
    for word in (sample.drops, sample.input_ifindex, sample.output_ifindex, sample.reason):
        writer.u32(word)
    _write_records(writer, sample.records, _FLOW_TAGS)


def _write_records(writer: Writer, records: tuple[msgspec.Struct, ...], tags: Tags) -> None:
    writer.u32(len(records))
    for record in records:
        body = Writer()
        if isinstance(record, UnknownRecord):
            body.put(record.body)
            _write_block(writer, (record.enterprise, record.format), body.bytes())
            continue
        if type(record) not in tags:
            raise EncodeError(f"{type(record).__name__} is no record of this kind of sample")
        if isinstance(record, Extended80211Aggregation):
            _write_aggregation(body, record)
        else:
            write_struct(body, record)
        _write_block(writer, tags[type(record)], body.bytes())


def _write_aggregation(writer: Writer, record: Extended80211Aggregation) -> None:
    if record.pdus is None:
        return
    writer.u32(len(record.pdus))
    for pdu in record.pdus:
        _write_records(writer, pdu, _FLOW_TAGS)
