"""Every capture, decoded by us and by sflowtool 6.11, compared field by field under sflowtool's names."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

import captures
from tidegate.data.forms import FORMS, Form
from tidegate.wire.packet.window import Field, Fields
from tidegate.wire.sflow import flow_records, host_counters, interface_counters, tunnel_records
from tidegate.wire.sflow.decode import decode_datagram
from tidegate.wire.sflow.formats import COUNTER_RECORDS, FLOW_RECORDS
from tidegate.wire.sflow.keys import flow_words
from tidegate.wire.sflow.samples import (
    CountersSample,
    Datagram,
    DataSource,
    DiscardedPacket,
    FlowSample,
    InterfaceWord,
    Sample,
)

Shown = dict[str, Any]
ABSENT = "(absent)"

_NIBBLE = "header_protocol says 11, the version nibble 6: we believe the nibble, sflowtool reads IPv4 out of IPv6"

# (capture, sflowtool's name): why the answers differ. A row whose answers no longer differ fails the test.
DIFFERENCES: dict[tuple[str, str], str] = {
    ("akvorado-1140.pcap", "dst_as"): "empty AS path: the destination is in the router's own AS, sflowtool prints 0",
    ("pktvisor-proto11.pcap", "ip.tot_len"): _NIBBLE,
    ("pktvisor-proto11.pcap", "srcIP"): _NIBBLE,
    ("pktvisor-proto11.pcap", "dstIP"): _NIBBLE,
    ("pktvisor-proto11.pcap", "IPProtocol"): _NIBBLE,
    ("pktvisor-proto11.pcap", "IPFragmentOffset"): _NIBBLE,
    ("pktvisor-proto11.pcap", "IPTTL"): _NIBBLE,
    ("pktvisor-proto11.pcap", "IPID"): _NIBBLE,
}

# Not differences but conventions of sflowtool's output, applied where names are mapped below: IPID in the byte order of
# the machine it ran on, IPSize computed from lengths, communities as one number each, MACs in lower case.


def mac(octets: bytes | None) -> str:
    return (octets or b"").hex()


def address(octets: bytes | None) -> str:
    """sflowtool prints every group of an IPv6 address in full."""
    return ipaddress.ip_address(octets).exploded if octets else "-"


def words(record: msgspec.Struct, **names: str) -> Shown:
    """Return fields of a record under sflowtool's names."""
    return {theirs: str(getattr(record, ours)) for theirs, ours in names.items()}


def percent(value: int | None) -> str:
    return f"{(value or 0) / 100:.2f}"


def if_counters(record: interface_counters.IfCounters) -> Shown:
    same = [name for name in record.__struct_fields__ if name != "ifType"]
    return words(record, networkType="ifType", **dict(zip(same, same, strict=True)))


def same_names(record: msgspec.Struct) -> Shown:
    return {name: str(getattr(record, name)) for name in record.__struct_fields__}


def prefixed(prefix: str) -> Callable[[msgspec.Struct], Shown]:
    return lambda record: {prefix + name: value for name, value in same_names(record).items()}


def host_cpu(record: host_counters.HostCpu) -> Shown:
    loads = {
        "cpu_load_one": f"{record.load_one:.3f}",
        "cpu_load_five": f"{record.load_five:.3f}",
        "cpu_load_fifteen": f"{record.load_fifteen:.3f}",
        "cpuintr": str(record.cpu_intr),
        "cpuinterrupts": str(record.interrupts),
    }
    names = ("proc_run", "proc_total", "uptime", "contexts")
    return {
        **loads,
        **{f"cpu_{name}": str(getattr(record, name)) for name in names},
        **{name: value for name, value in same_names(record).items() if name.startswith("cpu_")},
    }


def host_disk_io(record: host_counters.HostDiskIo) -> Shown:
    names = {name: name if name.startswith("disk_") else f"disk_{name}" for name in record.__struct_fields__}
    shown = {theirs: str(getattr(record, ours)) for ours, theirs in names.items()}
    return shown | {"disk_partition_max_used": percent(record.part_max_used)}


def host_adapters(record: host_counters.HostAdapters) -> Shown:
    adapters = [
        {
            "ifIndex": str(adapter.ifIndex),
            "MACs": str(len(adapter.mac_address or ())),
            "mac_list": [mac(each) for each in adapter.mac_address or ()],
        }
        for adapter in record.adapters or ()
    ]
    return {"adaptor_list": adapters}


def host_descr(record: host_counters.HostDescr) -> Shown:
    digits = (record.uuid or b"").hex()
    parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
    return {
        "hostname": (record.hostname or b"").decode(),
        "UUID": "-".join(parts),
        "os_release": (record.os_release or b"").decode(),
        **words(record, machine_type="machine_type", os_name="os_name"),
    }


def processor(record: interface_counters.Processor) -> Shown:
    loads = {f"{name}_cpu": percent(getattr(record, f"cpu_{name}")) for name in ("5s", "1m", "5m")}
    return loads | words(record, total_memory_bytes="total_memory", free_memory_bytes="free_memory")


def of_port(record: interface_counters.OfPort) -> Shown:
    return {"openflow_datapath_id": f"{record.datapath_id:016x}", "openflow_port": str(record.port_no)}


def gateway(record: flow_records.ExtendedGateway) -> Shown:
    path = [number for segment in record.dst_as_path or () for number in segment.as_number or ()]
    shown = {
        "extendedType": "GATEWAY",
        "bgp_nexthop": address(record.nexthop),
        "dst_as": str(path[-1] if path else record.as_),
        "dst_peer_as": str(path[0] if path else 0),
        "dst_as_path": "-".join(map(str, path)),
        "BGP_communities": "-".join(map(str, record.communities or ())),
    }
    return shown | words(record, my_as="as_", src_as="src_as", src_peer_as="src_peer_as", BGP_localpref="localpref")


def router(record: flow_records.ExtendedRouter) -> Shown:
    masks = words(record, srcSubnetMask="src_mask_len", dstSubnetMask="dst_mask_len")
    return {"extendedType": "ROUTER", "nextHop": address(record.nexthop), **masks}


def switch(record: flow_records.ExtendedSwitch) -> Shown:
    names = {"in_vlan": "src_vlan", "in_priority": "src_priority", "out_vlan": "dst_vlan"}
    return {"extendedType": "SWITCH", **words(record, **names, out_priority="dst_priority")}


def ethernet(record: flow_records.SampledEthernet) -> Shown:
    ends = {"ethernet_src": mac(record.src_mac), "ethernet_dst": mac(record.dst_mac)}
    return {"flowSampleType": "ETHERNET", **ends, **words(record, ethernet_type="type", ethernet_len="length")}


def sampled_ip(record: flow_records.SampledIpv4 | flow_records.SampledIpv6) -> Shown:
    four = isinstance(record, flow_records.SampledIpv4)
    shown = {
        "flowSampleType": "IPV4" if four else "IPV6",
        "srcIP" if four else "srcIP6": address(record.src_ip),
        "dstIP" if four else "dstIP6": address(record.dst_ip),
        **words(record, sampledPacketSize="length", IPSize="length", IPProtocol="protocol"),
        **(words(record, IPTOS="tos") if four else words(record, priority="priority")),
    }
    kind = {6: "TCP", 17: "UDP"}.get(record.protocol or 0)
    if kind is None:
        return shown
    flags = words(record, TCPFlags="tcp_flags") if kind == "TCP" else {}
    return shown | flags | {f"{kind}SrcPort": str(record.src_port), f"{kind}DstPort": str(record.dst_port)}


def tunnel(way: str) -> Callable[[Any], Shown]:
    def show(record: tunnel_records.ExtendedIpv4TunnelEgress | tunnel_records.ExtendedIpv4TunnelIngress) -> Shown:
        prefix = f"tunnel_ipv4_{way}_"
        assert record.header is not None
        shown = sampled_ip(record.header)
        kind = shown.pop("flowSampleType")
        return {"flowSampleType": prefix + kind, **{prefix + name: value for name, value in shown.items()}}

    return show


def nio(record: host_counters.HostNetIo) -> Shown:
    return prefixed("nio_")(record) | {"nio_pkts_out": str(record.packets_out)}


def number(value: Field) -> str:
    return str(value[0])


def ip_text(value: Field) -> str:
    high, low = (int(word) for word in value)
    mapped = high == 0 and low >> 32 == 0xFFFF
    return ipaddress.ip_address(low & 0xFFFFFFFF if mapped else high << 64 | low).exploded


HEADER_FIELDS: dict[str, tuple[tuple[str, ...], Callable[[Field], str]]] = {
    "dstMAC": (("macdestination",), lambda value: f"{value[0]:012x}"),
    "srcMAC": (("macsource",), lambda value: f"{value[0]:012x}"),
    "ethernet_type": (("ethernetprotocol",), number),
    "decodedVLAN": (("vlan",), number),
    "decodedVLAN.1": (("vlan.1",), number),
    "decodedPriority": (("priority",), number),
    "decodedPriority.1": (("priority.1",), number),
    "ip.tot_len": (("ipbytes",), number),
    "srcIP": (("ipsource",), ip_text),
    "dstIP": (("ipdestination",), ip_text),
    "srcIP6": (("ip6source",), ip_text),
    "dstIP6": (("ip6destination",), ip_text),
    "IPProtocol": (("ipprotocol", "ip6nexthdr"), number),
    "IPTOS": (("iptos", "ip6tos"), number),
    "IPTTL": (("ipttl", "ip6ttl"), number),
    "IPID": (("ipid",), lambda value: str(int.from_bytes(int(value[0]).to_bytes(2, "little"), "big"))),
    "IPFragmentOffset": (("ipfragoffset",), number),
    "IP6_label": (("ip6flowlabel",), lambda value: hex(int(value[0]))),
    "IPV6_payloadLen": (("ip6bytes",), number),
    "TCPSrcPort": (("tcpsourceport",), number),
    "TCPDstPort": (("tcpdestinationport",), number),
    "TCPFlags": (("tcpflags",), number),
    "UDPSrcPort": (("udpsourceport",), number),
    "UDPDstPort": (("udpdestinationport",), number),
    "UDPBytes": (("udpbytes",), number),
    "ICMPType": (("icmptype", "icmp6type"), number),
    "ICMPCode": (("icmpcode", "icmp6code"), number),
}


def header_fields(record: flow_records.SampledHeader) -> Fields:
    """Return the header's fields without those that other records of the sample would give."""
    sample = FlowSample(0, DataSource(0, 0), 1, 0, 0, InterfaceWord(0, 0), InterfaceWord(0, 0), (record,))
    return flow_words(Datagram(b"", 0, 0, 0), sample)


def header(record: flow_records.SampledHeader) -> Shown:
    octets = record.header or b""
    shown = {
        "flowSampleType": "HEADER",
        "headerProtocol": str(record.protocol),
        "sampledPacketSize": str(record.frame_length),
        "strippedBytes": str(record.stripped),
        "headerLen": str(len(octets)),
        "headerBytes": "-".join(f"{octet:02X}" for octet in octets),
    }
    fields = header_fields(record)
    for theirs, (ours, show) in HEADER_FIELDS.items():
        found = next((fields[name] for name in ours if name in fields), None)
        if found is not None:
            shown[theirs] = show(found)
    offset = fields.get("ip_offset") or fields.get("ip6_offset")
    if offset:  # sflowtool computes it
        shown["IPSize"] = str((record.frame_length or 0) - (record.stripped or 0) - int(offset[0]))
    return shown


SHOWN: dict[type[msgspec.Struct], Callable[[Any], Shown]] = {
    flow_records.SampledHeader: header,
    flow_records.SampledEthernet: ethernet,
    flow_records.SampledIpv4: sampled_ip,
    flow_records.SampledIpv6: sampled_ip,
    flow_records.ExtendedSwitch: switch,
    flow_records.ExtendedRouter: router,
    flow_records.ExtendedGateway: gateway,
    tunnel_records.ExtendedIpv4TunnelEgress: tunnel("out"),
    tunnel_records.ExtendedIpv4TunnelIngress: tunnel("in"),
    tunnel_records.PmacctTag: lambda _: {},
    interface_counters.IfCounters: if_counters,
    interface_counters.EthernetCounters: same_names,
    interface_counters.VlanCounters: lambda record: {**same_names(record), "in_vlan": str(record.vlan_id)},
    interface_counters.Processor: processor,
    interface_counters.OfPort: of_port,
    interface_counters.PortName: lambda record: {"ifName": str(record.name, "ascii")},
    host_counters.HostDescr: host_descr,
    host_counters.HostAdapters: host_adapters,
    host_counters.HostCpu: host_cpu,
    host_counters.HostMemory: same_names,
    host_counters.HostDiskIo: host_disk_io,
    host_counters.HostNetIo: nio,
    tunnel_records.ExtendedAcl: lambda _: {},
    tunnel_records.ExtendedEgressQueue: lambda record: {
        "discarded_extendedType": "egress_queue",
        "discarded_egress_queue_id": str(record.queue),
    },
    tunnel_records.ExtendedFunction: lambda record: {
        "discarded_extendedType": "function",
        "discarded_symbol": record.symbol.decode(),
    },
}


def interface(word: InterfaceWord) -> str:
    if word.format == 1:
        return f"dropCode {word.value}"
    if word.format == 2:
        return f"multiple {word.value}"
    return str(word.value)


def sample_head(sample: Sample) -> Shown:
    """Return what stands before the records."""
    assert isinstance(sample, FlowSample | CountersSample | DiscardedPacket)
    source = f"{sample.source_id.type}:{sample.source_id.index}"
    shown = {"sampleSequenceNo": str(sample.sequence_number), "sourceId": source}
    match sample:
        case FlowSample():
            shown |= words(sample, meanSkipCount="sampling_rate", samplePool="sample_pool", dropEvents="drops")
            shown |= {"inputPort": interface(sample.input), "outputPort": interface(sample.output)}
            return shown | {"sampleType": "FLOWSAMPLE", "sampleType_tag": "0:3" if sample.expanded else "0:1"}
        case CountersSample():
            return shown | {"sampleType": "COUNTERSSAMPLE", "sampleType_tag": "0:4" if sample.expanded else "0:2"}
        case DiscardedPacket():
            shown |= words(sample, dropEvents="drops", inputPort="input_ifindex", outputPort="output_ifindex")
            reason = flow_words(Datagram(b"", 0, 0, 0), sample)["reason"]
            shown |= {"discardCode": str(sample.reason), "discardReason": FORMS[Form.REASON].format(words_of(reason))}
            return shown | {"sampleType": "DISCARD", "sampleType_tag": "0:5"}


def words_of(value: Field) -> tuple[int, ...]:
    assert isinstance(value, tuple)
    return value


def datagram_head(datagram: Datagram, size: int) -> Shown:
    names = {"agentSubId": "sub_agent_id", "packetSequenceNo": "sequence_number", "sysUpTime": "uptime"}
    fixed = {"datagramSize": str(size), "datagramVersion": "5", "agent": address(datagram.agent_address)}
    return {**fixed, "samplesInPacket": str(len(datagram.samples)), **words(datagram, **names)}


Difference = tuple[str, str, str]  # sflowtool's name, what it says, what we say


def compare(theirs: Shown, ours: Shown, skip: tuple[str, ...] = ()) -> Iterator[Difference]:
    for name, value in theirs.items():
        if name in skip or name.endswith("lock_tag"):
            continue
        said = ours.get(name, ABSENT)
        same = said == value
        if name in {"agent", "nextHop", "bgp_nexthop", "srcIP6", "dstIP6"} and said != ABSENT:
            same = ipaddress.ip_address(said) == ipaddress.ip_address(value)
        if not same:
            yield name, str(value), str(said)


def tag_of(element: Shown) -> str:
    return next(str(value) for name, value in element.items() if name.endswith("lock_tag"))


def differences(data: bytes, theirs: Shown) -> Iterator[Difference]:
    """Walk both decodes of a datagram in step."""
    datagram = decode_datagram(data)
    yield from compare(theirs, datagram_head(datagram, len(data)), ("samples",))
    assert len(datagram.samples) == len(theirs["samples"])
    for sample, golden in zip(datagram.samples, theirs["samples"], strict=True):
        yield from compare(golden, sample_head(sample), ("elements",))
        assert isinstance(sample, FlowSample | CountersSample | DiscardedPacket)
        tags = [tag_of(element) for element in golden["elements"]]
        rows = COUNTER_TAGS if isinstance(sample, CountersSample) else FLOW_TAGS
        assert [rows[type(record)] for record in sample.records] == tags
        for record, element in zip(sample.records, golden["elements"], strict=True):
            yield from compare(element, SHOWN[type(record)](record))


FLOW_TAGS, COUNTER_TAGS = (
    {row.record: f"{row.enterprise}:{row.format}" for row in table.values()}
    for table in (FLOW_RECORDS, COUNTER_RECORDS)
)

# sflowtool gave these up; test_quirks.py says what we make of them.
GIVEN_UP = {"gopacket-ext-router-short.bin", "gopacket-ext-router-v6-short.bin", "tcpdump-print-segv.pcap"}


@pytest.mark.parametrize("capture", captures.names())
def test_every_field_is_the_one_that_sflowtool_prints(capture: str) -> None:
    goldens = captures.sflowtool(capture)
    datagrams = captures.datagrams(capture)
    assert len(datagrams) == len(goldens)
    listed = {name for file, name in DIFFERENCES if file == capture}
    found: set[str] = set()
    for data, golden in zip(datagrams, goldens, strict=True):
        if "sflowtool_stderr" in golden:
            assert capture in GIVEN_UP
            continue
        different = list(differences(data, golden))
        assert [row for row in different if row[0] not in listed] == []
        found |= {name for name, _, _ in different}
    assert found == listed


def test_the_list_of_differences_names_captures_that_exist() -> None:
    if captures.WHERE != captures.SHARED:
        pytest.skip("the shared captures are not beside this checkout")
    assert {file for file, _ in DIFFERENCES} <= set(captures.names())
