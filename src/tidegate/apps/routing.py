"""Which agents are looked up in which router's table, and the flows that rank prefixes for them.

Sources come from the configuration, from scripts and from a file; tables are found by name when they are needed. What
comes out is the engine's `Routing`, made anew when sources, neighbours or tables come and go.

A router is named by the address of a BGP neighbour, as `bmp:ADDRESS` for what a router tells by BMP of how it forwards
(its Loc-RIB, else the tables of its peers), as `bmp:PEER@ADDRESS` for one of its peers, or as `rib` for the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

from tidegate.data.address import Words, format_address, parse_address
from tidegate.data.rib import Found, Router
from tidegate.data.route_found import found_routes
from tidegate.engine.definition import FlowDefinition
from tidegate.engine.routing import Routers, Routing
from tidegate.engine.syntax import parse_definition
from tidegate.errors import ConfigError
from tidegate.io.bgp_socket import canonical
from tidegate.kernel import U64
from tidegate.wire.bgp.ribin import RibIn

__all__ = [
    "DIRECTIONS",
    "FILE",
    "Find",
    "RouterTable",
    "Source",
    "Sources",
    "bmp_parts",
    "definition_name",
    "make_source",
    "parse_next_hops",
    "router_name",
]

FILE: Final = "rib"
_BMP: Final = "bmp:"
ALL: Final = "ALL"
_EVERYBODY: Final = frozenset({ALL, "EDGE"})  # without a topology every agent is at the edge
DIRECTIONS: Final[Mapping[str, str]] = {"destination": "bgpdestinationprefix", "source": "bgpsourceprefix"}
_VALUES: Final = ("bytes", "frames")
_LONGEST_S: Final = 86_400.0
_MOST_SOURCES: Final = 10_000  # agents with a router of their own
_MOST_DEFINITIONS: Final = 32  # different averaging times and values


class Source(msgspec.Struct, frozen=True):
    """Agents that are looked up in the table of a router; `router6` is another one for IPv6, where there is one.

    `t` and `value` are those of the ranking: seconds over which rates are averaged, and `bytes` or `frames`.
    """

    agents: tuple[str, ...]
    router: str
    router6: str = ""
    t: float = 60.0
    value: str = "bytes"


class RouterTable(msgspec.Struct, frozen=True, eq=False):
    """A router's table as it stands: its AS, whether it is there, and what it has told.

    `pushed` counts what was announced to it and withdrawn from it.
    """

    name: str
    asn: int
    state: str
    ribs: tuple[RibIn, ...]
    pushed: tuple[int, int] = (0, 0)

    def lookup(self, high: U64, low: U64, next_hop: U64 | None = None) -> Found:
        """Return the longest match of n addresses, see `tidegate.data.rib.RouteLookup`."""
        return found_routes([table for rib in self.ribs for table in rib.tables.values()], high, low, next_hop)


Find = Callable[[str], RouterTable]  # by name; `ConfigError` where there is no such router


def router_name(text: object, key: str = "router") -> str:
    """Return the one spelling of a router's name; `ConfigError` where the text is none."""
    name = str(text)
    if not isinstance(text, str) or not name:
        raise ConfigError(key, f"the address of a neighbour is expected, not {text!r:.100}")
    if name == FILE:
        return name
    if not name.startswith(_BMP):
        return _address(name, key)
    peer, at, address = name.removeprefix(_BMP).rpartition("@")
    return f"{_BMP}{canonical(peer)}{at}{_address(address, key)}"


def bmp_parts(name: str) -> tuple[str, str | None] | None:
    """Return the router and the peer of a name with `bmp:`, or None for another name."""
    if not name.startswith(_BMP):
        return None
    peer, at, address = name.removeprefix(_BMP).rpartition("@")
    return address, peer if at else None


def _address(text: str, key: str) -> str:
    name = canonical(text)
    try:
        parse_address(name.partition("%")[0])
    except ValueError:
        reason = f"{text!r:.100} is neither an address nor {_BMP}ADDRESS, {_BMP}PEER@ADDRESS or {FILE}"
        raise ConfigError(key, reason) from None
    return name


def make_source(
    agents: Iterable[str] | str, router: str, router6: str = "", *, t: float, value: str, key: str
) -> Source:
    """Return a checked source; `ConfigError` says what is wrong below `key`."""
    texts = (agents,) if isinstance(agents, str) else tuple(agents)
    names = tuple(dict.fromkeys(_agent(part, f"{key}.agents") for text in texts for part in str(text).split(",")))
    if not names:
        raise ConfigError(f"{key}.agents", f"agent addresses, or {ALL}, are expected")
    if isinstance(t, bool) or not isinstance(t, int | float) or not 0 < t <= _LONGEST_S:
        raise ConfigError(f"{key}.t", f"{t!r:.100} is not a number of seconds up to {_LONGEST_S:.0f}")
    if value not in _VALUES:
        raise ConfigError(f"{key}.value", f"{value!r:.100} is none of {', '.join(_VALUES)}")
    second = router_name(router6, f"{key}.router6") if router6 else ""
    return Source(names, router_name(router, f"{key}.router"), second, float(t), value)


def _agent(text: str, key: str) -> str:
    name = text.strip()
    if name.upper() in _EVERYBODY:
        return ALL
    try:
        return format_address(*parse_address(name))
    except ValueError:
        raise ConfigError(key, f"{name!r:.100} is no agent address, and neither {ALL} nor EDGE") from None


def parse_next_hops(hops: Mapping[str, str]) -> dict[Words, int]:
    """Return the MAC of each next hop; `ConfigError`."""
    if not isinstance(hops, Mapping):
        raise ConfigError("next_hops", "an object {address: MAC} is expected")
    return {_words(address): _mac(mac) for address, mac in hops.items()}


def _words(text: str) -> Words:
    try:
        return parse_address(str(text))
    except ValueError:
        raise ConfigError("next_hops", f"{text!r:.100} is no address") from None


def _mac(text: str) -> int:
    digits = "".join(letter for letter in str(text) if letter not in ":-.")
    if len(digits) != 12 or not all(letter in "0123456789abcdefABCDEF" for letter in digits):
        raise ConfigError("next_hops", f"{text!r:.100} is no MAC address such as 00:53:00:00:00:01")
    return int(digits, 16)


def definition_name(source: Source, direction: str) -> str:
    """Return the name of the flow that ranks prefixes for a source; no user's flow can have one with blanks."""
    return f"bgp {direction} {source.t:g} {source.value}"


class Sources:
    """All sources. `file` is a table for the agents that no other source names."""

    def __init__(self, file: RouterTable | None = None) -> None:
        self.file = file
        self.version = 0  # changes with whatever `routing` and `definitions` would say
        self._next_hops: Mapping[Words, int] = {}
        self._by_agent: dict[str, Source] = {}
        if file is not None:
            self._by_agent[""] = Source((ALL,), FILE)

    def add(self, source: Source) -> None:
        """Tie agents to a router, each in place of the router it had."""
        if len(self._by_agent.keys() | set(source.agents)) > _MOST_SOURCES:
            raise ConfigError("bgp.sources", f"more than {_MOST_SOURCES} agents")
        kinds = {(one.t, one.value) for one in [*self._by_agent.values(), source]}
        if len(kinds) > _MOST_DEFINITIONS:
            raise ConfigError("bgp.sources", f"more than {_MOST_DEFINITIONS} different averaging times and values")
        self._by_agent.update(dict.fromkeys(source.agents, source))
        self.version += 1

    def set_next_hops(self, next_hops: Mapping[Words, int]) -> None:
        """Say which MAC each next hop has, in place of what was said before."""
        self._next_hops = next_hops
        self.version += 1

    def routers(self) -> list[str]:
        """Return the names of all routers, each once."""
        names = (name for source in self._by_agent.values() for name in (source.router, source.router6) if name)
        return list(dict.fromkeys(names))

    def of(self, router: str) -> Source | None:
        """Return the latest source that names a router, or None."""
        named = [one for one in self._by_agent.values() if router in {one.router, one.router6}]
        return named[-1] if named else None

    def agents(self, router: str, *, ipv6: bool, known: Iterable[str]) -> str:
        """Return which of the agents that are known are looked up in a router's table, joined by commas."""
        wanted = [name for name in known if self._router_of(name, ipv6=ipv6) == router]
        return ",".join(wanted)

    def _router_of(self, agent: str, *, ipv6: bool) -> str | None:
        source = self._by_agent.get(agent) or self._everybody()
        return None if source is None else _router(source, ipv6=ipv6)

    def _everybody(self) -> Source | None:
        return self._by_agent.get(ALL) or self._by_agent.get("")

    def definitions(self) -> list[FlowDefinition]:
        """Return the flows that rank prefixes: by prefix, and by direction, so that no packet counts twice."""
        found = {}
        for source in self._by_agent.values():
            for direction, key in DIRECTIONS.items():
                spec = {"keys": f"{key},null:direction", "value": source.value, "t": source.t, "n": 1}
                name = definition_name(source, direction)
                found[name] = msgspec.structs.replace(parse_definition("bgp", spec), name=name)
        return list(found.values())

    def routing(self, find: Find) -> Routing | None:
        """Return which agents are tied to which routers, of those that are there, or None where there is no source."""
        made: dict[str, Router | None] = {}

        def router(name: str) -> Router | None:
            if name not in made:
                made[name] = _maybe_router(find, name)
            return made[name]

        def routers(source: Source) -> Routers:
            return Routers(router(_router(source, ipv6=False)), router(_router(source, ipv6=True)))

        if not self._by_agent:
            return None
        named = {name: source for name, source in self._by_agent.items() if name not in {ALL, ""}}
        default = self._everybody()
        return Routing(
            agents={parse_address(name): routers(source) for name, source in named.items()},
            default=None if default is None else routers(default),
            next_hops=self._next_hops,
        )


def _router(source: Source, *, ipv6: bool) -> str:
    return source.router6 if ipv6 and source.router6 else source.router


def _maybe_router(find: Find, name: str) -> Router | None:
    try:
        table = find(name)
    except ConfigError:
        return None
    return Router(table.asn, table) if table.ribs else None
