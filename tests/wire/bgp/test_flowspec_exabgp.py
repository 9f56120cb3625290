"""Our FlowSpec codec beside exabgp 5's: both must read the same octets in the same way, and write them again."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given

from bgp_cases import rules
from tidegate.wire.bgp.constants import Afi
from tidegate.wire.bgp.flowspec import (
    KINDS,
    Comparison,
    Component,
    ComponentType,
    FlowRule,
    NumericComponent,
    PrefixComponent,
    encode_rule,
)

flow = pytest.importorskip("exabgp.bgp.message.update.nlri.flow", reason="exabgp 5 is not installed")
family = pytest.importorskip("exabgp.protocol.family", reason="exabgp 5 is not installed")
message = pytest.importorskip("exabgp.bgp.message", reason="exabgp 5 is not installed")

# exabgp writes values in the least octets (a flow label too) and has names for some numbers
PLAIN = frozenset({ComponentType.PORT, ComponentType.DESTINATION_PORT, ComponentType.SOURCE_PORT})
NAMES = {
    ComponentType.PORT: "port",
    ComponentType.DESTINATION_PORT: "destination-port",
    ComponentType.SOURCE_PORT: "source-port",
}


def least(component: Component) -> Component:
    """Return the component in the least octets."""
    if isinstance(component, PrefixComponent):
        return component
    widths = KINDS[component.type].widths
    ops = tuple(
        msgspec.structs.replace(op, width=next(width for width in widths if op.value < 1 << 8 * width))
        for op in component.ops
    )
    return msgspec.structs.replace(component, ops=ops)


def theirs(octets: bytes, afi: Afi) -> Any:  # noqa: ANN401 - exabgp ships no types for it
    kind = family.AFI.ipv4 if afi is Afi.IPV4 else family.AFI.ipv6
    rule, rest = flow.Flow.unpack_nlri(kind, family.SAFI.flow_ip, octets, message.Action.ANNOUNCE, None)
    assert not rest
    return rule


def text_of(component: NumericComponent) -> str:
    """Return a component as exabgp writes it: AND groups, joined by blanks."""
    text = ""
    for place, op in enumerate(component.ops):
        sign = "=" if op.comparison is Comparison.EQ else op.comparison.value
        constant = op.comparison in {Comparison.TRUE, Comparison.FALSE}
        text += ("" if not place else "&" if op.conjunct else " ") + (sign if constant else f"{sign}{op.value}")
    return text


@given(rules())
def test_exabgp_reads_and_writes_the_same(rule: FlowRule) -> None:
    canonical = msgspec.structs.replace(rule, components=tuple(least(component) for component in rule.components))
    octets = encode_rule(canonical)
    other = theirs(octets, rule.afi)
    assert other is not None
    assert bytes(other.pack_nlri()) == octets
    shown = json.loads(other.json())
    for component in canonical.components:
        if isinstance(component, NumericComponent) and component.type in PLAIN:
            text = " ".join(shown[NAMES[component.type]])
            assert re.sub(r"(true|false)\d+", r"\1", text) == text_of(component)  # it shows the unused value there
