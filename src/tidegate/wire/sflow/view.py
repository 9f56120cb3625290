"""A datagram as JSON values: what `tidegate decode --json` prints, one object a datagram.

Structures stand under the specification's names; addresses are text, MACs twelve hex digits, octets hex, strings UTF-8
cut at 255 octets. What the key catalogue reads from a packet sample stands in its `fields`.

Answers for: sFlow version 5 section 5 (names), docs/reference/keys.md (names in `fields`).
"""

from __future__ import annotations

from typing import Any

import msgspec

from tidegate.wire.sflow.flow_records import Extended80211Aggregation
from tidegate.wire.sflow.formats import COUNTER_RECORDS, FLOW_RECORDS, SAMPLES, Format, Tag
from tidegate.wire.sflow.keys import flow_fields
from tidegate.wire.sflow.metrics import RTFLOW_TYPES, RTMETRIC_TYPES
from tidegate.wire.sflow.samples import (
    CountersSample,
    Datagram,
    DataSource,
    DiscardedPacket,
    FlowSample,
    InterfaceWord,
    Metric,
    Rtflow,
    Rtmetric,
    Sample,
    UnknownRecord,
    UnknownSample,
)
from tidegate.wire.sflow.xdr import Xdr, show_address, show_struct, show_text

__all__ = ["datagram_json"]

Json = dict[str, Any]

_RECORD_ROWS: dict[type[msgspec.Struct], Format] = {
    row.record: row for row in (*FLOW_RECORDS.values(), *COUNTER_RECORDS.values())
}


def datagram_json(datagram: Datagram) -> Json:
    """Return a datagram as values that any JSON encoder takes."""
    shown: Json = {
        "version": 5,
        "agent_address": show_address(datagram.agent_address or bytes(4)),
        "sub_agent_id": datagram.sub_agent_id,
        "sequence_number": datagram.sequence_number,
        "uptime": datagram.uptime,
        "samples": [_sample(datagram, sample) for sample in datagram.samples],
    }
    if datagram.notes:
        shown["notes"] = [{"problem": note.problem.value, "offset": note.offset} for note in datagram.notes]
    return shown


def _sample(datagram: Datagram, sample: Sample) -> Json:
    shown: Json = {"data_format": _data_format(_tag(sample)), "sample_type": _sample_type(sample)}
    match sample:
        case FlowSample():
            shown |= _flow_sample(sample) | {"fields": flow_fields(datagram, sample)}
        case DiscardedPacket():
            shown |= _discarded(sample) | {"fields": flow_fields(datagram, sample)}
        case CountersSample():
            shown |= _counters_sample(sample)
        case Rtmetric():
            shown |= {"name": show_text(sample.name), "metrics": _metrics(sample.metrics, RTMETRIC_TYPES)}
        case Rtflow():
            shown |= _rtflow(sample)
        case UnknownSample():
            shown["length"] = sample.length
        case _:
            shown |= {"problem": sample.reason.value, "offset": sample.offset}
    return shown


def _tag(sample: Sample) -> Tag:
    match sample:
        case FlowSample():
            return (0, 3) if sample.expanded else (0, 1)
        case CountersSample():
            return (0, 4) if sample.expanded else (0, 2)
        case DiscardedPacket():
            return 0, 5
        case Rtmetric():
            return 4300, 1002
        case Rtflow():
            return 4300, 1003
        case _:
            return sample.enterprise, sample.format


def _sample_type(sample: Sample) -> str:
    row = SAMPLES.get(_tag(sample))
    return row.name if row else "unknown"


def _data_format(tag: Tag) -> str:
    return f"{tag[0]}:{tag[1]}"


def _source(source: DataSource) -> Json:
    return {"source_id_type": source.type, "source_id_index": source.index}


def _interface(interface: InterfaceWord) -> Json:
    return {"format": interface.format, "value": interface.value}


def _flow_sample(sample: FlowSample) -> Json:
    return {
        "sequence_number": sample.sequence_number,
        "source_id": _source(sample.source_id),
        "sampling_rate": sample.sampling_rate,
        "sample_pool": sample.sample_pool,
        "drops": sample.drops,
        "input": _interface(sample.input),
        "output": _interface(sample.output),
        "flow_records": [_record(record) for record in sample.records],
    }


def _discarded(sample: DiscardedPacket) -> Json:
    return {
        "sequence_number": sample.sequence_number,
        "source_id": _source(sample.source_id),
        "drops": sample.drops,
        "input_ifindex": sample.input_ifindex,
        "output_ifindex": sample.output_ifindex,
        "reason": sample.reason,
        "flow_records": [_record(record) for record in sample.records],
    }


def _counters_sample(sample: CountersSample) -> Json:
    return {
        "sequence_number": sample.sequence_number,
        "source_id": _source(sample.source_id),
        "counter_records": [_record(record) for record in sample.records],
    }


def _rtflow(sample: Rtflow) -> Json:
    return {
        "name": show_text(sample.name),
        "sampling_rate": sample.sampling_rate,
        "sample_pool": sample.sample_pool,
        "flow_fields": _metrics(sample.fields, RTFLOW_TYPES),
    }


def _record(record: msgspec.Struct) -> Json:
    if isinstance(record, UnknownRecord):
        tag = (record.enterprise, record.format)
        return {"data_format": _data_format(tag), "record_type": "unknown", "length": record.length}
    row = _RECORD_ROWS[type(record)]
    shown: Json = {"data_format": _data_format((row.enterprise, row.format)), "record_type": row.name}
    if isinstance(record, Extended80211Aggregation):
        return shown | {"pdus": [[_record(inner) for inner in pdu] for pdu in record.pdus or ()]}
    return shown | show_struct(record)


def _metrics(metrics: tuple[Metric, ...], kinds: dict[int, Xdr]) -> list[Json]:
    return [
        {"name": show_text(metric.name), "type": metric.type, "value": kinds[metric.type].show(metric.value)}
        for metric in metrics
    ]
