"""One connection: the table, every state with every event, timers, and what octets do to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bgp_cases import ALL, EXTERNAL
from tidegate.units import Asn, Seconds
from tidegate.wire.bgp.constants import Cease, Family, MessageType
from tidegate.wire.bgp.message import (
    KEEPALIVE,
    Message,
    Notification,
    decode_notification,
    encode_notification,
    encode_refresh,
    frame,
    maybe_message,
    shutdown,
)
from tidegate.wire.bgp.open import Capabilities, Open, encode_open
from tidegate.wire.bgp.routes import RouteKey
from tidegate.wire.bgp.session import (
    TABLE,
    Changed,
    Close,
    Dial,
    Down,
    Effect,
    Event,
    Notified,
    Refresh,
    Routes,
    Send,
    Session,
    SessionConfig,
    State,
    Up,
)
from tidegate.wire.bgp.update import Update, encode_withdraw
from tidegate.wire.cursor import Reader

OURS = Open(
    Asn(65001), 90, 1, Capabilities(tuple(Family), enhanced_refresh=True, extended_message=True, asn4=Asn(65001))
)
THEIRS = Open(
    Asn(65002), 30, 2, Capabilities(tuple(Family), enhanced_refresh=True, extended_message=True, asn4=Asn(65002))
)
ZERO = Seconds(0.0)
UPDATE = encode_withdraw(RouteKey(Family.IPV4_FLOWSPEC, b""), EXTERNAL)


Found = TypeVar("Found")


def session(open_: Open = OURS, peer_as: int | None = 65002) -> Session:
    config = SessionConfig(open_, None if peer_as is None else Asn(peer_as), connect_retry_s=8.0)
    return Session(config, jitter=lambda: 0.0)


def in_state(state: State) -> Session:
    """Bring a session into a state by its own inputs."""
    machine = session()
    path: dict[State, list[Callable[[], object]]] = {
        State.IDLE: [],
        State.CONNECT: [lambda: machine.start(ZERO)],
        State.ACTIVE: [lambda: machine.start(ZERO), lambda: machine.disconnected(ZERO, reason="refused")],
        State.OPEN_SENT: [lambda: machine.start(ZERO), lambda: machine.connected(ZERO)],
    }
    path[State.OPEN_CONFIRM] = [*path[State.OPEN_SENT], lambda: machine.receive(encode_open(THEIRS), ZERO)]
    path[State.ESTABLISHED] = [*path[State.OPEN_CONFIRM], lambda: machine.receive(KEEPALIVE, ZERO)]
    for step in path[state]:
        step()
    assert machine.state is state
    return machine


def sent(effects: list[Effect]) -> list[Message]:
    """Return the messages in the effects."""
    reader = Reader(b"".join(effect.data for effect in effects if isinstance(effect, Send)))
    messages = []
    while (message := maybe_message(reader)) is not None:
        messages.append(message)
    assert not len(reader)
    return messages


def quiet(effects: list[Effect]) -> list[Effect]:
    """Leave out what is only told."""
    return [effect for effect in effects if not isinstance(effect, Changed | Notified)]


def notified(effects: list[Effect]) -> tuple[int, int] | None:
    """Return code and subcode of the NOTIFICATION in the effects."""
    found = [decode_notification(message.body) for message in sent(effects) if message.type is MessageType.NOTIFICATION]
    return (found[0].code, found[0].subcode) if found else None


def test_the_table_has_every_state_and_every_event() -> None:
    assert set(TABLE) == set(State)
    for rows in TABLE.values():
        assert set(rows) == set(Event)


I, C, A, S, F, E = State  # noqa: E741 - one letter a state keeps the table a table
AFTER: dict[Event, tuple[State, ...]] = {
    # event: the state after it, from idle, connect, active, opensent, openconfirm, established
    Event.START: (C, C, A, S, F, E),
    Event.STOP: (I, I, I, I, I, I),
    Event.DROP: (I, I, I, I, I, I),
    Event.CONNECTED: (S, S, S, S, F, E),
    Event.DISCONNECTED: (I, A, A, I, I, I),
    Event.RETRY_TIMER: (I, C, C, S, F, E),
    Event.HOLD_TIMER: (I, C, A, I, I, I),
    Event.KEEPALIVE_TIMER: (I, C, A, S, F, E),
    Event.SEND_HOLD_TIMER: (I, C, A, I, I, I),
    Event.OPEN: (I, C, A, F, I, I),
    Event.UPDATE: (I, C, A, I, I, E),
    Event.NOTIFICATION: (I, C, A, I, I, I),
    Event.KEEPALIVE: (I, C, A, I, E, E),
    Event.REFRESH: (I, C, A, I, I, E),
    Event.BAD_MESSAGE: (I, C, A, I, I, I),
}
Sent = tuple[int, int] | MessageType | None
OPEN, ALIVE = MessageType.OPEN, MessageType.KEEPALIVE
SENT: dict[Event, tuple[Sent, ...]] = {
    # event: what is sent, from the same states: code and subcode of a NOTIFICATION, another message, or nothing
    Event.START: (None,) * 6,
    Event.STOP: (None, None, None, (6, 2), (6, 2), (6, 2)),
    Event.DROP: (None,) * 6,
    Event.CONNECTED: (OPEN, OPEN, OPEN, None, None, None),
    Event.DISCONNECTED: (None,) * 6,
    Event.RETRY_TIMER: (None,) * 6,
    Event.HOLD_TIMER: (None, None, None, (4, 0), (4, 0), (4, 0)),
    Event.KEEPALIVE_TIMER: (None, None, None, None, ALIVE, ALIVE),
    Event.SEND_HOLD_TIMER: (None,) * 6,
    Event.OPEN: (None, None, None, ALIVE, (5, 2), (5, 3)),
    Event.UPDATE: (None, None, None, (5, 1), (5, 2), None),
    Event.NOTIFICATION: (None,) * 6,
    Event.KEEPALIVE: (None, None, None, (5, 1), None, None),
    Event.REFRESH: (None, None, None, (5, 1), (5, 2), None),
    Event.BAD_MESSAGE: (None, None, None, (1, 1), (1, 1), (1, 1)),
}
TIMERS: dict[State, set[Event]] = {
    I: set(),
    C: {Event.RETRY_TIMER},
    A: {Event.RETRY_TIMER},
    S: {Event.HOLD_TIMER},
    F: {Event.HOLD_TIMER, Event.KEEPALIVE_TIMER},
    E: {Event.HOLD_TIMER, Event.KEEPALIVE_TIMER},
}
INPUTS: dict[Event, Callable[[Session], list[Effect]]] = {
    Event.START: lambda machine: machine.start(ZERO),
    Event.STOP: lambda machine: machine.stop(ZERO),
    Event.DROP: lambda machine: machine.drop(ZERO, reason="the way is free for another"),
    Event.CONNECTED: lambda machine: machine.connected(ZERO),
    Event.DISCONNECTED: lambda machine: machine.disconnected(ZERO, reason="gone"),
    Event.OPEN: lambda machine: machine.receive(encode_open(THEIRS), ZERO),
    Event.UPDATE: lambda machine: machine.receive(UPDATE, ZERO),
    Event.NOTIFICATION: lambda machine: machine.receive(encode_notification(Notification(6, 4)), ZERO),
    Event.KEEPALIVE: lambda machine: machine.receive(KEEPALIVE, ZERO),
    Event.REFRESH: lambda machine: machine.receive(encode_refresh(Family.IPV4_UNICAST), ZERO),
    Event.BAD_MESSAGE: lambda machine: machine.receive(b"GET / HTTP/1.1\r\n\r\n", ZERO),
}
LIVE = {S, F, E}


def cause(machine: Session, event: Event) -> list[Effect]:
    """Let an event happen by the session's own inputs."""
    if event in INPUTS:
        return INPUTS[event](machine)
    machine.arm(event, 0.0, ZERO)
    return machine.tick(ZERO)


def of(effects: list[Effect], kind: type[Found]) -> list[Found]:
    """Return the effects of one kind."""
    return [effect for effect in effects if isinstance(effect, kind)]


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("state", State)
def test_every_state_with_every_event(state: State, event: Event) -> None:
    machine = in_state(state)
    column = list(State).index(state)
    effects = cause(machine, event)
    assert machine.state is AFTER[event][column]
    assert set(machine.timers) == TIMERS[machine.state]
    assert (machine.negotiated is None) == (machine.state not in {F, E})
    assert all(Seconds(0.0) < due <= 240.0 for due in machine.timers.values())
    expected = SENT[event][column]
    if isinstance(expected, tuple):
        assert notified(effects) == expected
        assert len(sent(effects)) == 1
    else:
        assert [message.type for message in sent(effects)] == ([] if expected is None else [expected])


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("state", State)
def test_every_change_of_state_is_told_once_with_its_reason(state: State, event: Event) -> None:
    machine = in_state(state)
    effects = cause(machine, event)
    changes = of(effects, Changed)
    assert [(change.before, change.after) for change in changes] == (
        [] if machine.state is state else [(state, machine.state)]
    )
    assert all(change.why for change in changes)
    downs = of(effects, Down)
    ended = machine.state is State.IDLE and state is not State.IDLE
    again = state is C and event is Event.RETRY_TIMER  # it dials again
    assert len(downs) == (1 if ended or again or (state is C and event is Event.DISCONNECTED) else 0)
    for down in downs:
        assert down.reason
        assert down.was_up == (state is State.ESTABLISHED)
    for down in [] if again else downs:
        assert [change.why for change in changes] == [down.reason]
        assert effects[-1] is down
    closed = [effect for effect in effects if isinstance(effect, Close)]
    gone = event is Event.DISCONNECTED or state is A
    assert len(closed) == (1 if (ended and not gone) or again else 0)


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("state", State)
def test_every_notification_is_told_in_words(state: State, event: Event) -> None:
    effects = cause(in_state(state), event)
    told = of(effects, Notified)
    code = notified(effects)
    if event is Event.NOTIFICATION and state in LIVE:
        (one,) = told
        assert (one.sent, one.notification) == (False, Notification(6, 4))
        assert "it comes back by itself" in one.why
    elif code is not None:
        (one,) = told
        assert (one.sent, one.notification.code, one.notification.subcode) == (True, *code)
        assert f"({code[0]}/{code[1]})" in one.why
    else:
        assert told == []
    for down in of(effects, Down):
        assert down.notification == (told[0].notification if told else None)
        assert down.sent == bool(told and told[0].sent)


def test_an_unexpected_message_is_named(  # RFC 6608 section 4
) -> None:
    for state, event, kind in ((S, Event.UPDATE, 2), (F, Event.OPEN, 1), (E, Event.OPEN, 1), (S, Event.REFRESH, 5)):
        (one,) = of(cause(in_state(state), event), Notified)
        assert one.notification.data == bytes((kind,))
        assert MessageType(kind).name in one.why


def test_the_way_up() -> None:
    machine = session()
    assert quiet(machine.start(ZERO)) == [Dial()]
    assert [message.type for message in sent(machine.connected(ZERO))] == [MessageType.OPEN]
    effects = machine.receive(encode_open(THEIRS) + KEEPALIVE + UPDATE, Seconds(1.0))
    assert [message.type for message in sent(effects)] == [MessageType.KEEPALIVE]
    up, routes = quiet(effects)[1:]
    assert isinstance(up, Up)
    assert up.negotiated.families == ALL
    assert up.negotiated.hold_time_s == 30
    assert isinstance(routes, Routes)
    assert isinstance(routes.update, Update)
    assert routes.update.end_of_rib is Family.IPV4_FLOWSPEC


def test_the_stream_may_come_octet_by_octet() -> None:
    machine = in_state(State.OPEN_SENT)
    effects: list[Effect] = []
    for octet in encode_open(THEIRS) + KEEPALIVE + UPDATE:
        effects += machine.receive(bytes((octet,)), ZERO)
    assert [type(effect) for effect in quiet(effects)] == [Send, Up, Routes]


def test_nothing_counts_after_the_end() -> None:
    machine = in_state(State.ESTABLISHED)
    effects = machine.receive(encode_notification(Notification(6, 2)) + UPDATE + b"garbage", ZERO)
    assert [type(effect) for effect in quiet(effects)] == [Close, Down]
    assert machine.receive(UPDATE, ZERO) == []
    assert machine._buffer == b""


def test_hold_and_keepalive_timers() -> None:
    machine = in_state(State.ESTABLISHED)
    assert machine.deadline() == 7.5  # a third of 30 s, with the least jitter
    assert machine.tick(Seconds(7.4)) == []
    assert machine.tick(Seconds(7.5)) == [Send(KEEPALIVE)]
    assert machine.deadline() == 15.0
    machine.receive(KEEPALIVE, Seconds(14.0))
    assert machine.tick(Seconds(43.9)) == [Send(KEEPALIVE)]
    effects = machine.tick(Seconds(44.0))
    assert notified(effects) == (4, 0)
    assert machine.deadline() is None


def test_an_update_counts_as_a_sign_of_life() -> None:
    machine = in_state(State.ESTABLISHED)
    machine.receive(UPDATE, Seconds(29.0))
    machine.receive(encode_refresh(Family.IPV4_UNICAST), Seconds(58.0))
    machine.tick(Seconds(87.9))
    assert machine.state is State.ESTABLISHED


def test_a_peer_that_never_answers_is_given_up() -> None:
    machine = in_state(State.OPEN_SENT)
    assert machine.deadline() == 240.0
    assert notified(machine.tick(Seconds(240.0))) == (4, 0)
    silent = in_state(State.OPEN_CONFIRM)
    silent.tick(Seconds(29.9))
    assert silent.state is State.OPEN_CONFIRM
    assert notified(silent.tick(Seconds(30.0))) == (4, 0)


def test_hold_time_zero_runs_no_timers() -> None:
    machine = in_state(State.OPEN_SENT)
    machine.receive(encode_open(Open(Asn(65002), 0, 2, THEIRS.capabilities)) + KEEPALIVE, ZERO)
    assert machine.state is State.ESTABLISHED
    assert machine.deadline() is None


def test_a_peer_that_does_not_read_is_dropped_without_a_word() -> None:
    machine = in_state(State.ESTABLISHED)
    machine.blocked(Seconds(10.0))
    machine.blocked(Seconds(20.0))
    assert machine.timers[Event.SEND_HOLD_TIMER] == 490.0
    machine.unblocked()
    assert Event.SEND_HOLD_TIMER not in machine.timers
    machine.blocked(Seconds(20.0))
    for second in range(20, 500, 10):
        machine.receive(KEEPALIVE, Seconds(second))
        machine.tick(Seconds(second))
    effects = machine.receive(KEEPALIVE, Seconds(500.0)) + machine.tick(Seconds(500.0))
    assert effects[-2] == Close(abort=True)
    assert isinstance(effects[-1], Down)
    assert "stopped reading" in effects[-1].reason
    idle = in_state(State.IDLE)
    idle.blocked(ZERO)
    assert idle.deadline() is None


def session_state(machine: Session) -> State:
    """Return the state, afresh: a type checker remembers what it was before."""
    return machine.state


def test_connect_retry() -> None:
    machine = session()
    machine.start(ZERO)
    assert machine.deadline() == 6.0  # 8 s with the least jitter
    close, down, dial = quiet(machine.tick(Seconds(6.0)))
    assert (close, dial) == (Close(abort=True), Dial())
    assert isinstance(down, Down)
    assert not down.was_up
    assert "does not answer" in down.reason
    assert "MD5" in down.reason  # a wrong key looks like nobody being there
    machine.disconnected(Seconds(7.0), reason="refused")
    assert machine.state is State.ACTIVE
    assert quiet(machine.tick(Seconds(13.0))) == [Dial()]
    assert session_state(machine) is State.CONNECT


@pytest.mark.parametrize(
    ("theirs", "code"),
    [
        (Open(Asn(65003), 30, 2), (2, 2)),
        (Open(Asn(65002), 30, 2, Capabilities(asn4=Asn(65003))), (2, 2)),
    ],
)
def test_opens_that_are_not_the_peers(theirs: Open, code: tuple[int, int]) -> None:
    effects = in_state(State.OPEN_SENT).receive(encode_open(theirs), ZERO)
    assert notified(effects) == code
    down = effects[-1]
    assert isinstance(down, Down)
    assert "AS 65003" in down.reason


def test_an_open_of_a_bad_version() -> None:
    body = bytearray(encode_open(THEIRS))
    body[19] = 3
    assert notified(in_state(State.OPEN_SENT).receive(bytes(body), ZERO)) == (2, 1)


def test_extended_messages_once_both_offered_them() -> None:
    long = frame(MessageType.UPDATE, bytes(2) + (5000).to_bytes(2, "big") + bytes(5000), limit=65535)
    machine = in_state(State.ESTABLISHED)
    assert notified(machine.receive(long, ZERO)) == (3, 2)  # it was read, and its attributes are nonsense
    plain = in_state(State.OPEN_SENT)
    plain.receive(encode_open(Open(Asn(65002), 30, 2, Capabilities(tuple(Family), asn4=Asn(65002)))) + KEEPALIVE, ZERO)
    assert notified(plain.receive(long, ZERO)) == (1, 2)


def test_stop_may_say_why() -> None:
    machine = in_state(State.ESTABLISHED)
    effects = machine.stop(ZERO, notification=shutdown(Cease.SHUTDOWN, "maintenance"))
    (message,) = sent(effects)
    assert decode_notification(message.body).text == "maintenance"
    assert isinstance(effects[-1], Down)
    assert "maintenance" in effects[-1].reason


def test_what_the_peer_says_at_the_end_is_told_in_words() -> None:
    effects = in_state(State.ESTABLISHED).receive(encode_notification(shutdown(Cease.SHUTDOWN, "moving house")), ZERO)
    down = effects[-1]
    assert isinstance(down, Down)
    assert down.was_up
    assert down.reason.startswith('the peer closed: administrative shutdown (6/2): "moving house" - ')


def test_refresh_is_passed_on() -> None:
    (effect,) = in_state(State.ESTABLISHED).receive(encode_refresh(Family.IPV6_FLOWSPEC), ZERO)
    assert isinstance(effect, Refresh)
    assert effect.refresh.family is Family.IPV6_FLOWSPEC


def test_the_data_of_a_notification_never_makes_it_too_long() -> None:
    machine = in_state(State.ESTABLISHED)
    refresh = frame(MessageType.ROUTE_REFRESH, b"\0\1\1\1" + bytes(60000), limit=65535)
    assert notified(machine.receive(refresh, ZERO)) == (7, 1)


@given(st.sampled_from([State.OPEN_SENT, State.OPEN_CONFIRM, State.ESTABLISHED]), st.lists(st.binary(max_size=60)))
def test_any_octets_leave_the_machine_in_order(state: State, pieces: list[bytes]) -> None:
    machine = in_state(state)
    for piece in pieces:
        machine.receive(piece, ZERO)
        assert (machine.state is State.IDLE) == (machine.deadline() is None)
        assert len(machine._buffer) < 65535


@given(st.data())
def test_one_wrong_octet_anywhere_never_breaks_the_machine(data: st.DataObject) -> None:
    stream = bytearray(encode_open(THEIRS) + KEEPALIVE + UPDATE + KEEPALIVE)
    stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    machine = in_state(State.OPEN_SENT)
    effects = machine.receive(bytes(stream), ZERO)
    if machine.state is State.IDLE:
        assert isinstance(effects[-1], Down)
