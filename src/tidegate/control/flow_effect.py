"""What the actions of a FlowSpec rule come to, where some of them contradict each other.

The specification leaves the choice to implementations and asks that it be written down (RFC 8955 section 7.7). Here:
a drop wins over all else that would happen to the packet; of several limits of one kind the lowest counts; of several
redirects one is followed, to an address before to the route's next hop before into a VRF; of two that are alike the one
whose octets are lower, so that the order of arrival decides nothing. Copies and samples are made whatever else happens.

Answers for: RFC 8955 sections 7.1 to 7.7, RFC 8956 section 6.1, draft-ietf-idr-flowspec-redirect-ip.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeGuard

import msgspec

from tidegate.wire.bgp.communities import (
    Action,
    InterfaceSet,
    RawCommunity,
    RedirectToIp,
    RedirectToNextHop,
    RtRedirect,
    RtRedirectIpv6,
    TrafficAction,
    TrafficMarking,
    TrafficRateBytes,
    TrafficRatePackets,
    encode_action,
)

__all__ = ["Contested", "Copy", "Effect", "Overruled", "Redirect", "effective"]

Redirect = RedirectToIp | RedirectToNextHop | RtRedirect | RtRedirectIpv6
Copy = RedirectToIp | RedirectToNextHop
Contested = TrafficRateBytes | TrafficRatePackets | TrafficMarking | Redirect


class Overruled(msgspec.Struct, frozen=True):
    """An action that comes to nothing, and why."""

    action: Contested
    reason: str


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """What is done to a packet that matches; with every field at its default it passes.

    `go_on`: later rules are tried, too, and what they say is added. `interfaces`: the rule counts there alone, anywhere
    where there are none. `rate_bytes` and `rate_packets` are limits a second that hold both; None is no limit.
    """

    drop: bool = False
    rate_bytes: float | None = None
    rate_packets: float | None = None
    redirect: Redirect | None = None
    copies: tuple[Copy, ...] = ()
    dscp: int | None = None
    sample: bool = False
    go_on: bool = False
    interfaces: tuple[InterfaceSet, ...] = ()
    overruled: tuple[Overruled, ...] = ()


def effective(actions: Iterable[Action]) -> Effect:
    """Return what `actions` come to, whatever order they stand in; communities that are no action are left out."""
    given = sorted(set(actions), key=_octets)
    drop = any(isinstance(action, TrafficRateBytes | TrafficRatePackets) and not action.rate > 0 for action in given)
    overruled: list[Overruled] = []
    bytes_limit = _lowest((action for action in given if isinstance(action, TrafficRateBytes)), overruled, drop=drop)
    packets_limit = _lowest(
        (action for action in given if isinstance(action, TrafficRatePackets)), overruled, drop=drop
    )
    traffic = [action for action in given if isinstance(action, TrafficAction)]
    return Effect(
        drop=drop,
        rate_bytes=bytes_limit,
        rate_packets=packets_limit,
        redirect=_redirect(given, overruled, drop=drop),
        copies=tuple(
            action for action in given if isinstance(action, RedirectToIp | RedirectToNextHop) and action.copy
        ),
        dscp=_marking(given, overruled, drop=drop),
        sample=any(action.sample for action in traffic),
        go_on=any(action.go_on for action in traffic),
        interfaces=tuple(action for action in given if isinstance(action, InterfaceSet)),
        overruled=tuple(overruled),
    )


def _octets(action: Action) -> bytes:
    return action.octets if isinstance(action, RawCommunity) else encode_action(action)


def _lowest(
    limits: Iterable[TrafficRateBytes | TrafficRatePackets], overruled: list[Overruled], *, drop: bool
) -> float | None:
    ordered = sorted(limits, key=lambda action: action.rate)
    if drop:
        overruled += [Overruled(action, "the traffic is dropped") for action in ordered if action.rate > 0]
        return None
    overruled += [Overruled(action, "a lower limit is there") for action in ordered[1:]]
    return ordered[0].rate if ordered else None


def _redirect(given: Iterable[Action], overruled: list[Overruled], *, drop: bool) -> Redirect | None:
    redirects = sorted((action for action in given if _moves(action)), key=_rank)
    followed = None if drop or not redirects else redirects[0]
    reason = "the traffic is dropped" if drop else "another redirect is followed"
    overruled += [Overruled(action, reason) for action in redirects if action is not followed]
    return followed


def _moves(action: Action) -> TypeGuard[Redirect]:
    match action:
        case RedirectToIp(copy=copy) | RedirectToNextHop(copy=copy):
            return not copy
        case _:
            return isinstance(action, RtRedirect | RtRedirectIpv6)


def _rank(action: Redirect) -> int:
    match action:
        case RedirectToIp():
            return 0
        case RedirectToNextHop():
            return 1
        case _:
            return 2


def _marking(given: Iterable[Action], overruled: list[Overruled], *, drop: bool) -> int | None:
    marks = [action for action in given if isinstance(action, TrafficMarking)]
    first = None if drop or not marks else marks[0]
    reason = "the traffic is dropped" if drop else "another mark is written"
    overruled += [Overruled(action, reason) for action in marks if action is not first]
    return None if first is None else first.dscp
