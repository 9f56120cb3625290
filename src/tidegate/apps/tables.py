"""What commands show of a running instance, as columns: the few fields that a person looks for, in units.

Everything else is in `--json`. Pure functions of the objects that REST answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from tidegate.io.clock import format_time

__all__ = [
    "AGENTS",
    "DEFINITIONS",
    "FLOWSPEC",
    "LOG",
    "MONITORED",
    "NEIGHBORS",
    "RECEIVED",
    "RECEIVED_FLOWSPEC",
    "ROUTES",
    "Column",
    "coverage",
    "events",
    "flows",
    "top_prefixes",
]

Row = Mapping[str, Any]
Definitions = Mapping[str, Row]  # flow definitions by name

_UNITS = {"bytes": "B/s", "frames": "pkt/s"}  # values that are rates; other values have the unit of their field
_STEPS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


class Column(msgspec.Struct, frozen=True):
    """One column: its title, and its text in a row."""

    title: str
    text: Callable[[Row], str]
    right: bool = False  # numbers stand right
    wide: bool = False  # takes the room that is left, and folds


def _amount(value: float, unit: str) -> str:
    """Return a value with its unit; large rates in thousands (k), millions (M) and so on."""
    for step, letter in _STEPS:
        if unit and abs(value) >= step:
            return f"{value / step:.1f} {letter}{unit}"
    return f"{value:,.1f} {unit}".rstrip()


def _unit(definitions: Definitions, name: str) -> str:
    return _UNITS.get(str(definitions.get(name, {}).get("value", "")), "")


def _plain(name: str) -> Callable[[Row], str]:
    return lambda row: "" if row.get(name) is None else str(row[name])


def _count(name: str) -> Callable[[Row], str]:
    return lambda row: f"{row.get(name, 0):,}"


def _place(row: Row) -> str:
    return f"{row.get('agent', '')}>{row.get('dataSource', '')}"


def _joined(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _ago(row: Row) -> str:
    return f"{row.get('lastSeen', 0) / 1000:,.1f} s"


AGENTS = (
    Column("agent", _plain("agent"), wide=True),
    Column("heard", _ago, right=True),
    Column("datagrams", _count("sFlowDatagramsReceived"), right=True),
    Column("lost", _count("sFlowDatagramsLost"), right=True),
    Column("flow samples", _count("sFlowFlowSamples"), right=True),
    Column("lost", _count("sFlowFlowLostSamples"), right=True),
    Column("counters", _count("sFlowCounterSamples"), right=True),
)

DEFINITIONS = (
    Column("flow", _plain("name")),
    Column("keys", _plain("keys"), wide=True),
    Column("value", _plain("value")),
    Column("filter", _plain("filter"), wide=True),
    Column("t", _plain("t"), right=True),
)

NEIGHBORS = (
    Column("neighbour", _plain("address"), wide=True),
    Column("AS", _plain("peerAs"), right=True),
    Column("state", _plain("state")),
    Column("since", lambda row: _moment(row, "since")),
    Column("received", lambda row: f"{sum(row.get('prefixes', {}).values()):,}", right=True),
    Column("sent", lambda row: f"{row.get('sent', 0):,} of {row.get('wanted', 0):,}", right=True),
    Column("not negotiated", lambda row: f"{row.get('notNegotiated', 0):,}", right=True),
    Column("last error", lambda row: str(row.get("shut") or row.get("lastError") or ""), wide=True),
)

FLOWSPEC = (
    Column("match", lambda row: _pairs(row.get("match", {})), wide=True),
    Column("then", lambda row: _pairs(row.get("then", {})), wide=True),
)

RECEIVED_FLOWSPEC = (
    Column("matches", _plain("matches"), wide=True),
    Column("does", _plain("does"), wide=True),
)

RECEIVED = (
    Column("prefix", _plain("prefix")),
    Column("next hop", _plain("nexthop")),
    Column("AS path", _plain("aspath"), wide=True),
    Column("origin", _plain("origin")),
    Column("pref", _plain("localpref"), right=True),
    Column("MED", _plain("med"), right=True),
    Column("communities", lambda row: _all_communities(row), wide=True),  # noqa: PLW0108 - it stands below
)

MONITORED = (
    Column("router", _plain("router")),
    Column("name", _plain("sysName")),
    Column("peer", _plain("name")),
    Column("AS", _plain("asn"), right=True),
    Column("state", _plain("state")),
    Column("since", lambda row: _moment(row, "since")),
    Column("view", _plain("view")),
    Column("routes", lambda row: f"{sum(row.get('prefixes', {}).values()):,}", right=True),
    Column("why down", lambda row: "" if row.get("state") == "up" else str(row.get("reason") or ""), wide=True),
)

LOG = (
    Column("time", lambda row: format_time(int(row.get("time", 0) * 1e9))),
    Column("router", _plain("router")),
    Column("kind", _plain("kind")),
    Column("what", _plain("text"), wide=True),
)


def _moment(row: Row, name: str) -> str:
    return format_time(int(row[name] * 1e9))[:19] if row.get(name) else ""


def _all_communities(row: Row) -> str:
    names = ("communities", "largecommunities", "extendedcommunities")
    return ", ".join(str(row[name]) for name in names if row.get(name))


ROUTES = (
    Column("prefix", _plain("prefix")),
    Column("next hop", _plain("nexthop")),
    Column("more", lambda row: _pairs({k: v for k, v in row.items() if k not in {"prefix", "nexthop"}}), wide=True),
)


def _pairs(value: object) -> str:
    if not isinstance(value, Mapping):
        return _joined(value)
    return ", ".join(f"{name} {_joined(part)}" for name, part in value.items())


def flows(known: Definitions, name: str) -> Sequence[Column]:
    """Return the columns of the active flows of definition `name`."""
    unit = _unit(known, name)

    def interval(row: Row) -> str:
        return "" if row.get("interval") is None else f"± {_amount(row['interval'], unit)}"

    return (
        Column(str(known.get(name, {}).get("keys", "key")), _plain("key"), wide=True),
        Column("value", lambda row: _amount(row.get("value", 0.0), unit), right=True),
        Column("95 %", interval, right=True),
        Column("largest at", _place),
        Column("of", _plain("flowN"), right=True),
    )


def top_prefixes(value: str) -> Sequence[Column]:
    """Return the columns of ranked prefixes; `value` is what they are ranked by."""
    unit = _UNITS.get(value, "")
    return (
        Column("prefix", _plain("prefix")),
        Column("value", lambda row: _amount(row.get("value", 0.0), unit), right=True),
        *RECEIVED[1:3],
        Column("inside", _plain("parentprefix")),
        RECEIVED[-1],
    )


def coverage(found: Row) -> str:
    """Return one line on what ranked prefixes come to."""
    return (
        f"{len(found.get('topPrefixes', ()))} of {found.get('nPrefixes', 0):,} prefixes of AS {found.get('as', 0)} "
        f"({found.get('state', '')}): {found.get('valuePercentCoverage', 0.0):.1f} % of the traffic"
    )


def events(known: Definitions) -> Sequence[Column]:
    """Return the columns of events."""

    def value(row: Row) -> str:
        return _amount(row.get("value", 0.0), _unit(known, str(row.get("metric", ""))))

    return (
        Column("id", _plain("eventID"), right=True),
        Column("time", lambda row: format_time(row.get("timestamp", 0) * 1_000_000)),
        Column("threshold", _plain("thresholdID")),
        Column("at", _place),
        Column("key", _plain("flowKey"), wide=True),
        Column("value", value, right=True),
    )
