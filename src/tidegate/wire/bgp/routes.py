"""What this speaker announces: a unicast route or a FlowSpec rule with its actions, and the key each is known by.

Two routes with one key replace each other; the actions and attributes are no part of it (RFC 4271 3.2, RFC 8955 4).
"""

from __future__ import annotations

from typing import Final

import msgspec

from tidegate.errors import EncodeError
from tidegate.wire.bgp.communities import Action, LargeCommunity
from tidegate.wire.bgp.constants import Afi, Family, Origin
from tidegate.wire.bgp.flowspec import FlowRule, encode_rule
from tidegate.wire.bgp.prefix import Prefix, encode_prefix

__all__ = ["FlowRoute", "Route", "RouteKey", "UnicastRoute", "route_key"]


class RouteKey(msgspec.Struct, frozen=True, order=True):
    """A route's identity: its family and the octets of its NLRI."""

    family: Family
    nlri: bytes


class UnicastRoute(msgspec.Struct, frozen=True):
    """A prefix to announce.

    `next_hop` holds 4 or 16 octets, the prefix's family, or 32 where a link-local address follows the global one
    (RFC 2545 3). `as_path` is the path beyond this speaker's own AS, which is put in front for external peers.
    `local_pref` goes to internal peers alone (RFC 4271 5.1.5), 100 where None.
    """

    prefix: Prefix
    next_hop: bytes
    origin: Origin = Origin.IGP
    as_path: tuple[int, ...] = ()
    med: int | None = None
    local_pref: int | None = None
    communities: tuple[int, ...] = ()
    large: tuple[LargeCommunity, ...] = ()


class FlowRoute(msgspec.Struct, frozen=True):
    """A rule to announce; no action lets the traffic pass. `next_hop` is empty unless an action redirects to it."""

    rule: FlowRule
    actions: tuple[Action, ...] = ()
    next_hop: bytes = b""
    local_pref: int | None = None
    communities: tuple[int, ...] = ()
    large: tuple[LargeCommunity, ...] = ()


Route = UnicastRoute | FlowRoute
_NEXT_HOPS: Final = {Afi.IPV4: (4,), Afi.IPV6: (16, 32)}


def route_key(route: Route) -> RouteKey:
    """Return the key of a route; `EncodeError` where the route cannot be written at all."""
    match route:
        case UnicastRoute():
            if len(route.next_hop) not in _NEXT_HOPS[route.prefix.afi]:
                raise EncodeError(f"the next hop of {route.prefix} is of the other address family")
            family = Family.IPV4_UNICAST if route.prefix.afi is Afi.IPV4 else Family.IPV6_UNICAST
            return RouteKey(family, encode_prefix(route.prefix))
        case FlowRoute():
            family = Family.IPV4_FLOWSPEC if route.rule.afi is Afi.IPV4 else Family.IPV6_FLOWSPEC
            return RouteKey(family, encode_rule(route.rule))
