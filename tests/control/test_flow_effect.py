from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bgp_cases import actions
from tidegate.control.flow_effect import Effect, Overruled, effective
from tidegate.wire.bgp.communities import (
    Action,
    InterfaceSet,
    RawCommunity,
    RedirectForm,
    RedirectToIp,
    RedirectToNextHop,
    RtRedirect,
    RtRedirectIpv6,
    TrafficAction,
    TrafficMarking,
    TrafficRateBytes,
    TrafficRatePackets,
)

TO_IP = RedirectToIp(bytes([192, 0, 2, 9]))
VRF = RtRedirect(RedirectForm.AS2, 1, 1)


def test_no_action_lets_pass() -> None:
    assert effective(()) == Effect()
    assert effective([RawCommunity(bytes.fromhex("0002000000000007"))]) == Effect()


@pytest.mark.parametrize("rate", [0.0, -0.0, -1.0, -math.inf, math.nan])
@pytest.mark.parametrize("kind", [TrafficRateBytes, TrafficRatePackets])
def test_a_rate_of_nothing_drops(kind: type[TrafficRateBytes | TrafficRatePackets], rate: float) -> None:
    effect = effective([kind(rate), TrafficRateBytes(5.0), TO_IP, TrafficMarking(3)])
    assert effect.drop
    assert (effect.rate_bytes, effect.rate_packets, effect.redirect, effect.dscp) == (None, None, None, None)
    assert {overruled.reason for overruled in effect.overruled} == {"the traffic is dropped"}
    assert {overruled.action for overruled in effect.overruled} == {TrafficRateBytes(5.0), TO_IP, TrafficMarking(3)}


def test_limits_of_octets_and_packets_hold_both_and_the_lowest_of_each_counts() -> None:
    effect = effective([TrafficRateBytes(9.0), TrafficRatePackets(4.0), TrafficRateBytes(8.0, 65000)])
    assert (effect.rate_bytes, effect.rate_packets) == (8.0, 4.0)
    assert effect.overruled == (Overruled(TrafficRateBytes(9.0), "a lower limit is there"),)


def test_one_redirect_is_followed_addresses_first() -> None:
    over_ipv6 = RtRedirectIpv6(bytes(16), 7)
    cases: list[tuple[list[Action], Action]] = [
        ([VRF, TO_IP, RedirectToNextHop(), over_ipv6], TO_IP),
        ([VRF, RedirectToNextHop()], RedirectToNextHop()),
        ([RtRedirect(RedirectForm.AS2, 2, 1), VRF], VRF),
        ([RedirectToIp(bytes([192, 0, 2, 10])), TO_IP], TO_IP),
    ]
    for given_, followed in cases:
        effect = effective(given_)
        assert effect.redirect == followed
        assert len(effect.overruled) == len(given_) - 1
        assert {overruled.reason for overruled in effect.overruled} == {"another redirect is followed"}


def test_copies_and_samples_are_made_of_what_is_dropped_too() -> None:
    copy = RedirectToIp(bytes(4), copy=True)
    effect = effective([TrafficRateBytes(0.0), copy, RedirectToNextHop(copy=True), TrafficAction(sample=True)])
    assert effect.drop
    assert set(effect.copies) == {copy, RedirectToNextHop(copy=True)}
    assert effect.sample
    assert not effect.overruled


def test_bits_add_up_and_one_mark_is_written() -> None:
    given_: list[Action] = [TrafficAction(sample=True), TrafficAction(go_on=True), TrafficMarking(9), TrafficMarking(8)]
    effect = effective(given_)
    assert (effect.sample, effect.go_on, effect.dscp) == (True, True, 8)
    assert effect.overruled == (Overruled(TrafficMarking(9), "another mark is written"),)


def test_groups_of_interfaces_are_kept() -> None:
    inward = InterfaceSet(65000, 7, inbound=True)
    assert effective([inward, TrafficRateBytes(0.0)]).interfaces == (inward,)


@given(st.lists(actions(), max_size=6).flatmap(lambda drawn: st.tuples(st.just(drawn), st.permutations(drawn))))
def test_the_order_and_number_of_arrival_decide_nothing(lists: tuple[list[Action], list[Action]]) -> None:
    one, other = lists
    assert effective(one) == effective(other) == effective(one + other)


@given(st.lists(actions(), max_size=6))
def test_each_action_is_done_or_overruled(given_: list[Action]) -> None:
    effect = effective(given_)
    overruled = {other.action for other in effect.overruled}
    for action in set(given_) - overruled:
        match action:
            case TrafficRateBytes(rate=rate):
                assert effect.drop if rate == 0 else effect.rate_bytes == rate
            case TrafficRatePackets(rate=rate):
                assert effect.drop if rate == 0 else effect.rate_packets == rate
            case TrafficMarking(dscp=dscp):
                assert effect.dscp == dscp
            case RedirectToIp(copy=True) | RedirectToNextHop(copy=True):
                assert action in effect.copies
            case RedirectToIp() | RedirectToNextHop() | RtRedirect() | RtRedirectIpv6():
                assert effect.redirect == action
            case TrafficAction(sample=sample, go_on=go_on):
                assert effect.sample >= sample
                assert effect.go_on >= go_on
            case InterfaceSet():
                assert action in effect.interfaces
            case RawCommunity():
                pytest.fail("none was drawn")
