"""One BGP neighbour in words: everything that REST tells of it, a line each. Pure functions of that object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tidegate.io.clock import format_time

__all__ = ["describe_neighbor"]

Row = Mapping[str, Any]


def describe_neighbor(row: Row) -> list[str]:
    """Return lines for people; what has no value is left out."""
    return [f"{title + ':':<22}{text}" for title, text in _lines(row) if text]


def _lines(row: Row) -> Iterator[tuple[str, str]]:
    yield "neighbour", f"{row.get('address', '')}{', made from a prefix' if row.get('dynamic') else ''}"
    yield "state", _state(row)
    yield "kept down", str(row.get("shut", ""))
    yield "last error", str(row.get("lastError", ""))
    yield "notification sent", str(row.get("notificationSent", ""))
    yield "notification received", str(row.get("notificationReceived", ""))
    yield "AS", f"{row.get('peerAs', 'not known yet')}, here {row.get('localAs', '')}"
    yield "router id", str(row.get("routerId") or "")
    yield "connection", _connection(row)
    yield "families", ", ".join(row.get("families", ()))
    yield "capabilities", "; ".join(row.get("capabilities", ()))
    yield "hold time", f"{row['holdTime']} s" if row.get("holdTime") is not None else ""
    yield "received", _counts(row.get("prefixes", {})) or "nothing"
    yield "of these stale", _counts(row.get("stale", {}))
    yield "announced", _announced(row)
    yield "held back", _held_back(row)
    yield "after a crash", "not all is said again yet" if row.get("restarting") else ""
    yield "messages", f"{row.get('messagesIn', 0):,} in, {row.get('messagesOut', 0):,} out"
    yield "octets", f"{row.get('octetsIn', 0):,} in, {row.get('octetsOut', 0):,} out"
    yield "problems in updates", _counts(row.get("problems", {}))


def _state(row: Row) -> str:
    since = f" since {format_time(int(row['since'] * 1e9))[:19]}Z" if row.get("since") else ""
    flaps, failures = row.get("flaps", 0), row.get("failures", 0)
    parts = [f"{row.get('state', '')}{since}"]
    parts += [f"ended {flaps:,} times"] if flaps else []
    parts += [f"{failures:,} attempts failed in a row"] if failures else []
    return ", ".join(parts)


def _connection(row: Row) -> str:
    if not row.get("localAddress"):
        return ""
    return f"{row['localAddress']} port {row.get('localPort', 0)} to port {row.get('remotePort', 0)}"


def _counts(counts: Mapping[str, int]) -> str:
    return "; ".join(f"{name} {count:,}" for name, count in counts.items() if count)


def _announced(row: Row) -> str:
    parts = [f"{row.get('sent', 0):,} of {row.get('wanted', 0):,} sent"]
    for name, words in (
        ("waiting", "updates wait"),
        ("notNegotiated", "of a family that the neighbour does not speak"),
    ):
        parts += [f"{row[name]:,} {words}"] if row.get(name) else []
    return ", ".join(parts)


def _held_back(row: Row) -> str:
    count = row.get("heldBack", 0)
    return f"{count:,}, because the session fell when they were sent; see `tidegate bgp log`" if count else ""
