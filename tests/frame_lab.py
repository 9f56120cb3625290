"""Two interfaces that face each other, frames sent through them, and what tcpdump sees of these.

For tests that have a network namespace to themselves (`net_namespace`). No frame passes but those that are sent.
"""

from __future__ import annotations

import shutil
import signal
import socket
import struct
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from net_namespace import shell
from running import until

ARRIVES, LEAVES = "v0", "v1"  # frames that are sent at the one arrive at the other, and the other way round
MACS = {ARRIVES: b"\2\0\0\0\0\0", LEAVES: b"\2\0\0\0\0\1"}
EXPERIMENT = 0x88B5  # an EtherType for experiments: nothing answers
_PCAP_HEADER, _RECORD = 24, 16


def make_pair(mtu: int = 9000) -> None:
    """Make the interfaces, up."""
    shell(
        f"ip link add {ARRIVES} address 02:00:00:00:00:00 mtu {mtu} type veth"
        f" peer name {LEAVES} address 02:00:00:00:00:01 mtu {mtu};"
        f"for one in {ARRIVES} {LEAVES}; do ip link set $one addrgenmode none; ip link set $one up; done"
    )


def frame(number: int, octets: int = 60, *, tags: Sequence[tuple[int, int]] = (), protocol: int = EXPERIMENT) -> bytes:
    """Return a numbered frame to everybody, of so many octets without its VLAN tags (TPID, TCI)."""
    told = b"".join(struct.pack(">HH", *tag) for tag in tags) + struct.pack(">HI", protocol, number)
    return (b"\xff" * 6 + b"\2\0\0\0\0\7" + told).ljust(octets + 4 * len(tags), b"\xa5")


def send(interface: str, frames: Iterable[bytes]) -> None:
    """Send frames out of an interface."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((interface, 0))
        for one in frames:
            sock.send(one)


class Dump:
    """A running tcpdump, and the file that it writes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def frames(self, count: int) -> list[bytes]:
        """Wait until so many were seen, and return all."""
        return (
            until(lambda: found if len(found := self._found()) >= count else None, f"{count} frames in tcpdump") or []
        )

    def _found(self) -> list[bytes]:
        data = self._path.read_bytes()
        at, found = _PCAP_HEADER, []
        while at + _RECORD <= len(data):
            captured = struct.unpack_from("=I", data, at + 8)[0]
            if at + _RECORD + captured > len(data):
                break
            found.append(data[at + _RECORD : at + _RECORD + captured])
            at += _RECORD + captured
        return found


@contextmanager
def dumped(interface: str, direction: str, folder: Path) -> Iterator[Dump]:
    """Let tcpdump watch one direction (`in`, `out` or `inout`) of an interface meanwhile."""
    if shutil.which("tcpdump") is None:
        pytest.skip("not installed: tcpdump")
    path, log = folder / f"{interface}-{direction}.pcap", folder / f"{interface}-{direction}.log"
    words = ["tcpdump", "-n", "-i", interface, "-Q", direction, "-s", "16384", "-B", "65536", "-U", "-w", str(path)]
    with (
        log.open("w") as out,
        subprocess.Popen([*words, "-Z", "root", "--immediate-mode"], stdout=out, stderr=out) as process,
    ):
        try:
            until(lambda: "listening on" in log.read_text() or process.poll() is not None, "tcpdump's start")
            assert process.poll() is None, log.read_text()
            yield Dump(path)
        finally:
            process.send_signal(signal.SIGINT)
