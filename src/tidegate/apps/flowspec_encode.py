"""`tidegate bgp flowspec encode`: rules as JSON to octets with their meaning, without a running instance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from tidegate.control.flow_explain import Explained, explain_route
from tidegate.control.flow_json import actions_from_json, rule_from_json
from tidegate.control.flowspec import parse_flow
from tidegate.errors import EncodeError, SourceError, TextError
from tidegate.units import Asn
from tidegate.wire.bgp.constants import Afi, Family
from tidegate.wire.bgp.flowspec import OffsetForm
from tidegate.wire.bgp.open import Negotiated
from tidegate.wire.bgp.prefix import parse_address
from tidegate.wire.bgp.profile import PROFILES, adapt
from tidegate.wire.bgp.routes import FlowRoute, Route, RouteKey, route_key
from tidegate.wire.bgp.update import encode_announce

__all__ = ["Encoding", "encode_flows"]

_SHAPE: Final = ("afi", "components", "actions", "next_hop")
# what `decode --json` and the files of test vectors say besides: it follows from the rest
_TOLD: Final = frozenset(Explained.__struct_fields__) | {"id", "note"}
_FAMILIES: Final = frozenset({Family.IPV4_FLOWSPEC, Family.IPV6_FLOWSPEC})


class Encoding(msgspec.Struct, frozen=True, kw_only=True):
    """How rules are to be written. `asn` is the AS of an external speaker of the UPDATE; None: an internal one."""

    afi: Afi | None = None
    profile: str | None = None
    update: bool = False
    asn: int | None = None


def encode_flows(text: str, encoding: Encoding) -> Iterator[Explained]:
    """Yield the rules of a JSON text: an object, a list of them, or one a line, each in either spelling."""
    for place, value in enumerate(_objects(text), 1):
        route = _route(value, encoding.afi)
        try:
            yield from _written(route, encoding)
        except EncodeError as error:
            raise SourceError(f"rule {place}", str(error)) from None


def _objects(text: str) -> list[Mapping[str, Any]]:
    try:
        found = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        found = _lines(text)
        if not found:
            raise SourceError("rule", str(error)) from None
    values = found if isinstance(found, list) else [found]
    for value in values:
        if not isinstance(value, Mapping):
            raise TextError(str(value)[:60], 0, 'an object with "components" or with "match" is expected')
    return values


def _lines(text: str) -> list[Any]:
    try:
        return list(msgspec.json.Decoder().decode_lines(text))
    except msgspec.DecodeError:
        return []


def _route(value: Mapping[str, Any], afi: Afi | None) -> FlowRoute:
    if "components" not in value:
        return parse_flow(_with_version(value, afi), allow_any=True)
    for name in value:
        if name not in _SHAPE and name not in _TOLD:
            raise TextError(str(name), 0, "rule: unknown field", f"known are {', '.join(_SHAPE)}")
    rule = rule_from_json(value["components"], _family(value, afi))
    return FlowRoute(rule, actions_from_json(value.get("actions", [])), _next_hop(value.get("next_hop", "")))


def _next_hop(value: object) -> bytes:
    if not isinstance(value, str):
        raise TextError(str(value)[:60], 0, "next_hop: an address is expected")
    try:
        return parse_address(value) if value else b""
    except TextError as error:
        raise error.under("next_hop") from None


def _with_version(value: Mapping[str, Any], afi: Afi | None) -> Mapping[str, Any]:
    match = value.get("match")
    if afi is None or not isinstance(match, Mapping) or "version" in match:
        return value
    return {**value, "match": {**match, "version": "4" if afi is Afi.IPV4 else "6"}}


def _family(value: Mapping[str, Any], afi: Afi | None) -> Afi:
    """Return the family that the object says, or the caller, or else a prefix."""
    said = value.get("afi")
    if said is not None:
        if isinstance(said, bool) or said not in {1, 2}:
            raise TextError(str(said)[:60], 0, "afi: 1 for IPv4 or 2 for IPv6 is expected")
        if afi not in {None, said}:
            raise TextError(str(said), 0, "afi: --afi says the other family")
        return Afi(said)
    if afi is not None:
        return afi
    components = value["components"]
    for component in components if isinstance(components, list) else []:
        prefix = component.get("prefix") if isinstance(component, Mapping) else None
        if isinstance(prefix, str):
            return Afi.IPV6 if ":" in prefix else Afi.IPV4
    raise TextError("components", 0, "no prefix tells the family", 'say "afi": 1 or 2, or --afi')


def _written(route: FlowRoute, encoding: Encoding) -> Iterator[Explained]:
    profile = None if encoding.profile is None else PROFILES[encoding.profile]
    parts: Mapping[RouteKey, Route] = {route_key(route): route} if profile is None else adapt(route, profile)
    offsets = OffsetForm.RFC8956 if profile is None else profile.ipv6_offset_form
    for key, part in parts.items():
        if isinstance(part, FlowRoute):
            update = _update(part, key, encoding.asn) if encoding.update else ""
            yield explain_route(part, nlri=key.nlri, offsets=offsets, update=update)


def _update(route: FlowRoute, key: RouteKey, asn: int | None) -> str:
    local, peer = (1, 1) if asn is None else (asn, 0)  # an internal session, or one with any other AS
    return encode_announce(route, key, Negotiated(Asn(local), Asn(peer), 0, 0, _FAMILIES)).hex()
