"""What routers have told, as objects that scripts and REST show: routes of a table, a piece at a time, and rules.

The names of a route's fields are those of `tidegate.control.unicast`, so that a route that was read may be announced;
what that cannot say stands under other names. The table is held for a few hundred routes at a time, from any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from itertools import groupby, islice
from typing import Final

import msgspec
import numpy as np

from tidegate.apps.routing import RouterTable
from tidegate.control.community_syntax import format_communities
from tidegate.control.flow_json import action_to_json, rule_to_json
from tidegate.control.flow_words import describe_actions, describe_match
from tidegate.control.flowspec import format_flow
from tidegate.data.address import words_of_bytes
from tidegate.data.route_table import Held, RouteTable
from tidegate.errors import EncodeError, Inexpressible
from tidegate.wire.bgp.attributes import Attributes
from tidegate.wire.bgp.communities import RawCommunity, encode_action
from tidegate.wire.bgp.constants import Family
from tidegate.wire.bgp.flow_rules import HeldRule
from tidegate.wire.bgp.prefix import Prefix, address_text, parse_prefix
from tidegate.wire.bgp.ribin import attributes_of
from tidegate.wire.bgp.routes import FlowRoute

__all__ = [
    "MOST_ROUTES",
    "MOST_RULES",
    "Page",
    "all_routes",
    "best_route",
    "received_routes",
    "received_rules",
    "route_to",
    "shown_rules",
    "unicast",
]

MOST_ROUTES: Final = 10_000  # of one answer
MOST_RULES: Final = 2_000  # of one answer: the loop takes them in some 20 ms
_PAGE: Final = 1000
_AT_ONCE: Final = 256
Shown = dict[str, object]


class Page(msgspec.Struct, frozen=True):
    """Which routes: at most `most` prefixes, those inside `inside` if it is given, behind the prefix `after`."""

    most: int = 1000
    inside: Prefix | None = None
    after: Prefix | None = None


def unicast(ipv6: bool) -> Family:  # noqa: FBT001 - a family by what it is called
    """Return the unicast family of IPv4 or IPv6."""
    return Family.IPV6_UNICAST if ipv6 else Family.IPV4_UNICAST


def best_route(table: RouterTable, address: bytes) -> Shown | None:
    """Return the longest match of an address with its attributes and the prefix around it, or None."""
    high, low = words_of_bytes(address)
    found = table.lookup(np.array([high], np.uint64), np.array([low], np.uint64))
    if found.row[0] < 0:
        return None
    length = int(found.prefix[2, found.row[0]]) - (96 if len(address) == 4 else 0)
    spare = 8 * len(address) - length
    start = (int.from_bytes(address, "big") >> spare << spare).to_bytes(len(address), "big")
    return route_to(table, Prefix(start, length))  # None where it has gone just now


def route_to(table: RouterTable, prefix: Prefix) -> Shown | None:
    """Return the best route to a prefix with its attributes and the prefix around it, or None."""
    address, length = int.from_bytes(prefix.address, "big"), prefix.length
    family = unicast(len(prefix.address) == 16)
    for rib in table.ribs:
        one = rib.tables[family]
        with one.reading():
            held, around = one.routes_to(address, length), one.around(address, length)
        if held:
            shown = _shown_route(held[0], one.octets)
            if around is not None:
                shown["parentprefix"] = str(_prefix(*around, one.octets))
            return shown
    return None


def received_routes(table: RouterTable, page: Page) -> list[Shown]:
    """Return a page of a router's routes in order: IPv4 before IPv6, of one prefix the best first."""
    found: list[Shown] = []
    left = min(page.most, MOST_ROUTES)
    for family in (Family.IPV4_UNICAST, Family.IPV6_UNICAST):
        octets = 4 if family is Family.IPV4_UNICAST else 16
        routes = merge(*(_held(rib.tables[family], page) for rib in table.ribs), key=_key)
        for _, to_one in groupby(routes, _key) if left > 0 else ():
            found += [_shown_route(held, octets) for held in to_one]
            left -= 1
            if not left:
                break
    return found


def all_routes(ask: Callable[[Page], list[Shown]], *, inside: Prefix | None, most: int) -> Iterator[Shown]:
    """Yield the routes to at most `most` prefixes, asked for a page at a time."""
    after: Prefix | None = None
    while most > 0:
        asked = min(most, _PAGE)
        found = ask(Page(asked, inside, after))
        yield from found
        prefixes = dict.fromkeys(str(route["prefix"]) for route in found)
        if len(prefixes) < asked:
            return
        after = parse_prefix(list(prefixes)[-1])
        most -= len(prefixes)


def _key(held: Held) -> tuple[int, int]:
    return held.prefix, held.length


def _held(table: RouteTable, page: Page) -> Iterator[Held]:
    """Yield the routes of a page, those to one prefix together; the table may change meanwhile."""
    low, high = _bounds(table, page)
    after = page.after
    done = (-1, -1)
    if after is not None and table.octets == len(after.address):
        done = int.from_bytes(after.address, "big"), after.length
        low = max(low, done[0])
    elif after is not None and len(after.address) > table.octets:
        return  # IPv4 comes before IPv6
    while low <= high:
        with table.reading():
            some = list(islice(table.held(low), _AT_ONCE + 1))
        more = len(some) > _AT_ONCE
        whole = _whole(table, some, more=more)
        for held in whole:
            if held.prefix > high:
                return
            if _key(held) > done and _inside(held, page):
                yield held
        if not more or not whole:
            return
        low = whole[-1].prefix + 1


def _whole(table: RouteTable, some: list[Held], *, more: bool) -> list[Held]:
    """Return the routes without those of the last start, which may not be all; or all of that start."""
    if not more:
        return some
    last = some[-1].prefix
    whole = [held for held in some if held.prefix != last]
    if whole:
        return whole
    with table.reading():  # one address with hundreds of paths
        found = []
        for held in table.held(last):
            if held.prefix != last:
                break
            found.append(held)
    return found


def _bounds(table: RouteTable, page: Page) -> tuple[int, int]:
    bits = 8 * table.octets
    if page.inside is None:
        return 0, (1 << bits) - 1
    if len(page.inside.address) != table.octets:
        return 1, 0
    start = int.from_bytes(page.inside.address, "big")
    return start, start + (1 << bits - page.inside.length) - 1


def _inside(held: Held, page: Page) -> bool:
    return page.inside is None or held.length >= page.inside.length


def _prefix(address: int, length: int, octets: int) -> Prefix:
    return Prefix(address.to_bytes(octets, "big"), length)


def _shown_route(held: Held, octets: int) -> Shown:
    """Return a route as an object; it may be announced as it is."""
    attributes, next_hop = attributes_of(held)
    shown: Shown = {"prefix": str(_prefix(held.prefix, held.length, octets)), **_next_hops(next_hop)}
    shown["aspath"] = "-".join(str(asn) for segment in attributes.as_path or () for asn in segment.asns)
    if attributes.origin is not None:
        shown["origin"] = attributes.origin.name
    for name, number in (("localpref", attributes.local_pref), ("med", attributes.med)):
        if number is not None:
            shown[name] = number
    shown |= _communities(attributes)
    if held.path_id:
        shown["pathid"] = held.path_id
    if held.stale:
        shown["stale"] = True
    return shown


def _next_hops(octets: bytes) -> Shown:
    if len(octets) == 32:
        return {"nexthop": address_text(octets[:16]), "nexthoplinklocal": address_text(octets[16:])}
    return {"nexthop": address_text(octets)} if len(octets) in {4, 16} else {}


def _communities(attributes: Attributes) -> Shown:
    shown: Shown = {}
    if attributes.communities:
        shown["communities"] = format_communities(attributes.communities)
    if attributes.large:
        numbers = ((one.administrator, one.data1, one.data2) for one in attributes.large)
        shown["largecommunities"] = "-".join(":".join(map(str, three)) for three in numbers)
    if attributes.extended:
        raw = [RawCommunity(encode_action(action)) for action in attributes.extended]
        shown["extendedcommunities"] = format_communities((), raw)
    return shown


def received_rules(table: RouterTable, most: int) -> list[HeldRule]:
    """Return the FlowSpec rules that a router has announced, in the order of trying; on the speaker's loop alone."""
    rules = (held for rib in table.ribs for rules in rib.rules.values() for held in rules)
    return list(islice(rules, min(most, MOST_RULES)))


def shown_rules(rules: Iterable[HeldRule]) -> list[Shown]:
    """Return rules as objects, from any thread."""
    return [_shown_rule(held) for held in rules]


def _shown_rule(held: HeldRule) -> Shown:
    actions = (*held.attributes.extended, *held.attributes.ipv6_extended)
    route = FlowRoute(
        held.rule,
        actions,
        held.next_hop,
        held.attributes.local_pref,
        held.attributes.communities,
        held.attributes.large,
    )
    words = {
        "matches": "; ".join(describe_match(held.rule)),
        "does": "; ".join(describe_actions(actions, held.next_hop)),
    }
    try:
        return {**format_flow(route), **words}
    except (Inexpressible, EncodeError):  # what the two objects have no fields for
        parts = {"components": rule_to_json(held.rule), "actions": [action_to_json(action) for action in actions]}
        return {**parts, **words}
