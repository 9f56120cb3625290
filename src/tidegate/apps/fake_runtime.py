"""Runs a user's script in a test: a made-up clock, no network, and what the script did as data to assert on.

    fake = FakeRuntime(config={"enforce": True})
    setup(fake.rt)
    fake.fire("reflection", flow_key="192.0.2.1,53")
    assert fake.flows() == [...]
    fake.advance(600)

`rt` is the same `Runtime` that runs live, on parts that only remember. Flow definitions, thresholds, filters, rules and
routes are checked as they are live. What a handler raises is raised to the test.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tidegate.apps.fake_backend import FakeBackend
from tidegate.apps.route_log import FakeTables, RouteChange, RouteLog
from tidegate.apps.script import LogLine, Runtime, Services, Shared, Store
from tidegate.apps.script_desk import Desk, Job, Kind, finish
from tidegate.apps.script_http import HttpCall, HttpError, as_http_error
from tidegate.control.flowspec import format_flow
from tidegate.control.unicast import format_unicast
from tidegate.engine.events import Event, FlowRecord
from tidegate.errors import ConfigError, EncodeError
from tidegate.io.fetch import HttpRequest, HttpResponse
from tidegate.web.answers import Reply, answer_of, refusal

__all__ = ["FakeBackend", "FakeRuntime", "FakeTables"]

_AGENT = "192.0.2.254"


class FakeRuntime:
    """A runtime for tests; give `rt` to the script's `setup`.

    `now` is the time it starts at, in seconds since 1970 UTC. `peers` are the BGP peers that exist; with none, any
    address is taken for one. `log`, `requests` and `changes` grow with what the script does; `answer` is called for
    each HTTP request and returns the response, 200 without a body unless set. `store` may be kept for a second
    runtime, to test a restart. `tables` says what routers' tables have.
    """

    def __init__(
        self,
        backend: FakeBackend | None = None,
        *,
        now: float = 1_700_000_000.0,
        config: Mapping[str, Any] | None = None,
        peers: Sequence[str] = (),
        store: Store | None = None,
        name: str = "script.py",
    ) -> None:
        self.backend = FakeBackend() if backend is None else backend
        self.store = Store(None) if store is None else store
        self.log: list[LogLine] = []
        self.requests: list[HttpRequest] = []
        self.answer: Callable[[HttpRequest], HttpResponse] = lambda request: HttpResponse(200, url=request.url)
        self._desk = Desk(round(now * 1e9))
        self.tables = FakeTables()
        self._routes = RouteLog(self.now, peers=peers, tables=self.tables)
        self._ids = 0
        services = Services(
            backend=self.backend, bgp=self._routes, fetch=self._fetch, log=self.log.append, shared=Shared()
        )
        self.rt = Runtime(name, self._desk, services, store=self.store, config=config or {}, run=asyncio.run)

    @property
    def changes(self) -> list[RouteChange]:
        """What was announced and withdrawn by BGP, in order."""
        return self._routes.changes

    @property
    def asked(self) -> list[tuple[str, ...]]:
        """What else was asked of BGP peers, in order: `("refresh", peer, family)`, `("reset", peer)` and so on."""
        return list(self._routes.asked)

    def now(self) -> float:
        """Return the made-up time in seconds since 1970 UTC."""
        return self._desk.now_ns / 1e9

    def flows(self, peer: str | None = None) -> list[dict[str, dict[str, str]]]:
        """Return the FlowSpec rules that are announced, to a peer or to any."""
        return [format_flow(flow) for flow in self._routes.flows(peer)]

    def routes(self, peer: str | None = None) -> list[dict[str, str | int]]:
        """Return the unicast routes that are announced, to a peer or to any."""
        return [format_unicast(route) for route in self._routes.routes(peer)]

    def lines(self, level: str | None = None) -> list[str]:
        """Return the texts logged, of a level or of all."""
        return [line.text for line in self.log if level in {None, line.level}]

    def fire(
        self,
        threshold: str,
        *,
        flow_key: str | None = None,
        value: float | None = None,
        agent: str = _AGENT,
        data_source: str = "1",
    ) -> Event:
        """Cross a threshold that the script has put: it is triggered until `calm`, and the script gets the event.

        `value` is twice the threshold's unless given.
        """
        limit = self.backend.limits.get(threshold)
        if limit is None:
            known = ", ".join(self.backend.limits) or "none"
            raise ConfigError("threshold", f"the script has put no threshold {threshold!r} (known: {known})")
        self._ids += 1
        event = Event(
            event_id=self._ids,
            timestamp=self._desk.now_ns // 1_000_000,
            threshold_id=threshold,
            metric=limit.metric,
            threshold=limit.value,
            value=2 * limit.value if value is None else value,
            agent=agent,
            data_source=data_source,
            flow_key=flow_key,
            time_ns=self._desk.now_ns,
        )
        self.backend.triggered.add(_trigger(event))
        self.deliver(event)
        return event

    def calm(self, event: Event) -> None:
        """Let the threshold of an event be triggered no more."""
        self.backend.triggered.discard(_trigger(event))

    def deliver(self, subject: Event | FlowRecord) -> None:
        """Give the script an event or a flow record as it is."""
        kind = Kind.EVENT if isinstance(subject, Event) else Kind.FLOW
        self._do(Job(kind, self._desk.now_ns, subject))

    def record(self, name: str, flow_keys: str, *, value: float, seconds: float = 1.0) -> FlowRecord:
        """Give the script a record of a flow that ends now and lasted `seconds`."""
        self._ids += 1
        end = self._desk.now_ns // 1_000_000
        record = FlowRecord(
            flow_id=self._ids,
            name=name,
            flow_keys=flow_keys,
            value=value,
            start=end - round(seconds * 1000),
            end=end,
            agent=_AGENT,
            data_source="1",
        )
        self.deliver(record)
        return record

    def peer_up(self, peer: str) -> None:
        """Let a BGP session come up."""
        self._do(Job(Kind.BGP_UP, self._desk.now_ns, peer))

    def peer_down(self, peer: str) -> None:
        """Let a BGP session go down."""
        self._do(Job(Kind.BGP_DOWN, self._desk.now_ns, peer))

    def request(
        self,
        method: str = "GET",
        path: str = "",
        *,
        query: Mapping[str, Sequence[str]] | None = None,
        body: object = None,
        format: str = "json",  # noqa: A002 - the interface's name
    ) -> Reply:
        """Return the script's answer to a request; `path` is what comes behind its name, joined by `/`."""
        values = {name: tuple(texts) for name, texts in (query or {}).items()}
        call = HttpCall(method, tuple(part for part in path.split("/") if part), values, body, format)
        if not self._desk.wants(Kind.HTTP, call):
            return refusal(404, "the script answers no requests")
        try:
            return answer_of(self._do(Job(Kind.HTTP, self._desk.now_ns, call)), format)
        except HttpError as error:
            known = as_http_error(error)
            return refusal(known.status, known.reason)
        except EncodeError as error:
            return refusal(500, f"the script {self.rt.name} {error}")

    def advance(self, seconds: float) -> None:
        """Let time go on: timers that become due are called, each at its own moment."""
        until = self._desk.now_ns + round(seconds * 1e9)
        while (due := self._desk.deadline()) is not None and due <= until:
            self._desk.advance(due)
            job = self._desk.due()
            if job is not None:
                self._do(job)
        self._desk.advance(until)
        self._desk.now_ns = until

    def _do(self, job: Job) -> object:
        result: object = None
        for handler, arguments in self._desk.calls(job):
            result = finish(handler(*arguments), asyncio.run)
        return result

    async def _fetch(self, request: HttpRequest) -> HttpResponse:
        self.requests.append(request)
        return self.answer(request)


def _trigger(event: Event) -> tuple[str, str, str, str | None]:
    return event.threshold_id, event.agent, f"{event.data_source}.{event.metric}", event.flow_key
