"""What some routers write into BMP that is not so.

FRR up to 8.4 at least makes UPDATEs of Adj-RIB-In as if it sent them back: the paths of external peers begin with its
own AS. A path that it has really heard cannot, as that would be a loop (RFC 4271 section 9.1.2).

Answers for: RFC 4271 section 4.3 (UPDATE), RFC 6793.
"""

from __future__ import annotations

from typing import Final

from tidegate.errors import DecodeError, EncodeError
from tidegate.wire.bgp.constants import HEADER_OCTETS, AttributeCode, AttributeFlag, MessageType, SegmentType
from tidegate.wire.bgp.message import frame
from tidegate.wire.cursor import Reader, Writer

__all__ = ["prepends_own_as", "without_as"]

_LONG: Final = int(AttributeFlag.LONG)
_LIMIT: Final = 65535


def prepends_own_as(sys_descr: str) -> bool:
    """Tell whether a router of this description is one of those that put their AS in front."""
    return sys_descr.startswith("FRRouting")


def without_as(message: bytes, asn: int, *, width: int) -> bytes:
    """Return a whole UPDATE without the first AS of its path where that is `asn`; any other message as it is.

    `width` is the octets of an AS number.
    """
    reader, out = Reader(message), Writer()
    try:
        reader.skip(HEADER_OCTETS)
        gone = reader.take(reader.u16())
        block = _block(reader.window(reader.u16()), asn, width)
        if block is None:
            return message
        out.u16(len(gone))
        out.put(gone)
        out.u16(len(block))
        out.put(block)
        out.put(reader.rest())
        return frame(MessageType.UPDATE, out.bytes(), limit=_LIMIT)
    except (DecodeError, EncodeError):
        return message  # whoever reads it says what is wrong


def _block(reader: Reader, asn: int, width: int) -> bytes | None:
    """Return the attributes with the path changed, or None where it does not begin so."""
    start = reader.offset
    before = Reader(reader.peek(len(reader)))
    while len(reader):
        attribute = reader.offset
        flags, code = reader.u8(), reader.u8()
        value = reader.window(reader.u16() if flags & _LONG else reader.u8())
        if code != AttributeCode.AS_PATH:
            continue
        path = _path(value, asn, width)
        if path is None:
            return None
        out = Writer()
        out.put(before.take(attribute - start))
        out.put(bytes((flags | _LONG, code)))
        out.u16(len(path))
        out.put(path)
        out.put(reader.rest())
        return out.bytes()
    return None


def _path(value: Reader, asn: int, width: int) -> bytes | None:
    if not len(value):
        return None
    kind, count = value.u8(), value.u8()
    if kind != SegmentType.SEQUENCE or not count or value.uint(width) != asn:
        return None
    return value.rest() if count == 1 else bytes((kind, count - 1)) + value.rest()
