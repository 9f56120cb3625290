"""One shard of the analytics: decoder and engine, fed from a queue on a thread of their own, or by hand.

Whoever wants something of the engine asks with a function; it runs between two blocks on the shard's thread, so that
nothing in the engine needs a lock. Where there is no thread, one lock keeps those who ask and who feeds apart.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import TypeVar

import msgspec

from tidegate.data.block import Block
from tidegate.engine.engine import Engine
from tidegate.engine.events import Event, FlowRecord
from tidegate.errors import DecodeError, TidegateError
from tidegate.io.queue import BoundedQueue
from tidegate.wire.sflow.attributes import adapter_macs, source_attributes
from tidegate.wire.sflow.columns import Decoded, Decoder
from tidegate.wire.sflow.decode import decode_counter_records

__all__ = ["Shard", "ShardStatistics"]

T = TypeVar("T")
Publish = Callable[[Iterable[Event | FlowRecord]], None]

_PATIENCE_S = 30.0  # longer than any block takes; a shard that does not answer is broken
_LOGICAL = 3  # class of data sources that are virtual machines and containers
_LOG = logging.getLogger(__name__)


class ShardStatistics(msgspec.Struct, frozen=True):
    """What went through a shard since its start."""

    blocks: int
    datagrams: int
    flow_samples: int
    counter_samples: int
    failed_blocks: int  # dropped because of an error of ours, which was logged
    failed_datagrams: int  # in those
    refused_samples: int  # of data sources there was no room for; they belong to no flow
    refused_datagrams: int  # of agents there was no room for; their sequence numbers are not judged


class Shard:
    """See the module."""

    def __init__(self, name: str, decoder: Decoder, engine: Engine, publish: Publish) -> None:
        self.name = name
        self.decoder = decoder
        self.engine = engine
        self._publish = publish
        self._questions: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._lock = threading.RLock()  # never held while a block is worked on by the shard's thread
        self._blocks: BoundedQueue[Block] | None = None  # while a thread answers questions
        self._thread: threading.Thread | None = None
        self._counts = [0, 0, 0, 0, 0, 0]
        self._full = False  # whether it was told that there is no room for further data sources

    def start(self, blocks: BoundedQueue[Block]) -> None:
        """Take blocks from a queue, on a thread, until the queue is closed."""
        self._blocks = blocks
        self._thread = threading.Thread(target=self._run, args=(blocks,), name=f"shard {self.name}", daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait until the queue is closed and everything in it is done."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def take(self, block: Block) -> None:
        """Take a block by hand: decode it, step the engine, and publish what came of it."""
        with self._lock:
            self._take(block)

    def _take(self, block: Block) -> None:
        decoded = self.decoder.decode(block, self.engine.needs())
        self._take_counters(decoded)
        caused = self.engine.step(decoded.datagrams, decoded.flows)
        self._counts[0] += 1
        self._counts[1] += len(decoded.datagrams)
        self._counts[2] += len(decoded.flows)
        self._counts[3] += len(decoded.counters)
        self._tell_once_full()
        if caused:
            self._publish(caused)

    def _tell_once_full(self) -> None:
        sources = self.engine.sources
        if self._full or not (sources.refused or sources.untold):
            return
        self._full = True
        _LOG.warning(
            "shard %s: there is no room for further agents and data sources, what they send is dropped: if they are "
            "made up, name yours under [sflow] agents and start again; else raise max_agents and max_sources "
            "under [engine]",
            self.name,
        )

    def _take_counters(self, decoded: Decoded) -> None:
        """Take counters samples, and read what they tell of their data source, of each once in a while."""
        counters = decoded.counters
        for row, number in self.engine.take_counters(counters, decoded.datagrams):
            octets = counters.data[counters.start[row] : counters.stop[row]].tobytes()
            try:
                records = decode_counter_records(octets)
            except DecodeError:  # the decoder has counted it
                continue
            logical = int(counters.source[row]) >> 32 == _LOGICAL
            self.engine.note_attributes(number, source_attributes(records, logical=logical), adapter_macs(records))

    def ask(self, question: Callable[[Engine], T]) -> T:
        """Return what a function says of the engine, asked between two blocks."""
        if threading.current_thread() is self._thread:
            return question(self.engine)
        answer: Future[T] = Future()

        def reply() -> None:
            try:
                answer.set_result(question(self.engine))
            except BaseException as error:  # noqa: BLE001 - whatever it is belongs to who asked
                answer.set_exception(error)

        with self._lock:
            if self._blocks is None:
                return question(self.engine)
            self._questions.put(reply)
            self._blocks.wake()
        try:
            return answer.result(_PATIENCE_S)
        except TimeoutError:
            raise TidegateError(f"shard {self.name} does not answer") from None

    def ask_at(self, now_ns: int, question: Callable[[Engine, int], T]) -> T:
        """Return what a function says of the engine and of a moment: now or, while blocks wait, when the next one came.

        What was received later is not in any reading yet; read at a later moment, all would have faded.
        """

        def at_moment(engine: Engine) -> T:
            waiting = self._blocks.oldest() if self._blocks is not None else None
            return question(engine, min(now_ns, int(waiting.time_ns[0])) if waiting is not None else now_ns)

        return self.ask(at_moment)

    def statistics(self) -> ShardStatistics:
        """Return the counters."""
        sources = self.engine.sources
        counts = [*self._counts, sources.refused, sources.untold]
        return ShardStatistics(*counts)

    def _run(self, blocks: BoundedQueue[Block]) -> None:
        while True:
            block = blocks.get()
            if block is not None:
                self._take_safely(block)
            self._answer()
            if block is None and blocks.closed:
                break
        with self._lock:
            self._blocks = None
            self._answer()

    def _answer(self) -> None:
        while not self._questions.empty():
            self._questions.get()()

    def _take_safely(self, block: Block) -> None:
        try:
            self._take(block)
        except Exception:  # noqa: BLE001 - one block must not end the shard; the error is ours, so tell all of it
            self._counts[4] += 1
            self._counts[5] += len(block)
            _LOG.exception("shard %s dropped a block of %d datagrams", self.name, len(block))
