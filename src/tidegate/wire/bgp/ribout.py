"""What one peer is to be told: the wanted routes, the wire routes that stand for them, and what is still unsaid.

Everything here is bounded by the number of wanted routes: an announcement marks a key, and octets are made only when
the connection can take them (`pull`). A route that changes ten times before it could be sent is sent once.

Answers for: RFC 4271 section 3.2 (Adj-RIB-Out), RFC 4724 sections 2 and 4.1 (End-of-RIB after the first full set), RFC
2918, RFC 7313 section 4 (the speaker's side).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from tidegate.errors import Inexpressible
from tidegate.units import Asn
from tidegate.wire.bgp.constants import Family, RefreshSubtype
from tidegate.wire.bgp.message import encode_refresh
from tidegate.wire.bgp.open import Negotiated
from tidegate.wire.bgp.profile import Profile, adapt
from tidegate.wire.bgp.routes import FlowRoute, Route, RouteKey, route_key
from tidegate.wire.bgp.update import encode_announce, encode_common, encode_withdraw

__all__ = ["Outgoing", "RibOut"]

# the tightest session a route may meet: an external one without extended messages or four-octet ASes
_MOST_COMMON: Final = 1024  # blocks of attributes kept; then all are made anew
_TIGHTEST: Final = Negotiated(Asn(1), Asn(2), 1, 0, frozenset(Family), four_octet_as=False)


class Outgoing(msgspec.Struct, frozen=True):
    """One message to write. `keys` are the wanted routes it announces or withdraws; empty for markers."""

    data: bytes
    keys: tuple[RouteKey, ...] = ()


class RibOut:
    """The Adj-RIB-Out of one peer.

    Routes that are held back are wanted but not said, until they change, are withdrawn, or are released by hand.
    """

    def __init__(self, peer: str, *, families: Iterable[Family], profile: Profile, most: int) -> None:
        self.wanted: dict[RouteKey, Route] = {}
        self.held: dict[RouteKey, str] = {}  # wanted routes that are held back, and why
        self._peer = peer
        self._families = frozenset(families)
        self._profile = profile
        self._most = most
        self._parts: dict[RouteKey, tuple[RouteKey, ...]] = {}  # wanted route -> wire routes that stand for it
        self._wire: dict[RouteKey, dict[RouteKey, Route]] = {}  # wire route -> who wants it; the last one counts
        self._spoken: frozenset[Family] = frozenset()  # of the session; empty while there is none
        # an ordered set of wire routes; a dict would look further for its first one with each that has gone
        self._unsaid: OrderedDict[RouteKey, None] = OrderedDict()
        self._said: set[RouteKey] = set()
        self._markers: list[Family] = []
        self._deferred = False
        self._asked: dict[Family, None] = {}  # an ordered set of families to be said again
        self._answering: Family | None = None
        self._common: dict[Negotiated, dict[tuple[object, ...], bytes]] = {}

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

    @property
    def told(self) -> bool:
        """Whether the peer has heard all that was wanted when the session began, and End-of-RIB after it."""
        return bool(self._spoken) and not self._markers

    def announce(self, route: Route) -> RouteKey:
        """Want a route, in place of the one with its key; the key is returned.

        Nothing is changed where it raises: `EncodeError` where the route is none, `Inexpressible` where this peer
        cannot be told of it as it is.
        """
        key = route_key(route)
        if key.family not in self._families:
            raise Inexpressible("the route", f"the family {key.family.label}", f"peer {self._peer}")
        if key not in self.wanted and len(self.wanted) >= self._most:
            raise Inexpressible("the route", f"more than {self._most} routes", f"peer {self._peer}")
        parts = adapt(route, self._profile, key=key)
        for name, part in parts.items():
            self._encode(part, name, _TIGHTEST)
        if key in self.held and self.wanted[key] == route:
            return key
        self.held.pop(key, None)
        self.wanted[key] = route
        self._place(key, parts)
        return key

    def withdraw(self, key: RouteKey) -> bool:
        """Want a route no more; tell whether it was wanted."""
        if self.wanted.pop(key, None) is None:
            return False
        self.held.pop(key, None)
        self._unplace(key)
        return True

    def hold_back(self, keys: Iterable[RouteKey], why: str) -> None:
        """Say these wanted routes no more, though they stay wanted."""
        for key in keys:
            if key in self.wanted and key not in self.held:
                self.held[key] = why
                self._unplace(key)

    def release(self, keys: Iterable[RouteKey] | None = None) -> list[RouteKey]:
        """Say routes again that are held back, all of them unless told which; return them."""
        released = [key for key in (list(self.held) if keys is None else keys) if self.held.pop(key, None) is not None]
        for key in released:
            self._place(key, adapt(self.wanted[key], self._profile, key=key))
        return released

    def defer(self) -> None:
        """Let End-of-RIB wait for `complete`: until then what is wanted is not all there (RFC 4724 section 4.1)."""
        self._deferred = True

    def complete(self) -> None:
        """Say that all is there that was wanted before the restart."""
        self._deferred = False

    def begin(self, families: Iterable[Family]) -> None:
        """Start a session: everything is unsaid, and an End-of-RIB follows for each family."""
        self.end()
        self._markers = sorted(families)
        self._spoken = frozenset(self._markers)
        self._unsaid = OrderedDict.fromkeys(key for key in self._wire if key.family in self._spoken)

    def end(self) -> None:
        """End a session: the peer has forgotten everything."""
        self._spoken = frozenset()
        self._said.clear()
        self._unsaid.clear()
        self._markers.clear()
        self._asked.clear()
        self._answering = None

    def refresh(self, family: Family) -> None:
        """Say the routes of a family again (RFC 2918), once for all requests that come before that is begun."""
        if family in self._spoken:
            self._asked[family] = None

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
        while True:
            while self._unsaid:
                key, _ = self._unsaid.popitem(last=False)
                yield self._message(key, negotiated)
            marker = self._maybe_marker(negotiated)
            if marker is not None:
                yield Outgoing(marker)
            elif not self._unsaid:
                return

    def _maybe_marker(self, negotiated: Negotiated) -> bytes | None:
        """Return what is to be said where no route is unsaid; a refresh that begins makes routes unsaid again."""
        if self._markers and not self._deferred:
            return encode_withdraw(RouteKey(self._markers.pop(0), b""), negotiated)
        if self._answering is not None:
            answered, self._answering = self._answering, None
            return encode_refresh(answered, RefreshSubtype.END)
        enhanced = negotiated.enhanced_refresh
        # RFC 7313 section 4: no refresh is begun before the End-of-RIB of the family
        family = next((each for each in self._asked if not enhanced or each not in self._markers), None)
        if family is None:
            return None
        del self._asked[family]
        self._unsaid |= {key: None for key in self._wire if key.family is family}
        if not enhanced:
            return None
        self._answering = family
        return encode_refresh(family, RefreshSubtype.BEGIN)

    def _message(self, key: RouteKey, negotiated: Negotiated) -> Outgoing:
        owners = self._wire.get(key)
        if owners:
            self._said.add(key)
            return Outgoing(self._encode(next(reversed(owners.values())), key, negotiated), tuple(owners))
        self._said.remove(key)
        return Outgoing(encode_withdraw(key, negotiated), (key,))

    def _encode(self, route: Route, key: RouteKey, negotiated: Negotiated) -> bytes:
        """Return the UPDATE of a route; routes that differ in their destination alone share the other octets."""
        if isinstance(route, FlowRoute):
            alike: tuple[object, ...] = (route.actions, route.communities, route.large, route.local_pref)
        else:
            alike = (
                route.prefix.afi, route.next_hop, route.origin, route.as_path, route.med, route.local_pref,
                route.communities, route.large,
            )  # fmt: skip
        known = self._common.setdefault(negotiated, {})
        common = known.get(alike)
        if common is None:
            common = encode_common(route, negotiated)
            if len(known) >= _MOST_COMMON:
                known.clear()
            known[alike] = common
        return encode_announce(route, key, negotiated, common=common)

    def _place(self, key: RouteKey, parts: Mapping[RouteKey, Route]) -> None:
        self._unplace(key, keep=parts)
        self._parts[key] = tuple(parts)
        for name, part in parts.items():
            owners = self._wire.pop(name, {})  # the newest stands last: after a reset it is said last
            owners.pop(key, None)
            owners[key] = part
            self._wire[name] = owners
            self._mark(name)

    def _unplace(self, key: RouteKey, *, keep: Iterable[RouteKey] = ()) -> None:
        for name in self._parts.pop(key, ()):
            if name in keep:
                continue
            owners = self._wire[name]
            owners.pop(key)
            if not owners:
                del self._wire[name]
            self._mark(name)

    def _mark(self, name: RouteKey) -> None:
        """Note that a wire route is not, or no more, what the peer was told."""
        if name.family in self._spoken and (name in self._wire or name in self._said):
            self._unsaid[name] = None
        else:
            self._unsaid.pop(name, None)
