from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import strategies
from tidegate.errors import EncodeError
from tidegate.wire.sflow.app_counters import VirtCpu
from tidegate.wire.sflow.decode import decode_datagram
from tidegate.wire.sflow.encode import encode_datagram
from tidegate.wire.sflow.flow_records import (
    AsPathSegment,
    Extended80211Aggregation,
    ExtendedGateway,
    ExtendedOpenflowV1,
    ExtendedSwitch,
    SampledEthernet,
    SampledHeader,
)
from tidegate.wire.sflow.formats import COUNTER_RECORDS, FLOW_RECORDS
from tidegate.wire.sflow.samples import (
    BadReason,
    BadSample,
    CountersSample,
    Datagram,
    DataSource,
    FlowSample,
    InterfaceWord,
    Metric,
    Rtmetric,
    Sample,
    UnknownRecord,
    UnknownSample,
)

PORT = DataSource(0, 5)
FLOW = FlowSample(1, PORT, 100, 100, 0, InterfaceWord(0, 5), InterfaceWord(0, 6))
AGENT = bytes([192, 0, 2, 1])

ALL_RECORDS = [
    row.record
    for row in (*FLOW_RECORDS.values(), *COUNTER_RECORDS.values())
    if row.record is not Extended80211Aggregation  # drawn with whole datagrams
]
WITHOUT_CUTS = {ExtendedOpenflowV1}  # its last field may be empty but not absent


def gram(*samples: Sample) -> Datagram:
    return Datagram(AGENT, 0, 1, 1000, samples)


def holding(record: msgspec.Struct) -> Datagram:
    flow = type(record) in {row.record for row in FLOW_RECORDS.values()}
    if flow:
        return gram(msgspec.structs.replace(FLOW, records=(record,)))
    return gram(CountersSample(1, PORT, (record,)))


@given(strategies.datagrams())
def test_what_is_encoded_is_decoded_again(datagram: Datagram) -> None:
    assert decode_datagram(encode_datagram(datagram)) == datagram


@pytest.mark.parametrize("kind", ALL_RECORDS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_every_record_survives(kind: type[msgspec.Struct], data: st.DataObject) -> None:
    datagram = holding(data.draw(strategies.whole(kind)))
    assert decode_datagram(encode_datagram(datagram)) == datagram


@given(data=st.data())
def test_a_record_cut_behind_any_field_survives_with_a_note(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from([record for record in ALL_RECORDS if record not in WITHOUT_CUTS]))
    datagram = holding(data.draw(strategies.cut(kind)))
    assert decode_datagram(encode_datagram(datagram)).samples == datagram.samples


@given(strategies.captured())
def test_decoding_is_stable_under_encoding(data: bytes) -> None:
    try:
        datagram = decode_datagram(data)
    except Exception:  # noqa: BLE001 - another test says what may be raised
        return
    assert decode_datagram(encode_datagram(datagram)).samples == datagram.samples


SWITCH = ExtendedSwitch(1, 2, 3, 4)


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        (msgspec.structs.replace(FLOW, sampling_rate=1 << 32), "4294967296 does not fit 4 octets"),
        (msgspec.structs.replace(FLOW, source_id=DataSource(0, 1 << 24)), "16777216 does not fit 3 octets"),
        (msgspec.structs.replace(FLOW, source_id=DataSource(256, 1)), "256 does not fit 1 octets"),
        (msgspec.structs.replace(FLOW, output=InterfaceWord(0, 1 << 30)), "does not fit a compact sample"),
        (msgspec.structs.replace(FLOW, output=InterfaceWord(4, 0)), "does not fit a compact sample"),
        (msgspec.structs.replace(FLOW, records=(VirtCpu(1, 2, 3),)), "VirtCpu is no record of this kind of sample"),
        (msgspec.structs.replace(FLOW, records=(ExtendedSwitch(1, None, 3),)), "dst_vlan cannot be written where"),
        (msgspec.structs.replace(FLOW, records=(SampledEthernet(1, b"12345"),)), "5 octets where 6 belong"),
        (msgspec.structs.replace(FLOW, records=(ExtendedGateway(b"123"),)), "an address has 0, 4 or 16 octets, not 3"),
        (msgspec.structs.replace(FLOW, records=(UnknownRecord(1 << 20, 1, b""),)), "1048576:1 does not fit"),
        (CountersSample(1, PORT, (SWITCH,)), "ExtendedSwitch is no record of this kind of sample"),
        (UnknownSample(1, 4096, b""), "1:4096 does not fit"),
        (Rtmetric(b"", (Metric(b"", 9, 1),)), "9 is no type of a metric"),
        (BadSample(0, 1, BadReason.SHORT, 28), "a sample that was dropped cannot be written"),
    ],
)
def test_what_does_not_fit_is_refused(sample: Sample, words: str) -> None:
    with pytest.raises(EncodeError, match=words):
        encode_datagram(gram(sample))


def test_expanded_samples_hold_what_compact_ones_cannot() -> None:
    wide = FlowSample(
        1, DataSource(0, 1 << 31), 100, 100, 0, InterfaceWord(0, 1285816721), InterfaceWord(0, 2), expanded=True
    )
    assert decode_datagram(encode_datagram(gram(wide))).samples == (wide,)


def test_the_octets_of_a_small_datagram_are_those_of_the_specification() -> None:
    sample = msgspec.structs.replace(FLOW, records=(SampledHeader(1, 70, 4, b"\x01\x02\x03"),))
    words = [5, 1, 0xC0000201, 0, 1, 1000, 1, 1, 60, 1, 5, 100, 100, 0, 5, 6, 1, 1, 20, 1, 70, 4, 3, 0x01020300]
    assert encode_datagram(gram(sample)) == b"".join(word.to_bytes(4, "big") for word in words)


def test_an_aggregate_of_nothing_is_an_empty_record() -> None:
    datagram = gram(msgspec.structs.replace(FLOW, records=(Extended80211Aggregation(),)))
    assert decode_datagram(encode_datagram(datagram)).samples == datagram.samples


def test_an_element_of_an_array_is_never_cut() -> None:
    path = ExtendedGateway(b"", 1, 2, 3, (AsPathSegment(2),))
    with pytest.raises(EncodeError, match="AsPathSegment: as_number is absent"):
        encode_datagram(gram(msgspec.structs.replace(FLOW, records=(path,))))


def test_metrics_hold_doubles() -> None:
    datagram = gram(Rtmetric(b"a", (Metric(b"pi", 6, 3.141592653589793),)))
    assert decode_datagram(encode_datagram(datagram)) == datagram
