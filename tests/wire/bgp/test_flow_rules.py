from __future__ import annotations

from functools import cmp_to_key

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bgp_cases import rules
from tidegate.wire.bgp.attributes import Attributes, MpReach, RawAttribute, Segment
from tidegate.wire.bgp.communities import TrafficRateBytes
from tidegate.wire.bgp.constants import Afi, Origin, SegmentType
from tidegate.wire.bgp.flow_order import compare_rules
from tidegate.wire.bgp.flow_rules import FlowRules, HeldRule
from tidegate.wire.bgp.flowspec import Comparison, ComponentType, FlowRule, NumericComponent, NumericOp, PrefixComponent
from tidegate.wire.bgp.prefix import parse_prefix

DROP = Attributes(origin=Origin.IGP, as_path=(), extended=(TrafficRateBytes(0.0),))
SLOW = Attributes(origin=Origin.IGP, as_path=(), extended=(TrafficRateBytes(1000.0),))


def port(number: int) -> FlowRule:
    destination = PrefixComponent(ComponentType.DESTINATION, parse_prefix("192.0.2.1"))
    ports = NumericComponent(ComponentType.SOURCE_PORT, (NumericOp(Comparison.EQ, number, 2),))
    return FlowRule(Afi.IPV4, (destination, ports))


def held(*numbers: int) -> FlowRules:
    found = FlowRules(Afi.IPV4)
    for number in numbers:
        assert found.announce(port(number), DROP)
    return found


@given(st.lists(rules(Afi.IPV6), max_size=12))
def test_iteration_is_in_the_order_of_trying(drawn: list[FlowRule]) -> None:
    found = FlowRules(Afi.IPV6)
    for each in drawn:
        found.announce(each, DROP)
    assert [one.rule for one in found] == sorted(set(drawn), key=cmp_to_key(compare_rules))
    assert len(found) == len(set(drawn))


def test_a_later_announcement_replaces_the_earlier() -> None:
    found = held(1)
    assert found.announce(port(1), SLOW, bytes(4))
    assert list(found) == [HeldRule(port(1), SLOW, bytes(4))]
    assert found.get(port(1)) == HeldRule(port(1), SLOW, bytes(4))
    assert found.get(port(2)) is None


def test_withdrawing_tells_whether_there_was_something() -> None:
    found = held(1)
    assert found.withdraw(port(1))
    assert not found.withdraw(port(1))
    assert (len(found), found.octets) == (0, 0)


def test_the_octets_of_an_update_are_not_kept() -> None:
    found = FlowRules(Afi.IPV4)
    given_ = Attributes(origin=Origin.IGP, mp_reach=MpReach(1, 133, b"", bytes(60_000)))
    found.announce(port(1), given_)
    found.announce(port(2), given_)
    one, other = found
    assert one.attributes == Attributes(origin=Origin.IGP)
    assert one.attributes is other.attributes


def test_stale_rules_are_swept_unless_they_come_again() -> None:
    found = held(1, 2, 3)
    found.mark_stale()
    version = found.version
    found.announce(port(2), DROP)
    assert found.version == version  # nothing is other than before
    assert found.stale == 2
    found.announce(port(3), SLOW)
    assert found.sweep() == 1
    assert [one.rule for one in found] == [port(2), port(3)]
    assert (found.stale, found.sweep()) == (0, 0)


def test_changes_are_told_once_each_however_often_a_rule_changed() -> None:
    found = held(1, 2)
    start = found.version
    found.announce(port(3), DROP)
    found.announce(port(3), SLOW)
    found.withdraw(port(1))
    found.announce(port(1), SLOW)
    found.withdraw(port(2))
    told = found.changes(start)
    assert not told.whole
    assert told.announced == (HeldRule(port(3), SLOW), HeldRule(port(1), SLOW))
    assert told.withdrawn == (port(2),)
    assert told.version == found.version
    again = found.changes(told.version)
    assert (again.announced, again.withdrawn, again.whole) == ((), (), False)


def test_everything_is_told_who_knows_nothing_or_too_little() -> None:
    found = held(2, 1)
    assert [one.rule for one in found.changes(0).announced] == [port(2), port(1)]
    found.clear()
    found.announce(port(7), DROP)
    for since in (0, 2, -1, 1000):
        told = found.changes(since)
        assert told.whole
        assert [one.rule for one in told.announced] == [port(7)]
    assert not found.changes(found.version - 1).whole


def test_withdrawn_rules_are_remembered_up_to_a_number() -> None:
    found = held(*range(5000))
    start = found.version
    for number in range(5000):
        found.withdraw(port(number))
    assert len(found._gone) == 4096
    assert found.changes(start).whole
    assert len(found.changes(found.version - 4096).withdrawn) == 4096


def wide(count: int) -> Attributes:
    return Attributes(
        as_path=(Segment(SegmentType.SEQUENCE, tuple(range(count))),),
        communities=tuple(range(count)),
        unknown=(RawAttribute(0xC0, 99, bytes(count)),),
    )


def test_memory_is_bounded_and_what_does_not_fit_is_not_held() -> None:
    found = FlowRules(Afi.IPV4, most_octets=100_000)
    accepted = [found.announce(port(number), DROP) for number in range(500)]
    assert accepted == sorted(accepted, reverse=True)
    assert 100 < len(found) < 150
    assert found.refused == 500 - len(found)
    assert found.octets <= 100_000
    assert found.announce(port(0), SLOW)  # it takes the place of its own
    assert not found.announce(port(0), wide(2000))
    assert found.get(port(0)) is None  # what it was is no longer what the peer says
    for one in list(found):
        found.withdraw(one.rule)
    assert found.octets == 0


@pytest.mark.parametrize("count", [10, 1000])
def test_long_lists_of_attributes_weigh(count: int) -> None:
    found = FlowRules(Afi.IPV4)
    found.announce(port(1), wide(count))
    assert found.octets > 81 * count


class Followed(RuleBasedStateMachine):
    """A follower that asks for changes now and then knows what is there."""

    @initialize()
    def begin(self) -> None:
        self.found = FlowRules(Afi.IPV4, most_octets=4000)
        self.twin: dict[FlowRule, Attributes] = {}
        self.stale: set[FlowRule] = set()
        self.known: dict[FlowRule, Attributes] = {}
        self.version = 0

    @rule(number=st.integers(0, 5), attributes=st.sampled_from([DROP, SLOW, wide(40)]))
    def announce(self, number: int, attributes: Attributes) -> None:
        if self.found.announce(port(number), attributes):
            self.twin[port(number)] = attributes
        else:
            self.twin.pop(port(number), None)
        self.stale.discard(port(number))

    @rule(number=st.integers(0, 5))
    def withdraw(self, number: int) -> None:
        assert self.found.withdraw(port(number)) == (self.twin.pop(port(number), None) is not None)
        self.stale.discard(port(number))

    @rule()
    def mark(self) -> None:
        self.found.mark_stale()
        self.stale = set(self.twin)

    @rule()
    def sweep(self) -> None:
        assert self.found.sweep() == len(self.stale)
        for each in self.stale:
            del self.twin[each]
        self.stale = set()

    @rule()
    def clear(self) -> None:
        self.found.clear()
        self.twin = {}
        self.stale = set()

    @rule()
    def follow(self) -> None:
        told = self.found.changes(self.version)
        if told.whole:
            self.known = {}
        for one in told.announced:
            self.known[one.rule] = one.attributes
        for each in told.withdrawn:
            self.known.pop(each, None)  # it may have come and gone in between
        self.version = told.version
        assert self.known == self.twin

    @invariant()
    def is_as_its_twin(self) -> None:
        assert {one.rule: one.attributes for one in self.found} == self.twin
        assert self.found.stale == len(self.stale)
        assert len(self.found) == len(self.twin)
        assert self.found.octets <= 4000


TestFollowed = Followed.TestCase
TestFollowed.settings = settings(max_examples=60, stateful_step_count=30)
