"""Whether a FlowSpec rule of a peer may be followed: does the one ask for it to whom the traffic goes anyway.

A rule and who said it go in, with what the unicast routes say of its destination; a verdict with the reason in words
comes out. Nothing is kept here, see `flow_verdicts`.

Where no route covers the destination, a rule of our own AS is judged by condition c as if the covering route were our
own: a more specific route from another AS makes it infeasible.

Answers for: RFC 8955 section 6, RFC 8956 section 5, RFC 9117 sections 4.1 and 4.2; RFC 5065 (confederations) and
RFC 4456 (ORIGINATOR_ID) where these lean on them.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final, Protocol

import msgspec

from tidegate.wire.bgp.attributes import Attributes, Segment
from tidegate.wire.bgp.constants import SegmentType
from tidegate.wire.bgp.flowspec import ComponentType, FlowRule, PrefixComponent
from tidegate.wire.bgp.prefix import Prefix, address_text

__all__ = [
    "FEASIBLE",
    "BestRoute",
    "Claim",
    "Condition",
    "Feasible",
    "Infeasible",
    "Policy",
    "Side",
    "UnicastRoutes",
    "Verdict",
    "claim_of",
    "destination_of",
    "route_of",
    "validate",
]

_CONFEDERATION: Final = frozenset({SegmentType.CONFED_SEQUENCE, SegmentType.CONFED_SET})


class Side(StrEnum):
    """Where a peer stands."""

    INTERNAL = "internal"
    CONFEDERATION = "confederation"  # in another member AS of our confederation (RFC 5065)
    EXTERNAL = "external"


class BestRoute(msgspec.Struct, frozen=True):
    """What validation asks of the best unicast route to a prefix.

    `originator` is an address of 4 or 16 octets. `neighbor_as` is the AS beside ours that it came from, None where it
    is of our own; `left_most_as` the first of its AS path, confederations left out, None where it has none.
    """

    originator: bytes
    neighbor_as: int | None
    left_most_as: int | None


class UnicastRoutes(Protocol):
    """The unicast routes of one router, of both families."""

    def best(self, prefix: Prefix) -> BestRoute | None:
        """Return the best route to the longest prefix that covers all of `prefix`."""

    def more_specific(self, prefix: Prefix) -> Iterable[BestRoute]:
        """Return the best routes to all longer prefixes inside `prefix`; as few are fetched as are looked at."""


class Claim(msgspec.Struct, frozen=True):
    """Who asks for a rule. `local`: the AS path is empty or has confederation sequences alone."""

    side: Side
    originator: bytes
    left_most_as: int | None
    local: bool


class Policy(msgspec.Struct, frozen=True):
    """What a peer's rules must fulfil.

    `check` False takes all of them, as one does of a trusted controller. `local_path` is RFC 9117's way in for
    controllers in one's own AS (4.1 b 2), on by default as it asks. `no_destination` takes rules without a destination
    prefix, of which nothing can be checked.
    """

    check: bool = True
    local_path: bool = True
    no_destination: bool = False


class Condition(StrEnum):
    """What a rule fails by; the letters are those of RFC 8955 section 6."""

    DESTINATION = "a"
    ORIGINATOR = "b"
    MORE_SPECIFIC = "c"
    LEFT_MOST_AS = "left-most AS"


class Feasible(msgspec.Struct, frozen=True):
    """The rule may be followed."""


class Infeasible(msgspec.Struct, frozen=True):
    """The rule is kept and not followed. `condition` labels counters, `reason` is for people."""

    condition: Condition
    reason: str


Verdict = Feasible | Infeasible
FEASIBLE: Final = Feasible()


def claim_of(attributes: Attributes, peer: bytes, side: Side) -> Claim:
    """Return who asks for a rule that came with these attributes from the peer of this address."""
    path = attributes.as_path
    local = path is not None and all(segment.type is SegmentType.CONFED_SEQUENCE for segment in path)
    return Claim(side, _originator(attributes, peer), _left_most(path or ()), local)


def route_of(attributes: Attributes, peer: bytes) -> BestRoute:
    """Return what validation asks of a unicast route that came with these attributes from the peer of this address."""
    left_most = _left_most(attributes.as_path or ())
    return BestRoute(_originator(attributes, peer), left_most, left_most)


def _originator(attributes: Attributes, peer: bytes) -> bytes:
    if attributes.originator_id is None:
        return peer
    return attributes.originator_id.to_bytes(4, "big")


def _left_most(path: Iterable[Segment]) -> int | None:
    """Return the first AS beyond our confederation; None where there is none or a set stands there."""
    for segment in path:
        if segment.type not in _CONFEDERATION:
            return segment.asns[0] if segment.type is SegmentType.SEQUENCE and segment.asns else None
    return None


def destination_of(rule: FlowRule) -> Prefix | None:
    """Return the destination that can be validated: none where its first bits may be any (RFC 8956 section 5)."""
    first = rule.components[0] if rule.components else None
    if isinstance(first, PrefixComponent) and first.type is ComponentType.DESTINATION and not first.offset:
        return first.prefix
    return None


def validate(rule: FlowRule, claim: Claim, unicast: UnicastRoutes, policy: Policy) -> Verdict:
    """Judge one rule by the unicast routes as they are now."""
    if not policy.check:
        return FEASIBLE
    prefix = destination_of(rule)
    if prefix is None:
        if policy.no_destination:
            return FEASIBLE
        return Infeasible(Condition.DESTINATION, "it has no destination prefix from the first bit on")
    best = unicast.best(prefix)
    return (
        _wrong_originator(prefix, claim, best, policy)
        or _wrong_as(prefix, claim, best)
        or _more_specific(prefix, best, unicast)
        or FEASIBLE
    )


def _wrong_originator(prefix: Prefix, claim: Claim, best: BestRoute | None, policy: Policy) -> Infeasible | None:
    if policy.local_path and claim.local:
        return None
    if best is None:
        return Infeasible(Condition.ORIGINATOR, f"no unicast route covers {prefix}")
    if best.originator == claim.originator:
        return None
    ours, theirs = address_text(claim.originator), address_text(best.originator)
    return Infeasible(Condition.ORIGINATOR, f"it is from {ours}, the unicast route to {prefix} is from {theirs}")


def _wrong_as(prefix: Prefix, claim: Claim, best: BestRoute | None) -> Infeasible | None:
    """RFC 9117 4.2: of external peers the first AS must be the one that the traffic goes to."""
    if claim.side is not Side.EXTERNAL:
        return None
    routed = None if best is None else best.left_most_as
    if claim.left_most_as is not None and claim.left_most_as == routed:
        return None
    said = "no AS" if claim.left_most_as is None else f"AS {claim.left_most_as}"
    other = "goes to no other AS" if routed is None else f"goes to AS {routed}"
    return Infeasible(Condition.LEFT_MOST_AS, f"its path begins with {said}, the unicast route to {prefix} {other}")


def _more_specific(prefix: Prefix, best: BestRoute | None, unicast: UnicastRoutes) -> Infeasible | None:
    own = None if best is None else best.neighbor_as
    for route in unicast.more_specific(prefix):
        if route.neighbor_as != own:
            there = "our own AS" if route.neighbor_as is None else f"AS {route.neighbor_as}"
            here = "our own" if own is None else f"AS {own}"
            reason = f"inside {prefix}, which is routed to {here}, there is a more specific route to {there}"
            return Infeasible(Condition.MORE_SPECIFIC, reason)
    return None
