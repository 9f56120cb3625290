"""What must be true of the agent between two namespaces (`agent_end_to_end`), whichever kernel it ran on."""

from __future__ import annotations

import math
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tidegate.io.pcap import Capture
from tidegate.wire.capture.write import Endpoint, pcap_header, pcap_record
from tidegate.wire.sflow.decode import decode_datagram
from tidegate.wire.sflow.interface_counters import IfCounters
from tidegate.wire.sflow.samples import CountersSample, Datagram, FlowSample, first


class Ran(NamedTuple):
    """A run: what it told, the folder of its datagrams, and 1 in how many packets were sampled."""

    told: dict[str, Any]
    folder: Path
    rate: int


def estimates_are_within_their_95_percent_interval(ran: Ran) -> None:
    told = ran.told
    within = 0
    for port, sent in told["sent"].items():
        estimate = told["estimated"].get(port, 0.0)
        within += abs(estimate - sent) <= 1.96 * math.sqrt(estimate / ran.rate) * ran.rate
    # Each of 40 estimates is within with a probability of 0.95: fewer than 30 are once in ten million runs.
    assert within >= 30, told["estimated"]
    total, sent = sum(told["estimated"].values()), sum(told["sent"].values())
    assert abs(total - sent) <= 4.9 * math.sqrt(total / ran.rate) * ran.rate  # five sigma: once in a million


def octets_are_those_of_the_frames(ran: Ran) -> None:
    told = ran.told
    assert {port: octets / told["estimated"][port] for port, octets in told["octets"].items()} == dict.fromkeys(
        told["octets"], told["frame"]
    )


def nothing_is_lost_on_the_way_and_all_is_accounted_for(ran: Ran) -> None:
    told = ran.told
    counts = told["status"]["counts"]
    agent = told["agents"]["192.0.2.1"]
    assert counts["packets_shed"] == counts["packets_unknown_interface"] == 0
    assert agent["sFlowFlowSamples"] == counts["packets_taken"]
    assert agent["sFlowFlowDrops"] == counts["packets_lost"]
    assert agent["sFlowDatagramsLost"] == agent["sFlowFlowLostSamples"] == agent["sFlowCounterLostSamples"] == 0
    assert told["status"]["collectors"][0]["datagrams"] == counts["datagrams"]


def nothing_is_left_behind(ran: Ran) -> None:
    told = ran.told
    assert told["rules"]["after"] == told["rules"]["before"]


def samples_are_those_of_the_interface_and_numbered_without_gaps(ran: Ran) -> None:
    flows = [sample for one in _datagrams(ran.folder) for sample in one.samples if isinstance(sample, FlowSample)]
    assert {(sample.source_id.type, sample.source_id.index, sample.input.value) for sample in flows} == {(0, 101, 101)}
    assert [sample.sequence_number for sample in flows] == list(range(1, len(flows) + 1))
    assert {sample.sampling_rate for sample in flows} == {ran.rate}
    assert flows[-1].sample_pool == ran.rate * len(flows) + ran.rate * flows[-1].drops


def datagrams_are_small_and_numbered(ran: Ran) -> None:
    datagrams = _datagrams(ran.folder)
    assert [one.sequence_number for one in datagrams] == list(range(1, len(datagrams) + 1))
    assert not [one.notes for one in datagrams if one.notes]


def counters_are_those_that_ip_tells(ran: Ran) -> None:
    told = ran.told
    last = [
        record
        for one in _datagrams(ran.folder)
        for sample in one.samples
        if isinstance(sample, CountersSample) and sample.source_id.index == 101
        for record in [first(sample.records, IfCounters)]
    ][-1]
    assert last is not None
    link = told["link"]["stats64"] if "stats64" in told["link"] else told["link"]["stats"]
    assert last.ifInOctets == link["rx"]["bytes"]
    assert last.ifInUcastPkts == link["rx"]["packets"] - link["rx"]["multicast"]
    assert last.ifOutOctets == link["tx"]["bytes"]
    assert last.ifOutUcastPkts == link["tx"]["packets"]


def tshark_finds_no_malformed_field(ran: Ran) -> None:
    if shutil.which("tshark") is None:
        pytest.skip("not installed: tshark")
    words = ["tshark", "-n", "-r", str(_without_host(ran.folder)), "-d", "udp.port==6343,sflow"]
    for wrong, expected in (("_ws.malformed || _ws.expert.severity >= 0x600000 || !sflow", 0), ("sflow", None)):
        done = subprocess.run(
            [*words, "-Y", wrong, "-T", "fields", "-e", "frame.number"], capture_output=True, text=True, check=False
        )
        found = done.stdout.split()
        assert found == [] if expected == 0 else found, done.stdout + done.stderr


CLAIMS: tuple[Callable[[Ran], None], ...] = (
    estimates_are_within_their_95_percent_interval,
    octets_are_those_of_the_frames,
    nothing_is_lost_on_the_way_and_all_is_accounted_for,
    nothing_is_left_behind,
    samples_are_those_of_the_interface_and_numbered_without_gaps,
    datagrams_are_small_and_numbered,
    counters_are_those_that_ip_tells,
    tshark_finds_no_malformed_field,
)


def _without_host(folder: Path) -> Path:
    """Write the datagrams but those of the host's counters: tshark 4.0 does not step over records 2000 to 2010."""
    here = Endpoint(bytes([192, 0, 2, 1]), 6343)
    kept = [
        payload
        for payload in _payloads(folder)
        if not any(
            isinstance(sample, CountersSample) and sample.source_id.type == 2
            for sample in decode_datagram(payload).samples
        )
    ]
    path = folder / "kept.pcap"
    path.write_bytes(pcap_header() + b"".join(pcap_record(one, 0, source=here, target=here) for one in kept))
    return path


def _datagrams(folder: Path) -> list[Datagram]:
    return [decode_datagram(payload) for payload in _payloads(folder)]


def _payloads(folder: Path) -> list[bytes]:
    return [
        block.data[start : start + length].tobytes()
        for block in Capture(folder / "sflow.pcap")
        for start, length in zip(block.offset.tolist(), block.length.tolist(), strict=True)
    ]
