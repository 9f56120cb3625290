"""Measure what receiving costs beyond the system call, and how soon a lone datagram is handed on.

Method: a process of its own sends datagrams of 1,300 octets over loopback, at a fixed rate by sendmmsg. One after the
other, `UdpReceiver` and a bare loop of recvmmsg that throws the data away (256 slots, MSG_WAITFORONE, no time stamps,
no addresses) take them; each is charged the processor time of its thread. Rounds alternate and the median is told.
"Drain" gives both a full socket buffer instead, so that each call fetches as much as it can. Bias: the bare loop wakes
whenever something arrives, while `UdpReceiver` rests half a millisecond between two looks; at a steady rate that alone
saves system calls. "Drain" shows the price without it: the kernel's work for time stamps and addresses, a copy into
the block, and the Python around them.
"""

from __future__ import annotations

import select
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tidegate.data.block import block_of
from tidegate.io import mmsg
from tidegate.io.clock import SystemClock
from tidegate.io.mmsg import Receiving, Sending
from tidegate.io.queue import BoundedQueue
from tidegate.io.udp import UdpReceiver, UdpSettings, open_sockets
from tidegate.kernel import compile_kernels

RATE = 60_000
SECONDS = 3.0
OCTETS = 1300
ROUNDS = 3
SLOTS = 256
WAIT_FOR_ONE = 0x10000  # MSG_WAITFORONE
SETTINGS = UdpSettings(host="127.0.0.1", port=0)
METHOD = f"loopback, {OCTETS} octets, median of {ROUNDS} rounds"


def run() -> list[dict[str, Any]]:
    """Return the figures; takes about half a minute."""
    list(compile_kernels(mmsg.KERNELS))
    live = [(_live(_receiver), _live(take_bare)) for _ in range(ROUNDS)]
    drained = [(_drain(_receiver), _drain(take_bare)) for _ in range(ROUNDS)]
    ours, bare = _medians(live)
    ours_full, bare_full = _medians(drained)
    lost = max(1 - received / (RATE * SECONDS) for (_, received), _ in live)
    latencies = _latencies()
    steady = f"{METHOD}, {RATE} datagrams/s for {SECONDS:.0f} s"
    return [
        _result("receive: CPU a datagram", ours, "ns", None, method=steady, beside={"bare recvmmsg loop": bare}),
        _result("receive: CPU beside a bare loop", ours / bare, "ratio", "<= 1.5", method=steady, beside={}),
        _result("receive: loss", 100 * lost, "%", "0", method=f"{steady}, worst round", beside={}),
        _result(
            "receive: CPU a datagram, drain",
            ours_full,
            "ns",
            None,
            method=METHOD,
            beside={"bare recvmmsg loop": bare_full},
        ),
        _result(
            "receive: drain beside a bare loop", ours_full / bare_full, "ratio", "<= 1.5", method=METHOD, beside={}
        ),
        *(
            _result(
                f"receive: lone datagram handed on, p{percent}",
                float(np.percentile(latencies, percent)) / 1000,
                "us",
                "< 1000",
                method="kernel time stamp to the return of BoundedQueue.get, 400 datagrams 5 ms apart",
                beside={},
            )
            for percent in (50, 99)
        ),
    ]


def _result(
    name: str, value: float, unit: str, bar: str | None, *, method: str, beside: dict[str, float]
) -> dict[str, Any]:
    rounded = {peer: round(figure, 3) for peer, figure in beside.items()}
    return {"name": name, "value": round(value, 3), "unit": unit, "bar": bar, "method": method, "beside": rounded}


def _medians(rounds: list[tuple[tuple[int, int], tuple[int, int]]]) -> tuple[float, float]:
    """Return nanoseconds a datagram of both sides from (nanoseconds, datagrams) a round."""
    ours = statistics.median(spent / max(count, 1) for (spent, count), _ in rounds)
    bare = statistics.median(spent / max(count, 1) for _, (spent, count) in rounds)
    return ours, bare


Taker = Callable[[socket.socket, Callable[[], None]], tuple[int, int]]


def _live(taker: Taker) -> tuple[int, int]:
    """Return nanoseconds and datagrams of one taker at the steady rate."""
    sock = open_sockets(SETTINGS)[0]
    sender = [sys.executable, __file__, "send", str(sock.getsockname()[1]), str(RATE), str(SECONDS)]

    def traffic() -> None:
        subprocess.run(sender, check=True)

    return taker(sock, traffic)


def _drain(taker: Taker) -> tuple[int, int]:
    """Return the same for a socket whose buffer is full."""
    sock = open_sockets(SETTINGS)[0]
    _send(sock.getsockname()[1], 10_000, 10_000_000)
    return taker(sock, lambda: _wait_until_empty(sock))


def _receiver(sock: socket.socket, traffic: Callable[[], None]) -> tuple[int, int]:
    receiver = UdpReceiver(sock, lambda _: None, settings=SETTINGS, clock=SystemClock())
    receiver.start()
    clock = time.pthread_getcpuclockid(receiver.thread.ident or 0)
    traffic()
    _wait_until_empty(sock)
    spent = time.clock_gettime_ns(clock)
    receiver.stop()
    return spent, receiver.statistics().datagrams


def take_bare(sock: socket.socket, traffic: Callable[[], None]) -> tuple[int, int]:
    """Receive and throw away while `traffic` runs; return nanoseconds of processor time, and datagrams."""
    taken = [0, 0]
    sock.setsockopt(socket.SOL_SOCKET, mmsg.SO_TIMESTAMPNS, 0)

    def loop() -> None:
        receiving = Receiving(SLOTS)  # for its memory; the call is made without what `Receiving` does around it
        headers = receiving.headers
        headers[:, [0, 1, 4, 5]] = 0  # neither source addresses nor control data
        call, address, descriptor = receiving._call, headers.ctypes.data, sock.fileno()  # noqa: SLF001 - see above
        try:
            while True:
                count = call(descriptor, address, SLOTS, WAIT_FOR_ONE, None)
                if count < 0 or (count == 1 and headers[0, 7] == 0):  # the empty datagram ends it
                    break
                taken[1] += count
        finally:
            taken[0] = time.thread_time_ns()

    thread = threading.Thread(target=loop)
    thread.start()
    traffic()
    _wait_until_empty(sock)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.sendto(b"", sock.getsockname())
    thread.join(timeout=10)
    sock.close()
    return taken[0], taken[1]


def _wait_until_empty(sock: socket.socket) -> None:
    while select.select([sock], [], [], 0)[0]:
        time.sleep(0.002)
    time.sleep(0.01)


def _latencies() -> list[int]:
    """Return nanoseconds from the kernel's time stamp to the reader, a lone datagram at a time."""
    queue: BoundedQueue[Any] = BoundedQueue("benchmark", 64)
    sock = open_sockets(SETTINGS)[0]
    receiver = UdpReceiver(sock, queue.put, settings=SETTINGS, clock=SystemClock())
    receiver.start()
    sender = [sys.executable, __file__, "send", str(receiver.address[1]), "200", "2.0"]
    found = []
    with subprocess.Popen(sender):
        while (block := queue.get(timeout=3)) is not None:
            found.append(time.time_ns() - int(block.time_ns[0]))
            if len(found) == 400:
                break
    receiver.stop()
    return found


def _send(port: int, count: int, rate: float) -> None:
    """Send `count` datagrams to a port of loopback, in bursts of what is due."""
    sending = Sending()
    block = block_of([b"\0\0\0\5" + bytes(OCTETS - 4)] * 64, [0] * 64)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        start = time.perf_counter()
        sent = 0
        while sent < count:
            due = min(int((time.perf_counter() - start) * rate) + 1, count) - sent
            if due <= 0:
                time.sleep(0.0002)
                continue
            sent += sending.send(sock.fileno(), block, first=max(0, 64 - due))


def main() -> None:
    """Print the figures, or send for somebody who measures."""
    if sys.argv[1:2] == ["send"]:
        port, rate, seconds = int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
        _send(port, int(rate * seconds), rate)
        return
    for result in run():
        beside = "".join(f"; {peer}: {figure}" for peer, figure in result["beside"].items())
        print(f"{result['name']}: {result['value']} {result['unit']} (bar {result['bar']}{beside})")


if __name__ == "__main__":
    main()
