"""Records of MRT files: tables that a router or a collector has written down, and the messages it has heard.

A `Reader` goes in; `maybe_record` takes one record off it, or returns None where more octets are needed; `decode` says
what it holds. A record whose insides do not fit is a `DecodeError`, after which the next record can still be read: only
a length out of bounds leaves nothing to go by. Attributes and BGP messages stay octets, see `mrt_routes`.

Answers for: RFC 6396 sections 2 to 4, RFC 8050 section 4 (ADD-PATH).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Final

import msgspec

from tidegate.errors import DecodeError
from tidegate.wire.bgp.constants import Afi, AttributeCode, Family
from tidegate.wire.bgp.prefix import BITS, address_text
from tidegate.wire.cursor import Reader

__all__ = [
    "HEADER_OCTETS",
    "RECORD_OCTETS",
    "RIB_SUBTYPES",
    "MrtPeer",
    "MrtType",
    "PeerIndex",
    "PeerMessage",
    "RawRecord",
    "Record",
    "RibEntry",
    "RibRecord",
    "Skipped",
    "StateChange",
    "TableDumpEntry",
    "decode",
    "is_known_type",
    "maybe_record",
]

HEADER_OCTETS: Final = 12
RECORD_OCTETS: Final = (
    16 << 20
)  # more is damage: 65535 entries of one prefix with 200 octets of attributes each are less
_KNOWN_TYPES: Final = frozenset({*range(8), 11, 12, 13, 16, 17, 32, 33, 48, 49})  # RFC 6396 section 4 and appendix B
_ESTABLISHED: Final = 6


class MrtType(IntEnum):
    """RFC 6396 section 4: those that are read here."""

    TABLE_DUMP = 12
    TABLE_DUMP_V2 = 13
    BGP4MP = 16
    BGP4MP_ET = 17


_PEER_INDEX: Final = 1
RIB_SUBTYPES: Final[Mapping[int, tuple[Family, bool]]] = MappingProxyType(  # of TABLE_DUMP_V2: family, path identifiers
    {
        2: (Family.IPV4_UNICAST, False),
        4: (Family.IPV6_UNICAST, False),
        8: (Family.IPV4_UNICAST, True),
        10: (Family.IPV6_UNICAST, True),
    }
)
_FAMILY_OF: Final[Mapping[int, Family]] = MappingProxyType({1: Family.IPV4_UNICAST, 2: Family.IPV6_UNICAST})
# of BGP4MP: four octets an AS number, path identifiers, sent by the router that wrote the file
_MESSAGES: Final[Mapping[int, tuple[bool, bool, bool]]] = MappingProxyType(
    {
        1: (False, False, False),
        4: (True, False, False),
        6: (False, False, True),
        7: (True, False, True),
        8: (False, True, False),
        9: (True, True, False),
        10: (False, True, True),
        11: (True, True, True),
    }
)
_ENTRY: Final = 2  # of BGP4MP
_STATES: Final[Mapping[int, bool]] = MappingProxyType({0: False, 5: True})  # four octets an AS number


class RawRecord(msgspec.Struct, frozen=True):
    """One record without its header; `time_s` counts from 1970."""

    type: int
    subtype: int
    time_s: int
    body: bytes


class MrtPeer(msgspec.Struct, frozen=True):
    """Who announced; `router_id` is 0 where the record does not tell it."""

    address: bytes
    asn: int
    router_id: int = 0

    def __str__(self) -> str:
        return f"{address_text(self.address)} AS {self.asn}"


class PeerIndex(msgspec.Struct, frozen=True):
    """The peers that the entries of following records refer to by number."""

    collector_id: int
    view_name: str
    peers: tuple[MrtPeer, ...]


class RibEntry(msgspec.Struct, frozen=True):
    """One peer's route to the prefix of its record."""

    peer: int
    originated: int
    attributes: bytes
    path_id: int = 0


class RibRecord(msgspec.Struct, frozen=True):
    """All routes to one prefix; `nlri` is its length and octets, without path identifier."""

    family: Family
    nlri: bytes
    entries: tuple[RibEntry, ...]
    with_path_id: bool = False


class TableDumpEntry(msgspec.Struct, frozen=True):
    """One route of the old format, whose AS numbers have two octets."""

    family: Family
    nlri: bytes
    peer: MrtPeer
    originated: int
    attributes: bytes


class PeerMessage(msgspec.Struct, frozen=True):
    """One BGP message with its header, as a peer sent it, or as it was sent to the peer (`local`)."""

    peer: MrtPeer
    message: bytes
    four_octet_as: bool
    with_path_id: bool = False
    local: bool = False


class StateChange(msgspec.Struct, frozen=True):
    """A session that changed its state; the numbers are RFC 6396 section 4.4.1's.

    `peer` and `local` stand in the order of the RFC; OpenBGPD has them the other way round.
    """

    peer: MrtPeer
    local: MrtPeer
    old: int
    new: int

    @property
    def down(self) -> bool:
        """Whether the peer's routes are gone with it."""
        return self.old == _ESTABLISHED != self.new


class Skipped(msgspec.Struct, frozen=True):
    """A record of a kind that holds nothing for here."""

    kind: str


Record = PeerIndex | RibRecord | TableDumpEntry | PeerMessage | StateChange | Skipped


def is_known_type(kind: int) -> bool:
    """Tell whether this number names a kind of record at all, read here or not."""
    return kind in _KNOWN_TYPES


def maybe_record(reader: Reader, limit: int = RECORD_OCTETS) -> RawRecord | None:
    """Read one whole record, or return None and read nothing where it is not all there."""
    start = reader.offset
    head = Reader(reader.peek(HEADER_OCTETS))
    if len(head) < HEADER_OCTETS:
        return None
    seconds, kind, subtype, length = head.u32(), head.u16(), head.u16(), head.u32()
    if kind not in _KNOWN_TYPES:
        raise DecodeError("unknown record type", start + 4)
    if length > limit:
        raise DecodeError("record length out of bounds", start + 8)
    if len(reader) < HEADER_OCTETS + length:
        return None
    reader.skip(HEADER_OCTETS)
    return RawRecord(kind, subtype, seconds, reader.take(length))


def decode(raw: RawRecord) -> Record:
    """Say what a record holds; offsets of a `DecodeError` count from the end of its header."""
    reader = Reader(raw.body)
    match raw.type:
        case MrtType.TABLE_DUMP_V2 if raw.subtype == _PEER_INDEX:
            return _peer_index(reader)
        case MrtType.TABLE_DUMP_V2 if raw.subtype in RIB_SUBTYPES:
            return _rib(reader, *RIB_SUBTYPES[raw.subtype])
        case MrtType.TABLE_DUMP if raw.subtype in _FAMILY_OF:
            return _table_dump(reader, _FAMILY_OF[raw.subtype])
        case MrtType.BGP4MP | MrtType.BGP4MP_ET:
            if raw.type == MrtType.BGP4MP_ET:
                reader.skip(4)  # microseconds
            return _bgp4mp(reader, raw.subtype)
        case _:
            return _skipped(raw.type, raw.subtype)


def _skipped(kind: int, subtype: int) -> Skipped:
    name = MrtType(kind).name.lower() if kind in set(MrtType) else f"type {kind}"
    return Skipped(f"{name} subtype {subtype}")


def _peer_index(reader: Reader) -> PeerIndex:
    collector = reader.u32()
    name = reader.take(reader.u16()).decode("utf-8", "replace")
    return PeerIndex(collector, name, tuple(_indexed_peer(reader) for _ in range(reader.u16())))


def _indexed_peer(reader: Reader) -> MrtPeer:
    form, router_id = reader.u8(), reader.u32()
    address = reader.take(16 if form & 1 else 4)
    return MrtPeer(address, reader.u32() if form & 2 else reader.u16(), router_id)


def _nlri(reader: Reader, afi: Afi) -> bytes:
    """Take a prefix as an UPDATE has it."""
    start = reader.offset
    length = reader.u8()
    if length > BITS[afi]:
        raise DecodeError("prefix length out of bounds", start)
    return bytes((length,)) + reader.take((length + 7) // 8)


def _rib(reader: Reader, family: Family, with_path_id: bool) -> RibRecord:  # noqa: FBT001 - a row of the table
    reader.skip(4)  # sequence number
    nlri = _nlri(reader, family.afi)
    entries = tuple(_rib_entry(reader, with_path_id=with_path_id) for _ in range(reader.u16()))
    return RibRecord(family, nlri, entries, with_path_id)


def _rib_entry(reader: Reader, *, with_path_id: bool) -> RibEntry:
    peer, originated = reader.u16(), reader.u32()
    path_id = reader.u32() if with_path_id else 0
    return RibEntry(peer, originated, reader.take(reader.u16()), path_id)


def _table_dump(reader: Reader, family: Family) -> TableDumpEntry:
    octets = BITS[family.afi] // 8
    reader.skip(4)  # view and sequence number
    start = reader.offset
    address, length = reader.take(octets), reader.u8()
    if length > 8 * octets:
        raise DecodeError("prefix length out of bounds", start + octets)
    reader.skip(1)  # status
    originated = reader.u32()
    teller = reader.take(octets)
    if octets == 16 and not any(teller[4:]):
        teller = teller[:4]  # OpenBGPD's way to put an IPv4 peer into the room of an IPv6 address
    peer = MrtPeer(teller, reader.u16())
    nlri = bytes((length,)) + address[: (length + 7) // 8]
    return TableDumpEntry(family, nlri, peer, originated, reader.take(reader.u16()))


def _bgp4mp(reader: Reader, subtype: int) -> Record:
    if subtype in _MESSAGES:
        four_octet_as, with_path_id, local = _MESSAGES[subtype]
        peer, _ = _session(reader, four_octet_as=four_octet_as)
        return PeerMessage(peer, reader.rest(), four_octet_as, with_path_id, local)
    if subtype in _STATES:
        return StateChange(*_session(reader, four_octet_as=_STATES[subtype]), reader.u16(), reader.u16())
    if subtype == _ENTRY:
        return _entry(reader)
    return _skipped(MrtType.BGP4MP, subtype)


def _session(reader: Reader, *, four_octet_as: bool) -> tuple[MrtPeer, MrtPeer]:
    width = 4 if four_octet_as else 2
    asns = reader.uint(width), reader.uint(width)
    reader.skip(2)  # the interface
    octets = BITS[_family(reader).afi] // 8
    return MrtPeer(reader.take(octets), asns[0]), MrtPeer(reader.take(octets), asns[1])


def _family(reader: Reader) -> Family:
    start = reader.offset
    family = _FAMILY_OF.get(reader.u16())
    if family is None:
        raise DecodeError("unknown address family", start)
    return family


def _entry(reader: Reader) -> Record:
    """Read BGP4MP_ENTRY (RFC 6396 appendix B.4), as OpenBGPD writes it: what it calls the local side is the peer."""
    _, peer = _session(reader, four_octet_as=False)
    reader.skip(4)  # view and status
    originated, family, safi = reader.u32(), _family(reader), reader.u8()
    if safi != family.safi:
        return _skipped(MrtType.BGP4MP, _ENTRY)
    next_hop = reader.take(reader.u8())
    nlri = _nlri(reader, family.afi)
    attributes = reader.take(reader.u16())
    if family is Family.IPV4_UNICAST:
        attributes += bytes((0x40, AttributeCode.NEXT_HOP, len(next_hop))) + next_hop
    else:
        value = bytes((len(next_hop),)) + next_hop  # as RFC 6396 4.3.4 has it in the newer tables
        attributes += bytes((0x90, AttributeCode.MP_REACH)) + len(value).to_bytes(2, "big") + value
    return TableDumpEntry(family, nlri, peer, originated, attributes)
