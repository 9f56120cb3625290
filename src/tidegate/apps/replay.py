"""`tidegate replay`: the same shards, scripts and definitions on recordings, in the time of the recording.

One shard takes block after block; scripts are driven in step, so that the same recording gives the same events and the
same calls each time, whatever the speed. Nothing is sent: what scripts announce is kept and told at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from tidegate.apps.analyzer import Analyzer
from tidegate.apps.config import Config
from tidegate.apps.pipeline import build_analyzer, script_files
from tidegate.apps.script import Services, Shared
from tidegate.apps.script_bgp import RouteChange, RouteLog
from tidegate.apps.script_host import ScriptHost, log_line
from tidegate.apps.shard import Shard
from tidegate.data.block import Block
from tidegate.engine.events import Event, FlowRecord
from tidegate.io.clock import Clock
from tidegate.io.fetch import fetch
from tidegate.io.pcap import Capture, CaptureStats
from tidegate.io.replay import pace
from tidegate.wire.sflow.columns import DecoderStatistics

__all__ = ["Replayed", "replay"]


class Replayed(msgspec.Struct, frozen=True):
    """What a replay came to."""

    captures: tuple[CaptureStats, ...]
    decoder: DecoderStatistics
    flow_samples: int
    counter_samples: int
    events: int
    flow_records: int
    first_ns: int  # time of the first datagram
    last_ns: int
    changes: tuple[RouteChange, ...]  # what scripts announced and withdrew
    script_errors: dict[str, str]


class Told(msgspec.Struct, frozen=True):
    """Where a replay tells what happens."""

    event: Callable[[Event], None]
    record: Callable[[FlowRecord], None]
    progress: Callable[[int, int], None]  # octets read, octets in all


class _Run:
    """One replay: where it is."""

    def __init__(self, config: Config, scripts: tuple[Path, ...], told: Told) -> None:
        self._told = told
        self.now_ns = 0
        self.first_ns = 0
        self.analyzer, shards = build_analyzer(config, shards=1, now_ns=lambda: self.now_ns)
        self.shard = shards[0]
        self.routes = RouteLog(lambda: self.now_ns / 1e9)
        services = Services(backend=self.analyzer, bgp=self.routes, fetch=fetch, log=log_line, shared=Shared())
        store = Path(config.store) if config.store else None
        self.host = ScriptHost(script_files(config, scripts), services, store=store, in_step=True)
        self.analyzer.deliver_to(self._deliver)

    def take(self, block: Block) -> None:
        if not self.now_ns:
            self.now_ns = self.first_ns = int(block.time_ns[0])
            self.host.start(self.now_ns)
        self.shard.take(block)
        self.now_ns = max(self.now_ns, int(block.time_ns[-1]))
        self.host.advance(self.now_ns)

    def _deliver(self, events: Sequence[Event], records: Sequence[FlowRecord]) -> None:
        for event in events:
            self._told.event(event)
        for record in records:
            self._told.record(record)
        self.host.deliver(events, records)

    def finish(self) -> None:
        self.analyzer.finish()
        self.host.stop()


def replay(
    paths: Sequence[Path], config: Config, *, scripts: tuple[Path, ...], speed: float | None, clock: Clock, told: Told
) -> Replayed:
    """Replay recordings one after the other; `speed` is a multiple of real time, None as fast as possible.

    `SourceError` where one cannot be read, before anything is replayed where it cannot be opened.
    """
    captures = [Capture(path) for path in paths]
    run = _Run(config, scripts, told)
    try:
        for block in pace(_blocks(captures, told.progress), clock, speed=speed):
            if len(block):
                run.take(block)
    finally:
        for capture in captures:
            capture.close()
    run.finish()
    return _result(run.analyzer, run.shard, captures, run)


def _blocks(captures: Sequence[Capture], progress: Callable[[int, int], None]) -> Iterator[Block]:
    total = sum(capture.size for capture in captures)
    for capture in captures:
        for block in capture:
            yield block
            progress(sum(one.position for one in captures), total)


def _result(analyzer: Analyzer, shard: Shard, captures: Sequence[Capture], run: _Run) -> Replayed:
    counts = shard.statistics()
    numbers = analyzer.analyzer()
    return Replayed(
        captures=tuple(capture.statistics() for capture in captures),
        decoder=shard.decoder.statistics(),
        flow_samples=counts.flow_samples,
        counter_samples=counts.counter_samples,
        events=int(str(numbers["eventsGenerated"])),
        flow_records=int(str(numbers["flowsGenerated"])),
        first_ns=run.first_ns,
        last_ns=run.now_ns,
        changes=tuple(run.routes.changes),
        script_errors={name: status.error for name, status in run.host.status().items() if status.error},
    )
