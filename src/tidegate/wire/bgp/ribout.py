"""What one peer is to be told: the wanted routes, the wire routes that stand for them, and what is still unsaid.

Everything here is bounded by the number of wanted routes: an announcement marks a key, and octets are made only when
the connection can take them (`pull`). A route that changes ten times before it could be sent is sent once.

Answers for: RFC 4271 section 3.2 (Adj-RIB-Out), RFC 4724 section 2 (End-of-RIB after the first full set), RFC 2918.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from tidegate.errors import Inexpressible
from tidegate.units import Asn
from tidegate.wire.bgp.constants import Family
from tidegate.wire.bgp.open import Negotiated
from tidegate.wire.bgp.profile import Profile, adapt
from tidegate.wire.bgp.routes import FlowRoute, Route, RouteKey, route_key
from tidegate.wire.bgp.update import encode_announce, encode_common, encode_withdraw

__all__ = ["Outgoing", "RibOut"]

# the tightest session a route may meet: an external one without extended messages or four-octet ASes
_MOST_COMMON: Final = 1024  # blocks of attributes kept; then all are made anew
_TIGHTEST: Final = Negotiated(Asn(1), Asn(2), 1, 0, frozenset(Family), four_octet_as=False)


class Outgoing(msgspec.Struct, frozen=True):
    """One message to write. `keys` are the wanted routes it announces or withdraws; empty for End-of-RIB."""

    data: bytes
    keys: tuple[RouteKey, ...] = ()


class RibOut:
    """The Adj-RIB-Out of one peer."""

    def __init__(self, peer: str, *, families: Iterable[Family], profile: Profile, most: int) -> None:
        self.wanted: dict[RouteKey, Route] = {}
        self._peer = peer
        self._families = frozenset(families)
        self._profile = profile
        self._most = most
        self._parts: dict[RouteKey, tuple[RouteKey, ...]] = {}  # wanted route -> wire routes that stand for it
        self._wire: dict[RouteKey, dict[RouteKey, Route]] = {}  # wire route -> who wants it; the last one counts
        self._unsaid: dict[RouteKey, None] = {}  # an ordered set of wire routes
        self._said: set[RouteKey] = set()
        self._markers: list[Family] = []
        self._common: dict[tuple[object, ...], bytes] = {}

    def __len__(self) -> int:
        return len(self.wanted)

    @property
    def waiting(self) -> int:
        """How many wire routes the peer has not been told of."""
        return len(self._unsaid)

    @property
    def sent(self) -> int:
        """How many of the wanted routes the peer has been told of in this session, as they are wanted now."""
        told = self._said - self._unsaid.keys()
        return sum(1 for parts in self._parts.values() if told.issuperset(parts))

    def outside(self, families: frozenset[Family]) -> int:
        """Return how many of the wanted routes are of other families."""
        return sum(1 for key in self.wanted if key.family not in families)

    def announce(self, route: Route) -> RouteKey:
        """Want a route, in place of the one with its key; the key is returned.

        Nothing is changed where it raises: `EncodeError` where the route is none, `Inexpressible` where this peer
        cannot be told of it.
        """
        key = route_key(route)
        if key.family not in self._families:
            raise Inexpressible("the route", f"the family {key.family.label}", f"peer {self._peer}")
        if key not in self.wanted and len(self.wanted) >= self._most:
            raise Inexpressible("the route", f"more than {self._most} routes", f"peer {self._peer}")
        parts = adapt(route, self._profile, key=key)
        for name, part in parts.items():
            self._encode(part, name, _TIGHTEST)
        self._release(key, keep=parts)
        self.wanted[key] = route
        self._parts[key] = tuple(parts)
        for name, part in parts.items():
            owners = self._wire.setdefault(name, {})
            owners.pop(key, None)  # the newest stands last
            owners[key] = part
            self._unsaid[name] = None
        return key

    def withdraw(self, key: RouteKey) -> bool:
        """Want a route no more; tell whether it was wanted."""
        if self.wanted.pop(key, None) is None:
            return False
        self._release(key, keep=())
        del self._parts[key]
        return True

    def begin(self, families: Iterable[Family]) -> None:
        """Start a session: everything is unsaid, and an End-of-RIB follows for each family."""
        self._said.clear()
        self._unsaid = dict.fromkeys(self._wire)
        self._markers = sorted(families)

    def end(self) -> None:
        """End a session: the peer has forgotten everything."""
        self._said.clear()
        self._unsaid.clear()
        self._markers.clear()

    def refresh(self, family: Family) -> None:
        """Say the routes of a family again (RFC 2918)."""
        self._unsaid |= dict.fromkeys(key for key in self._wire if key.family is family)

    def pull(self, negotiated: Negotiated, octets: int) -> list[Outgoing]:
        """Return the next messages, about `octets` of them and at least one if any is left."""
        messages: list[Outgoing] = []
        for message in self._messages(negotiated):
            messages.append(message)
            octets -= len(message.data)
            if octets <= 0:
                break
        return messages

    def _messages(self, negotiated: Negotiated) -> Iterator[Outgoing]:
        while self._unsaid:
            key = next(iter(self._unsaid))
            del self._unsaid[key]
            message = self._maybe_message(key, negotiated)
            if message is not None:
                yield message
        while self._markers:
            yield Outgoing(encode_withdraw(RouteKey(self._markers.pop(0), b""), negotiated))

    def _maybe_message(self, key: RouteKey, negotiated: Negotiated) -> Outgoing | None:
        owners = self._wire.get(key)
        if key.family not in negotiated.families:
            return None
        if owners:
            self._said.add(key)
            return Outgoing(self._encode(next(reversed(owners.values())), key, negotiated), tuple(owners))
        if key not in self._said:
            return None
        self._said.remove(key)
        return Outgoing(encode_withdraw(key, negotiated), (key,))

    def _encode(self, route: Route, key: RouteKey, negotiated: Negotiated) -> bytes:
        """Return the UPDATE of a route; rules that do the same share the octets of their attributes."""
        if not isinstance(route, FlowRoute):
            return encode_announce(route, key, negotiated)
        alike = (negotiated, route.actions, route.communities, route.large, route.local_pref)
        common = self._common.get(alike)
        if common is None:
            common = encode_common(route, negotiated)
            if len(self._common) >= _MOST_COMMON:
                self._common.clear()
            self._common[alike] = common
        return encode_announce(route, key, negotiated, common=common)

    def _release(self, key: RouteKey, *, keep: Iterable[RouteKey]) -> None:
        for name in self._parts.get(key, ()):
            if name in keep:
                continue
            owners = self._wire[name]
            owners.pop(key)
            if not owners:
                del self._wire[name]
            self._unsaid[name] = None
