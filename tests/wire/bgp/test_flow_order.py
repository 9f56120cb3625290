from __future__ import annotations

from functools import cmp_to_key

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from bgp_cases import order_vectors, rules
from tidegate.errors import DecodeError, EncodeError
from tidegate.wire.bgp.constants import Afi
from tidegate.wire.bgp.flow_order import compare_rules, ordered_rule, rule_order
from tidegate.wire.bgp.flowspec import (
    Comparison,
    ComponentType,
    FlowRule,
    NumericComponent,
    NumericOp,
    PrefixComponent,
    decode_rule,
)
from tidegate.wire.bgp.prefix import Prefix, mask
from tidegate.wire.cursor import Reader


def _sign(number: int) -> int:
    return (number > 0) - (number < 0)


def _octet_order(one: FlowRule, other: FlowRule) -> int:
    a, b = rule_order(one), rule_order(other)
    return (a > b) - (a < b)


def near_rules(afi: Afi) -> SearchStrategy[FlowRule]:
    """Return rules of few values, so that two of them often share a beginning."""
    octets = 4 if afi is Afi.IPV4 else 16
    lengths = st.sampled_from([0, 1, 2, 7, 8, 9, 8 * octets - 1, 8 * octets])
    filling = st.sampled_from([b"\0", b"\xff", b"\x80", b"\x01"])

    @st.composite
    def prefix(draw: st.DrawFn, type_: ComponentType) -> PrefixComponent:
        length = draw(lengths)
        offset = draw(st.integers(0, min(length - 1, 2))) if length and afi is Afi.IPV6 else 0
        number = int.from_bytes(mask(draw(filling) * octets, length), "big") & (1 << 8 * octets - offset) - 1
        return PrefixComponent(type_, Prefix(number.to_bytes(octets, "big"), length), offset)

    op = st.builds(
        NumericOp, st.sampled_from([Comparison.EQ, Comparison.GT]), st.sampled_from([0, 255]), st.sampled_from([1, 2])
    )
    ports = st.lists(op, min_size=1, max_size=3).map(lambda ops: NumericComponent(ComponentType.PORT, tuple(ops)))
    parts = st.tuples(
        st.none() | prefix(ComponentType.DESTINATION), st.none() | prefix(ComponentType.SOURCE), st.none() | ports
    )
    return parts.map(lambda chosen: FlowRule(afi, tuple(part for part in chosen if part is not None)))


@pytest.mark.parametrize(("name", "afi"), [("ipv4", Afi.IPV4), ("ipv6", Afi.IPV6)])
def test_order_vectors(name: str, afi: Afi) -> None:
    ordered = [decode_rule(Reader(bytes.fromhex(octets)), afi) for octets in order_vectors()[name]]
    mixed = sorted(ordered, key=repr)
    assert sorted(mixed, key=rule_order) == ordered
    assert sorted(mixed, key=cmp_to_key(compare_rules)) == ordered
    for place, one in enumerate(ordered):
        for later in ordered[place + 1 :]:
            assert compare_rules(one, later) == -1
            assert compare_rules(later, one) == 1


@given(st.sampled_from(Afi).flatmap(lambda afi: st.tuples(rules(afi), rules(afi))))
def test_octets_compare_as_the_rules_do(pair: tuple[FlowRule, FlowRule]) -> None:
    assert _octet_order(*pair) == _sign(compare_rules(*pair))


@given(st.sampled_from(Afi).flatmap(lambda afi: st.tuples(near_rules(afi), near_rules(afi))))
def test_octets_compare_as_rules_that_are_near_do(pair: tuple[FlowRule, FlowRule]) -> None:
    assert _octet_order(*pair) == _sign(compare_rules(*pair))


@given(rules(Afi.IPV4), rules(Afi.IPV4))
def test_order_is_antisymmetric_and_zero_only_for_equals(one: FlowRule, other: FlowRule) -> None:
    assert compare_rules(one, other) == -compare_rules(other, one)
    assert (compare_rules(one, other) == 0) == (one == other)


@given(rules())
def test_the_octets_hold_the_rule(rule: FlowRule) -> None:
    assert ordered_rule(rule_order(rule), rule.afi) == rule


@given(st.binary(max_size=64), st.sampled_from(Afi))
def test_so_they_do_of_what_the_encoder_would_not_write(octets: bytes, afi: Afi) -> None:
    try:
        rule = decode_rule(Reader(octets), afi)
    except DecodeError:
        return
    assert ordered_rule(rule_order(rule), afi) == rule


def test_what_is_no_rule_has_no_order() -> None:
    host = PrefixComponent(ComponentType.DESTINATION, Prefix(bytes([192, 0, 2, 1]), 32))
    odd = FlowRule(Afi.IPV4, (NumericComponent(ComponentType.DESTINATION, (NumericOp(Comparison.EQ, 1, 1),)),))
    with pytest.raises(EncodeError, match="two ways"):
        compare_rules(odd, FlowRule(Afi.IPV4, (host,)))
