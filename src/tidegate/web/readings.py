"""Metrics as REST asks for them: their names parsed, and their readings at each data source.

Metrics are those of flow definitions: the name of a definition is a metric whose value is that of its largest flow,
read at the moment of the request, so that it is never stale. Names that are no definition have no readings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

import msgspec

from tidegate.engine.events import ActiveFlow
from tidegate.web.aggregates import AGGREGATES, PICKS
from tidegate.web.backend import Backend

__all__ = ["MetricName", "Reading", "SourceFilter", "TopKey", "parse_metric", "parse_source_filter", "read_metric"]

_SOURCE: Final = re.compile(r"(\d+(?:\.\d+)?)\.(?=\D)")


class TopKey(msgspec.Struct, frozen=True, omit_defaults=True):
    """One of the largest flows of a data source."""

    key: str
    value: float
    values: tuple[float | None, ...] | None = None


class Reading(msgspec.Struct, frozen=True):
    """A metric at one data source."""

    agent: str
    source: str
    name: str
    value: float
    top: tuple[TopKey, ...] | None = None  # of flows with keys, largest first
    age_ms: int = 0  # since the value was last updated


class MetricName(msgspec.Struct, frozen=True):
    """A metric as a client asks for it: `[operator:][dataSource.]name`."""

    text: str
    operator: str
    source: str | None
    name: str


def parse_metric(text: str, known: Collection[str]) -> MetricName:
    """Parse what a client asks for; a name that is known as a whole is not taken apart."""
    operator, colon, rest = text.partition(":")
    if not colon or (operator not in PICKS and operator not in AGGREGATES):
        operator, rest = "max", text
    source = None if rest in known else _SOURCE.match(rest)
    if source is None:
        return MetricName(text, operator, None, rest)
    return MetricName(text, operator, source[1], rest[source.end() :])


def read_metric(backend: Backend, agents: str, name: str) -> list[Reading]:
    """Return the readings of a metric, in the order of agents and data sources."""
    found: dict[tuple[str, str], list[ActiveFlow]] = {}
    for flow in backend.top_keys(agents, name) or ():
        found.setdefault((flow.agent, flow.data_source), []).append(flow)
    return [_reading(name, flows) for _, flows in sorted(found.items())]


def _reading(name: str, flows: list[ActiveFlow]) -> Reading:
    flows = sorted(flows, key=lambda flow: -flow.value)
    keyed = any(flow.key for flow in flows)
    top = tuple(TopKey(flow.key, flow.value, flow.values) for flow in flows) if keyed else None
    return Reading(flows[0].agent, flows[0].data_source, name, flows[0].value, top)


SourceFilter = Callable[[Reading], bool]


def parse_source_filter(backend: Backend, agents: str, wishes: Sequence[tuple[str, str]]) -> SourceFilter:
    """Return the test of data sources that query parameters describe.

    One name with several values: one of them; several names: each of them. `*` stands for any characters.
    """
    wanted: dict[str, list[str]] = {}
    for name, value in wishes:
        wanted.setdefault(name, []).append(value)
    passing: set[tuple[str, str]] | None = None
    for name, values in wanted.items():
        at = {(one.agent, one.source) for one in read_metric(backend, agents, name) if _is_one_of(one.value, values)}
        passing = at if passing is None else passing & at
    return lambda reading: passing is None or (reading.agent, reading.source) in passing


def _is_one_of(value: float, wishes: Iterable[str]) -> bool:
    return any(wish == "*" or _number(wish) == value for wish in wishes)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
