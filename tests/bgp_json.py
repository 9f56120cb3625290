"""FlowSpec rules and actions as plain JSON values: the spelling of golden files.

A component is `{"type", "name", "prefix", "offset"}` (offset for IPv6 alone) or `{"type", "name", "ops"}`; an action
is an object with its name under `"action"`. Both directions are exact; `DecodeError` tells of a value of another shape.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, assert_never

from tidegate.errors import DecodeError, TextError
from tidegate.wire.bgp.communities import (
    Action,
    InterfaceSet,
    RawCommunity,
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
from tidegate.wire.bgp.constants import Afi
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
from tidegate.wire.bgp.prefix import address_text, parse_address, parse_prefix

__all__ = ["action_from_json", "action_to_json", "rule_from_json", "rule_to_json"]

Json = dict[str, Any]


def rule_to_json(rule: FlowRule) -> list[Json]:
    """Return the components of a rule as JSON values."""
    return [_component_to_json(component, rule.afi) for component in rule.components]


def rule_from_json(components: Sequence[Mapping[str, Any]], afi: Afi) -> FlowRule:
    """Return the rule of these JSON values; `DecodeError` where one has another shape."""
    rule: list[Component] = []
    for place, value in enumerate(components):
        try:
            rule.append(_component_from_json(value))
        except (AttributeError, KeyError, TypeError, ValueError, TextError) as error:
            raise DecodeError(f"bad component: {error}", place) from None
    return FlowRule(afi, tuple(rule))


def _component_to_json(component: Component, afi: Afi) -> Json:
    head: Json = {"type": int(component.type), "name": component.type.name.lower().replace("_", "-")}
    match component:
        case PrefixComponent():
            tail: Json = {"offset": component.offset} if afi is Afi.IPV6 else {}
            return head | {"prefix": str(component.prefix)} | tail
        case NumericComponent():
            return head | {"ops": [_numeric_to_json(op) for op in component.ops]}
        case BitmaskComponent():
            return head | {"ops": [_bitmask_to_json(op) for op in component.ops]}
        case _:
            assert_never(component)


def _numeric_to_json(op: NumericOp) -> Json:
    return {"and": op.conjunct, "op": op.comparison.value, "value": op.value, "width": op.width}


def _bitmask_to_json(op: BitmaskOp) -> Json:
    return {"and": op.conjunct, "not": op.invert, "match": op.match, "value": op.value, "width": op.width}


def _component_from_json(value: Mapping[str, Any]) -> Component:
    type_ = ComponentType(value["type"])
    match KINDS[type_].form:
        case ValueForm.PREFIX:
            return PrefixComponent(type_, parse_prefix(value["prefix"]), value.get("offset", 0))
        case ValueForm.NUMERIC:
            return NumericComponent(
                type_,
                tuple(NumericOp(Comparison(op["op"]), op["value"], op["width"], op["and"]) for op in value["ops"]),
            )
        case ValueForm.BITMASK:
            return BitmaskComponent(
                type_,
                tuple(BitmaskOp(op["value"], op["width"], op["match"], op["not"], op["and"]) for op in value["ops"]),
            )
        case form:
            assert_never(form)


def action_to_json(action: Action) -> Json:  # noqa: C901, PLR0911 - one return a kind of action is the table
    """Return one action as a JSON value."""
    match action:
        case TrafficRateBytes():
            return {"action": "traffic-rate-bytes", "as": action.asn, "rate": action.rate}
        case TrafficRatePackets():
            return {"action": "traffic-rate-packets", "as": action.asn, "rate": action.rate}
        case TrafficAction():
            return {"action": "traffic-action", "sample": action.sample, "terminal_bit": action.go_on}
        case RtRedirect(form=RedirectForm.IPV4):
            address = str(ipaddress.IPv4Address(action.administrator))
            return {"action": "rt-redirect", "form": "ipv4", "address": address, "value": action.value}
        case RtRedirect():
            return {
                "action": "rt-redirect",
                "form": action.form.value,
                "as": action.administrator,
                "value": action.value,
            }
        case RtRedirectIpv6():
            address = address_text(action.administrator)
            return {"action": "rt-redirect", "form": "ipv6", "address": address, "value": action.value}
        case TrafficMarking():
            return {"action": "traffic-marking", "dscp": action.dscp}
        case RedirectToIp():
            return {"action": "redirect-to-ip", "address": address_text(action.address), "copy": action.copy}
        case RedirectToNextHop():
            return {"action": "redirect-to-nexthop", "copy": action.copy}
        case InterfaceSet():
            return {
                "action": "interface-set",
                "as": action.asn,
                "group": action.group,
                "outbound": action.outbound,
                "inbound": action.inbound,
                "transitive": action.transitive,
            }
        case RawCommunity():
            return {"action": "unknown", "octets": action.octets.hex()}
        case _:
            assert_never(action)


def _redirect_from_json(value: Mapping[str, Any]) -> Action:
    if value["form"] == "ipv6":
        return RtRedirectIpv6(parse_address(value["address"]), value["value"])
    form = RedirectForm(value["form"])
    if form is RedirectForm.IPV4:
        return RtRedirect(form, int(ipaddress.IPv4Address(value["address"])), value["value"])
    return RtRedirect(form, value["as"], value["value"])


_ACTIONS: Final[Mapping[str, Callable[[Mapping[str, Any]], Action]]] = MappingProxyType(
    {
        "traffic-rate-bytes": lambda value: TrafficRateBytes(value["rate"], value["as"]),
        "traffic-rate-packets": lambda value: TrafficRatePackets(value["rate"], value["as"]),
        "traffic-action": lambda value: TrafficAction(value["sample"], value["terminal_bit"]),
        "rt-redirect": _redirect_from_json,
        "traffic-marking": lambda value: TrafficMarking(value["dscp"]),
        "redirect-to-ip": lambda value: RedirectToIp(parse_address(value["address"]), value["copy"]),
        "redirect-to-nexthop": lambda value: RedirectToNextHop(value["copy"]),
        "interface-set": lambda value: InterfaceSet(
            value["as"], value["group"], value["outbound"], value["inbound"], value["transitive"]
        ),
        "unknown": lambda value: RawCommunity(bytes.fromhex(value["octets"])),
    }
)


def action_from_json(value: Mapping[str, Any]) -> Action:
    """Return the action of a JSON value; `DecodeError` where it has another shape."""
    try:
        return _ACTIONS[value["action"]](value)
    except (KeyError, TypeError, ValueError) as error:
        raise DecodeError(f"bad action: {error}", 0) from None
