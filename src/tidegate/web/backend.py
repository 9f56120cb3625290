"""What REST and scripts ask of a running instance; `tidegate.apps.analyzer` is the real one.

Every method may be called from any thread and returns within milliseconds. Texts of users are given as they are:
`TextError` says where one is wrong. `agents` is a list of agent addresses separated by `,` or `;`, or `ALL`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from tidegate.engine.events import ActiveFlow, Event, FlowRecord

__all__ = ["AgentInfo", "Backend", "DataSourceInfo"]


class AgentInfo(msgspec.Struct, frozen=True):
    """What is known of an agent: the object of `/agents/json`, section 2.3 of the REST reference."""

    sFlowDatagramSource: tuple[str, ...]  # noqa: N815 - the interface's names, as all below
    firstSeen: int  # noqa: N815 - milliseconds ago
    lastSeen: int  # noqa: N815 - milliseconds ago
    uptime: int  # milliseconds, the agent's own
    sFlowDatagramsReceived: int = 0  # noqa: N815
    sFlowDatagramsLost: int = 0  # noqa: N815
    sFlowDatagramsOutOfOrder: int = 0  # noqa: N815
    sFlowDatagramsDuplicates: int = 0  # noqa: N815
    sFlowFlowDatasources: int = 0  # noqa: N815
    sFlowFlowSamples: int = 0  # noqa: N815
    sFlowFlowLostSamples: int = 0  # noqa: N815
    sFlowFlowOutOfOrderSamples: int = 0  # noqa: N815
    sFlowFlowDuplicateSamples: int = 0  # noqa: N815
    sFlowFlowDrops: int = 0  # noqa: N815
    sFlowCounterDatasources: int = 0  # noqa: N815
    sFlowCounterSamples: int = 0  # noqa: N815
    sFlowCounterLostSamples: int = 0  # noqa: N815
    sFlowCounterOutOfOrderSamples: int = 0  # noqa: N815
    sFlowCounterDuplicateSamples: int = 0  # noqa: N815


class DataSourceInfo(msgspec.Struct, frozen=True):
    """What is known of a data source."""

    samplingRate: int  # noqa: N815 - the interface's names, as all below
    effectiveSamplingRate: float  # noqa: N815 - packets per sample received, from the sample pool
    flowSamples: int  # noqa: N815
    counterSamples: int  # noqa: N815
    effectivePollingInterval: int = 0  # noqa: N815 - milliseconds


class Backend(Protocol):
    """A running instance."""

    def version(self) -> str:
        """Return `major.minor-build`."""

    def analyzer(self) -> dict[str, object]:
        """Return the object of `/analyzer/json`."""

    def agents(self, addresses: Sequence[str] | None = None) -> dict[str, AgentInfo]:
        """Return agents by address, all or those named."""

    def data_source(self, agent: str, source: str) -> DataSourceInfo | None:
        """Return what is known of a data source (`3`, `2.1`)."""

    def flow_keys(self) -> dict[str, int]:
        """Return the keys seen in samples, and how many milliseconds ago."""

    def set_flow(self, name: str, spec: Mapping[str, object]) -> None:
        """Put a flow definition; the same again changes nothing. `TextError`."""

    def clear_flow(self, name: str) -> bool:
        """Remove a flow definition; False where there was none."""

    def flows(self) -> dict[str, dict[str, object]]:
        """Return the flow definitions, defaults filled in."""

    def set_threshold(self, name: str, spec: Mapping[str, object]) -> None:
        """Put a threshold; the same again changes nothing. `TextError`."""

    def clear_threshold(self, name: str) -> bool:
        """Remove a threshold."""

    def thresholds(self) -> dict[str, dict[str, object]]:
        """Return the thresholds."""

    def threshold_triggered(self, name: str, agent: str, metric: str, flow_key: str | None = None) -> bool:
        """Tell whether a threshold is triggered; `metric` is `dataSource.flow`."""

    def set_group(self, name: str, spec: Mapping[str, object]) -> None:
        """Put a group: label to CIDRs. `TextError`."""

    def clear_group(self, name: str) -> bool:
        """Remove a group."""

    def groups(self) -> dict[str, dict[str, list[str]]]:
        """Return the groups as put."""

    def set_map(self, name: str, spec: Mapping[str, object]) -> None:
        """Put a map: label to values. `TextError`."""

    def clear_map(self, name: str) -> bool:
        """Remove a map."""

    def maps(self) -> dict[str, dict[str, list[str]]]:
        """Return the maps as put."""

    def active_flows(
        self, agents: str, name: str, *, max_flows: int = 100, min_value: float = 0.0, agg_mode: str = "max"
    ) -> list[ActiveFlow] | None:
        """Return the largest flows, merged over data sources; None for an unknown name."""

    def flow_locations(self, agents: str, name: str, key: str) -> list[ActiveFlow] | None:
        """Return one key at each data source that sees it; None for an unknown name."""

    def top_keys(self, agents: str, name: str) -> list[ActiveFlow] | None:
        """Return the largest `n` flows of each data source, unmerged; None for an unknown name."""

    def events(self, after: int = -1, *, most: int = 1000, thresholds: Sequence[str] = ()) -> list[Event]:
        """Return events with an id above `after`, newest first, at most `most`, of all thresholds or those named."""

    def flow_records(self, after: int = -1, *, most: int = 1000, names: Sequence[str] = ()) -> list[FlowRecord]:
        """Return flow records with an id above `after`, newest first."""

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Call `changed`, from any thread, when events or flow records were added; return what ends that."""
