"""What one peer has announced: unicast routes in columnar tables, FlowSpec rules as records.

There is one way into the tables: octets of UPDATEs without a fault, with places that `update_scan` found. Updates that
`decode_update` had to read are written anew and go the same way. What was taken is in the table after `work`, which
does a bounded piece at each call.

Answers for: RFC 4271 sections 3.2 (Adj-RIB-In) and 9.1.2.2 (of several routes to a prefix that ADD-PATH brings, the
best: LOCAL_PREF, length of the AS path, ORIGIN; MED and what a router alone knows are left out), RFC 4724 section 4.2
and RFC 7313 section 4 (stale routes).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from msgspec import structs

from tidegate.data.rib import Found
from tidegate.data.route_found import found_routes
from tidegate.data.route_table import Held, RouteTable
from tidegate.errors import EncodeError
from tidegate.kernel import U64
from tidegate.units import Asn
from tidegate.wire.bgp.attributes import Attributes, MpReach, MpUnreach, decode_attributes, encode_attributes
from tidegate.wire.bgp.constants import Afi, Family, MessageType, Safi
from tidegate.wire.bgp.flow_rules import FlowRules
from tidegate.wire.bgp.flowspec import FlowRule
from tidegate.wire.bgp.message import frame
from tidegate.wire.bgp.open import Negotiated
from tidegate.wire.bgp.prefix import Prefix, PrefixList, encode_prefix
from tidegate.wire.bgp.update import RouteGroup, Update
from tidegate.wire.bgp.update_scan import Cut, UpdateRun, scan_run
from tidegate.wire.cursor import Reader

__all__ = ["RibIn", "attributes_of"]

_PIECES: Final = 8  # of work that may be done before routes are counted
_AT_ONCE: Final = 16_384  # octets of prefixes in one UPDATE that is written anew
# what every UPDATE that is written anew is read by; an internal one, whose attributes are all kept
_PLAIN: Final = Negotiated(
    Asn(1),
    Asn(1),
    0,
    0,
    frozenset(Family),
    four_octet_as=True,
    extended_message=True,
    extended_next_hop=frozenset({Family.IPV4_UNICAST}),
)
_UNICAST: Final = (Family.IPV4_UNICAST, Family.IPV6_UNICAST)


class RibIn:
    """The Adj-RIB-In of one peer. `lock` is for who looks up from another thread."""

    def __init__(self, *, lock: AbstractContextManager[Any] | None = None) -> None:
        self.tables: Mapping[Family, RouteTable] = MappingProxyType(
            {family: RouteTable(4 if family.afi is Afi.IPV4 else 16, lock=lock) for family in _UNICAST}
        )
        self.rules: Mapping[Family, FlowRules] = MappingProxyType(
            {family: FlowRules(family.afi) for family in Family if family.safi is Safi.FLOWSPEC}
        )
        self.announced = 0  # since the beginning, unicast routes, also those that replaced another
        self.withdrawn = 0
        self.too_long = 0  # routes that were not kept, and withdrawn, as their attributes fit no UPDATE
        self.learned = dict.fromkeys(_UNICAST, 0)  # the same by family
        self.forgotten = dict.fromkeys(_UNICAST, 0)

    def count(self, family: Family) -> int:
        """Return how many routes of a family there are."""
        return len(self.rules[family] if family in self.rules else self.tables[family])

    @property
    def attribute_octets(self) -> int:
        """How many octets the attributes of unicast routes take, which many routes share or each has its own of."""
        return sum(table.sets.taken for table in self.tables.values())

    @property
    def busy(self) -> bool:
        """Whether there is more to do for `work`."""
        return any(table.busy for table in self.tables.values())

    def work(self) -> bool:
        """Do a bounded piece of what was taken; tell whether more is left."""
        busy = False
        for table in self.tables.values():
            busy |= table.work()
        return busy

    def finish(self) -> None:
        """Do all of it."""
        while self.work():
            pass

    def take(self, update: Update) -> None:
        """Take an UPDATE: first what it withdraws, then what it announces."""
        for group in update.withdrawn:
            self._take_group(group, None)
        for group in update.announced:
            self._take_group(group, update.attributes)

    def _take_group(self, group: RouteGroup, attributes: Attributes | None) -> None:
        if group.family in self.rules:
            rules = self.rules[group.family]
            for rule in group.destinations:
                if not isinstance(rule, FlowRule):  # pragma: no cover - groups are of one family
                    raise TypeError(rule)
                if attributes is None:
                    rules.withdraw(rule)
                else:
                    rules.announce(rule, attributes, group.next_hop)
            return
        if not group.destinations:
            return  # MP_REACH_NLRI or MP_UNREACH_NLRI of no route beside others
        listed = _listed(group)
        agreed = structs.replace(_PLAIN, add_path_receive=frozenset({group.family} if listed.with_path_id else ()))
        for part in listed.parts(_AT_ONCE):
            run = scan_run(self._encode(group, part, attributes), 0, agreed)
            if run is None:
                raise EncodeError(f"{group.family.label}: routes that were read cannot be written")
            self.take_run(run)

    def _encode(self, group: RouteGroup, part: PrefixList, attributes: Attributes | None) -> bytes:
        """Return the UPDATE of routes; of withdrawn ones where their AS path fits no UPDATE in four octets a number."""
        try:
            return _encode_group(group, part.octets, attributes)
        except EncodeError:
            self.too_long += len(part)
            return _encode_group(group, part.octets, None)

    def take_run(self, run: UpdateRun) -> None:
        """Take UPDATEs as they came."""
        data = np.frombuffer(run.data, np.uint8)
        cuts = run.cuts
        self.announced += int(cuts[:, Cut.HERE].sum())
        self.withdrawn += int(cuts[:, Cut.GONE].sum())
        for family, table in self.tables.items():
            mine = cuts[cuts[:, Cut.IPV6] == (family.afi is Afi.IPV6)]
            self.learned[family] += int(mine[:, Cut.HERE].sum())
            self.forgotten[family] += int(mine[:, Cut.GONE].sum())
            if len(mine):
                announcing = np.flatnonzero((cuts[:, Cut.HERE] > 0) & (cuts[:, Cut.IPV6] == (family.afi is Afi.IPV6)))
                table.take(
                    data,
                    mine[:, [Cut.GONE_START, Cut.GONE_STOP]],
                    mine[:, [Cut.HERE_START, Cut.HERE_STOP]],
                    run.keys(announcing),
                    run.rows[announcing],
                    with_path_id=family in run.negotiated.add_path_receive,
                )

    def mark_stale(self, families: Iterable[Family]) -> None:
        """Mark all routes of these families: those that do not come again are removed by `sweep`."""
        for family in families:
            if family in self.rules:
                self.rules[family].mark_stale()
            else:
                self.tables[family].mark_stale()

    def sweep(self, families: Iterable[Family]) -> int:
        """Remove what is still marked; return how many, at most, where much still waits for `work`."""
        gone = 0
        for family in families:
            if family in self.rules:
                gone += self.rules[family].sweep()
                continue
            table = self.tables[family]
            for _ in range(_PIECES):
                table.work()
            gone += table.stale
            table.sweep()
        return gone

    def clear(self, families: Iterable[Family]) -> None:
        """Forget all routes of these families."""
        for family in families:
            if family in self.rules:
                self.rules[family].clear()
            else:
                self.tables[family].clear()

    def lookup(self, high: U64, low: U64, next_hop: U64 | None = None) -> Found:
        """Return the longest match of n addresses, see `tidegate.data.rib.RouteLookup`."""
        return found_routes(tuple(self.tables.values()), high, low, next_hop)


def _listed(group: RouteGroup) -> PrefixList:
    """Return the destinations of unicast routes as octets; with path identifiers where one has any."""
    if isinstance(group.destinations, PrefixList):
        return group.destinations
    prefixes = [one for one in group.destinations if isinstance(one, Prefix)]
    with_path_id = any(one.path_id for one in prefixes)
    octets = [one.path_id.to_bytes(4, "big") * with_path_id + encode_prefix(one) for one in prefixes]
    return PrefixList(b"".join(octets), group.family.afi, with_path_id=with_path_id)


def _encode_group(group: RouteGroup, nlri: bytes, attributes: Attributes | None) -> bytes:
    """Return the UPDATE of routes with these attributes, or of withdrawn ones; it may be longer than a session's."""
    classic = group.family is Family.IPV4_UNICAST
    if attributes is None:
        unreach = None if classic else MpUnreach(group.family.afi, group.family.safi, nlri)
        block = encode_attributes(Attributes(mp_unreach=unreach), _PLAIN)
        return _encode_update(nlri if classic else b"", block, b"")
    classic &= len(group.next_hop) == 4
    kept = structs.replace(
        attributes,
        next_hop=group.next_hop if classic else None,
        mp_reach=None if classic else MpReach(group.family.afi, group.family.safi, group.next_hop, nlri),
        mp_unreach=None,
        as4_path=None,
        as4_aggregator=None,
        unknown=(),
    )
    return _encode_update(b"", encode_attributes(kept, _PLAIN), nlri if classic else b"")


def _encode_update(withdrawn: bytes, block: bytes, nlri: bytes) -> bytes:
    body = len(withdrawn).to_bytes(2, "big") + withdrawn + len(block).to_bytes(2, "big") + block + nlri
    return frame(MessageType.UPDATE, body, limit=_PLAIN.limit)


def attributes_of(held: Held) -> tuple[Attributes, bytes]:
    """Return the attributes of a route, and its next hop."""
    width = held.attributes[0]
    block = held.attributes[1 + width :]
    attributes, _ = decode_attributes(Reader(block), _PLAIN)
    return attributes, held.attributes[1 : 1 + width] or attributes.next_hop or b""
