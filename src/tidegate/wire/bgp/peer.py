"""One configured peer, without a socket: up to two connections, one session, and the routes both ways.

The shell says what happened to which of the two connections (`Way`); the answers are effects that name the connection
they are for. Dialling backs off, and a session that was up for a short time only does not reset that: a peer that
resets on each of our UPDATEs is not asked again every second, and what it was sent last is held back.

Answers for: RFC 4486 section 4, RFC 4724 section 4.1 (the restarting speaker), RFC 7313 sections 4 and 5, RFC 8538
section 5.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any, Final

from tidegate.units import Asn, Seconds
from tidegate.wire.bgp.backoff import Backoff
from tidegate.wire.bgp.constants import Cease, Family, RefreshSubtype, Safi
from tidegate.wire.bgp.inbound import Inbound
from tidegate.wire.bgp.message import (
    Notification,
    RouteRefresh,
    encode_refresh,
    hard_reset,
    shutdown,
    too_many_prefixes,
)
from tidegate.wire.bgp.open import Negotiated
from tidegate.wire.bgp.peer_config import PeerConfig, check_peer, opening
from tidegate.wire.bgp.peer_connections import Connections, PeerEffect, Way
from tidegate.wire.bgp.peer_news import Gone, News, Notice, NoticeKind, name_routes
from tidegate.wire.bgp.peer_status import PeerStatus
from tidegate.wire.bgp.prefix_limits import PrefixLimits
from tidegate.wire.bgp.ribin import RibIn
from tidegate.wire.bgp.ribout import Outgoing, RibOut
from tidegate.wire.bgp.session import Down, Effect, Refresh, Routes, Send, Session, SessionConfig, State, Up
from tidegate.wire.bgp.suspects import Suspects
from tidegate.wire.bgp.update import Update
from tidegate.wire.bgp.update_scan import UpdateRun

__all__ = [
    "Gone",
    "Notice",
    "NoticeKind",
    "Peer",
    "PeerConfig",
    "PeerEffect",
    "PeerStatus",
    "Way",
    "check_peer",
]

_MOST_REASONS: Final = 64  # that problems are counted by
_SPOKEN: Final = frozenset({Cease.SHUTDOWN, Cease.RESET})  # those that may carry words (RFC 9003)


def _session_config(config: PeerConfig, *, keeps: bool, restarted: bool) -> SessionConfig:
    peer_as = None if config.peer_as is None else Asn(config.peer_as)
    offsets = config.profile.ipv6_offset_form
    said = opening(config, keeps=keeps, restarted=restarted)
    return SessionConfig(said, peer_as, config.connect_retry_s, flow_offsets=offsets)


class Peer:
    """The two connections of one peer, what it is told (`rib`) and what it has told (`rib_in`).

    `jitter` returns numbers from 0 up to 1. `keeps` says that what is announced would be known after a crash, so that
    peers may keep it meanwhile; `restarted` that this side is back from one, or from an upgrade, with what it announced
    before: peers that help keep it until `rib.complete` was called and all of it was said. `lock` is for who looks
    routes up from another thread.
    """

    def __init__(
        self,
        config: PeerConfig,
        *,
        jitter: Callable[[], float],
        keeps: bool = True,
        restarted: bool = False,
        lock: AbstractContextManager[Any] | None = None,
    ) -> None:
        check_peer(config)
        self.config = config
        self.rib = RibOut(config.address, families=config.families, profile=config.profile, most=config.max_routes)
        self.inbound = Inbound(stale_s=config.stale_s, lock=lock)
        self._keeps = keeps
        self._restarted = restarted and keeps and config.graceful_restart_s > 0
        if self._restarted:
            self.rib.defer()
        self.connections = Connections(_session_config(config, keeps=keeps, restarted=self._restarted), jitter=jitter)
        self.last_error = ""
        self._backoff = Backoff(jitter=jitter)
        self._since = Seconds(0.0)
        self._restart_until: Seconds | None = None
        self._shut = ""
        self._problems: Counter[str] = Counter()
        most = {False: config.max_prefixes, True: config.max_flow_rules}
        limits = {family: most[family.safi is Safi.FLOWSPEC] for family in Family}
        self._limits = PrefixLimits(limits, warn_percent=config.max_prefixes_warn_percent)
        self._suspects = Suspects()

    @property
    def rib_in(self) -> RibIn:
        """What the peer has announced."""
        return self.inbound.rib_in

    @property
    def sessions(self) -> Mapping[Way, Session]:
        """The state machines of both connections."""
        return self.connections.sessions

    @property
    def established(self) -> Way | None:
        """The connection that carries the session, or None."""
        return self.connections.established

    @property
    def failures(self) -> int:
        """How often in a row the session failed, or lived for a short time only."""
        return self._backoff.failures

    def start(self, now: Seconds) -> list[PeerEffect]:
        """Begin to dial, unless the peer is to do that; also after `stop`, or where the peer was shut out."""
        self._since = now
        self._shut = ""
        self._backoff.until = None
        if self._restarted:
            self._restart_until = Seconds(now + self.config.graceful_restart_s)
        return [] if self.config.passive else self._handle(Way.OUT, self.sessions[Way.OUT].start(now), now)

    def stop(
        self, now: Seconds, *, text: str = "", why: Cease = Cease.SHUTDOWN, keep: bool = False
    ) -> list[PeerEffect]:
        """End both connections with a Cease and stay down; the peer drops what it was told.

        With `keep` nothing is said: a peer that helps keeps the routes, for a start with `restarted`.
        """
        effects = []
        for way, session in self.sessions.items():
            was_up = session.state is State.ESTABLISHED
            if keep:
                ending = session.drop(now, reason="stopped without a word: the peer may keep the routes")
            else:
                ending = session.stop(now, notification=_farewell(session, why, text))
            effects += [PeerEffect(way, effect) for effect in ending if was_up or not isinstance(effect, Down)]
            if was_up:
                self._since = now
                self.last_error = "stopped"
        self._shut = "stopped"
        self._backoff.until = self._restart_until = None
        self.rib.end()
        return effects + _news(Way.OUT, self.inbound.forget())

    def reset(self, now: Seconds, *, text: str = "") -> list[PeerEffect]:
        """End the session with Cease 6/4; it comes back by itself."""
        effects = []
        for way, session in self.sessions.items():
            if self.connections.talking(way):
                effects += self._handle(way, session.stop(now, notification=shutdown(Cease.RESET, text)), now)
        return effects

    def may_accept(self, now: Seconds) -> bool:
        """Tell whether a connection the peer has opened is welcome; a refused one is closed without an answer.

        While a session stands it is where graceful restart was agreed: then it tells that the peer has restarted.
        """
        if self._shut:
            return False
        if self.established is not None:
            return self.connections.helped
        return self._backoff.patient(now)

    def evict(self, now: Seconds) -> list[PeerEffect]:
        """Give up the connection that the peer opened before, because it has opened another."""
        reason = "the peer has opened another connection"
        if self.established is Way.IN:
            return self._closed(self.connections.replace(Way.IN, now, f"{reason}: it has restarted"), now)
        return self._closed(self.connections.halt(Way.IN, shutdown(Cease.COLLISION), now, reason), now)

    def connected(self, way: Way, now: Seconds) -> list[PeerEffect]:
        """Say that a TCP connection stands."""
        return self._handle(way, self.sessions[way].connected(now), now)

    def disconnected(self, way: Way, now: Seconds, *, reason: str) -> list[PeerEffect]:
        """Say that a TCP connection failed or is gone."""
        return self._handle(way, self.sessions[way].disconnected(now, reason=reason), now)

    def receive(self, way: Way, data: bytes, now: Seconds) -> list[PeerEffect]:
        """Take octets off one connection."""
        return self._handle(way, self.sessions[way].receive(data, now), now)

    @property
    def busy(self) -> bool:
        """Whether there is something for `work` to do."""
        return self.rib_in.busy or self.inbound.busy

    def work(self, now: Seconds) -> list[PeerEffect]:
        """Do a bounded piece of what was received."""
        self.rib_in.work()
        return _news(Way.OUT, self.inbound.settle()) + self._limit(self.config.families, now)

    def tick(self, now: Seconds) -> list[PeerEffect]:
        """Let the timers that are due run out."""
        effects: list[PeerEffect] = []
        for way, session in self.sessions.items():
            effects += self._handle(way, session.tick(now), now)
        effects += _news(Way.OUT, self.inbound.tick(now))
        if self._restart_until is not None and now >= self._restart_until:
            self._restart_over()
        if self._backoff.due(now):
            self._shut = ""
            if self.connections.quiet and not self.config.passive:
                effects += self._handle(Way.OUT, self.sessions[Way.OUT].start(now), now)
        return effects + (self.work(now) if self.busy else [])

    def deadline(self) -> Seconds | None:
        """Return when `tick` must be called, 0 where that is at once, or None where nothing runs."""
        if self.busy:
            return Seconds(0.0)
        times = [session.deadline() for session in self.sessions.values()]
        times += [self._backoff.until, self._restart_until, self.inbound.deadline()]
        return min((time for time in times if time is not None), default=None)

    def pull(self, octets: int, now: Seconds) -> list[Outgoing]:
        """Return the next messages for the established connection; nothing while there is none."""
        negotiated = self.connections.negotiated
        if negotiated is None:
            return []
        messages = self.rib.pull(negotiated, octets)
        for message in messages:
            self._suspects.sent(message.keys, now)
        if self._restarted and self.rib.told:
            self._restart_over()
        return messages

    def request_refresh(self, family: Family) -> list[PeerEffect]:
        """Ask for the routes of a family again; nothing comes of it where that was not agreed to."""
        way, negotiated = self.established, self.connections.negotiated
        if way is None or negotiated is None or not negotiated.route_refresh or family not in negotiated.families:
            return []
        return [PeerEffect(way, Send(encode_refresh(family)))]

    def status(self) -> PeerStatus:
        """Return how things stand."""
        best = self.connections.best
        received: Counter[str] = Counter()
        for session in self.sessions.values():
            received.update({kind.name.lower(): count for kind, count in session.received.items()})
        waits = best.state is State.IDLE and self.config.passive and not self._shut
        return PeerStatus(
            address=self.config.address,
            state=State.ACTIVE if waits else best.state,
            since=self._since,
            last_error=self.last_error,
            failures=self.failures,
            negotiated=best.negotiated,
            received=MappingProxyType(dict(received)),
            problems=MappingProxyType(dict(self._problems)),
            wanted=len(self.rib),
            sent=self.rib.sent,
            waiting=self.rib.waiting,
            not_negotiated=self.rib.outside(best.negotiated.families) if best.negotiated is not None else 0,
            held_back=MappingProxyType(dict(self.rib.held)),
            shut=self._shut,
            restarting=self._restarted,
            routes=MappingProxyType({family: self.rib_in.count(family) for family in self.config.families}),
            stale=MappingProxyType({family: self.inbound.stale(family) for family in self.config.families}),
            end_of_rib=MappingProxyType(dict(self.inbound.end_of_rib)),
        )

    def _handle(self, way: Way, effects: list[Effect], now: Seconds) -> list[PeerEffect]:
        done: list[PeerEffect] = []
        for effect in effects:
            if self._shut and isinstance(effect, Routes | Refresh):
                continue  # what came in one piece with the route that was one too many
            done.append(PeerEffect(way, effect))
            match effect:
                case Up(negotiated=negotiated):
                    collided = self._closed(self.connections.collide(way, negotiated, now), now)
                    done[-1:] = [*collided, done[-1], *self._begin(way, negotiated, now)]
                case Down():
                    done += self._fell(way, effect, now)
                case Routes(update=UpdateRun() as run):
                    self.rib_in.take_run(run)
                    self.rib_in.work()
                    done += self._limit(self.config.families, now)
                case Routes(update=Update() as update):
                    self._count(problem.reason for problem in update.problems)
                    done += _news(way, self.inbound.take(update, now))
                    self.rib_in.work()
                    done += self._limit((group.family for group in update.announced), now)
                case Refresh(refresh=refresh):
                    done += _news(way, self._refresh(refresh, now))
                case _:
                    pass  # the shell's affair
        return done

    def _closed(self, effects: list[PeerEffect], now: Seconds) -> list[PeerEffect]:
        """See to the end of a session that was ended on purpose: that is no failure, and nothing is waited for."""
        done: list[PeerEffect] = []
        for each in effects:
            done.append(each)
            if isinstance(each.effect, Down):
                replaced = Notice(NoticeKind.REPLACED, each.effect.reason)
                done += _news(each.way, [replaced, *self._ended(each.effect, now)])
        return done

    def _begin(self, way: Way, negotiated: Negotiated, now: Seconds) -> list[PeerEffect]:
        self._since = now
        self._backoff.until = None
        self.rib.begin(negotiated.families)
        return _news(way, self.inbound.up(negotiated, now))

    def _refresh(self, refresh: RouteRefresh, now: Seconds) -> list[News]:
        negotiated = self.inbound.negotiated  # not the session's: the same octets may have ended that
        if negotiated is None or refresh.family not in negotiated.families:
            self._count(("ROUTE-REFRESH of a family that was not negotiated",))
            return []
        subtype = refresh.subtype if negotiated.enhanced_refresh else RefreshSubtype.REQUEST  # reserved in RFC 2918
        if subtype == RefreshSubtype.REQUEST:
            self.rib.refresh(refresh.family)
        elif subtype in set(RefreshSubtype):
            return self.inbound.refresh(refresh, now)
        else:
            self._count(("ROUTE-REFRESH of an unknown subtype",))  # RFC 7313 section 5
        return []

    def _limit(self, families: Iterable[Family], now: Seconds) -> list[PeerEffect]:
        """Warn of a peer that comes near its number of routes; shut it out beyond that."""
        way = self.established
        if way is None:
            return []
        chosen = tuple(families)
        family = self._limits.over(chosen, self.rib_in.count)
        if family is not None:
            most = self._limits.most[family]
            why = f"the peer announced more than {most} routes of {family.label}"
            return self._shut_out(way, why, too_many_prefixes(family, most), now)
        if self.rib_in.attribute_octets > self.config.max_attribute_octets:
            why = f"attributes of the peer's routes take more than {self.config.max_attribute_octets} octets"
            return self._shut_out(way, why, shutdown(Cease.RESOURCES), now)
        return _news(way, self._limits.warnings(chosen, self.rib_in.count))

    def _shut_out(self, way: Way, why: str, notification: Notification, now: Seconds) -> list[PeerEffect]:
        """End the session of a peer that takes too much, and let it come back after a while or when told to."""
        session = self.sessions[way]
        again = (
            f"for {self.config.max_prefixes_restart_s:.0f} s" if self.config.max_prefixes_restart_s else "until started"
        )
        text = f"{why}: it is shut out {again}"
        self._shut = text
        effects = _news(way, [Notice(NoticeKind.PREFIX_LIMIT, text)])
        effects += self.connections.halt(way.other, shutdown(Cease.REJECTED), now, text)
        effects += self._handle(way, session.stop(now, notification=_firmly(session, notification)), now)
        restart_s = self.config.max_prefixes_restart_s
        self._backoff.until = Seconds(now + restart_s) if restart_s else None
        self.last_error = text
        return effects

    def _fell(self, way: Way, down: Down, now: Seconds) -> list[PeerEffect]:
        lived_s = now - self._since if down.was_up else 0.0
        effects = _news(way, self._ended(down, now)) if down.was_up else []
        if self.connections.talking(way.other):
            return effects  # the peer has chosen the other connection
        self.last_error = down.reason
        if self.sessions[way].state is State.IDLE:  # else it dials again by itself
            self._backoff.failed(now, lived_s=lived_s)
        return effects

    def _ended(self, down: Down, now: Seconds) -> list[News]:
        lived_s = now - self._since
        self._since = now
        self.last_error = down.reason
        self.rib.end()
        news = self.inbound.down(down, now)
        keys = [key for key in self._suspects.ended(down, now, lived_s=lived_s) if key in self.rib.wanted]
        if not keys:
            return news
        why = f"sent within a minute before each of the last resets of the session: {down.reason}"
        self.rib.hold_back(keys, why)
        names = name_routes([self.rib.wanted[key] for key in keys])
        return [*news, Notice(NoticeKind.HELD_BACK, f"held back: {names}; {why}")]

    def _restart_over(self) -> None:
        """Say no more that this side has just restarted, and let nothing wait for what was announced before."""
        self._restarted = False
        self._restart_until = None
        self.rib.complete()
        self.connections.configure(_session_config(self.config, keeps=self._keeps, restarted=False))

    def _count(self, reasons: Iterable[str]) -> None:
        for reason in reasons:
            known = reason in self._problems or len(self._problems) < _MOST_REASONS
            self._problems[reason if known else "other"] += 1


def _news(way: Way, news: Iterable[News]) -> list[PeerEffect]:
    return [PeerEffect(way, each) for each in news]


def _farewell(session: Session, why: Cease, text: str) -> Notification:
    return _firmly(session, shutdown(why, text if why in _SPOKEN else ""))


def _firmly(session: Session, notification: Notification) -> Notification:
    """Return a NOTIFICATION after which the peer keeps nothing, also where it would (RFC 8538 section 5.1)."""
    negotiated = session.negotiated
    return hard_reset(notification) if negotiated is not None and negotiated.notification_restart else notification
