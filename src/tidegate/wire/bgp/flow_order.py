"""The order in which FlowSpec rules are tried, whatever the order in which they came.

`compare_rules` is the specification's text, step by step. `rule_order` makes octets of a rule that compare the same
way, so that a list of rules is kept in order by comparing octets alone; `ordered_rule` gives the rule back, so that
such octets are all that need be kept of it.

Answers for: RFC 8955 section 5.1, RFC 8956 section 4.
"""

from __future__ import annotations

from typing import Final

from tidegate.errors import EncodeError
from tidegate.wire.bgp.constants import Afi
from tidegate.wire.bgp.flowspec import (
    KINDS,
    Component,
    ComponentType,
    FlowRule,
    PrefixComponent,
    ValueForm,
    decode_ops,
    encode_ops,
)
from tidegate.wire.bgp.prefix import Prefix, mask
from tidegate.wire.cursor import Reader

__all__ = ["compare_rules", "ordered_rule", "rule_order"]

_LAST: Final = b"\xff"  # after every component type: a rule that goes on stands before one that ends


def compare_rules(one: FlowRule, other: FlowRule) -> int:
    """Return -1 where `one` is tried first, 1 where `other` is, 0 where they are the same."""
    for a, b in zip(one.components, other.components, strict=False):
        if a.type != b.type:
            return -1 if a.type < b.type else 1
        if (order := _compare_components(a, b)) != 0:
            return order
    longer = len(one.components) - len(other.components)
    return (longer < 0) - (longer > 0)


def _compare_components(one: Component, other: Component) -> int:
    if isinstance(one, PrefixComponent) or isinstance(other, PrefixComponent):
        return _compare_prefixes(one, other)
    a, b = encode_ops(one), encode_ops(other)
    common = min(len(a), len(b))
    if a[:common] != b[:common]:
        return -1 if a < b else 1
    return (len(a) < len(b)) - (len(a) > len(b))  # the longer first


def _compare_prefixes(one: Component, other: Component) -> int:
    if not (isinstance(one, PrefixComponent) and isinstance(other, PrefixComponent)):
        raise EncodeError(f"{one.type.name} is written in two ways")
    if one.offset != other.offset:
        return -1 if one.offset < other.offset else 1  # RFC 8956 section 4
    a, b = one.prefix, other.prefix
    common = min(a.length, b.length)
    if mask(a.address, common) == mask(b.address, common):
        return (a.length < b.length) - (a.length > b.length)
    return -1 if a.address < b.address else 1


def rule_order(rule: FlowRule) -> bytes:
    """Return octets that are lower the earlier a rule is tried, and the same for the same rule alone.

    Rules of one family compare as `compare_rules` says; the components must be those that the decoder makes.
    """
    return b"".join(_component_order(component) for component in rule.components) + _LAST


def _component_order(component: Component) -> bytes:
    head = bytes((component.type,))
    if not isinstance(component, PrefixComponent):
        return head + encode_ops(component)  # the last operator says that it is the last: none is the start of another
    address, length = component.prefix.address, component.prefix.length
    spare = 8 * len(address) - length
    # ones in the place of the host bits: not before what lies inside, and the length decides between equals
    filled = int.from_bytes(address, "big") | (1 << spare) - 1
    return head + bytes((component.offset,)) + filled.to_bytes(len(address), "big") + bytes((spare,))


def ordered_rule(order: bytes, afi: Afi) -> FlowRule:
    """Return the rule that `rule_order` made these octets of."""
    reader = Reader(order)
    components: list[Component] = []
    while reader.peek(1) != _LAST:
        type_ = ComponentType(reader.u8())
        prefix = KINDS[type_].form is ValueForm.PREFIX
        components.append(_ordered_prefix(reader, type_, afi) if prefix else decode_ops(reader, type_))
    return FlowRule(afi, tuple(components))


def _ordered_prefix(reader: Reader, type_: ComponentType, afi: Afi) -> PrefixComponent:
    offset = reader.u8()
    filled = reader.take(4 if afi is Afi.IPV4 else 16)
    length = 8 * len(filled) - reader.u8()
    return PrefixComponent(type_, Prefix(mask(filled, length), length), offset)
