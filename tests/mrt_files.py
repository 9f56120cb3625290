"""MRT records to octets: what routers and collectors write, for tests and for made-up tables."""

from __future__ import annotations

from collections.abc import Iterable

from tidegate.wire.bgp.constants import Family
from tidegate.wire.bgp.mrt import MrtPeer, PeerIndex, PeerMessage, RibRecord, StateChange, TableDumpEntry

ORIGIN, PATH, HOP = bytes.fromhex("40010100"), bytes.fromhex("400206 0201 0000fdea"), bytes.fromhex("400304 c0000201")
PLAIN = ORIGIN + PATH + HOP
HOP6 = bytes.fromhex("20010db8") + bytes(11) + b"\1"
ABBREVIATED = ORIGIN + PATH + bytes((0x80, 14, 17, 16)) + HOP6
WHOLE = ORIGIN + PATH + bytes((0x80, 14, 21, 0, 2, 1, 16)) + HOP6 + b"\0"
ONE, TWO = MrtPeer(bytes((192, 0, 2, 1)), 65002, 1), MrtPeer(bytes((192, 0, 2, 2)), 4_200_000_000, 2)
SIX = MrtPeer(bytes.fromhex("20010db8") + bytes(11) + b"\2", 65003, 3)
_RIB = {(Family.IPV4_UNICAST, False): 2, (Family.IPV6_UNICAST, False): 4, (Family.IPV4_UNICAST, True): 8}
_RIB[Family.IPV6_UNICAST, True] = 10
_MESSAGES = {(False, False, False): 1, (True, False, False): 4, (False, False, True): 6, (True, False, True): 7}
_MESSAGES |= {(False, True, False): 8, (True, True, False): 9, (False, True, True): 10, (True, True, True): 11}


def record(kind: int, subtype: int, body: bytes, *, time_s: int = 1_700_000_000) -> bytes:
    head = time_s.to_bytes(4, "big") + kind.to_bytes(2, "big") + subtype.to_bytes(2, "big")
    return head + len(body).to_bytes(4, "big") + body


def peer_index(index: PeerIndex) -> bytes:
    name = index.view_name.encode()
    body = index.collector_id.to_bytes(4, "big") + len(name).to_bytes(2, "big") + name
    body += len(index.peers).to_bytes(2, "big")
    for peer in index.peers:
        wide = peer.asn >= 1 << 16
        body += bytes(((len(peer.address) == 16) | wide << 1,)) + peer.router_id.to_bytes(4, "big")
        body += peer.address + peer.asn.to_bytes(4 if wide else 2, "big")
    return record(13, 1, body)


def rib(found: RibRecord, *, sequence: int = 0) -> bytes:
    body = sequence.to_bytes(4, "big") + found.nlri + len(found.entries).to_bytes(2, "big")
    for entry in found.entries:
        body += entry.peer.to_bytes(2, "big") + entry.originated.to_bytes(4, "big")
        body += entry.path_id.to_bytes(4, "big") if found.with_path_id else b""
        body += len(entry.attributes).to_bytes(2, "big") + entry.attributes
    return record(13, _RIB[found.family, found.with_path_id], body)


def table_dump(entry: TableDumpEntry) -> bytes:
    octets = len(entry.peer.address)
    body = bytes(4) + entry.nlri[1:].ljust(octets, b"\0") + entry.nlri[:1] + b"\1"
    body += entry.originated.to_bytes(4, "big") + entry.peer.address + entry.peer.asn.to_bytes(2, "big")
    body += len(entry.attributes).to_bytes(2, "big") + entry.attributes
    return record(12, 1 if octets == 4 else 2, body)


def _session(peer: MrtPeer, local: MrtPeer | None = None, *, wide: bool) -> bytes:
    local = MrtPeer(bytes(len(peer.address)), 65001) if local is None else local
    width = 4 if wide else 2
    body = peer.asn.to_bytes(width, "big") + local.asn.to_bytes(width, "big") + bytes(2)
    return body + bytes((0, 1 if len(peer.address) == 4 else 2)) + peer.address + local.address


def peer_message(found: PeerMessage, *, micros: int | None = None) -> bytes:
    body = _session(found.peer, wide=found.four_octet_as) + found.message
    subtype = _MESSAGES[found.four_octet_as, found.with_path_id, found.local]
    if micros is None:
        return record(16, subtype, body)
    return record(17, subtype, micros.to_bytes(4, "big") + body)


def state_change(change: StateChange, *, wide: bool = True) -> bytes:
    body = (
        _session(change.peer, change.local, wide=wide) + change.old.to_bytes(2, "big") + change.new.to_bytes(2, "big")
    )
    return record(16, 5 if wide else 0, body)


def entry(found: TableDumpEntry, next_hop: bytes) -> bytes:
    """Return BGP4MP_ENTRY as OpenBGPD writes it, with the next hop beside the attributes."""
    local = MrtPeer(bytes(len(found.peer.address)), 65001)
    body = _session(local, found.peer, wide=False) + bytes(4) + found.originated.to_bytes(4, "big")
    body += bytes((0, found.family.afi, found.family.safi, len(next_hop))) + next_hop + found.nlri
    return record(16, 2, body + len(found.attributes).to_bytes(2, "big") + found.attributes)


LOCAL = MrtPeer(bytes(4), 65001)


def index_of(*peers: MrtPeer) -> bytes:
    return peer_index(PeerIndex(1, "", peers))


def nlri(text: str) -> bytes:
    """Return a prefix in hexadecimal, its length first in decimal: `8 0a`."""
    length, _, octets = text.partition(" ")
    return bytes((int(length),)) + bytes.fromhex(octets)


def write(records: Iterable[bytes]) -> bytes:
    return b"".join(records)
