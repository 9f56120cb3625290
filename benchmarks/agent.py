"""Measure what the agent costs: from recorded psample messages to datagrams, and live on a netlink socket.

Method: "recorded" walks through the messages of a recording, repeated, in batches as a socket gives them, up to
finished datagrams; what the system calls cost is not in it. "Live" is the agent as it runs, with a netlink socket of
the family NETLINK_USERSOCK in place of psample's: a process of its own multicasts recorded messages through the real
kernel's netlink at a steady rate, and the agent sends its datagrams to a port of loopback that nobody reads. Charged
is the processor time of the agent's process. Bias: what the kernel itself spends on a sample is not measured, and the
sender shares the machine. Numbers of the messages are counted on, so that losses show.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tidegate.agent.config import AgentConfig, CollectorConfig, Source
from tidegate.agent.exporter import Exporter
from tidegate.agent.sampler import KnownInterface
from tidegate.apps.agent import Agent
from tidegate.apps.kernels import AGENT_KERNELS
from tidegate.data.block import Block, block_of
from tidegate.io.clock import Clock, SystemClock
from tidegate.io.netlink import join_group, leave_group, open_listener
from tidegate.io.sample_socket import SampleSocket
from tidegate.kernel import compile_kernels
from tidegate.wire.netlink.samples import SampleReader

FAMILY = 32  # of the messages in the recording
USERSOCK, GROUP = 2, 5
RECORDING = Path(__file__).parent.parent / "tests/data/psample/linux-6.1/rate-10.bin"
MESSAGES = 600_000
BATCH = 256
ROUNDS = 5
LIVE_S = 5.0
RATES = (10_000, 200_000)
INTERFACE = 101  # of the recording


def run() -> list[dict[str, Any]]:
    """Return the figures; takes about half a minute."""
    list(compile_kernels(AGENT_KERNELS))
    messages = recorded_messages()
    fast = statistics.median(_recorded(messages) for _ in range(ROUNDS))
    results = [
        _result(
            "agent: recorded psample messages to datagrams",
            fast,
            "messages/s",
            ">= 300000",
            f"{MESSAGES} messages of {len(messages[0])} octets, {BATCH} at a time, median of {ROUNDS} rounds, one core",
        )
    ]
    for rate in RATES:
        results += _live(rate)
    return results


def recorded_messages() -> list[bytes]:
    """Return the messages of the recording."""
    octets = RECORDING.read_bytes()
    found, at = [], 0
    while at < len(octets):
        size = struct.unpack_from("=I", octets, at)[0]
        found.append(octets[at : at + size])
        at += size + (-size % 4)
    return found


def _result(name: str, value: float, unit: str, bar: str | None, method: str) -> dict[str, Any]:
    return {"name": name, "value": round(value, 3), "unit": unit, "bar": bar, "method": method, "beside": {}}


def _exporter() -> Exporter:
    config = AgentConfig(most_samples=10_000_000)
    exporter = Exporter(config, source=Source.PSAMPLE, agent_address=bytes([192, 0, 2, 1]), seed=1, started_ns=0)
    exporter.set_interfaces([KnownInterface(INTERFACE, "r1", 2)], 0)
    return exporter


def _recorded(messages: list[bytes]) -> float:
    """Return messages a second of processor time."""
    repeated = (messages * (BATCH // len(messages) + 1))[:BATCH]
    block = block_of(repeated, [0] * BATCH)
    reader, exporter = SampleReader(FAMILY), _exporter()
    datagrams = 0
    start = time.thread_time_ns()
    for number in range(MESSAGES // BATCH):
        now_ns = number * 1_000_000
        for packets in reader.read(block):
            exporter.packets(packets, now_ns)
        datagrams += sum(map(len, exporter.take(now_ns)))
    spent = time.thread_time_ns() - start
    if not datagrams:
        raise RuntimeError("no datagram was made")
    return MESSAGES // BATCH * BATCH / spent * 1e9


def _live(rate: int) -> list[dict[str, Any]]:
    with subprocess.Popen(
        [sys.executable, __file__, "agent"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as agent:
        assert agent.stdin is not None  # noqa: S101 - for the types
        assert agent.stdout is not None  # noqa: S101 - for the types
        agent.stdout.readline()
        sender = [sys.executable, __file__, "send", str(rate), str(LIVE_S)]
        seconds = float(subprocess.run(sender, check=True, stdout=subprocess.PIPE).stdout)
        agent.stdin.close()
        told = json.loads(agent.stdout.readline())
    came = told["taken"] + told["shed"] + told["lost"]
    method = f"{rate} messages/s by netlink for {seconds:.1f} s, of which {came / seconds:.0f}/s came"
    bar = "< 25" if rate == RATES[0] else "< 100"
    return [
        _result(f"agent: processor at {rate} samples/s", 100 * told["cpu_s"] / seconds, "% of a core", bar, method),
        _result(f"agent: samples lost at {rate}/s", 100 * told["lost"] / max(came, 1), "%", None, method),
        _result(
            f"agent: packets that the samples sent at {rate}/s stand for",
            100 * told["estimated"] / max(told["pool"], 1),
            "% of sample_pool",
            None,
            f"{method}; one in {told['every']} sent at the end",
        ),
    ]


def _open(clock: Clock) -> SampleSocket:
    sock = open_listener(USERSOCK, buffer=8 << 20)
    join_group(sock, GROUP)
    return SampleSocket(sock, FAMILY, clock, leave=lambda: leave_group(sock, GROUP))


async def _run_agent() -> None:
    """Be the agent until standard input ends."""
    estimated, pool = [0], [0]

    def count(blocks: Sequence[Block]) -> None:
        for block in blocks:
            rates, pool[0] = _rates_and_pool(block)
            estimated[0] += rates

    config = AgentConfig(
        collectors=(CollectorConfig(address="127.0.0.1", port=9),),
        address="192.0.2.1",
        source=Source.PSAMPLE,
        polling_s=0,
    )
    agent = Agent(config, SystemClock(), sent=count, open_psample=_open)
    with agent.run():
        print("ready", flush=True)
        start = time.process_time()
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        spent = time.process_time() - start
        await asyncio.sleep(0.3)
        counts = agent.status().counts
    told = {name: counts[f"packets_{name}"] for name in ("taken", "shed", "lost")}
    told["every"] = counts["sub_sampling"]
    print(json.dumps({**told, "cpu_s": spent, "estimated": estimated[0], "pool": pool[0]}), flush=True)


def _rates_and_pool(block: Block) -> tuple[int, int]:
    """Return the sum of the rates of flow samples, and the pool of the last: at fixed places of each."""
    total = pool = 0
    for row in range(len(block)):
        start, length = int(block.offset[row]), int(block.length[row])
        octets = block.data[start : start + length].tobytes()
        at = 28
        while at < length:
            size = int.from_bytes(octets[at + 4 : at + 8], "big")
            total += int.from_bytes(octets[at + 16 : at + 20], "big")
            pool = int.from_bytes(octets[at + 20 : at + 24], "big")
            at += 8 + size
    return total, pool


def _send(rate: int, seconds: float) -> None:
    """Multicast recorded messages with numbers that count on, in bursts of what is due; print how long it took."""
    message = bytearray(recorded_messages()[0])
    at = _value_of(message, 4)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, USERSOCK) as sock:
        sock.bind((0, 0))
        start, sent = time.perf_counter(), 0
        while sent < rate * seconds:
            due = int((time.perf_counter() - start) * rate) + 1 - sent
            for _ in range(due):
                struct.pack_into("=I", message, at, sent)
                with contextlib.suppress(ConnectionRefusedError):  # of the kernel's own socket, which there is none of
                    sock.sendto(message, (0, 1 << (GROUP - 1)))
                sent += 1
            time.sleep(0.0002)
        print(time.perf_counter() - start)


def _value_of(message: bytearray, wanted: int) -> int:
    """Return where the value of an attribute stands."""
    at = 20
    while True:
        length, kind = struct.unpack_from("=HH", message, at)
        if kind == wanted:
            return at + 4
        at += length + (-length % 4)


def main() -> None:
    """Print the figures, or be the agent or the sender for somebody who measures."""
    if sys.argv[1:2] == ["send"]:
        _send(int(sys.argv[2]), float(sys.argv[3]))
        return
    if sys.argv[1:2] == ["agent"]:
        list(compile_kernels(AGENT_KERNELS))
        asyncio.run(_run_agent())
        return
    for result in run():
        print(f"{result['name']}: {result['value']} {result['unit']} (bar {result['bar']})")


if __name__ == "__main__":
    main()
