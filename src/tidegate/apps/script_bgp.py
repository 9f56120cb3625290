"""BGP as scripts see it: rules and routes as objects, see docs/guides/scripts.md.

`Bgp` parses and asks a `BgpPort`: the running speaker behind `SpeakerPort`, or `RouteLog`, which only remembers (for
replay and tests). A rule that cannot be expressed exactly raises, and nothing is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

import msgspec

from tidegate.apps.script_desk import Desk, Kind
from tidegate.control.flowspec import flow_key, format_flow, parse_flow
from tidegate.control.unicast import format_unicast, parse_unicast, unicast_key
from tidegate.errors import ConfigError, SourceError
from tidegate.io.bgp import NeighborStatus, Speaker
from tidegate.wire.bgp.routes import FlowRoute, Route, RouteKey, UnicastRoute, route_key
from tidegate.wire.bgp.session import State

__all__ = ["Bgp", "BgpPort", "RouteChange", "RouteLog", "SpeakerPort"]

T = TypeVar("T")
_ANSWER_S = 5.0  # the speaker's loop answers in microseconds; who waits this long talks to a dead one
_MAX_CHANGES = 100_000


class BgpPort(Protocol):
    """The speaker, from any thread; methods as of `tidegate.io.bgp.Speaker`."""

    def announce(self, peer: str | None, route: Route) -> None:
        """Want a route at one peer or all."""

    def withdraw(self, peer: str | None, key: RouteKey) -> bool:
        """Want a route no more; tell whether it was wanted."""

    def flows(self, peer: str | None) -> tuple[FlowRoute, ...]:
        """Return the rules that are wanted at a peer, or at any."""

    def routes(self, peer: str | None) -> tuple[UnicastRoute, ...]:
        """Return the unicast routes that are wanted at a peer, or at any."""

    def neighbors(self) -> list[NeighborStatus]:
        """Return how things stand with each peer."""


class Bgp:
    """What `rt.bgp` offers. `peer` is a peer's address, or None for every peer that speaks the rule's family.

    What is announced stays wanted until it is withdrawn: it is sent again whenever a session comes up.
    """

    def __init__(self, port: BgpPort, desk: Desk) -> None:
        self._port = port
        self._desk = desk

    def announce_flow(self, peer: str | None, rule: Mapping[str, Any]) -> None:
        """Announce a FlowSpec rule `{"match": {…}, "then": {…}}`; it replaces the one with the same match.

        `TextError` where a text is wrong, `Inexpressible` where FlowSpec or the peer cannot say it, `ConfigError`
        where there is no such peer.
        """
        self._port.announce(peer, parse_flow(rule))

    def withdraw_flow(self, peer: str | None, rule: Mapping[str, Any]) -> bool:
        """Withdraw the rule with this match; `then` is not looked at. Tell whether it was announced."""
        return self._port.withdraw(peer, flow_key(rule))

    def flows(self, peer: str | None) -> list[dict[str, dict[str, str]]]:
        """Return the rules announced to a peer, or to be sent once it is up; with None those of any, each once."""
        return [format_flow(flow) for flow in self._port.flows(peer)]

    def announce_route(self, peer: str | None, route: Mapping[str, Any]) -> None:
        """Announce `{"prefix", "nexthop", "communities", "localpref", …}`; it replaces the route to the prefix."""
        self._port.announce(peer, parse_unicast(route))

    def withdraw_route(self, peer: str | None, prefix: str) -> bool:
        """Withdraw the route to a prefix; tell whether it was announced."""
        return self._port.withdraw(peer, unicast_key(prefix))

    def routes(self, peer: str | None) -> list[dict[str, str | int]]:
        """Return the routes announced to a peer, or to be sent once it is up; with None those of any, each once."""
        return [format_unicast(route) for route in self._port.routes(peer)]

    def neighbors(self) -> list[NeighborStatus]:
        """Return how things stand with each peer."""
        return self._port.neighbors()

    def on_up(self, handler: Callable[[str], object]) -> None:
        """Call `handler(peer)` when a session comes up. Routes are sent again without that."""
        self._desk.add(Kind.BGP_UP, handler)

    def on_down(self, handler: Callable[[str], object]) -> None:
        """Call `handler(peer)` when a session goes down."""
        self._desk.add(Kind.BGP_DOWN, handler)


class SpeakerPort:
    """A speaker that lives on an event loop in another thread."""

    def __init__(self, speaker: Speaker, loop: asyncio.AbstractEventLoop) -> None:
        self._speaker = speaker
        self._loop = loop

    def announce(self, peer: str | None, route: Route) -> None:
        """Want a route."""
        self._ask(lambda: self._speaker.announce(peer, route))

    def withdraw(self, peer: str | None, key: RouteKey) -> bool:
        """Want a route no more."""
        return self._ask(lambda: self._speaker.withdraw(peer, key))

    def flows(self, peer: str | None) -> tuple[FlowRoute, ...]:
        """Return wanted rules."""
        return self._ask(lambda: self._speaker.flows(peer))

    def routes(self, peer: str | None) -> tuple[UnicastRoute, ...]:
        """Return wanted routes."""
        return self._ask(lambda: self._speaker.routes(peer))

    def neighbors(self) -> list[NeighborStatus]:
        """Return the peers."""
        return self._ask(self._speaker.neighbors)

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
            return answer.result(_ANSWER_S)
        except TimeoutError:
            answer.cancel()  # so that it is not done later, behind the caller's back
            raise SourceError("bgp", f"the speaker did not answer within {_ANSWER_S:g} s") from None
        except RuntimeError as error:
            raise SourceError("bgp", f"the speaker has ended: {error}") from None


class RouteChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """A rule or route that was announced or withdrawn; `peer` None is every peer."""

    what: str  # "announce" or "withdraw"
    peer: str | None
    flow: dict[str, dict[str, str]] | None = None
    route: dict[str, str | int] | None = None
    time: float = 0.0  # seconds since 1970 UTC


class RouteLog:
    """A speaker that speaks to nobody: it keeps what is wanted, and the latest changes in order.

    With `peers`, another one is a `ConfigError`, as it is with a real speaker.
    """

    def __init__(self, now: Callable[[], float], *, peers: Sequence[str] = ()) -> None:
        self.changes: list[RouteChange] = []
        self._now = now
        self._peers = tuple(peers)
        self._wanted: dict[tuple[str | None, RouteKey], Route] = {}

    def announce(self, peer: str | None, route: Route) -> None:
        """Remember a route."""
        self._check(peer)
        self._wanted[peer, route_key(route)] = route
        self._note("announce", peer, route)

    def withdraw(self, peer: str | None, key: RouteKey) -> bool:
        """Forget a route; with `peer` None wherever it is."""
        self._check(peer)
        found = [(at, kept) for at, kept in self._wanted if kept == key and peer in {None, at}]
        for place in found:
            self._note("withdraw", place[0], self._wanted.pop(place))
        return bool(found)

    def flows(self, peer: str | None) -> tuple[FlowRoute, ...]:
        """Return wanted rules, of every peer where `peer` is None."""
        return tuple(route for route in self._at(peer) if isinstance(route, FlowRoute))

    def routes(self, peer: str | None) -> tuple[UnicastRoute, ...]:
        """Return wanted routes, of every peer where `peer` is None."""
        return tuple(route for route in self._at(peer) if isinstance(route, UnicastRoute))

    def neighbors(self) -> list[NeighborStatus]:
        """Return the peers, none of them up."""
        return [_silent(peer, len(self._at(peer))) for peer in self._peers]

    def _at(self, peer: str | None) -> list[Route]:
        return list(
            dict.fromkeys(route for (at, _), route in self._wanted.items() if peer is None or at in {None, peer})
        )

    def _check(self, peer: str | None) -> None:
        if peer is not None and self._peers and peer not in self._peers:
            raise ConfigError(f"bgp.peers.{peer}", f"no such peer (known: {', '.join(self._peers)})")

    def _note(self, what: str, peer: str | None, route: Route) -> None:
        del self.changes[:-_MAX_CHANGES]
        if isinstance(route, FlowRoute):
            self.changes.append(RouteChange(what, peer, flow=format_flow(route), time=self._now()))
        else:
            self.changes.append(RouteChange(what, peer, route=format_unicast(route), time=self._now()))


def _silent(peer: str, wanted: int) -> NeighborStatus:
    return NeighborStatus(
        address=peer,
        state=State.IDLE.value,
        since=0.0,
        peer_as=None,
        router_id=None,
        families=(),
        received={},
        problems={},
        wanted=wanted,
        sent=0,
        waiting=wanted,
        not_negotiated=0,
        failures=0,
        last_error="",
    )
