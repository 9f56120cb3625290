"""What a user's script may call. A script is a Python file with `def setup(rt: Runtime) -> None`.

`setup` puts flows and thresholds and says what to call: `on_event`, `on_flow`, `on_http`, `every`, `after`,
`bgp.on_up`. Handlers are `def` or `async def`, and of one script only one runs at a time. Names and meanings follow the
flow language. `tidegate.apps.fake_runtime` runs a script in a test, without network and clock.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from tidegate.apps.prefix_ranking import TopPrefixes
from tidegate.apps.script_bgp import Bgp, BgpPort
from tidegate.apps.script_desk import Desk, Kind, Timer
from tidegate.apps.script_http import HttpCall, HttpError, bad_request, not_found, unavailable
from tidegate.apps.store import Shared, Store
from tidegate.engine.events import ActiveFlow, Event, FlowRecord
from tidegate.errors import ConfigError
from tidegate.io.fetch import HttpRequest, HttpResponse
from tidegate.web.backend import AgentInfo, Backend, DataSourceInfo

__all__ = [
    "ActiveFlow",
    "AgentInfo",
    "Bgp",
    "DataSourceInfo",
    "Event",
    "Fetch",
    "FlowRecord",
    "HttpCall",
    "HttpError",
    "HttpResponse",
    "Log",
    "LogLine",
    "Runtime",
    "Services",
    "Shared",
    "Store",
    "Timer",
    "TopPrefixes",
    "bad_request",
    "not_found",
    "unavailable",
]

T = TypeVar("T")
_MAX_LINE = 8192  # characters


class LogLine(msgspec.Struct, frozen=True):
    """A line a script logged; `level` is `debug`, `info`, `warning` or `error`, `time` seconds since 1970 UTC."""

    level: str
    script: str
    text: str
    time: float


class Fetch(Protocol):
    """An HTTP client."""

    def __call__(self, request: HttpRequest) -> Coroutine[Any, Any, HttpResponse]:
        """Return the answer to a request."""


class Services(msgspec.Struct, frozen=True):
    """What a runtime calls on: the running instance and the world around it. `own_url` stands before paths."""

    backend: Backend
    bgp: BgpPort
    fetch: Fetch
    log: Callable[[LogLine], None]
    shared: Shared
    own_url: str = "http://127.0.0.1:8008"


class Log:
    """The log, with the script's name."""

    def __init__(self, script: str, desk: Desk, sink: Callable[[LogLine], None]) -> None:
        self._script = script
        self._desk = desk
        self._sink = sink

    def debug(self, text: object) -> None:
        """Log what helps to follow the script."""
        self._write("debug", text)

    def info(self, text: object) -> None:
        """Log what happened."""
        self._write("info", text)

    def warning(self, text: object) -> None:
        """Log what somebody should look at."""
        self._write("warning", text)

    def error(self, text: object) -> None:
        """Log what went wrong."""
        self._write("error", text)

    def _write(self, level: str, text: object) -> None:
        self._sink(LogLine(level, self._script, str(text)[:_MAX_LINE], self._desk.now_ns / 1e9))


class Runtime:
    """What `setup` gets. `config` holds the script's settings from the configuration file; it is a copy.

    Attributes: `bgp` routes and rules, `log`, `store` what is remembered over restarts, `shared` what scripts tell each
    other, `config`, `name` of the script. Errors are `TextError` for texts of the flow language, `ConfigError` for
    other arguments, `SourceError` for what is outside.
    """

    def __init__(
        self,
        name: str,
        desk: Desk,
        services: Services,
        *,
        store: Store,
        config: Mapping[str, Any],
        run: Callable[[Coroutine[Any, Any, HttpResponse]], HttpResponse],
    ) -> None:
        self.name = name
        self.config: dict[str, Any] = copy.deepcopy(dict(config))
        self.store = store
        self.shared = services.shared
        self.log = Log(name, desk, services.log)
        self.bgp = Bgp(services.bgp, desk)
        self._desk = desk
        self._services = services
        self._backend = services.backend
        self._run = run

    def now(self) -> float:
        """Return the time of what is being handled, in seconds since 1970 UTC.

        That is event time: when the sample arrived that made the event, or when the timer was due. In a replay it is
        the recording's time.
        """
        return self._desk.now_ns / 1e9

    def on_event(self, handler: Callable[[Event], object], *, thresholds: Sequence[str] = ()) -> None:
        """Call `handler(event)` when a threshold is crossed: any, or one of those named."""
        self._desk.add(Kind.EVENT, handler, thresholds)

    def on_flow(self, handler: Callable[[FlowRecord], object], *, names: Sequence[str] = ()) -> None:
        """Call `handler(record)` with the records of flows with `log`: all, or those of the definitions named."""
        self._desk.add(Kind.FLOW, handler, names)

    def on_http(self, handler: Callable[[HttpCall], object]) -> None:
        """Answer requests to the script's path with what `handler(call)` returns; of several the last one counts."""
        self._desk.add(Kind.HTTP, handler)

    def every(self, seconds: float, handler: Callable[[], object]) -> Timer:
        """Call `handler()` each so many seconds; a tick is left out while the script is busy."""
        return self._desk.every(seconds, handler)

    def after(self, seconds: float, handler: Callable[[], object]) -> Timer:
        """Call `handler()` once, so many seconds from now."""
        return self._desk.after(seconds, handler)

    def set_flow(self, name: str, spec: Mapping[str, object]) -> None:
        """Put a flow definition, such as `{"keys": "ipsource", "value": "bytes"}`; the same again changes nothing."""
        self._backend.set_flow(name, spec)

    def clear_flow(self, name: str) -> bool:
        """Remove a flow definition; tell whether there was one."""
        return self._backend.clear_flow(name)

    def active_flows(
        self, name: str, *, agents: str = "ALL", max_flows: int = 100, min_value: float = 0.0, agg_mode: str = "max"
    ) -> list[ActiveFlow]:
        """Return the largest flows of a definition, merged over data sources; none for an unknown name.

        `agents` are addresses joined by `,`; `agg_mode` is `max`, `sum`, `avg`, `edge` or `core`.
        """
        flows = self._backend.active_flows(agents, name, max_flows=max_flows, min_value=min_value, agg_mode=agg_mode)
        return flows or []

    def flow_value(self, name: str, key: str, *, agent: str, data_source: str) -> float | None:
        """Return one flow's value at one data source, or None where it is not seen there."""
        places = self._backend.flow_locations(agent, name, key) or []
        return next((place.value for place in places if place.data_source == data_source), None)

    def flow_locations(self, name: str, key: str, *, agents: str = "ALL") -> list[ActiveFlow]:
        """Return one flow at each data source that sees it."""
        return self._backend.flow_locations(agents, name, key) or []

    def flow_keys(self) -> dict[str, int]:
        """Return the keys seen in samples, and how many milliseconds ago."""
        return self._backend.flow_keys()

    def set_threshold(self, name: str, spec: Mapping[str, object]) -> None:
        """Put a threshold, such as `{"metric": "flow's name", "value": 1000, "byFlow": True}`."""
        self._backend.set_threshold(name, spec)

    def clear_threshold(self, name: str) -> bool:
        """Remove a threshold; tell whether there was one."""
        return self._backend.clear_threshold(name)

    def threshold_triggered(self, event: Event) -> bool:
        """Tell whether what an event told of lasts: its threshold is triggered, at its data source and for its flow."""
        metric = f"{event.data_source}.{event.metric}"
        return self._backend.threshold_triggered(event.threshold_id, event.agent, metric, event.flow_key)

    def set_group(self, name: str, spec: Mapping[str, object]) -> None:
        """Put a group for the function `group`: `{"label": ["192.0.2.0/24"]}`; the longest prefix wins."""
        self._backend.set_group(name, spec)

    def clear_group(self, name: str) -> bool:
        """Remove a group; tell whether there was one."""
        return self._backend.clear_group(name)

    def set_map(self, name: str, spec: Mapping[str, object]) -> None:
        """Put a map for the function `map`: `{"label": ["value"]}`."""
        self._backend.set_map(name, spec)

    def clear_map(self, name: str) -> bool:
        """Remove a map; tell whether there was one."""
        return self._backend.clear_map(name)

    def agents(self, addresses: Sequence[str] | None = None) -> dict[str, AgentInfo]:
        """Return what is known of agents, all or those named."""
        return self._backend.agents(addresses)

    def data_source(self, agent: str, data_source: str) -> DataSourceInfo | None:
        """Return what is known of a data source, such as its sampling rate."""
        return self._backend.data_source(agent, data_source)

    def http(self, url: str, *, method: str = "GET", body: object = None, **options: Any) -> HttpResponse:  # noqa: ANN401 - `http_async` has them
        """Send a request and wait for the answer; arguments as of `http_async`. Not for `async def` handlers."""
        return self._run(self.http_async(url, method=method, body=body, **options))

    async def http_async(
        self,
        url: str,
        *,
        method: str = "GET",
        body: object = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 10.0,
    ) -> HttpResponse:
        """Send a request; any status is an answer, `SourceError` where there is none.

        A `body` of bytes or text goes as it is, anything else as JSON. A URL that begins with `/` is a path of this
        instance.
        """
        if not isinstance(url, str) or not url.startswith(("http://", "https://", "/")):
            raise ConfigError("http", f"a URL with http://, https:// or / is expected, not {url!r:.100}")
        data, content = _encoded(body)
        return await self._services.fetch(
            HttpRequest(
                url=self._services.own_url + url if url.startswith("/") else url,
                method=method.upper(),
                body=data,
                headers={**content, **(headers or {})},
                timeout_s=timeout_s,
            )
        )


def _encoded(body: object) -> tuple[bytes, dict[str, str]]:
    match body:
        case None:
            return b"", {}
        case bytes():
            return body, {}
        case str():
            return body.encode(), {"content-type": "text/plain; charset=utf-8"}
        case _:
            return msgspec.json.encode(body), {"content-type": "application/json"}
