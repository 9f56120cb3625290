"""Reading tables: the flows of several tables and data sources, merged into one list of the largest.

Merging works on words; text is made only of what is returned. `max` takes each key's largest reading, with everything
that belongs to it; `sum` and `avg` add up what the data sources say, and errors as independent errors do.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np

from tidegate.engine.events import ActiveFlow
from tidegate.engine.flows import Flow
from tidegate.engine.keys import number_rows
from tidegate.engine.sources import Sources
from tidegate.kernel import F64, I64, U64

__all__ = ["Snapshot", "each_source", "locations", "merged", "snapshot"]


class Snapshot(msgspec.Struct, frozen=True, eq=False):
    """The flows of one table at one moment; n rows."""

    keys: U64  # (n, words), without the data source
    sources: I64  # number of the data source
    values: F64  # (statistics, n)
    samples: F64
    interval: F64
    text: Callable[[tuple[int, ...]], str]  # of a key
    place: Callable[[int], tuple[str, str]]  # agent and data source of a number
    seed: int = 0  # of hashes


def snapshot(flow: Flow, sources: Sources, now: float, wanted: frozenset[tuple[int, int]] | None) -> Snapshot:
    """Return the flows of a definition at `now` (seconds), of the data sources of some agents or of all."""
    readings = flow.table.readings(now)
    numbers = readings.keys[:, 0].astype(np.int64)
    rows = np.flatnonzero(sources.of_agents(wanted)[numbers])
    return Snapshot(
        keys=readings.keys[rows, 1:],
        sources=numbers[rows],
        values=readings.values[:, rows],
        samples=readings.samples[rows],
        interval=readings.interval[rows],
        text=flow.key_text,
        place=sources.place_of,
        seed=flow.table.shape.seed,
    )


def each_source(snapshots: list[Snapshot], most: int) -> list[ActiveFlow]:
    """Return the largest flows of each data source, at most so many of each, largest first."""
    found: list[ActiveFlow] = []
    for taken in snapshots:
        order = np.lexsort((-taken.values[0], taken.sources))
        sources = taken.sources[order]
        first = np.searchsorted(sources, sources)
        kept = order[np.arange(len(order)) - first < most]
        found += [_flow(taken, int(row)) for row in kept if not np.isnan(taken.values[0, row])]
    return sorted(found, key=lambda flow: -flow.value)


class _Rows(msgspec.Struct, frozen=True, eq=False):
    """The rows of several snapshots that have a value, numbered by key; n rows, `count` keys."""

    owner: I64  # which snapshot
    place: I64  # row of the snapshot
    values: F64  # (statistics, n)
    numbers: I64
    count: int
    largest: I64  # (count,) row with the largest value


def _rows(snapshots: list[Snapshot]) -> _Rows:
    owner = np.repeat(np.arange(len(snapshots)), [len(taken.sources) for taken in snapshots])
    place = np.concatenate([np.arange(len(taken.sources)) for taken in snapshots])
    values = np.concatenate([taken.values for taken in snapshots], axis=1)
    keys = np.concatenate([taken.keys for taken in snapshots])
    if np.isnan(values[0]).any():
        rows = np.flatnonzero(~np.isnan(values[0]))
        owner, place, values, keys = owner[rows], place[rows], values[:, rows], keys[rows]
    different, numbers, _ = number_rows(keys, snapshots[0].seed)
    count = len(different)
    return _Rows(owner, place, values, numbers, count, _largest_of(numbers, count, values[0]))


def merged(snapshots: list[Snapshot], *, mode: str, most: int, least: float) -> list[ActiveFlow]:
    """Return the largest flows over all data sources, largest first; `mode` is `max`, `sum` or `avg`."""
    if not any(len(taken.sources) for taken in snapshots):
        return []
    rows = _rows(snapshots)
    seen = np.bincount(rows.numbers, minlength=rows.count)
    totals = rows.values[0, rows.largest]
    if mode in {"sum", "avg"}:
        totals = np.bincount(rows.numbers, rows.values[0], minlength=rows.count)
        totals = totals / seen if mode == "avg" else totals
    order = np.argsort(-totals, kind="stable")
    flows = []
    for number in order[totals[order] >= least][:most]:
        row = rows.largest[number]
        flow = _flow(snapshots[rows.owner[row]], int(rows.place[row]))
        flow = msgspec.structs.replace(flow, flow_n=int(seen[number]), value=float(totals[number]))
        if mode in {"sum", "avg"} and seen[number] > 1:
            flow = _added(flow, snapshots, rows, np.flatnonzero(rows.numbers == number), mode)
        flows.append(flow)
    return flows


def locations(snapshots: list[Snapshot], key: str) -> list[ActiveFlow]:
    """Return the flows of one key, by its text, at each data source, largest first.

    Texts are made from the largest flow on: who asks for a key has most often seen it near the top.
    """
    if not any(len(taken.sources) for taken in snapshots):
        return []
    rows = _rows(snapshots)
    for number in np.argsort(-rows.values[0, rows.largest], kind="stable"):
        row = rows.largest[number]
        taken = snapshots[rows.owner[row]]
        if taken.text(tuple(taken.keys[rows.place[row]].tolist())) == key:
            found = np.flatnonzero(rows.numbers == number)
            flows = [_flow(snapshots[rows.owner[at]], int(rows.place[at])) for at in found]
            return sorted(flows, key=lambda flow: -flow.value)
    return []


def _largest_of(numbers: I64, count: int, values: F64) -> I64:
    """Return for each number the row with its largest value, the first of several."""
    order = np.lexsort((-values, numbers))
    return np.asarray(order[np.searchsorted(numbers[order], np.arange(count))])


def _added(flow: ActiveFlow, snapshots: list[Snapshot], rows: _Rows, which: I64, mode: str) -> ActiveFlow:
    """Return a flow with what all its rows say together beside its value."""
    parts = [(snapshots[rows.owner[row]], int(rows.place[row])) for row in which]
    share = len(parts) if mode == "avg" else 1
    spread = float(np.sqrt(sum(taken.interval[row] ** 2 for taken, row in parts))) / share
    further = [_together(column[~np.isnan(column)], mode) for column in rows.values[1:, which]]
    return msgspec.structs.replace(
        flow,
        samples=float(sum(taken.samples[row] for taken, row in parts)),
        interval=None if np.isnan(spread) else spread,
        values=tuple(further) if further else None,
    )


def _together(column: F64, mode: str) -> float | None:
    if not len(column):
        return None
    return float(column.mean() if mode == "avg" else column.sum())


def _flow(taken: Snapshot, row: int) -> ActiveFlow:
    agent, source = taken.place(int(taken.sources[row]))
    values = [None if np.isnan(value) else float(value) for value in taken.values[1:, row]]
    interval = float(taken.interval[row])
    return ActiveFlow(
        key=taken.text(tuple(taken.keys[row].tolist())),
        value=float(taken.values[0, row]),
        agent=agent,
        data_source=source,
        flow_n=1,
        values=tuple(values) if values else None,
        samples=float(taken.samples[row]),
        interval=None if np.isnan(interval) else interval,
    )
