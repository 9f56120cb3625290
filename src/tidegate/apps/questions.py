"""What commands ask a running instance: each a function of a `Client` that returns or yields rows, as REST tells them.

An answer that is not of the shape REST promises has no rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tidegate.errors import ConfigError
from tidegate.io.client import Client

__all__ = ["agents", "definitions", "events", "flows", "follow_events", "named", "neighbors", "routes", "rules"]

_WAIT_S = 60  # of one request for events
_MOST = 1000  # events of one answer

Rows = list[dict[str, Any]]


def definitions(client: Client, wanted: str | None = None) -> dict[str, Any]:
    """Return the flow definitions by name; `ConfigError` where the one that is wanted is not among them."""
    found = client.get("flow", "json")
    known = found if isinstance(found, dict) else {}
    if wanted is not None and wanted not in known:
        there = ", ".join(known) or "none; put one by REST, in the configuration file or in a script"
        raise ConfigError(wanted, f"there is no flow definition of this name (known: {there})")
    return known


def flows(client: Client, name: str, *, agents: str, most: int, mode: str) -> Rows:
    """Return the largest flows of a definition."""
    return _objects(client.get("activeflows", agents, name, "json", maxFlows=most, aggMode=mode))


def events(client: Client, *, most: int, thresholds: Sequence[str] = ()) -> Rows:
    """Return the latest events, oldest first, of all thresholds or those given."""
    return _objects(client.get("events", "json", maxEvents=most, thresholdID=list(thresholds) or None))[::-1]


def follow_events(client: Client, *, most: int, thresholds: Sequence[str] = ()) -> Iterator[Rows]:
    """Yield what `events` returns, then for ever the events that are new, as they come."""
    wanted = list(thresholds) or None
    last = 0
    found = events(client, most=most, thresholds=thresholds)
    while True:
        yield found
        last = max((row["eventID"] for row in found), default=last)
        answer = client.get(
            "events", "json", wait_s=_WAIT_S, eventID=last, maxEvents=_MOST, timeout=_WAIT_S, thresholdID=wanted
        )
        found = _objects(answer)[::-1]


def agents(client: Client) -> Rows:
    """Return the agents."""
    return named(client.get("agents", "json"), "agent")


def neighbors(client: Client) -> Rows:
    """Return the BGP neighbours."""
    return _objects(client.get("bgp", "neighbors", "json"))


def rules(client: Client, neighbor: str) -> Rows:
    """Return the FlowSpec rules wanted at a neighbour."""
    return _objects(client.get("bgp", "flowspec", neighbor, "json"))


def routes(client: Client, neighbor: str) -> Rows:
    """Return the unicast routes wanted at a neighbour, by a request a prefix."""
    found = client.get("bgp", "routepusher", neighbor, "json")
    prefixes = [str(prefix) for prefix in found] if isinstance(found, list) else []
    return _objects([client.get("bgp", "routepusher", neighbor, *prefix.split("/"), "json") for prefix in prefixes])


def named(found: object, name: str) -> Rows:
    """Return an object of objects as a list, each with its name under `name`."""
    pairs = found.items() if isinstance(found, dict) else ()
    return [{name: key, **value} for key, value in pairs if isinstance(value, dict)]


def _objects(found: object) -> Rows:
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
