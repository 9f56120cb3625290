from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.data.block import Block, block_of
from tidegate.errors import SourceError
from tidegate.io.clock import SystemClock
from tidegate.io.replay import pace, send_capture

MS = 1_000_000


class FakeClock:
    """Time moves when somebody sleeps, and never otherwise."""

    def __init__(self, now_ns: int = 50 * MS) -> None:
        self.now_ns = now_ns

    def monotonic_ns(self) -> int:
        return self.now_ns

    def time_ns(self) -> int:
        return 0

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now_ns += max(1, round(seconds * 1e9))


def numbered(times_ns: list[int], first: int = 0) -> Block:
    return block_of([(first + i).to_bytes(4, "big") for i in range(len(times_ns))], times_ns)


def played(blocks: list[Block], clock: FakeClock, speed: float | None) -> list[tuple[int, list[int]]]:
    """Return when each part came and the numbers in it."""
    start = clock.now_ns
    found = []
    for part in pace(blocks, clock, speed=speed):
        numbers = [int.from_bytes(part.data[at : at + 4].tobytes(), "big") for at in part.offset.tolist()]
        found.append((clock.now_ns - start, numbers))
    return found


def test_without_a_speed_blocks_pass_as_they_are() -> None:
    blocks = [numbered([0, 10**12]), numbered([5])]
    assert list(pace(blocks, FakeClock(), speed=None)) == blocks


@pytest.mark.parametrize(("speed", "factor"), [(1.0, 1), (0.5, 2), (10.0, 0.1)])
def test_datagrams_come_when_they_are_due(speed: float, factor: float) -> None:
    blocks = [numbered([0, 100 * MS, 200 * MS]), numbered([300 * MS], 3)]
    found = played(blocks, FakeClock(), speed)
    assert [numbers for _, numbers in found] == [[0], [1], [2], [3]]
    assert [when for when, _ in found] == pytest.approx([0, *(i * 100 * MS * factor for i in (1, 2, 3))], abs=2000)


def test_datagrams_within_a_millisecond_come_together() -> None:
    found = played([numbered([0, MS // 2, MS, 5 * MS])], FakeClock(), 1.0)
    assert [numbers for _, numbers in found] == [[0, 1, 2], [3]]
    assert found[0][0] == pytest.approx(MS, abs=2000)


def test_what_is_late_comes_at_once() -> None:
    clock = FakeClock()
    parts = pace([numbered([0]), numbered([10 * MS, 20 * MS, 900 * MS], 1)], clock, speed=1.0)
    assert len(next(parts)) == 1
    clock.now_ns += 500 * MS  # a slow reader
    late = next(parts)
    assert len(late) == 2
    assert clock.now_ns == 550 * MS
    assert len(next(parts)) == 1
    assert clock.now_ns == pytest.approx(950 * MS, abs=2000)


@pytest.mark.parametrize("jump", [10**18, -(10**15)])
def test_where_recorded_time_jumps_nobody_waits(jump: int) -> None:
    blocks = [numbered([10**15, 10**15 + 5 * MS]), numbered([10**15 + jump, 10**15 + jump + 7 * MS], 2)]
    found = played(blocks, FakeClock(), 1.0)
    assert found[-1][0] == pytest.approx(12 * MS, abs=4000)
    assert [number for _, numbers in found for number in numbers] == [0, 1, 2, 3]


@pytest.mark.parametrize("speed", [0.0, -1.0, float("inf"), float("nan")])
def test_a_speed_that_is_none_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        pace([], FakeClock(), speed=speed)


@given(
    st.lists(st.lists(st.integers(0, 60 * 10**9), max_size=8), max_size=5),
    st.floats(1e-9, 1e9),
)
def test_nothing_is_lost_nor_reordered(times: list[list[int]], speed: float) -> None:
    blocks, count = [], 0
    for some in times:
        blocks.append(numbered(some, count))
        count += len(some)
    clock = NapClock()
    found = played(blocks, clock, speed)
    assert [number for _, numbers in found for number in numbers] == list(range(count))
    assert all(numbers for _, numbers in found)


class NapClock(FakeClock):
    """A clock on which every sleep is long enough, so that low speeds are played quickly."""

    def sleep(self, seconds: float) -> None:
        assert 0 < seconds <= 60
        self.now_ns += 1 << 61


def test_a_capture_is_sent_over_udp() -> None:
    payloads = [bytes([i % 256]) * (i % 1400) for i in range(200)] + [b"z" * 60_000]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(10)
        blocks = [block_of(payloads[:150], [0] * 150), block_of(payloads[150:], [0] * 51)]
        stats = send_capture(blocks, sock.getsockname(), speed=None, clock=SystemClock())
        assert [sock.recv(65536) for _ in payloads] == payloads
    assert (stats.datagrams, stats.octets, stats.refused) == (201, sum(map(len, payloads)), 0)


def test_what_the_kernel_refuses_is_counted_and_the_rest_sent() -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.bind(("::1", 0))
        sock.settimeout(10)
        blocks = [block_of([b"a", b"x" * 65_535, b"b"], [0] * 3)]
        stats = send_capture(blocks, sock.getsockname()[:2], speed=None, clock=SystemClock())
        assert [sock.recv(100), sock.recv(100)] == [b"a", b"b"]
    assert (stats.datagrams, stats.refused) == (2, 1)


def test_sending_to_nobody_ends() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        address = sock.getsockname()
    stats = send_capture([block_of([b"x"] * 300, [0] * 300)], address, speed=None, clock=SystemClock())
    assert stats.datagrams == 300


def test_an_address_that_does_not_exist_is_told() -> None:
    with pytest.raises(SourceError, match="udp ::1%nowhere port 6343"):
        send_capture([], ("::1%nowhere", 6343), speed=None, clock=SystemClock())


def test_the_system_clock_moves_on() -> None:
    clock = SystemClock()
    before = clock.monotonic_ns()
    clock.sleep(0.001)
    clock.sleep(-1)
    assert clock.monotonic_ns() - before >= MS
    assert clock.time_ns() > 10**18
