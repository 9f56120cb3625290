"""What others state about the shared captures: counts of an independent walker, facts that akvorado's tests assert."""

from __future__ import annotations

import ipaddress
import json
from collections import Counter
from typing import Any

import pytest

import captures
from tidegate.errors import DecodeError
from tidegate.wire.sflow.decode import decode_datagram
from tidegate.wire.sflow.formats import COUNTER_RECORDS, FLOW_RECORDS
from tidegate.wire.sflow.keys import flow_fields
from tidegate.wire.sflow.samples import CountersSample, Datagram, DiscardedPacket, FlowSample, Problem, UnknownRecord
from tidegate.wire.sflow.xdr import show_address

pytestmark = pytest.mark.skipif(
    captures.WHERE != captures.SHARED, reason="the shared captures (../shared/data/sflow) are not beside this checkout"
)

TAGS = {row.record: tag for table in (FLOW_RECORDS, COUNTER_RECORDS) for tag, row in table.items()}
# (capture, fact): the walker counts a record that runs past its sample; we keep what is whole.
OVERRUN = {"gopacket-ext-router-short.bin", "gopacket-ext-router-v6-short.bin"}


def manifest() -> dict[str, dict[str, Any]]:
    path = captures.SHARED / "manifest.json"
    if not path.exists():
        return {}
    return {row["file"]: row["facts"] for row in json.loads(path.read_text())["captures"]}


def expected(stem: str) -> list[dict[str, Any]]:
    flows = json.loads((captures.SHARED / f"{stem}.expected.json").read_text())["flows"]
    assert isinstance(flows, list)
    return flows


def readable(capture: str) -> tuple[list[Datagram], int]:
    """Return the datagrams of a capture, and how many could not be read."""
    found: list[Datagram] = []
    failed = 0
    for data in captures.datagrams(capture):
        try:
            found.append(decode_datagram(data))
        except DecodeError:
            failed += 1
    return found, failed


def count_samples(datagrams: list[Datagram]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for sample in (sample for datagram in datagrams for sample in datagram.samples):
        match sample:
            case FlowSample():
                counts["0:3" if sample.expanded else "0:1"] += 1
            case CountersSample():
                counts["0:4" if sample.expanded else "0:2"] += 1
            case DiscardedPacket():
                counts["0:5"] += 1
            case _:
                counts["other"] += 1
    return counts


def count_records(datagrams: list[Datagram], *kinds: type) -> Counter[str]:
    counts: Counter[str] = Counter()
    for sample in (sample for datagram in datagrams for sample in datagram.samples):
        if isinstance(sample, kinds) and isinstance(sample, FlowSample | CountersSample | DiscardedPacket):
            for record in sample.records:
                if isinstance(record, UnknownRecord):
                    counts[f"{record.enterprise}:{record.format}"] += 1
                else:
                    counts[":".join(map(str, TAGS[type(record)]))] += 1
    return counts


@pytest.mark.parametrize("capture", sorted(manifest()))
def test_counts_are_those_of_the_walker(capture: str) -> None:
    facts = manifest()[capture]
    datagrams, failed = readable(capture)
    assert len(datagrams) + failed == facts["datagrams"]
    assert failed == facts["undecodable_header"]
    assert count_samples(datagrams) == facts.get("samples", {})
    if capture not in OVERRUN:
        assert count_records(datagrams, FlowSample, DiscardedPacket) == facts.get("flow_records", {})
    assert count_records(datagrams, CountersSample) == facts.get("counter_records", {})
    agents = Counter(f"{show_address(each.agent_address)}/{each.sub_agent_id}" for each in datagrams)
    assert {name.lower(): count for name, count in agents.items()} == facts.get("agents", {})


@pytest.mark.parametrize("capture", sorted(manifest()))
def test_trailing_octets_are_noticed_where_the_walker_saw_them(capture: str) -> None:
    datagrams, _ = readable(capture)
    loose = {Problem.TRAILING_OCTETS, Problem.TRUNCATED_SAMPLE}
    noticed = sum(any(note.problem in loose for note in datagram.notes) for datagram in datagrams)
    if capture != "vertex-drop-function-padded.bin":  # its two last octets are padding, which we pass over
        assert noticed == manifest()[capture]["datagrams_with_trailing_bytes"]


# akvorado's name: ours, tried in order
FACTS: dict[str, tuple[str, ...]] = {
    "agent": ("agent",),
    "sampling_rate": ("samplingrate",),
    "input": ("inputifindex",),
    "src_ip": ("ipsource", "ip6source"),
    "dst_ip": ("ipdestination", "ip6destination"),
    "src_mac": ("macsource",),
    "dst_mac": ("macdestination",),
    "src_port": ("tcpsourceport", "udpsourceport"),
    "dst_port": ("tcpdestinationport", "udpdestinationport"),
    "ip_protocol": ("ipprotocol", "ip6nexthdr"),
    "ip_ttl": ("ipttl", "ip6ttl"),
    "ip_id": ("ipid",),
    "ipv6_flow_label": ("ip6flowlabel",),
    "src_as": ("bgpsourceas",),
    "dst_as": ("bgpdestinationas",),
    "src_mask_len": ("ipsourcemaskbits",),
    "dst_mask_len": ("ipdestinationmaskbits",),
    "next_hop": ("ipnexthoprouter",),
    "icmp_type": ("icmptype", "icmp6type"),
}
BITS = {"ip_tos": ("iptos", "ip6tos"), "tcp_flags": ("tcpflags",)}


def ours(fields: dict[str, str], names: tuple[str, ...]) -> str | None:
    return next((fields[name] for name in names if name in fields), None)


def plain(value: object) -> str:
    """Return one spelling of addresses, MACs and numbers."""
    text = str(value).upper()
    if text.count(":") == 5:
        return text.replace(":", "")
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return text


@pytest.mark.parametrize("stem", sorted(path.name.split(".")[0] for path in captures.SHARED.glob("*.expected.json")))
def test_facts_are_those_of_akvorado(stem: str) -> None:
    datagrams, _ = readable(f"{stem}.pcap")
    samples = [(each, sample) for each in datagrams for sample in each.samples if isinstance(sample, FlowSample)]
    flows = expected(stem)
    assert len(samples) == len(flows)
    for (datagram, sample), flow in zip(samples, flows, strict=True):
        fields = flow_fields(datagram, sample)
        if fields.get("bgpsourceas") == "0":
            fields["bgpsourceas"] = fields["bgpas"]  # akvorado reads 0 as the router's own AS, we print what was sent
        for theirs, names in FACTS.items():
            if theirs in flow:
                assert plain(ours(fields, names)) == plain(flow[theirs]), theirs
        for theirs, names in BITS.items():
            if theirs in flow:
                assert int(ours(fields, names) or "0", 2) == flow[theirs], theirs
        if "output" in flow and flow["output"] != 0:
            assert fields["outputifindex"] == str(flow["output"])
        if "communities" in flow:
            parts = [f"{value >> 16}:{value & 0xFFFF}" for value in flow["communities"]]
            assert fields["bgpcommunities"] == "-".join(parts)
        if "dst_as_path" in flow:
            assert fields["bgpdestinationaspath"] == "-".join(map(str, flow["dst_as_path"]))
