"""BGP test material: the verified FlowSpec vectors, and Hypothesis strategies for rules, actions, routes and OPENs."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tidegate.units import Asn
from tidegate.wire.bgp.communities import (
    Action,
    InterfaceSet,
    LargeCommunity,
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
from tidegate.wire.bgp.constants import Afi, Family, Origin
from tidegate.wire.bgp.flowspec import (
    KINDS,
    BitmaskComponent,
    BitmaskOp,
    Comparison,
    Component,
    ComponentType,
    FlowRule,
    NumericComponent,
    NumericOp,
    PrefixComponent,
    ValueForm,
)
from tidegate.wire.bgp.open import Capabilities, GracefulRestart, Negotiated, Open
from tidegate.wire.bgp.prefix import Prefix, mask
from tidegate.wire.bgp.routes import FlowRoute, UnicastRoute

VECTORS = Path(__file__).resolve().parents[1] / "../shared/data/bgp/flowspec-vectors.json"
ALL = frozenset(Family)
EXTERNAL = Negotiated(Asn(65000), Asn(65001), 1, 90, ALL)
INTERNAL = Negotiated(Asn(65000), Asn(65000), 1, 90, ALL)
OLD = Negotiated(Asn(65000), Asn(65001), 1, 90, ALL, four_octet_as=False)
SESSIONS = (EXTERNAL, INTERNAL, OLD)


@cache
def _load() -> dict[str, Any]:
    loaded = json.loads(VECTORS.read_text())
    assert isinstance(loaded, dict)
    return loaded


def vectors(group: str) -> list[Any]:
    """Return one group of the vector file for a parametrised test: one skipped case where the file is absent."""
    if not VECTORS.exists():
        return [pytest.param(None, marks=pytest.mark.skip(reason=f"{VECTORS} is not here"))]
    cases = _load()[group]
    cases = cases["cases"] if isinstance(cases, dict) else cases
    return [pytest.param(case, id=case.get("id", str(place))) for place, case in enumerate(cases)]


def order_vectors() -> dict[str, list[str]]:
    """Return rules in the order of RFC 8955 5.1, by family; the test is skipped where the file is absent."""
    if not VECTORS.exists():
        pytest.skip(f"{VECTORS} is not here")
    order = _load()["order"]
    return {family: order[family] for family in ("ipv4", "ipv6")}


def prefixes(afi: Afi) -> SearchStrategy[Prefix]:
    octets = 4 if afi is Afi.IPV4 else 16
    return st.builds(
        lambda address, length: Prefix(mask(address, length), length),
        st.binary(min_size=octets, max_size=octets),
        st.integers(0, 8 * octets),
    )


@st.composite
def prefix_components(draw: st.DrawFn, type_: ComponentType, afi: Afi) -> PrefixComponent:
    prefix = draw(prefixes(afi))
    if afi is Afi.IPV4 or prefix.length == 0:
        return PrefixComponent(type_, prefix)
    offset = draw(st.integers(0, prefix.length - 1))
    number = int.from_bytes(prefix.address, "big") & (1 << 128 - offset) - 1
    return PrefixComponent(type_, Prefix(number.to_bytes(16, "big"), prefix.length), offset)


@st.composite
def op_components(draw: st.DrawFn, type_: ComponentType, afi: Afi) -> NumericComponent | BitmaskComponent:
    kind = KINDS[type_]
    numeric: list[NumericOp] = []
    bits: list[BitmaskOp] = []
    for place in range(draw(st.integers(1, 7))):
        width = draw(st.sampled_from(kind.widths))
        most = min(kind.most, (1 << 8 * width) - 1)
        joined = draw(st.booleans()) and place > 0
        if kind.form is ValueForm.NUMERIC:
            value = draw(st.integers(0, most) | st.sampled_from([0, most]))
            numeric.append(NumericOp(draw(st.sampled_from(Comparison)), value, width, joined))
        else:
            usable = most & ~1 if (type_, afi) == (ComponentType.FRAGMENT, Afi.IPV6) else most
            value = draw(st.integers(0, most)) & usable or 2
            bits.append(BitmaskOp(value, width, draw(st.booleans()), draw(st.booleans()), joined))
    return NumericComponent(type_, tuple(numeric)) if numeric else BitmaskComponent(type_, tuple(bits))


@st.composite
def rules(draw: st.DrawFn, afi: Afi | None = None) -> FlowRule:
    family = draw(st.sampled_from(Afi)) if afi is None else afi
    possible = [type_ for type_, kind in KINDS.items() if family in kind.families]
    chosen = sorted(draw(st.sets(st.sampled_from(possible), min_size=1, max_size=6)))
    components: list[Component] = []
    for type_ in chosen:
        prefix = KINDS[type_].form is ValueForm.PREFIX
        components.append(draw(prefix_components(type_, family) if prefix else op_components(type_, family)))
    return FlowRule(family, tuple(components))


U16 = st.integers(0, (1 << 16) - 1)
U32 = st.integers(0, (1 << 32) - 1)
RATES = st.floats(0, 2.0**100, width=32)


def octets_of(count: int) -> SearchStrategy[bytes]:
    return st.binary(min_size=count, max_size=count)


def short_actions() -> SearchStrategy[Action]:
    """Return every kind of action of 8 octets with all its numbers."""
    flag = st.booleans()
    return st.one_of(
        st.builds(TrafficRateBytes, RATES, U16),
        st.builds(TrafficRatePackets, RATES, U16),
        st.builds(TrafficAction, flag, flag),
        st.builds(TrafficMarking, st.integers(0, 63)),
        st.builds(RtRedirect, st.just(RedirectForm.AS2), U16, U32),
        st.builds(RtRedirect, st.sampled_from([RedirectForm.AS4, RedirectForm.IPV4]), U32, U16),
        st.builds(RedirectToIp, octets_of(4), flag),
        st.builds(RedirectToNextHop, flag),
        st.builds(InterfaceSet, U32, st.integers(0, (1 << 14) - 1), flag, flag, flag),
    )


def wide_actions() -> SearchStrategy[Action]:
    """Return every kind of action of 20 octets."""
    return st.builds(RtRedirectIpv6, octets_of(16), U16) | st.builds(RedirectToIp, octets_of(16), st.booleans())


def actions() -> SearchStrategy[Action]:
    """Return every kind of action."""
    return short_actions() | wide_actions()


LARGE = st.builds(LargeCommunity, U32, U32, U32)


def flow_routes() -> SearchStrategy[FlowRoute]:
    return st.builds(
        FlowRoute,
        rules(),
        st.lists(actions(), max_size=4).map(tuple),
        communities=st.lists(U32, max_size=4).map(tuple),
        large=st.lists(LARGE, max_size=3).map(tuple),
        local_pref=st.none() | U32,
    )


@st.composite
def unicast_routes(draw: st.DrawFn) -> UnicastRoute:
    afi = draw(st.sampled_from(Afi))
    octets = 4 if afi is Afi.IPV4 else draw(st.sampled_from([16, 32]))
    return UnicastRoute(
        prefix=draw(prefixes(afi)),
        next_hop=draw(st.binary(min_size=octets, max_size=octets)),
        origin=draw(st.sampled_from(Origin)),
        as_path=tuple(draw(st.lists(st.integers(1, (1 << 32) - 1), max_size=6))),
        med=draw(st.none() | U32),
        local_pref=draw(st.none() | U32),
        communities=tuple(draw(st.lists(U32, max_size=4))),
        large=tuple(draw(st.lists(LARGE, max_size=3))),
    )


def opens() -> SearchStrategy[Open]:
    families = st.lists(st.sampled_from(Family), unique=True).map(tuple)
    restart = st.builds(
        lambda seconds, restarted, notification, listed, count: GracefulRestart(
            seconds, restarted=restarted, notification=notification, families=listed, kept=listed[:count]
        ),
        st.integers(0, 4095),
        st.booleans(),
        st.booleans(),
        families,
        st.integers(0, 4),
    )
    numbers = st.integers(1, (1 << 32) - 1).map(Asn)
    capabilities = st.builds(
        Capabilities,
        families,
        st.booleans(),
        st.booleans(),
        st.booleans(),
        st.just(None) | numbers,
        st.none() | restart,
        families.map(lambda chosen: tuple(sorted(chosen))),
        families.map(lambda chosen: tuple(sorted(chosen))),
        extended_next_hop=families,
    )
    return st.builds(
        lambda hold, identifier, offered, small: Open(
            Asn(small) if offered.asn4 is None else offered.asn4, hold, identifier, offered
        ),
        st.sampled_from([0, 3, 90, 65535]),
        st.integers(1, (1 << 32) - 1),
        capabilities,
        st.integers(1, 65535),
    )
