"""One FlowSpec rule with all that can be said of it offline: octets, parts, meaning, and what peers make of it.

A route or octets go in, an `Explained` comes out: a record of plain values, made for JSON and for people. Octets that
are no rule give a `Refused` with the reason and with what they would be otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import structs

from tidegate.control.flow_json import action_to_json, rule_to_json
from tidegate.control.flow_words import describe_actions, describe_match, quirks
from tidegate.errors import DecodeError, EncodeError, Inexpressible
from tidegate.wire.bgp.communities import encode_action
from tidegate.wire.bgp.constants import Afi, Safi
from tidegate.wire.bgp.flowspec import (
    FlowRule,
    OffsetForm,
    PrefixComponent,
    decode_components,
    decode_length,
    encode_rule,
)
from tidegate.wire.bgp.prefix import address_text
from tidegate.wire.bgp.profile import PROFILES, Profile, adapt
from tidegate.wire.bgp.routes import FlowRoute
from tidegate.wire.cursor import Reader

__all__ = ["Explained", "Refused", "explain_octets", "explain_route"]

Json = dict[str, Any]


class Explained(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A rule. `nlri` holds its length octets; `profiles` tells for each what a peer of it would be sent."""

    afi: int
    safi: int = msgspec.field(default_factory=lambda: int(Safi.FLOWSPEC))
    nlri: str
    withdrawn: bool = False
    components: list[Json]
    actions: list[Json]
    communities: list[str]
    next_hop: str = ""
    update: str = ""
    matches: list[str]
    does: list[str]
    notes: list[str]
    profiles: dict[str, str]


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """Octets that are no rule, and why."""

    afi: int
    nlri: str
    error: str
    notes: list[str]


Shown = Explained | Refused


def explain_route(
    route: FlowRoute,
    *,
    nlri: bytes,
    offsets: OffsetForm = OffsetForm.RFC8956,
    withdrawn: bool = False,
    update: str = "",
) -> Explained:
    """Return what there is to say of a route whose NLRI octets are `nlri`."""
    return Explained(
        afi=int(route.rule.afi),
        nlri=nlri.hex(),
        withdrawn=withdrawn,
        components=rule_to_json(route.rule),
        actions=[action_to_json(action) for action in route.actions],
        communities=[encode_action(action).hex() for action in route.actions],
        next_hop=address_text(route.next_hop) if len(route.next_hop) in {4, 16} else "",
        update=update,
        matches=describe_match(route.rule),
        does=[] if withdrawn else describe_actions(route.actions, route.next_hop),
        notes=[*quirks(route.rule), *_spelling(route.rule, nlri, offsets), *_other_forms(route.rule, nlri, offsets)],
        profiles={name: _at_profile(route, nlri, profile) for name, profile in PROFILES.items()},
    )


def _spelling(rule: FlowRule, nlri: bytes, offsets: OffsetForm) -> Iterator[str]:
    """Tell where the octets are legal on receipt, but not what an encoder should write."""
    try:
        written = encode_rule(rule, offsets=offsets)
    except EncodeError as error:
        yield f"legal on receipt, but not to be sent: {error}"
        return
    if written != nlri:
        yield f"legal on receipt; an encoder writes {written.hex()}"


def _other_forms(rule: FlowRule, nlri: bytes, offsets: OffsetForm) -> Iterator[str]:
    """Tell what the octets are to those who write offsets in another form."""
    if not any(isinstance(component, PrefixComponent) and component.offset for component in rule.components):
        return
    yield f"the offset is read in the form {offsets.value}"
    for form in OffsetForm:
        if form is offsets:
            continue
        try:
            other = _decode(nlri, rule.afi, form)
        except DecodeError as error:
            yield f"in the form {form.value} it is no rule: {error}"
            continue
        if other != rule:
            yield f"in the form {form.value} it is another rule: {'; '.join(describe_match(other))}"


def _decode(nlri: bytes, afi: Afi, offsets: OffsetForm) -> FlowRule:
    reader = Reader(nlri)
    return decode_components(reader.window(decode_length(reader)), afi, offsets=offsets)


def _at_profile(route: FlowRoute, nlri: bytes, profile: Profile) -> str:
    try:
        parts = adapt(route, profile)
    except Inexpressible as error:
        return f"refused: {error.part}"
    except EncodeError as error:
        return f"refused: {error}"
    if len(parts) > 1:
        return f"split into {len(parts)} rules: {', '.join(key.nlri.hex() for key in parts)}"
    ((key, part),) = parts.items()
    verdict = "as it is" if part == route else "rewritten"
    return verdict if key.nlri == nlri else f"{verdict}, written {key.nlri.hex()}"


def explain_octets(reader: Reader, like: FlowRoute, *, offsets: OffsetForm, withdrawn: bool) -> Iterator[Shown]:
    """Yield each rule of NLRI octets; one that is malformed inside a good length is told of, and the next is read.

    Family, actions and next hop are those of `like`.
    """
    afi = like.rule.afi
    while len(reader):
        start = reader.offset
        rest = reader.peek(len(reader))
        try:
            body = reader.window(decode_length(reader))
        except DecodeError as error:
            yield _refused(rest, afi, error, offsets)
            return
        nlri = rest[: body.end - start]
        try:
            rule = decode_components(body, afi, offsets=offsets)
        except DecodeError as error:
            yield _refused(nlri, afi, error, offsets)
            continue
        yield explain_route(structs.replace(like, rule=rule), nlri=nlri, offsets=offsets, withdrawn=withdrawn)


def _refused(nlri: bytes, afi: Afi, error: DecodeError, offsets: OffsetForm) -> Refused:
    others: dict[str, tuple[Afi, OffsetForm]] = {
        f"as IPv{4 if other is Afi.IPV4 else 6}": (other, offsets) for other in Afi if other is not afi
    }
    if afi is Afi.IPV6:
        others |= {f"with offsets in the form {form.value}": (afi, form) for form in OffsetForm if form is not offsets}
    notes = []
    for name, (family, form) in others.items():
        try:
            rule = _decode(nlri, family, form)
        except DecodeError:
            continue
        notes.append(f"{name} it would be a rule: {'; '.join(describe_match(rule))}")
    return Refused(afi=int(afi), nlri=nlri.hex(), error=str(error), notes=notes)
