"""Readable dissection of network layers: IPv4 with options and fragments, IPv6 with its chain of extension headers, AH.

Each function takes the window that starts at its layer and returns its fields and what follows.

Answers for: RFC 791, RFC 8200, RFC 4302 (AH), RFC 3168 (ECN), RFC 2474 (DSCP), IANA protocol numbers.
"""

from __future__ import annotations

import msgspec

from tidegate.data.names import Layer
from tidegate.wire.packet.window import Fields, Found, Window, present

__all__ = ["ah", "follow_protocol", "ipv4", "ipv6", "traffic_class"]

_PROTOCOLS = {
    1: Layer.ICMP, 6: Layer.TCP, 17: Layer.UDP, 47: Layer.GRE, 50: Layer.ESP, 51: Layer.AH, 58: Layer.ICMP6,
    132: Layer.SCTP, 137: Layer.MPLS,
}  # fmt: skip
_FRAGMENT, _AUTHENTICATION = 44, 51
_EXTENSIONS = (0, 43, _FRAGMENT, _AUTHENTICATION, 60, 135, 139, 140)
_MOST_EXTENSIONS = 7  # data/forms.py holds as many in a word


def follow_protocol(window: Window, protocol: int | None, at: int) -> Layer | None:
    """Return the layer that an IP protocol number names, `at` octets into the layer."""
    if protocol in (4, 41):
        return window.ip(at)
    return None if protocol is None else _PROTOCOLS.get(protocol)


def ipv4(window: Window) -> Found:
    """Read RFC 791: a header shorter than 20 octets ends the walk, and so does a later fragment."""
    tos = window.uint(1, 1)
    fields: Fields = present(
        ip_offset=window.start,
        ipbytes=window.uint(2, 2),
        ipid=window.uint(4, 2),
        ipflags=window.bits(6, 1, 5, 7),
        ipfragoffset=window.bits(6, 2, 0, 0x1FFF),
        ipttl=window.uint(8, 1),
        ipprotocol=window.uint(9, 1),
        ipsource=window.address(12, 4),
        ipdestination=window.address(16, 4),
    )
    fields |= traffic_class("ip", tos)
    length = 4 * (window.bits(0, 1, 0, 15) or 0)
    if length < 20 or window.bits(6, 2, 0, 0x1FFF) != 0:
        return Found(fields)
    total = window.uint(2, 2) or 0
    end = min(window.end, window.start + total) if total >= length else window.end
    return Found(fields, follow_protocol(window, window.uint(9, 1), length), length, end)


def traffic_class(family: str, tos: int | None) -> Fields:
    """Return the fields of a type of service or traffic class octet, of `ip` or `ip6`."""
    if tos is None:
        return {}
    dscp = (tos >> 2 & 63,)
    return {
        f"{family}tos": (tos & 255,),
        f"{family}dscp": dscp,
        f"{family}dscpname": dscp,
        f"{family}ecn": (tos & 3,),
    }


class _Chain(msgspec.Struct, frozen=True):
    """Extension headers that were named, and what is behind them."""

    numbers: tuple[int, ...]
    fragment: int | None  # where the first fragment header starts
    later: bool  # a fragment other than the first: nothing is behind it
    following: int | None  # None: the chain is cut off or too long
    length: int  # octets, with the IPv6 header


def _chain(window: Window) -> _Chain:
    """Walk the extension headers (RFC 8200 section 4)."""
    numbers: list[int] = []
    fragment: int | None = None
    later = False
    at = 40
    number = window.uint(6, 1)
    while number is not None and number in _EXTENSIONS and not later:
        if len(numbers) == _MOST_EXTENSIONS:
            return _Chain(tuple(numbers), fragment, later, None, at)
        numbers.append(number)
        if number == _FRAGMENT and fragment is None:
            fragment = at
        size = _extension_size(window, number, at)
        if size is None:
            return _Chain(tuple(numbers), fragment, later, None, at)
        later = number == _FRAGMENT and window.bits(at + 2, 2, 3, 0x1FFF) != 0
        number = window.uint(at, 1)
        at += size
    return _Chain(tuple(numbers), fragment, later, None if number in _EXTENSIONS else number, at)


def _extension_size(window: Window, number: int, at: int) -> int | None:
    """Return the octets of an extension header, None where its first two (of a fragment header: all) are missing."""
    if number == _FRAGMENT:
        return None if window.octets(at, 8) is None else 8
    size = window.uint(at + 1, 1)
    if size is None:
        return None
    return (size + 2) * 4 if number == _AUTHENTICATION else (size + 1) * 8


def ipv6(window: Window) -> Found:
    """Read RFC 8200. A payload length of 0 says nothing: jumbograms and segmentation offload write it."""
    fields: Fields = present(
        ip6_offset=window.start,
        ip6flowlabel=window.bits(1, 3, 0, 0xFFFFF),
        ip6bytes=window.uint(4, 2),
        ip6ttl=window.uint(7, 1),
        ip6source=window.address(8, 16),
        ip6destination=window.address(24, 16),
    )
    fields |= traffic_class("ip6", window.bits(0, 2, 4, 255))
    if window.octets(0, 40) is None:
        return Found(fields)
    payload = window.uint(4, 2)
    end = min(window.end, window.start + 40 + payload) if payload else window.end
    packet = msgspec.structs.replace(window, end=end)
    chain = _chain(packet)
    fields |= present(ip6nexthdr=chain.following)
    if chain.numbers:
        places = sum(number << 8 * place for place, number in enumerate(chain.numbers))
        fields["ip6extensions"] = (len(chain.numbers) << 56 | places,)
    if chain.fragment is not None:
        fields |= present(
            ip6fragoffset=packet.bits(chain.fragment + 2, 2, 3, 0x1FFF),
            ip6fragm=packet.bits(chain.fragment + 3, 1, 0, 1),
        )
    following = None if chain.later else follow_protocol(packet, chain.following, chain.length)
    return Found(fields, following, chain.length, end)


def ah(window: Window) -> Found:
    """Read RFC 4302 behind IPv4; behind IPv6 it is an extension header."""
    size = window.uint(1, 1)
    if size is None:
        return Found({})
    length = (size + 2) * 4
    return Found({}, follow_protocol(window, window.uint(0, 1), length), length)
