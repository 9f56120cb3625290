"""A running instance that measures nothing: it keeps what is put, checked as the real one does it.

It answers with what a test told it to; `tidegate.apps.fake_runtime` joins it to a script under test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tidegate.engine.definition import FlowDefinition, GroupTable, MapTable, Threshold
from tidegate.engine.events import ActiveFlow, Event, FlowRecord
from tidegate.engine.syntax import (
    describe_definition,
    describe_group,
    describe_map,
    describe_threshold,
    parse_definition,
    parse_group,
    parse_map,
    parse_threshold,
)
from tidegate.web.backend import AgentInfo, DataSourceInfo

__all__ = ["FakeBackend"]


class FakeBackend:
    """A `tidegate.web.backend.Backend` for tests. Fill the attributes with what it should answer.

    `definitions`, `limits`, `group_tables` and `map_tables` hold what was put, parsed. `active` answers `active_flows`
    by name, `locations` answers `flow_locations` by name and key, `triggered` holds the thresholds that are triggered
    as `(threshold, agent, "dataSource.metric", flow key)`.
    """

    def __init__(self) -> None:
        self.definitions: dict[str, FlowDefinition] = {}
        self.limits: dict[str, Threshold] = {}
        self.group_tables: dict[str, GroupTable] = {}
        self.map_tables: dict[str, MapTable] = {}
        self.active: dict[str, list[ActiveFlow]] = {}
        self.locations: dict[tuple[str, str], list[ActiveFlow]] = {}
        self.triggered: set[tuple[str, str, str, str | None]] = set()
        self.known_agents: dict[str, AgentInfo] = {}
        self.data_sources: dict[tuple[str, str], DataSourceInfo] = {}
        self.keys_seen: dict[str, int] = {}
        self.event_log: list[Event] = []
        self.record_log: list[FlowRecord] = []

    def version(self) -> str:
        """Return a version."""
        return "0.0-0"

    def analyzer(self) -> dict[str, object]:
        """Return nothing."""
        return {}

    def agents(self, addresses: Sequence[str] | None = None) -> dict[str, AgentInfo]:
        """Return `known_agents`, all or those named."""
        if addresses is None:
            return dict(self.known_agents)
        return {address: info for address, info in self.known_agents.items() if address in addresses}

    def data_source(self, agent: str, source: str) -> DataSourceInfo | None:
        """Return the one of `data_sources`."""
        return self.data_sources.get((agent, source))

    def flow_keys(self) -> dict[str, int]:
        """Return `keys_seen`."""
        return dict(self.keys_seen)

    def set_flow(self, name: str, spec: Mapping[str, object]) -> None:
        """Parse and keep a definition."""
        self.definitions[name] = parse_definition(name, spec)

    def clear_flow(self, name: str) -> bool:
        """Remove a definition."""
        return self.definitions.pop(name, None) is not None

    def flows(self) -> dict[str, dict[str, object]]:
        """Return the definitions."""
        return {name: describe_definition(definition) for name, definition in self.definitions.items()}

    def set_threshold(self, name: str, spec: Mapping[str, object]) -> None:
        """Parse and keep a threshold."""
        self.limits[name] = parse_threshold(name, spec)

    def clear_threshold(self, name: str) -> bool:
        """Remove a threshold, and that it is triggered."""
        self.triggered = {trigger for trigger in self.triggered if trigger[0] != name}
        return self.limits.pop(name, None) is not None

    def thresholds(self) -> dict[str, dict[str, object]]:
        """Return the thresholds."""
        return {name: describe_threshold(limit) for name, limit in self.limits.items()}

    def threshold_triggered(self, name: str, agent: str, metric: str, flow_key: str | None = None) -> bool:
        """Tell whether it is in `triggered`."""
        return (name, agent, metric, flow_key) in self.triggered

    def set_group(self, name: str, spec: Mapping[str, object]) -> None:
        """Parse and keep a group."""
        self.group_tables[name] = parse_group(name, spec)

    def clear_group(self, name: str) -> bool:
        """Remove a group."""
        return self.group_tables.pop(name, None) is not None

    def groups(self) -> dict[str, dict[str, list[str]]]:
        """Return the groups."""
        return {name: describe_group(table) for name, table in self.group_tables.items()}

    def set_map(self, name: str, spec: Mapping[str, object]) -> None:
        """Parse and keep a map."""
        self.map_tables[name] = parse_map(name, spec)

    def clear_map(self, name: str) -> bool:
        """Remove a map."""
        return self.map_tables.pop(name, None) is not None

    def maps(self) -> dict[str, dict[str, list[str]]]:
        """Return the maps."""
        return {name: describe_map(table) for name, table in self.map_tables.items()}

    def active_flows(
        self, agents: str, name: str, *, max_flows: int = 100, min_value: float = 0.0, agg_mode: str = "max"
    ) -> list[ActiveFlow] | None:
        """Return the largest of `active`; `agents` and `agg_mode` make no difference."""
        del agents, agg_mode
        if name not in self.definitions:
            return None
        flows = [flow for flow in self.active.get(name, []) if flow.value >= min_value]
        return sorted(flows, key=lambda flow: -flow.value)[:max_flows]

    def flow_locations(self, agents: str, name: str, key: str) -> list[ActiveFlow] | None:
        """Return those of `locations` at the agents."""
        if name not in self.definitions:
            return None
        wanted = agents.replace(";", ",").split(",")
        return [flow for flow in self.locations.get((name, key), []) if "ALL" in wanted or flow.agent in wanted]

    def top_keys(self, agents: str, name: str) -> list[ActiveFlow] | None:
        """Return all of `active`."""
        del agents
        return list(self.active.get(name, [])) if name in self.definitions else None

    def events(self, after: int = -1, *, most: int = 1000, thresholds: Sequence[str] = ()) -> list[Event]:
        """Return those of `event_log`, newest first."""
        found = [event for event in self.event_log if event.event_id > after]
        return [event for event in found if not thresholds or event.threshold_id in thresholds][::-1][:most]

    def flow_records(self, after: int = -1, *, most: int = 1000, names: Sequence[str] = ()) -> list[FlowRecord]:
        """Return those of `record_log`, newest first."""
        found = [record for record in self.record_log if record.flow_id > after]
        return [record for record in found if not names or record.name in names][::-1][:most]

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Never call `changed`: a test says itself when something has happened."""
        return changed
