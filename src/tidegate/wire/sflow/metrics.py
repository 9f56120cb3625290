"""Samples of applications to InMon collectors, 4300:1002 and 4300:1003: counted lists of name, type and value.

They are published nowhere; what is known was read from sflowtool. A list ends at its count, at the end of the sample,
or at a type that is not known, because the length of its value is not known either.

Answers for: 4300:1002 and 4300:1003 in docs/spec-notes.md.
"""

from __future__ import annotations

from collections.abc import Mapping

from tidegate.errors import DecodeError, EncodeError
from tidegate.wire.cursor import Reader, Writer
from tidegate.wire.sflow.samples import Metric, Rtflow, Rtmetric
from tidegate.wire.sflow.xdr import DOUBLE, FLOAT, IP4, IP6, MAC6, STRING, U32, U64, Xdr, kind_of

__all__ = ["RTFLOW_TYPES", "RTMETRIC_TYPES", "read_rtflow", "read_rtmetric", "write_rtflow", "write_rtmetric"]

_STRING = kind_of(STRING)

RTMETRIC_TYPES: dict[int, Xdr] = {
    number: kind_of(alias) for number, alias in enumerate((STRING, U32, U64, U32, U64, FLOAT, DOUBLE))
}
RTFLOW_TYPES: dict[int, Xdr] = {
    number: kind_of(alias) for number, alias in enumerate((STRING, MAC6, IP4, IP6, U32, U64, FLOAT, DOUBLE))
}


def read_rtmetric(reader: Reader) -> Rtmetric:
    """Read the body of a sample 4300:1002."""
    return Rtmetric(_STRING.read(reader), _read_list(reader, RTMETRIC_TYPES))


def read_rtflow(reader: Reader) -> Rtflow:
    """Read the body of a sample 4300:1003."""
    return Rtflow(_STRING.read(reader), reader.u32(), reader.u32(), _read_list(reader, RTFLOW_TYPES))


def write_rtmetric(writer: Writer, sample: Rtmetric) -> None:
    """Write the body of a sample 4300:1002."""
    _STRING.write(writer, sample.name)
    _write_list(writer, sample.metrics, RTMETRIC_TYPES)


def write_rtflow(writer: Writer, sample: Rtflow) -> None:
    """Write the body of a sample 4300:1003."""
    _STRING.write(writer, sample.name)
    writer.u32(sample.sampling_rate)
    writer.u32(sample.sample_pool)
    _write_list(writer, sample.fields, RTFLOW_TYPES)


def _read_list(reader: Reader, kinds: Mapping[int, Xdr]) -> tuple[Metric, ...]:
    count = reader.u32()
    metrics: list[Metric] = []
    try:
        while len(metrics) < count:
            name, kind = _STRING.read(reader), reader.u32()
            if kind not in kinds:
                break
            metrics.append(Metric(name, kind, kinds[kind].read(reader)))
    except DecodeError:
        pass  # the metrics before it are whole
    return tuple(metrics)


def _write_list(writer: Writer, metrics: tuple[Metric, ...], kinds: Mapping[int, Xdr]) -> None:
    writer.u32(len(metrics))
    for metric in metrics:
        if metric.type not in kinds:
            raise EncodeError(f"{metric.type} is no type of a metric")
        _STRING.write(writer, metric.name)
        writer.u32(metric.type)
        kinds[metric.type].write(writer, metric.value)
