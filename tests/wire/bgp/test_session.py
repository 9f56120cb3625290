"""One connection: the table, every state with every event, timers, and what octets do to it."""

from __future__ import annotations

from collections.abc import Callable

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
    Close,
    Dial,
    Down,
    Effect,
    Event,
    Refresh,
    Routes,
    Send,
    Session,
    SessionConfig,
    State,
    Up,
)
from tidegate.wire.bgp.update import encode_withdraw
from tidegate.wire.cursor import Reader

OURS = Open(Asn(65001), 90, 1, Capabilities(tuple(Family), extended_message=True, asn4=Asn(65001)))
THEIRS = Open(Asn(65002), 30, 2, Capabilities(tuple(Family), extended_message=True, asn4=Asn(65002)))
ZERO = Seconds(0.0)
UPDATE = encode_withdraw(RouteKey(Family.IPV4_FLOWSPEC, b""), EXTERNAL)


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
INPUTS: dict[Event, Callable[[Session], list[Effect]]] = {
    Event.START: lambda machine: machine.start(ZERO),
    Event.STOP: lambda machine: machine.stop(ZERO),
    Event.CONNECTED: lambda machine: machine.connected(ZERO),
    Event.DISCONNECTED: lambda machine: machine.disconnected(ZERO, reason="gone"),
    Event.OPEN: lambda machine: machine.receive(encode_open(THEIRS), ZERO),
    Event.UPDATE: lambda machine: machine.receive(UPDATE, ZERO),
    Event.NOTIFICATION: lambda machine: machine.receive(encode_notification(Notification(6, 4)), ZERO),
    Event.KEEPALIVE: lambda machine: machine.receive(KEEPALIVE, ZERO),
    Event.REFRESH: lambda machine: machine.receive(encode_refresh(Family.IPV4_UNICAST), ZERO),
    Event.BAD_MESSAGE: lambda machine: machine.receive(b"GET / HTTP/1.1\r\n\r\n", ZERO),
}


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("state", State)
def test_every_state_with_every_event(state: State, event: Event) -> None:
    machine = in_state(state)
    if event in INPUTS:
        effects = INPUTS[event](machine)
    else:
        machine.arm(event, 0.0, ZERO)
        effects = machine.tick(ZERO)
    assert machine.state is AFTER[event][list(State).index(state)]
    downs = [effect for effect in effects if isinstance(effect, Down)]
    if machine.state is State.IDLE and state is not State.IDLE:  # whatever ends a connection says so once, with why
        assert len(downs) == 1
        assert downs[0].reason
        assert downs[0].was_up == (state is State.ESTABLISHED)
        assert machine.timers == {}
        assert machine.negotiated is None
    if machine.state is state and event not in {Event.RETRY_TIMER, Event.KEEPALIVE_TIMER}:
        assert sent(effects) == []


@pytest.mark.parametrize(
    ("state", "event", "code"),
    [
        (S, Event.KEEPALIVE, (5, 1)),
        (S, Event.UPDATE, (5, 1)),
        (S, Event.REFRESH, (5, 1)),
        (F, Event.OPEN, (5, 2)),
        (F, Event.UPDATE, (5, 2)),
        (E, Event.OPEN, (5, 3)),
        (S, Event.BAD_MESSAGE, (1, 1)),
        (E, Event.BAD_MESSAGE, (1, 1)),
        (E, Event.STOP, (6, 2)),
        (E, Event.NOTIFICATION, None),
        (E, Event.DISCONNECTED, None),
    ],
)
def test_what_is_sent_at_the_end(state: State, event: Event, code: tuple[int, int] | None) -> None:
    assert notified(INPUTS[event](in_state(state))) == code


def test_the_way_up() -> None:
    machine = session()
    assert machine.start(ZERO) == [Dial()]
    assert [message.type for message in sent(machine.connected(ZERO))] == [MessageType.OPEN]
    effects = machine.receive(encode_open(THEIRS) + KEEPALIVE + UPDATE, Seconds(1.0))
    assert [message.type for message in sent(effects)] == [MessageType.KEEPALIVE]
    up, routes = effects[1:]
    assert isinstance(up, Up)
    assert up.negotiated.families == ALL
    assert up.negotiated.hold_time_s == 30
    assert isinstance(routes, Routes)
    assert routes.update.end_of_rib is Family.IPV4_FLOWSPEC


def test_the_stream_may_come_octet_by_octet() -> None:
    machine = in_state(State.OPEN_SENT)
    effects: list[Effect] = []
    for octet in encode_open(THEIRS) + KEEPALIVE + UPDATE:
        effects += machine.receive(bytes((octet,)), ZERO)
    assert [type(effect) for effect in effects] == [Send, Up, Routes]


def test_nothing_counts_after_the_end() -> None:
    machine = in_state(State.ESTABLISHED)
    effects = machine.receive(encode_notification(Notification(6, 2)) + UPDATE + b"garbage", ZERO)
    assert [type(effect) for effect in effects] == [Close, Down]
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
    assert machine.tick(Seconds(6.0)) == [Close(abort=True), Dial()]
    machine.disconnected(Seconds(7.0), reason="refused")
    assert machine.state is State.ACTIVE
    assert machine.tick(Seconds(13.0)) == [Dial()]
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
    assert effects[-1] == Down('the peer closed: administrative shutdown (6/2): "moving house"', was_up=True)


def test_refresh_is_passed_on() -> None:
    (effect,) = in_state(State.ESTABLISHED).receive(encode_refresh(Family.IPV6_FLOWSPEC), ZERO)
    assert isinstance(effect, Refresh)
    assert effect.refresh.family is Family.IPV6_FLOWSPEC


def test_the_data_of_a_notification_never_makes_it_too_long() -> None:
    machine = in_state(State.ESTABLISHED)
    refresh = frame(MessageType.ROUTE_REFRESH, bytes(60000), limit=65535)
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
