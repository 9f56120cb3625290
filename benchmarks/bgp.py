"""Measure how fast FlowSpec rules and blackhole routes leave the process, and what idle neighbours cost.

Ten thousand rules, each of a destination, a protocol and a source port with a drop action, are announced to a speaker
whose session with a second, bare endpoint on loopback stands. The clock runs from the first `announce` to the moment
when the last of their UPDATEs was written to the socket: the peer's dialect check, the encoding, one UPDATE a rule,
and the writes are all inside. The endpoint only reads, in a process of its own. Beside it: one rule, from `announce` to
written, as the 99th percentile of a thousand, the loop being idle otherwise. A hundred thousand host routes with a
blackhole community are measured as the rules are.

Idle neighbours: fifty sessions with fifty endpoints in another process, hold time 9 s, so that keepalives go ten times
as often as by default; when all are up, the processor time of the speaker's process over twenty seconds.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import socket
import time
from typing import Any

from tidegate.io.bgp import Hooks, PeerConfig, Speaker
from tidegate.kernel import compile_kernels
from tidegate.units import Asn
from tidegate.wire.bgp import update_scan
from tidegate.wire.bgp.communities import TrafficRateBytes
from tidegate.wire.bgp.constants import Afi, Family
from tidegate.wire.bgp.flowspec import (
    Comparison,
    ComponentType,
    FlowRule,
    NumericComponent,
    NumericOp,
    PrefixComponent,
)
from tidegate.wire.bgp.message import KEEPALIVE
from tidegate.wire.bgp.open import Capabilities, Open, encode_open
from tidegate.wire.bgp.prefix import Prefix
from tidegate.wire.bgp.routes import FlowRoute, RouteKey, UnicastRoute

RULES = 10_000
HOLES = 100_000
IDLE, IDLE_HOLD_S, IDLE_S = 50, 9, 20.0
HOLES_METHOD = "100,000 host routes with a blackhole community to one established peer on loopback; best of 3"
IDLE_METHOD = f"{IDLE} sessions, hold time {IDLE_HOLD_S} s, {IDLE_S:.0f} s; processor time of the speaker's process"
SINGLES = 1_000
METHOD = "10,000 rules to one established peer on loopback, one UPDATE each; best of 5"
SINGLE_METHOD = "announce to written, one rule at a time on an idle loop; p99 of 1,000"


def rule(number: int) -> FlowRoute:
    """Return a rule of its own: drop DNS answers to one host."""
    host = Prefix((0x0A000000 + number).to_bytes(4, "big"), 32)
    components = (
        PrefixComponent(ComponentType.DESTINATION, host),
        NumericComponent(ComponentType.PROTOCOL, (NumericOp(Comparison.EQ, 17, 1),)),
        NumericComponent(ComponentType.SOURCE_PORT, (NumericOp(Comparison.EQ, 53, 1),)),
    )
    return FlowRoute(FlowRule(Afi.IPV4, components), (TrafficRateBytes(0.0),))


def hole(number: int) -> UnicastRoute:
    """Return a blackhole route for one host."""
    host = Prefix((0x0A000000 + number).to_bytes(4, "big"), 32)
    return UnicastRoute(host, bytes((192, 0, 2, 1)), communities=(0xFFFF029A, 0xFFFFFF01))


def sink(listener: socket.socket) -> None:
    """Be a peer that says what is needed and reads all, to the end of the stream."""
    connection, _ = listener.accept()
    with connection:
        capabilities = Capabilities(tuple(Family), asn4=Asn(65002))
        connection.sendall(encode_open(Open(Asn(65002), 0, 1, capabilities)) + KEEPALIVE)
        while connection.recv(1 << 20):
            pass


class Bench:
    """The hooks' side: when the session stood, and how many rules were written."""

    def __init__(self) -> None:
        self.up = asyncio.Event()
        self.written = 0
        self.goal = 0
        self.done = asyncio.Event()

    def sent(self, _peer: str, _key: RouteKey, _wall_ns: int) -> None:
        """Count one rule."""
        self.written += 1
        if self.written == self.goal:
            self.done.set()

    async def wait(self, count: int) -> None:
        """Wait until `count` more rules were written."""
        self.goal = self.written + count
        self.done.clear()
        await self.done.wait()


async def measure_holes() -> tuple[float, float]:
    """Return seconds for all blackhole routes, by the clock and of this process's processor time."""
    bench = Bench()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        reader = multiprocessing.get_context("fork").Process(target=sink, args=(listener,))
        reader.start()
        config = PeerConfig("127.0.0.1", 65001, "192.0.2.1", port=listener.getsockname()[1])
        hooks = Hooks(up=lambda _peer: bench.up.set(), sent=bench.sent)
        async with Speaker([config], port=None, hooks=hooks) as speaker:
            await bench.up.wait()
            holes = [hole(number) for number in range(HOLES)]
            start, cpu = time.perf_counter(), time.process_time()
            for each in holes:
                speaker.announce(None, each)
            await bench.wait(HOLES)
            seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        reader.join()
    return seconds, cpu


def stand_idle(listeners: list[socket.socket]) -> None:
    """Be idle peers: say OPEN, then a keepalive every third of the hold time, until killed."""
    connections = []
    for number, listener in enumerate(listeners):
        connection, _ = listener.accept()
        capabilities = Capabilities(tuple(Family), asn4=Asn(65002))
        connection.sendall(encode_open(Open(Asn(65002), IDLE_HOLD_S, number + 1, capabilities)) + KEEPALIVE)
        connections.append(connection)
    while True:
        time.sleep(IDLE_HOLD_S / 3)
        for connection in connections:
            connection.recv(1 << 16)
            connection.sendall(KEEPALIVE)


async def measure_idle() -> float:
    """Return the share of a processor that idle peers cost, in percent."""
    addresses = [f"127.0.1.{number + 1}" for number in range(IDLE)]
    listeners = [socket.create_server((address, 0)) for address in addresses]
    peers = multiprocessing.get_context("fork").Process(target=stand_idle, args=(listeners,))
    peers.start()
    configs = [
        PeerConfig(address, 65001, "192.0.2.1", port=listener.getsockname()[1], hold_time_s=IDLE_HOLD_S)
        for address, listener in zip(addresses, listeners, strict=True)
    ]
    up = asyncio.Semaphore(0)
    async with Speaker(configs, port=None, hooks=Hooks(up=lambda _peer: up.release())) as speaker:
        for _ in configs:
            await up.acquire()
        begin, cpu = time.perf_counter(), time.process_time()
        await asyncio.sleep(IDLE_S)
        share = (time.process_time() - cpu) / (time.perf_counter() - begin)
        if any(neighbor.state != "established" for neighbor in speaker.neighbors()):
            raise RuntimeError("not all sessions stayed up")
    peers.kill()
    peers.join()
    for listener in listeners:
        listener.close()
    return 100 * share


async def measure() -> tuple[float, float, float]:
    """Return seconds for all rules, by the clock and of this process's processor time; milliseconds (p99) for one."""
    bench = Bench()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        reader = multiprocessing.get_context("fork").Process(target=sink, args=(listener,))
        reader.start()
        config = PeerConfig("127.0.0.1", 65001, "192.0.2.1", port=listener.getsockname()[1])
        hooks = Hooks(up=lambda _peer: bench.up.set(), sent=bench.sent)
        async with Speaker([config], port=None, hooks=hooks) as speaker:
            await bench.up.wait()
            rules = [rule(number) for number in range(RULES + SINGLES)]
            start, cpu = time.perf_counter(), time.process_time()
            for each in rules[:RULES]:
                speaker.announce(None, each)
            await bench.wait(RULES)
            seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
            singles = []
            for each in rules[RULES:]:
                begin = time.perf_counter()
                speaker.announce(None, each)
                await bench.wait(1)
                singles.append(time.perf_counter() - begin)
        reader.join()
    return seconds, cpu, sorted(singles)[int(0.99 * SINGLES)] * 1e3


def run() -> list[dict[str, Any]]:
    """Return the results in the form of `tidegate bench`."""
    list(compile_kernels(update_scan.KERNELS))
    runs = [asyncio.run(measure()) for _ in range(5)]
    holes = [asyncio.run(measure_holes()) for _ in range(3)]
    idle = asyncio.run(measure_idle())
    return [
        {
            "name": "bgp: 10,000 FlowSpec rules announced",
            "value": round(min(seconds for seconds, _, _ in runs), 3),
            "unit": "s",
            "bar": "<= 1",
            "method": METHOD,
            "beside": {"processor time of the speaker, s": round(min(cpu for _, cpu, _ in runs), 3)},
        },
        {
            "name": "bgp: announce to written, p99",
            "value": round(min(single for _, _, single in runs), 3),
            "unit": "ms",
            "bar": "<= 5",
            "method": SINGLE_METHOD,
            "beside": {},
        },
        {
            "name": "bgp: 100,000 blackhole routes announced",
            "value": round(min(seconds for seconds, _ in holes), 3),
            "unit": "s",
            "bar": "<= 3",
            "method": HOLES_METHOD,
            "beside": {"processor time of the speaker, s": round(min(cpu for _, cpu in holes), 3)},
        },
        {
            "name": "bgp: 50 idle neighbours",
            "value": round(idle, 3),
            "unit": "%",
            "bar": "< 1",
            "method": IDLE_METHOD,
            "beside": {},
        },
    ]


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
