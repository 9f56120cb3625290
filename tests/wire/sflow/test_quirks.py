"""What real devices do differently, one test a quirk, on the capture that shows it or on a datagram made by hand.

The rows are those of docs/spec-notes.md. Quirks of counters, sequences and transport belong to whoever keeps state.
"""

from __future__ import annotations

import struct

import msgspec
import pytest

import captures
import packets as p
from tidegate.errors import DecodeError
from tidegate.wire.sflow.decode import decode_datagram
from tidegate.wire.sflow.encode import encode_datagram
from tidegate.wire.sflow.flow_records import (
    ExtendedGateway,
    ExtendedRouter,
    ExtendedSwitch,
    SampledEthernet,
    SampledHeader,
    SampledIpv4,
    SampledIpv6,
)
from tidegate.wire.sflow.host_counters import HostCpu
from tidegate.wire.sflow.interface_counters import EthernetCounters, IfCounters
from tidegate.wire.sflow.keys import flow_fields
from tidegate.wire.sflow.samples import (
    BadReason,
    BadSample,
    CountersSample,
    Datagram,
    DataSource,
    DiscardedPacket,
    FlowSample,
    InterfaceWord,
    Problem,
    UnknownRecord,
)
from tidegate.wire.sflow.tunnel_records import ExtendedEgressQueue, ExtendedFunction, PmacctTag

Packet = FlowSample | DiscardedPacket


def capture(name: str) -> list[Datagram]:
    """Decode a capture; skip where it is not in this checkout."""
    if name not in captures.names():
        pytest.skip(f"{name} is in the shared captures (../shared/data/sflow), not beside this checkout")
    return [decode_datagram(data) for data in captures.datagrams(name)]


def packet_samples(name: str) -> list[tuple[Datagram, Packet]]:
    return [
        (datagram, sample)
        for datagram in capture(name)
        for sample in datagram.samples
        if isinstance(sample, FlowSample | DiscardedPacket)
    ]


def fields(name: str) -> list[dict[str, str]]:
    return [flow_fields(datagram, sample) for datagram, sample in packet_samples(name)]


def values(name: str, *keys: str) -> list[tuple[str | None, ...]]:
    return [tuple(found.get(key) for key in keys) for found in fields(name)]


def problems(name: str) -> list[Problem]:
    return [note.problem for datagram in capture(name) for note in datagram.notes]


def record_kinds(sample: Packet | CountersSample) -> list[type]:
    return [type(record) for record in sample.records]


def counters(name: str) -> list[CountersSample]:
    return [each for datagram in capture(name) for each in datagram.samples if isinstance(each, CountersSample)]


FLOW = FlowSample(1, DataSource(0, 5), 400, 100, 0, InterfaceWord(0, 5), InterfaceWord(0, 6))


def made(*records: msgspec.Struct, sample: FlowSample = FLOW) -> dict[str, str]:
    """Return the fields of a sample made by hand, through its octets."""
    datagram = Datagram(bytes([192, 0, 2, 1]), 0, 1, 1, (msgspec.structs.replace(sample, records=records),))
    again = decode_datagram(encode_datagram(datagram))
    read = again.samples[0]
    assert isinstance(read, FlowSample)
    return flow_fields(again, read)


# Framing


@pytest.mark.parametrize("name", ["gopacket-ext-router-short.bin", "gopacket-ext-router-v6-short.bin"])
def test_a_sample_shorter_than_its_content_keeps_what_is_whole(name: str) -> None:
    (sample,) = capture(name)[0].samples
    assert isinstance(sample, FlowSample)
    assert (sample.sampling_rate, sample.records) == (256, ())
    assert problems(name) == [Problem.OVERRUN_RECORD, Problem.TRAILING_OCTETS]


def test_a_length_that_is_not_rounded_up_is_read_with_and_without_padding() -> None:
    (sample,) = capture("vertex-drop-function-padded.bin")[0].samples
    assert isinstance(sample, DiscardedPacket)
    assert sample.records == (ExtendedFunction(b"foobar"),)
    assert problems("vertex-drop-function-padded.bin") == []
    bare = captures.datagrams("vertex-drop-function-padded.bin")[0][:-2]
    assert decode_datagram(bare).samples == (sample,)


@pytest.mark.parametrize(
    ("name", "samples", "behind"), [("cistern-flows-trailing.bin", 2, 244), ("akvorado-local-interface.pcap", 1, 964)]
)
def test_octets_behind_the_last_sample_are_ignored(name: str, samples: int, behind: int) -> None:
    (datagram,) = capture(name)
    assert len(datagram.samples) == samples
    (note,) = datagram.notes
    assert note.problem is Problem.TRAILING_OCTETS
    assert len(captures.datagrams(name)[0]) - note.offset == behind


def test_zero_fill_behind_the_last_sample_is_ignored() -> None:
    data = captures.datagrams("goflow2-basic.bin")[0]
    assert decode_datagram(data + bytes(1500 - len(data))).samples == decode_datagram(data).samples


def test_a_datagram_that_is_cut_behind_its_address_type_is_refused() -> None:
    with pytest.raises(DecodeError, match="truncated"):
        decode_datagram(captures.datagrams("tcpdump-print-segv.pcap")[0])


@pytest.mark.parametrize("version", [2, 4, 0x00050001])
def test_other_protocols_on_the_port_are_refused(version: int) -> None:
    with pytest.raises(DecodeError, match=f"version {version}: "):
        decode_datagram(struct.pack(">7I", version, 1, 0, 0, 0, 0, 1))


def test_a_datagram_above_1400_octets_is_read_whole() -> None:
    assert len(captures.datagrams("gopacket-live.pcap")[0]) == 1440
    assert [type(sample) for sample in capture("gopacket-live.pcap")[0].samples].count(FlowSample) == 6


@pytest.mark.parametrize("name", ["loadme-bng-uplink.pcap", "vyos-pmacct-2.bin", "telegraf-dell-expanded-3.bin"])
def test_padding_that_is_not_zero_is_never_looked_at(name: str) -> None:
    for datagram, data in zip(capture(name), captures.datagrams(name), strict=True):
        assert datagram.notes == ()
        again = encode_datagram(datagram)
        assert len(again) == len(data)
        assert decode_datagram(again) == datagram
    assert any(encode_datagram(decode_datagram(data)) != data for data in captures.datagrams(name))


def test_an_old_host_cpu_record_has_no_steal_and_guest_times() -> None:
    (sample,) = counters("cistern-host.bin")
    cpu = next(record for record in sample.records if isinstance(record, HostCpu))
    assert (cpu.contexts, cpu.cpu_steal, cpu.cpu_guest, cpu.cpu_guest_nice) == (87991375, None, None, None)


def test_a_record_of_20_octets_for_24_gives_what_is_there() -> None:
    assert made(SampledEthernet(1518, b"\x02" * 6, b"\x04" * 6))["macsource"] == "020202020202"


def test_unknown_structures_cost_nothing() -> None:
    assert made(UnknownRecord(25506, 9, b"\x01" * 7), SampledIpv4(100))["ipbytes"] == "100"


def test_the_record_of_a_vendor_between_others_is_read() -> None:
    (sample,) = capture("vyos-pmacct-1.bin")[0].samples
    assert isinstance(sample, FlowSample)
    assert record_kinds(sample) == [ExtendedSwitch, PmacctTag, SampledHeader]


# Samples


def test_wide_interface_numbers_are_not_masked() -> None:
    assert values("akvorado-expanded-router.pcap", "outputifindex") == [("1285816721",)]
    assert values("akvorado-qinq.pcap", "inputifindex", "vlan", "vlan.1")[0][0] == "369098852"


@pytest.mark.parametrize(
    ("name", "incoming", "outgoing"),
    [
        ("akvorado-icmpv4.pcap", "internal", "internal"),
        ("akvorado-icmpv6.pcap", "internal", "internal"),
        ("logstash-flow-ethernet.bin", None, "internal"),
        ("vyos-pmacct-1.bin", None, "internal"),
        ("akvorado-local-interface.pcap", "27", "internal"),
    ],
)
def test_the_device_itself_has_a_name_of_its_own(name: str, incoming: str | None, outgoing: str) -> None:
    (found,) = values(name, "inputifindex", "outputifindex")
    assert found[1] == outgoing
    assert incoming is None or found[0] == incoming


def test_both_interfaces_internal_tell_no_direction() -> None:
    assert values("akvorado-icmpv4.pcap", "direction") == [(None,)]


@pytest.mark.parametrize("name", ["loadme-bng-uplink.pcap", "gopacket-live.pcap"])
def test_output_0_is_not_a_port(name: str) -> None:
    assert ("0",) in values(name, "outputifindex")
    assert ("egress",) not in values(name, "direction")


def test_output_to_several_interfaces() -> None:
    assert set(values("tcpdump-ipv6-agent.pcap", "outputifindex")) == {("multiple",)}
    assert values("gopacket-tunnel-egress.bin", "outputifindex") == [("multiple",)]


def test_open_vswitch_marks_a_drop_by_its_output() -> None:
    sample = msgspec.structs.replace(FLOW, output=InterfaceWord(1, 256))
    assert made(sample=sample)["outputifindex"] == "discard"


def test_a_source_that_is_neither_interface_tells_no_direction() -> None:
    assert values("gopacket-tunnel-ingress.bin", "direction") == [(None,)]
    sample = msgspec.structs.replace(FLOW, source_id=DataSource(0, 9))
    assert "direction" not in made(sample=sample)


def test_both_directions_on_one_source() -> None:
    found = [direction for (direction,) in values("overflowd-two-port-1000.pcap", "direction")]
    assert set(found) == {"ingress", "egress"}
    assert 0.25 < found.count("ingress") / len(found) < 0.45


@pytest.mark.parametrize(
    ("name", "rates"),
    [
        ("fluent-router.bin", {"5"}),
        ("vyos-pmacct-1.bin", {"500"}),
        ("oxyflow-router-4.bin", {"524288"}),
        ("telegraf-two-rates.bin", {"1024", "16384"}),
        ("gopacket-live.pcap", {"16000", "2000"}),
    ],
)
def test_rates_are_those_of_each_sample(name: str, rates: set[str]) -> None:
    assert {str(rate) for (rate,) in values(name, "samplingrate")} == rates


def test_rate_0_drops_the_sample_alone() -> None:
    data = bytearray(captures.datagrams("telegraf-two-rates.bin")[0])
    data[44:48] = bytes(4)
    bad, good = decode_datagram(bytes(data)).samples
    assert isinstance(bad, BadSample)
    assert bad.reason is BadReason.RATE_ZERO
    assert isinstance(good, FlowSample)


def test_discarded_packets_without_contents_are_read() -> None:
    assert values("goflow2-drop-acl.bin", "aclname", "reason", "bytes") == [("foo!", "host_unreachable", None)]
    ((_, sample),) = packet_samples("goflow2-drop-egress-queue.bin")
    assert sample.records == (ExtendedEgressQueue(42),)
    assert values("goflow2-drop-egress-queue.bin", "queueindex", "frames") == [("42", "1")]


def test_a_sample_without_header_counts_packets_and_the_octets_it_tells() -> None:
    assert values("gopacket-ext-switch.bin", "frames", "bytes") == [("1", None)]
    assert values("pktvisor-keyed.pcap", "bytes", "ipprotocol", "ip6nexthdr")[0][0] == "1500"
    assert all(length is not None for (length,) in values("gopacket-sampled-ethernet.bin", "bytes"))


def test_a_compact_sample_and_an_expanded_one_share_a_datagram() -> None:
    wide = msgspec.structs.replace(FLOW, expanded=True, source_id=DataSource(0, 1 << 30))
    datagram = Datagram(bytes(4), 0, 1, 1, (wide, FLOW))
    assert decode_datagram(encode_datagram(datagram)) == datagram


# Sampled headers


def test_a_header_length_that_is_no_multiple_of_4() -> None:
    ((_, sample),) = packet_samples("goflow2-basic.bin")
    (record,) = sample.records
    assert isinstance(record, SampledHeader)
    assert len(record.header or b"") == 78
    assert values("goflow2-basic.bin", "vlan", "icmptype") == [("32", "8")]


def test_padding_that_counts_as_header_is_clipped_by_the_ip_length() -> None:
    ((_, sample),) = packet_samples("logstash-flow-vlan.bin")
    (record,) = sample.records
    assert isinstance(record, SampledHeader)
    assert len(record.header or b"") > (record.frame_length or 0) - (record.stripped or 0)
    assert values("logstash-flow-vlan.bin", "ipbytes", "bytes") == [("40", "62")]


def test_stripped_octets_are_never_used_to_compute_lengths() -> None:
    for found, (_, sample) in zip(fields("oxyflow-router-4.bin"), packet_samples("oxyflow-router-4.bin"), strict=True):
        header = next(record for record in sample.records if isinstance(record, SampledHeader))
        assert found["bytes"] == str(header.frame_length)
        assert int(found["stripped"]) == (header.frame_length or 0) - len(header.header or b"")


@pytest.mark.parametrize(
    ("name", "length", "stripped"),
    [("logstash-flow-ethernet.bin", "66", "0"), ("telegraf-single-switch.bin", "1420", "8")],
)
def test_frame_lengths_are_used_as_they_are(name: str, length: str, stripped: str) -> None:
    assert values(name, "bytes", "stripped") == [(length, stripped)]


def test_raw_ip_with_a_made_up_mac_header_keeps_the_ip_length() -> None:
    assert set(values("akvorado-raw-ipv4.pcap", "bytes", "ipbytes", "stripped")) == {("50", "32", "18")}


def test_a_frame_length_below_the_ip_length_is_raised() -> None:
    raised = 0
    for found, (_, sample) in zip(fields("vyos-pmacct-2.bin"), packet_samples("vyos-pmacct-2.bin"), strict=True):
        header = next(record for record in sample.records if isinstance(record, SampledHeader))
        if int(found["bytes"]) > (header.frame_length or 0):
            raised += 1
            assert int(found["bytes"]) == int(found["ip_offset"]) + int(found["ipbytes"])
    assert raised == 2


def test_a_super_packet_of_a_software_agent_is_legal() -> None:
    packet = p.eth(p.ip(6, p.tcp(), total=0))
    assert made(SampledHeader(1, 65550, 4, packet))["bytes"] == "65550"


def test_one_packet_described_twice_is_one_packet() -> None:
    for found, (_, sample) in zip(fields("oxyflow-router-4.bin"), packet_samples("oxyflow-router-4.bin"), strict=True):
        kinds = record_kinds(sample)
        assert {SampledHeader, SampledEthernet} <= set(kinds)
        assert {SampledIpv4, SampledIpv6} & set(kinds)
        assert found["frames"] == "1"
        assert "ip_offset" in found or "ip6_offset" in found


def test_macs_of_raw_ip_come_from_the_ethernet_record() -> None:
    ((found,),) = (fields("logstash-flow-raw-ipv4.bin"),)
    assert found["stack"].startswith("ip.")
    assert len(found["macsource"]) == 12
    assert found["ethernetprotocol"] == "2048"


def test_the_version_nibble_is_believed() -> None:
    assert values("pktvisor-proto11.pcap", "stack", "ipsource") == [("ip6.udp", None)]
    packet = p.ip6(17, p.udp())
    assert made(SampledHeader(11, 100, 4, packet))["stack"] == "ip6.udp"


def test_a_very_short_header_gives_what_is_there() -> None:
    header = p.tagged(p.vlan(5, p.ip(6)))[:20]
    found = made(SampledHeader(1, 100, 4, header))
    assert (found["vlan"], found["stack"], found.get("ipsource")) == ("5", "eth.vlan.ip", None)


def test_the_vlan_is_that_of_the_tag_else_of_the_switch_record() -> None:
    assert values("goflow2-basic.bin", "vlan") == [("32",)]
    assert made(SampledHeader(1, 100, 4, p.eth(p.ip(6))), ExtendedSwitch(9, 0xFFFFFFFF, 0, 0))["vlan"] == "9"
    assert "vlan" not in made(ExtendedSwitch(0xFFFFFFFF, 0xFFFFFFFF, 0, 0))
    assert "priority" not in made(ExtendedSwitch(1, 0xFFFFFFFF, 0, 0))


def test_double_tags_pppoe_and_later_fragments() -> None:
    assert values("akvorado-qinq.pcap", "stack", "ethernetprotocol")[0][1] in {"2048", "34525"}
    assert (values("akvorado-qinq.pcap", "vlan")[0][0], values("akvorado-qinq.pcap", "vlan.1")[0][0]) == (
        "1062",
        "1493",
    )
    found = fields("loadme-bng-uplink.pcap")
    assert sum("pppoe" in each["stack"] for each in found) == 26
    later = [each for each in found if each.get("ipfragoffset", "0") != "0"]
    assert len(later) >= 2
    assert not any("tcpsourceport" in each or "udpsourceport" in each for each in later)


@pytest.mark.parametrize("name", ["akvorado-1140.pcap", "vyos-pmacct-1.bin", "tcpdump-ipv6-agent.pcap"])
def test_an_extended_record_may_stand_before_the_header(name: str) -> None:
    assert any(record_kinds(sample)[0] is ExtendedSwitch for _, sample in packet_samples(name))
    assert all("stack" in found for found in fields(name))


def test_an_empty_as_path_ends_in_the_routers_own_as() -> None:
    found = made(ExtendedGateway(b"", 39421, 13335, 203698, (), (), 0))
    assert (found["bgpdestinationas"], found.get("bgpdestinationpeeras"), found.get("bgpdestinationaspath")) == (
        "39421",
        None,
        None,
    )
    assert ("39421",) in values("akvorado-1140.pcap", "bgpdestinationas")


def test_a_next_hop_of_unknown_type_makes_a_record_shorter() -> None:
    assert made(ExtendedRouter(b"", 24, 25))["ipdestinationmaskbits"] == "25"


def test_corrupt_samples_of_impossible_length_are_dropped() -> None:
    sample = msgspec.structs.replace(FLOW, records=(SampledHeader(0x7FFF, 1 << 24, 0, b""),))
    (bad,) = decode_datagram(encode_datagram(Datagram(bytes(4), 0, 1, 1, (sample,)))).samples
    assert isinstance(bad, BadSample)
    assert bad.reason is BadReason.FRAME_TOO_LONG


# Counters


@pytest.mark.parametrize("name", ["cistern-counters.bin", "telegraf-dell-expanded-counters.bin"])
def test_the_ethernet_record_may_stand_before_the_generic_one(name: str) -> None:
    assert all(record_kinds(sample) == [EthernetCounters, IfCounters] for sample in counters(name))


def test_counters_that_are_not_available_are_kept_as_sent() -> None:
    (sample,) = counters("telegraf-netio-portname.bin")
    generic = next(record for record in sample.records if isinstance(record, IfCounters))
    assert generic.ifInMulticastPkts == generic.ifInUnknownProtos == 0xFFFFFFFF


def test_generic_counters_may_come_alone() -> None:
    assert all(record_kinds(sample) == [IfCounters] for sample in counters("ndpi-mixed-9.pcap"))
