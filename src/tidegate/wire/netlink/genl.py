"""Generic netlink: how a family is asked for, and what it says of itself.

Answers for: linux/genetlink.h (CTRL_CMD_GETFAMILY and its answer).
"""

from __future__ import annotations

import struct

import msgspec

from tidegate.errors import DecodeError
from tidegate.wire.netlink.message import Message, attribute, attributes, first_attributes, text_of, uint_of

__all__ = ["CONTROL", "Family", "genl_body", "get_family_body", "read_family"]

CONTROL = 16  # GENL_ID_CTRL, the message type of the family that knows the others
_HEADER = struct.Struct("=BBH")
_GET_FAMILY = 3


class Family(msgspec.Struct, frozen=True):
    """A family: its message type and the numbers of its multicast groups by name; both change with the module."""

    name: str
    id: int
    version: int
    groups: dict[str, int]


def genl_body(command: int, version: int, *attached: bytes) -> bytes:
    """Return the body of a generic netlink message."""
    return _HEADER.pack(command, version, 0) + b"".join(attached)


def get_family_body(name: str) -> bytes:
    """Return the body of the request for a family, to be sent as type `CONTROL`."""
    return genl_body(_GET_FAMILY, 1, attribute(2, name.encode() + b"\0"))


def read_family(message: Message) -> Family:
    """Return the family that an answer describes; `DecodeError` where it describes none."""
    if len(message.body) < _HEADER.size:
        raise DecodeError("truncated generic netlink header", 0)
    told = first_attributes(message.body, _HEADER.size)
    if 1 not in told:
        raise DecodeError("no family in the answer", 0)
    groups = {}
    for _, one in attributes(told.get(7, b"")):
        group = first_attributes(one)
        groups[text_of(group.get(1))] = uint_of(group.get(2))
    return Family(text_of(told.get(2)), uint_of(told[1]), uint_of(told.get(3)), groups)
