"""Joining the IP fragments of captured UDP datagrams, within bounds.

Pieces wait in memory until their datagram is whole. Too many datagrams begun, too much time between pieces, pieces that
overlap (RFC 5722 section 3, applied to IPv4 as well) or reach beyond 65,535 octets cost that datagram, and are counted.

Answers for: RFC 791 section 3.2, RFC 8200 section 4.5.
"""

from __future__ import annotations

import msgspec

__all__ = ["Piece", "Reassembly", "read_piece"]

_MOST_PENDING = 256  # datagrams begun: 16 MiB at worst
_PATIENCE_NS = 30_000_000_000  # RFC 8200 allows 60 s, Linux waits 30


class Piece(msgspec.Struct, frozen=True):
    """A fragment: of which datagram, from which octet on, and whether it is the last."""

    key: bytes  # addresses, protocol and identification as they stand in the headers
    offset: int
    last: bool
    payload: bytes


class _Pending(msgspec.Struct):
    """A datagram of which some pieces are there."""

    since_ns: int
    pieces: dict[int, bytes]
    held: int  # octets
    total: int  # octets of the whole, -1 until the last piece is there


class Reassembly:
    """Datagrams begun; `lost` and `joined` count fragments that went nowhere and that became part of a whole."""

    def __init__(self) -> None:
        self._pending: dict[bytes, _Pending] = {}
        self.lost = 0
        self.joined = 0

    @property
    def waiting(self) -> int:
        """Fragments whose datagram is not whole."""
        return sum(len(pending.pieces) for pending in self._pending.values())

    def add(self, piece: Piece, now_ns: int) -> bytes | None:
        """Take a fragment in; return the payload of its datagram if that is whole now."""
        self._expire(now_ns)
        pending = self._pending.setdefault(piece.key, _Pending(now_ns, {}, 0, -1))
        if not _accept(pending, piece):
            self._drop(piece.key)
            self.lost += 1
            return None
        if pending.held != pending.total:
            return None
        del self._pending[piece.key]
        self.joined += len(pending.pieces)
        return b"".join(pending.pieces[at] for at in sorted(pending.pieces))

    def _expire(self, now_ns: int) -> None:
        """Give up on what began too long ago, and on the oldest where there are too many."""
        while self._pending:
            oldest = next(iter(self._pending))
            old = abs(now_ns - self._pending[oldest].since_ns) > _PATIENCE_NS
            if not old and len(self._pending) < _MOST_PENDING:
                return
            self._drop(oldest)

    def _drop(self, key: bytes) -> None:
        self.lost += len(self._pending.pop(key).pieces)


def _accept(pending: _Pending, piece: Piece) -> bool:
    """Add a piece where it fits with the others; tell whether it did."""
    end = piece.offset + len(piece.payload)
    if end > 65535 or not piece.payload or (not piece.last and len(piece.payload) % 8):
        return False
    if piece.last:
        if pending.total not in {-1, end}:
            return False
        pending.total = end
    if pending.total >= 0 and (end > pending.total or any(at >= pending.total for at in pending.pieces)):
        return False
    for at, payload in pending.pieces.items():
        if at < end and piece.offset < at + len(payload):
            return False
    pending.pieces[piece.offset] = piece.payload
    pending.held += len(piece.payload)
    return True


def read_piece(packet: bytes, start: int, length: int) -> Piece | None:
    """Read a fragment out of an IP packet; None where the capture has cut it or it is no UDP.

    `start` is the octet of the IPv4 payload or of the IPv6 fragment header in the packet, `length` counts from there
    to the end that the header states.
    """
    if start + length > len(packet):
        return None
    if packet[0] >> 4 == 4:
        field = int.from_bytes(packet[6:8], "big")
        key = packet[12:20] + packet[4:6]
        return Piece(key, (field & 0x1FFF) * 8, not field & 0x2000, packet[start : start + length])
    if length < 8 or packet[start] != 17:
        return None
    field = int.from_bytes(packet[start + 2 : start + 4], "big")
    key = packet[8:40] + packet[start + 4 : start + 8]
    return Piece(key, field & 0xFFF8, not field & 1, packet[start + 8 : start + length])
