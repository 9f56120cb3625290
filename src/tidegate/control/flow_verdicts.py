"""Rules of peers with a verdict each, judged again when the unicast routes behind it change.

Rules that are infeasible are kept and marked, as RFC 8955 section 6 asks. They are filed under their destinations, so
that a change of a unicast route looks again only at rules that it can concern: those whose destination it covers, and
those whose destination it lies in. Whoever changes routes says which after the change.

The same rule of two peers is two rules here: which of them counts is not decided here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from tidegate.control.flow_validation import Claim, Feasible, Policy, UnicastRoutes, Verdict, destination_of, validate
from tidegate.control.prefix_index import PrefixIndex
from tidegate.wire.bgp.constants import Afi
from tidegate.wire.bgp.flow_order import ordered_rule, rule_order
from tidegate.wire.bgp.flowspec import FlowRule
from tidegate.wire.bgp.prefix import Prefix

__all__ = ["FlowVerdicts", "Judged"]


class Judged(msgspec.Struct, frozen=True):
    """A rule of a peer and what is thought of it."""

    peer: str
    rule: FlowRule
    verdict: Verdict


class _Key(msgspec.Struct, frozen=True):
    peer: str
    afi: Afi
    order: bytes


class _Entry(msgspec.Struct, frozen=True):
    claim: Claim
    policy: Policy
    verdict: Verdict


class FlowVerdicts:
    """The rules of all peers. How many there may be is the business of whoever takes them from the peers."""

    def __init__(self, unicast: UnicastRoutes) -> None:
        self._unicast = unicast
        self._entries: dict[_Key, _Entry] = {}
        self._by_peer: dict[str, set[_Key]] = {}
        self._by_destination: PrefixIndex[_Key] = PrefixIndex()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Judged]:
        return (_judged(key, entry.verdict) for key, entry in self._entries.items())

    def announce(self, peer: str, rule: FlowRule, *, claim: Claim, policy: Policy) -> Verdict:
        """Judge and keep a rule, in place of the same one of this peer."""
        key = _Key(peer, rule.afi, rule_order(rule))
        verdict = validate(rule, claim, self._unicast, policy)
        if key not in self._entries:
            self._by_peer.setdefault(peer, set()).add(key)
            destination = destination_of(rule)
            if destination is not None:
                self._by_destination.add(destination, key)
        self._entries[key] = _Entry(claim, policy, verdict)
        return verdict

    def withdraw(self, peer: str, rule: FlowRule) -> bool:
        """Forget a rule of a peer; tell whether it was there."""
        key = _Key(peer, rule.afi, rule_order(rule))
        if key not in self._entries:
            return False
        self._forget(key)
        return True

    def forget_peer(self, peer: str) -> int:
        """Forget all rules of a peer; return how many."""
        keys = tuple(self._by_peer.get(peer, ()))
        for key in keys:
            self._forget(key)
        return len(keys)

    def _forget(self, key: _Key) -> None:
        del self._entries[key]
        mine = self._by_peer[key.peer]
        mine.remove(key)
        if not mine:
            del self._by_peer[key.peer]
        destination = destination_of(ordered_rule(key.order, key.afi))
        if destination is not None:
            self._by_destination.remove(destination, key)

    def verdict(self, peer: str, rule: FlowRule) -> Verdict | None:
        """Return what is thought of a rule of a peer; None where it is not there."""
        entry = self._entries.get(_Key(peer, rule.afi, rule_order(rule)))
        return None if entry is None else entry.verdict

    def routes_changed(self, prefixes: Iterable[Prefix]) -> list[Judged]:
        """Judge again what routes to these prefixes concern; return rules that became feasible or ceased to be."""
        concerned: dict[_Key, None] = {}
        for prefix in prefixes:
            if len(concerned) == len(self._entries):
                break
            concerned.update(dict.fromkeys(self._by_destination.overlapping(prefix)))
        return self._again(concerned)

    def all_changed(self) -> list[Judged]:
        """Judge all rules again, as after a table of routes came or went."""
        return self._again(self._entries)

    def _again(self, keys: Iterable[_Key]) -> list[Judged]:
        turned = []
        for key in tuple(keys):
            entry = self._entries[key]
            verdict = validate(ordered_rule(key.order, key.afi), entry.claim, self._unicast, entry.policy)
            self._entries[key] = _Entry(entry.claim, entry.policy, verdict)
            if isinstance(verdict, Feasible) is not isinstance(entry.verdict, Feasible):
                turned.append(_judged(key, verdict))
        return turned


def _judged(key: _Key, verdict: Verdict) -> Judged:
    return Judged(key.peer, ordered_rule(key.order, key.afi), verdict)
