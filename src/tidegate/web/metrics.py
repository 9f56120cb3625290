"""Metrics by position, as rows and as a list: `/metrics`, `/metric`, `/table`, `/dump`.

A metric that is not known keeps its position, with `metricN` 0 and without a value.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec
from litestar import Request, get

from tidegate.web.aggregates import AGGREGATES, PICKS, Quartiles, quartiles_of
from tidegate.web.backend import Backend
from tidegate.web.inject import Instance, Segment
from tidegate.web.readings import (
    MetricName,
    Reading,
    SourceFilter,
    TopKey,
    parse_metric,
    parse_source_filter,
    read_metric,
)
from tidegate.web.replies import bad_text, not_found, split_list

__all__ = ["HANDLERS", "Cell", "MetricReply"]

_MOST: Final = 200  # metrics a request may ask for
_SUMMARIZED: Final = frozenset({"med", "q1", "q2", "q3", "iqr"})


class MetricReply(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """One requested metric over data sources."""

    metric_name: str  # as it was asked for
    metric_n: int  # readings combined
    metric_value: float | None = None
    agent: str | None = None  # where the value was read, where it is one reading's
    data_source: str | None = None
    last_update: int | None = None  # milliseconds ago
    last_update_max: int | None = None
    last_update_min: int | None = None
    top_keys: tuple[TopKey, ...] | None = None
    quartiles: Quartiles | None = None


class Cell(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """One metric at one data source."""

    agent: str
    data_source: str
    metric_name: str
    last_update: int  # milliseconds ago
    metric_value: float | None = None
    top_keys: tuple[TopKey, ...] | None = None


class _Column(msgspec.Struct, frozen=True):
    """A column of a table: `[sort:]name[:N]`, N below 0 for the largest first."""

    metric: MetricName
    sorts: bool
    count: int | None


@get("/metrics/json", tags=["metrics"], summary="Names of metrics", sync_to_thread=False)
def read_metrics(backend: Instance) -> dict[str, int]:
    """Return the names of the metrics, and how many milliseconds ago each was updated."""
    return dict.fromkeys(backend.flows(), 0)


@get("/metric/{agent:str}/json", tags=["metrics"], summary="Metrics of an agent", sync_to_thread=True)
def read_agent_metrics(agent: Segment, backend: Instance) -> dict[str, float]:
    """Return all metrics of one agent, by `dataSource.metric`."""
    if not backend.agents([agent]):
        raise not_found(f"agent {agent!r}")
    readings = [reading for name in backend.flows() for reading in read_metric(backend, agent, name)]
    return {f"{reading.source}.{reading.name}": reading.value for reading in readings}


@get("/metric/{agents:str}/{metrics:str}/json", tags=["metrics"], summary="Metrics", sync_to_thread=True)
def read_metric_values(
    request: Request[Any, Any, Any], agents: Segment, metrics: Segment, backend: Instance
) -> list[MetricReply]:
    """Return one element for each metric asked for, in order: `[operator:][dataSource.]name`.

    Query parameters keep the data sources where a metric has a value.
    """
    passes = _passes(request, backend, agents)
    return [_reply(backend, agents, metric, passes) for metric in _metrics(backend, metrics)]


def _passes(request: Request[Any, Any, Any], backend: Backend, agents: str) -> SourceFilter:
    return parse_source_filter(backend, agents, [(name, str(v)) for name, v in request.query_params.multi_items()])


def _metrics(backend: Backend, texts: str) -> list[MetricName]:
    known = backend.flows()
    return [parse_metric(text, known) for text in _asked(texts)]


def _asked(texts: str) -> list[str]:
    found = split_list(texts)
    if len(found) > _MOST:
        raise bad_text(texts, f"more than {_MOST} metrics in one request")
    return found


def _readings(backend: Backend, agents: str, metric: MetricName, passes: SourceFilter) -> list[Reading]:
    readings = read_metric(backend, agents, metric.name)
    return [one for one in readings if metric.source in {None, one.source} and passes(one)]


def _reply(backend: Backend, agents: str, metric: MetricName, passes: SourceFilter) -> MetricReply:
    readings = _readings(backend, agents, metric, passes)
    if not readings:
        return MetricReply(metric.text, 0)
    values = [reading.value for reading in readings]
    ages = [reading.age_ms for reading in readings]
    reply = MetricReply(metric.text, len(values), last_update_max=max(ages), last_update_min=min(ages))
    if metric.operator in PICKS:
        one = readings[PICKS[metric.operator](values)]
        return msgspec.structs.replace(
            reply,
            metric_value=one.value,
            agent=one.agent,
            data_source=one.source,
            last_update=one.age_ms,
            top_keys=one.top,
        )
    summary = quartiles_of(values) if metric.operator in _SUMMARIZED else None
    return msgspec.structs.replace(reply, metric_value=AGGREGATES[metric.operator](values), quartiles=summary)


@get("/dump/{agents:str}/{metrics:str}/json", tags=["metrics"], summary="All readings", sync_to_thread=True)
def read_dump(request: Request[Any, Any, Any], agents: Segment, metrics: Segment, backend: Instance) -> list[Cell]:
    """Return all readings of the metrics, not aggregated; `ALL` stands for all metrics."""
    passes = _passes(request, backend, agents)
    known = backend.flows()
    names = list(known) if metrics == "ALL" else _asked(metrics)
    found = [_readings(backend, agents, parse_metric(name, known), passes) for name in names]
    return [_cell(reading) for readings in found for reading in readings]


def _cell(reading: Reading) -> Cell:
    return Cell(reading.agent, reading.source, reading.name, reading.age_ms, reading.value, reading.top)


@get("/table/{agents:str}/{metrics:str}/json", tags=["metrics"], summary="Readings as rows", sync_to_thread=True)
def read_table(
    request: Request[Any, Any, Any], agents: Segment, metrics: Segment, backend: Instance
) -> list[list[Cell]]:
    """Return a row for each data source with one of the metrics, and in it a cell for each metric, in order.

    `sort:name:-5` among the metrics orders the rows by that column: the five largest, largest first.
    """
    passes = _passes(request, backend, agents)
    known = backend.flows()
    columns = [_column(text, known) for text in _asked(metrics)]
    readings = [_readings(backend, agents, column.metric, passes) for column in columns]
    places = sorted({(one.agent, one.source) for column in readings for one in column})
    found = [{(one.agent, one.source): one for one in column} for column in readings]
    rows = [[_cell_at(place, column, at) for column, at in zip(columns, found, strict=True)] for place in places]
    return _sorted(rows, columns)


def _column(text: str, known: Collection[str]) -> _Column:
    sorts, name = text.startswith("sort:"), text.removeprefix("sort:")
    head, colon, count = name.rpartition(":")
    if not (colon and count.removeprefix("-").isdecimal() and len(count) < 10):
        head, count = name, ""
    return _Column(parse_metric(head, known), sorts, int(count) if count else None)


def _cell_at(place: tuple[str, str], column: _Column, found: dict[tuple[str, str], Reading]) -> Cell:
    return _cell(found[place]) if place in found else Cell(*place, column.metric.name, 0)


def _sorted(rows: list[list[Cell]], columns: Sequence[_Column]) -> list[list[Cell]]:
    at = next((index for index, column in enumerate(columns) if column.sorts), None)
    if at is None:
        return rows
    count = columns[at].count
    down = count is None or count < 0
    present = [row for row in rows if row[at].metric_value is not None]
    ordered = sorted(present, key=lambda row: row[at].metric_value or 0.0, reverse=down)
    return ordered if count is None else ordered[: abs(count)]


HANDLERS: Final = (read_metrics, read_agent_metrics, read_metric_values, read_dump, read_table)
