"""The state machine of one connection, without a socket and without a clock.

Inputs are octets and events, each with `now`; what is to be done comes back as a list of effects, a closed union. The
machine is `TABLE`: for each state and event the step to take and the state after it. Nothing else changes the state,
and nothing waits. `deadline` tells when `tick` must be called.

A connection that ends, however it ends, leaves the machine in IDLE; when to try again is the peer's affair (`peer`).
That is the one deviation from RFC 4271, whose Active state also waits after a lost OpenSent connection.

Answers for: RFC 4271 sections 6 and 8, RFC 4724 section 4, RFC 6608, RFC 9003, RFC 9687 (send hold timer).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum, auto
from types import MappingProxyType
from typing import Any, Final

import msgspec
from msgspec import structs

from tidegate.errors import SessionReset
from tidegate.units import Asn, Seconds
from tidegate.wire.bgp.constants import STANDARD_LIMIT, Cease, ErrorCode, MessageType, StateError
from tidegate.wire.bgp.explain import explain
from tidegate.wire.bgp.flowspec import OffsetForm
from tidegate.wire.bgp.message import (
    KEEPALIVE,
    Message,
    Notification,
    RouteRefresh,
    decode_notification,
    decode_refresh,
    encode_notification,
    maybe_message,
    shutdown,
)
from tidegate.wire.bgp.open import Negotiated, Open, check_open, decode_open, encode_open, negotiate
from tidegate.wire.bgp.update import Update, decode_update
from tidegate.wire.bgp.update_scan import UpdateRun, scan_run
from tidegate.wire.cursor import Reader

__all__ = [
    "TABLE",
    "Changed",
    "Close",
    "Dial",
    "Down",
    "Effect",
    "Event",
    "Notified",
    "Refresh",
    "Routes",
    "Send",
    "Session",
    "SessionConfig",
    "State",
    "Up",
]

_OPEN_HOLD_S: Final = 240.0  # RFC 4271 section 8.2.2: "a large value" until the OPEN has come
_SEND_HOLD_S: Final = 480.0  # RFC 9687 section 5


class State(Enum):
    """RFC 4271 section 8.2.2."""

    IDLE = "idle"
    CONNECT = "connect"
    ACTIVE = "active"
    OPEN_SENT = "opensent"
    OPEN_CONFIRM = "openconfirm"
    ESTABLISHED = "established"


class Event(Enum):
    """What can happen to a connection."""

    START = auto()
    STOP = auto()
    DROP = auto()
    CONNECTED = auto()
    DISCONNECTED = auto()
    RETRY_TIMER = auto()
    HOLD_TIMER = auto()
    KEEPALIVE_TIMER = auto()
    SEND_HOLD_TIMER = auto()
    OPEN = auto()
    UPDATE = auto()
    NOTIFICATION = auto()
    KEEPALIVE = auto()
    REFRESH = auto()
    BAD_MESSAGE = auto()


class Dial(msgspec.Struct, frozen=True):
    """Open a TCP connection; answer with `connected` or `disconnected`."""


class Send(msgspec.Struct, frozen=True):
    """Write these octets."""

    data: bytes


class Close(msgspec.Struct, frozen=True):
    """End the TCP connection, after what was written unless `abort`."""

    abort: bool = False


class Up(msgspec.Struct, frozen=True):
    """The session is established."""

    negotiated: Negotiated


class Down(msgspec.Struct, frozen=True):
    """The connection is over. `was_up` tells whether it had been established.

    `notification` is the one that ended it, or None where TCP did; `sent` is for one of this side.
    """

    reason: str
    was_up: bool
    notification: Notification | None = None
    sent: bool = False


class Routes(msgspec.Struct, frozen=True):
    """An UPDATE came, or several without a fault (`update_scan`)."""

    update: Update | UpdateRun


class Refresh(msgspec.Struct, frozen=True):
    """The peer asks for routes again, or marks the begin and end of its own."""

    refresh: RouteRefresh


class Changed(msgspec.Struct, frozen=True):
    """The state has changed; `why` says so in words."""

    before: State
    after: State
    why: str


class Notified(msgspec.Struct, frozen=True):
    """A NOTIFICATION was sent, or has come; `why` explains it in words and says what to do."""

    notification: Notification
    sent: bool
    why: str


Effect = Dial | Send | Close | Up | Down | Routes | Refresh | Changed | Notified


class SessionConfig(msgspec.Struct, frozen=True):
    """What one connection needs to know. `open` is what this side sends; `peer_as` None takes any AS.

    `flow_offsets` is how the peer writes offsets of IPv6 prefixes in rules, which it does not tell.
    """

    open: Open
    peer_as: Asn | None = None
    connect_retry_s: float = 5.0
    open_hold_s: float = _OPEN_HOLD_S
    send_hold_s: float = _SEND_HOLD_S
    flow_offsets: OffsetForm = OffsetForm.RFC8956


class Session:
    """One connection. `jitter` returns numbers from 0 up to 1 and is asked once a timer (RFC 4271 section 10)."""

    def __init__(self, config: SessionConfig, *, jitter: Callable[[], float]) -> None:
        self.config = config
        self.state = State.IDLE
        self.negotiated: Negotiated | None = None
        self.timers: dict[Event, Seconds] = {}
        self.received: dict[MessageType, int] = dict.fromkeys(MessageType, 0)
        self._jitter = jitter
        self._buffer = b""

    def start(self, now: Seconds) -> list[Effect]:
        """Begin to connect."""
        return self._step(Event.START, None, now)

    def stop(self, now: Seconds, *, notification: Notification | None = None) -> list[Effect]:
        """End the connection, with a Cease 6/2 unless told otherwise."""
        return self._step(Event.STOP, notification or shutdown(Cease.SHUTDOWN), now)

    def drop(self, now: Seconds, *, reason: str) -> list[Effect]:
        """End the connection without a NOTIFICATION: a peer that agreed to graceful restart keeps the routes."""
        return self._step(Event.DROP, reason, now)

    def connected(self, now: Seconds) -> list[Effect]:
        """Say that the TCP connection stands, dialled or accepted."""
        return self._step(Event.CONNECTED, None, now)

    def disconnected(self, now: Seconds, *, reason: str) -> list[Effect]:
        """Say that the TCP connection failed or is gone."""
        return self._step(Event.DISCONNECTED, reason, now)

    def receive(self, data: bytes, now: Seconds) -> list[Effect]:
        """Take octets off the stream; at most one incomplete message is kept."""
        octets = self._buffer + data if self._buffer else data
        reader = Reader(octets)
        effects: list[Effect] = []
        while self.state in _OPEN_STATES:
            event, payload = self._maybe_run(octets, reader) or self._maybe_event(reader)
            if event is None:
                self._buffer = reader.rest()
                return effects
            effects += self._step(event, payload, now)
        self._buffer = b""
        return effects

    def tick(self, now: Seconds) -> list[Effect]:
        """Let every timer that is due run out, the earliest first."""
        effects: list[Effect] = []
        while (due := self._maybe_due(now)) is not None:
            del self.timers[due]
            effects += self._step(due, None, now)
        return effects

    def deadline(self) -> Seconds | None:
        """Return when `tick` must be called, or None where nothing runs."""
        return min(self.timers.values(), default=None)

    def blocked(self, now: Seconds) -> None:
        """Say that the peer has stopped reading: what was written waits (RFC 9687)."""
        if self.state in _OPEN_STATES and Event.SEND_HOLD_TIMER not in self.timers:
            hold = 0 if self.negotiated is None else 2 * self.negotiated.hold_time_s
            self.arm(Event.SEND_HOLD_TIMER, max(self.config.send_hold_s, hold), now)

    def unblocked(self) -> None:
        """Say that all that was written has gone."""
        self.timers.pop(Event.SEND_HOLD_TIMER, None)

    def arm(self, timer: Event, seconds: float, now: Seconds) -> None:
        """Start a timer anew."""
        self.timers[timer] = Seconds(now + seconds)

    def jittered(self, seconds: float) -> float:
        """Return 0.75 to 1 times as much (RFC 4271 section 10)."""
        return seconds * (0.75 + 0.25 * self._jitter())

    def _maybe_due(self, now: Seconds) -> Event | None:
        due = [(when, event) for event, when in self.timers.items() if when <= now]
        return min(due, key=lambda pair: pair[0])[1] if due else None

    def _maybe_run(self, octets: bytes, reader: Reader) -> tuple[Event, UpdateRun] | None:
        if self.state is not State.ESTABLISHED or self.negotiated is None:
            return None
        run = scan_run(octets, reader.offset, self.negotiated)
        if run is None:
            return None
        reader.skip(run.stop - reader.offset)
        self.received[MessageType.UPDATE] += len(run)
        return Event.UPDATE, run

    def _maybe_event(self, reader: Reader) -> tuple[Event | None, Any]:
        limit = STANDARD_LIMIT if self.negotiated is None else self.negotiated.limit
        try:
            message = maybe_message(reader, limit)
            if message is None:
                return None, None
            self.received[message.type] += 1
            return _EVENTS[message.type], self._decode(message)
        except SessionReset as error:
            return Event.BAD_MESSAGE, error

    def _decode(self, message: Message) -> Any:  # noqa: ANN401 - each step knows the payload of its event
        match message.type:
            case MessageType.OPEN if self.state is State.OPEN_SENT:
                remote = decode_open(message.body)
                check_open(remote, local=self.config.open, peer_as=self.config.peer_as)
                return structs.replace(negotiate(self.config.open, remote), flow_offsets=self.config.flow_offsets)
            case MessageType.UPDATE if self.negotiated is not None and self.state is State.ESTABLISHED:
                return decode_update(message.body, self.negotiated)
            case MessageType.NOTIFICATION:
                return decode_notification(message.body)
            case MessageType.ROUTE_REFRESH if self.state is State.ESTABLISHED:
                return decode_refresh(
                    message.body, enhanced=self.negotiated is None or self.negotiated.enhanced_refresh
                )
            case _:
                return None  # it has no body, or this state does not want it

    def _step(self, event: Event, payload: Any, now: Seconds) -> list[Effect]:  # noqa: ANN401 - see `_decode`
        before = self.state
        step, after = TABLE[before][event]
        effects = step(self, payload, now)
        self.state = after
        if after is before:
            return effects
        why = next((effect.reason for effect in effects if isinstance(effect, Down)), _WHY.get(event, ""))
        return [Changed(before, after, why), *effects]


_OPEN_STATES: Final = frozenset({State.OPEN_SENT, State.OPEN_CONFIRM, State.ESTABLISHED})
_EVENTS: Final[Mapping[MessageType, Event]] = MappingProxyType(
    {
        MessageType.OPEN: Event.OPEN,
        MessageType.UPDATE: Event.UPDATE,
        MessageType.NOTIFICATION: Event.NOTIFICATION,
        MessageType.KEEPALIVE: Event.KEEPALIVE,
        MessageType.ROUTE_REFRESH: Event.REFRESH,
    }
)
_WHY: Final[Mapping[Event, str]] = MappingProxyType(  # of a change that is not the end of a connection
    {
        Event.START: "connecting",
        Event.RETRY_TIMER: "connecting again",
        Event.STOP: "stopped",
        Event.CONNECTED: "connected: OPEN sent",
        Event.OPEN: "the peer's OPEN is good: KEEPALIVE sent",
        Event.KEEPALIVE: "the peer has confirmed",
    }
)
_NO_ANSWER: Final = (
    "the peer does not answer: look at its address, at filters in between, and for the same TCP MD5 key on both sides"
)
Step = Callable[[Session, Any, Seconds], list[Effect]]


def _ignore(_session: Session, _payload: object, _now: Seconds) -> list[Effect]:
    return []


def _dial(session: Session, _payload: object, now: Seconds) -> list[Effect]:
    session.arm(Event.RETRY_TIMER, session.jittered(session.config.connect_retry_s), now)
    return [Dial()]


def _redial(session: Session, _payload: object, now: Seconds) -> list[Effect]:
    return [Close(abort=True), Down(_NO_ANSWER, was_up=False), *_dial(session, None, now)]


def _greet(session: Session, _payload: object, now: Seconds) -> list[Effect]:
    session.timers.clear()
    session.arm(Event.HOLD_TIMER, session.config.open_hold_s, now)
    return [Send(encode_open(session.config.open))]


def _confirm(session: Session, negotiated: Negotiated, now: Seconds) -> list[Effect]:
    session.negotiated = negotiated
    session.timers.pop(Event.HOLD_TIMER, None)
    _heard(session, now)
    _arm_keepalive(session, now)
    return [Send(KEEPALIVE)]


def _establish(session: Session, _payload: object, now: Seconds) -> list[Effect]:
    _heard(session, now)
    if session.negotiated is None:  # pragma: no cover - OPEN_CONFIRM is reached through `_confirm` alone
        raise AssertionError
    return [Up(session.negotiated)]


def _alive(session: Session, _payload: object, now: Seconds) -> list[Effect]:
    _heard(session, now)
    return []


def _routes(session: Session, update: Update | UpdateRun, now: Seconds) -> list[Effect]:
    _heard(session, now)
    return [Routes(update)]


def _refresh(session: Session, refresh: RouteRefresh, now: Seconds) -> list[Effect]:
    _heard(session, now)
    return [Refresh(refresh)]


def _keepalive(session: Session, _payload: object, now: Seconds) -> list[Effect]:
    _arm_keepalive(session, now)
    return [Send(KEEPALIVE)]


def _arm_keepalive(session: Session, now: Seconds) -> None:
    if session.negotiated is not None and session.negotiated.hold_time_s:
        session.arm(Event.KEEPALIVE_TIMER, session.jittered(session.negotiated.hold_time_s / 3), now)


def _heard(session: Session, now: Seconds) -> None:
    if session.negotiated is not None and session.negotiated.hold_time_s:
        session.arm(Event.HOLD_TIMER, session.negotiated.hold_time_s, now)


def _give_up(session: Session, _payload: object, _now: Seconds) -> list[Effect]:
    return [Close(abort=True), _down(session, "stopped")]


def _forget(session: Session, _payload: object, _now: Seconds) -> list[Effect]:
    return [_down(session, "stopped")]


def _drop(session: Session, reason: str, _now: Seconds) -> list[Effect]:
    return [Close(), _down(session, reason)]


def _lost(session: Session, reason: str, _now: Seconds) -> list[Effect]:
    return [_down(session, reason)]


def _refused(session: Session, reason: str, now: Seconds) -> list[Effect]:
    session.arm(Event.RETRY_TIMER, session.jittered(session.config.connect_retry_s), now)
    return [Down(reason, was_up=False)]


def _told(session: Session, notification: Notification, _now: Seconds) -> list[Effect]:
    why = explain(notification, sent=False)
    reason = f"the peer closed: {why}"
    return [Notified(notification, sent=False, why=why), Close(), _down(session, reason, notification)]


def _bad(session: Session, error: SessionReset, _now: Seconds) -> list[Effect]:
    room = STANDARD_LIMIT - 64  # the data is for people who look at a capture: it never makes a NOTIFICATION too long
    return _notify(session, Notification(error.code, error.subcode, Reader(error.data).peek(room)), error.reason)


def _stop(session: Session, notification: Notification, _now: Seconds) -> list[Effect]:
    return _notify(session, notification)


def _hold(session: Session, _payload: object, _now: Seconds) -> list[Effect]:
    return _notify(session, Notification(ErrorCode.HOLD_TIMER, 0))


def _stuck(session: Session, _payload: object, _now: Seconds) -> list[Effect]:
    why = explain(Notification(ErrorCode.SEND_HOLD_TIMER, 0), sent=True)
    return [Close(abort=True), _down(session, why)]  # RFC 9687: there is no room to send it


def _unexpected(subcode: StateError, kind: MessageType) -> Step:
    def step(session: Session, _payload: object, _now: Seconds) -> list[Effect]:
        return _notify(session, Notification(ErrorCode.STATE_MACHINE, subcode, bytes((kind,))))  # RFC 6608 section 4

    return step


def _notify(session: Session, notification: Notification, detail: str = "") -> list[Effect]:
    why = f"{detail}: {explain(notification, sent=True)}" if detail else explain(notification, sent=True)
    return [
        Notified(notification, sent=True, why=why),
        Send(encode_notification(notification)),
        Close(),
        _down(session, f"closed from here: {why}", notification, sent=True),
    ]


def _down(session: Session, reason: str, notification: Notification | None = None, *, sent: bool = False) -> Down:
    down = Down(reason, session.state is State.ESTABLISHED, notification, sent)
    session.timers.clear()
    session.negotiated = None
    return down


def _rows(state: State, rows: Mapping[Event, tuple[Step, State]]) -> Mapping[Event, tuple[Step, State]]:
    """Fill up one state's rows: what is not named there is ignored."""
    return MappingProxyType({event: rows.get(event, (_ignore, state)) for event in Event})


_IDLE, _CONNECT, _ACTIVE = State.IDLE, State.CONNECT, State.ACTIVE
_OPEN_SENT, _OPEN_CONFIRM, _ESTABLISHED = State.OPEN_SENT, State.OPEN_CONFIRM, State.ESTABLISHED
_ENDINGS: Final[Mapping[Event, tuple[Step, State]]] = MappingProxyType(
    {  # the same in every state that has a connection
        Event.STOP: (_stop, _IDLE),
        Event.DROP: (_drop, _IDLE),
        Event.DISCONNECTED: (_lost, _IDLE),
        Event.HOLD_TIMER: (_hold, _IDLE),
        Event.SEND_HOLD_TIMER: (_stuck, _IDLE),
        Event.NOTIFICATION: (_told, _IDLE),
        Event.BAD_MESSAGE: (_bad, _IDLE),
    }
)
TABLE: Final[Mapping[State, Mapping[Event, tuple[Step, State]]]] = MappingProxyType(
    {
        _IDLE: _rows(_IDLE, {Event.START: (_dial, _CONNECT), Event.CONNECTED: (_greet, _OPEN_SENT)}),
        _CONNECT: _rows(
            _CONNECT,
            {
                Event.STOP: (_give_up, _IDLE),
                Event.DROP: (_give_up, _IDLE),
                Event.CONNECTED: (_greet, _OPEN_SENT),
                Event.DISCONNECTED: (_refused, _ACTIVE),
                Event.RETRY_TIMER: (_redial, _CONNECT),
            },
        ),
        _ACTIVE: _rows(
            _ACTIVE,
            {
                Event.STOP: (_forget, _IDLE),
                Event.DROP: (_forget, _IDLE),
                Event.CONNECTED: (_greet, _OPEN_SENT),
                Event.RETRY_TIMER: (_dial, _CONNECT),
            },
        ),
        _OPEN_SENT: _rows(
            _OPEN_SENT,
            {
                **_ENDINGS,
                Event.OPEN: (_confirm, _OPEN_CONFIRM),
                Event.KEEPALIVE: (_unexpected(StateError.OPEN_SENT, MessageType.KEEPALIVE), _IDLE),
                Event.UPDATE: (_unexpected(StateError.OPEN_SENT, MessageType.UPDATE), _IDLE),
                Event.REFRESH: (_unexpected(StateError.OPEN_SENT, MessageType.ROUTE_REFRESH), _IDLE),
            },
        ),
        _OPEN_CONFIRM: _rows(
            _OPEN_CONFIRM,
            {
                **_ENDINGS,
                Event.OPEN: (_unexpected(StateError.OPEN_CONFIRM, MessageType.OPEN), _IDLE),
                Event.KEEPALIVE: (_establish, _ESTABLISHED),
                Event.KEEPALIVE_TIMER: (_keepalive, _OPEN_CONFIRM),
                Event.UPDATE: (_unexpected(StateError.OPEN_CONFIRM, MessageType.UPDATE), _IDLE),
                Event.REFRESH: (_unexpected(StateError.OPEN_CONFIRM, MessageType.ROUTE_REFRESH), _IDLE),
            },
        ),
        _ESTABLISHED: _rows(
            _ESTABLISHED,
            {
                **_ENDINGS,
                Event.OPEN: (_unexpected(StateError.ESTABLISHED, MessageType.OPEN), _IDLE),
                Event.KEEPALIVE: (_alive, _ESTABLISHED),
                Event.KEEPALIVE_TIMER: (_keepalive, _ESTABLISHED),
                Event.UPDATE: (_routes, _ESTABLISHED),
                Event.REFRESH: (_refresh, _ESTABLISHED),
            },
        ),
    }
)
