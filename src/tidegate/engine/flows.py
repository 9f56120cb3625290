"""A flow definition at work: its plan, its table, and the thresholds on it."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from tidegate.data.batch import FlowBatch
from tidegate.engine.attributes import Attributes
from tidegate.engine.definition import AggMode, FlowDefinition, Threshold
from tidegate.engine.evaluate import Evaluation
from tidegate.engine.events import Event, FlowRecord
from tidegate.engine.plan import Plan, select
from tidegate.engine.sources import Sources
from tidegate.engine.table import Added, Crossing, FlowTable, Log, Record, Shape
from tidegate.engine.texts import Texts
from tidegate.kernel import F64, I64

__all__ = ["Flow", "Moments", "Told", "log_of"]

_LEAST_IDLE = 5.0  # seconds: a flow record ends after max(2 t, this) without samples


class Moments(msgspec.Struct, frozen=True, eq=False):
    """When the n samples of a batch came."""

    seconds: F64  # of the engine: they never go back
    zero_ns: I64  # what the receiver's clock would have shown at second 0; it moves where that clock was set back


class Told(msgspec.Struct, frozen=True):
    """Something to tell, and the row of the batch that caused it."""

    row: int
    what: Event | FlowRecord


def log_of(definition: FlowDefinition) -> Log | None:
    """Return when a definition's flow records end, or None where it has none."""
    if not definition.log:
        return None
    idle = max(2 * definition.t, _LEAST_IDLE)
    return Log(idle=idle, active=definition.active_timeout, at_start=definition.flow_start)


class Flow:
    """See the module."""

    def __init__(self, plan: Plan, sources: Sources, texts: Texts, *, capacity: int, count_seed: int = 0) -> None:
        self.plan = plan
        self._sources = sources
        self._texts = texts
        self._thresholds: list[Threshold] = []
        self._second = -math.inf  # the last whole second at which idle records were closed
        definition = plan.definition
        self.table = FlowTable(
            Shape(
                words=plan.words,
                t=definition.t,
                statistics=tuple(value.statistic for value in plan.values),
                capacity=capacity,
                sources=sources.capacity,
                seed=texts.seed,
                count_seed=count_seed,
                log=log_of(definition),
            )
        )

    @property
    def thresholds(self) -> list[Threshold]:
        """Return the thresholds, in the order of the table's limits."""
        return self._thresholds

    def key_text(self, words: tuple[int, ...]) -> str:
        """Return the text of a key's words, which stand without the data source."""
        return self.plan.key_text(words, self._texts)

    def set_thresholds(self, thresholds: list[Threshold]) -> None:
        """Replace the thresholds; those that stay the same keep their state."""
        kept = [self._thresholds.index(new) if new in self._thresholds else -1 for new in thresholds]
        values = np.array([[new.value, new.timeout, float(new.by_flow)] for new in thresholds])
        allowed = np.ones((len(thresholds), self._sources.capacity), np.bool_)
        self.table.set_limits(values.reshape(-1, 3), allowed, kept)
        self._thresholds = list(thresholds)

    def look_at(self, attributes: Attributes) -> None:
        """Let thresholds with a filter look only at the data sources that have its attributes."""
        for limit, threshold in enumerate(self._thresholds):
            if threshold.filter:
                self.table.set_allowed(limit, attributes.allowed(threshold, self._sources.capacity))

    def triggered(self, name: str, sources: frozenset[int], key: str | None, now: float) -> bool:
        """Tell whether a threshold is triggered at one of some data sources, for a key if it is by flow."""
        for limit, threshold in enumerate(self._thresholds):
            if threshold.name == name and threshold.by_flow:
                words = (tuple(row) for row in self.table.triggered_keys(limit, now).tolist())
                return any(row[0] in sources and key in {None, self.key_text(row[1:])} for row in words)
            if threshold.name == name:
                return any(self.table.triggered(limit, source, now) for source in sources)
        return False

    def add(self, batch: FlowBatch, evaluation: Evaluation, moments: Moments, numbers: I64) -> list[Told]:
        """Add the samples of a batch; `numbers` of data sources by row."""
        if self.plan.definition.agg_mode is AggMode.AGENT:
            numbers = self._sources.first_of_agent(numbers)
        rows, chosen = select(self.plan, batch, evaluation, moments.seconds, numbers)
        told: list[Told] = []
        start = 0
        for at in self._turns_of_second(moments.seconds):
            stop = int(np.searchsorted(chosen, at))
            told += self._tell(self.table.add(rows.part(start, stop)), chosen[start:], batch, moments)
            closed = self.table.close_idle(math.floor(moments.seconds[at]))
            told += [Told(at, self._record(record, int(moments.zero_ns[at]))) for record in closed]
            start = stop
        return told + self._tell(self.table.add(rows.part(start, len(rows))), chosen[start:], batch, moments)

    def _turns_of_second(self, times: F64) -> list[int]:
        """Return the rows before which idle records close: the first of each whole second, of whatever flow."""
        if self.table.shape.log is None:
            return []
        seconds = np.floor(times)
        turns = np.flatnonzero(np.diff(seconds, prepend=self._second) > 0)
        self._second = float(seconds[-1])
        return [int(at) for at in turns]

    def advance(self, now: float, zero_ns: int) -> list[FlowRecord]:
        """Close the records that are idle at `now`, when no samples come that would."""
        return [self._record(record, zero_ns) for record in self.table.close_idle(math.floor(now))]

    def finish(self, zero_ns: int) -> list[FlowRecord]:
        """Close all records: there will be no more samples."""
        return [self._record(record, zero_ns) for record in self.table.close_idle(math.inf, everything=True)]

    def _tell(self, added: Added, chosen: I64, batch: FlowBatch, moments: Moments) -> list[Told]:
        told = []
        for crossing in added.crossings:
            row = int(chosen[crossing.row])
            told.append(Told(row, self._event(crossing, int(batch.time_ns[row]))))
        for record in added.records:
            row = int(chosen[record.row])
            told.append(Told(row, self._record(record, int(moments.zero_ns[row]))))
        return told

    def _event(self, crossing: Crossing, time_ns: int) -> Event:
        threshold = self._thresholds[crossing.limit]
        definition = self.plan.definition
        return Event(
            event_id=0,
            timestamp=time_ns // 1_000_000,
            threshold_id=threshold.name,
            metric=threshold.metric,
            threshold=threshold.value,
            value=crossing.reading,
            agent=self._sources.agent_of(crossing.key[0]),
            data_source=self._sources.text_of(crossing.key[0]),
            flow_key=self.plan.key_text(crossing.key[1:], self._texts) if definition.keys else None,
            values=crossing.values if definition.values else None,
            samples=crossing.samples,
            interval=None if math.isnan(crossing.interval) else crossing.interval,
            time_ns=time_ns,
        )

    def _record(self, record: Record, zero_ns: int) -> FlowRecord:
        return FlowRecord(
            flow_id=0,
            name=self.plan.definition.name,
            flow_keys=self.plan.key_text(record.key[1:], self._texts),
            value=record.total,
            start=_milliseconds(zero_ns, record.start),
            end=_milliseconds(zero_ns, record.end),
            agent=self._sources.agent_of(record.key[0]),
            data_source=self._sources.text_of(record.key[0]),
        )


def _milliseconds(zero_ns: int, seconds: float) -> int:
    """Return milliseconds since 1970, rounded down but for errors of floating point."""
    return (zero_ns + round(seconds * 1e9) + 500) // 1_000_000
