from __future__ import annotations

import json

from hypothesis import given

import captures
import packets as p
import strategies
from tidegate.wire.sflow.app_counters import JvmRuntime
from tidegate.wire.sflow.decode import decode_datagram
from tidegate.wire.sflow.flow_records import AsPathSegment, Extended80211Aggregation, ExtendedGateway, SampledHeader
from tidegate.wire.sflow.formats import COUNTER_RECORDS, FLOW_RECORDS
from tidegate.wire.sflow.host_counters import HostAdapter, HostAdapters, HostCpu
from tidegate.wire.sflow.samples import (
    BadReason,
    BadSample,
    CountersSample,
    Datagram,
    DataSource,
    DiscardedPacket,
    FlowSample,
    InterfaceWord,
    Metric,
    Note,
    Problem,
    Rtflow,
    Rtmetric,
    Sample,
    UnknownRecord,
    UnknownSample,
)
from tidegate.wire.sflow.view import datagram_json

PORT = DataSource(0, 5)
HEADER = p.eth(p.ip(6, p.tcp()))


def shown(*samples: Sample, notes: tuple[Note, ...] = ()) -> dict[str, object]:
    return datagram_json(Datagram(bytes([192, 0, 2, 1]), 2, 3, 4, samples, notes))


def one(sample: Sample) -> dict[str, object]:
    samples = shown(sample)["samples"]
    assert isinstance(samples, list)
    assert isinstance(samples[0], dict)
    return samples[0]


def test_a_datagram_stands_under_the_names_of_the_specification() -> None:
    head = {"version": 5, "agent_address": "192.0.2.1", "sub_agent_id": 2, "sequence_number": 3, "uptime": 4}
    assert shown() == head | {"samples": []}
    noted = shown(notes=(Note(Problem.TRAILING_OCTETS, 28),))
    assert noted["notes"] == [{"problem": "octets behind the last sample", "offset": 28}]
    assert datagram_json(Datagram(b"", 0, 0, 0))["agent_address"] == "0.0.0.0"  # noqa: S104 - an address, not a bind


def test_a_flow_sample_holds_its_records_and_its_fields() -> None:
    gateway = ExtendedGateway(b"", 1, 2, 3, (AsPathSegment(2, (4, 5)),), (6,), 7)
    sample = FlowSample(
        1, PORT, 400, 100, 0, InterfaceWord(0, 5), InterfaceWord(2, 0), (SampledHeader(1, 100, 4, HEADER), gateway)
    )
    assert one(sample).items() >= {
        "data_format": "0:1", "sample_type": "flow_sample", "sequence_number": 1,
        "source_id": {"source_id_type": 0, "source_id_index": 5}, "sampling_rate": 400, "sample_pool": 100,
        "drops": 0, "input": {"format": 0, "value": 5}, "output": {"format": 2, "value": 0},
    }.items()  # fmt: skip
    assert one(sample)["flow_records"] == [
        {"data_format": "0:1", "record_type": "sampled_header", "protocol": 1, "frame_length": 100, "stripped": 4,
         "header": HEADER.hex()},
        {"data_format": "0:1003", "record_type": "extended_gateway", "nexthop": None, "as": 1, "src_as": 2,
         "src_peer_as": 3, "dst_as_path": [{"type": 2, "as_number": [4, 5]}], "communities": [6], "localpref": 7},
    ]  # fmt: skip
    found = one(sample)["fields"]
    assert isinstance(found, dict)
    assert found["ipsource"] == "192.0.2.1"
    assert found["bgpdestinationaspath"] == "4-5"


def test_addresses_macs_strings_and_floats_are_readable() -> None:
    records = (
        HostAdapters((HostAdapter(2, (b"\x02\xab" + bytes(4),)),)),
        JvmRuntime(b"\xff" + b"x" * 400),
        HostCpu(float("inf"), 0.4699999988079071, 3.4028234663852886e38),
    )
    assert one(CountersSample(1, PORT, records, expanded=True)) == {
        "data_format": "0:4", "sample_type": "counters_sample_expanded", "sequence_number": 1,
        "source_id": {"source_id_type": 0, "source_id_index": 5},
        "counter_records": [
            {"data_format": "0:2001", "record_type": "host_adapters",
             "adapters": [{"ifIndex": 2, "mac_address": ["02AB00000000"]}]},
            {"data_format": "0:2105", "record_type": "jvm_runtime", "vm_name": "\ufffd" + "x" * 254},
            {"data_format": "0:2003", "record_type": "host_cpu", "load_one": None, "load_five": 0.47,
             "load_fifteen": 3.4028235e38},
        ],
    }  # fmt: skip


def test_samples_of_every_other_kind() -> None:
    drop = one(DiscardedPacket(1, PORT, 9, 5, 6, 258, (UnknownRecord(9, 7, b"abc"),)))
    assert drop.items() >= {"data_format": "0:5", "sample_type": "discarded_packet", "drops": 9, "reason": 258}.items()
    assert drop["flow_records"] == [{"data_format": "9:7", "record_type": "unknown", "length": 3}]
    assert one(UnknownSample(9, 7, b"abc")) == {"data_format": "9:7", "sample_type": "unknown", "length": 3}
    bad = one(BadSample(0, 3, BadReason.RATE_ZERO, 28))
    assert bad == {
        "data_format": "0:3",
        "sample_type": "flow_sample_expanded",
        "problem": "sampling rate 0",
        "offset": 28,
    }
    metric = one(Rtmetric(b"a", (Metric(b"b", 2, 1 << 40), Metric(b"c", 0, b"d"))))
    assert metric["metrics"] == [{"name": "b", "type": 2, "value": 1 << 40}, {"name": "c", "type": 0, "value": "d"}]
    unlimited = one(Rtmetric(b"a", (Metric(b"b", 6, float("inf")), Metric(b"c", 6, 0.1))))
    assert unlimited["metrics"] == [{"name": "b", "type": 6, "value": None}, {"name": "c", "type": 6, "value": 0.1}]
    flow = one(Rtflow(b"a", 1, 2, (Metric(b"b", 2, bytes([10, 0, 0, 1])), Metric(b"m", 1, b"\x02" * 6))))
    assert flow["flow_fields"] == [
        {"name": "b", "type": 2, "value": "10.0.0.1"},
        {"name": "m", "type": 1, "value": "020202020202"},
    ]


def test_an_aggregate_shows_the_records_it_holds() -> None:
    inner = SampledHeader(1, 100, 4, b"\x01")
    sample = FlowSample(
        1, PORT, 1, 1, 0, InterfaceWord(0, 0), InterfaceWord(0, 0), (Extended80211Aggregation(((inner,), ())),)
    )
    records = one(sample)["flow_records"]
    assert isinstance(records, list)
    assert [len(pdu) for pdu in records[0]["pdus"]] == [1, 0]


@given(strategies.datagrams())
def test_every_datagram_is_json(datagram: Datagram) -> None:
    text = json.dumps(datagram_json(datagram), allow_nan=False)
    assert len(json.loads(text)["samples"]) == len(datagram.samples)


def test_no_record_has_a_field_named_like_those_around_it() -> None:
    for row in (*FLOW_RECORDS.values(), *COUNTER_RECORDS.values()):
        assert not {"data_format", "record_type"} & set(row.record.__struct_fields__)


def test_captures_are_json() -> None:
    for name in captures.names():
        if name != "tcpdump-print-segv.pcap":  # its header is cut
            for data in captures.datagrams(name)[:20]:
                assert json.dumps(datagram_json(decode_datagram(data)), allow_nan=False)
