"""BMP messages to octets: what routers write, for tests."""

from __future__ import annotations

from collections.abc import Iterable

from tidegate.units import Asn
from tidegate.wire.bgp.bmp import BmpType, PeerHeader, PeerKey, PeerType
from tidegate.wire.bgp.constants import Family, MessageType
from tidegate.wire.bgp.message import frame
from tidegate.wire.bgp.open import Capabilities, Open, encode_open

ROUTER = Open(Asn(65001), 90, 1, Capabilities(families=tuple(Family), asn4=Asn(65001)))
NEIGHBOUR = Open(Asn(65002), 90, 2, Capabilities(families=tuple(Family), asn4=Asn(65002)))
KEY = PeerKey(PeerType.GLOBAL, 0, bytes((192, 0, 2, 1)))
HEADER = PeerHeader(KEY, 0, 65002, 2, 1_700_000_000_000_000)
LOC_RIB = PeerHeader(PeerKey(PeerType.LOC_RIB, 0, b""), 0, 65001, 1, 0)


def message(kind: int, body: bytes = b"", *, version: int = 3) -> bytes:
    return bytes((version,)) + (len(body) + 6).to_bytes(4, "big") + bytes((kind,)) + body


def tlvs(values: Iterable[tuple[int, bytes]]) -> bytes:
    return b"".join(kind.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value for kind, value in values)


def peer_header(header: PeerHeader) -> bytes:
    key = header.key
    flags = header.flags | (0x80 if len(key.address) == 16 else 0)
    return (
        bytes((key.type, flags))
        + key.distinguisher.to_bytes(8, "big")
        + key.address.rjust(16, b"\0")
        + header.asn.to_bytes(4, "big")
        + header.router_id.to_bytes(4, "big")
        + (header.time_us // 1_000_000).to_bytes(4, "big")
        + (header.time_us % 1_000_000).to_bytes(4, "big")
    )


def initiation(name: str = "edge-1", descr: str = "a router", *texts: str) -> bytes:
    values = [(0, text.encode()) for text in texts]
    return message(BmpType.INITIATION, tlvs([(1, descr.encode()), (2, name.encode()), *values]))


def termination(code: int, *texts: str) -> bytes:
    return message(BmpType.TERMINATION, tlvs([(1, code.to_bytes(2, "big")), *((0, text.encode()) for text in texts)]))


def peer_up(
    header: PeerHeader = HEADER,
    sent: Open = ROUTER,
    received: Open = NEIGHBOUR,
    values: Iterable[tuple[int, bytes]] = (),
) -> bytes:
    body = peer_header(header) + bytes(16) + bytes((0, 179, 0x9C, 0x40)) + encode_open(sent) + encode_open(received)
    return message(BmpType.PEER_UP, body + tlvs(values))


def peer_down(header: PeerHeader = HEADER, code: int = 4, data: bytes = b"") -> bytes:
    return message(BmpType.PEER_DOWN, peer_header(header) + bytes((code,)) + data)


def monitoring(update: bytes, header: PeerHeader = HEADER) -> bytes:
    """`update` is a whole BGP message."""
    return message(BmpType.ROUTE_MONITORING, peer_header(header) + update)


def statistics(values: Iterable[tuple[int, bytes]], header: PeerHeader = HEADER) -> bytes:
    values = list(values)
    return message(BmpType.STATISTICS, peer_header(header) + len(values).to_bytes(4, "big") + tlvs(values))


def mirroring(values: Iterable[tuple[int, bytes]], header: PeerHeader = HEADER) -> bytes:
    return message(BmpType.ROUTE_MIRRORING, peer_header(header) + tlvs(values))


def update(*attributes: str, withdrawn: str = "", nlri: str = "") -> bytes:
    """Return a whole UPDATE of parts in hexadecimal."""
    gone, block, here = bytes.fromhex(withdrawn), bytes.fromhex("".join(attributes)), bytes.fromhex(nlri)
    body = len(gone).to_bytes(2, "big") + gone + len(block).to_bytes(2, "big") + block + here
    return frame(MessageType.UPDATE, body, limit=65535)
