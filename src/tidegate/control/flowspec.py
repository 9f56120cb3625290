"""FlowSpec rules as scripts and REST write them, `{"match": {…}, "then": {…}}`, to and from what the wire carries.

Pure and total: an object becomes a `FlowRoute` that means exactly what it says, or a `TextError` that points at the
column, or `Inexpressible`. Nothing is guessed, widened or left out; a field that is not known is an error.

A rule without a destination and without a source prefix (or with /0 alone) would be for all traffic: it is refused
unless the caller says `allow_any`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from tidegate.control.community_syntax import format_communities, parse_communities
from tidegate.control.flow_syntax import (
    DSCP_NAMES,
    format_bits,
    format_numbers,
    parse_bits,
    parse_number,
    parse_numbers,
)
from tidegate.errors import EncodeError, Inexpressible, TextError
from tidegate.wire.bgp.communities import (
    Action,
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
    encode_action,
    single,
)
from tidegate.wire.bgp.constants import Afi
from tidegate.wire.bgp.flowspec import (
    BitmaskComponent,
    Component,
    ComponentType,
    FlowRule,
    NumericComponent,
    PrefixComponent,
    encode_rule,
)
from tidegate.wire.bgp.prefix import Prefix, address_text, parse_address, parse_prefix
from tidegate.wire.bgp.profile import value_ranges
from tidegate.wire.bgp.routes import FlowRoute, RouteKey, route_key

__all__ = ["check_possible", "flow_key", "format_flow", "parse_flow", "parse_match"]

# field of the object, component, in the order of the wire (RFC 8955 4.2)
_FIELDS: Final[Mapping[str, ComponentType]] = MappingProxyType(
    {
        "destination": ComponentType.DESTINATION,
        "source": ComponentType.SOURCE,
        "protocol": ComponentType.PROTOCOL,
        "port": ComponentType.PORT,
        "destination-port": ComponentType.DESTINATION_PORT,
        "source-port": ComponentType.SOURCE_PORT,
        "icmp-type": ComponentType.ICMP_TYPE,
        "icmp-code": ComponentType.ICMP_CODE,
        "tcp-flags": ComponentType.TCP_FLAGS,
        "length": ComponentType.PACKET_LENGTH,
        "dscp": ComponentType.DSCP,
        "fragment": ComponentType.FRAGMENT,
        "flow-label": ComponentType.FLOW_LABEL,
    }
)
_NAMES: Final[Mapping[ComponentType, str]] = MappingProxyType({type_: name for name, type_ in _FIELDS.items()})
_PREFIXES: Final = frozenset({ComponentType.DESTINATION, ComponentType.SOURCE})
_BITS: Final = frozenset({ComponentType.TCP_FLAGS, ComponentType.FRAGMENT})
_PORTS: Final = frozenset({ComponentType.PORT, ComponentType.DESTINATION_PORT, ComponentType.SOURCE_PORT})
_ICMP: Final = frozenset({ComponentType.ICMP_TYPE, ComponentType.ICMP_CODE})
_TRAFFIC_ACTIONS: Final[Mapping[str, tuple[bool, bool] | None]] = MappingProxyType(
    {"none": None, "continue": (False, True), "sample": (True, False), "sampleandcontinue": (True, True)}
)
_NEXT_HOP: Final = "redirect-nexthop"
_TARGET: Final = "FlowSpec"


def parse_flow(value: Mapping[str, Any], *, allow_any: bool = False) -> FlowRoute:
    """Return the route of `{"match": {…}, "then": {…}}`; no `then` field lets the traffic pass."""
    _known(value, {"match", "then"}, "rule")
    rule = parse_match(_mapping(value, "match"), allow_any=allow_any)
    then = _mapping(value, "then") if "then" in value else {}
    _known(then, {*_THEN, _NEXT_HOP, "communities"}, "then")
    actions = [action for field in _THEN if field in then for action in _actions(field, then[field])]
    next_hop = b""  # the address of the redirect travels as the next hop of the route
    if _NEXT_HOP in then:
        next_hop = _address(_text(then[_NEXT_HOP], f"then.{_NEXT_HOP}"), f"then.{_NEXT_HOP}")
        actions.append(RedirectToNextHop())
    communities: tuple[int, ...] = ()
    if "communities" in then:
        communities, extended = parse_communities(_text(then["communities"], "then.communities"), "then.communities")
        actions += extended
    _check_actions(actions)
    return FlowRoute(rule, tuple(actions), next_hop, communities=communities)


def _actions(field: str, value: object) -> list[Action]:
    return _THEN[field](_text(value, f"then.{field}"), f"then.{field}")


def flow_key(value: Mapping[str, Any]) -> RouteKey:
    """Return the key of the rule that `match` describes, to withdraw it; `then` is not looked at."""
    return route_key(FlowRoute(parse_match(_mapping(value, "match"), allow_any=True)))


def parse_match(match: Mapping[str, Any], *, allow_any: bool = False) -> FlowRule:
    """Return the rule of a match object."""
    _known(match, {*_FIELDS, "version"}, "match")
    components = tuple(_component(field, match[field]) for field in _FIELDS if field in match)
    if not components:
        raise Inexpressible("the rule", "a match without any field", _TARGET)
    rule = FlowRule(_family(match, components), components)
    _check_width(components, allow_any=allow_any)
    check_possible(components)
    try:
        encode_rule(rule)
    except EncodeError as error:
        raise Inexpressible("the rule", f"a match ({error})", _TARGET) from None
    return rule


def _component(field: str, value: object) -> Component:
    type_ = _FIELDS[field]
    text = _text(value, f"match.{field}")
    if type_ in _PREFIXES:
        return PrefixComponent(type_, _prefix(text, f"match.{field}"))
    if type_ in _BITS:
        return parse_bits(text, f"match.{field}", type_)
    return parse_numbers(text, f"match.{field}", type_)


def _prefix(text: str, field: str) -> Prefix:
    try:
        return parse_prefix(text)
    except TextError as error:
        raise error.under(field) from None


def _address(text: str, field: str) -> bytes:
    try:
        return parse_address(text)
    except TextError as error:
        raise error.under(field) from None


def _family(match: Mapping[str, Any], components: tuple[Component, ...]) -> Afi:
    families = {component.prefix.afi for component in components if isinstance(component, PrefixComponent)}
    if len(families) > 1:
        raise Inexpressible("the rule", "an IPv4 prefix together with an IPv6 prefix", _TARGET)
    if "version" not in match:
        if not families:
            raise Inexpressible("the rule", 'a match with neither prefix nor "version"', _TARGET)
        return families.pop()
    text = _text(match["version"], "match.version")
    if text not in {"4", "6"}:
        raise TextError(text, 0, "match.version: 4 or 6 is expected")
    family = Afi.IPV4 if text == "4" else Afi.IPV6
    if families and family not in families:
        raise TextError(text, 0, "match.version: the prefix is of the other version")
    return family


def _check_width(components: tuple[Component, ...], *, allow_any: bool) -> None:
    prefixes = [component.prefix for component in components if isinstance(component, PrefixComponent)]
    if not allow_any and not any(prefix.length for prefix in prefixes):
        part = "a match for all traffic (no destination or source prefix)"
        raise Inexpressible("the rule", part, "a safe announcement")


def check_possible(components: tuple[Component, ...]) -> None:
    """Refuse what no packet can match (RFC 8955 4.2.2.7, 4.2.2.9): it would only take a slot in the router."""
    types = {component.type for component in components}
    if types & _ICMP and types & (_PORTS | {ComponentType.TCP_FLAGS}):
        raise Inexpressible("the rule", "ICMP fields together with ports or TCP flags (no packet has both)", _TARGET)
    for component in components:
        if not isinstance(component, NumericComponent):
            continue
        ranges = value_ranges(component)
        name = _NAMES[component.type]
        if not ranges:
            raise Inexpressible("the rule", f"a {name} that no packet has", _TARGET)
        if component.type is ComponentType.PROTOCOL:
            _check_protocol(types, ranges)


def _check_protocol(types: set[ComponentType], ranges: list[tuple[int, int]]) -> None:
    def among(*protocols: int) -> bool:
        return any(low <= protocol <= high for low, high in ranges for protocol in protocols)

    for fields, protocols in ((_PORTS, (6, 17)), ({ComponentType.TCP_FLAGS}, (6,)), (_ICMP, (1, 58))):
        wanted = types & fields
        if wanted and not among(*protocols):
            names = ", ".join(_NAMES[type_] for type_ in sorted(wanted))
            raise Inexpressible("the rule", f"{names} with a protocol that has none", _TARGET)


def _rate(text: str, field: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        raise TextError(text, 0, f"{field}: a number is expected") from None
    if not rate >= 0:
        raise TextError(text, 0, f"{field}: a rate of 0 or more is expected", "0 drops")
    try:
        return single(rate)
    except EncodeError as error:
        raise TextError(text, 0, f"{field}: {error}") from None


def _parse_rate(text: str, field: str) -> list[Action]:
    return [TrafficRateBytes(_rate(text, field))]


def _parse_packet_rate(text: str, field: str) -> list[Action]:
    return [TrafficRatePackets(_rate(text, field))]


def _parse_marking(text: str, field: str) -> list[Action]:
    return [TrafficMarking(parse_number(text, field, most=63, names=DSCP_NAMES))]


def _parse_traffic_action(text: str, field: str) -> list[Action]:
    if text.lower() not in _TRAFFIC_ACTIONS:
        raise TextError(text, 0, f"{field}: one of {', '.join(_TRAFFIC_ACTIONS)} is expected")
    bits = _TRAFFIC_ACTIONS[text.lower()]
    return [] if bits is None else [TrafficAction(*bits)]


def _pair(text: str, field: str) -> tuple[str, str]:
    head, colon, tail = text.rpartition(":")
    if not colon or not head or not tail:
        raise TextError(text, len(text), f"{field}: administrator:value is expected", "such as 65000:666")
    return head, tail


def _parse_redirect(form: RedirectForm, most: int, value_most: int) -> Callable[[str, str], list[Action]]:
    def parse(text: str, field: str) -> list[Action]:
        head, _ = _pair(text, field)
        number = parse_number(head, field, most=most)
        return [RtRedirect(form, number, parse_number(text, field, most=value_most, column=len(head) + 1))]

    return parse


def _parse_redirect_ip(text: str, field: str) -> list[Action]:
    head, _ = _pair(text, field)
    address = _address(head.removeprefix("[").removesuffix("]"), field)
    value = parse_number(text, field, most=0xFFFF, column=len(head) + 1)
    if len(address) == 16:
        return [RtRedirectIpv6(address, value)]
    return [RtRedirect(RedirectForm.IPV4, int.from_bytes(address, "big"), value)]


def _parse_action_ip(text: str, field: str) -> list[Action]:
    return [RedirectToIp(_address(text, field))]


_THEN: Final[Mapping[str, Callable[[str, str], list[Action]]]] = MappingProxyType(
    {
        "traffic-rate": _parse_rate,
        "traffic-rate-packets": _parse_packet_rate,
        "traffic-marking": _parse_marking,
        "traffic-action": _parse_traffic_action,
        "redirect-as": _parse_redirect(RedirectForm.AS2, 0xFFFF, 0xFFFFFFFF),
        "redirect-as4": _parse_redirect(RedirectForm.AS4, 0xFFFFFFFF, 0xFFFF),
        "redirect-ip": _parse_redirect_ip,
        "redirect-action-ip": _parse_action_ip,
    }
)


def _check_actions(actions: list[Action]) -> None:
    """Refuse actions that contradict each other: routers differ in which they follow (RFC 8955 7.7)."""
    redirects = [
        action
        for action in actions
        if isinstance(action, RtRedirect | RtRedirectIpv6 | RedirectToIp | RedirectToNextHop)
    ]
    drops = [
        action for action in actions if isinstance(action, TrafficRateBytes | TrafficRatePackets) and action.rate == 0
    ]
    if len(redirects) > 1:
        raise Inexpressible("the rule", "more than one redirect", _TARGET)
    if redirects and drops:
        raise Inexpressible("the rule", "a redirect together with a rate of 0", _TARGET)


def _known(value: Mapping[str, Any], fields: set[str], where: str) -> None:
    for field in value:
        if field not in fields:
            raise TextError(str(field), 0, f"{where}: unknown field", f"known are {', '.join(sorted(fields))}")


def _mapping(value: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    inner = value.get(field)
    if not isinstance(inner, Mapping):
        raise TextError(field, 0, f"an object is expected under {field!r}")
    return inner


def _text(value: object, field: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TextError(str(value), 0, f"{field}: a text or a number is expected")
    return str(value).strip()


def format_flow(route: FlowRoute) -> dict[str, dict[str, str]]:
    """Return a route as `{"match": {…}, "then": {…}}`; `parse_flow` gives the route back.

    What the object has no field for (prefix offsets, AS numbers inside rates) is an `Inexpressible`.
    """
    match = {_NAMES[component.type]: _value_text(component) for component in route.rule.components}
    match["version"] = "4" if route.rule.afi is Afi.IPV4 else "6"
    then: dict[str, str] = {}
    raw: list[RawCommunity] = []
    for action in route.actions:
        field, text = _action_text(action, route.next_hop)
        if field:
            then[field] = text
        else:
            raw.append(RawCommunity(encode_action(action)))
    if route.communities or raw:
        then["communities"] = format_communities(route.communities, raw)
    return {"match": match, "then": then}


def _value_text(component: Component) -> str:
    match component:
        case PrefixComponent():
            if component.offset:
                raise Inexpressible("the rule", f"the prefix offset {component.offset}", "a flow object")
            return str(component.prefix)
        case NumericComponent():
            return format_numbers(component)
        case BitmaskComponent():
            return format_bits(component)


def _action_text(action: Action, next_hop: bytes) -> tuple[str, str]:  # noqa: PLR0911 - one case a kind of action
    """Return the field and text of an action; an empty field where only its octets can say it."""
    match action:
        case TrafficRateBytes(asn=0, rate=rate) if rate >= 0:
            return "traffic-rate", format(rate, ".17g")
        case TrafficRatePackets(asn=0, rate=rate) if rate >= 0:
            return "traffic-rate-packets", format(rate, ".17g")
        case TrafficMarking(dscp=dscp):
            return "traffic-marking", str(dscp)
        case TrafficAction(sample=sample, go_on=go_on) if sample or go_on:
            return "traffic-action", "sample" * sample + "and" * (sample and go_on) + "continue" * go_on
        case RtRedirect(form=RedirectForm.IPV4, administrator=number, value=value):
            return "redirect-ip", f"{address_text(number.to_bytes(4, 'big'))}:{value}"
        case RtRedirect(form=form, administrator=number, value=value):
            return "redirect-as" if form is RedirectForm.AS2 else "redirect-as4", f"{number}:{value}"
        case RtRedirectIpv6(administrator=address, value=value):
            return "redirect-ip", f"[{address_text(address)}]:{value}"
        case RedirectToIp(address=address, copy=False):
            return "redirect-action-ip", address_text(address)
        case RedirectToNextHop(copy=False) if len(next_hop) in {4, 16}:
            return _NEXT_HOP, address_text(next_hop)
        case _:
            return "", ""
