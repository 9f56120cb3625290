"""The analytics of one shard: batches in, events and flow records out.

Nothing here reads a clock. Time is that of the datagrams, made to never go back: where the clock of the receiver was
set back by more than a second, time goes on from where it was. What comes out depends on the samples, their order and
the tables that were there when they came alone, not on how they were cut into batches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Annotated

import msgspec
import numpy as np

from tidegate.data.address import Words, parse_address
from tidegate.data.batch import CounterBatch, DatagramBatch, FlowBatch
from tidegate.data.fields import FieldRef
from tidegate.engine.attributes import Attributes
from tidegate.engine.definition import FlowDefinition, GroupTable, MapTable, Threshold
from tidegate.engine.evaluate import Evaluation, Memos
from tidegate.engine.events import Event, FlowRecord
from tidegate.engine.flows import Flow, Moments, Told
from tidegate.engine.lookups import Lookups
from tidegate.engine.plan import make_plan
from tidegate.engine.routing import Routing, routing_needs
from tidegate.engine.sources import Sources
from tidegate.engine.texts import Texts
from tidegate.kernel import F64, I64, kernel

__all__ = ["KERNELS", "Engine", "EngineConfig"]

_DAY_NS = 86_400_000_000_000
_BACK_NS = 1_000_000_000
_SEEN_NS = 100_000_000  # no key is looked for more often


@kernel("void(Array(i8,1,'C',readonly=True), i8, i8[::1], f8[::1], i8[::1])")
def even_times(times: I64, base: int, state: I64, seconds: F64, zero: I64) -> None:
    """Write times that never go back, as seconds since `base`, and what the receiver's clock shows at second 0.

    All but `seconds` are nanoseconds. `state` (2,) is what is added to the receiver's clock now, and the last time. Up
    to a second back is jitter: time stands still.
    """
    for at in range(times.size):
        time = times[at] + state[0]
        if time < state[1] - _BACK_NS:
            state[0] += state[1] - time
        state[1] = max(state[1], times[at] + state[0])
        seconds[at], zero[at] = (state[1] - base) / 1e9, base - state[0]


KERNELS = (even_times,)


Size = Annotated[int, msgspec.Meta(ge=16, le=1 << 28)]


class EngineConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sizes, each of which bounds memory, and the seed of counts."""

    table_size: Size = 1 << 18  # keys of a flow definition
    max_sources: Size = 1 << 16  # data sources; samples of more are dropped and counted
    max_agents: Size = 1 << 12  # agents and sub-agents
    texts: Size = 1 << 17  # texts held a generation
    text_octets: Size = 1 << 23  # their octets
    # of counts above 32, which are equal in runs with equal seeds; one kept secret cannot be played against
    count_seed: Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)] = 0


class Engine:
    """See the module; not shared between threads."""

    def __init__(self, config: EngineConfig, lookups: Lookups, *, seed: int = 0) -> None:
        self.sources = Sources(agents=config.max_agents, sources=config.max_sources, seed=seed)
        self.texts = Texts(seed=seed, slots=config.texts, octets=config.text_octets)
        self.flows: dict[str, Flow] = {}
        self.keys_seen: dict[FieldRef, int] = {}  # nanoseconds since 1970 UTC
        self._config = config
        self._lookups = lookups
        self._memos = Memos()
        self._thresholds: dict[str, Threshold] = {}
        self._attributes = Attributes(config.max_sources)
        self._attributes_used = 0  # the version that lookups and thresholds know
        self._clock = np.zeros(2, np.int64)
        self._base_ns: int | None = None

    def needs(self) -> frozenset[FieldRef]:
        """Return the fields that batches must have columns of."""
        needs: frozenset[FieldRef] = frozenset().union(*(flow.plan.needs for flow in self.flows.values()))
        ties = self._lookups.routing
        return needs if ties is None else needs | routing_needs(ties, needs)

    def set_flow(self, definition: FlowDefinition) -> None:
        """Put a definition; the same again keeps its table, another begins with an empty one.

        Thresholds stay, and begin armed.
        """
        old = self.flows.get(definition.name)
        if old is not None and old.plan.definition == definition:
            return
        self._memos.forget()
        plan = make_plan(definition, self._lookups, self.texts)
        self.flows[definition.name] = Flow(
            plan, self.sources, self.texts, capacity=self._config.table_size, count_seed=self._config.count_seed
        )
        self._attach_thresholds(definition.name)

    def clear_flow(self, name: str) -> None:
        """Remove a definition."""
        self.flows.pop(name, None)
        self._memos.forget()

    def set_threshold(self, threshold: Threshold) -> None:
        """Put a threshold; the same again keeps its state."""
        old = self._thresholds.get(threshold.name)
        self._thresholds[threshold.name] = threshold
        if old is not None and old.metric != threshold.metric:
            self._attach_thresholds(old.metric)
        self._attach_thresholds(threshold.metric)

    def clear_threshold(self, name: str) -> None:
        """Remove a threshold."""
        old = self._thresholds.pop(name, None)
        if old is not None:
            self._attach_thresholds(old.metric)

    def triggered(self, threshold: str, flow: str, now_ns: int, *, place: tuple[Words, str], key: str | None) -> bool:
        """Tell whether a threshold is triggered at an agent's data source, for a key if it is by flow."""
        known = self.flows.get(flow)
        sources = frozenset(self.sources.find(*place))
        return known is not None and known.triggered(threshold, sources, key, self.seconds(now_ns))

    def set_group(self, name: str, group: GroupTable | None) -> None:
        """Put a group, or remove it."""
        self._lookups = self._lookups.with_group(name, group)
        self._memos.forget()

    def set_map(self, name: str, table: MapTable | None) -> None:
        """Put a map, or remove it."""
        self._lookups = self._lookups.with_map(name, table)
        self._memos.forget()

    def set_routing(self, routing: Routing | None) -> None:
        """Tie agents to routers whose tables give the keys that samples lack, or to none."""
        self._lookups = self._lookups.with_routing(routing)
        self._memos.forget()

    def _attach_thresholds(self, metric: str) -> None:
        flow = self.flows.get(metric)
        if flow is not None:
            mine = [threshold for threshold in self._thresholds.values() if threshold.metric == metric]
            if mine != flow.thresholds:
                flow.set_thresholds(mine)
                flow.look_at(self._attributes)

    def take_counters(self, counters: CounterBatch, datagrams: DatagramBatch) -> list[tuple[int, int]]:
        """Take the counters samples of one block, before its `step`.

        Return the rows whose records are worth reading (see `note_attributes`), each with its data source's number.
        """
        if not len(counters):
            return []
        numbers = self.sources.note_counters(counters, datagrams)
        rows = self._attributes.due(numbers, datagrams.time_ns[counters.datagram])
        return [(int(row), int(numbers[row])) for row in rows]

    def note_attributes(self, number: int, told: Mapping[str, str], macs: Sequence[str]) -> None:
        """Take what the records of a data source tell of it; it is used from the next `step` on."""
        agent, source = self.sources.place_of(number)
        self._attributes.note(number, (parse_address(agent), source), told, macs)

    def _use_attributes(self) -> None:
        if self._attributes_used != self._attributes.version:
            self._attributes_used = self._attributes.version
            self._lookups = msgspec.structs.replace(self._lookups, hosts=self._attributes.hosts)
            self._memos.forget()
            for flow in self.flows.values():
                flow.look_at(self._attributes)

    def step(self, datagrams: DatagramBatch, flows: FlowBatch) -> list[Event | FlowRecord]:
        """Take datagrams and flow samples of one block; return what they caused, in the order of what caused it."""
        self._use_attributes()
        self.sources.note_datagrams(datagrams)
        if not len(flows):
            return []
        numbers = self.sources.note_flows(flows)
        moments = self._moments(flows.time_ns)
        evaluation = Evaluation(flows, self._lookups, self.texts, self._memos)
        told: list[Told] = []
        for flow in self.flows.values():
            told += flow.add(flows, evaluation, moments, numbers)
        self._note_keys(flows, evaluation)
        told.sort(key=lambda one: one.row)
        return [one.what for one in told]

    def _moments(self, times_ns: I64) -> Moments:
        """Return times in seconds since midnight UTC before the first sample, never going back."""
        if self._base_ns is None:
            self._base_ns = int(times_ns[0]) // _DAY_NS * _DAY_NS
        moments = Moments(seconds=np.empty(len(times_ns)), zero_ns=np.empty(len(times_ns), np.int64))
        even_times(times_ns, self._base_ns, self._clock, moments.seconds, moments.zero_ns)
        return moments

    def seconds(self, now_ns: int) -> float:
        """Return the engine's time for a moment, not before the last sample."""
        base = self._base_ns or 0
        return (max(now_ns + int(self._clock[0]), int(self._clock[1])) - base) / 1e9

    def advance(self, now_ns: int) -> list[Event | FlowRecord]:
        """Close flow records that are idle at a moment, when no samples come that would."""
        now = self.seconds(now_ns)
        return [record for flow in self.flows.values() for record in flow.advance(now, self._zero_ns())]

    def finish(self) -> list[Event | FlowRecord]:
        """Close all flow records: there will be no more samples."""
        return [record for flow in self.flows.values() for record in flow.finish(self._zero_ns())]

    def _zero_ns(self) -> int:
        return (self._base_ns or 0) - int(self._clock[0])

    def _note_keys(self, flows: FlowBatch, evaluation: Evaluation) -> None:
        last = int(flows.time_ns[-1])
        carried = ((ref, column.present) for ref, column in flows.columns.items())
        for ref, present in chain(carried, evaluation.routed()):
            if last - self.keys_seen.get(ref, 0) >= _SEEN_NS and present.any():
                self.keys_seen[ref] = last
