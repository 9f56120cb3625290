"""What a peer has to tell beside its connections: routes that are gone without an UPDATE, and notices for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Final

import msgspec

from tidegate.wire.bgp.constants import Family
from tidegate.wire.bgp.flowspec import PrefixComponent
from tidegate.wire.bgp.routes import Route, UnicastRoute, route_key

__all__ = ["Gone", "News", "Notice", "NoticeKind", "labels", "name_routes"]


class Gone(msgspec.Struct, frozen=True):
    """Routes of the peer were removed without an UPDATE of its: `rib_in` no longer has them."""

    families: tuple[Family, ...]
    routes: int
    why: str


class NoticeKind(Enum):
    """What a `Notice` is about: a closed set, to be counted by."""

    PREFIX_WARNING = "prefix warning"
    PREFIX_LIMIT = "prefix limit"
    STALE = "stale"
    REFRESH = "refresh"
    IDENTITY = "identity"
    REPLACED = "replaced"
    HELD_BACK = "held back"


class Notice(msgspec.Struct, frozen=True):
    """Something that people should read."""

    kind: NoticeKind
    text: str


News = Gone | Notice
_NAMED: Final = 4


def name_routes(routes: Sequence[Route]) -> str:
    """Return the names of some routes, for people: a rule has its destination and its octets, which can be decoded."""
    names = [_name(route) for route in routes[:_NAMED]]
    more = len(routes) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def _name(route: Route) -> str:
    if isinstance(route, UnicastRoute):
        return str(route.prefix)
    first = next((part for part in route.rule.components if isinstance(part, PrefixComponent)), None)
    return f"rule {route_key(route).nlri.hex()}" + (
        "" if first is None else f" ({first.type.name.lower()} {first.prefix})"
    )


def labels(families: Iterable[Family]) -> str:
    """Return the names of families, for people."""
    return ", ".join(family.label for family in sorted(families))
