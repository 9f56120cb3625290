"""The running analytics as REST and scripts see it: definitions, readings, events and records over all shards.

Definitions are parsed here once and given to every shard; readings are asked of every shard and merged. Every method
may be called from any thread.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version as distribution_version
from typing import TypeVar

import msgspec

from tidegate.apps.record_log import RecordLog
from tidegate.apps.shard import Shard
from tidegate.data.address import Words, format_address, parse_address
from tidegate.engine.definition import FlowDefinition, GroupTable, MapTable, Threshold
from tidegate.engine.engine import Engine
from tidegate.engine.events import ActiveFlow, Event, FlowRecord
from tidegate.engine.reading import Snapshot, each_source, locations, merged, snapshot
from tidegate.engine.routing import Routing
from tidegate.engine.sources import AgentCounts, SourceCounts
from tidegate.engine.sources import Sequence as Numbers
from tidegate.engine.syntax import (
    describe_definition,
    describe_group,
    describe_map,
    describe_threshold,
    parse_definition,
    parse_group,
    parse_map,
    parse_threshold,
    unknown_keys,
)
from tidegate.errors import TextError
from tidegate.web.backend import AgentInfo, DataSourceInfo

__all__ = ["Analyzer", "Deliver"]

T = TypeVar("T")
_LOG = logging.getLogger(__name__)
_MOST_DEFINED = 1000  # of flows, thresholds, groups and maps each; a flow takes some 300 kB once it has samples
Deliver = Callable[[Sequence[Event], Sequence[FlowRecord]], None]

_ALL_AGENTS = {"ALL"}
_NO_TOPOLOGY = {"TOPOLOGY", "EDGE", "CORE"}  # tokens that need a topology: without one they name no agent
_ADDED_UP = {"sum", "avg"}


class Analyzer:
    """See the module. `now_ns` is the time of readings; `log_size` bounds events and flow records each."""

    def __init__(self, *, now_ns: Callable[[], int], log_size: int = 10_000) -> None:
        self._now_ns = now_ns
        self._shards: Sequence[Shard] = ()
        self._lock = threading.RLock()  # over the definitions, so that all shards have the same
        self._flows: dict[str, FlowDefinition] = {}
        self._own: dict[str, FlowDefinition] = {}  # flows that serve something else and are not shown
        self._thresholds: dict[str, Threshold] = {}
        self._groups: dict[str, GroupTable] = {}
        self._maps: dict[str, MapTable] = {}
        self._events: RecordLog[Event] = RecordLog(log_size, lambda event, number: _renumber(event, event_id=number))
        self._records: RecordLog[FlowRecord] = RecordLog(log_size, lambda one, number: _renumber(one, flow_id=number))
        self._watchers: list[Callable[[], None]] = []
        self._deliveries: list[Deliver] = []
        self._more: Callable[[], dict[str, object]] = dict

    def use(self, shards: Sequence[Shard], more: Callable[[], dict[str, object]] = dict) -> None:
        """Say which shards there are, and what else `/analyzer/json` tells; before anything is asked."""
        self._shards = shards
        self._more = more

    def deliver_to(self, deliver: Deliver) -> None:
        """Call `deliver` with new events and flow records, in order, from the thread of the shard they came from."""
        self._deliveries.append(deliver)

    def publish(self, caused: Iterable[Event | FlowRecord]) -> None:
        """Keep what a shard tells under new ids, and pass it on."""
        told = list(caused)
        events = self._events.add(one for one in told if isinstance(one, Event))
        records = self._records.add(one for one in told if isinstance(one, FlowRecord))
        for deliver in self._deliveries:
            deliver(events, records)
        for changed in tuple(self._watchers):
            changed()

    def version(self) -> str:
        """Return `major.minor-build`."""
        major, minor, build = (*distribution_version("tidegate").split("."), "0")[:3]
        return f"{major}.{minor}-{build}"

    def analyzer(self) -> dict[str, object]:
        """Return the object of `/analyzer/json`."""
        counts = [shard.statistics() for shard in self._shards]
        decoders = [shard.ask(lambda _, shard=shard: shard.decoder.statistics()) for shard in self._shards]  # type: ignore[misc] # a default binds it
        return {
            "version": self.version(),
            "sFlowAgents": len(self.agents()),
            "sFlowDatagramsReceived": sum(count.datagrams for count in counts),
            "sFlowFlowSamples": sum(count.flow_samples for count in counts),
            "sFlowCounterSamples": sum(count.counter_samples for count in counts),
            "sFlowSamplesDiscarded": sum(count.refused_samples for count in counts),
            "sFlowParseErrors": sum(one.counts["bad_truncated"] + one.counts["bad_address"] for one in decoders),
            "sFlowUnsupportedVersion": sum(one.counts["bad_version"] for one in decoders),
            "sFlowDatagramsDiscarded": sum(one.not_allowed for one in decoders),
            "eventsGenerated": self._events.total,
            "flowsGenerated": self._records.total,
            "decoder": [msgspec.to_builtins(one) for one in decoders],
            **self._more(),
        }

    def agents(self, addresses: Sequence[str] | None = None) -> dict[str, AgentInfo]:
        """Return agents by address, all or those named."""
        now = self._now_ns()
        found: dict[Words, AgentCounts] = {}
        for counts in self._each(lambda engine: engine.sources.counts()):
            for one in counts:
                known = found.get(one.agent)
                found[one.agent] = one if known is None else known + one
        named = {format_address(*words): _agent_info(one, now) for words, one in found.items()}
        return named if addresses is None else {name: named[name] for name in addresses if name in named}

    def data_source(self, agent: str, source: str) -> DataSourceInfo | None:
        """Return what is known of a data source (`3`, `2.1`)."""
        words = _agent_words(agent)
        if words is None:
            return None

        def look(engine: Engine) -> SourceCounts | None:
            numbers = engine.sources.find(words, source)
            return next((engine.sources.source_counts(number) for number in numbers), None)

        known = next((counts for counts in self._each(look) if counts is not None), None)
        return None if known is None else _source_info(known)

    def flow_keys(self) -> dict[str, int]:
        """Return the keys seen in samples, and how many milliseconds ago."""
        now = self._now_ns()
        seen: dict[str, int] = {}
        for keys in self._each(lambda engine: dict(engine.keys_seen)):
            for ref, time_ns in keys.items():
                age = max(now - time_ns, 0) // 1_000_000
                seen[str(ref)] = min(age, seen.get(str(ref), age))
        return seen

    def set_flow(self, name: str, spec: Mapping[str, object]) -> None:
        """Put a flow definition; the same again changes nothing. `TextError`. Unknown keys are warned of in the log."""
        definition = parse_definition(name, spec)
        for key, hint in unknown_keys(definition).items():
            _LOG.warning("flow %s: no packet has a key called %s%s", name, key, f" ({hint})" if hint else "")
        with self._lock:
            _check_room(name, self._flows)
            self._each(lambda engine: engine.set_flow(definition))
            self._flows[name] = definition

    def clear_flow(self, name: str) -> bool:
        """Remove a flow definition; False where there was none."""
        with self._lock:
            self._each(lambda engine: engine.clear_flow(name))
            return self._flows.pop(name, None) is not None

    def flows(self) -> dict[str, dict[str, object]]:
        """Return the flow definitions, defaults filled in."""
        return {name: describe_definition(definition) for name, definition in dict(self._flows).items()}

    def set_threshold(self, name: str, spec: Mapping[str, object]) -> None:
        """Put a threshold; the same again changes nothing. `TextError`."""
        threshold = parse_threshold(name, spec)
        with self._lock:
            _check_room(name, self._thresholds)
            self._each(lambda engine: engine.set_threshold(threshold))
            self._thresholds[name] = threshold

    def clear_threshold(self, name: str) -> bool:
        """Remove a threshold."""
        with self._lock:
            self._each(lambda engine: engine.clear_threshold(name))
            return self._thresholds.pop(name, None) is not None

    def thresholds(self) -> dict[str, dict[str, object]]:
        """Return the thresholds."""
        return {name: describe_threshold(threshold) for name, threshold in dict(self._thresholds).items()}

    def threshold_triggered(self, name: str, agent: str, metric: str, flow_key: str | None = None) -> bool:
        """Tell whether a threshold is triggered; `metric` is `dataSource.flow`."""
        source, _, flow = metric.rpartition(".")
        words = _agent_words(agent)
        now_ns = self._now_ns()
        return words is not None and any(
            self._each_at(
                now_ns, lambda engine, at: engine.triggered(name, flow, at, place=(words, source), key=flow_key)
            )
        )

    def set_group(self, name: str, spec: Mapping[str, object]) -> None:
        """Put a group: label to CIDRs. `TextError`."""
        group = parse_group(name, spec)
        with self._lock:
            _check_room(name, self._groups)
            self._each(lambda engine: engine.set_group(name, group))
            self._groups[name] = group

    def clear_group(self, name: str) -> bool:
        """Remove a group."""
        with self._lock:
            self._each(lambda engine: engine.set_group(name, None))
            return self._groups.pop(name, None) is not None

    def groups(self) -> dict[str, dict[str, list[str]]]:
        """Return the groups as put."""
        return {name: describe_group(group) for name, group in dict(self._groups).items()}

    def set_map(self, name: str, spec: Mapping[str, object]) -> None:
        """Put a map: label to values. `TextError`."""
        table = parse_map(name, spec)
        with self._lock:
            _check_room(name, self._maps)
            self._each(lambda engine: engine.set_map(name, table))
            self._maps[name] = table

    def clear_map(self, name: str) -> bool:
        """Remove a map."""
        with self._lock:
            self._each(lambda engine: engine.set_map(name, None))
            return self._maps.pop(name, None) is not None

    def maps(self) -> dict[str, dict[str, list[str]]]:
        """Return the maps as put."""
        return {name: describe_map(table) for name, table in dict(self._maps).items()}

    def set_own_flows(self, definitions: Iterable[FlowDefinition]) -> None:
        """Measure these beside the users' flows, in place of those before; a definition that stays keeps its table.

        Their names must be such as no user's flow can have.
        """
        wanted = {definition.name: definition for definition in definitions}
        with self._lock:
            for name in self._own.keys() - wanted.keys():
                self._each(lambda engine, name=name: engine.clear_flow(name))  # type: ignore[misc] # a default binds it
            for definition in wanted.values():
                self._each(lambda engine, one=definition: engine.set_flow(one))  # type: ignore[misc] # as above
            self._own = wanted

    def set_routing(self, routing: Routing | None) -> None:
        """Tie agents to routers whose tables give the bgp keys of samples without a gateway record, or to none."""
        with self._lock:
            self._each(lambda engine: engine.set_routing(routing))

    def active_flows(
        self, agents: str, name: str, *, max_flows: int = 100, min_value: float = 0.0, agg_mode: str = "max"
    ) -> list[ActiveFlow] | None:
        """Return the largest flows, merged over data sources; None for an unknown name."""
        taken = self.snapshots(agents, name)
        mode = agg_mode if agg_mode in _ADDED_UP else "max"  # edge and core need a topology; without one they are max
        return None if taken is None else merged(taken, mode=mode, most=max_flows, least=min_value)

    def flow_locations(self, agents: str, name: str, key: str) -> list[ActiveFlow] | None:
        """Return one key at each data source that sees it; None for an unknown name."""
        taken = self.snapshots(agents, name)
        return None if taken is None else locations(taken, key)

    def top_keys(self, agents: str, name: str) -> list[ActiveFlow] | None:
        """Return the largest `n` flows of each data source, unmerged; None for an unknown name."""
        definition = self._flows.get(name)
        taken = self.snapshots(agents, name) if definition is not None else None
        return None if definition is None or taken is None else each_source(taken, definition.n)

    def events(self, after: int = -1, *, most: int = 1000, thresholds: Sequence[str] = ()) -> list[Event]:
        """Return events with an id above `after`, newest first, at most `most`, of all thresholds or those named."""
        return self._events.since(after, most, lambda event: not thresholds or event.threshold_id in thresholds)

    def flow_records(self, after: int = -1, *, most: int = 1000, names: Sequence[str] = ()) -> list[FlowRecord]:
        """Return flow records with an id above `after`, newest first."""
        return self._records.since(after, most, lambda record: not names or record.name in names)

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Call `changed`, from any thread, when events or flow records were added; return what ends that."""
        self._watchers.append(changed)
        return lambda: self._watchers.remove(changed)

    def advance(self, now_ns: int) -> None:
        """Close flow records that are idle, when no samples come that would."""
        for caused in self._each_at(now_ns, lambda engine, at: engine.advance(at)):
            if caused:
                self.publish(caused)

    def finish(self) -> None:
        """Close all flow records: there will be no more samples."""
        for caused in self._each(lambda engine: engine.finish()):
            if caused:
                self.publish(caused)

    def snapshots(self, agents: str, name: str) -> list[Snapshot] | None:
        """Return the flows of a definition as they stand, one part a shard; None for an unknown name."""
        if name not in self._flows and name not in self._own:
            return None
        wanted = _wanted_agents(agents)
        now_ns = self._now_ns()

        def take(engine: Engine, at_ns: int) -> Snapshot | None:
            flow = engine.flows.get(name)  # None where it was removed just now
            return None if flow is None else snapshot(flow, engine.sources, engine.seconds(at_ns), wanted)

        return [taken for taken in self._each_at(now_ns, take) if taken is not None]

    def _each(self, question: Callable[[Engine], T]) -> list[T]:
        return [shard.ask(question) for shard in self._shards]

    def _each_at(self, now_ns: int, question: Callable[[Engine, int], T]) -> list[T]:
        return [shard.ask_at(now_ns, question) for shard in self._shards]


def _renumber(record: T, **number: int) -> T:
    return msgspec.structs.replace(record, **number)  # type: ignore[type-var] # both kinds are structs


def _check_room(name: str, known: Mapping[str, object]) -> None:
    """Refuse one more where there are so many that memory is at stake; replacing one always fits."""
    if name not in known and len(known) >= _MOST_DEFINED:
        raise TextError(name, 0, f"there are {_MOST_DEFINED} already", "remove what is no longer needed")


def _agent_words(text: str) -> Words | None:
    try:
        return parse_address(text)
    except ValueError:
        return None


def _wanted_agents(agents: str) -> frozenset[Words] | None:
    """Return the agents that a list names, None for all. `TextError` where it names none that could exist."""
    names = [name.strip() for name in re.split("[,;]", agents) if name.strip()]
    if _ALL_AGENTS & set(names):
        return None
    found = set()
    for name in names:
        words = _agent_words(name)
        if words is None and name not in _NO_TOPOLOGY:
            raise TextError(agents, agents.index(name), f"{name} is no agent address", "use ALL, or addresses")
        found |= {words} if words is not None else set()
    return frozenset(found)


def _agent_info(counts: AgentCounts, now_ns: int) -> AgentInfo:
    flows = sum((one.flows for one in counts.sources), Numbers())
    counters = sum((one.counters for one in counts.sources), Numbers())
    return AgentInfo(
        sFlowDatagramSource=(format_address(*counts.udp_source),),
        firstSeen=max(now_ns - counts.first_ns, 0) // 1_000_000,
        lastSeen=max(now_ns - counts.last_ns, 0) // 1_000_000,
        uptime=counts.uptime_ms,
        sFlowDatagramsReceived=counts.datagrams.received,
        sFlowDatagramsLost=counts.datagrams.lost,
        sFlowDatagramsOutOfOrder=counts.datagrams.out_of_order,
        sFlowDatagramsDuplicates=counts.datagrams.duplicates,
        sFlowFlowDatasources=sum(one.flows.received > 0 for one in counts.sources),
        sFlowFlowSamples=flows.received,
        sFlowFlowLostSamples=flows.lost,
        sFlowFlowOutOfOrderSamples=flows.out_of_order,
        sFlowFlowDuplicateSamples=flows.duplicates,
        sFlowFlowDrops=sum(one.drops for one in counts.sources),
        sFlowCounterDatasources=sum(one.counters.received > 0 for one in counts.sources),
        sFlowCounterSamples=counters.received,
        sFlowCounterLostSamples=counters.lost,
        sFlowCounterOutOfOrderSamples=counters.out_of_order,
        sFlowCounterDuplicateSamples=counters.duplicates,
    )


def _source_info(counts: SourceCounts) -> DataSourceInfo:
    return DataSourceInfo(
        samplingRate=counts.rate,
        effectiveSamplingRate=counts.effective_rate or float(counts.rate),
        flowSamples=counts.flows.received,
        counterSamples=counts.counters.received,
    )
