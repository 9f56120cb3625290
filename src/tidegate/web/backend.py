"""What REST and scripts ask of a running instance; `tidegate.apps.analyzer` is the real one.

Every method may be called from any thread and returns within milliseconds. Texts of users are given as they are:
`TextError` says where one is wrong. `agents` is a list of agent addresses separated by `,` or `;`, or `ALL`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from tidegate.engine.events import ActiveFlow, Event, FlowRecord

__all__ = [
    "AgentInfo",
    "Announcer",
    "Backend",
    "BgpNoticeInfo",
    "BmpPeerInfo",
    "BmpRouterInfo",
    "DataSourceInfo",
    "NeighborInfo",
    "ReceivedRequest",
    "ScriptHost",
    "ScriptReply",
    "ScriptRequest",
    "ScriptStatus",
    "SelfTestInfo",
    "TopPrefixesRequest",
]


class AgentInfo(msgspec.Struct, frozen=True):
    """What is known of an agent: the object of `/agents/json`."""

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


class NeighborInfo(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A BGP neighbour as people want to see it."""

    address: str
    state: str  # idle, connect, active, opensent, openconfirm or established
    since: float  # seconds since 1970 UTC of the last change up or down
    wanted: int  # routes and rules that are to be announced
    sent: int  # of those, that were sent in the session that is up
    waiting: int = 0  # UPDATEs still to be sent
    not_negotiated: int = 0  # of those wanted, that cannot be sent: the peer did not agree to their family
    peer_as: int | None = None  # of the session that is up, as the next two
    router_id: str | None = None
    families: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()  # that both sides have, in words
    hold_time: int | None = None  # seconds
    uptime: float = 0.0  # seconds, of the session that is up
    local_as: int = 0
    failures: int = 0  # attempts since the session was last up
    flaps: int = 0  # how often a session that was up has ended
    last_error: str = ""
    shut: str = ""  # why the neighbour is kept down
    notification_sent: str = ""  # the last ones, in words
    notification_received: str = ""
    prefixes: Mapping[str, int] = {}  # routes and rules received, each family
    stale: Mapping[str, int] = {}  # of those, kept over a restart of the neighbour and not said again yet
    held_back: int = 0  # of those wanted, that are not sent because the session fell over them
    restarting: bool = False  # this side is back from a crash, and the neighbour has not heard everything yet
    problems: Mapping[str, int] = {}  # what was wrong in UPDATEs received
    octets_in: int = 0
    octets_out: int = 0
    messages_in: int = 0
    messages_out: int = 0
    local_address: str = ""
    local_port: int = 0
    remote_port: int = 0
    dynamic: bool = False  # made from a prefix of the configuration


class BmpPeerInfo(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A peer of a router, as the router tells it by BMP."""

    name: str  # address, or loc-rib for the routes that the router uses
    asn: int
    router_id: str
    state: str  # up or down
    since: float  # seconds since 1970 UTC of the last change up or down
    reason: str = ""  # why it is down
    table_name: str = ""
    view: str = ""  # whose routes make its table: loc-rib, post-policy or pre-policy
    prefixes: Mapping[str, int] = {}  # routes, each family
    end_of_rib: tuple[str, ...] = ()  # families of which all is told
    updates: Mapping[str, int] = {}  # each view
    problems: Mapping[str, int] = {}
    statistics: Mapping[str, int] = {}  # the router's own counters
    mirrored: int = 0  # messages that the router passed on as they came


class BmpRouterInfo(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A router that tells of its peers by BMP."""

    address: str
    port: int
    state: str  # up or down
    since: float  # seconds since 1970 UTC
    sys_name: str = ""
    sys_descr: str = ""
    last_error: str = ""  # why the connection before ended, or this one
    octets: int = 0
    routes: int = 0
    messages: Mapping[str, int] = {}
    ignored: Mapping[str, int] = {}  # what could not be used, by reason
    peers: tuple[BmpPeerInfo, ...] = ()


class BgpNoticeInfo(msgspec.Struct, frozen=True, rename="camel"):
    """Something that happened to a neighbour, in words."""

    notice_id: int = msgspec.field(name="noticeID")
    time: float  # seconds since 1970 UTC
    router: str
    kind: str  # change, warning or bmp
    text: str


class TopPrefixesRequest(msgspec.Struct, frozen=True):
    """Which prefixes of a router's table to rank."""

    max_prefixes: int
    min_value: float
    direction: str
    include_covered: bool
    min_prefix: int
    prune_covered: bool
    ipv6: bool


class ReceivedRequest(msgspec.Struct, frozen=True):
    """Which of a router's routes to return: those inside `prefix`, behind the prefix `after`; empty texts for all."""

    max_routes: int
    prefix: str = ""
    after: str = ""


class SelfTestInfo(msgspec.Struct, frozen=True):
    """What came of a self-test; `families` has a sentence each."""

    passed: bool
    profile: str
    families: dict[str, str]


class Announcer(Protocol):
    """BGP; every method is called on the event loop that serves REST, and returns at once or is awaited.

    `router` is the address of a neighbour: `ConfigError` where there is no such one. Objects are those of
    `tidegate.control.flowspec` and `tidegate.control.unicast`, and so are the errors: `TextError`, `Inexpressible`
    and `EncodeError`. What is announced stays wanted when the session goes down and comes up again.
    """

    def neighbors(self) -> list[NeighborInfo]:
        """Return the neighbours."""

    def flows(self, router: str) -> list[dict[str, object]]:
        """Return the FlowSpec rules wanted at a neighbour, as `{match, then}`."""

    def announce_flow(self, router: str, rule: Mapping[str, object]) -> None:
        """Want a FlowSpec rule `{match, then}`; it replaces the one with the same match."""

    def withdraw_flow(self, router: str, rule: Mapping[str, object]) -> bool:
        """Want the rule with this `match` no more; False where there was none."""

    def routes(self, router: str) -> list[dict[str, object]]:
        """Return the unicast routes wanted at a neighbour, as objects with `prefix`."""

    def announce_route(self, router: str, route: Mapping[str, object]) -> None:
        """Want a unicast route `{prefix, nexthop, …}`; it replaces the one with the same prefix."""

    def withdraw_route(self, router: str, prefix: str) -> bool:
        """Want the route of a prefix no more; False where there was none."""

    def routers(self) -> list[BmpRouterInfo]:
        """Return the routers that tell of their peers by BMP."""

    def log(self, router: str | None, most: int) -> list[BgpNoticeInfo]:
        """Return what happened lately, of all routers or one, newest first."""

    async def top_prefixes(self, router: str, request: TopPrefixesRequest) -> dict[str, object]:
        """Return the prefixes of a router's table that carry most traffic."""

    async def best_route(self, router: str, address: str) -> dict[str, object] | None:
        """Return the longest match of an address in a router's table, or None."""

    async def received_routes(self, router: str, request: ReceivedRequest) -> list[dict[str, object]]:
        """Return routes of a router's table, in order."""

    async def received_flows(self, router: str) -> list[dict[str, object]]:
        """Return the first 2000 FlowSpec rules that a router has announced, in the order in which they are tried."""

    def reset(self, router: str) -> None:
        """End the session with a neighbour; it comes back."""

    def refresh(self, router: str, family: str | None) -> list[str]:
        """Ask a neighbour for its routes again, of all families or one; return the families it was asked for."""

    async def self_test(self, router: str) -> SelfTestInfo:
        """Send a neighbour a rule that can hit nothing, watch the session, and withdraw the rule."""


class ScriptStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a script does: the object of `/scripts/json`."""

    flowsReceived: int  # noqa: N815 - the interface's names, as all below
    flowsLost: int  # noqa: N815
    eventsReceived: int  # noqa: N815
    eventsLost: int  # noqa: N815
    requestsReceived: int  # noqa: N815
    requestsLost: int  # noqa: N815
    alive: bool
    gracefulExit: bool  # noqa: N815 - it ended, and without an error
    cpuMs: float  # noqa: N815
    error: str = ""  # why it ended, what keeps it, or the latest exception of a handler, with file and line
    handlerErrors: int = 0  # noqa: N815 - exceptions of handlers
    stuck: bool = False  # a handler has been running for long

    @property
    def well(self) -> bool:
        """Whether the script runs, or has ended without an error."""
        return (self.alive or self.gracefulExit) and not self.stuck


class ScriptRequest(msgspec.Struct, frozen=True):
    """A request to a script's handler."""

    method: str  # GET, POST, PUT or DELETE
    path: tuple[str, ...]  # segments behind the file's name, without the representation
    query: Mapping[str, Sequence[str]]
    format: str  # json or txt
    body: object = None  # parsed JSON; None also where there was none
    error: str | None = None  # what was wrong with the body where it could not be parsed


class ScriptReply(msgspec.Struct, frozen=True):
    """What a script's handler answered: `value` None is 204, a text with format `txt` is sent as it is."""

    value: object = None
    status: int = 200  # other than 200: an error with `value` as its text


class ScriptHost(Protocol):
    """The running user scripts; every method is called on the event loop that serves REST."""

    def scripts(self) -> dict[str, ScriptStatus]:
        """Return the scripts by `application/file`."""

    async def request(self, app: str, file: str, request: ScriptRequest) -> ScriptReply | None:
        """Ask a script's handler; None where there is no such script or it has no handler. Exceptions are a 500."""
