"""Addresses of interfaces: what is asked of the kernel, and what its messages say of each.

In go the bodies of RTM_NEWADDR and RTM_DELADDR messages, out come addresses. On a link between two points the kernel
gives both ends: what is returned is the local one.

Answers for: rtnetlink(7), linux/if_addr.h.
"""

from __future__ import annotations

import struct
from enum import IntEnum, IntFlag

import msgspec

from tidegate.errors import DecodeError
from tidegate.wire.netlink.message import Message, first_attributes, uint_of

__all__ = ["AddressFlags", "AddressMessage", "InterfaceAddress", "addresses_body", "read_address"]

_HEADER = struct.Struct("=BBBBi")  # ifaddrmsg: family, prefix length, flags, scope, index
_LENGTHS = {2: 4, 10: 16}  # AF_INET, AF_INET6
_ADVERTISED = 2  # IFAPROT_KERNEL_RA, told since 5.18


class AddressMessage(IntEnum):
    """Message types of rtnetlink that are about addresses."""

    NEWADDR = 20
    DELADDR = 21
    GETADDR = 22


class AddressFlags(IntFlag):
    """The flags of an address that are looked at."""

    TEMPORARY = 0x1  # of IPv6 (RFC 8981); the same bit says "secondary" of IPv4
    FAILED = 0x8  # duplicate
    DEPRECATED = 0x20
    TENTATIVE = 0x40
    PERMANENT = 0x80
    STABLE_PRIVACY = 0x800  # RFC 7217, made from an advertisement


class InterfaceAddress(msgspec.Struct, frozen=True):
    """An address of an interface: 4 or 16 octets."""

    index: int
    address: bytes
    flags: int = AddressFlags.PERMANENT
    advertised: bool = False  # the kernel says that it made it from a router advertisement

    @property
    def family(self) -> int:
        """4 or 6."""
        return 4 if len(self.address) == 4 else 6

    @property
    def usable(self) -> bool:
        """Whether it is known to be nobody else's."""
        return not self.flags & (AddressFlags.TENTATIVE | AddressFlags.FAILED)

    @property
    def temporary(self) -> bool:
        """Whether it is one of IPv6 that is replaced within days."""
        return self.family == 6 and bool(self.flags & AddressFlags.TEMPORARY)

    @property
    def deprecated(self) -> bool:
        """Whether new connections should not use it."""
        return bool(self.flags & AddressFlags.DEPRECATED)

    @property
    def autoconfigured(self) -> bool:
        """Whether it came from the network (an advertisement, DHCP) and ends unless renewed."""
        made = self.advertised or self.flags & AddressFlags.STABLE_PRIVACY
        return bool(made) or not self.flags & AddressFlags.PERMANENT


def addresses_body() -> bytes:
    """Return the body of a dump request (GETADDR) for all addresses of both families."""
    return _HEADER.pack(0, 0, 0, 0, 0)


def read_address(message: Message) -> InterfaceAddress | None:
    """Return the address that a message is about, None where it is of no family known here; `DecodeError`."""
    if len(message.body) < _HEADER.size:
        raise DecodeError("truncated address header", 0)
    family, _, flags, _, index = _HEADER.unpack_from(message.body)
    told = first_attributes(message.body, _HEADER.size)
    address = told.get(2) or told.get(1, b"")  # IFA_LOCAL, which IPv6 has on links between two points only
    if _LENGTHS.get(family) != len(address):
        return None
    return InterfaceAddress(index, address, uint_of(told.get(8), flags), uint_of(told.get(11)) == _ADVERTISED)
