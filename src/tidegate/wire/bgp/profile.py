"""What one kind of peer reads right, and how a rule is made to fit it: rewritten exactly, split exactly, or refused.

A `Profile` is data. `adapt` takes a route and returns the routes to send in its place: together they match the same
packets and do the same to them. Where that cannot be had the answer is `Inexpressible`; nothing is widened or dropped.
The default profile is the subset that every tested peer took (FRR 8.4.4, GoBGP 3.10.0, BIRD 2.0.12 and 2.19.0,
exabgp 4.2 and 5.0): a rule outside it resets the session of some of them, with all rules in it.

A profile also says in which form the peer writes and reads offsets of IPv6 prefixes: in another form BIRD 2.0 takes a
rule for other traffic without a word, so that a wrong profile is worse than none with offsets.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final, TypeVar, assert_never

import msgspec
from msgspec import structs

from tidegate.errors import Inexpressible
from tidegate.wire.bgp.communities import RedirectForm, RtRedirect, TrafficRateBytes, TrafficRatePackets
from tidegate.wire.bgp.constants import Afi
from tidegate.wire.bgp.flowspec import (
    KINDS,
    BitmaskComponent,
    BitmaskOp,
    Comparison,
    Component,
    ComponentType,
    NumericComponent,
    NumericOp,
    OffsetForm,
    PrefixComponent,
    encode_rule,
)
from tidegate.wire.bgp.routes import FlowRoute, Route, RouteKey, route_key

__all__ = ["PROFILES", "RFC8955", "SAFE", "Profile", "adapt", "value_ranges"]

Op = TypeVar("Op", NumericOp, BitmaskOp)


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The limits of a peer's FlowSpec reader; octets count the rule without its length octets."""

    name: str
    max_octets: int = 238
    max_components: int = 12
    max_pairs: int = 5
    max_parts: int = 64
    not_equal: bool = False
    constants: bool = False
    ipv6_offset: bool = False
    ipv6_offset_form: OffsetForm = OffsetForm.RFC8956
    redirect_as4: bool = True
    label_octets: tuple[int, ...] = (4,)


SAFE: Final = Profile("safe")
RFC8955: Final = Profile(
    "rfc8955",
    max_octets=4095,
    max_components=13,
    max_pairs=2047,
    not_equal=True,
    constants=True,
    ipv6_offset=True,
    label_octets=(1, 2, 4),
)
PROFILES: Final[Mapping[str, Profile]] = MappingProxyType(
    {
        profile.name: profile
        for profile in (
            SAFE,
            RFC8955,
            Profile("bird-2.0", ipv6_offset=True, ipv6_offset_form=OffsetForm.OCTETS),
            Profile("gobgp-3", ipv6_offset=True, ipv6_offset_form=OffsetForm.WHOLE),
            Profile("exabgp-4", ipv6_offset=True, ipv6_offset_form=OffsetForm.WHOLE),
        )
    }
)


def adapt(route: Route, profile: Profile, *, key: RouteKey | None = None) -> dict[RouteKey, Route]:
    """Return the routes that stand for `route` at a peer of this profile, at least one, by their keys.

    `Inexpressible` names the part that does not fit; `EncodeError` where the route is none at all. `key` is the
    route's key, for callers who have it already.
    """
    key = route_key(route) if key is None else key
    if not isinstance(route, FlowRoute):
        return {key: route}
    _check_actions(route, profile)
    if len(route.rule.components) > profile.max_components:
        raise _refusal(route, f"{len(route.rule.components)} components, over {profile.max_components},", profile)
    if all(_is_plain(component, profile) for component in route.rule.components):
        return dict((_part(route, route.rule.components, key, profile),))
    choices = [tuple(_fit(component, route, profile)) for component in route.rule.components]
    parts = math.prod(len(choice) for choice in choices)
    _check_parts(route, parts, profile)
    return dict(_part(route, components, key, profile) for components in itertools.product(*choices))


def _part(
    route: FlowRoute, components: tuple[Component, ...], key: RouteKey, profile: Profile
) -> tuple[RouteKey, FlowRoute]:
    if components != route.rule.components:
        route = structs.replace(route, rule=structs.replace(route.rule, components=components))
        key = route_key(route)
    if profile.ipv6_offset_form is not OffsetForm.RFC8956 and route.rule.afi is Afi.IPV6:
        key = RouteKey(key.family, encode_rule(route.rule, offsets=profile.ipv6_offset_form))
    octets = len(key.nlri) - (1 if len(key.nlri) <= 240 else 2)
    if octets > profile.max_octets:
        raise _refusal(route, f"the length, {octets} octets, over {profile.max_octets},", profile)
    return key, route


def _check_parts(route: FlowRoute, parts: int, profile: Profile) -> None:
    if parts > profile.max_parts:
        raise _refusal(route, f"{parts} rules in place of one, over {profile.max_parts},", profile)
    limited = [
        action
        for action in route.actions
        if isinstance(action, TrafficRateBytes | TrafficRatePackets) and action.rate > 0
    ]
    if parts > 1 and limited:  # each part would get a limit of its own: together more than was asked for
        raise _refusal(route, f"one rate limit over {parts} rules", profile)


def _check_actions(route: FlowRoute, profile: Profile) -> None:
    for action in route.actions:
        if isinstance(action, RtRedirect) and action.form is RedirectForm.AS4 and not profile.redirect_as4:
            raise _refusal(route, "a redirect to a four-octet AS", profile)


def _refusal(route: FlowRoute, part: str, profile: Profile) -> Inexpressible:
    first = route.rule.components[0]
    subject = f"the rule for {first.prefix}" if isinstance(first, PrefixComponent) else "the rule"
    return Inexpressible(subject, part, f"peer profile {profile.name}")


def _is_plain(component: Component, profile: Profile) -> bool:
    """Tell whether a component may go as it is."""
    match component:
        case PrefixComponent(offset=offset):
            return not offset or profile.ipv6_offset
        case BitmaskComponent(ops=bits):
            return len(bits) <= profile.max_pairs
        case NumericComponent(ops=ops):
            label = component.type is ComponentType.FLOW_LABEL
            widths = profile.label_octets if label else KINDS[component.type].widths
            return len(ops) <= profile.max_pairs and all(
                op.width in widths and _allowed(op.comparison, profile) for op in ops
            )


def _fit(component: Component, route: FlowRoute, profile: Profile) -> Iterator[Component]:
    """Yield components whose OR is `component`, each within the profile."""
    match component:
        case PrefixComponent():
            if component.offset and not profile.ipv6_offset:
                raise _refusal(route, f"the prefix offset {component.offset}", profile)
            yield component
        case NumericComponent():
            fitted = _narrow(component, route, profile)
            for ops in _chunks(_groups(fitted.ops), profile.max_pairs):
                yield NumericComponent(component.type, ops)
        case BitmaskComponent():
            widest = max(len(group) for group in _groups(component.ops))
            if widest > profile.max_pairs:
                raise _refusal(route, f"{widest} joined operators of {component.type.name.lower()}", profile)
            for bits in _chunks(_groups(component.ops), profile.max_pairs):
                yield BitmaskComponent(component.type, bits)
        case _:
            assert_never(component)


def _narrow(component: NumericComponent, route: FlowRoute, profile: Profile) -> NumericComponent:
    """Return the component in operators that the profile allows, meaning the same."""
    groups = _groups(component.ops)
    widths = profile.label_octets if component.type is ComponentType.FLOW_LABEL else KINDS[component.type].widths
    plain = (
        all(_allowed(op.comparison, profile) and op.width in widths for op in component.ops)
        and max(len(group) for group in groups) <= profile.max_pairs
    )
    if plain:
        return component
    ranges = value_ranges(component)
    if not ranges:
        raise _refusal(route, f"a {component.type.name.lower()} that no packet has", profile)
    most = KINDS[component.type].most
    return NumericComponent(component.type, tuple(_spell(ranges, most, widths)))


def _allowed(comparison: Comparison, profile: Profile) -> bool:
    if comparison is Comparison.NE:
        return profile.not_equal
    return profile.constants or comparison not in {Comparison.TRUE, Comparison.FALSE}


def _groups(ops: Sequence[Op]) -> list[tuple[Op, ...]]:
    """Cut the list at each OR: AND binds tighter (RFC 8955 4.2.1.1)."""
    groups: list[list[Op]] = []
    for op in ops:
        if op.conjunct and groups:
            groups[-1].append(op)
        else:
            groups.append([op])
    return [tuple(group) for group in groups]


def _chunks(groups: Iterable[tuple[Op, ...]], most: int) -> Iterator[tuple[Op, ...]]:
    chunk: tuple[Op, ...] = ()
    for group in groups:
        if chunk and len(chunk) + len(group) > most:
            yield chunk
            chunk = ()
        chunk += group
    yield chunk


def value_ranges(component: NumericComponent) -> list[tuple[int, int]]:
    """Return the values that match as ranges with both ends in, rising and apart; none where nothing matches."""
    groups, most = _groups(component.ops), KINDS[component.type].most
    found: list[tuple[int, int]] = []
    for group in groups:
        here = [(0, most)]
        for op in group:
            here = [both for a in here for b in _op_ranges(op, most) if (both := _meet(a, b)) is not None]
        found += here
    merged: list[tuple[int, int]] = []
    for low, high in sorted(found):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return merged


def _meet(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int] | None:
    low, high = max(a[0], b[0]), min(a[1], b[1])
    return (low, high) if low <= high else None


def _op_ranges(op: NumericOp, most: int) -> list[tuple[int, int]]:
    below, above = (0, op.value - 1), (op.value + 1, most)
    ranges = {
        Comparison.FALSE: [],
        Comparison.EQ: [(op.value, op.value)],
        Comparison.GT: [above],
        Comparison.GE: [(op.value, most)],
        Comparison.LT: [below],
        Comparison.LE: [(0, op.value)],
        Comparison.NE: [below, above],
        Comparison.TRUE: [(0, most)],
    }[op.comparison]
    return [(low, high) for low, high in ranges if low <= high]


def _spell(ranges: Iterable[tuple[int, int]], most: int, widths: Sequence[int]) -> Iterator[NumericOp]:
    for low, high in ranges:
        if low == high:
            yield _op(Comparison.EQ, low, widths)
        elif low == 0:
            yield _op(Comparison.LE, high, widths)
        else:
            yield _op(Comparison.GE, low, widths)
            if high < most:
                yield structs.replace(_op(Comparison.LE, high, widths), conjunct=True)


def _op(comparison: Comparison, value: int, widths: Sequence[int]) -> NumericOp:
    return NumericOp(comparison, value, next(width for width in widths if value < 1 << 8 * width))
