"""FlowSpec rules in words: which packets match, what is done to them, and what surprises people about it.

Rules and actions go in, sentences come out, each on a line of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final, assert_never

from tidegate.control.flow_effect import Copy, Effect, Overruled, Redirect, effective
from tidegate.control.flow_json import component_name
from tidegate.control.flow_match import FRAGMENT_CLASSES, IS_FRAGMENT, bits_match
from tidegate.control.flow_syntax import DSCP_NAMES, PROTOCOL_NAMES
from tidegate.control.flowspec import check_possible
from tidegate.errors import Inexpressible
from tidegate.wire.bgp.communities import (
    Action,
    InterfaceSet,
    RawCommunity,
    RedirectForm,
    RedirectToIp,
    RedirectToNextHop,
    RtRedirect,
    RtRedirectIpv6,
    TrafficMarking,
    TrafficRateBytes,
    TrafficRatePackets,
)
from tidegate.wire.bgp.constants import Afi
from tidegate.wire.bgp.flowspec import (
    KINDS,
    BitmaskComponent,
    BitmaskOp,
    Component,
    ComponentType,
    FlowRule,
    NumericComponent,
    PrefixComponent,
)
from tidegate.wire.bgp.prefix import address_text
from tidegate.wire.bgp.profile import value_ranges

__all__ = ["describe_actions", "describe_component", "describe_match", "quirks"]

_SUBJECTS: Final[Mapping[ComponentType, str]] = MappingProxyType(
    {
        ComponentType.DESTINATION: "to",
        ComponentType.SOURCE: "from",
        ComponentType.PORT: "source or destination port",
        ComponentType.ICMP_TYPE: "ICMP type",
        ComponentType.ICMP_CODE: "ICMP code",
        ComponentType.PACKET_LENGTH: "IP packet of",
        ComponentType.DSCP: "DSCP",
    }
)
_NAMES: Final[Mapping[ComponentType, Mapping[int, str]]] = MappingProxyType(
    {
        ComponentType.PROTOCOL: {number: name.upper() for name, number in PROTOCOL_NAMES.items()},
        ComponentType.DSCP: {number: name.upper() for name, number in DSCP_NAMES.items()},
    }
)
_FLAGS: Final = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "NS", "bit 9", "bit 10", "bit 11")
_PORTS: Final = frozenset({ComponentType.PORT, ComponentType.DESTINATION_PORT, ComponentType.SOURCE_PORT})
_TRANSPORT: Final = _PORTS | {ComponentType.ICMP_TYPE, ComponentType.ICMP_CODE, ComponentType.TCP_FLAGS}


def describe_match(rule: FlowRule) -> list[str]:
    """Return what all must hold of a packet, a component a line."""
    return [describe_component(component, rule.afi) for component in rule.components]


def describe_component(component: Component, afi: Afi) -> str:
    """Return what one component asks of a packet."""
    subject = _SUBJECTS.get(component.type, component_name(component.type).replace("-", " "))
    match component:
        case PrefixComponent(prefix=prefix, offset=offset):
            beginning = f" (the first {offset} bits may be any)" if offset else ""
            return f"{subject} {prefix}{beginning}" if prefix.length else f"{subject} any address"
        case NumericComponent():
            unit = " octets" if component.type is ComponentType.PACKET_LENGTH else ""
            return f"{subject} {_describe_numbers(component)}{unit}"
        case BitmaskComponent(type=ComponentType.FRAGMENT, ops=ops):
            return _describe_fragments(ops, afi)
        case BitmaskComponent(ops=ops):
            return f"TCP flags: {_describe_flags(ops)}"
        case _:
            assert_never(component)


def _describe_numbers(component: NumericComponent) -> str:
    most, names = KINDS[component.type].most, _NAMES.get(component.type, {})
    ranges = value_ranges(component)
    if not ranges:
        return "that no packet has"
    if ranges == [(0, most)]:
        return "any"
    return _listed([_describe_range(low, high, most, names) for low, high in ranges], "or")


def _describe_range(low: int, high: int, most: int, names: Mapping[int, str]) -> str:
    if low == high:
        return f"{low} ({names[low]})" if low in names else str(low)
    if low == 0:
        return f"up to {high}"
    return f"{low} and more" if high == most else f"{low} to {high}"


def _listed(texts: Sequence[str], joint: str) -> str:
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} {joint} {texts[-1]}"


def _describe_flags(ops: Iterable[BitmaskOp]) -> str:
    words: list[str] = []
    for place, op in enumerate(ops):
        joint = "" if not place else " and " if op.conjunct else ", or "
        words.append(joint + _describe_bits(op))
    return "".join(words)


def _describe_bits(op: BitmaskOp) -> str:
    names = [name for bit, name in enumerate(_FLAGS) if op.value >> bit & 1]
    if not names:
        return "anything" if op.match is not op.invert else "nothing"
    if len(names) == 1:
        return f"{names[0]} {'not set' if op.invert else 'set'}"
    if op.match:
        return f"{'not all of ' if op.invert else ''}{_listed(names, 'and')} set"
    return f"{'none' if op.invert else 'any'} of {_listed(names, 'and')} set"


def _describe_fragments(ops: Sequence[BitmaskOp], afi: Afi) -> str:
    """Name the classes of packets that match, apart by the DF bit where that makes a difference."""
    unused = 0 if afi is Afi.IPV4 else 1
    texts = []
    for name, bits in FRAGMENT_CLASSES.items():
        clear, set_ = bits_match(ops, bits, unused=unused), bits_match(ops, bits | 1, unused=unused)
        if clear and set_:
            texts.append(name)
        elif clear or set_:
            texts.append(f"{name} {'with' if set_ else 'without'} DF")
    if len(texts) == len(FRAGMENT_CLASSES) and set(texts) == set(FRAGMENT_CLASSES):
        return "whole packets and fragments of any kind"
    return _listed(texts, "and") if texts else "fragment bits that no packet has"


def describe_actions(actions: Iterable[Action], next_hop: bytes = b"") -> list[str]:
    """Return what is done to a packet, the result of all actions first, then what comes to nothing."""
    given = tuple(actions)
    effect = effective(given)
    lines = list(_describe_effect(effect, next_hop)) if given else ["let pass (no action)"]
    lines += [f"not done: {_describe_overruled(overruled, next_hop)}" for overruled in effect.overruled]
    unknown = [action.octets.hex() for action in given if isinstance(action, RawCommunity)]
    return lines + [f"community {octets} is no action that is known" for octets in unknown]


def _describe_effect(effect: Effect, next_hop: bytes) -> Iterator[str]:
    for interfaces in effect.interfaces:
        yield _describe_interfaces(interfaces)
    yield from (f"copy {_describe_target(copy, next_hop)}" for copy in effect.copies)
    if effect.sample:
        yield "sample: matching packets are logged or sampled"
    limits = [(effect.rate_bytes, _describe_bytes), (effect.rate_packets, _describe_packets)]
    yield from (describe(rate) for rate, describe in limits if rate is not None)
    if effect.dscp is not None:
        yield f"mark with DSCP {_describe_dscp(effect.dscp)}"
    if effect.redirect is not None:
        yield f"redirect {_describe_target(effect.redirect, next_hop)}"
    if effect.drop:
        yield "drop"
    elif effect == Effect(interfaces=effect.interfaces, go_on=effect.go_on, overruled=effect.overruled):
        yield "let pass"
    if effect.go_on:
        yield "go on: the rules after this one are tried as well (T bit set; some tools call that “terminal”)"


def _describe_bytes(rate: float) -> str:
    return "no limit of octets" if math.isinf(rate) else f"at most {rate:,.15g} octets/s ({8 * rate:,.15g} bit/s)"


def _describe_packets(rate: float) -> str:
    return "no limit of packets" if math.isinf(rate) else f"at most {rate:,.15g} packets/s"


def _describe_dscp(dscp: int) -> str:
    name = _NAMES[ComponentType.DSCP].get(dscp)
    return f"{dscp} ({name})" if name else str(dscp)


def _describe_target(action: Redirect | Copy, next_hop: bytes) -> str:
    match action:
        case RedirectToIp(address=address):
            return f"to {address_text(address)}"
        case RedirectToNextHop():
            known = len(next_hop) in {4, 16}
            return f"to the next hop of the route{f', {address_text(next_hop)}' if known else ''}"
        case RtRedirect(form=RedirectForm.IPV4, administrator=number, value=value):
            return f"into the VRF that imports route target {address_text(number.to_bytes(4, 'big'))}:{value}"
        case RtRedirect(administrator=number, value=value):
            return f"into the VRF that imports route target {number}:{value}"
        case RtRedirectIpv6(administrator=address, value=value):
            return f"into the VRF that imports route target [{address_text(address)}]:{value}"
        case _:
            assert_never(action)


def _describe_interfaces(action: InterfaceSet) -> str:
    ways = [name for name, given in (("in", action.inbound), ("out", action.outbound)) if given]
    way = f"{' and '.join(ways)} of" if ways else "no direction of"
    return f"only {way} interfaces of group {action.group} of AS {action.asn}"


def _describe_overruled(overruled: Overruled, next_hop: bytes) -> str:
    match overruled.action:
        case TrafficRateBytes(rate=rate):
            text = _describe_bytes(rate)
        case TrafficRatePackets(rate=rate):
            text = _describe_packets(rate)
        case TrafficMarking(dscp=dscp):
            text = f"mark with DSCP {_describe_dscp(dscp)}"
        case RedirectToIp() | RedirectToNextHop() | RtRedirect() | RtRedirectIpv6() as redirect:
            text = f"redirect {_describe_target(redirect, next_hop)}"
        case other:
            assert_never(other)
    return f"{text} ({overruled.reason})"


def quirks(rule: FlowRule) -> list[str]:
    """Return what a careful reader should know of a rule beyond its words."""
    return list(_quirks(rule))


def _quirks(rule: FlowRule) -> Iterator[str]:
    by_type = {component.type: component for component in rule.components}
    try:
        check_possible(rule.components)
    except Inexpressible as error:
        yield f"no packet matches: {error.part}"
    destination = by_type.get(ComponentType.DESTINATION)
    prefixes = [component for component in rule.components if isinstance(component, PrefixComponent)]
    if not any(component.prefix.length for component in prefixes):
        yield "all traffic is looked at: there is no destination and no source prefix"
    if not isinstance(destination, PrefixComponent) or destination.offset:
        yield "receivers that validate rules refuse it: no destination prefix from the first bit on (RFC 8955 6)"
    transport = [type_ for type_ in by_type if type_ in _TRANSPORT]
    if transport:
        names = _listed([component_name(type_) for type_ in transport], "and")
        yield f"{names}: never of fragments after the first, which have no transport header"
    if _PORTS & set(transport) and ComponentType.PROTOCOL not in by_type:
        yield "ports are those of TCP and UDP alone; a protocol component would say which"
    if ComponentType.PACKET_LENGTH in by_type:
        own = "the payload length and 40" if rule.afi is Afi.IPV6 else "header and payload"
        yield f"packet-length counts the whole IP packet: {own}"
    fragment = by_type.get(ComponentType.FRAGMENT)
    if isinstance(fragment, BitmaskComponent):
        yield from _fragment_quirks(fragment, rule.afi, transport=bool(transport))


def _fragment_quirks(component: BitmaskComponent, afi: Afi, *, transport: bool) -> Iterator[str]:
    unused = 1 if afi is Afi.IPV6 else 0
    if any(op.value & unused for op in component.ops):
        yield "IPv6 has no don't-fragment bit: it is ignored (RFC 8956 3.6)"
    with_header = (bits | df for bits in FRAGMENT_CLASSES.values() if not bits & IS_FRAGMENT for df in (0, 1))
    if transport and not any(bits_match(component.ops, bits, unused=unused) for bits in with_header):
        yield "no packet matches: the fragments that are meant have no transport header"
