from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import msgspec
import numpy as np
import pytest

from tidegate.data.address import format_address
from tidegate.data.block import Block, octets_of_block
from tidegate.errors import SourceError
from tidegate.io import mmsg
from tidegate.io.clock import SystemClock
from tidegate.io.queue import BoundedQueue
from tidegate.io.udp import SingleReceiving, UdpReceiver, UdpSettings, UdpStatistics, next_rest, open_sockets
from tidegate.kernel import compile_kernels

PATIENCE_S = 10.0
LOCAL = UdpSettings(host="127.0.0.1", port=0)


@pytest.fixture(scope="module", autouse=True)
def compiled() -> Iterator[None]:
    list(compile_kernels(mmsg.KERNELS))
    yield
    assert len(getattr(mmsg.read_headers, "signatures", "1")) == 1, "a kernel was compiled again on the data path"


class Listening:
    """A receiver with its queue."""

    def __init__(self, settings: UdpSettings = LOCAL, sock: socket.socket | None = None) -> None:
        self.queue: BoundedQueue[Block] = BoundedQueue("test", 1 << 30, weigh=octets_of_block)
        self.receiver = UdpReceiver(
            sock or open_sockets(settings)[0], self.queue.put, settings=settings, clock=SystemClock()
        )

    def __enter__(self) -> Self:
        self.receiver.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.receiver.stop()

    @property
    def port(self) -> int:
        return self.receiver.address[1]

    def take(self, count: int) -> list[tuple[bytes, str, int, int]]:
        """Return `count` datagrams: payload, source, port, time."""
        found: list[tuple[bytes, str, int, int]] = []
        while len(found) < count:
            block = self.queue.get(PATIENCE_S)
            assert block is not None, f"{len(found)} of {count} datagrams came"
            found += rows_of(block)
        return found


def rows_of(block: Block) -> list[tuple[bytes, str, int, int]]:
    return [
        (
            block.data[int(at) : int(at + length)].tobytes(),
            format_address(int(high), int(low)),
            int(port),
            int(time_ns),
        )
        for at, length, high, low, port, time_ns in zip(
            block.offset,
            block.length,
            block.source_high,
            block.source_low,
            block.source_port,
            block.time_ns,
            strict=True,
        )
    ]


def sender(family: int, address: str, port: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.connect((address, port))
    return sock


def wait_for(condition: object) -> None:
    """Wait for a condition that no event announces."""
    assert callable(condition)
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        os.sched_yield()


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_the_wildcard_takes_both_families(family: int, address: str) -> None:
    with Listening(UdpSettings(port=0)) as listening, sender(family, address, listening.port) as sock:
        sock.send(b"hello")
        assert [row[:3] for row in listening.take(1)] == [(b"hello", address, sock.getsockname()[1])]


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_an_explicit_address_is_bound(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with Listening(UdpSettings(host=address, port=0)) as listening:
        assert listening.receiver.address[0] == address
        with sender(family, address, listening.port) as sock:
            sock.send(b"hello")
            assert listening.take(1)[0][1] == address


def test_payloads_of_all_lengths_come_whole_in_one_block() -> None:
    sock = open_sockets(LOCAL)[0]
    payloads = [bytes([i]) * n for i, n in enumerate((0, 1, 1400, 2047, 2048, 2049, 9000, 60_000, 65_507, 3))]
    with sender(socket.AF_INET, *sock.getsockname()) as out:
        for payload in payloads:  # before anybody receives, so that one call fetches them all
            out.send(payload)
        with Listening(sock=sock) as listening:
            found = listening.take(len(payloads))
    assert [row[0] for row in found] == payloads
    stats = listening.receiver.statistics()
    assert (stats.blocks, stats.truncated, stats.octets) == (1, 0, sum(map(len, payloads)))


def test_a_full_block_keeps_nothing_of_the_receivers_memory() -> None:
    sock = open_sockets(LOCAL)[0]
    settings = UdpSettings(host="127.0.0.1", port=0, block_size=4)
    with sender(socket.AF_INET, *sock.getsockname()) as out:
        for i in range(8):
            out.send(bytes([i]) * mmsg.SLOT)
        with Listening(settings, sock) as listening:
            blocks = [listening.queue.get(PATIENCE_S), listening.queue.get(PATIENCE_S)]
    firsts = [block.data[block.offset].tolist() for block in blocks if block is not None]
    assert firsts == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_time_stamps_are_the_kernels() -> None:
    with Listening() as listening, sender(socket.AF_INET, "127.0.0.1", listening.port) as out:
        before = time.time_ns()
        for _ in range(200):
            out.send(b"x")
        after = time.time_ns()
        times = [row[3] for row in listening.take(200)]
    assert times == sorted(times)
    assert len(set(times)) > 100
    assert before <= times[0]
    assert times[-1] <= after


def test_all_sent_is_received_or_counted_as_dropped_by_the_kernel() -> None:
    settings = UdpSettings(host="127.0.0.1", port=0, receive_buffer=8192)
    sock = open_sockets(settings)[0]
    with sender(socket.AF_INET, *sock.getsockname()) as out:
        for _ in range(5000):
            out.send(b"x" * 500)
        with Listening(settings, sock) as listening:
            for _ in range(5000):
                out.send(b"x" * 500)
            wait_for(lambda: accounted(listening.receiver.statistics()) == 10_000)
    stats = listening.receiver.statistics()
    queued = listening.queue.statistics()
    assert accounted(stats) == 10_000
    assert stats.kernel_dropped is not None
    assert stats.kernel_dropped > 4000
    assert queued.rows_in == stats.datagrams
    assert queued.items_in == stats.blocks


def accounted(stats: UdpStatistics) -> int:
    return stats.datagrams + (stats.kernel_dropped or 0)


def test_stop_ends_a_thread_that_waits() -> None:
    listening = Listening()
    with listening:
        wait_for(listening.receiver.thread.is_alive)
    assert not listening.receiver.thread.is_alive()
    listening.receiver.stop()
    assert listening.receiver.statistics().datagrams == 0


def test_stop_before_start_closes_the_socket() -> None:
    sock = open_sockets(LOCAL)[0]
    Listening(sock=sock).receiver.stop()
    assert sock.fileno() == -1


def test_workers_share_one_port_and_all_traffic() -> None:
    settings = UdpSettings(host="127.0.0.1", port=0, workers=2)
    sockets = open_sockets(settings)
    assert len({sock.getsockname()[1] for sock in sockets}) == 1
    with Listening(settings, sockets[0]) as one, Listening(settings, sockets[1]) as two:
        for _ in range(64):  # the kernel spreads by source port
            with sender(socket.AF_INET, "127.0.0.1", one.port) as out:
                out.send(b"x")
        wait_for(lambda: one.receiver.statistics().datagrams + two.receiver.statistics().datagrams == 64)
        assert one.receiver.statistics().datagrams > 0
        assert two.receiver.statistics().datagrams > 0
        with pytest.raises(SourceError, match="in use"):  # another program does not get a share
            open_sockets(UdpSettings(host="127.0.0.1", port=one.port, workers=2))


def test_a_port_in_use_is_told_with_what_to_do() -> None:
    with open_sockets(LOCAL)[0] as sock:
        port = sock.getsockname()[1]
        with pytest.raises(SourceError, match=f"in use: stop the other program .*{port}") as caught:
            open_sockets(UdpSettings(host="127.0.0.1", port=port))
    assert caught.value.name == f"udp 127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("host", "reason"), [("192.0.2.1", "does not have the address"), ("switch.example", "is not an address")]
)
def test_addresses_that_cannot_be_bound_are_told(host: str, reason: str) -> None:
    with pytest.raises(SourceError, match=reason):
        open_sockets(UdpSettings(host=host, port=0))


LOW_PORTS = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
MAY_BIND_ALL = not LOW_PORTS.exists() or int(LOW_PORTS.read_text()) < 2
ASK = """
import encodings.idna, os  # a codec that is loaded late, from a place that only root may be able to read
from tidegate.errors import SourceError
from tidegate.io.udp import UdpSettings, open_sockets
os.setuid(65534)
try:
    open_sockets(UdpSettings(host="127.0.0.1", port=1))
except SourceError as error:
    print(error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give up the right to bind low ports")
@pytest.mark.skipif(
    not LOW_PORTS.exists() or int(LOW_PORTS.read_text()) < 2, reason="everybody may bind low ports here"
)
def test_no_permission_is_told() -> None:
    # A process of its own, because a right once given up does not come back.
    told = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True).stdout
    assert "no permission: choose a port from 1024 up" in told


def test_a_buffer_smaller_than_asked_comes_with_advice() -> None:
    settings = UdpSettings(host="127.0.0.1", port=0, receive_buffer=1 << 20)
    with open_sockets(LOCAL)[0] as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        receiver = UdpReceiver(sock, print, settings=settings, clock=SystemClock())
        assert "net.core.rmem_max=1048576" in receiver.statistics().hint
        receiver.stop()


def test_the_slow_way_gives_the_same_blocks() -> None:
    settings = UdpSettings(port=0)
    payloads = [b"", b"x" * 60_000, b"y"]
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with open_sockets(settings)[0] as sock, sender(family, address, sock.getsockname()[1]) as out:
            found = []
            for fetching in (mmsg.Receiving(8), SingleReceiving(sock, 8)):
                with pytest.raises(BlockingIOError):
                    fetching.receive(sock.fileno())
                before = time.time_ns()
                for payload in payloads:
                    out.send(payload)
                block, truncated = fetching.take(fetching.receive(sock.fileno()), 0)
                assert truncated == 0
                assert all(before <= t <= time.time_ns() for t in block.time_ns.tolist())
                found.append([row[:3] for row in rows_of(block)])
    assert found[0] == found[1]
    assert [row[0] for row in found[0]] == payloads


def test_rows_without_a_time_stamp_get_the_time_given() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        with sender(socket.AF_INET, *sock.getsockname()) as out:
            for fetching in (mmsg.Receiving(1), SingleReceiving(sock, 1)):
                out.send(b"x")
                block, _ = fetching.take(fetching.receive(sock.fileno()), 42)
                assert block.time_ns.tolist() == [42]


def test_control_data_that_lies_about_its_length_is_passed_over() -> None:
    controls = np.zeros((4, 8), np.int64)
    controls[:, 0] = [0, -1, 1 << 40, 16]
    halves = controls.view(np.int32)
    halves[:, 3] = mmsg.SO_TIMESTAMPNS
    headers = np.zeros((4, 8), np.int64)
    headers[:, 5] = 64
    columns, summary = np.zeros((3, 4), np.int64), np.zeros(3, np.int64)
    words, names = np.zeros((2, 4), np.uint64), np.zeros((4, 32), np.uint8)
    mmsg.read_headers(headers, headers.view(np.int32), names, controls, halves, 7, columns, words, summary)
    assert summary.tolist() == [0, 0, 4]
    assert columns[1].tolist() == [7] * 4


class Failing:
    """A way to fetch that fails a few times, as a socket on a broken interface does."""

    size = 4

    def __init__(self) -> None:
        self.calls = 0
        self.enough = threading.Event()

    def receive(self, _descriptor: int) -> int:
        self.calls += 1
        if self.calls > 3:
            self.enough.set()
            raise BlockingIOError
        raise OSError(errno.ENETDOWN, "Network is down")

    def take(self, count: int, now_ns: int) -> tuple[Block, int]:
        raise AssertionError((count, now_ns))


def test_errors_of_the_socket_are_counted_and_survived() -> None:
    listening = Listening()
    failing = Failing()
    listening.receiver._fetching = failing
    with listening:
        assert failing.enough.wait(PATIENCE_S)
    stats = listening.receiver.statistics()
    assert stats.errors == 3
    assert "Network is down" in stats.last_error


def test_a_lone_empty_datagram_is_a_row_too() -> None:
    with Listening() as listening, sender(socket.AF_INET, "127.0.0.1", listening.port) as out:
        out.send(b"")
        assert listening.take(1)[0][0] == b""


def test_settings_out_of_bounds_are_refused() -> None:
    for bad in ({"port": 65536}, {"workers": 0}, {"block_size": 0}, {"gather_s": -1.0}, {"prot": 6343}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(bad, UdpSettings)


def test_rests_grow_with_the_load_and_shrink_without() -> None:
    rest, rests = 0.0, []
    for count in (1, 30, 60, 120, 240, 480, 480, 3, 1, 1, 1, 1, 1, 1):
        rest = next_rest(rest, count, 0.008)
        rests.append(round(rest * 1000, 3))
    assert rests == [0.5, 1, 2, 4, 8, 8, 8, 8, 4, 2, 1, 0.5, 0.5, 0.5]
    assert next_rest(0.001, 100, 0.0) == 0.0
