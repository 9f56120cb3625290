"""What the kernel samples at 1 in 1 is what tcpdump sees, frame by frame."""

from __future__ import annotations

from pathlib import Path

import pytest

from netlink_recordings import frames
from tidegate.wire.netlink.message import first_attributes, split_messages, uint_of

ORIGSIZE, GROUP, SEQUENCE, DATA = 2, 3, 4, 6  # linux/psample.h
pytestmark = pytest.mark.guest("sampling")
NAMES = ("icmp6", "udp4", "tcp4", "vlan-ingress")


@pytest.fixture
def folder(tmp_path: Path, result: dict[str, str]) -> Path:
    """The files that the scenario wrote."""
    for name, octets in result.items():
        (tmp_path / name).write_bytes(bytes.fromhex(octets))
    return tmp_path


def samples(path: Path) -> list[dict[int, bytes]]:
    return [first_attributes(message.body, 4) for message in split_messages(path.read_bytes())]


def without_tag(frame: bytes, length: int) -> tuple[bytes, int]:
    """Return a frame as it is sampled: the kernel has taken the outermost VLAN tag off."""
    if frame[12:14] not in {b"\x81\x00", b"\x88\xa8"}:
        return frame, length
    return frame[:12] + frame[16:], length - 4


@pytest.mark.parametrize("name", NAMES)
def test_samples_are_the_frames(folder: Path, name: str) -> None:
    sampled = [(told[DATA], uint_of(told[ORIGSIZE])) for told in samples(folder / f"{name}.bin")]
    seen = [without_tag(*frame) for frame in frames(folder / f"{name}.bin")]
    assert sampled == [(octets[:128], length) for octets, length in seen]
    assert sampled


@pytest.mark.parametrize("name", NAMES)
def test_samples_of_a_group_are_numbered_from_zero_on(folder: Path, name: str) -> None:
    numbers = [uint_of(told[SEQUENCE]) for told in samples(folder / f"{name}.bin")]
    assert numbers == list(range(len(numbers)))
