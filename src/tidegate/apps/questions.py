"""What commands ask a running instance: each a function of a `Client` that returns or yields rows, as REST tells them.

An answer that is not of the shape REST promises has no rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from typing import Any

from tidegate.errors import ConfigError
from tidegate.io.client import Client

__all__ = [
    "agents",
    "best_route",
    "bgp_log",
    "definitions",
    "events",
    "flows",
    "follow_events",
    "monitored",
    "named",
    "neighbors",
    "received_routes",
    "refresh",
    "reset",
    "routes",
    "rules",
    "self_test",
    "top_prefixes",
]

_WAIT_S = 60  # of one request for events
_TEST_S = 1800  # a self-test watches the session for as long as the configuration says
_MOST = 1000  # events or prefixes of one answer

Row = dict[str, Any]
Rows = list[Row]


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


def neighbors(client: Client, neighbor: str | None = None) -> Rows:
    """Return the BGP neighbours; `ConfigError` where the one that is wanted is not among them."""
    found = _objects(client.get("bgp", "neighbors", "json"))
    if neighbor is None:
        return found
    chosen = [row for row in found if _same_address(str(row.get("address")), neighbor)]
    if not chosen:
        known = ", ".join(str(row.get("address")) for row in found) or "none"
        raise ConfigError(neighbor, f"there is no such BGP neighbour (known: {known})")
    return chosen


def _same_address(one: str, other: str) -> bool:
    try:
        return ip_address(one) == ip_address(other)
    except ValueError:
        return one == other


def rules(client: Client, neighbor: str, *, received: bool = False) -> Rows:
    """Return the FlowSpec rules wanted at a neighbour, or those that it has announced."""
    return _objects(client.get("bgp", "flowspec", neighbor, "json", received="true" if received else None))


def routes(client: Client, neighbor: str) -> Rows:
    """Return the unicast routes wanted at a neighbour."""
    return _objects(client.get("bgp", "routes", neighbor, "json"))


def received_routes(client: Client, neighbor: str, *, prefix: str | None, most: int) -> Rows:
    """Return the routes that a neighbour has announced, inside a prefix or all, by a request a thousand prefixes."""
    found: Rows = []
    after: str | None = None
    while most > 0:
        asked = min(most, _MOST)
        page = _objects(
            client.get(
                "bgp", "routes", neighbor, "json", received="true", prefix=prefix, after=after, maxRoutes=asked,
                wait_s=_WAIT_S,
            )
        )  # fmt: skip
        found += page
        prefixes = list(dict.fromkeys(str(row.get("prefix")) for row in page))
        if len(prefixes) < asked or prefixes[-1] == after:
            break
        after, most = prefixes[-1], most - len(prefixes)
    return found


def best_route(client: Client, neighbor: str, address: str) -> Rows:
    """Return the route of a neighbour's table that an address matches."""
    return _objects([client.get("bgp", "prefix", neighbor, "json", address=address)])


def top_prefixes(client: Client, neighbor: str, *, most: int, ipv6: bool, source: bool, least: float) -> Row:
    """Return the prefixes of a neighbour's table that carry most traffic, with the summary."""
    resource, direction = "topprefixes6" if ipv6 else "topprefixes", "source" if source else "destination"
    found = client.get(
        "bgp", resource, neighbor, "json", maxPrefixes=most, direction=direction, minValue=least, wait_s=_WAIT_S
    )
    return found if isinstance(found, dict) else {}


def monitored(client: Client) -> Rows:
    """Return the peers of routers that tell by BMP, each with its router; a router without peers by itself."""
    found: Rows = []
    for router in _objects(client.get("bgp", "bmp", "json")):
        peers = _objects(router.get("peers", []))
        own = {"router": router.get("address", ""), "sysName": router.get("sysName", "")}
        found += [{**peer, **own} for peer in peers] or [
            {**router, **own, "name": "", "reason": router.get("lastError")}
        ]
    return found


def bgp_log(client: Client, neighbor: str | None, *, most: int) -> Rows:
    """Return what happened to neighbours lately, oldest first."""
    return _objects(client.get("bgp", "log", "json", router=neighbor, maxEntries=most))[::-1]


def reset(client: Client, neighbor: str) -> None:
    """Let the session with a neighbour be reset."""
    client.post("bgp", "reset", neighbor, "json")


def refresh(client: Client, neighbor: str, family: str | None) -> list[str]:
    """Let a neighbour be asked for its routes again; return the families that it was asked for."""
    found = client.post("bgp", "refresh", neighbor, "json", family=family)
    return [str(name) for name in found] if isinstance(found, list) else []


def self_test(client: Client, neighbor: str) -> Row:
    """Let a neighbour be tested with a harmless rule."""
    found = client.post("bgp", "selftest", neighbor, "json", wait_s=_TEST_S)
    return found if isinstance(found, dict) else {}


def named(found: object, name: str) -> Rows:
    """Return an object of objects as a list, each with its name under `name`."""
    pairs = found.items() if isinstance(found, dict) else ()
    return [{name: key, **value} for key, value in pairs if isinstance(value, dict)]


def _objects(found: object) -> Rows:
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
