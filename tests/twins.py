"""Both decoders side by side: what the column kernels say of a block in the words of the readable decoder.

`differences` decodes datagrams with both and returns what they do not agree on, as sentences; for tests and fuzzers.
"""

from __future__ import annotations

import struct
from collections import Counter
from typing import Any

import numpy as np

from tidegate.data.address import words_of_bytes
from tidegate.data.batch import Column, CounterBatch, FlowBatch
from tidegate.data.block import Block, block_of
from tidegate.data.fields import FIELDS, FieldRef
from tidegate.data.forms import FORMS
from tidegate.data.hash import hash_text
from tidegate.errors import DecodeError
from tidegate.wire.sflow.columns import Decoded, Decoder, DecoderStatistics
from tidegate.wire.sflow.decode import decode_datagram
from tidegate.wire.sflow.formats import FLOW_RECORDS
from tidegate.wire.sflow.keys import flow_fields, packet_bytes
from tidegate.wire.sflow.samples import (
    BadReason,
    BadSample,
    CountersSample,
    Datagram,
    DataSource,
    DiscardedPacket,
    FlowSample,
    Problem,
)

__all__ = ["NEEDS", "block_with_gaps", "differences", "expected_counts", "expected_flows", "found_flows"]

DEEPEST = 3  # layer suffixes that are compared
NEEDS = [
    FieldRef(name, layer) for name, field in FIELDS.items() for layer in range(DEEPEST + 1 if field.layered else 1)
]
SEED = 7
Row = dict[str, Any]


def differences(payloads: list[bytes], block: Block | None = None, decoder: Decoder | None = None) -> list[str]:
    """Return in how far the kernels and the readable decoder differ on datagrams; `block` holds the same ones."""
    before = decoder.statistics() if decoder else Decoder().statistics()
    decoder = decoder or Decoder(seed=SEED)
    decoded = decoder.decode(block or block_of(payloads, list(range(len(payloads)))), NEEDS)
    datagrams = [_readable(payload) for payload in payloads]
    good = [datagram for datagram in datagrams if isinstance(datagram, Datagram)]
    found = [
        *_compare("datagram", _found_datagrams(decoded), [_datagram(datagram) for datagram in good]),
        *_compare("flow", found_flows(decoded.flows), expected_flows(good)),
        *_compare("counters", _found_counters(decoded.counters), _expected_counters(good)),
    ]
    after = decoder.statistics()
    wanted_counts = expected_counts(payloads)
    full = after.counts["other_tags"] > before.counts["other_tags"]  # the table of odd numbers is bounded
    for name in ("counts",) if full else ("counts", "samples", "records", "versions"):
        grown = Counter(getattr(after, name))
        grown.subtract(getattr(before, name))
        del grown["other_tags"]
        wanted = getattr(wanted_counts, name)
        if +grown != +Counter(wanted):
            found.append(f"{name}: {dict(+grown)}, not {dict(+Counter(wanted))}")
    return found


def _readable(payload: bytes) -> Datagram | DecodeError:
    try:
        return decode_datagram(payload)
    except DecodeError as error:
        return error


def _compare(what: str, found: list[Row], wanted: list[Row]) -> list[str]:
    if len(found) != len(wanted):
        return [f"{len(found)} rows of {what}, not {len(wanted)}"]
    return [
        f"{what} {row}: {name} is {ours.get(name)!r}, not {theirs.get(name)!r}"
        for row, (ours, theirs) in enumerate(zip(found, wanted, strict=True))
        for name in sorted(ours.keys() | theirs.keys())
        if ours.get(name) != theirs.get(name)
    ]


def _datagram(datagram: Datagram) -> Row:
    high, low = words_of_bytes(datagram.agent_address or bytes(4))
    numbers = (datagram.sub_agent_id, datagram.sequence_number, datagram.uptime)
    return {"agent": (high, low), "numbers": numbers}


def _found_datagrams(decoded: Decoded) -> list[Row]:
    batch = decoded.datagrams
    agents = zip(batch.agent_high.tolist(), batch.agent_low.tolist(), strict=True)
    numbers = zip(batch.sub_agent.tolist(), batch.sequence.tolist(), batch.uptime_ms.tolist(), strict=True)
    return [{"agent": agent, "numbers": row} for agent, row in zip(agents, numbers, strict=True)]


def _source(source: DataSource) -> int:
    return source.type << 32 | source.index


def expected_flows(datagrams: list[Datagram]) -> list[Row]:
    """Return what a FlowBatch should say of datagrams of version 5, a dict a row, by the readable decoder."""
    return [
        _flow(number, datagram, sample)
        for number, datagram in enumerate(datagrams)
        for sample in datagram.samples
        if isinstance(sample, FlowSample | DiscardedPacket)
    ]


def _flow(number: int, datagram: Datagram, sample: FlowSample | DiscardedPacket) -> Row:
    packet = isinstance(sample, FlowSample)
    fields = flow_fields(datagram, sample)
    return {
        "datagram": number,
        "agent words": words_of_bytes(datagram.agent_address or bytes(4)),
        "sub-agent": datagram.sub_agent_id,
        "source": _source(sample.source_id),
        "sequence": sample.sequence_number,
        "pool": sample.sample_pool if isinstance(sample, FlowSample) else 0,
        "drops": sample.drops,
        "rate": sample.sampling_rate if isinstance(sample, FlowSample) else 1,
        "octets": packet_bytes(sample) or 0,
        "dropped": not packet,
        **{name: text for name, text in fields.items() if _depth(name) <= DEEPEST},
    }


def _depth(name: str) -> int:
    return int(name.partition(".")[2] or 0)


def found_flows(batch: FlowBatch) -> list[Row]:
    """Return what a FlowBatch says, a dict a row, fields as text."""
    attributes = {
        "datagram": batch.datagram,
        "sub-agent": batch.sub_agent,
        "source": batch.source,
        "sequence": batch.sequence,
        "pool": batch.pool,
        "drops": batch.drops,
        "rate": batch.rate,
        "octets": batch.octets,
        "dropped": batch.dropped,
    }
    agents = list(zip(batch.agent_high.tolist(), batch.agent_low.tolist(), strict=True))
    rows: list[Row] = [{"agent words": agents[row]} for row in range(len(batch))]
    for name, values in attributes.items():
        for row, value in zip(rows, values.tolist(), strict=True):
            row[name] = value
    for need, column in batch.columns.items():
        for place in np.flatnonzero(column.present):
            rows[place][str(need)] = _text(batch.data, column, int(place))
        assert not column.words[:, ~column.present].any(), f"{need}: words where it is not present"
    return rows


def _text(data: np.typing.NDArray[np.uint8], column: Column, row: int) -> str:
    traits = FORMS[column.form]
    words = tuple(int(word) for word in column.words[:, row])
    if traits.spelling is None or column.start is None or column.stop is None:
        return traits.format(words)
    octets = data[column.start[row] : column.stop[row]].tobytes()
    assert words == (hash_text(octets, SEED),)
    return traits.spelling.text(octets)


def _expected_counters(datagrams: list[Datagram]) -> list[Row]:
    return [
        {"datagram": number, "source": _source(sample.source_id), "sequence": sample.sequence_number}
        for number, datagram in enumerate(datagrams)
        for sample in datagram.samples
        if isinstance(sample, CountersSample)
    ]


def _found_counters(batch: CounterBatch) -> list[Row]:
    return [
        {"datagram": number, "source": source, "sequence": sequence}
        for number, source, sequence in zip(
            batch.datagram.tolist(), batch.source.tolist(), batch.sequence.tolist(), strict=True
        )
    ]


_BY_NOTE = {
    Problem.TRUNCATED_SAMPLE: "truncated_sample",
    Problem.MISSING_SAMPLES: "missing_samples",
    Problem.TRAILING_OCTETS: "trailing",
}
_BY_ERROR = {"truncated": "bad_truncated", "version is not 5": "bad_version", "unknown address type": "bad_address"}
_BY_REASON = {
    BadReason.SHORT: "short_sample",
    BadReason.RATE_ZERO: "rate_zero",
    BadReason.FRAME_TOO_LONG: "frame_too_long",
}


def expected_counts(payloads: list[bytes]) -> DecoderStatistics:
    """Return the statistics that the kernels should keep of datagrams."""
    counts: Counter[str] = Counter()
    samples: Counter[str] = Counter()
    records: Counter[str] = Counter()
    versions: Counter[str] = Counter()
    for payload in payloads:
        datagram = _readable(payload)
        if isinstance(datagram, DecodeError):
            counts[_BY_ERROR[datagram.reason]] += 1
            if datagram.reason == "version is not 5":
                versions[str(int.from_bytes(payload[:4], "big"))] += 1
            continue
        counts["datagrams"] += 1
        counts.update(_BY_NOTE[note.problem] for note in datagram.notes if note.problem in _BY_NOTE)
        _count_samples(payload, datagram, counts, samples, records)
    return DecoderStatistics(dict(counts), 0, dict(samples), dict(records), dict(versions))


def _count_samples(
    payload: bytes, datagram: Datagram, counts: Counter[str], samples: Counter[str], records: Counter[str]
) -> None:
    at = 28 + len(datagram.agent_address)
    for sample in datagram.samples:
        tag, length = struct.unpack_from(">II", payload, at - 4)
        end = min(at + 4 + length, len(payload))
        samples[_tag(tag)] += 1
        if tag not in _FIXED:
            counts["unknown_sample"] += 1
        elif isinstance(sample, BadSample):
            counts[_BY_REASON[sample.reason]] += 1
        if tag in _FLOW and not (isinstance(sample, BadSample) and sample.reason is not BadReason.FRAME_TOO_LONG):
            _count_records(payload, at + 4 + _FIXED[tag] - 4, end, counts, records)
        at = min(at + 4 + length + -length % 4, len(payload)) + 4


_FIXED = {1: 32, 2: 12, 3: 44, 4: 16, 5: 32}  # octets with the count of records
_FLOW = (1, 3, 5)


def _tag(word: int) -> str:
    return f"{word >> 12}:{word & 4095}"


def _count_records(payload: bytes, at: int, end: int, counts: Counter[str], records: Counter[str]) -> None:
    """Count the records of a flow sample up to one that drops it."""
    promised = int.from_bytes(payload[at : at + 4], "big")
    at += 4
    headers = 0
    while promised and at + 8 <= end:
        promised -= 1
        tag, length = struct.unpack_from(">II", payload, at)
        if at + 8 + length > end:
            counts["overrun_record"] += 1
            return
        records[_tag(tag)] += 1
        counts["unknown_record"] += tag > 4095 or (0, tag) not in FLOW_RECORDS
        if tag == 1 and length >= 16:
            headers += 1
            if headers == 1 and int.from_bytes(payload[at + 12 : at + 16], "big") > 1 << 20:
                return
        at = min(at + 8 + length + -length % 4, end)


def block_with_gaps(payloads: list[bytes], gap: int = 3) -> Block:
    """Return a block whose datagrams stand in reverse order, with foreign octets between them."""
    plain = block_of(payloads, list(range(len(payloads))))
    data = bytearray(b"\xff" * gap)
    offsets = []
    for payload in reversed(payloads):
        offsets.append(len(data))
        data += payload + b"\xff" * gap
    return Block(
        data=np.frombuffer(bytes(data), np.uint8),
        offset=np.array(offsets[::-1], np.int64),
        length=plain.length,
        time_ns=plain.time_ns,
        source_high=plain.source_high,
        source_low=plain.source_low,
        source_port=plain.source_port,
    )
