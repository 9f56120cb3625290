"""A whole peer is fed bad messages: cut, damaged, out of place. What comes of them does not hang on their pieces."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bgp_streams import KINDS, NOW, Outcome, outcome, peer_in
from naive_7606 import GOOD, Given, octets_of
from tidegate.data import route_kernels
from tidegate.kernel import compile_kernels
from tidegate.wire.bgp import update_scan
from tidegate.wire.bgp.constants import Family, MessageType, RefreshSubtype
from tidegate.wire.bgp.message import KEEPALIVE, Notification, encode_notification, encode_refresh, frame
from tidegate.wire.bgp.open import encode_open
from tidegate.wire.bgp.session import TABLE, Down, Notified, Refresh, Routes, Send, State, Up
from update_twin import update

HEADER = 19
RULE = bytes.fromhex("0b 0118c00002 038106 058150")
END = frame(MessageType.UPDATE, bytes(4))  # End-of-RIB of IPv4 unicast


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    list(compile_kernels((*route_kernels.KERNELS, *update_scan.KERNELS)))


def flowspec(code: int, afi: int, rules: bytes) -> bytes:
    """Return an UPDATE that announces rules, or withdraws them."""
    value = bytes((0, afi, 133)) + (bytes(2) if code == 14 else b"") + rules
    attribute = bytes((0x80, code, len(value))) + value
    return update(attribute + (b"".join(octets_of(Given(one)) for one in (1, 2, 16)) if code == 14 else b""))


MANY = b"".join(octets_of(Given(code)) for code in GOOD if code not in {14, 15, 17, 18, 98})
UPDATES: Mapping[str, bytes] = {
    "ipv4": update(MANY, nlri=bytes.fromhex("18cb0071 08 0a")),
    "ipv4 withdrawn": update(b"", withdrawn=bytes.fromhex("18cb0071 08 0a")),
    "ipv6": update(octets_of(Given(14)) + octets_of(Given(1)) + octets_of(Given(2))),
    "ipv6 withdrawn": update(octets_of(Given(15))),
    "ipv4 flowspec": flowspec(14, 1, RULE + RULE),
    "ipv4 flowspec withdrawn": flowspec(15, 1, RULE),
    "ipv6 flowspec": flowspec(14, 2, bytes.fromhex("0a 0120 00 20010db8 038106")),
    "end": END,
    "ipv6 end": update(bytes.fromhex("800f03 000201")),
}
MESSAGES: Mapping[str, tuple[State, bytes]] = {
    **{f"open {kind}": (State.OPEN_SENT, encode_open(opening)) for kind, (_, opening) in KINDS.items()},
    "keepalive in openconfirm": (State.OPEN_CONFIRM, KEEPALIVE),
    "keepalive": (State.ESTABLISHED, KEEPALIVE),
    "notification": (State.ESTABLISHED, encode_notification(Notification(6, 2, b"\x05words"))),
    "refresh": (State.ESTABLISHED, encode_refresh(Family.IPV4_FLOWSPEC)),
    "refresh begin": (State.ESTABLISHED, encode_refresh(Family.IPV4_UNICAST, RefreshSubtype.BEGIN)),
    **{f"update {name}": (State.ESTABLISHED, octets) for name, octets in UPDATES.items()},
}
KINDS_OF_PEERS = ("external", "internal")


def by_octet(stream: bytes) -> list[bytes]:
    return [bytes((octet,)) for octet in stream]


def both(stream: bytes, state: State, kind: str) -> Outcome:
    """Feed a stream at once and octet by octet: the same comes of it."""
    whole = outcome(peer_in(state, kind), [stream])
    assert outcome(peer_in(state, kind), by_octet(stream)) == whole
    return whole


def notification_of(found: Outcome) -> tuple[int, int] | None:
    """Return code and subcode of the NOTIFICATION that was sent, after which everything is over."""
    sent = [effect.notification for effect in found.effects if isinstance(effect, Notified) and effect.sent]
    if not sent:
        return None
    assert len(sent) == 1
    assert found.state is State.IDLE
    assert encode_notification(sent[0]) in [effect.data for effect in found.effects if isinstance(effect, Send)]
    assert [effect.notification for effect in found.effects if isinstance(effect, Down)] == sent
    return sent[0].code, sent[0].subcode


@pytest.mark.parametrize("kind", KINDS_OF_PEERS)
@pytest.mark.parametrize(("state", "message"), MESSAGES.values(), ids=MESSAGES)
def test_a_message_cut_at_each_octet_waits_for_its_rest(state: State, message: bytes, kind: str) -> None:
    for length in range(len(message)):
        found = both(message[:length], state, kind)
        assert (found.state, found.effects) == (state, []), length


@pytest.mark.parametrize("kind", KINDS_OF_PEERS)
@pytest.mark.parametrize(("state", "message"), MESSAGES.values(), ids=MESSAGES)
def test_each_octet_one_more_or_less_or_other(state: State, message: bytes, kind: str) -> None:
    """What was good goes on after it, in a session that stands, or nothing does after a NOTIFICATION that was sent."""
    followed = UPDATES["ipv4"]
    for place in range(len(message)):
        octet = message[place]
        values = {octet + 1 & 255, octet - 1 & 255, 0, 255, octet ^ 0x80, octet ^ 0x40, octet ^ 0x10, octet ^ 1} - {
            octet
        }
        for value in values if place > 15 else {0}:
            stream = message[:place] + bytes((value,)) + message[place + 1 :] + followed
            whole = outcome(peer_in(state, kind), [stream])
            cut = [stream[: place + 1], stream[place + 1 : place + 40], stream[place + 40 :]]
            assert outcome(peer_in(state, kind), cut) == whole, (place, value)
            told = notification_of(whole)
            assert told is None or 1 <= told[0] <= 7, (place, value)
            assert (whole.state is State.IDLE) == any(isinstance(effect, Down) for effect in whole.effects)
            if place < 16:
                assert told == (1, 1)


@pytest.mark.parametrize("kind", KINDS_OF_PEERS)
@pytest.mark.parametrize(("state", "message"), MESSAGES.values(), ids=MESSAGES)
def test_a_length_in_the_header_that_does_not_suit_the_message(state: State, message: bytes, kind: str) -> None:
    least = {1: 29, 2: 23, 3: 21, 4: 19, 5: 19}[message[18]]
    limit = 65535 if kind == "internal" and message[18] not in {1, 4} and state is State.ESTABLISHED else 4096
    most = 19 if message[18] == 4 else limit
    for length in {0, 18, 19, least - 1, min(most + 1, 65535), 65535} - set(range(least, most + 1)):
        stream = message[:16] + length.to_bytes(2, "big") + message[18:]
        found = both(stream[: len(message)], state, kind)
        assert notification_of(found) == (1, 2), length


@pytest.mark.parametrize("code", [0, 6, 128, 255])
def test_an_unknown_type_of_message_ends_the_session(code: int) -> None:
    for state in (State.OPEN_SENT, State.OPEN_CONFIRM, State.ESTABLISHED):
        found = both(KEEPALIVE[:18] + bytes((code,)), state, "external")
        assert notification_of(found) == (1, 3)


EXPECTED_STATES = {  # which messages a state takes, RFC 4271 section 8; the subcode of RFC 6608 else
    State.OPEN_SENT: ({"open external", "notification"}, 1),
    State.OPEN_CONFIRM: ({"keepalive", "notification"}, 2),
    State.ESTABLISHED: ({"keepalive", "notification", "refresh", *(f"update {name}" for name in UPDATES)}, 3),
}


@pytest.mark.parametrize("state", EXPECTED_STATES)
@pytest.mark.parametrize(
    "name", ["open external", "keepalive", "notification", "refresh", *(f"update {one}" for one in UPDATES)]
)
def test_each_message_in_each_state(state: State, name: str) -> None:
    taken, subcode = EXPECTED_STATES[state]
    found = both(MESSAGES[name][1] + KEEPALIVE, state, "external")
    assert notification_of(found) == (None if name in taken else (5, subcode))
    if name == "notification":
        assert not [effect for effect in found.effects if isinstance(effect, Send)], "a NOTIFICATION is not answered"
        assert found.state is State.IDLE


@pytest.mark.parametrize("state", [State.IDLE, State.CONNECT, State.ACTIVE])
@pytest.mark.parametrize("name", MESSAGES)
def test_octets_without_a_connection_are_nothing(state: State, name: str) -> None:
    found = both(MESSAGES[name][1], state, "external")
    assert (found.effects, found.state) == ([], state)


POOL = tuple(octets for _, octets in MESSAGES.values())


@given(
    messages=st.lists(st.sampled_from(POOL), min_size=1, max_size=6),
    damage=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=2),
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=8),
    state=st.sampled_from([State.OPEN_SENT, State.OPEN_CONFIRM, State.ESTABLISHED]),
    kind=st.sampled_from(list(KINDS)),
)
@settings(max_examples=300, deadline=None)
def test_what_comes_of_a_stream_does_not_hang_on_its_pieces(
    messages: list[bytes], damage: list[tuple[int, int]], sizes: list[int], state: State, kind: str
) -> None:
    stream = bytearray(b"".join(messages))
    for place, value in damage:
        stream[place % len(stream)] = value
    pieces, at = [], 0
    for size in itertools.cycle(sizes):
        if at >= len(stream):
            break
        pieces.append(bytes(stream[at : at + size]))
        at += size
    whole = outcome(peer_in(state, kind), [bytes(stream)])
    assert outcome(peer_in(state, kind), pieces) == whole
    assert whole.state in TABLE


def test_a_refresh_counts_that_comes_in_one_piece_with_the_end_of_the_session() -> None:
    """The session is over by the time that its effects are dealt with."""
    stream = frame(MessageType.ROUTE_REFRESH, bytes.fromhex("00630001")) + KEEPALIVE[:18] + b"\x09"
    found = both(stream, State.ESTABLISHED, "internal")
    assert found.status.problems == {"ROUTE-REFRESH of a family that was not negotiated": 1}
    begin = encode_refresh(Family.IPV4_UNICAST, RefreshSubtype.BEGIN)
    both(UPDATES["ipv4"] + END + begin + KEEPALIVE[:18] + b"\x09", State.ESTABLISHED, "internal")


def test_a_session_comes_and_goes_in_one_piece() -> None:
    opening = encode_open(KINDS["internal"][1])
    stream = (
        opening
        + KEEPALIVE
        + UPDATES["ipv4 withdrawn"]
        + flowspec(14, 1, RULE)
        + encode_notification(Notification(6, 4))
    )
    found = both(stream, State.OPEN_SENT, "internal")
    kinds = [type(effect) for effect in found.effects]
    assert [kind for kind in kinds if kind in {Up, Routes, Down, Refresh}] == [Up, Routes, Routes, Down]
    assert [len(rules) for rules in found.rules] == [1, 0], "graceful restart keeps it over a NOTIFICATION (RFC 8538)"


@functools.cache
def good_routes() -> Outcome:
    return outcome(peer_in(State.ESTABLISHED), [UPDATES["ipv4"] + UPDATES["ipv6"] + UPDATES["ipv4 flowspec"]])


def test_the_messages_mean_something() -> None:
    found = good_routes()
    assert sorted(str(prefix) for prefix in found.table) == ["10.0.0.0/8", "2001:db8::/32", "203.0.113.0/24"]
    assert [len(rules) for rules in found.rules] == [1, 0]
    for name in ("ipv4 flowspec withdrawn", "ipv6 withdrawn", "ipv4 withdrawn"):
        assert both(UPDATES[name], State.ESTABLISHED, "external").state is State.ESTABLISHED


@pytest.mark.parametrize("kind", KINDS_OF_PEERS)
@pytest.mark.parametrize(
    "empty", ["800f03 000201", "800e15 0002 01 10 20010db8000000000000000000000001 00", "800f03 000101"]
)
def test_routes_of_one_family_with_an_attribute_of_no_route_of_another(empty: str, kind: str) -> None:
    block = b"".join(octets_of(Given(code)) for code in (1, 2, 3)) + bytes.fromhex(empty)
    nlri = bytes.fromhex("00000007 18cb0071" if kind == "internal" else "18cb0071")
    found = both(update(block, nlri=nlri) + update(block, withdrawn=nlri), State.ESTABLISHED, kind)
    assert (notification_of(found), found.table) == (None, {})
    assert sorted(map(str, both(update(block, nlri=nlri), State.ESTABLISHED, kind).table)) == ["203.0.113.0/24"]


@pytest.mark.parametrize("kind", KINDS_OF_PEERS)
def test_attributes_that_are_different_for_each_route_take_bounded_memory(kind: str) -> None:
    peer = peer_in(State.ESTABLISHED, kind, max_attribute_octets=1 << 16)
    base = b"".join(octets_of(Given(code)) for code in (1, 2, 3))
    paths = b"\0\0\0\1" if kind == "internal" else b""

    def announcement(number: int) -> bytes:
        many = b"".join((number << 16 | low).to_bytes(4, "big") for low in range(500))
        block = base + b"\xd0\x08" + len(many).to_bytes(2, "big") + many
        return update(block, nlri=paths + b"\x20" + (0x0B000000 + number).to_bytes(4, "big"))

    for _ in range(3):  # the same again is no more
        found = outcome(peer, [announcement(number) for number in range(30)])
        assert (found.state, len(found.table)) == (State.ESTABLISHED, 30)
    withdrawn = update(b"", withdrawn=b"".join(paths + b"\x20\x0b\0\0" + bytes((number,)) for number in range(30)))
    found = outcome(peer, [withdrawn])
    assert peer.rib_in.attribute_octets == 0, "what no route has is not counted"
    found = outcome(peer, [announcement(number) for number in range(40)])
    assert (found.state, found.table) == (State.IDLE, {})
    (down,) = [effect for effect in found.effects if isinstance(effect, Down)]
    assert down.notification is not None
    assert (down.notification.inner.code, down.notification.inner.subcode) == (6, 8)
    assert "take more than 65536 octets: it is shut out until started" in found.status.shut
    assert not peer.may_accept(NOW)
