"""Each packet of several devices and both directions is one sample, and those that were lost are counted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from guest.sent import datagrams, header, packet, samples
from netlink_recordings import frames
from tidegate.wire.sflow.samples import Datagram, FlowSample

pytestmark = pytest.mark.guest("agent_packets", kernels=True)
DEVICES = {"r1": 101, "r2": 102, "r2.100": 103, "ipip1": 105, "sit1": 106}
NO_ETHERNET = {"ipip1": 11, "sit1": 12}
HEADER, LONGER_HEADER = 128, 512
FEW, PACKETS = 10, 9020  # each way; at the beginning and at the end, in all
every_device = pytest.mark.parametrize("device", DEVICES)
every_direction = pytest.mark.parametrize("direction", ["in", "out"])


@pytest.fixture
def folder(result: dict[str, Any], guest_folder: Path) -> Path:  # noqa: ARG001 - it fails where the scenario did
    return guest_folder / "agent_packets"


@pytest.fixture
def sent(folder: Path) -> Sequence[Datagram]:
    return datagrams(folder / "sflow")


@pytest.fixture
def odd(sent: Sequence[Datagram], result: dict[str, Any]) -> list[FlowSample]:
    return samples(sent[: result["odd"]], FlowSample)


@pytest.fixture
def flood(sent: Sequence[Datagram], result: dict[str, Any]) -> list[FlowSample]:
    return samples(sent[result["odd"] :], FlowSample)


def without_tag(frame: bytes, length: int) -> tuple[bytes, int]:
    """Return a frame as it is sampled: the kernel has taken the outermost VLAN tag off, and tells nobody of it."""
    if frame[12:14] not in {b"\x81\x00", b"\x88\xa8"}:
        return frame, length
    return frame[:12] + frame[16:], length - 4


def seen(folder: Path, device: str, direction: str) -> list[tuple[bytes, int]]:
    """Return the frames of a device and a direction that tcpdump saw."""
    found = frames(folder / f"{device}.{direction}.bin")
    return found if device in NO_ETHERNET else [without_tag(*frame) for frame in found]


def of(flows: Sequence[FlowSample], device: str, direction: str) -> list[FlowSample]:
    """Return the samples of a device and a direction."""
    index = DEVICES[device]
    mine = [one for one in flows if one.source_id.index == index]
    assert all((one.input.value == index) != (one.output.value == index) for one in mine)
    return [one for one in mine if (one.input if direction == "in" else one.output).value == index]


@every_device
@every_direction
def test_samples_are_the_frames_that_tcpdump_saw(
    folder: Path, odd: list[FlowSample], device: str, direction: str
) -> None:
    stripped = 18 if device in NO_ETHERNET else 4
    sampled = [header(one) for one in of(odd, device, direction)]
    watched = seen(folder, device, direction)
    assert [(one.header, one.frame_length) for one in sampled] == [
        (frame[:HEADER], length + stripped) for frame, length in watched
    ]
    assert {(one.protocol, one.stripped) for one in sampled} == {(NO_ETHERNET.get(device, 1), stripped)}


@every_device
def test_interfaces_are_those_that_a_packet_came_and_went_by(odd: list[FlowSample], device: str) -> None:
    index = DEVICES[device]
    assert {one.output.value for one in of(odd, device, "in")} <= {0}
    assert {one.input.value for one in of(odd, device, "out")} <= {0, *DEVICES.values()} - {index}
    assert {(one.input.format, one.output.format) for one in odd} == {(0, 0)}


def test_forwarded_packets_have_both_interfaces_as_they_leave(odd: list[FlowSample]) -> None:
    forwarded = [one for one in of(odd, "r2", "out") if packet(one)[26:34] == bytes([192, 0, 2, 2, 198, 51, 100, 2])]
    assert len(forwarded) > 10
    assert {one.input.value for one in forwarded} == {101}


@every_device
def test_samples_of_a_device_are_numbered_and_counted(odd: list[FlowSample], device: str) -> None:
    mine = [one for one in odd if one.source_id.index == DEVICES[device]]
    assert [(one.sequence_number, one.sample_pool) for one in mine] == [(n, n) for n in range(1, len(mine) + 1)]
    assert {(one.sampling_rate, one.drops) for one in mine} == {(1, 0)}


def test_datagrams_are_numbered(sent: Sequence[Datagram]) -> None:
    assert [one.sequence_number for one in sent] == list(range(1, len(sent) + 1))


def test_another_configuration_changes_the_filters_in_place(result: dict[str, Any]) -> None:
    log = result["log"]
    assert log.count("tc actions replace action sample rate 1 group 1 trunc 512 continue") == 1
    assert log.count("tc actions replace action sample rate 1 group 2 trunc 512 continue") == 1
    assert "tc filter del dev r1" not in log.partition("the configuration was loaded again")[0]


def test_an_interface_that_is_kept_goes_on_counting(odd: list[FlowSample], flood: list[FlowSample]) -> None:
    last = [one for one in odd if one.source_id.index == 101][-1]
    assert flood[0].sequence_number == last.sequence_number + 1
    assert [one.sequence_number - flood[0].sequence_number for one in flood] == list(range(len(flood)))
    assert {one.source_id.index for one in flood} == {101}
    assert {len(packet(one)) for one in flood} == {LONGER_HEADER}


def test_all_packets_passed(result: dict[str, Any]) -> None:
    assert result["counts"] == {"sent each way": PACKETS, "in": PACKETS, "out": PACKETS}


@every_direction
def test_what_was_lost_is_told_exactly(flood: list[FlowSample], direction: str) -> None:
    mine = of(flood, "r1", direction)
    lost, drops = 0, 0
    for one in flood:
        if one.drops != drops and one in mine:
            lost += one.drops - drops
        drops = one.drops
    assert lost > 0
    assert len(mine) + lost == PACKETS


def test_the_last_sample_accounts_for_every_packet(odd: list[FlowSample], flood: list[FlowSample]) -> None:
    before = [one for one in odd if one.source_id.index == 101][-1].sample_pool
    assert len(flood) + flood[-1].drops == 2 * PACKETS
    assert flood[-1].sample_pool - before == 2 * PACKETS
    assert flood[2 * FEW - 1].drops == 0


def test_the_status_tells_of_the_overflow(result: dict[str, Any], flood: list[FlowSample]) -> None:
    status = result["status"]
    assert status["sources"]["psample"]["overflows"] >= 1
    assert status["counts"]["packets_lost"] == flood[-1].drops
    assert status["counts"]["packets_shed"] == status["counts"]["packets_unknown_interface"] == 0
