"""`tidegate replay`: the same shards, scripts and definitions on recordings, in the time of the recording.

One shard takes block after block; scripts are driven in step. So that the same recording gives the same events and the
same calls each time, whatever the speed and however it was cut into blocks, recorded time is cut into slices: scripts
hear at the end of a slice what happened in it and what time it is, and at each whole second idle flow records close, as
they do in a live run. Nothing is sent: what scripts announce is kept and told at the end.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np

from tidegate.apps.analyzer import Analyzer
from tidegate.apps.config import Config
from tidegate.apps.file_tables import FileTables
from tidegate.apps.pipeline import build_analyzer, script_files, store_folder
from tidegate.apps.route_log import RouteChange, RouteLog
from tidegate.apps.routing import RouterTable
from tidegate.apps.script import Services, Shared
from tidegate.apps.script_host import ScriptHost, log_line
from tidegate.apps.shard import Shard
from tidegate.data.block import Block, part_of_block
from tidegate.engine.events import Event, FlowRecord
from tidegate.io.clock import Clock
from tidegate.io.fetch import fetch
from tidegate.io.pcap import Capture, CaptureStats, describe_capture
from tidegate.io.replay import pace
from tidegate.wire.sflow.columns import DecoderStatistics

__all__ = ["Replayed", "Told", "describe_replay", "replay"]

_SECOND_NS = 1_000_000_000
_SCRIPTS_NS = 100_000_000  # scripts hear of time about as often as in a live run
_UNCUT_NS = 1 << 62
_MOST_SLICES = 600  # gone through one by one where nothing was recorded for long: a minute with scripts


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

    def __init__(self, config: Config, scripts: tuple[Path, ...], told: Told, table: RouterTable | None = None) -> None:
        self._told = told
        self.now_ns = 0  # what scripts take for the time
        self._begun = False
        self.first_ns = 0
        self.last_ns = 0  # time of the last datagram
        self.analyzer, shards = build_analyzer(config, shards=1, now_ns=lambda: self.now_ns)
        self.shard = shards[0]
        tables = None if table is None else FileTables(self.analyzer, table, config.bgp)
        self.routes = RouteLog(lambda: self.now_ns / 1e9, tables=tables)
        services = Services(backend=self.analyzer, bgp=self.routes, fetch=fetch, log=log_line, shared=Shared())
        files = script_files(config, scripts)
        self.host = ScriptHost(files, services, store=store_folder(config), in_step=True)
        self._waiting: list[Event | FlowRecord] | None = [] if files else None  # for scripts, until the slice ends
        logs = any(spec["log"] for spec in self.analyzer.flows().values())
        self._slice_ns = _SCRIPTS_NS if files else _SECOND_NS if logs else _UNCUT_NS
        self._slice = 0  # number of the slice, counted from 1970
        self.analyzer.deliver_to(self._deliver)

    def take(self, block: Block) -> None:
        """Take datagrams, in slices."""
        if not self._begun:
            self._begin(int(block.time_ns[0]))
        numbers = block.time_ns // self._slice_ns
        cuts = np.flatnonzero(np.diff(numbers, prepend=np.int64(self._slice))).tolist()
        for first, stop in pairwise([0, *(cut for cut in cuts if cut), len(block)]):
            if int(numbers[first]) != self._slice:
                self._turn_to(int(numbers[first]))
            self.shard.take(part_of_block(block, first, stop))
            self.last_ns = int(block.time_ns[stop - 1])

    def finish(self) -> None:
        """End the recording: what is open closes, scripts hear the last of it."""
        if not self._begun:  # nothing was recorded; scripts still say what is wrong with them
            self._begin(0)
        self._hand_over()
        self._pass(self.last_ns)
        self.analyzer.finish()
        self._hand_over()
        self.host.stop()

    def _begin(self, time_ns: int) -> None:
        self.now_ns = self.first_ns = self.last_ns = time_ns
        self._slice = time_ns // self._slice_ns
        self._begun = True
        self.host.start(time_ns)

    def _turn_to(self, number: int) -> None:
        """Go to another slice: end the present one, and let the time between pass."""
        self._hand_over()
        if (self._slice - number) * self._slice_ns > _SECOND_NS:  # another recording, or a clock that was set back
            self.now_ns = number * self._slice_ns
        for between in range(max(self._slice, number - _MOST_SLICES) + 1, number + 1):
            self._pass(between * self._slice_ns)
        self._slice = number

    def _pass(self, now_ns: int) -> None:
        """Let it be `now_ns`: records close, timers run."""
        self.now_ns = max(self.now_ns, now_ns)
        if now_ns % _SECOND_NS == 0:
            self.analyzer.advance(now_ns)
            self._hand_over()
        if self._waiting is not None:
            self.host.advance(now_ns)

    def _deliver(self, events: Sequence[Event], records: Sequence[FlowRecord]) -> None:
        for event in events:
            self._told.event(event)
        for record in records:
            self._told.record(record)
        if self._waiting is not None:
            self._waiting += [*events, *records]

    def _hand_over(self) -> None:
        """Give the scripts what waits for them, each at its time."""
        if not self._waiting:
            return
        waiting, self._waiting = sorted(self._waiting, key=_time_of), []
        for one in waiting:
            self.now_ns = max(self.now_ns, _time_of(one))
            if isinstance(one, Event):
                self.host.deliver([one])
            else:
                self.host.deliver(records=[one])


def _time_of(one: Event | FlowRecord) -> int:
    return one.time_ns if isinstance(one, Event) else one.end * 1_000_000


def replay(  # noqa: PLR0913 - the options of the command
    paths: Sequence[Path],
    config: Config,
    *,
    scripts: tuple[Path, ...],
    speed: float | None,
    clock: Clock,
    told: Told,
    table: RouterTable | None = None,
) -> Replayed:
    """Replay recordings one after the other; `speed` is a multiple of real time, None as fast as possible.

    `table` is the routing table in which all samples are looked up. `SourceError` where a recording cannot be read,
    before anything is replayed where it cannot be opened.
    """
    with contextlib.ExitStack() as stack:
        captures = [stack.enter_context(contextlib.closing(Capture(path))) for path in paths]
        run = _Run(config, scripts, told, table)
        for block in pace(_blocks(captures, told.progress), clock, speed=speed):
            if len(block):
                run.take(block)
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
        last_ns=run.last_ns,
        changes=tuple(run.routes.changes),
        script_errors={name: status.error for name, status in run.host.status().items() if status.error},
    )


def describe_replay(result: Replayed) -> list[str]:
    """Return lines for the user: what a replay came to."""
    seconds = (result.last_ns - result.first_ns) / 1e9
    lines = [describe_capture(stats) for stats in result.captures]
    lines.append(
        f"{result.flow_samples:,} flow samples, {result.counter_samples:,} counters samples over {seconds:,.1f} s: "
        f"{result.events:,} events, {result.flow_records:,} flow records"
    )
    bad = {name: count for name, count in result.decoder.counts.items() if count and name != "datagrams"}
    if bad:
        lines.append("not decoded whole: " + ", ".join(f"{name} {count}" for name, count in bad.items()))
    lines += [msgspec.json.encode(change).decode() for change in result.changes]
    return lines + [f"script {name}: {error}" for name, error in result.script_errors.items()]
