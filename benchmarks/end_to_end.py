"""Measure the whole collector live: what a datagram costs, how soon a limit crossed is an event, how soon an UPDATE.

Method, cost: a process of its own sends the datagrams of a real capture (1,000, looped; 1,264 octets and 5.9 flow
samples each on average) over loopback at a fixed rate by sendmmsg. One after the other, a bare recvmmsg loop that
throws the data away and the collector (receiver, queue, decoder, engine with one definition of four keys and a
threshold) take them; each is charged the processor time of its process. Rounds alternate and the median is told.

Method, latency: the collector's own parts in this process, a script that announces a FlowSpec rule for each event, and
a BGP peer on loopback. Background: the capture at 2,000 datagrams/s. Then one datagram at a time whose samples lift a
new key over its limit. Event: from the kernel's time stamp of that datagram until the event is published. UPDATE: from
there until the session's octets were written to the socket.

Bias: sender, collector and peer share two cores; the capture has few keys, which is kind to the table (see engine.py).
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from tidegate.apps import demo_traffic
from tidegate.apps.collector import Receiving, Running, collector
from tidegate.apps.config import BgpConfig, Config, PeerText, RestText, ScriptText, SflowConfig
from tidegate.apps.kernels import ALL_KERNELS
from tidegate.apps.pipeline import build_analyzer
from tidegate.engine.events import Event
from tidegate.io.bgp import Speaker
from tidegate.io.clock import SystemClock
from tidegate.io.memory import keep_freed_memory
from tidegate.io.mmsg import Sending
from tidegate.io.pcap import Capture
from tidegate.io.udp import open_sockets
from tidegate.kernel import compile_kernels
from tidegate.wire.bgp.peer import PeerConfig

CAPTURE = Path(__file__).parents[1] / "tests" / "data" / "sflow" / "overflowd-two-port-1000.pcap"
RATE = 60_000  # datagrams a second
SECONDS = 4.0
ROUNDS = 3
TRIALS = 400
DEFINITION = {"keys": "ipsource,ipdestination,tcpsourceport,tcpdestinationport", "value": "bytes"}
THRESHOLD = {"metric": "tcp", "value": 1e12, "byFlow": True, "timeout": 1}
SCRIPT = """
def setup(rt):
    rt.set_flow("hit", {"keys": "ipdestination", "value": "frames", "filter": "ipprotocol=17", "t": 2})
    rt.set_threshold("hit", {"metric": "hit", "value": 1000, "byFlow": True, "timeout": 60})

    def announce(event):
        match = {"destination": event.flow_key, "protocol": "=17", "source-port": "=53"}
        rt.bgp.announce_flow(None, {"match": match, "then": {"traffic-rate": "0"}})

    rt.on_event(announce, thresholds=["hit"])
"""


def run() -> list[dict[str, Any]]:
    """Return the figures; takes about a minute."""
    list(compile_kernels(ALL_KERNELS))
    rounds = [(_cost("collector"), _cost("bare")) for _ in range(ROUNDS)]
    ours = statistics.median(spent / count for (spent, count, _), _ in rounds)
    bare = statistics.median(spent / count for _, (spent, count, _) in rounds)
    lost = max(lost for (_, _, lost), _ in rounds)
    events, updates = asyncio.run(_latencies())
    method = f"the capture over loopback at {RATE} datagrams/s for {SECONDS:.0f} s, median of {ROUNDS} rounds"
    starts = sorted(_start_s() for _ in range(3))
    waits = f"{len(events)} keys over their limit, one at a time, over background traffic"
    return [
        _result("live: CPU a datagram", ours, "ns", None, method=method, beside={"bare recvmmsg loop": bare}),
        _result("live: CPU beside a bare recvmmsg loop", ours / bare, "ratio", "<= 1.5", method=method),
        _result("live: loss", 100 * lost, "%", "0", method=f"{method}; worst round"),
        *(_percentile("live: first sample over the limit to event", events, part, "<= 20", waits) for part in (50, 99)),
        *(_percentile("live: event to UPDATE written", updates, part, "<= 5", waits) for part in (50, 99)),
        _result("start to listening", starts[1], "s", "<= 3", method="tidegate run, kernels cached, median of 3"),
    ]


def _start_s() -> float:
    """Return seconds from starting `tidegate run` until it says that it listens."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tidegate.toml"
        path.write_text('[sflow]\nhost = "127.0.0.1"\nport = 0\n[rest]\nport = 0\n')
        command = [sys.executable, "-m", "tidegate", "run", "--config", str(path)]
        start = time.monotonic()
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            listening = any("REST on" in line for line in process.stderr or ())
            spent = time.monotonic() - start
            process.terminate()
    if not listening:
        raise SystemExit("tidegate run did not start")
    return spent


def _result(
    name: str, value: float, unit: str, bar: str | None, *, method: str, beside: dict[str, float] | None = None
) -> dict[str, Any]:
    rounded = {peer: round(figure, 3) for peer, figure in (beside or {}).items()}
    return {"name": name, "value": round(value, 3), "unit": unit, "bar": bar, "method": method, "beside": rounded}


def _percentile(name: str, seconds: list[float], part: int, bar: str, method: str) -> dict[str, Any]:
    value = float(np.percentile(seconds, part)) * 1000
    return _result(f"{name}, p{part}", value, "ms", bar if part == 99 else None, method=method)


def _cost(taker: str) -> tuple[float, int, float]:
    """Return nanoseconds of processor time, datagrams and the share lost of one taker, in a process of its own."""
    output = subprocess.run([sys.executable, __file__, taker], check=True, capture_output=True).stdout
    spent, count, lost = msgspec.json.decode(output, type=tuple[float, int, float])
    return spent, count, lost


def _sending(port: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, __file__, "send", str(port)])


def _settings() -> SflowConfig:
    return SflowConfig(host="127.0.0.1", port=0)


def take_with_collector() -> tuple[float, int, float]:
    """Receive, decode and analyse until the sender ends."""
    keep_freed_memory()  # as `tidegate run` does
    list(compile_kernels(ALL_KERNELS))
    config = Config(sflow=_settings(), flows={"tcp": dict(DEFINITION)}, thresholds={"tcp": dict(THRESHOLD)})
    clock = SystemClock()
    _, shards = build_analyzer(config, shards=1, now_ns=clock.time_ns)
    receiving = Receiving(config, shards, clock)
    with receiving.run():
        sender = _sending(receiving.receivers[0].address[1])
        before = time.process_time_ns()
        sender.wait()
        time.sleep(0.2)
        spent = time.process_time_ns() - before
    count = shards[0].statistics().datagrams
    return float(spent), count, max(1 - count / (RATE * SECONDS), 0.0)


def take_bare() -> tuple[float, int, float]:
    """Receive and throw away until the sender ends, as benchmarks/receive.py does."""
    sys.path.insert(0, str(Path(__file__).parent))
    import receive  # type: ignore[import-not-found] # noqa: PLC0415 - it lies beside this file

    sock = open_sockets(_settings())[0]

    def traffic() -> None:
        _sending(sock.getsockname()[1]).wait()

    spent, count = receive.take_bare(sock, traffic)  # the same bare loop in both files
    return float(spent), count, max(1 - count / (RATE * SECONDS), 0.0)


def send(port: int, rate: int = RATE, seconds: float = SECONDS) -> None:
    """Send the capture's datagrams in a loop, `rate` a second."""
    import socket  # noqa: PLC0415 - only the sending process needs it

    capture = Capture(CAPTURE)
    block = next(iter(capture))
    batch = 32 if rate > 10_000 else 1
    sending = Sending(batch)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        start, sent, row = time.monotonic(), 0, 0
        while sent < rate * seconds:
            if (time.monotonic() - start) * rate - sent < batch:
                time.sleep(0.0002)
                continue
            count = sending.send(sock.fileno(), block, first=row)
            sent += count
            row = (row + count) % len(block)


async def _latencies() -> tuple[list[float], list[float]]:
    """Return seconds from sample to event, and from event to UPDATE."""
    published: dict[str, int] = {}
    waits: list[float] = []
    sent: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "announce.py"
        script.write_text(SCRIPT)
        router = PeerConfig(
            address="127.0.0.1", local_as=65020, router_id="10.99.0.2", peer_as=65010, passive=True,
            local_address="127.0.0.2",
        )  # fmt: skip
        async with Speaker([router], port=0, listen=["127.0.0.2"]) as peer:
            config = Config(
                sflow=_settings(),
                rest=RestText(enabled=False),
                bgp=BgpConfig(
                    local_as=65010, router_id="10.99.0.1", port=None,
                    peers=(PeerText(address="127.0.0.2", port=peer.ports[0], peer_as=65020),),
                ),
                scripts=(ScriptText(str(script)),),
            )  # fmt: skip
            async with collector(config, clock=SystemClock(), sent=lambda _peer, _key, at: sent.append(at)) as running:
                await _up(running)

                def note(events: list[Event], _records: object) -> None:
                    for event in events:
                        published[str(event.flow_key)] = time.time_ns()
                        waits.append((published[str(event.flow_key)] - event.time_ns) / 1e9)

                running.analyzer.deliver_to(note)  # type: ignore[arg-type] # a list is a sequence
                port = running.sflow_ports[0]
                background = threading.Thread(target=send, args=(port, 2000, TRIALS * 0.02 + 1), daemon=True)
                background.start()
                updates = await _trials(port, published, sent)
                await asyncio.to_thread(background.join)
    return waits, updates


async def _up(running: Running) -> None:
    while running.speaker is None or running.speaker.neighbors()[0].state != "established":  # noqa: ASYNC110 - it may poll
        await asyncio.sleep(0.05)


async def _trials(port: int, published: dict[str, int], sent: list[int]) -> list[float]:
    import socket  # noqa: PLC0415 - only this part needs it

    draw = random.Random(1)  # noqa: S311 - made-up traffic
    updates: list[float] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for trial in range(TRIALS):
            victim = str(ipaddress.IPv4Address("203.0.113.0") + 256 + trial)
            sock.sendto(_attack_on(victim, trial, draw), ("127.0.0.1", port))
            for _ in range(1000):
                await asyncio.sleep(0.002)
                if len(sent) > trial:
                    break
            else:
                raise SystemExit(f"no UPDATE for {victim}")
            updates.append((sent[trial] - published[victim]) / 1e9)
            await asyncio.sleep(draw.random() * 0.02)
    return updates


def _attack_on(victim: str, number: int, draw: random.Random) -> bytes:
    """Return the demonstration's datagram with another victim in every sample."""
    octets = demo_traffic.attack_datagram(number, draw)
    was = ipaddress.IPv4Address(demo_traffic.VICTIM).packed
    return octets.replace(was, ipaddress.IPv4Address(victim).packed)


if __name__ == "__main__":
    if sys.argv[1:2] == ["send"]:
        send(int(sys.argv[2]))
    elif sys.argv[1:2] == ["collector"]:
        sys.stdout.buffer.write(msgspec.json.encode(take_with_collector()))
    elif sys.argv[1:2] == ["bare"]:
        sys.stdout.buffer.write(msgspec.json.encode(take_bare()))
    else:
        for result in run():
            print(result)
