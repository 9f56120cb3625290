"""FlowSpec rules and actions as plain JSON values: every part named, nothing abbreviated.

A component is `{"type", "name", "prefix", "offset"}` (offset for IPv6 alone) or `{"type", "name", "ops"}`; an action is
an object with its name under `"action"`. What is written has every field and reads back exactly. What is read may leave
out what has one natural value (`and`, `width`, one of `type` and `name` …); a field that is not known is an error.

Every error is a `TextError` whose reason begins with the place, such as `components[1].ops[0].value`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, TypeVar, assert_never

import msgspec

from tidegate.errors import TextError
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

__all__ = [
    "action_from_json",
    "action_to_json",
    "actions_from_json",
    "component_name",
    "rule_from_json",
    "rule_to_json",
]

Json = dict[str, Any]
T = TypeVar("T")
_SHOWN: Final = 60  # characters of the wrong value in an error


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class _Prefix(_Strict, frozen=True):
    prefix: str
    type: int | None = None
    name: str | None = None
    offset: int = 0


class _NumericOp(_Strict, frozen=True, rename={"conjunct": "and"}):
    op: Comparison
    value: int
    conjunct: bool = False
    width: int = 0


class _Numeric(_Strict, frozen=True):
    ops: list[_NumericOp]
    type: int | None = None
    name: str | None = None


class _BitmaskOp(_Strict, frozen=True, rename={"conjunct": "and", "invert": "not"}):
    value: int
    match: bool = False
    invert: bool = False
    conjunct: bool = False
    width: int = 0


class _Bitmask(_Strict, frozen=True):
    ops: list[_BitmaskOp]
    type: int | None = None
    name: str | None = None


def component_name(type_: ComponentType) -> str:
    """Return the name of a component in JSON and in words."""
    return type_.name.lower().replace("_", "-")


_TYPES: Final[Mapping[str, ComponentType]] = MappingProxyType({component_name(type_): type_ for type_ in ComponentType})


def rule_to_json(rule: FlowRule) -> list[Json]:
    """Return the components of a rule as JSON values."""
    return [_component_to_json(component, rule.afi) for component in rule.components]


def _component_to_json(component: Component, afi: Afi) -> Json:
    head: Json = {"type": int(component.type), "name": component_name(component.type)}
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


def rule_from_json(components: object, afi: Afi) -> FlowRule:
    """Return the rule of these JSON values; its octets are made, and checked, by the encoder."""
    return FlowRule(
        afi,
        tuple(
            _component_from_json(value, f"components[{place}]")
            for place, value in enumerate(_listed(components, "components"))
        ),
    )


def _listed(values: object, where: str) -> Sequence[object]:
    if not isinstance(values, list | tuple):
        raise _wrong(values, where, "a list is expected")
    return values


def _component_from_json(value: object, where: str) -> Component:
    type_ = _type(value, where)
    match KINDS[type_].form:
        case ValueForm.PREFIX:
            given = _read(value, _Prefix, where)
            try:
                return PrefixComponent(type_, parse_prefix(given.prefix), given.offset)
            except TextError as error:
                raise error.under(f"{where}.prefix") from None
        case ValueForm.NUMERIC:
            numbers = _read(value, _Numeric, where).ops
            return NumericComponent(
                type_,
                tuple(NumericOp(op.op, op.value, op.width or _width(op.value, type_), op.conjunct) for op in numbers),
            )
        case ValueForm.BITMASK:
            bits = _read(value, _Bitmask, where).ops
            return BitmaskComponent(
                type_,
                tuple(
                    BitmaskOp(op.value, op.width or _width(op.value, type_), op.match, op.invert, op.conjunct)
                    for op in bits
                ),
            )
        case form:
            assert_never(form)


def _type(value: object, where: str) -> ComponentType:
    """Return the type that `type`, `name` or both say."""
    if not isinstance(value, Mapping):
        raise _wrong(value, where, "an object is expected")
    code, name = value.get("type"), value.get("name")
    named = None
    if name is not None:
        named = _TYPES.get(name) if isinstance(name, str) else None
        if named is None:
            raise _wrong(name, f"{where}.name", f"one of {', '.join(_TYPES)} is expected")
    if code is None:
        if named is None:
            raise _wrong(value, where, 'a "type" or a "name" is expected')
        return named
    if isinstance(code, bool) or not isinstance(code, int) or not 1 <= code <= 13:
        raise _wrong(code, f"{where}.type", "a component type from 1 to 13 is expected")
    if named not in {None, code}:
        raise _wrong(name, f"{where}.name", f"type {code} is {component_name(ComponentType(code))}")
    return ComponentType(code)


def _width(value: int, type_: ComponentType) -> int:
    """Return the octets the encoder would take; RFC 8956 3.7: a flow label should have four."""
    widths = (4,) if type_ is ComponentType.FLOW_LABEL else KINDS[type_].widths
    return next((width for width in widths if value < 1 << 8 * width), widths[-1])


def _read(value: object, type_: type[T], where: str) -> T:
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$")
        raise _wrong(value, where + path.removesuffix("`"), reason.replace("`", "'")) from None


def _wrong(value: object, where: str, reason: str) -> TextError:
    try:
        text = msgspec.json.encode(value).decode()
    except (TypeError, ValueError):
        text = repr(value)
    return TextError(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…", 0, f"{where}: {reason}")


class _Rate(_Strict, frozen=True, rename={"asn": "as"}):
    action: str
    rate: float | str
    asn: int = 0


class _TrafficAction(_Strict, frozen=True, rename={"go_on": "terminal_bit"}):
    action: str
    sample: bool = False
    go_on: bool = False


class _AsRedirect(_Strict, frozen=True, rename={"asn": "as"}):
    action: str
    form: str
    asn: int
    value: int


class _AddressRedirect(_Strict, frozen=True):
    action: str
    form: str
    address: str
    value: int


class _Marking(_Strict, frozen=True):
    action: str
    dscp: int


class _ToIp(_Strict, frozen=True):
    action: str
    address: str
    copy: bool = False


class _ToNextHop(_Strict, frozen=True):
    action: str
    copy: bool = False


class _Interfaces(_Strict, frozen=True, rename={"asn": "as"}):
    action: str
    asn: int
    group: int
    outbound: bool = False
    inbound: bool = False
    transitive: bool = True


class _Unknown(_Strict, frozen=True):
    action: str
    octets: str


def action_to_json(action: Action) -> Json:  # noqa: C901, PLR0911 - one return a kind of action is the table
    """Return one action as a JSON value."""
    match action:
        case TrafficRateBytes():
            return {"action": "traffic-rate-bytes", "as": action.asn, "rate": _rate_to_json(action.rate)}
        case TrafficRatePackets():
            return {"action": "traffic-rate-packets", "as": action.asn, "rate": _rate_to_json(action.rate)}
        case TrafficAction():
            return {"action": "traffic-action", "sample": action.sample, "terminal_bit": action.go_on}
        case RtRedirect(form=RedirectForm.IPV4):
            address = address_text(action.administrator.to_bytes(4, "big"))
            return {"action": "rt-redirect", "form": "ipv4", "address": address, "value": action.value}
        case RtRedirect(form=form):
            return {"action": "rt-redirect", "form": form.value, "as": action.administrator, "value": action.value}
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
            fields = {"group": action.group, "outbound": action.outbound, "inbound": action.inbound}
            return {"action": "interface-set", "as": action.asn} | fields | {"transitive": action.transitive}
        case RawCommunity():
            return {"action": "unknown", "octets": action.octets.hex()}
        case _:
            assert_never(action)


def _rate_to_json(rate: float) -> float | str:
    return rate if math.isfinite(rate) else str(rate)  # JSON has no other spelling of them


def _rate_from_json(rate: float | str, where: str) -> float:
    if isinstance(rate, str) and rate not in {"nan", "inf", "-inf"}:
        raise _wrong(rate, f"{where}.rate", "a number is expected, or one of nan, inf, -inf")
    return float(rate)


def _address_from_json(text: str, where: str, *, octets: int = 0) -> bytes:
    try:
        address = parse_address(text)
    except TextError as error:
        raise error.under(f"{where}.address") from None
    if octets and len(address) != octets:
        raise _wrong(text, f"{where}.address", "an address of the other family than the form is given")
    return address


def _bytes_rate(value: object, where: str) -> Action:
    given = _read(value, _Rate, where)
    return TrafficRateBytes(_rate_from_json(given.rate, where), given.asn)


def _packet_rate(value: object, where: str) -> Action:
    given = _read(value, _Rate, where)
    return TrafficRatePackets(_rate_from_json(given.rate, where), given.asn)


def _traffic_action(value: object, where: str) -> Action:
    given = _read(value, _TrafficAction, where)
    return TrafficAction(given.sample, given.go_on)


def _redirect(value: object, where: str) -> Action:
    form = value.get("form") if isinstance(value, Mapping) else None
    if form in {"as2", "as4"}:
        number = _read(value, _AsRedirect, where)
        return RtRedirect(RedirectForm(number.form), number.asn, number.value)
    if form not in {"ipv4", "ipv6"}:
        raise _wrong(form, f"{where}.form", "one of as2, as4, ipv4, ipv6 is expected")
    given = _read(value, _AddressRedirect, where)
    address = _address_from_json(given.address, where, octets=4 if form == "ipv4" else 16)
    if form == "ipv6":
        return RtRedirectIpv6(address, given.value)
    return RtRedirect(RedirectForm.IPV4, int.from_bytes(address, "big"), given.value)


def _marking(value: object, where: str) -> Action:
    return TrafficMarking(_read(value, _Marking, where).dscp)


def _to_ip(value: object, where: str) -> Action:
    given = _read(value, _ToIp, where)
    return RedirectToIp(_address_from_json(given.address, where), given.copy)


def _to_next_hop(value: object, where: str) -> Action:
    return RedirectToNextHop(_read(value, _ToNextHop, where).copy)


def _interfaces(value: object, where: str) -> Action:
    given = _read(value, _Interfaces, where)
    return InterfaceSet(given.asn, given.group, given.outbound, given.inbound, given.transitive)


def _unknown(value: object, where: str) -> Action:
    text = _read(value, _Unknown, where).octets
    try:
        octets = bytes.fromhex(text)
    except ValueError:
        octets = b""
    if len(octets) not in {8, 20}:
        raise _wrong(text, f"{where}.octets", "8 or 20 octets in hexadecimal are expected")
    return RawCommunity(octets)


_ACTIONS: Final[Mapping[str, Callable[[object, str], Action]]] = MappingProxyType(
    {
        "traffic-rate-bytes": _bytes_rate,
        "traffic-rate-packets": _packet_rate,
        "traffic-action": _traffic_action,
        "rt-redirect": _redirect,
        "traffic-marking": _marking,
        "redirect-to-ip": _to_ip,
        "redirect-to-nexthop": _to_next_hop,
        "interface-set": _interfaces,
        "unknown": _unknown,
    }
)


def action_from_json(value: object, where: str = "action") -> Action:
    """Return the action of a JSON value; `where` names its place in errors."""
    name = value.get("action") if isinstance(value, Mapping) else None
    read = _ACTIONS.get(name) if isinstance(name, str) else None
    if read is None:
        raise _wrong(value, where, f'an object with an "action" of {", ".join(_ACTIONS)} is expected')
    return read(value, where)


def actions_from_json(values: object) -> tuple[Action, ...]:
    """Return the actions of a list of JSON values."""
    return tuple(action_from_json(value, f"actions[{place}]") for place, value in enumerate(_listed(values, "actions")))
