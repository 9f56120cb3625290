"""Datagrams written as a capture: what the reader of captures gives back, and what tshark says of the checksums."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from running import datagrams_of
from tidegate.errors import EncodeError
from tidegate.io.pcap import Capture
from tidegate.kernel import compile_kernels
from tidegate.wire.capture import frames, unwrap
from tidegate.wire.capture.write import Endpoint, pcap_header, pcap_record
from tshark import needs_tshark, packets

AGENT4, AGENT6 = (ipaddress.ip_address(text).packed for text in ("192.0.2.1", "2001:db8::1"))
OTHER4, OTHER6 = (ipaddress.ip_address(text).packed for text in ("198.51.100.77", "2001:db8::ffff:2"))
LATEST_NS = (1 << 32) * 10**9 - 1


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    list(compile_kernels((*frames.KERNELS, *unwrap.KERNELS)))


def written(path: Path, payloads: list[tuple[int, bytes]], source: bytes = AGENT4, target: bytes = OTHER4) -> Path:
    """Write a capture of (time in nanoseconds, payload)."""
    ends = {"source": Endpoint(source, 40000), "target": Endpoint(target, 6343)}
    path.write_bytes(pcap_header() + b"".join(pcap_record(payload, time, **ends) for time, payload in payloads))
    return path


@given(
    st.lists(st.tuples(st.integers(0, LATEST_NS), st.binary(max_size=1400)), max_size=6),
    st.sampled_from([(AGENT4, OTHER4), (AGENT6, OTHER6)]),
)
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, payloads: list[tuple[int, bytes]], ends: tuple[bytes, bytes]
) -> None:
    path = written(tmp_path_factory.mktemp("capture") / "out.pcap", payloads, *ends)
    capture = Capture(path)
    found = [datagram for block in capture for datagram in datagrams_of(block)]
    told = capture.statistics()
    assert [(one.time_ns, one.payload) for one in found] == payloads
    assert {(one.source, one.source_port) for one in found} <= {(str(ipaddress.ip_address(ends[0])).upper(), 40000)}
    assert (told.damage, told.skipped, told.cut, told.kind) == ("", {}, 0, "pcap")


def test_a_capture_of_nothing(tmp_path: Path) -> None:
    assert list(Capture(written(tmp_path / "out.pcap", []))) == []


def test_two_addresses_of_one_family() -> None:
    with pytest.raises(EncodeError):
        pcap_record(b"", 0, source=Endpoint(AGENT4, 1), target=Endpoint(OTHER6, 2))


def test_a_checksum_of_0_is_written_as_all_ones() -> None:
    """0 would say that there is none (RFC 768)."""
    ends = {"source": Endpoint(bytes(4), 0), "target": Endpoint(bytes(4), 0)}
    record = pcap_record(b"\0\0", 0, **ends)
    payload = (0xFFFF - sum_of(record)).to_bytes(2, "big")
    assert checksum(pcap_record(payload, 0, **ends)) == 0xFFFF


def checksum(record: bytes) -> int:
    at = 16 + 14 + 20 + 6
    return int.from_bytes(record[at : at + 2], "big")


def sum_of(record: bytes) -> int:
    return 0xFFFF - checksum(record)


@needs_tshark
@pytest.mark.parametrize(
    "ends", [(AGENT4, OTHER4), (AGENT6, OTHER6), (bytes(4), b"\xff" * 4), (bytes(16), b"\xff" * 16)]
)
def test_checksums_are_right(tmp_path: Path, ends: tuple[bytes, bytes]) -> None:
    payloads = [b"", b"\1", b"\xff\xff", bytes(1371), b"\xff" * 1372, bytes(range(256)) * 255]
    path = written(tmp_path / "out.pcap", list(enumerate(payloads)), *ends)
    found = packets(path, "ip.checksum.status", "udp.checksum.status", "udp.length", "frame.len", "frame.time_epoch")
    assert len(found) == len(payloads)
    version = 4 if len(ends[0]) == 4 else 6
    for (ip_status, udp_status, length, octets, time), (number, payload) in zip(
        found, enumerate(payloads), strict=True
    ):
        assert (ip_status, udp_status) == ("1" if version == 4 else "", "1")  # 1: good
        assert int(length) == 8 + len(payload)
        assert int(octets) == 14 + (20 if version == 4 else 40) + 8 + len(payload)
        assert time.endswith(f".{number:09d}")
