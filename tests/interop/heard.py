"""What a peer has said, kept from the speaker's hook as the routes that it was told to announce.

Values that daemons may write in one octet or two, and lists whose order means nothing, are brought into one form, so
that what was heard may be compared with what was asked for.
"""

from __future__ import annotations

import threading

from msgspec import structs

from tidegate.wire.bgp.attributes import Attributes
from tidegate.wire.bgp.communities import encode_action
from tidegate.wire.bgp.constants import Afi, Family, Origin, SegmentType
from tidegate.wire.bgp.flowspec import BitmaskComponent, Component, FlowRule, NumericComponent
from tidegate.wire.bgp.prefix import Prefix
from tidegate.wire.bgp.ribin import RibIn, attributes_of
from tidegate.wire.bgp.routes import FlowRoute, Route, UnicastRoute
from tidegate.wire.bgp.update import Destination, Update

_DEFAULT_LOCAL_PREF = 100


class Heard:
    """Routes by peer, as the updates of the sessions that are up left them. Read from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._routes: dict[str, dict[tuple[Family, Destination], Route]] = {}
        self._said: dict[str, int] = {}
        self._ends: dict[str, list[Family]] = {}

    def take(self, peer: str, update: Update) -> None:
        """Hear an UPDATE: withdrawals first."""
        with self._lock:
            routes = self._routes.setdefault(peer, {})
            for group in update.withdrawn:
                for destination in group.destinations:
                    routes.pop((group.family, _plain(destination)), None)
            for group in update.announced:
                for destination in group.destinations:
                    routes[group.family, _plain(destination)] = _route(destination, group.next_hop, update.attributes)
                self._said[peer] = self._said.get(peer, 0) + len(group.destinations)
            if update.end_of_rib is not None:
                self._ends.setdefault(peer, []).append(update.end_of_rib)

    def forget(self, peer: str) -> None:
        """Hear that a session is over."""
        with self._lock:
            self._routes.pop(peer, None)
            self._ends.pop(peer, None)

    def routes(self, peer: str) -> set[Route]:
        """Return what the peer announces now."""
        with self._lock:
            return set(self._routes.get(peer, {}).values())

    def said(self, peer: str) -> int:
        """Return how many announcements came, repeated ones as well."""
        with self._lock:
            return self._said.get(peer, 0)

    def ends(self, peer: str) -> tuple[Family, ...]:
        """Return the End-of-RIB markers of this session."""
        with self._lock:
            return tuple(self._ends.get(peer, ()))


def expected(route: Route, *, peer_as: int | None) -> Route:
    """Return how a route is heard from an external peer of this AS, or from an internal one where None."""
    route = _sorted(route)
    if peer_as is None:
        preference = _DEFAULT_LOCAL_PREF if route.local_pref is None else route.local_pref
        return structs.replace(route, local_pref=preference)
    if isinstance(route, UnicastRoute):
        route = structs.replace(route, as_path=(peer_as, *route.as_path))
    return structs.replace(route, local_pref=None)


def held(rib_in: RibIn) -> set[Route]:
    """Return what a peer's table holds, in the form of what was heard."""
    rib_in.finish()
    routes: set[Route] = set()
    for family, table in rib_in.tables.items():
        for one in table.held():
            address = one.prefix.to_bytes(4 if family.afi is Afi.IPV4 else 16, "big")
            attributes, next_hop = attributes_of(one)
            routes.add(_route(Prefix(address, one.length), next_hop, attributes))
    for rules in rib_in.rules.values():
        routes |= {_route(one.rule, one.next_hop, one.attributes) for one in rules}
    return routes


def _route(destination: Destination, next_hop: bytes, attributes: Attributes) -> Route:
    if isinstance(destination, FlowRule):
        return _sorted(
            FlowRoute(
                destination,
                attributes.extended + attributes.ipv6_extended,
                next_hop,
                local_pref=attributes.local_pref,
                communities=attributes.communities,
                large=attributes.large,
            )
        )
    segments = attributes.as_path or ()
    assert all(segment.type is SegmentType.SEQUENCE for segment in segments)
    return _sorted(
        UnicastRoute(
            structs.replace(destination, path_id=0),
            next_hop[:16],  # some daemons add a link-local address
            Origin.INCOMPLETE if attributes.origin is None else attributes.origin,
            tuple(asn for segment in segments for asn in segment.asns),
            attributes.med,
            attributes.local_pref,
            attributes.communities,
            attributes.large,
        )
    )


def _sorted(route: Route) -> Route:
    route = structs.replace(route, communities=tuple(sorted(route.communities)), large=tuple(sorted(route.large)))
    if isinstance(route, FlowRoute):
        actions = tuple(sorted(route.actions, key=encode_action))
        return structs.replace(route, rule=_plain_rule(route.rule), actions=actions)
    return route


def _plain(destination: Destination) -> Destination:
    return _plain_rule(destination) if isinstance(destination, FlowRule) else destination


def _plain_rule(rule: FlowRule) -> FlowRule:
    return structs.replace(rule, components=tuple(_plain_component(component) for component in rule.components))


def _plain_component(component: Component) -> Component:
    match component:
        case NumericComponent(ops=numbers):
            return structs.replace(component, ops=tuple(structs.replace(op, width=0) for op in numbers))
        case BitmaskComponent(ops=bits):
            return structs.replace(component, ops=tuple(structs.replace(op, width=0) for op in bits))
        case _:
            return component
