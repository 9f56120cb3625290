"""Frames of netlink: messages, their attributes, and the kernel's answers to requests.

In go octets as they come from or go to a netlink socket, in the byte order of the host; out come messages and
attributes. A message that does not fit its buffer ends the reading with `DecodeError`; so does an attribute that does
not fit its message. Nothing is allocated from a length that the octets do not hold.

Answers for: RFC 3549 section 2, linux/netlink.h (nlmsghdr, nlattr, extended acknowledgements).
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from enum import IntEnum, IntFlag
from typing import Literal

import msgspec

from tidegate.errors import DecodeError

__all__ = [
    "ORDER",
    "Answer",
    "Flags",
    "Kind",
    "Message",
    "attribute",
    "attributes",
    "encode_message",
    "first_attributes",
    "nested",
    "read_answer",
    "split_messages",
    "text_of",
    "uint_of",
]

ORDER: Literal["little", "big"] = sys.byteorder  # netlink's own integers; netfilter's are big-endian
HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_TYPE_MASK = 0x3FFF  # the two bits above: nested, network byte order


class Kind(IntEnum):
    """Message types that every family shares."""

    ERROR = 2
    DONE = 3


class Flags(IntFlag):
    """Flags of a message."""

    REQUEST = 0x1
    MULTI = 0x2
    ACK = 0x4
    DUMP_INTERRUPTED = 0x10
    ROOT = 0x100
    MATCH = 0x200
    DUMP = 0x300
    REPLACE = 0x100
    EXCL = 0x200
    CREATE = 0x400
    CAPPED = 0x100  # of an error: the request is not repeated in full
    ACK_TLVS = 0x200  # of an error: attributes follow


class Message(msgspec.Struct, frozen=True):
    """One message; `body` is what stands behind the header."""

    type: int
    flags: int
    sequence: int
    port: int
    body: bytes


class Answer(msgspec.Struct, frozen=True):
    """What the kernel says to a request: `errno` 0 where it was done, else a reason in words where it gives one."""

    errno: int
    text: str = ""


def split_messages(data: bytes) -> Iterator[Message]:
    """Yield the messages of a buffer in order; `DecodeError` where one does not fit."""
    at = 0
    while at < len(data):
        if len(data) - at < HEADER.size:
            raise DecodeError("truncated netlink header", at)
        length, kind, flags, sequence, port = HEADER.unpack_from(data, at)
        if not HEADER.size <= length <= len(data) - at:
            raise DecodeError("netlink message does not fit its buffer", at)
        yield Message(kind, flags, sequence, port, data[at + HEADER.size : at + length])
        at += length + (-length % 4)


def encode_message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    """Return the octets of a request."""
    return HEADER.pack(HEADER.size + len(body), kind, flags, sequence, 0) + body


def attributes(data: bytes, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield type (without its two flags) and value of each attribute from an octet on; `DecodeError`."""
    at = start
    while len(data) - at >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if not _ATTRIBUTE.size <= length <= len(data) - at:
            raise DecodeError("netlink attribute does not fit its message", at)
        yield kind & _TYPE_MASK, data[at + _ATTRIBUTE.size : at + length]
        at += length + (-length % 4)


def first_attributes(data: bytes, start: int = 0) -> dict[int, bytes]:
    """Return the first attribute of each type; `DecodeError`."""
    found: dict[int, bytes] = {}
    for kind, value in attributes(data, start):
        found.setdefault(kind, value)
    return found


def attribute(kind: int, value: bytes) -> bytes:
    """Return the octets of an attribute, padded."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def nested(kind: int, *inner: bytes) -> bytes:
    """Return the octets of an attribute that holds attributes."""
    return attribute(kind | 0x8000, b"".join(inner))


def uint_of(value: bytes | None, default: int = 0) -> int:
    """Return a number of any width in the host's order; `default` where there is none."""
    return default if value is None else int.from_bytes(value, ORDER)


def text_of(value: bytes | None) -> str:
    """Return a text up to its terminating zero; empty where there is none."""
    return (value or b"").partition(b"\0")[0].decode("utf-8", "replace")


def read_answer(message: Message) -> Answer:
    """Return what an error, an acknowledgement (an error 0) or the end of a dump says; `DecodeError`."""
    if len(message.body) < 4:
        raise DecodeError("truncated netlink error", 0)
    code = -int.from_bytes(message.body[:4], ORDER, signed=True)
    if not message.flags & Flags.ACK_TLVS:
        return Answer(code)
    if message.type == Kind.DONE:  # no copy of the request behind the number
        return Answer(code, text_of(first_attributes(message.body, 4).get(1)))
    if len(message.body) < 4 + HEADER.size:
        return Answer(code)
    inner = int.from_bytes(message.body[4:8], ORDER)
    start = 4 + HEADER.size if message.flags & Flags.CAPPED or not code else 4 + inner + (-inner % 4)
    return Answer(code, text_of(first_attributes(message.body, min(start, len(message.body))).get(1)))
