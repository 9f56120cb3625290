"""What `--print` shows: recordings line by line, and lines that no recording has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

import capture_files
from capture_files import frame, udp_packet
from tidegate.agent.config import AgentConfig
from tidegate.apps.agent_print import DatagramPrinter
from tidegate.apps.agent_replay import Recorded, replay_recording
from tidegate.data.block import block_of
from tidegate.wire.sflow.encode import encode_datagram
from tidegate.wire.sflow.flow_records import SampledHeader
from tidegate.wire.sflow.host_counters import HostDescr
from tidegate.wire.sflow.interface_counters import IfCounters, PortName
from tidegate.wire.sflow.samples import (
    CountersSample,
    Datagram,
    DataSource,
    DiscardedPacket,
    FlowSample,
    InterfaceWord,
    Sample,
)

DATA = Path(__file__).resolve().parents[1] / "data"
ONE = capture_files.Datagram(0, "192.0.2.7", 5000, 6343, b"hello")
NAMES = {101: "r1", 102: "r2"}


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (Recorded.PSAMPLE, "linux-6.1/frames"),
        (Recorded.PSAMPLE, "linux-6.1/vlan-ingress"),
        (Recorded.PSAMPLE, "linux-6.1/sequence-gap"),
        (Recorded.PSAMPLE, "linux-6.1/no-ethernet"),
        (Recorded.PSAMPLE, "linux-6.1/udp6"),
        (Recorded.NFLOG, "linux-6.18/hooks"),
        (Recorded.NFLOG, "linux-6.18/netdev-vlan"),
        (Recorded.DROPMON, "linux-6.1/udp-no-socket"),
        (Recorded.DROPMON, "linux-6.1/bad-frames"),
    ],
)
def test_recordings_are_shown_as_the_file_has_it(
    kind: Recorded, name: str, golden: Callable[[Path, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    recording = DATA / kind.value / f"{name}.bin"
    replay_recording(recording, kind, AgentConfig(), output=None, sent=DatagramPrinter(lambda: NAMES))
    golden(DATA / "agent-print" / f"{kind.value}-{recording.stem}.txt", capsys.readouterr().out)


def printed(sample: Sample, capsys: pytest.CaptureFixture[str]) -> str:
    datagram = Datagram(
        agent_address=bytes([192, 0, 2, 1]), sub_agent_id=0, sequence_number=1, uptime=1000, samples=(sample,)
    )
    DatagramPrinter(lambda: NAMES)([block_of([encode_datagram(datagram)], [0])])
    return capsys.readouterr().out


def flow(header: bytes, *, source: int = 101, ends: tuple[int, int] = (101, 102)) -> FlowSample:
    return FlowSample(
        sequence_number=1,
        source_id=DataSource(0, source),
        sampling_rate=400,
        sample_pool=800,
        drops=3,
        input=InterfaceWord(0, ends[0]),
        output=InterfaceWord(0, ends[1]),
        records=(SampledHeader(protocol=1, frame_length=len(header) + 4, stripped=4, header=header),),
    )


IPV4 = frame(udp_packet(ONE), 1)
IPV6 = frame(udp_packet(msgspec.structs.replace(ONE, source="2001:db8::7")), 1)


@pytest.mark.parametrize(
    ("sample", "line"),
    [
        (
            flow(IPV4),
            "flow r1 r1 > r2 1 in 400 pool 800 drops 3 51 octets eth.ip.udp 192.0.2.7:5000 > 192.0.2.1:6343",
        ),
        (
            flow(IPV6, source=7, ends=(7, 0)),
            "flow 0:7 7 > ? 1 in 400 pool 800 drops 3 71 octets eth.ip6.udp [2001:DB8::7]:5000 > [::]:6343",
        ),
        (
            flow(b"\2\0\0\0\0\1\2\0\0\0\0\2\x88\xb5hello", ends=(0x3FFFFFFF, 101)),
            "flow r1 here > r1 1 in 400 pool 800 drops 3 23 octets eth 020000000002 > 020000000001",
        ),
        (flow(b""), "flow r1 r1 > r2 1 in 400 pool 800 drops 3 4 octets"),
        (
            CountersSample(1, DataSource(0, 102), (IfCounters(ifIndex=102), PortName(name=b"r2"))),
            "counters r2 if_counters, port_name",
        ),
        (CountersSample(1, DataSource(2, 1), (HostDescr(hostname=b"here"),)), "counters 2:1 host_descr"),
        (
            DiscardedPacket(1, DataSource(0, 0), 5, 101, 0, 256, flow(IPV4).records),
            "discard unknown input r1 drops 5 51 octets eth.ip.udp 192.0.2.7:5000 > 192.0.2.1:6343",
        ),
        (DiscardedPacket(1, DataSource(0, 0), 5, 0, 0, 9999), "discard 9999 input ? drops 5 ? octets"),
        (DiscardedPacket(1, DataSource(0, 0), 5, 9, 0, 3), "discard port_unreachable input 9 drops 5 ? octets"),
    ],
)
def test_samples_are_lines(sample: Sample, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(sample, capsys) == f"{line}\n"


def test_names_are_those_of_the_moment(capsys: pytest.CaptureFixture[str]) -> None:
    names = {101: "old"}
    printer = DatagramPrinter(lambda: names)
    datagram = encode_datagram(
        Datagram(agent_address=bytes(4), sub_agent_id=0, sequence_number=1, uptime=1, samples=(flow(b""),) * 2)
    )
    printer([block_of([datagram], [0])])
    names[101] = "new"
    printer([block_of([datagram, datagram], [0, 0]), block_of([], [])])
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == ["old"] * 2 + ["new"] * 4


def test_octets_that_are_no_datagram_are_a_line_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    DatagramPrinter()([block_of([b"\0\0\0\5"], [0])])
    assert capsys.readouterr().out.startswith("a datagram that cannot be read: ")
