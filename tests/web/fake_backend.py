"""An instance in memory: it keeps what is put, by the parsers of the flow language, and what tests say it measured."""

from __future__ import annotations

import contextlib
import ipaddress
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from tidegate.control.flowspec import flow_key, format_flow, parse_flow
from tidegate.control.unicast import format_unicast, parse_unicast, unicast_key
from tidegate.engine import syntax
from tidegate.engine.definition import FlowDefinition, GroupTable, MapTable, Threshold
from tidegate.engine.events import ActiveFlow, Event, FlowRecord
from tidegate.errors import ConfigError
from tidegate.web.backend import (
    AgentInfo,
    BgpNoticeInfo,
    BmpRouterInfo,
    DataSourceInfo,
    NeighborInfo,
    ReceivedRequest,
    ScriptReply,
    ScriptRequest,
    ScriptStatus,
    SelfTestInfo,
    TopPrefixesRequest,
)
from tidegate.wire.bgp.prefix import parse_address
from tidegate.wire.bgp.routes import FlowRoute, RouteKey, UnicastRoute, route_key


def agent_info(address: str = "10.0.0.20") -> AgentInfo:
    return AgentInfo((address,), firstSeen=845120, lastSeen=412, uptime=99123000, sFlowFlowSamples=4013)


def event(number: int, threshold: str = "elephant") -> Event:
    return Event(number, 1700000000000 + number, threshold, "tcp", 10.0, 11.5, "10.0.0.20", "4")


def record(number: int, name: str = "tcp") -> FlowRecord:
    return FlowRecord(number, name, "10.0.0.1,80", 125000.0, 1700000000123, 1700000007123, "10.0.0.20", "22")


def among(agents: str, flow: ActiveFlow) -> bool:
    return "ALL" in (names := agents.replace(";", ",").split(",")) or flow.agent in names


class FakeBackend:
    """Every method of `Backend`, on dicts and lists."""

    def __init__(self) -> None:
        self.definitions: dict[str, FlowDefinition] = {}
        self.limits: dict[str, Threshold] = {}
        self.group_tables: dict[str, GroupTable] = {}
        self.map_tables: dict[str, MapTable] = {}
        self.measured: dict[str, list[ActiveFlow]] = {}  # by flow name: unmerged
        self.logged: list[Event] = []
        self.recorded: list[FlowRecord] = []
        self.known_agents = {address: agent_info(address) for address in ("10.0.0.20", "10.0.0.21")}
        self.watchers: list[Callable[[], None]] = []
        self.lock = threading.Lock()

    def clear(self) -> None:
        """Forget all but who watches."""
        watchers = self.watchers
        vars(self).update(vars(FakeBackend()) | {"watchers": watchers})

    def version(self) -> str:
        return "0.1-7"

    def analyzer(self) -> dict[str, object]:
        return {"version": "0.1-7", "uptime": 1000, "sFlowAgents": 2, "cpuLoadProcess": 0.25, "memFree": None}

    def agents(self, addresses: Sequence[str] | None = None) -> dict[str, AgentInfo]:
        return {name: info for name, info in self.known_agents.items() if addresses is None or name in addresses}

    def data_source(self, agent: str, source: str) -> DataSourceInfo | None:
        found = any(flow.agent == agent and flow.data_source == source for flow in self._all())
        return DataSourceInfo(1000, 1000.0, 1, 0) if found else None

    def _all(self) -> Iterable[ActiveFlow]:
        return (flow for flows in self.measured.values() for flow in flows)

    def flow_keys(self) -> dict[str, int]:
        return {"ipsource": 12, "ipdestination": 12}

    def set_flow(self, name: str, spec: Mapping[str, object]) -> None:
        self.definitions[name] = syntax.parse_definition(name, spec)

    def clear_flow(self, name: str) -> bool:
        return self.definitions.pop(name, None) is not None

    def flows(self) -> dict[str, dict[str, object]]:
        return {name: syntax.describe_definition(one) for name, one in self.definitions.items()}

    def set_threshold(self, name: str, spec: Mapping[str, object]) -> None:
        self.limits[name] = syntax.parse_threshold(name, spec)

    def clear_threshold(self, name: str) -> bool:
        return self.limits.pop(name, None) is not None

    def thresholds(self) -> dict[str, dict[str, object]]:
        return {name: syntax.describe_threshold(one) for name, one in self.limits.items()}

    def threshold_triggered(self, name: str, agent: str, metric: str, flow_key: str | None = None) -> bool:
        return any(
            (one.threshold_id, one.agent, f"{one.data_source}.{one.metric}") == (name, agent, metric)
            and flow_key in {None, one.flow_key}
            for one in self.logged
        )

    def set_group(self, name: str, spec: Mapping[str, object]) -> None:
        self.group_tables[name] = syntax.parse_group(name, spec)

    def clear_group(self, name: str) -> bool:
        return self.group_tables.pop(name, None) is not None

    def groups(self) -> dict[str, dict[str, list[str]]]:
        return {name: syntax.describe_group(one) for name, one in self.group_tables.items()}

    def set_map(self, name: str, spec: Mapping[str, object]) -> None:
        self.map_tables[name] = syntax.parse_map(name, spec)

    def clear_map(self, name: str) -> bool:
        return self.map_tables.pop(name, None) is not None

    def maps(self) -> dict[str, dict[str, list[str]]]:
        return {name: syntax.describe_map(one) for name, one in self.map_tables.items()}

    def active_flows(
        self, agents: str, name: str, *, max_flows: int = 100, min_value: float = 0.0, agg_mode: str = "max"
    ) -> list[ActiveFlow] | None:
        if name not in self.definitions:
            return None
        merged: dict[str, list[ActiveFlow]] = {}
        for flow in self.measured.get(name, ()):
            if among(agents, flow):
                merged.setdefault(flow.key, []).append(flow)
        rows = [_merge(key, flows, agg_mode) for key, flows in merged.items()]
        return sorted((row for row in rows if row.value >= min_value), key=lambda row: -row.value)[:max_flows]

    def flow_locations(self, agents: str, name: str, key: str) -> list[ActiveFlow] | None:
        found = self.top_keys(agents, name)
        return None if found is None else [flow for flow in found if flow.key == key]

    def top_keys(self, agents: str, name: str) -> list[ActiveFlow] | None:
        if name not in self.definitions:
            return None
        return sorted((flow for flow in self.measured.get(name, ()) if among(agents, flow)), key=lambda row: -row.value)

    def events(self, after: int = -1, *, most: int = 1000, thresholds: Sequence[str] = ()) -> list[Event]:
        with self.lock:
            found = [one for one in self.logged if one.event_id > after]
        return [one for one in reversed(found) if not thresholds or one.threshold_id in thresholds][:most]

    def flow_records(self, after: int = -1, *, most: int = 1000, names: Sequence[str] = ()) -> list[FlowRecord]:
        with self.lock:
            found = [one for one in self.recorded if one.flow_id > after]
        return [one for one in reversed(found) if not names or one.name in names][:most]

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        self.watchers.append(changed)
        return lambda: self.watchers.remove(changed)

    def add(self, *added: Event | FlowRecord) -> None:
        """Log events or records, on any thread."""
        with self.lock:
            self.logged += [one for one in added if isinstance(one, Event)]
            self.recorded += [one for one in added if isinstance(one, FlowRecord)]
        for changed in list(self.watchers):
            changed()


def _merge(key: str, flows: list[ActiveFlow], agg_mode: str) -> ActiveFlow:
    largest = max(flows, key=lambda flow: flow.value)
    total = sum(flow.value for flow in flows)
    value = {"sum": total, "avg": total / len(flows)}.get(agg_mode, largest.value)
    return ActiveFlow(key, value, largest.agent, largest.data_source, len(flows), largest.values)


class FakeAnnouncer:
    """Every method of `Announcer`, with the translators of `control`."""

    def __init__(self, *routers: str) -> None:
        self.rules: dict[str, dict[RouteKey, FlowRoute]] = {router: {} for router in routers}
        self.unicast: dict[str, dict[RouteKey, UnicastRoute]] = {router: {} for router in routers}
        self.asked: list[tuple[str, str, dict[str, object]]] = []
        self.learned: dict[str, list[dict[str, object]]] = {}
        self.top: dict[str, object] = {}
        self.monitored: list[BmpRouterInfo] = []
        self.notices: list[BgpNoticeInfo] = []

    def _known(self, router: str) -> str:
        with contextlib.suppress(ValueError):
            router = str(ipaddress.ip_address(router))
        if router not in self.rules:
            raise ConfigError("bgp", f"there is no peer {router!r}")
        return router

    def neighbors(self) -> list[NeighborInfo]:
        return [
            NeighborInfo(router, "established", 1700000000.5, wanted=len(rules), sent=len(rules), peer_as=65001)
            for router, rules in self.rules.items()
        ]

    def flows(self, router: str) -> list[dict[str, object]]:
        return [dict(format_flow(route)) for route in self.rules[self._known(router)].values()]

    def announce_flow(self, router: str, rule: Mapping[str, object]) -> None:
        route = parse_flow(rule)
        self.rules[self._known(router)][route_key(route)] = route

    def withdraw_flow(self, router: str, rule: Mapping[str, object]) -> bool:
        return self.rules[self._known(router)].pop(flow_key(rule), None) is not None

    def routes(self, router: str) -> list[dict[str, object]]:
        return [dict(format_unicast(route)) for route in self.unicast[self._known(router)].values()]

    def announce_route(self, router: str, route: Mapping[str, object]) -> None:
        parsed = parse_unicast(route)
        self.unicast[self._known(router)][route_key(parsed)] = parsed

    def withdraw_route(self, router: str, prefix: str) -> bool:
        return self.unicast[self._known(router)].pop(unicast_key(prefix), None) is not None

    def routers(self) -> list[BmpRouterInfo]:
        return list(self.monitored)

    def log(self, router: str | None, most: int) -> list[BgpNoticeInfo]:
        return [notice for notice in self.notices if router in {None, notice.router}][:most]

    async def top_prefixes(self, router: str, request: TopPrefixesRequest) -> dict[str, object]:
        self.asked.append(("top", self._known(router), msgspec.to_builtins(request)))
        return dict(self.top)

    async def best_route(self, router: str, address: str) -> dict[str, object] | None:
        octets = parse_address(address)
        inside = (row for row in self._received(router) if _holds(str(row["prefix"]), octets))
        return max(inside, key=lambda row: int(str(row["prefix"]).partition("/")[2]), default=None)

    async def received_routes(self, router: str, request: ReceivedRequest) -> list[dict[str, object]]:
        self.asked.append(("routes", self._known(router), msgspec.to_builtins(request)))
        return self._received(router)[: request.max_routes]

    def _received(self, router: str) -> list[dict[str, object]]:
        return self.learned.get(self._known(router), [])

    async def received_flows(self, router: str) -> list[dict[str, object]]:
        return [{**rule, "matches": "all", "does": "pass"} for rule in self.flows(router)]

    def reset(self, router: str) -> None:
        self.asked.append(("reset", self._known(router), {}))

    def refresh(self, router: str, family: str | None) -> list[str]:
        self.asked.append(("refresh", self._known(router), {"family": family}))
        return [family or "ipv4-unicast"]

    async def self_test(self, router: str) -> SelfTestInfo:
        self.asked.append(("selftest", self._known(router), {}))
        return SelfTestInfo(passed=True, profile="safe", families={"ipv4-flowspec": "the session stayed up"})


def _holds(prefix: str, address: bytes) -> bool:
    return ipaddress.ip_address(address) in ipaddress.ip_network(prefix)


class FakeScripts:
    """Every method of `ScriptHost`: `handlers` answer by `application/file`."""

    def __init__(self) -> None:
        self.handlers: dict[str, Callable[[ScriptRequest], ScriptReply]] = {}
        self.states: dict[str, ScriptStatus] = {}

    def add(self, name: str, handler: Callable[[ScriptRequest], ScriptReply], *, state: str = "alive") -> None:
        self.handlers[name] = handler
        alive = state in {"alive", "stuck"}
        self.states[name] = ScriptStatus(0, 0, 0, 0, 0, 0, alive, state == "ended", 1.5, stuck=state == "stuck")

    def scripts(self) -> dict[str, ScriptStatus]:
        return self.states

    async def request(self, app: str, file: str, request: ScriptRequest) -> ScriptReply | None:
        handler = self.handlers.get(f"{app}/{file}" if app else file)
        return None if handler is None else handler(request)
