from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from flow_tables import CLAIMS, DESTINATIONS, POLICIES, PREFIXES, ROUTES, Table, flow_to
from tidegate.control.flow_validation import (
    FEASIBLE,
    BestRoute,
    Claim,
    Feasible,
    Infeasible,
    Policy,
    Side,
    Verdict,
    validate,
)
from tidegate.control.flow_verdicts import FlowVerdicts, Judged
from tidegate.wire.bgp.flowspec import FlowRule
from tidegate.wire.bgp.prefix import Prefix, parse_prefix

PEER = bytes([192, 0, 2, 1])
CLAIM = Claim(Side.EXTERNAL, PEER, 65001, local=False)
ROUTE = BestRoute(PEER, 65001, 65001)
COVER, INSIDE = parse_prefix("203.0.112.0/22"), parse_prefix("203.0.113.128/25")
ONE, TWO = flow_to("203.0.113.0/24"), flow_to("198.51.100.0/24")


def test_rules_turn_with_the_routes_behind_them() -> None:
    table = Table({})
    verdicts = FlowVerdicts(table)
    assert isinstance(verdicts.announce("a", ONE, claim=CLAIM, policy=Policy()), Infeasible)
    assert isinstance(verdicts.announce("a", TWO, claim=CLAIM, policy=Policy()), Infeasible)
    table.routes[COVER] = ROUTE
    assert verdicts.routes_changed([COVER]) == [Judged("a", ONE, FEASIBLE)]
    assert verdicts.routes_changed([COVER]) == []
    table.routes[INSIDE] = BestRoute(PEER, 65002, 65002)
    (turned,) = verdicts.routes_changed([INSIDE])
    assert isinstance(turned.verdict, Infeasible)
    assert verdicts.verdict("a", ONE) == turned.verdict
    table.routes.clear()
    assert verdicts.all_changed() == []  # it stays infeasible, for another reason
    found = verdicts.verdict("a", ONE)
    assert isinstance(found, Infeasible)
    assert found.reason.startswith("no unicast route")


class Counting(Table):
    """A table that tells how often it was asked."""

    asked = 0

    def best(self, prefix: Prefix) -> BestRoute | None:
        self.asked += 1
        return super().best(prefix)


def test_only_rules_that_a_route_concerns_are_looked_at_again() -> None:
    table = Counting({})
    verdicts = FlowVerdicts(table)
    for octet in range(200):
        verdicts.announce("a", flow_to(f"10.0.{octet}.0/24"), claim=CLAIM, policy=Policy())
    table.asked = 0
    verdicts.routes_changed([parse_prefix("10.0.7.0/24"), parse_prefix("10.0.7.128/25"), parse_prefix("11.0.0.0/8")])
    assert table.asked == 1
    verdicts.routes_changed([parse_prefix("10.0.0.0/22")])
    assert table.asked == 5
    verdicts.routes_changed([parse_prefix("0.0.0.0/0"), *(parse_prefix(f"{octet}.0.0.0/8") for octet in range(200))])
    assert table.asked == 205


def test_the_same_rule_of_two_peers_is_two() -> None:
    verdicts = FlowVerdicts(Table({COVER: ROUTE}))
    other = Claim(Side.EXTERNAL, bytes([192, 0, 2, 2]), 65001, local=False)
    assert verdicts.announce("a", ONE, claim=CLAIM, policy=Policy()) is FEASIBLE
    assert isinstance(verdicts.announce("b", ONE, claim=other, policy=Policy()), Infeasible)
    assert len(verdicts) == 2
    assert verdicts.forget_peer("a") == 1
    assert [one.peer for one in verdicts] == ["b"]
    assert verdicts.verdict("a", ONE) is None
    assert not verdicts.withdraw("a", ONE)
    assert verdicts.withdraw("b", ONE)
    assert (len(verdicts), verdicts.forget_peer("b")) == (0, 0)


class Compared(RuleBasedStateMachine):
    """Verdicts that are kept up are those that would be given anew."""

    @initialize()
    def begin(self) -> None:
        self.table = Table({})
        self.verdicts = FlowVerdicts(self.table)
        self.given: dict[tuple[str, FlowRule], tuple[Claim, Policy]] = {}
        self.feasible: set[tuple[str, FlowRule]] = set()

    @rule(peer=st.sampled_from("ab"), flow=DESTINATIONS, claim=CLAIMS, policy=POLICIES)
    def announce(self, peer: str, flow: FlowRule, claim: Claim, policy: Policy) -> None:
        verdict = self.verdicts.announce(peer, flow, claim=claim, policy=policy)
        self.given[peer, flow] = claim, policy
        self.note(peer, flow, verdict)

    @rule(peer=st.sampled_from("ab"), flow=DESTINATIONS)
    def withdraw(self, peer: str, flow: FlowRule) -> None:
        assert self.verdicts.withdraw(peer, flow) == (self.given.pop((peer, flow), None) is not None)
        self.feasible.discard((peer, flow))

    @rule(peer=st.sampled_from("ab"))
    def forget(self, peer: str) -> None:
        mine = [key for key in self.given if key[0] == peer]
        assert self.verdicts.forget_peer(peer) == len(mine)
        for key in mine:
            del self.given[key]
            self.feasible.discard(key)

    @rule(changes=st.dictionaries(PREFIXES, st.none() | ROUTES, max_size=3))
    def reroute(self, changes: dict[Prefix, BestRoute | None]) -> None:
        for prefix, route in changes.items():
            self.table.routes.pop(prefix, None)
            if route is not None:
                self.table.routes[prefix] = route
        for turned in self.verdicts.routes_changed(changes):
            was = (turned.peer, turned.rule) in self.feasible
            assert was is not isinstance(turned.verdict, Feasible)
            self.note(turned.peer, turned.rule, turned.verdict)

    @rule()
    def all_again(self) -> None:
        assert self.verdicts.all_changed() == []

    def note(self, peer: str, flow: FlowRule, verdict: Verdict) -> None:
        if isinstance(verdict, Feasible):
            self.feasible.add((peer, flow))
        else:
            self.feasible.discard((peer, flow))

    @invariant()
    def verdicts_are_as_if_given_anew(self) -> None:
        found = {(one.peer, one.rule): one.verdict for one in self.verdicts}
        assert found == {
            (peer, flow): validate(flow, claim, self.table, policy)
            for (peer, flow), (claim, policy) in self.given.items()
        }
        assert self.feasible == {key for key, verdict in found.items() if isinstance(verdict, Feasible)}


TestCompared = Compared.TestCase
TestCompared.settings = settings(max_examples=60, stateful_step_count=30)
