"""Messages on the byte stream: header, limits, and the three kinds that carry no routes.

A `Reader` over what has arrived goes in; one `Message` comes out, or None where more octets are needed. Header errors
are `SessionReset`, ready to be sent.

Answers for: RFC 4271 sections 4.1, 4.4, 4.5 and 6.1, RFC 2918, RFC 4486, RFC 7313, RFC 8538 section 3, RFC 8654, RFC
9003 (shutdown text).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from tidegate.errors import EncodeError, SessionReset
from tidegate.wire.bgp.constants import (
    EXTENDED_LIMIT,
    HEADER_OCTETS,
    MARKER,
    STANDARD_LIMIT,
    Cease,
    ErrorCode,
    Family,
    HeaderError,
    MessageType,
    RefreshError,
    RefreshSubtype,
    describe,
)
from tidegate.wire.cursor import Reader

__all__ = [
    "KEEPALIVE",
    "Message",
    "Notification",
    "RouteRefresh",
    "decode_notification",
    "decode_refresh",
    "encode_notification",
    "encode_refresh",
    "frame",
    "hard_reset",
    "maybe_message",
    "shutdown",
    "too_many_prefixes",
]

# least and most octets of the whole message, RFC 4271 section 6.1; None stands for the limit of the session
_LENGTHS: Final[Mapping[int, tuple[int, int | None]]] = MappingProxyType(
    {
        MessageType.OPEN: (29, STANDARD_LIMIT),  # RFC 8654: OPEN and KEEPALIVE never grow
        MessageType.UPDATE: (23, None),
        MessageType.NOTIFICATION: (21, None),
        MessageType.KEEPALIVE: (19, 19),
        MessageType.ROUTE_REFRESH: (19, None),  # its own section 5 of RFC 7313 checks the rest
    }
)
_TEXT_OCTETS: Final = 255  # RFC 9003 section 2
_REFRESH_OCTETS: Final = 4


class Message(msgspec.Struct, frozen=True):
    """One message without its header."""

    type: MessageType
    body: bytes


class Notification(msgspec.Struct, frozen=True):
    """Why a session ends: code, subcode and data of RFC 4271 section 4.5."""

    code: int
    subcode: int
    data: bytes = b""

    @property
    def hard(self) -> bool:
        """Whether this is a hard reset: what was announced is not kept, whatever was agreed (RFC 8538)."""
        return (self.code, self.subcode) == (ErrorCode.CEASE, Cease.HARD_RESET)

    @property
    def inner(self) -> Notification:
        """The NOTIFICATION inside a hard reset (RFC 8538 section 3), or this one."""
        if not self.hard or len(self.data) < 2:
            return self
        reader = Reader(self.data)
        return Notification(reader.u8(), reader.u8(), reader.rest())

    @property
    def text(self) -> str:
        """What the peer wrote in words (RFC 9003), with control characters made harmless; empty if nothing."""
        if self.code != ErrorCode.CEASE or self.subcode not in {Cease.SHUTDOWN, Cease.RESET} or not self.data:
            return ""
        reader = Reader(self.data)
        words = reader.take(min(reader.u8(), len(reader))).decode("utf-8", "replace")
        return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in words)

    def __str__(self) -> str:
        words = describe(self.code, self.subcode)
        return f'{words}: "{self.text}"' if self.text else words


class RouteRefresh(msgspec.Struct, frozen=True):
    """A ROUTE-REFRESH; `family` is None where this speaker does not know it."""

    family: Family | None
    subtype: int = RefreshSubtype.REQUEST


def frame(kind: MessageType, body: bytes = b"", *, limit: int = STANDARD_LIMIT) -> bytes:
    """Return a whole message; `EncodeError` where it would be longer than `limit` octets."""
    length = HEADER_OCTETS + len(body)
    if length > limit:
        raise EncodeError(f"{kind.name} of {length} octets is over the session's limit of {limit}")
    return MARKER + length.to_bytes(2, "big") + bytes((kind,)) + body


KEEPALIVE: Final = frame(MessageType.KEEPALIVE)


def maybe_message(reader: Reader, limit: int = STANDARD_LIMIT) -> Message | None:
    """Read one whole message, or return None and read nothing where it has not arrived in full.

    `limit` is 4096, or 65535 once both sides offered RFC 8654. `SessionReset` 1/1, 1/2 or 1/3 on a bad header, as
    soon as the octet that is wrong has arrived.
    """
    head = Reader(reader.peek(HEADER_OCTETS))
    marker = head.peek(len(MARKER))
    if marker != MARKER[: len(marker)]:
        raise SessionReset(ErrorCode.HEADER, HeaderError.NOT_SYNCHRONISED, reason="the marker is not all ones")
    if len(head) < HEADER_OCTETS:
        return None
    head.skip(len(MARKER))
    length, kind = head.u16(), head.u8()
    _check_header(length, kind, limit)
    if len(reader) < length:
        return None
    window = reader.window(length)
    window.skip(HEADER_OCTETS)
    return Message(MessageType(kind), window.rest())


def _check_header(length: int, kind: int, limit: int) -> None:
    if kind not in _LENGTHS:
        raise SessionReset(ErrorCode.HEADER, HeaderError.TYPE, bytes((kind,)), f"message type {kind} is unknown")
    least, most = _LENGTHS[kind]
    if not least <= length <= (most or limit):
        reason = f"{MessageType(kind).name} of {length} octets"
        raise SessionReset(ErrorCode.HEADER, HeaderError.LENGTH, length.to_bytes(2, "big"), reason)


def encode_notification(notification: Notification) -> bytes:
    """Return the whole message; data that would break the limit is an `EncodeError`."""
    return frame(MessageType.NOTIFICATION, bytes((notification.code, notification.subcode)) + notification.data)


def decode_notification(body: bytes) -> Notification:
    """Read a NOTIFICATION's body, which `maybe_message` made sure holds two octets; any content is legal."""
    reader = Reader(body)
    return Notification(reader.u8(), reader.u8(), reader.rest())


def shutdown(subcode: Cease, text: str = "") -> Notification:
    """Return a Cease with words for the other side's log (RFC 9003); `EncodeError` where they are over 255 octets."""
    octets = text.encode()
    if len(octets) > _TEXT_OCTETS:
        raise EncodeError(f"a shutdown text of {len(octets)} octets is over {_TEXT_OCTETS}")
    return Notification(ErrorCode.CEASE, subcode, bytes((len(octets),)) + octets if octets else b"")


def hard_reset(notification: Notification) -> Notification:
    """Return the same NOTIFICATION as a hard reset, for a peer that would keep routes else (RFC 8538 section 3)."""
    return Notification(
        ErrorCode.CEASE, Cease.HARD_RESET, bytes((notification.code, notification.subcode)) + notification.data
    )


def too_many_prefixes(family: Family, limit: int) -> Notification:
    """Return a Cease 6/1 that names the family and its upper bound (RFC 4486 section 4)."""
    data = bytes((0, family.afi, family.safi)) + limit.to_bytes(4, "big")
    return Notification(ErrorCode.CEASE, Cease.MAX_PREFIXES, data)


def encode_refresh(family: Family, subtype: RefreshSubtype = RefreshSubtype.REQUEST) -> bytes:
    """Return a whole ROUTE-REFRESH message."""
    return frame(MessageType.ROUTE_REFRESH, bytes((0, family.afi, subtype, family.safi)))


def decode_refresh(body: bytes, *, enhanced: bool = True) -> RouteRefresh:
    """Read a ROUTE-REFRESH's body; what follows a request is for route filters, which are never agreed to.

    `SessionReset` on a bad length: 7/1 with the whole message where the peer knows RFC 7313 (its section 5), 1/2 else.
    """
    reader = Reader(body)
    if len(reader) < _REFRESH_OCTETS:
        raise _refresh_length(body, enhanced=enhanced)
    afi, subtype, safi = reader.u16(), reader.u8(), reader.u8()
    if len(reader) and enhanced and subtype != RefreshSubtype.REQUEST:
        raise _refresh_length(body, enhanced=enhanced)
    return RouteRefresh(Family.of(afi, safi), subtype)


def _refresh_length(body: bytes, *, enhanced: bool) -> SessionReset:
    whole = frame(MessageType.ROUTE_REFRESH, body, limit=EXTENDED_LIMIT)
    reason = f"ROUTE-REFRESH of {len(whole)} octets"
    if enhanced:
        return SessionReset(ErrorCode.ROUTE_REFRESH, RefreshError.LENGTH, whole, reason)
    return SessionReset(ErrorCode.HEADER, HeaderError.LENGTH, len(whole).to_bytes(2, "big"), reason)
