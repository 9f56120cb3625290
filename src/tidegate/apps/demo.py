"""`tidegate demo`: the closed loop on this machine, in half a minute, over loopback.

A real capture is replayed over UDP as background, a DNS reflection attack is injected, and the time line is printed:
first attack datagram, event, UPDATE, the rule as the peer reports it, end of the attack, withdrawal. It ends by itself,
with 1 where one of these did not happen.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
import socket
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from tidegate.apps.collector import Running, collector
from tidegate.apps.config import BgpConfig, Config, PeerText, RestText, ScriptText, SflowConfig
from tidegate.apps.demo_peer import LOCAL_AS, PEER_AS, DemoPeer, demo_peer
from tidegate.apps.demo_traffic import RATE, SAMPLES, VICTIM, attack_datagram
from tidegate.errors import SourceError
from tidegate.io.clock import SystemClock
from tidegate.io.pcap import Capture
from tidegate.io.replay import pace, send_capture

__all__ = ["demo_file", "run_demo"]

T = TypeVar("T")
_CAPTURE = "overflowd-two-port-1000.pcap"
_SCRIPT = "reflection_flowspec.py"
_BACKGROUND_SPEED = 10.0  # 144 s of capture in 14 s
_PER_SECOND = 100  # attack datagrams: 600 samples a second of 1 in 1000, 600,000 packets a second
_ATTACK_S = 4.0
_LIMIT_S = 20.0  # for each step
_POLL_S = 0.02


class _Timeline:
    """Prints what happens, with the time since the first attack datagram."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.start_ns = 0

    def tell(self, what: str, at_ns: int | None = None) -> None:
        """Print one line; times before the attack are left out."""
        at_ns = time.time_ns() if at_ns is None else at_ns
        when = f"{(at_ns - self.start_ns) / 1e6:10.1f} ms" if self.start_ns else " " * 13
        self._console.print(f"{when}  {what}", markup=False, highlight=False, soft_wrap=True)


class _Missing(Exception):  # noqa: N818 - a step that did not happen, not an error of ours
    """A step that did not happen in time."""


def run_demo(*, keep: bool = False) -> int:
    """Run it; return the exit status. With `keep` the collector runs on until interrupted."""
    console = Console()
    folder = Path(tempfile.mkdtemp(prefix="tidegate-demo-"))
    logging.basicConfig(
        filename=folder / "tidegate.log", level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    try:
        asyncio.run(_demo(console, folder, keep=keep))
    except _Missing as step:
        console.print(f"FAILED: {step} did not happen within {_LIMIT_S:.0f} s; logs are in {folder}", soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def demo_file(name: str) -> Path:
    """Return a file of the demonstration: in the installed package, else in the source tree."""
    packaged = Path(str(files("tidegate"))) / "demo_files" / name
    source = Path(str(files("tidegate"))).parents[1]
    for path in (packaged, source / "examples" / name, source / "tests" / "data" / "sflow" / name):
        if path.is_file():
            return path
    raise SourceError(name, "this installation lacks the files of the demonstration; run it from the source tree")


async def _demo(console: Console, folder: Path, *, keep: bool) -> None:
    line = _Timeline(console)
    sent: list[int] = []
    capture = demo_file(_CAPTURE)
    ending = threading.Event()  # for the threads that send: nothing is sent once a step has failed
    async with demo_peer(folder) as peer:
        config = _config(peer)
        async with (
            collector(config, clock=SystemClock(), sent=lambda _peer, _key, at_ns: sent.append(at_ns)) as running,
            contextlib.AsyncExitStack() as stack,
        ):
            await _until("the BGP session", lambda: _established(running))
            line.tell(f"BGP session with {peer.title} at {peer.address} is up")
            address = ("127.0.0.1", running.sflow_ports[0])
            stack.callback(ending.set)
            background = asyncio.create_task(asyncio.to_thread(_send_background, capture, address, ending))
            await _until("background traffic", lambda: _heard(running))
            line.tell(f"background: {_CAPTURE} over UDP to port {address[1]}, {_BACKGROUND_SPEED:g} times real time")
            await _attack(line, running, peer, address, sent=sent, ending=ending)
            await background
            _say_where(console, running, folder, keep=keep)
            if keep:
                console.print("running on; stop it with Ctrl-C")
                await asyncio.Event().wait()


def _config(peer: DemoPeer) -> Config:
    router = PeerText(address=peer.address, peer_as=PEER_AS, port=peer.port, families=("ipv4-flowspec",), ttl=5)
    settings = {"enforce": True, "frames": 50_000.0, "t": 0.5, "hold_s": 5.0, "recheck_s": 0.5}
    return Config(
        sflow=SflowConfig(host="127.0.0.1", port=0),
        rest=RestText(port=0),
        bgp=BgpConfig(local_as=LOCAL_AS, router_id="10.99.0.1", port=None, peers=(router,)),
        scripts=(ScriptText(str(demo_file(_SCRIPT)), config=settings),),
    )


async def _attack(
    line: _Timeline,
    running: Running,
    peer: DemoPeer,
    address: tuple[str, int],
    *,
    sent: list[int],
    ending: threading.Event,
) -> None:
    line.start_ns = time.time_ns()
    rate = _PER_SECOND * SAMPLES * RATE
    line.tell(f"first attack datagram: DNS answers to {VICTIM}, about {rate:,} packets/s", line.start_ns)
    attack = asyncio.create_task(asyncio.to_thread(_send_attack, address, ending))
    event = (await _until("the event", running.analyzer.events))[-1]
    line.tell(f"event {event.threshold_id}: {event.flow_key} at {event.value:,.0f} packets/s", event.time_ns)
    if event.flow_key != f"{VICTIM},53":
        raise _Missing(f"an event for {VICTIM},53 (it was {event.flow_key})")
    await _until("the UPDATE", lambda: sent)
    line.tell("UPDATE written to the BGP session", sent[0])
    rules = await _until_async("the rule at the peer", peer.rules)
    for rule in rules:
        line.tell(f"{peer.name} holds {rule}")
    if not any(VICTIM in rule for rule in rules):
        raise _Missing(f"a rule for {VICTIM} at the peer")
    await attack
    line.tell("end of the attack")
    await _until_async("the withdrawal", lambda: _gone(peer))
    line.tell(f"withdrawn: {peer.name} holds no rule")


def _send_background(capture: Path, address: tuple[str, int], ending: threading.Event) -> None:
    reader = Capture(capture)
    try:
        paced = pace(reader, SystemClock(), speed=_BACKGROUND_SPEED)
        send_capture(
            itertools.takewhile(lambda _: not ending.is_set(), paced), address, speed=None, clock=SystemClock()
        )
    finally:
        reader.close()


def _send_attack(address: tuple[str, int], ending: threading.Event) -> None:
    draw = random.Random(1)  # noqa: S311 - made-up traffic
    start = time.monotonic()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for number in range(int(_ATTACK_S * _PER_SECOND)):
            if ending.wait(max(start + number / _PER_SECOND - time.monotonic(), 0.0)):
                return
            sock.sendto(attack_datagram(number, draw), address)


def _established(running: Running) -> bool:
    return running.speaker is not None and any(one.state == "established" for one in running.speaker.neighbors())


def _heard(running: Running) -> bool:
    return bool(running.analyzer.agents())


async def _gone(peer: DemoPeer) -> bool:
    return not await peer.rules()


async def _until(what: str, ask: Callable[[], T]) -> T:
    """Ask until the answer is true; `_Missing` where it stays false."""

    async def answer() -> T:
        return ask()

    return await _until_async(what, answer)


async def _until_async(what: str, ask: Callable[[], Awaitable[T]]) -> T:
    deadline = time.monotonic() + _LIMIT_S
    while True:
        value = await ask()
        if value:
            return value
        if time.monotonic() > deadline:
            raise _Missing(what)
        await asyncio.sleep(_POLL_S)


def _say_where(console: Console, running: Running, folder: Path, *, keep: bool) -> None:
    received = running.analyzer.analyzer()["sFlowDatagramsReceived"]
    for line in (
        f"\n{received} datagrams received. REST {'is' if keep else 'was'} at {running.rest_url}, logs are in {folder}",
        "Next: `tidegate run --script examples/reflection_flowspec.py`, then README.md, Where to read on",
    ):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
