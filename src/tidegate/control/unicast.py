"""Unicast routes as scripts and REST write them, such as a blackhole for one host, to and from what the wire carries.

`{"prefix", "nexthop", "communities", "localpref", "med", "origin", "aspath", "nexthoplinklocal"}`: `prefix` and
`nexthop` are needed, numbers may be text. Other fields are ignored, so that a route that was read may be announced, but
for those that look like one of these misspelled.

What a router cannot use as a next hop is refused here: some routers answer it by ending the session, and with it every
other rule (RFC 4271 section 6.3). So is a route to all addresses, which one empty variable in a script would make.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final

from tidegate.control.community_syntax import format_communities, parse_communities
from tidegate.control.flow_syntax import parse_number
from tidegate.errors import Inexpressible, TextError
from tidegate.wire.bgp.constants import Origin
from tidegate.wire.bgp.prefix import Prefix, address_text, parse_address, parse_prefix
from tidegate.wire.bgp.routes import RouteKey, UnicastRoute, route_key

__all__ = ["format_unicast", "parse_unicast", "unicast_key"]

_FIELDS: Final = (
    "prefix", "nexthop", "nexthoplinklocal", "communities", "localpref", "med", "origin", "aspath",
)  # fmt: skip
# besides, what routes that were read have: they may be announced as they are
_KNOWN: Final = frozenset({*_FIELDS, "largecommunities", "extendedcommunities", "parentprefix", "pathid"})
_WORD: Final = (1 << 32) - 1
_MOST_HOPS: Final = 254  # one segment, with this speaker's own AS in front


def parse_unicast(value: Mapping[str, Any]) -> UnicastRoute:
    """Return the route of an object; `TextError` points at the column of the field that is wrong."""
    _refuse_misspelled(value)
    prefix = _prefix(value)
    communities, extended = parse_communities(_text(value, "communities"), "communities")
    if not prefix.length:
        raise Inexpressible(f"the route {prefix}", "a destination of all addresses", "a safe announcement")
    if extended:
        raise Inexpressible(f"the route {prefix}", "an extended community", "a unicast announcement")
    return UnicastRoute(
        prefix=prefix,
        next_hop=_next_hop(value, prefix),
        origin=_origin(value),
        as_path=_as_path(value),
        med=_number(value, "med"),
        local_pref=_number(value, "localpref"),
        communities=communities,
    )


def _refuse_misspelled(value: Mapping[str, Any]) -> None:
    """Refuse a field that is nearly one of ours: a blackhole without its community would be an ordinary route."""
    for field in value:
        near = [] if field in _KNOWN else get_close_matches(str(field), _FIELDS, n=1, cutoff=0.8)
        if near:
            raise TextError(str(field), 0, "unknown field of a route", f"did you mean {near[0]}?")


def unicast_key(prefix: str) -> RouteKey:
    """Return the key of a prefix's text, to withdraw its route."""
    parsed = parse_prefix(prefix)
    return route_key(UnicastRoute(parsed, bytes(len(parsed.address))))


def format_unicast(route: UnicastRoute) -> dict[str, str | int]:
    """Return a route as an object; `parse_unicast` gives the route back."""
    value: dict[str, str | int] = {
        "prefix": str(route.prefix),
        "nexthop": address_text(route.next_hop[:16]),
        "origin": route.origin.name,
    }
    if len(route.next_hop) == 32:
        value["nexthoplinklocal"] = address_text(route.next_hop[16:])
    if route.as_path:
        value["aspath"] = "-".join(str(asn) for asn in route.as_path)
    if route.communities:
        value["communities"] = format_communities(route.communities)
    if route.med is not None:
        value["med"] = route.med
    if route.local_pref is not None:
        value["localpref"] = route.local_pref
    return value


def _text(value: Mapping[str, Any], field: str) -> str:
    found = value.get(field, "")
    if found is None:
        return ""
    if isinstance(found, bool) or not isinstance(found, str | int):
        raise TextError(str(found), 0, f"{field}: a text or a whole number is expected")
    return str(found).strip()


def _prefix(value: Mapping[str, Any]) -> Prefix:
    text = _text(value, "prefix")
    if not text:
        raise TextError(text, 0, "prefix: an address or a prefix is needed")
    try:
        return parse_prefix(text)
    except TextError as error:
        raise error.under("prefix") from None


def _address(value: Mapping[str, Any], field: str, octets: int) -> bytes:
    text = _text(value, field)
    try:
        address = parse_address(text)
    except TextError as error:
        raise error.under(field) from None
    if len(address) != octets:
        raise TextError(text, 0, f"{field}: an address of the prefix's family is expected")
    return address


def _next_hop(value: Mapping[str, Any], prefix: Prefix) -> bytes:
    address = _address(value, "nexthop", len(prefix.address))
    if _leads_nowhere(address):
        raise TextError(
            _text(value, "nexthop"), 0, "nexthop: not the address of one host", "such as 192.0.2.1 or 100::1"
        )
    if not _text(value, "nexthoplinklocal"):
        return address
    if len(prefix.address) == 4:
        raise TextError(_text(value, "nexthoplinklocal"), 0, "nexthoplinklocal: only for IPv6 prefixes")
    return address + _address(value, "nexthoplinklocal", 16)


def _leads_nowhere(address: bytes) -> bool:
    """Tell whether an address is unspecified, loopback, multicast or reserved, or one of IPv4 in IPv6."""
    if len(address) == 4:
        return address[0] in {0, 127} or address[0] >= 224
    low = int.from_bytes(address, "big")
    return low <= 1 or low >> 32 == 0xFFFF or address[0] == 0xFF


def _origin(value: Mapping[str, Any]) -> Origin:
    text = _text(value, "origin").upper()
    if not text:
        return Origin.IGP
    if text not in Origin.__members__:
        raise TextError(text, 0, f"origin: one of {', '.join(Origin.__members__)} is expected")
    return Origin[text]


def _number(value: Mapping[str, Any], field: str) -> int | None:
    text = _text(value, field)
    return parse_number(text, field, most=_WORD) if text else None


def _as_path(value: Mapping[str, Any]) -> tuple[int, ...]:
    text = _text(value, "aspath")
    asns: list[int] = []
    column = 0
    for word in text.split("-") if text else ():
        asns.append(parse_number(text[: column + len(word)], "aspath", most=_WORD, column=column))
        column += len(word) + 1
    if len(asns) > _MOST_HOPS:
        raise TextError(text, 0, f"aspath: {len(asns)} ASes are over {_MOST_HOPS}")
    return tuple(asns)
