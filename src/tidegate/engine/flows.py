"""A flow definition at work: its plan, its table, and the thresholds on it."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from tidegate.data.batch import FlowBatch
from tidegate.engine.definition import AggMode, FlowDefinition, Threshold
from tidegate.engine.evaluate import Evaluation
from tidegate.engine.events import Event, FlowRecord
from tidegate.engine.plan import Plan, select
from tidegate.engine.rows import Rows
from tidegate.engine.sources import Sources
from tidegate.engine.table import Added, Crossing, FlowTable, Log, Record, Shape
from tidegate.engine.texts import Texts
from tidegate.kernel import F64, I64

__all__ = ["Flow", "Told", "log_of"]

_LEAST_IDLE = 5.0  # seconds: a flow record ends after max(2 t, this) without samples


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

    def __init__(self, plan: Plan, sources: Sources, texts: Texts, *, capacity: int) -> None:
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

    def triggered(self, name: str, sources: frozenset[int], key: str | None, now: float) -> bool:
        """Tell whether a threshold is triggered at one of some data sources, for a key if it is by flow."""
        for limit, threshold in enumerate(self._thresholds):
            if threshold.name == name and threshold.by_flow:
                words = (tuple(row) for row in self.table.triggered_keys(limit, now).tolist())
                return any(row[0] in sources and key in {None, self.key_text(row[1:])} for row in words)
            if threshold.name == name:
                return any(self.table.triggered(limit, source, now) for source in sources)
        return False

    def add(self, batch: FlowBatch, evaluation: Evaluation, times: F64, numbers: I64) -> list[Told]:
        """Add the samples of a batch; `times` in seconds, `numbers` of data sources, both by row."""
        keyed = numbers
        if self.plan.definition.agg_mode is AggMode.AGENT and len(self._sources):
            keyed = np.where(numbers >= 0, self._sources.first_of_agent()[numbers], -1)
        rows, chosen = select(self.plan, batch, evaluation, times, keyed, numbers)
        told: list[Told] = []
        start = 0
        for second, stop in self._seconds(rows.times, float(times[-1])):
            told += self._tell(self.table.add(_slice(rows, start, stop)), chosen[start:], batch)
            at = int(np.searchsorted(times, second))
            told += [Told(at, self._record(record)) for record in self.table.close_idle(second)]
            start = stop
        return told + self._tell(self.table.add(_slice(rows, start, len(rows))), chosen[start:], batch)

    def _seconds(self, times: F64, end: float) -> list[tuple[float, int]]:
        """Return the whole seconds up to `end` at which records may close, and how many rows come before each."""
        if self.table.shape.log is None:
            return []
        first = self._second + 1 if math.isfinite(self._second) else math.floor(end)
        last = math.floor(end)
        self._second = max(self._second, last)
        # after a longer silence everything is idle: the later seconds have nothing to close
        seconds = np.arange(first, min(last, first + 2 * self.plan.definition.active_timeout + 20) + 1)
        return [(float(second), int(np.searchsorted(times, second))) for second in seconds]

    def advance(self, now: float) -> list[FlowRecord]:
        """Close the records that are idle at `now`, when no samples come that would."""
        return [self._record(record) for record in self.table.close_idle(math.floor(now))]

    def finish(self) -> list[FlowRecord]:
        """Close all records: there will be no more samples."""
        return [self._record(record) for record in self.table.close_idle(math.inf, everything=True)]

    def _tell(self, added: Added, chosen: I64, batch: FlowBatch) -> list[Told]:
        told = []
        for crossing in added.crossings:
            row = int(chosen[crossing.row])
            told.append(Told(row, self._event(crossing, int(batch.time_ns[row]))))
        return told + [Told(int(chosen[record.row]), self._record(record)) for record in added.records]

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

    def _record(self, record: Record) -> FlowRecord:
        return FlowRecord(
            flow_id=0,
            name=self.plan.definition.name,
            flow_keys=self.plan.key_text(record.key[1:], self._texts),
            value=record.total,
            start=round(record.start * 1000),
            end=round(record.end * 1000),
            agent=self._sources.agent_of(record.key[0]),
            data_source=self._sources.text_of(record.key[0]),
        )


def _slice(rows: Rows, start: int, stop: int) -> Rows:
    if start == 0 and stop == len(rows):
        return rows
    part = np.arange(start, stop)
    return Rows(
        keys=rows.keys[start:stop],
        times=rows.times[start:stop],
        sources=rows.sources[start:stop],
        rates=rows.rates[start:stop],
        items=tuple(item.take(part) for item in rows.items),
    )
