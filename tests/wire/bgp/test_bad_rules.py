"""FlowSpec rules that are malformed, through a whole peer: never held, counted, and the session stands where it can."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bgp_cases import vectors
from bgp_streams import Outcome, outcome, peer_in
from naive_7606 import Given, octets_of
from tidegate.data import route_kernels
from tidegate.errors import DecodeError
from tidegate.kernel import compile_kernels
from tidegate.wire.bgp import update_scan
from tidegate.wire.bgp.constants import Afi
from tidegate.wire.bgp.flowspec import FlowRule, decode_rule
from tidegate.wire.bgp.session import Notified, State
from tidegate.wire.cursor import Reader
from update_twin import update

KEPT = {1: bytes.fromhex("050118cb0071"), 2: bytes.fromhex("07012000") + bytes.fromhex("20010db8")}
COMMON = b"".join(octets_of(Given(code)) for code in (1, 2, 16))


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    list(compile_kernels((*route_kernels.KERNELS, *update_scan.KERNELS)))


def announce(afi: int, rules: bytes) -> bytes:
    value = bytes((0, afi, 133, 0, 0)) + rules
    return update(bytes((0x90, 14)) + len(value).to_bytes(2, "big") + value + COMMON)


def withdraw(afi: int, rules: bytes) -> bytes:
    value = bytes((0, afi, 133)) + rules
    return update(bytes((0x90, 15)) + len(value).to_bytes(2, "big") + value)


def fed(*messages: bytes, kind: str = "external") -> Outcome:
    stream = b"".join(messages)
    whole = outcome(peer_in(State.ESTABLISHED, kind), [stream])
    assert outcome(peer_in(State.ESTABLISHED, kind), [bytes((octet,)) for octet in stream]) == whole
    return whole


def held(found: Outcome) -> list[FlowRule]:
    return [one.rule for rules in found.rules for one in rules]


def ended(found: Outcome) -> tuple[int, int] | None:
    sent = [effect.notification for effect in found.effects if isinstance(effect, Notified)]
    return (sent[0].code, sent[0].subcode) if sent else None


def split(octets: bytes) -> tuple[list[bytes], bool]:
    """Return the bodies that lengths tell of, one after the other, and whether they fill the octets."""
    bodies: list[bytes] = []
    while octets:
        head = 1 if octets[0] < 240 else 2
        if len(octets) < head:
            return bodies, False
        length = octets[0] if head == 1 else (octets[0] & 15) << 8 | octets[1]
        if len(octets) < head + length:
            return bodies, False
        bodies.append(octets[: head + length])
        octets = octets[head + length :]
    return bodies, True


@pytest.mark.parametrize("kind", ["external", "internal"])
@pytest.mark.parametrize("case", vectors("malformed"))
def test_a_malformed_rule_is_not_held_and_the_session_stands_where_the_next_can_be_found(
    case: dict[str, Any], kind: str
) -> None:
    afi, octets = case["afi"], bytes.fromhex(case["nlri"])
    bodies, whole = split(octets)
    found = fed(announce(afi, octets), kind=kind)
    if not whole:
        assert ended(found) == (3, 9), "no length leads to the next rule (RFC 7606 5.3, RFC 4760 section 7)"
        assert held(found) == []
        return
    assert (ended(found), held(found), found.state) == (None, [], State.ESTABLISHED)
    assert sum(found.status.problems.values()) == len(bodies) == 1


@pytest.mark.parametrize("case", vectors("malformed"))
def test_good_rules_around_a_malformed_one_are_held(case: dict[str, Any]) -> None:
    afi, octets = case["afi"], bytes.fromhex(case["nlri"])
    good = decode_rule(Reader(KEPT[afi]), Afi(afi))
    if not split(octets)[1]:
        assert held(fed(announce(afi, KEPT[afi]), announce(afi, octets))) == [], "with the session its rules are gone"
        return
    for rules in (KEPT[afi] + octets, octets + KEPT[afi], octets + KEPT[afi] + octets):
        found = fed(announce(afi, rules))
        assert (held(found), ended(found)) == ([good], None)
    found = fed(announce(afi, KEPT[afi]), withdraw(afi, octets), announce(afi, octets))
    assert (held(found), ended(found), sum(found.status.problems.values())) == ([good], None, 2)
    assert held(fed(announce(afi, KEPT[afi]), withdraw(afi, octets + KEPT[afi]))) == []


@pytest.mark.parametrize("case", vectors("tolerated"))
def test_an_odd_rule_is_held(case: dict[str, Any]) -> None:
    afi, octets = case["afi"], bytes.fromhex(case["nlri"])
    found = fed(announce(afi, octets))
    assert held(found) == [decode_rule(Reader(octets), Afi(afi))]
    assert found.status.problems == {}
    assert held(fed(announce(afi, octets), withdraw(afi, octets))) == []


@pytest.mark.parametrize("case", [*vectors("nlri"), *vectors("nlri_random")])
def test_a_good_rule_cut_anywhere_or_with_a_length_off_by_one(case: dict[str, Any]) -> None:
    afi, octets = case["afi"], bytes.fromhex(case["nlri"])
    good = decode_rule(Reader(octets), Afi(afi))
    longer = bytes((octets[0] + 1,)) + octets[1:] if octets[0] < 239 else octets[:-1]
    shorter = bytes((octets[0] - 1,)) + octets[1:] if octets[0] < 240 else octets + b"\x05"
    for bad in (longer, shorter, octets[:-1], octets[: len(octets) // 2], octets[1:]):
        found = outcome(peer_in(State.ESTABLISHED), [announce(afi, bad)])
        bodies, whole = split(bad)
        assert ended(found) == (None if whole else (3, 9)), bad.hex()
        rules = [rule for body in bodies if (rule := maybe_rule(body, afi)) is not None] if whole else []
        assert sorted(map(repr, held(found))) == sorted({repr(rule) for rule in rules})
        assert sum(found.status.problems.values()) == (len(bodies) - len(rules) if whole else 0)
    assert held(outcome(peer_in(State.ESTABLISHED), [announce(afi, octets)])) == [good]


def maybe_rule(octets: bytes, afi: int) -> FlowRule | None:
    try:
        return decode_rule(Reader(octets), Afi(afi))
    except DecodeError:
        return None


@given(rules=st.binary(max_size=60), afi=st.sampled_from([1, 2]))
@settings(max_examples=200, deadline=None)
def test_any_octets_are_rules_or_the_end_of_the_session(rules: bytes, afi: int) -> None:
    bodies, whole = split(rules)
    found = outcome(peer_in(State.ESTABLISHED), [announce(afi, rules)])
    assert ended(found) == (None if whole else (3, 9))
    good = {repr(rule) for body in bodies if (rule := maybe_rule(body, afi)) is not None}
    assert {repr(rule) for rule in held(found)} == (good if whole else set())


@pytest.mark.parametrize("octets", ["400105 00", "c00101 00", "c01007 80060000000000", "400101 03"])
def test_a_bad_attribute_withdraws_the_rules_that_are_held(octets: str) -> None:
    """An announcement that cannot be trusted leaves nothing of the rule, whatever its actions were before."""
    value = bytes((0, 1, 133, 0, 0)) + KEPT[1]
    bad = bytes((0x80, 14, len(value))) + value + octets_of(Given(2)) + bytes.fromhex(octets)
    found = fed(announce(1, KEPT[1]), update(bad))
    assert (held(found), ended(found)) == ([], None)
    assert found.status.problems


@pytest.mark.parametrize(("afi", "safi"), [(1, 134), (2, 134), (25, 65), (1, 128), (0, 0), (65535, 255)])
def test_rules_of_families_that_nobody_agreed_to_are_passed_over(afi: int, safi: int) -> None:
    value = afi.to_bytes(2, "big") + bytes((safi, 0, 0)) + KEPT[1]
    message = update(bytes((0x80, 14, len(value))) + value + COMMON)
    found = fed(message, announce(1, KEPT[1]))
    assert (len(held(found)), ended(found)) == (1, None)
    assert found.status.problems == {"not negotiated": 1}
