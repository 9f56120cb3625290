"""`tidegate agent --replay`: recordings become the samples that their messages tell, in captures that others read."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from netlink_recordings import every, recordings
from netlink_twins import expected
from running import datagrams_of
from tidegate.agent.config import AgentConfig, CollectorConfig, DiscardsConfig
from tidegate.apps.agent_replay import Recorded, ReplayedAgent, describe_replayed, replay_recording
from tidegate.apps.decode import decoded_objects
from tidegate.apps.kernels import ALL_KERNELS
from tidegate.errors import ConfigError, SourceError
from tidegate.io.pcap import Capture
from tidegate.kernel import compile_kernels
from tidegate.wire.netlink.dropmon import is_packet_alert
from tidegate.wire.netlink.message import Message, attribute, encode_message, split_messages
from tidegate.wire.netlink.nflog import NFLOG
from tidegate.wire.sflow.decode import decode_datagram
from tidegate.wire.sflow.samples import Datagram, DiscardedPacket, FlowSample
from tshark import needs_tshark, packets, shown

ALL = AgentConfig(most_samples=10_000_000, discards=DiscardsConfig(per_second=100_000))
FAMILIES = {Recorded.PSAMPLE: 0, Recorded.NFLOG: NFLOG}


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    list(compile_kernels(ALL_KERNELS))


def replayed(
    path: Path, kind: Recorded, output: Path, config: AgentConfig = ALL
) -> tuple[ReplayedAgent, list[Datagram]]:
    """Replay a recording; return what is told of it and the datagrams of the capture, which must be whole."""
    result = replay_recording(path, kind, config, output=output)
    capture = Capture(output)
    found = [datagram for block in capture for datagram in datagrams_of(block)]
    told = capture.statistics()
    assert (told.damage, told.cut, told.skipped, told.datagrams) == ("", 0, {}, result.datagrams)
    times = [datagram.time_ns for datagram in found]
    assert times == sorted(times)
    decoded = [decode_datagram(datagram.payload) for datagram in found]
    assert [datagram.sequence_number for datagram in decoded] == list(range(1, len(decoded) + 1))
    assert all(datagram.notes == () and datagram.samples for datagram in decoded)
    assert all(len(datagram.payload) <= config.datagram_octets for datagram in found)
    return result, decoded


def flows(found: list[Datagram]) -> list[FlowSample]:
    return [sample for datagram in found for sample in datagram.samples if isinstance(sample, FlowSample)]


def check_packets(path: Path, kind: Recorded, output: Path) -> list[FlowSample]:
    """Replay a recording of packets: each is a sample, in order, and lost are those that their numbers miss."""
    wanted, told = expected([path.read_bytes()], FAMILIES[kind])
    result, found = replayed(path, kind, output)
    samples = flows(found)
    assert len(samples) == len(wanted) == result.statistics["samples"]
    assert result.messages == told
    assert result.damage == ""
    for sample, packet in zip(samples, wanted, strict=True):
        assert sample.sampling_rate == (packet["rate"] or 1)
    numbers: dict[object, list[object]] = {}
    for packet in wanted:
        numbers.setdefault(packet["group"], []).append(packet.get("sequence"))
    missing = sum(spread(told) + 1 - len(told) for told in numbers.values() if None not in told)
    assert result.statistics["packets_lost"] == missing
    lasts = {(sample.source_id.type, sample.source_id.index): sample.drops for sample in samples}
    assert sum(lasts.values()) == missing
    assert 0 not in {sample.source_id.index for sample in samples}  # every interface is known
    return samples


def spread(numbers: list[Any]) -> int:
    return int(max(numbers)) - int(min(numbers))


@every("psample")
def test_recordings_of_psample(path: Path, tmp_path: Path) -> None:
    samples = check_packets(path, Recorded.PSAMPLE, tmp_path / "out.pcap")
    if path.stem == "no-ethernet":
        assert {sample.records[0].protocol for sample in samples} == {11}  # type: ignore[attr-defined] # a header


@every("nflog")
def test_recordings_of_nflog(path: Path, tmp_path: Path) -> None:
    check_packets(path, Recorded.NFLOG, tmp_path / "out.pcap")


@every("dropmon")
def test_recordings_of_the_drop_monitor(path: Path, tmp_path: Path) -> None:
    alerts = [message for message in split_messages(path.read_bytes()) if is_packet_alert(message)]
    result, found = replayed(path, Recorded.DROPMON, tmp_path / "out.pcap")
    samples = [sample for datagram in found for sample in datagram.samples if isinstance(sample, DiscardedPacket)]
    assert len(samples) == len(alerts) == result.messages["alerts"]
    assert [sample.sequence_number for sample in samples] == list(range(1, len(samples) + 1))
    assert {sample.drops for sample in samples} <= {0}
    assert result.damage == ""


# A frame whose own PPPoE length is wrong; records of tunnels, which tshark 4.0 does not step over.
NOT_FOR_TSHARK = {"frames", "vxlan-metadata"}


@needs_tshark
@pytest.mark.parametrize("kind", [*Recorded])
def test_tshark_reads_every_datagram(kind: Recorded, tmp_path: Path) -> None:
    paths = [path for path in recordings(kind.value) if path.stem not in NOT_FOR_TSHARK]
    if not paths:
        pytest.skip(f"no recordings of {kind.value}: neither tests/data nor ../shared/data has them")
    merged, samples = tmp_path / "all.pcap", 0
    for number, path in enumerate(paths):
        result = replay_recording(path, kind, ALL, output=tmp_path / "one.pcap")
        octets = (tmp_path / "one.pcap").read_bytes()
        with merged.open("ab") as out:
            out.write(octets[24 if number else 0 :])
        samples += result.statistics["samples"]
    counts = [int(count) for (count,) in packets(merged, "sflow_245.numsamples")]
    assert sum(counts) == samples > 0
    for bad in (
        "_ws.malformed",
        "_ws.expert.group == Malformed",
        '_ws.expert.message contains "issector bug"',
        "!sflow",
    ):
        assert shown(merged, bad) == "", bad


@pytest.mark.parametrize("kind", [Recorded.PSAMPLE, Recorded.NFLOG])
def test_interfaces_of_a_later_message_do_not_cost_those_that_wait(kind: Recorded, tmp_path: Path) -> None:
    """An ifIndex beyond 24 bits makes all samples expanded from then on."""
    indexes = [*[3] * 1500, 1 << 25, 5]  # more than the rows of a batch
    messages = [psample(index) if kind is Recorded.PSAMPLE else nflog(index) for index in indexes]
    recording = tmp_path / "made.bin"
    recording.write_bytes(b"".join(messages))
    _, found = replayed(recording, kind, tmp_path / "out.pcap")
    assert [sample.source_id.index for sample in flows(found)] == indexes
    assert [sample.expanded for sample in flows(found)][:1024] == [False] * 1024


def psample(index: int) -> bytes:
    told = {0: index, 2: 60, 3: 5, 5: 1}
    octets = [attribute(kind, value.to_bytes(4, sys.byteorder)) for kind, value in told.items()]
    return encode_message(34, 0, 0, bytes(4) + b"".join(octets) + attribute(6, bytes(60)))


def nflog(index: int) -> bytes:
    octets = attribute(1, b"\x08\0\0\0") + attribute(4, index.to_bytes(4, "big")) + attribute(9, bytes(60))
    return encode_message(NFLOG, 0, 0, b"\5\0\0\5" + octets)


# Damaged recordings.


def some(kind: Recorded) -> Path:
    """Return a recording of many messages, of any place and kernel."""
    name = {Recorded.PSAMPLE: "two-groups", Recorded.NFLOG: "batched", Recorded.DROPMON: "bad-frames"}[kind]
    found = [path for path in recordings(kind.value) if path.stem == name]
    if not found:
        pytest.skip(f"no recordings of {kind.value}: neither tests/data nor ../shared/data has them")
    return found[0]


def ends_of(octets: bytes) -> Iterator[tuple[int, Message]]:
    """Yield the messages of a recording, each with the octet behind it, padding left out."""
    at = 0
    for message in split_messages(octets):
        yield at + 16 + len(message.body), message
        at += 16 + len(message.body) + -len(message.body) % 4


@pytest.mark.parametrize("kind", [*Recorded])
def test_a_recording_cut_anywhere_gives_what_is_whole(kind: Recorded, tmp_path: Path) -> None:
    octets = some(kind).read_bytes()
    ends = list(ends_of(octets))
    cut, output = tmp_path / "cut.bin", tmp_path / "out.pcap"
    last = ends[-3][0]
    for end in {*range(1, 40), *range(0, len(octets), 97), *range(last, len(octets), 3)} - {0}:
        cut.write_bytes(octets[:end])
        result, found = replayed(cut, kind, output)
        whole = [message for at, message in ends if at <= end]
        assert sum(len(datagram.samples) for datagram in found) == sum(is_told(message, kind) for message in whole)
        padded = max((at + -at % 4 for at, _ in ends if at <= end), default=0)
        assert bool(result.damage) == (end > padded)
        line = describe_replayed(result)
        assert "\n" not in line
        assert result.damage in line


def is_told(message: Message, kind: Recorded) -> bool:
    if kind is Recorded.DROPMON:
        return is_packet_alert(message)
    return message.type == NFLOG if kind is Recorded.NFLOG else message.body[0] == 0


@pytest.mark.parametrize("kind", [*Recorded])
def test_a_recording_with_an_octet_changed_does_no_harm(kind: Recorded, tmp_path: Path) -> None:
    octets = some(kind).read_bytes()
    changed, output = tmp_path / "changed.bin", tmp_path / "out.pcap"
    for at in range(0, min(len(octets), 600), 2):
        for value in (0xFF, octets[at] ^ 1):
            changed.write_bytes(octets[:at] + bytes([value]) + octets[at + 1 :])
            replayed(changed, kind, output)


@pytest.mark.parametrize("kind", [*Recorded])
@pytest.mark.parametrize("octets", [b"\0" * 40, b"\xff" * 40, b"# a text, and no recording at all\n", b"\1"])
def test_what_is_no_recording(kind: Recorded, octets: bytes, tmp_path: Path) -> None:
    (tmp_path / "none.bin").write_bytes(octets)
    result, found = replayed(tmp_path / "none.bin", kind, tmp_path / "out.pcap")
    assert (found, bool(result.damage)) == ([], True)


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No such file"):
        replay_recording(tmp_path / "none.bin", Recorded.PSAMPLE, ALL, output=None)
    (tmp_path / "empty.bin").touch()
    with pytest.raises(SourceError, match="the file is empty"):
        replay_recording(tmp_path / "empty.bin", Recorded.PSAMPLE, ALL, output=None)
    with pytest.raises(SourceError, match="Is a directory"):
        replay_recording(tmp_path, Recorded.PSAMPLE, ALL, output=None)
    (tmp_path / "one.bin").write_bytes(psample(3))
    with pytest.raises(SourceError, match="cannot be written"):
        replay_recording(tmp_path / "one.bin", Recorded.PSAMPLE, ALL, output=tmp_path)
    with pytest.raises(SourceError, match="cannot be written: No space left"):
        replay_recording(tmp_path / "one.bin", Recorded.PSAMPLE, ALL, output=Path("/dev/full"))


def test_an_agent_address_is_one(tmp_path: Path) -> None:
    (tmp_path / "one.bin").write_bytes(psample(3))
    for address, family in (("192.0.2.9", 4), ("2001:db8::9", 16)):
        config = msgspec.structs.replace(ALL, address=address)
        _, (found,) = replayed(tmp_path / "one.bin", Recorded.PSAMPLE, tmp_path / "out.pcap", config)
        assert len(found.agent_address) == family
    for collector in ("192.0.2.1", "2001:db8::1", "a-name.example"):
        config = msgspec.structs.replace(ALL, address="2001:db8::9", collectors=(CollectorConfig(address=collector),))
        assert len(replayed(tmp_path / "one.bin", Recorded.PSAMPLE, tmp_path / "out.pcap", config)[1]) == 1
    with pytest.raises(ConfigError, match="is no address"):
        replay_recording(tmp_path / "one.bin", Recorded.PSAMPLE, AgentConfig(address="eth0"), output=None)


def test_the_limits_of_a_live_agent_hold(tmp_path: Path) -> None:
    path = some(Recorded.DROPMON)
    result, found = replayed(
        path, Recorded.DROPMON, tmp_path / "out.pcap", AgentConfig(discards=DiscardsConfig(per_second=1))
    )
    sent = sum(len(datagram.samples) for datagram in found)
    assert sent + result.statistics["discards_suppressed_or_lost"] == result.messages["alerts"]


# The command.


def tidegate(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tidegate", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("kind", [*Recorded])
def test_the_command(kind: Recorded, tmp_path: Path) -> None:
    octets = some(kind).read_bytes()
    cut, output = tmp_path / "cut.bin", tmp_path / "out.pcap"
    whole = tidegate("agent", "--replay", some(kind), "--source", kind.value, "--output", output, "--print")
    assert (whole.returncode, whole.stderr.count("\n")) == (0, 1)
    objects = list(decoded_objects([output]))
    assert whole.stdout.count("\n") == sum(len(one["samples"]) for one in objects) > 3
    assert tidegate("decode", output).returncode == 0
    cut.write_bytes(octets[:-5])
    done = tidegate("agent", "--replay", cut, "--source", kind.value, "--output", output)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "does not fit" in done.stderr
    assert list(decoded_objects([output]))


def test_what_the_command_refuses_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "one.bin").write_bytes(psample(3))
    (tmp_path / "empty.bin").touch()
    one, output = tmp_path / "one.bin", tmp_path / "out.pcap"
    refused: list[tuple[list[str | Path], str]] = [
        (["--replay", one, "--output", output], "say what the recording holds"),
        (["--replay", one, "--source", "packet", "--output", output], "'packet' is none of"),
        (["--replay", tmp_path / "none.bin", "--source", "psample", "--output", output], "none.bin"),
        (["--replay", tmp_path / "empty.bin", "--source", "psample", "--output", output], "the file is empty"),
        (["--replay", one, "--source", "psample", "--output", tmp_path], "cannot be written"),
    ]
    for words, line in refused:
        done = tidegate("agent", *words)
        assert done.returncode not in {0, None}, words
        assert line in done.stderr
        assert "Traceback" not in done.stderr
        assert done.stdout == ""
