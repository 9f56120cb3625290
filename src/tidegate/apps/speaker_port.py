"""BGP as scripts reach it from their threads: calls are done on the speaker's event loop, and answered.

Where there is no neighbour yet, what is announced is kept, and said when there is one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TooLate
from typing import Any, Final, TypeVar

from tidegate.apps.bgp_service import BgpService
from tidegate.apps.prefix_ranking import TopPrefixes, TopQuery
from tidegate.apps.received import Page, best_route, received_routes, received_rules, shown_rules
from tidegate.apps.route_log import RouteLog
from tidegate.apps.routing import Source
from tidegate.data.address import Words
from tidegate.errors import SourceError, TidegateError
from tidegate.io.bgp import NeighborStatus, PeerConfig, SelfTest
from tidegate.wire.bgp.routes import FlowRoute, Route, RouteKey, UnicastRoute

__all__ = ["SpeakerPort"]

T = TypeVar("T")
_ANSWER_S: Final = 5.0  # the speaker's loop answers in microseconds; who waits this long talks to a dead one
_TIE_S: Final = 30.0  # shards are asked, too
_TEST_S: Final = 3600.0


class SpeakerPort:
    """A service that lives on an event loop in another thread. `now` is the time of what is kept without a speaker."""

    def __init__(
        self, service: BgpService, loop: asyncio.AbstractEventLoop, *, now: Callable[[], float] = lambda: 0.0
    ) -> None:
        self._service = service
        self._loop = loop
        self._now = now
        self._before = RouteLog(now)

    def announce(self, peer: str | None, route: Route) -> None:
        """Want a route."""

        def announce() -> None:
            if self._service.speaker is None:
                self._before.announce(peer, route)
            else:
                self._service.announce(peer, route)

        self._ask(announce)

    def withdraw(self, peer: str | None, key: RouteKey) -> bool:
        """Want a route no more."""
        service, before = self._service, self._before
        return self._ask(lambda: (before if service.speaker is None else service).withdraw(peer, key))

    def flows(self, peer: str | None) -> tuple[FlowRoute, ...]:
        """Return wanted rules."""
        return self._ask(lambda: (self._service.speaker or self._before).flows(peer))

    def routes(self, peer: str | None) -> tuple[UnicastRoute, ...]:
        """Return wanted routes."""
        return self._ask(lambda: (self._service.speaker or self._before).routes(peer))

    def neighbors(self) -> list[NeighborStatus]:
        """Return the peers."""
        return self._ask(self._service.neighbors)

    def add_neighbor(self, config: PeerConfig) -> None:
        """Speak with one more neighbour."""

        async def add() -> None:
            await self._service.add_neighbor(config)
            kept = RouteLog(self._now)
            for peer, route in self._before.wanted():
                try:
                    self._service.announce(peer, route)
                except TidegateError:  # it is for a neighbour that is still to come, or of a family that nobody has yet
                    kept.announce(peer, route)
            self._before = kept

        self._run(add(), _TIE_S)

    def remove_neighbor(self, router: str) -> None:
        """Part with a neighbour."""
        self._run(self._service.remove_neighbor(router), _TIE_S)

    def add_source(self, source: Source) -> None:
        """Tie agents to a router."""
        self._run(self._service.add_source(source), _TIE_S)

    def set_next_hops(self, hops: Mapping[Words, int]) -> None:
        """Say which MAC each next hop has."""
        self._run(self._service.set_next_hops(hops), _TIE_S)

    def top_prefixes(self, router: str, query: TopQuery) -> TopPrefixes:
        """Return the prefixes that carry most traffic."""
        return self._ask(lambda: self._service.ranking(router, query))()

    def best_route(self, router: str, address: bytes) -> dict[str, object] | None:
        """Return the longest match of an address."""
        return best_route(self._ask(lambda: self._service.find(router)), address)

    def received_routes(self, router: str, page: Page) -> list[dict[str, object]]:
        """Return a page of a router's routes."""
        return received_routes(self._ask(lambda: self._service.find(router)), page)

    def received_flows(self, router: str, most: int) -> list[dict[str, object]]:
        """Return the rules that a router has announced."""
        return shown_rules(self._ask(lambda: received_rules(self._service.find(router), most)))

    def refresh(self, router: str, family: str | None) -> list[str]:
        """Ask a neighbour for its routes again."""
        return self._ask(lambda: self._service.refresh(router, family))

    def self_test(self, router: str) -> SelfTest:
        """Try a rule that can hit nothing."""
        return self._run(self._service.self_test(router), _TEST_S)

    def reset(self, router: str) -> None:
        """End the session with a neighbour; it comes back."""
        self._ask(lambda: self._service.known().reset_peer(router))

    def totals(self) -> dict[str, object]:
        """Return what `/analyzer/json` tells of BGP; from any thread, that of the loop as well."""
        with contextlib.suppress(RuntimeError):
            if asyncio.get_running_loop() is self._loop:
                return self._service.totals()
        return self._ask(self._service.totals)

    def _run(self, work: Coroutine[Any, Any, T], limit_s: float) -> T:
        try:
            answer = asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError as error:
            work.close()
            raise _ended(error) from None
        return _answered(answer, limit_s)

    def _ask(self, work: Callable[[], T]) -> T:
        answer: Future[T] = Future()

        def run() -> None:
            if not answer.set_running_or_notify_cancel():
                return
            try:
                answer.set_result(work())
            except Exception as error:  # noqa: BLE001 - it is raised again where it was asked for
                answer.set_exception(error)

        try:
            self._loop.call_soon_threadsafe(run)
        except RuntimeError as error:
            raise _ended(error) from None
        return _answered(answer, _ANSWER_S)


def _answered(answer: Future[T], limit_s: float) -> T:
    try:
        return answer.result(limit_s)
    except TooLate:
        if answer.done():
            raise  # it is the answer
        answer.cancel()  # so that it is not done later, behind the caller's back
        raise SourceError("bgp", f"the speaker did not answer within {limit_s:g} s") from None


def _ended(error: RuntimeError) -> SourceError:
    return SourceError("bgp", f"the speaker has ended: {error}")
