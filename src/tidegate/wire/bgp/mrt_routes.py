"""From entries of MRT tables to UPDATEs: routes with the same attributes go into one.

`Batch.add` takes entries in any order; `flush` gives the UPDATEs, each with how it is to be read. What an UPDATE would
not carry in that form is put right: the next hop alone, which tables have in place of MP_REACH_NLRI (some writers put
all of it), and flags that do not suit their attribute (BIRD 2.0 writes none for NEXT_HOP). Nothing is judged here,
`feed` does that.

Answers for: RFC 6396 section 4.3.4, RFC 8050 section 4.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from tidegate.errors import DecodeError
from tidegate.wire.bgp.attributes import ATTRIBUTES
from tidegate.wire.bgp.constants import EXTENDED_LIMIT, AttributeCode, AttributeFlag, Family, MessageType
from tidegate.wire.bgp.feed import heard
from tidegate.wire.bgp.message import frame
from tidegate.wire.bgp.open import Negotiated
from tidegate.wire.cursor import Reader, Writer

__all__ = ["Batch", "Batched", "Form"]

_ROUTES: Final = 780  # in one UPDATE: 16 KB at the most octets of a prefix with its path identifier
_ATTRIBUTES_OCTETS: Final = 48_000  # with the NLRI they fit an UPDATE; no peer can have sent more in one message
_BATCH_OCTETS: Final = 1 << 21  # attributes and NLRI that wait
_UNICAST: Final = frozenset({Family.IPV4_UNICAST, Family.IPV6_UNICAST})
_LONG: Final = int(AttributeFlag.LONG)
_KIND: Final = int(AttributeFlag.OPTIONAL | AttributeFlag.TRANSITIVE)
_KINDS: Final[Mapping[int, int]] = MappingProxyType({code: row.flags for code, row in ATTRIBUTES.items()})


class Form(msgspec.Struct, frozen=True):
    """How entries are written."""

    family: Family
    four_octet_as: bool = True
    with_path_id: bool = False


class Batched(msgspec.Struct, frozen=True):
    """UPDATEs with their BGP headers, how they are to be read, and how many routes each has."""

    messages: tuple[bytes, ...]
    negotiated: Negotiated
    routes: tuple[int, ...]


class Batch:
    """Entries that wait for others with the same attributes. The caller flushes it when it is `full`, and at the end.

    `bad` counts entries whose attributes cannot even be told apart.
    """

    def __init__(self) -> None:
        self.bad = 0
        self._waiting: dict[tuple[Form, bytes], list[bytes]] = {}
        self._octets = 0

    @property
    def full(self) -> bool:
        """Whether it is time to flush."""
        return self._octets > _BATCH_OCTETS

    def add(self, form: Form, attributes: bytes, nlri: bytes, path_id: int = 0) -> None:
        """Take one entry; `nlri` is without path identifier."""
        octets = path_id.to_bytes(4, "big") + nlri if form.with_path_id else nlri
        waiting = self._waiting.get((form, attributes))
        if waiting is None:
            waiting = self._waiting[form, attributes] = []
            self._octets += len(attributes) + 64
        waiting.append(octets)
        self._octets += len(octets)

    def flush(self) -> Iterator[Batched]:
        """Give all that waits, and begin anew."""
        waiting, self._waiting, self._octets = self._waiting, {}, 0
        found: dict[tuple[bool, bool], list[tuple[bytes, int]]] = {}
        for (form, attributes), routes in waiting.items():
            try:
                block, next_hop = _split(attributes)
            except DecodeError:
                self.bad += len(routes)
                continue
            messages = found.setdefault((form.four_octet_as, form.with_path_id), [])
            for start in range(0, len(routes), _ROUTES):
                part = routes[start : start + _ROUTES]
                messages.append((_message(form.family, block, next_hop, b"".join(part)), len(part)))
        for (four_octet_as, with_path_id), messages in found.items():
            add_path = _UNICAST if with_path_id else frozenset[Family]()
            negotiated = heard(four_octet_as=four_octet_as, add_path=add_path)
            yield Batched(tuple(each[0] for each in messages), negotiated, tuple(each[1] for each in messages))


def _split(attributes: bytes) -> tuple[bytes, bytes | None]:
    """Return the attributes without MP_REACH_NLRI, and the next hop that stood there."""
    if len(attributes) > _ATTRIBUTES_OCTETS:
        raise DecodeError("attributes too long", 0)
    reader, kept, next_hop = Reader(attributes), Writer(), None
    while len(reader):
        start = reader.offset
        flags, code = reader.u8(), reader.u8()
        value = reader.window(reader.u16() if flags & _LONG else reader.u8())
        if code == AttributeCode.MP_REACH and next_hop is None:
            next_hop = _next_hop(value)
        elif code not in {AttributeCode.MP_REACH, AttributeCode.MP_UNREACH}:
            kept.u8(_KINDS.get(code, flags & _KIND) | flags & ~_KIND)
            kept.put(Reader(attributes, start + 1, reader.offset).rest())
    return kept.bytes(), next_hop


def _next_hop(value: Reader) -> bytes:
    if value.peek(1) and value.peek(1)[0] == len(value) - 1:
        value.skip(1)
        return value.rest()
    value.skip(3)  # the whole attribute, beginning with AFI and SAFI
    return value.take(value.u8())


def _message(family: Family, block: bytes, next_hop: bytes | None, nlri: bytes) -> bytes:
    out = Writer()
    out.u16(0)
    if next_hop is None and family is Family.IPV4_UNICAST:
        out.u16(len(block))
        out.put(block)
        out.put(nlri)
        return frame(MessageType.UPDATE, out.bytes(), limit=EXTENDED_LIMIT)
    hop = next_hop or b""
    reach = Writer()
    reach.u16(family.afi)
    reach.u8(family.safi)
    reach.u8(len(hop))
    reach.put(hop)
    reach.u8(0)
    reach.put(nlri)
    value = reach.bytes()
    head = bytes((AttributeFlag.OPTIONAL | AttributeFlag.LONG, AttributeCode.MP_REACH))
    out.u16(len(block) + len(value) + 4)
    out.put(head + len(value).to_bytes(2, "big") + value + block)
    return frame(MessageType.UPDATE, out.bytes(), limit=EXTENDED_LIMIT)
