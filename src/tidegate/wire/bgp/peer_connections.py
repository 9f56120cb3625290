"""The up to two connections of one peer, and which of them carries the session.

Answers for: RFC 4271 section 6.8 (collision), RFC 4724 section 5 (a connection of a peer that has restarted), RFC 6286
section 2.3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

import msgspec
from msgspec import structs

from tidegate.units import Seconds
from tidegate.wire.bgp.constants import Cease
from tidegate.wire.bgp.message import Notification, shutdown
from tidegate.wire.bgp.open import Negotiated
from tidegate.wire.bgp.peer_news import News
from tidegate.wire.bgp.session import Down, Effect, Session, SessionConfig, State

__all__ = ["Connections", "PeerEffect", "Way"]

_ORDER: Final = tuple(State)
_TALKING: Final = frozenset({State.OPEN_SENT, State.OPEN_CONFIRM, State.ESTABLISHED})


class Way(Enum):
    """Which of the two connections: the one this side dialled, or the one the peer did."""

    OUT = "out"
    IN = "in"

    @property
    def other(self) -> Way:
        """The other one."""
        return _OTHER[self]


_OTHER: Final[Mapping[Way, Way]] = MappingProxyType({Way.OUT: Way.IN, Way.IN: Way.OUT})


class PeerEffect(msgspec.Struct, frozen=True):
    """What is to be done, and on which connection; that says nothing where the effect is `Gone` or `Notice`."""

    way: Way
    effect: Effect | News


class Connections:
    """The sessions of both ways. A `Down` among what these functions return is of a session that was established."""

    def __init__(self, config: SessionConfig, *, jitter: Callable[[], float]) -> None:
        self.sessions = {way: Session(config, jitter=jitter) for way in Way}

    @property
    def established(self) -> Way | None:
        """The connection that carries the session, or None."""
        for way, session in self.sessions.items():
            if session.state is State.ESTABLISHED:
                return way
        return None

    @property
    def negotiated(self) -> Negotiated | None:
        """What was agreed on for the session, or None where there is none."""
        way = self.established
        return None if way is None else self.sessions[way].negotiated

    @property
    def best(self) -> Session:
        """The session that has come further."""
        return max(self.sessions.values(), key=lambda session: _ORDER.index(session.state))

    @property
    def quiet(self) -> bool:
        """Whether nothing is under way."""
        return self.best.state is State.IDLE

    @property
    def helped(self) -> bool:
        """Whether the session is one that outlives a restart of the peer."""
        negotiated = self.negotiated
        return negotiated is not None and negotiated.graceful_restart is not None

    def talking(self, way: Way) -> bool:
        """Tell whether a TCP connection stands."""
        return self.sessions[way].state in _TALKING

    def configure(self, config: SessionConfig) -> None:
        """Use other settings for the connections to come."""
        for session in self.sessions.values():
            session.config = config

    def collide(self, way: Way, negotiated: Negotiated, now: Seconds) -> list[PeerEffect]:
        """End the other connection, now that `way` is up, unless that one is to be preferred and may still come up.

        RFC 4271 6.8 has both sides decide when an OPEN comes; where one is established by then and the other is not,
        they decide differently, and both connections are lost. Waiting for the KEEPALIVE cannot go wrong: who has
        sent it has kept the connection. For the same reason RFC 4724 section 5 is followed only then.
        """
        other = way.other
        state = self.sessions[other].state
        preferred = self._preferred(negotiated) is way
        if state is State.ESTABLISHED and not preferred:
            return self.replace(other, now, "the peer has opened another connection: it has restarted")
        if not preferred and state not in {State.CONNECT, State.ACTIVE}:
            return []
        return self.halt(other, shutdown(Cease.COLLISION), now, "the peer is better reached by the other connection")

    def replace(self, way: Way, now: Seconds, reason: str) -> list[PeerEffect]:
        """End a session without a word: the peer no longer knows of it."""
        return [PeerEffect(way, effect) for effect in self.sessions[way].drop(now, reason=reason)]

    def halt(self, way: Way, notification: Notification, now: Seconds, reason: str) -> list[PeerEffect]:
        """Stop one connection on purpose. The peer is still there: its routes are not lost with the connection."""
        effects: list[PeerEffect] = []
        for effect in self.sessions[way].stop(now, notification=notification):
            if not isinstance(effect, Down):
                effects.append(PeerEffect(way, effect))
            elif effect.was_up:
                effects.append(PeerEffect(way, structs.replace(effect, reason=reason, notification=None, sent=True)))
        return effects

    def _preferred(self, negotiated: Negotiated) -> Way:
        """Return the connection opened by the side with the higher identifier, then AS."""
        router_id = self.sessions[Way.OUT].config.open.router_id
        ours_is_higher = (router_id, negotiated.local_as) > (negotiated.router_id, negotiated.peer_as)
        return Way.OUT if ours_is_higher else Way.IN
