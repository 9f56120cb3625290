"""One configured peer, without a socket: up to two connections, one session, and what is to be announced over it.

The shell says what happened to which of the two connections (`Way`); the answers are effects that name the connection
they are for. Dialling backs off exponentially, and a session that was up for a short time only does not reset that: a
peer that resets on each of our UPDATEs is not asked again every second.

Answers for: RFC 4271 sections 6.8 (collision) and 8.1.1 (IdleHoldTimer, DampPeerOscillations), RFC 6286 section 2.3.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

import msgspec

from tidegate.errors import ConfigError
from tidegate.units import Asn, Seconds
from tidegate.wire.bgp.constants import Cease, Family, RefreshSubtype
from tidegate.wire.bgp.message import Notification, shutdown
from tidegate.wire.bgp.open import Capabilities, GracefulRestart, Negotiated, Open
from tidegate.wire.bgp.profile import SAFE, Profile
from tidegate.wire.bgp.ribout import Outgoing, RibOut
from tidegate.wire.bgp.session import (
    Down,
    Effect,
    Refresh,
    Routes,
    Session,
    SessionConfig,
    State,
    Up,
)

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

_FIRST_WAIT_S: Final = 1.0
_LONGEST_WAIT_S: Final = 120.0
_STABLE_S: Final = 120.0  # a session that lived shorter counts as a failure
_PATIENCE: Final = 3  # failures after which the peer's own connections are refused as well while waiting
_ORDER: Final = tuple(State)
_TALKING: Final = frozenset({State.OPEN_SENT, State.OPEN_CONFIRM, State.ESTABLISHED})


class PeerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One peer. `peer_as` None takes any; `ttl` is for eBGP over hops, `gtsm_hops` turns RFC 5082 on in its place."""

    address: str
    local_as: int
    router_id: str
    peer_as: int | None = None
    port: int = 179
    local_address: str | None = None
    passive: bool = False
    md5_key: str | None = None
    ttl: int | None = None
    gtsm_hops: int | None = None
    hold_time_s: int = 90
    connect_retry_s: float = 5.0
    graceful_restart_s: int = 120  # how long the peer is asked to keep what it was told; 0: graceful restart is off
    stale_s: int = 300  # the longest that what the peer has said is kept over a restart of its
    families: tuple[Family, ...] = tuple(Family)
    add_path: bool = False  # take several paths a prefix, of unicast
    extended_next_hop: bool = True  # take IPv4 routes over IPv6 next hops (RFC 8950)
    enhanced_refresh: bool = True  # RFC 7313
    max_prefixes: int = 2_000_000  # each family; 0: any number
    max_prefixes_warn_percent: int = 80
    max_prefixes_restart_s: float = 0  # 0: stay down until started again by hand
    profile: Profile = SAFE
    max_routes: int = 100_000  # to be sent


def check_peer(config: PeerConfig) -> None:
    """Raise `ConfigError` where a value cannot be used."""
    key = f"bgp.peers.{config.address}"
    for name, text, kind in (
        ("address", config.address, ipaddress.ip_address),
        ("local_address", config.local_address or config.address, ipaddress.ip_address),
        ("router_id", config.router_id, ipaddress.IPv4Address),
    ):
        try:
            kind(text)
        except ValueError:
            raise ConfigError(f"{key}.{name}", f"{text!r} is no address") from None
    for name, number, least, most in (
        ("local_as", config.local_as, 1, (1 << 32) - 1),
        ("peer_as", config.peer_as, 1, (1 << 32) - 1),
        ("port", config.port, 1, 65535),
        ("ttl", config.ttl, 1, 255),
        ("gtsm_hops", config.gtsm_hops, 1, 254),
        ("hold_time_s", config.hold_time_s or None, 3, 65535),
        ("graceful_restart_s", config.graceful_restart_s, 0, 4095),
        ("stale_s", config.stale_s, 1, 86_400),
        ("max_prefixes", config.max_prefixes, 0, (1 << 32) - 1),
        ("max_prefixes_warn_percent", config.max_prefixes_warn_percent, 1, 100),
        ("max_prefixes_restart_s", config.max_prefixes_restart_s, 0, 86_400),
        ("max_routes", config.max_routes, 1, 10_000_000),
    ):
        if number is not None and not least <= number <= most:
            raise ConfigError(f"{key}.{name}", f"{number} is not from {least} to {most}")
    if config.local_address is not None:
        here, there = ipaddress.ip_address(config.local_address), ipaddress.ip_address(config.address)
        if here.version != there.version:
            raise ConfigError(f"{key}.local_address", f"{here} is of IPv{here.version}, the peer of IPv{there.version}")
    if config.md5_key is not None and not 1 <= len(config.md5_key.encode()) <= 80:
        raise ConfigError(f"{key}.md5_key", "a key has from 1 to 80 octets")
    if not config.families:
        raise ConfigError(f"{key}.families", "at least one family is needed")
    if int(ipaddress.IPv4Address(config.router_id)) == 0:
        raise ConfigError(f"{key}.router_id", "0.0.0.0 is no identifier")


class Way(Enum):
    """Which of the two connections: the one this side dialled, or the one the peer did."""

    OUT = "out"
    IN = "in"


_OTHER: Final[Mapping[Way, Way]] = MappingProxyType({Way.OUT: Way.IN, Way.IN: Way.OUT})


class Gone(msgspec.Struct, frozen=True):
    """Routes of the peer were removed without an UPDATE of its: `rib_in` no longer has them."""

    families: tuple[Family, ...]
    routes: int
    why: str


class NoticeKind(Enum):
    """What a `Notice` is about: a closed set, to be counted by."""

    PREFIX_WARNING = "prefix warning"
    PREFIX_LIMIT = "prefix limit"
    STALE = "stale"
    REFRESH = "refresh"
    IDENTITY = "identity"
    REPLACED = "replaced"
    HELD_BACK = "held back"


class Notice(msgspec.Struct, frozen=True):
    """Something that people should read."""

    kind: NoticeKind
    text: str


class PeerEffect(msgspec.Struct, frozen=True):
    """What is to be done, and on which connection; that says nothing where the effect is `Gone` or `Notice`."""

    way: Way
    effect: Effect | Gone | Notice


class PeerStatus(msgspec.Struct, frozen=True):
    """A peer as it stands. Times are of the clock that `now` came from; `last_error` is in words, empty if none."""

    address: str
    state: State
    since: Seconds
    last_error: str
    failures: int
    negotiated: Negotiated | None
    received: Mapping[str, int]
    problems: Mapping[str, int]
    wanted: int
    sent: int  # of those wanted, in the session that is up
    waiting: int  # UPDATEs
    not_negotiated: int  # of those wanted, while a session is up: of families that the peer did not agree to


def _session_config(config: PeerConfig) -> SessionConfig:
    restart = GracefulRestart(config.graceful_restart_s, families=config.families)
    capabilities = Capabilities(
        families=config.families,
        route_refresh=True,
        extended_message=True,
        asn4=Asn(config.local_as),
        graceful_restart=restart if config.graceful_restart_s else None,
    )
    router_id = int(ipaddress.IPv4Address(config.router_id))
    opening = Open(Asn(config.local_as), config.hold_time_s, router_id, capabilities)
    return SessionConfig(opening, None if config.peer_as is None else Asn(config.peer_as), config.connect_retry_s)


class Peer:
    """The two connections of one peer and its Adj-RIB-Out. `jitter` returns numbers from 0 up to 1."""

    def __init__(self, config: PeerConfig, *, jitter: Callable[[], float]) -> None:
        check_peer(config)
        self.config = config
        self.rib = RibOut(config.address, families=config.families, profile=config.profile, most=config.max_routes)
        session = _session_config(config)
        self.sessions = {way: Session(session, jitter=jitter) for way in Way}
        self.failures = 0
        self.last_error = ""
        self._jitter = jitter
        self._since = Seconds(0.0)
        self._wait_until: Seconds | None = None
        self._problems: Counter[str] = Counter()

    def start(self, now: Seconds) -> list[PeerEffect]:
        """Begin to dial, unless the peer is to do that."""
        self._since = now
        return [] if self.config.passive else self._handle(Way.OUT, self.sessions[Way.OUT].start(now), now)

    def stop(self, now: Seconds, *, text: str = "") -> list[PeerEffect]:
        """End both connections with Cease 6/2 and stay down."""
        effects = []
        for way in Way:
            effects += self._halt(way, shutdown(Cease.SHUTDOWN, text), now, "stopped")
        self._wait_until = None
        return effects

    def may_accept(self, now: Seconds) -> bool:
        """Tell whether a connection the peer has opened is welcome; a refused one is closed without an answer."""
        if self.established is not None:
            return False
        return self.failures < _PATIENCE or self._wait_until is None or now >= self._wait_until

    def evict(self, now: Seconds) -> list[PeerEffect]:
        """Give up the connection that the peer opened before, because it has opened another."""
        return self._halt(Way.IN, shutdown(Cease.COLLISION), now, "")

    def connected(self, way: Way, now: Seconds) -> list[PeerEffect]:
        """Say that a TCP connection stands."""
        return self._handle(way, self.sessions[way].connected(now), now)

    def disconnected(self, way: Way, now: Seconds, *, reason: str) -> list[PeerEffect]:
        """Say that a TCP connection failed or is gone."""
        return self._handle(way, self.sessions[way].disconnected(now, reason=reason), now)

    def receive(self, way: Way, data: bytes, now: Seconds) -> list[PeerEffect]:
        """Take octets off one connection."""
        return self._handle(way, self.sessions[way].receive(data, now), now)

    def tick(self, now: Seconds) -> list[PeerEffect]:
        """Let the timers that are due run out."""
        effects: list[PeerEffect] = []
        for way, session in self.sessions.items():
            effects += self._handle(way, session.tick(now), now)
        if self._wait_until is not None and now >= self._wait_until:
            self._wait_until = None
            quiet = all(session.state is State.IDLE for session in self.sessions.values())
            if quiet and not self.config.passive:
                effects += self._handle(Way.OUT, self.sessions[Way.OUT].start(now), now)
        return effects

    def deadline(self) -> Seconds | None:
        """Return when `tick` must be called, or None where nothing runs."""
        times = [session.deadline() for session in self.sessions.values()]
        return min((time for time in (*times, self._wait_until) if time is not None), default=None)

    def pull(self, octets: int, now: Seconds) -> list[Outgoing]:  # noqa: ARG002
        """Return the next messages for the established connection; nothing while there is none."""
        way = self.established
        negotiated = None if way is None else self.sessions[way].negotiated
        return [] if negotiated is None else self.rib.pull(negotiated, octets)

    @property
    def established(self) -> Way | None:
        """The connection that carries the session, or None."""
        return next((way for way in Way if self.sessions[way].state is State.ESTABLISHED), None)

    def status(self) -> PeerStatus:
        """Return how things stand."""
        best = max(self.sessions.values(), key=lambda session: _ORDER.index(session.state))
        received: Counter[str] = Counter()
        for session in self.sessions.values():
            received.update({kind.name.lower(): count for kind, count in session.received.items()})
        return PeerStatus(
            address=self.config.address,
            state=best.state if best.state is not State.IDLE or not self.config.passive else State.ACTIVE,
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
        )

    def _preferred(self, negotiated: Negotiated) -> Way:
        """Return the connection opened by the side with the higher identifier (RFC 4271 6.8), then AS (RFC 6286)."""
        router_id = self.sessions[Way.OUT].config.open.router_id
        ours_is_higher = (router_id, negotiated.local_as) > (negotiated.router_id, negotiated.peer_as)
        return Way.OUT if ours_is_higher else Way.IN

    def _collide(self, way: Way, negotiated: Negotiated, now: Seconds) -> list[PeerEffect]:
        """End the other connection, now that `way` is up, unless that one is to be preferred and may still come up.

        RFC 4271 6.8 has both sides decide when an OPEN comes; where one is established by then and the other is not,
        they decide differently, and both connections are lost. Waiting for the KEEPALIVE cannot go wrong: who has
        sent it has kept the connection.
        """
        other = _OTHER[way]
        dialling = self.sessions[other].state in {State.CONNECT, State.ACTIVE}
        if not dialling and self._preferred(negotiated) is not way:
            return []
        return self._halt(other, shutdown(Cease.COLLISION), now, "the peer is better reached by the other connection")

    def _halt(self, way: Way, notification: Notification, now: Seconds, reason: str) -> list[PeerEffect]:
        """Stop one connection on purpose: that is no failure, and nothing is waited for."""
        effects: list[Effect] = []
        for effect in self.sessions[way].stop(now, notification=notification):
            if not isinstance(effect, Down):
                effects.append(effect)
            elif effect.was_up and reason:
                self._ended(now, reason)
                effects.append(effect)
        return [PeerEffect(way, effect) for effect in effects]

    def _handle(self, way: Way, effects: list[Effect], now: Seconds) -> list[PeerEffect]:
        done: list[PeerEffect] = []
        for effect in effects:
            done.append(PeerEffect(way, effect))
            match effect:
                case Up():
                    done[-1:] = [*self._collide(way, effect.negotiated, now), done[-1]]
                    self._since = now
                    self._wait_until = None
                    self.rib.begin(effect.negotiated.families)
                case Down():
                    self._fell(way, effect, now)
                case Routes():
                    self._problems.update(problem.reason for problem in effect.update.problems)
                case Refresh():
                    family = effect.refresh.family
                    if family is not None and effect.refresh.subtype == RefreshSubtype.REQUEST:
                        self.rib.refresh(family)
                case _:
                    pass  # the shell's affair
        return done

    def _fell(self, way: Way, down: Down, now: Seconds) -> None:
        stable = down.was_up and now - self._since >= _STABLE_S
        if down.was_up:
            self._ended(now, down.reason)
        if self.sessions[_OTHER[way]].state in _TALKING:
            return  # the peer has chosen the other connection
        self.last_error = down.reason
        if self.sessions[way].state is not State.IDLE:
            return  # the session dials again by itself
        self.failures = 1 if stable else self.failures + 1
        wait = min(_FIRST_WAIT_S * 2 ** min(self.failures - 1, 16), _LONGEST_WAIT_S)
        self._wait_until = Seconds(now + wait * (0.75 + 0.25 * self._jitter()))

    def _ended(self, now: Seconds, reason: str) -> None:
        self._since = now
        self.last_error = reason
        self.rib.end()
