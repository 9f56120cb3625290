"""Communities of every width, and FlowSpec's traffic actions, which travel as extended communities.

Octets go in, records come out, and the other way; what is not known stays as its octets (`RawCommunity`), so that
nothing is lost on the way through. One table (`_ACTIONS`) ties type and subtype to a record.

Answers for: RFC 1997, RFC 4360, RFC 5668, RFC 5701, RFC 8092, RFC 8955 section 7, RFC 8956 section 6.1,
draft-ietf-idr-flowspec-redirect-ip-02 and draft-simpson-idr-flowspec-redirect-02 (both in wide use),
draft-ietf-idr-flowspec-interfaceset.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import msgspec

from tidegate.errors import EncodeError
from tidegate.wire.cursor import Reader, Writer

__all__ = [
    "IPV6_EXTENDED_OCTETS",
    "Action",
    "InterfaceSet",
    "LargeCommunity",
    "RawCommunity",
    "RedirectForm",
    "RedirectToIp",
    "RedirectToNextHop",
    "RtRedirect",
    "RtRedirectIpv6",
    "TrafficAction",
    "TrafficMarking",
    "TrafficRateBytes",
    "TrafficRatePackets",
    "decode_action",
    "encode_action",
    "single",
]

EXTENDED_OCTETS: Final = 8
IPV6_EXTENDED_OCTETS: Final = 20


class LargeCommunity(msgspec.Struct, frozen=True, order=True):
    """RFC 8092: three numbers of four octets each."""

    administrator: int
    data1: int
    data2: int


class TrafficRateBytes(msgspec.Struct, frozen=True):
    """At most `rate` octets a second; 0, a negative number and NaN drop (RFC 8955 7.1). `asn` informs only."""

    rate: float
    asn: int = 0


class TrafficRatePackets(msgspec.Struct, frozen=True):
    """At most `rate` packets a second (RFC 8955 7.2)."""

    rate: float
    asn: int = 0


class TrafficAction(msgspec.Struct, frozen=True):
    """RFC 8955 7.3. `go_on` is the T bit: set, later rules are tried as well (the reverse of "terminal")."""

    sample: bool = False
    go_on: bool = False


class RedirectForm(StrEnum):
    """How a route target's administrator is written."""

    AS2 = "as2"
    IPV4 = "ipv4"
    AS4 = "as4"


class RtRedirect(msgspec.Struct, frozen=True):
    """To the VRF that imports this route target (RFC 8955 7.4); `administrator` is an AS or an address as a number."""

    form: RedirectForm
    administrator: int
    value: int


class RtRedirectIpv6(msgspec.Struct, frozen=True):
    """The same with an IPv6 administrator of 16 octets (RFC 8956 6.1)."""

    administrator: bytes
    value: int


class TrafficMarking(msgspec.Struct, frozen=True):
    """Write this DSCP (RFC 8955 7.5)."""

    dscp: int


class RedirectToIp(msgspec.Struct, frozen=True):
    """Send, or copy, to an address of 4 or 16 octets (draft-ietf-idr-flowspec-redirect-ip)."""

    address: bytes
    copy: bool = False


class RedirectToNextHop(msgspec.Struct, frozen=True):
    """Send, or copy, to the MP_REACH next hop (draft-simpson-idr-flowspec-redirect)."""

    copy: bool = False


class InterfaceSet(msgspec.Struct, frozen=True):
    """Apply the rule on a group of interfaces only (draft-ietf-idr-flowspec-interfaceset)."""

    asn: int
    group: int
    outbound: bool = False
    inbound: bool = False
    transitive: bool = True


class RawCommunity(msgspec.Struct, frozen=True):
    """An extended community of 8 or 20 octets that is none of the above."""

    octets: bytes


Action = (
    TrafficRateBytes
    | TrafficRatePackets
    | TrafficAction
    | RtRedirect
    | RtRedirectIpv6
    | TrafficMarking
    | RedirectToIp
    | RedirectToNextHop
    | InterfaceSet
    | RawCommunity
)


def _rate(body: Reader) -> float:
    """Read a rate; every NaN is the same one, so that a rule that comes again is the rule that is held."""
    rate = body.f32()
    return math.nan if math.isnan(rate) else rate


def single(value: float) -> float:
    """Return the greatest IEEE single not above `value`: a limit is never widened by rounding.

    `EncodeError` where the value is not a finite number a single can come near, or would turn into 0.
    """
    try:
        near = float(struct.unpack(">f", struct.pack(">f", value))[0])
    except OverflowError:
        near = math.inf
    if not math.isfinite(near):
        raise EncodeError(f"{value} does not fit a single")
    if near > value:
        bits = int.from_bytes(struct.pack(">f", near), "big") - 1
        near = float(struct.unpack(">f", bits.to_bytes(4, "big"))[0])
    if near == 0 and value != 0:
        raise EncodeError(f"{value} is too near zero for a single")
    return near


def _decode_bytes(body: Reader) -> Action:
    asn = body.u16()
    return TrafficRateBytes(_rate(body), asn)


def _decode_packets(body: Reader) -> Action:
    asn = body.u16()
    return TrafficRatePackets(_rate(body), asn)


def _decode_traffic_action(body: Reader) -> Action:
    body.skip(5)
    bits = body.u8()
    return TrafficAction(sample=bool(bits & 2), go_on=bool(bits & 1))


def _decode_redirect(form: RedirectForm) -> Callable[[Reader], Action]:
    width = 2 if form is RedirectForm.AS2 else 4

    def decode(body: Reader) -> Action:
        return RtRedirect(form, body.uint(width), body.uint(len(body)))

    return decode


def _decode_marking(body: Reader) -> Action:
    body.skip(5)
    return TrafficMarking(body.u8() & 0x3F)


def _decode_to_ip(body: Reader) -> Action:
    return RedirectToIp(body.take(len(body) - 2), copy=bool(body.u16() & 1))


def _decode_to_next_hop(body: Reader) -> Action:
    body.skip(5)
    return RedirectToNextHop(copy=bool(body.u8() & 1))


def _decode_ipv6_redirect(body: Reader) -> Action:
    return RtRedirectIpv6(body.take(16), body.u16())


def _decode_interfaces(*, transitive: bool) -> Callable[[Reader], Action]:
    def decode(body: Reader) -> Action:
        asn, bits = body.u32(), body.u16()
        return InterfaceSet(asn, bits & 0x3FFF, bool(bits & 0x8000), bool(bits & 0x4000), transitive)

    return decode


# octets of the whole community, its first two octets -> reader of the rest
_ACTIONS: Final[Mapping[tuple[int, int], Callable[[Reader], Action]]] = MappingProxyType(
    {
        (EXTENDED_OCTETS, 0x8006): _decode_bytes,
        (EXTENDED_OCTETS, 0x800C): _decode_packets,
        (EXTENDED_OCTETS, 0x8007): _decode_traffic_action,
        (EXTENDED_OCTETS, 0x8008): _decode_redirect(RedirectForm.AS2),
        (EXTENDED_OCTETS, 0x8108): _decode_redirect(RedirectForm.IPV4),
        (EXTENDED_OCTETS, 0x8208): _decode_redirect(RedirectForm.AS4),
        (EXTENDED_OCTETS, 0x8009): _decode_marking,
        (EXTENDED_OCTETS, 0x010C): _decode_to_ip,
        (EXTENDED_OCTETS, 0x0800): _decode_to_next_hop,
        (EXTENDED_OCTETS, 0x0702): _decode_interfaces(transitive=True),
        (EXTENDED_OCTETS, 0x4702): _decode_interfaces(transitive=False),
        (IPV6_EXTENDED_OCTETS, 0x000C): _decode_to_ip,
        (IPV6_EXTENDED_OCTETS, 0x000D): _decode_ipv6_redirect,
    }
)
_REDIRECT_TYPES: Final[Mapping[RedirectForm, tuple[int, int, int]]] = MappingProxyType(
    {RedirectForm.AS2: (0x8008, 2, 4), RedirectForm.IPV4: (0x8108, 4, 2), RedirectForm.AS4: (0x8208, 4, 2)}
)


def decode_action(octets: bytes) -> Action:
    """Return the record of one extended community of 8 octets (attribute 16) or 20 (attribute 25).

    Unused bits are ignored, as RFC 8955 7.3 and 7.5 and the redirect drafts ask of a receiver.
    """
    reader = Reader(octets)
    decode = _ACTIONS.get((len(octets), reader.u16()))
    return RawCommunity(octets) if decode is None else decode(reader)


def encode_action(action: Action) -> bytes:  # noqa: C901 - one case a kind of action is the table
    """Return 8 or 20 octets; `EncodeError` where a number does not fit."""
    out = Writer()
    match action:
        case TrafficRateBytes():
            _put_rate(out, 0x8006, action)
        case TrafficRatePackets():
            _put_rate(out, 0x800C, action)
        case TrafficAction():
            _put_last_octet(out, 0x8007, 2 * action.sample + action.go_on)
        case TrafficMarking():
            if not 0 <= action.dscp < 64:
                raise EncodeError(f"DSCP {action.dscp} is over six bits")
            _put_last_octet(out, 0x8009, action.dscp)
        case RedirectToNextHop():
            _put_last_octet(out, 0x0800, int(action.copy))
        case RtRedirect():
            kind, first, second = _REDIRECT_TYPES[action.form]
            _put_numbers(out, [(kind, 2), (action.administrator, first), (action.value, second)])
        case RtRedirectIpv6():
            _put_address(out, 0x000D, action.administrator, action.value)
        case RedirectToIp():
            _put_address(out, 0x010C if len(action.address) == 4 else 0x000C, action.address, int(action.copy))
        case InterfaceSet():
            _put_interfaces(out, action)
        case RawCommunity():
            out.put(action.octets)
    if len(out) not in {EXTENDED_OCTETS, IPV6_EXTENDED_OCTETS}:
        raise EncodeError(f"{action} does not make 8 or 20 octets")
    return out.bytes()


def _put_numbers(out: Writer, numbers: Iterable[tuple[int, int]]) -> None:
    for value, width in numbers:
        out.uint(value, width)


def _put_rate(out: Writer, kind: int, action: TrafficRateBytes | TrafficRatePackets) -> None:
    _put_numbers(out, [(kind, 2), (action.asn, 2)])
    out.f32(action.rate)


def _put_last_octet(out: Writer, kind: int, value: int) -> None:
    _put_numbers(out, [(kind, 2), (0, 5), (value, 1)])


def _put_address(out: Writer, kind: int, address: bytes, value: int) -> None:
    out.u16(kind)
    out.put(address)
    out.u16(value)


def _put_interfaces(out: Writer, action: InterfaceSet) -> None:
    if not 0 <= action.group < 1 << 14:
        raise EncodeError(f"interface group {action.group} is over 14 bits")
    bits = action.outbound << 15 | action.inbound << 14 | action.group
    _put_numbers(out, [(0x0702 if action.transitive else 0x4702, 2), (action.asn, 4), (bits, 2)])
