"""`tidegate run`: receivers, shards, scripts, BGP and REST, joined and run until a signal.

What happens from datagram to rule: a receiver thread hands blocks to the queue of its shard; the shard's thread
decodes, steps the engine and publishes events; the analyzer numbers them and wakes the scripts; a script announces a
rule; the speaker, on the event loop, writes the UPDATE.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from tidegate.apps.analyzer import Analyzer
from tidegate.apps.bgp_service import BgpService, Told, bgp_service
from tidegate.apps.config import Config
from tidegate.apps.pipeline import build_analyzer, script_files, store_folder
from tidegate.apps.ports import RestScripts, RestSpeaker
from tidegate.apps.routing import RouterTable
from tidegate.apps.script import Services, Shared
from tidegate.apps.script_host import ScriptHost, log_line
from tidegate.apps.script_pump import pump_scripts
from tidegate.apps.shard import Shard
from tidegate.apps.speaker_port import SpeakerPort
from tidegate.data.block import Block, octets_of_block
from tidegate.io.bgp import Speaker
from tidegate.io.clock import Clock
from tidegate.io.fetch import fetch
from tidegate.io.http import HttpConfig, HttpServer, serve_http
from tidegate.io.queue import BoundedQueue
from tidegate.io.udp import UdpReceiver, open_sockets
from tidegate.web.access import RestConfig
from tidegate.web.rest import create_app, end_polls
from tidegate.wire.bgp.routes import RouteKey
from tidegate.wire.bgp.session import State

__all__ = ["Receiving", "Running", "collector", "run_collector"]

_TICK_S = 1.0
_SECOND_NS = 1_000_000_000
_LAG_NS = _SECOND_NS  # samples that wait in sockets and queues are younger; they may still go on a flow
_MOST_SECONDS = 60  # made up for at once, where the clock was set ahead
_SWITCH_S = 0.001  # a thread that computes in Python lets the others run so often; an event must not wait 5 ms
_LOG = logging.getLogger(__name__)


class Running(msgspec.Struct, frozen=True, eq=False):
    """A running collector, and where it can be reached."""

    sflow_ports: tuple[int, ...]
    rest_url: str | None
    bgp_ports: tuple[int, ...]
    bmp_ports: tuple[int, ...]
    analyzer: Analyzer
    bgp: BgpService

    @property
    def speaker(self) -> Speaker | None:
        """The BGP speaker, or None while there is no neighbour."""
        return self.bgp.speaker


class Receiving:
    """Receivers with a queue and a shard each. `seen` hears of each block first, on the receiver's thread."""

    def __init__(
        self, config: Config, shards: Sequence[Shard], clock: Clock, *, seen: Callable[[Block], object] | None = None
    ) -> None:
        self._shards = shards
        self.queues: list[BoundedQueue[Block]] = [
            BoundedQueue(f"shard {shard.name}", config.sflow.queue_octets, weigh=octets_of_block) for shard in shards
        ]
        self.receivers = [
            UdpReceiver(sock, _both(seen, blocks.put), settings=config.sflow, clock=clock)
            for sock, blocks in zip(open_sockets(config.sflow), self.queues, strict=True)
        ]

    @contextlib.contextmanager
    def run(self) -> Iterator[None]:
        """Receive until the block ends; what was received by then is still worked off."""
        for shard, blocks in zip(self._shards, self.queues, strict=True):
            shard.start(blocks)
        for receiver in self.receivers:
            receiver.start()
        try:
            yield
        finally:
            for receiver in self.receivers:
                receiver.stop()
            for blocks in self.queues:
                blocks.close()
            for shard in self._shards:
                shard.join()

    def statistics(self) -> dict[str, object]:
        """Return what was lost where, for `/analyzer/json`."""
        receivers = [receiver.statistics() for receiver in self.receivers]
        queues = [blocks.statistics() for blocks in self.queues]
        return {
            "sFlowDatagramsDroppedByKernel": sum(one.kernel_dropped or 0 for one in receivers),
            "sFlowDatagramsDroppedByQueue": sum(one.rows_dropped for one in queues),
            "receivers": [msgspec.to_builtins(one) for one in receivers],
            "queues": [msgspec.to_builtins(one) for one in queues],
            "shards": [msgspec.to_builtins(shard.statistics()) for shard in self._shards],
        }


def _both(seen: Callable[[Block], object] | None, put: Callable[[Block], object]) -> Callable[[Block], object]:
    if seen is None:
        return put

    def deliver(block: Block) -> None:
        seen(block)
        put(block)

    return deliver


async def run_collector(
    config: Config,
    *,
    scripts: tuple[Path, ...],
    clock: Clock,
    ready: Callable[[Running], None],
    table: RouterTable | None = None,
) -> None:
    """Run until SIGINT or SIGTERM; `SourceError` and `ConfigError` where something cannot start."""
    stopping = _stop_on_signals()
    sys.setswitchinterval(_SWITCH_S)
    async with collector(config, scripts=scripts, clock=clock, table=table) as running:
        ready(running)
        await stopping.wait()


@contextlib.asynccontextmanager
async def collector(
    config: Config,
    *,
    scripts: tuple[Path, ...] = (),
    clock: Clock,
    table: RouterTable | None = None,
    sent: Callable[[str, RouteKey, int], object] = lambda _peer, _key, _ns: None,
) -> AsyncIterator[Running]:
    """Run until the block ends; `SourceError` and `ConfigError` where something cannot start.

    `table` is the routing table of agents that no source names. `sent` is called on the event loop when an UPDATE with
    a route was written: peer, key, wall-clock nanoseconds.
    """
    analyzer, shards = build_analyzer(config, shards=config.sflow.workers, now_ns=clock.time_ns)
    receiving = Receiving(config, shards, clock)
    analyzer.use(shards, receiving.statistics)
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(receiving.run())
        told = Told(sent=sent)
        service = bgp_service(config, analyzer, told, now=lambda: clock.time_ns() / 1e9, file=table)
        bgp = await stack.enter_async_context(service)
        port = SpeakerPort(bgp, asyncio.get_running_loop(), now=lambda: clock.time_ns() / 1e9)
        analyzer.use(shards, lambda: {**receiving.statistics(), **port.totals()})
        asked = RestScripts()
        url = await stack.enter_async_context(_rest(config, analyzer, asked, bgp))
        host = _script_host(config, scripts, analyzer, port, url=url)
        asked.host = host
        await stack.enter_async_context(_scripts(host, analyzer, clock))
        for neighbor in bgp.neighbors():  # those that came up before every script had said what it wants to hear
            if neighbor.state == State.ESTABLISHED.value:
                host.bgp_up(neighbor.address)
        told.up, told.down = host.bgp_up, host.bgp_down
        stack.enter_context(_ticks(analyzer, clock))
        ports = tuple(receiver.address[1] for receiver in receiving.receivers)
        yield Running(ports, url, *bgp.ports(), analyzer, bgp)


def _stop_on_signals() -> asyncio.Event:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    return stopping


def _script_host(
    config: Config,
    scripts: tuple[Path, ...],
    analyzer: Analyzer,
    port: SpeakerPort,
    *,
    url: str | None,
) -> ScriptHost:
    services = Services(
        backend=analyzer,
        bgp=port,
        fetch=fetch,
        log=log_line,
        shared=Shared(),
        own_url=url or "",
    )
    return ScriptHost(script_files(config, scripts), services, store=store_folder(config))


@contextlib.asynccontextmanager
async def _scripts(host: ScriptHost, analyzer: Analyzer, clock: Clock) -> AsyncIterator[None]:
    """Load the scripts and feed them until the block ends; the event loop, which they may need, goes on meanwhile."""
    await asyncio.to_thread(host.start, clock.time_ns())
    for name, status in host.status().items():
        if not status.alive and status.error:
            _LOG.error("script %s does not run: %s", name, status.error)
    ending = threading.Event()
    thread = threading.Thread(target=pump_scripts, args=(host, analyzer, clock, ending), name="scripts", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        await asyncio.to_thread(thread.join)
        await asyncio.to_thread(host.stop)


@contextlib.asynccontextmanager
async def _rest(config: Config, analyzer: Analyzer, scripts: RestScripts, bgp: BgpService) -> AsyncIterator[str | None]:
    """Serve REST until the block ends; its URL, or None where it is off."""
    if not config.rest.enabled:
        yield None
        return
    access = RestConfig(
        read_only=config.rest.read_only,
        token=config.rest.token or None,
        token_for_reads=config.rest.token_for_reads,
        cors_origins=config.rest.cors_origins,
        hosts=config.rest.hosts,
    )
    app = create_app(analyzer, scripts=scripts, bgp=RestSpeaker(bgp), config=access)
    http = HttpConfig(host=config.rest.host, port=config.rest.port)
    async with serve_http(app, http, before_stop=lambda: end_polls(app)) as server:
        yield _reachable(server)


def _reachable(server: HttpServer) -> str:
    """Return a URL at which this machine reaches a server, also one that listens on all addresses."""
    loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - read, not listened on
    return msgspec.structs.replace(server, host=loopback.get(server.host, server.host)).url


@contextlib.contextmanager
def _ticks(analyzer: Analyzer, clock: Clock) -> Iterator[None]:
    """Close idle flow records at each whole second, where no samples come that would; a replay does the same."""
    ending = threading.Event()

    def tick() -> None:
        last = clock.time_ns() // _SECOND_NS
        while not ending.wait(_TICK_S):
            due = (clock.time_ns() - _LAG_NS) // _SECOND_NS
            try:
                for second in range(max(last, due - _MOST_SECONDS) + 1, due + 1):
                    analyzer.advance(second * _SECOND_NS)
            except Exception:  # noqa: BLE001 - the next second is another chance, and who waits for records hears why
                _LOG.exception("idle flow records were not closed")
            last = due

    thread = threading.Thread(target=tick, name="ticks", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()
