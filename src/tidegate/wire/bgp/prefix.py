"""An IP prefix as BGP carries it: octets and a length, with its text and wire forms.

Answers for: RFC 4271 section 4.3 (withdrawn routes, NLRI), RFC 4760 section 5, RFC 7911 section 3 (path identifiers).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Final, overload

import msgspec

from tidegate.errors import DecodeError, EncodeError, TextError
from tidegate.wire.bgp.constants import Afi
from tidegate.wire.cursor import Reader

__all__ = [
    "BITS",
    "Prefix",
    "PrefixList",
    "address_text",
    "decode_prefix",
    "encode_prefix",
    "mask",
    "parse_address",
    "parse_prefix",
]

BITS: Final = {Afi.IPV4: 32, Afi.IPV6: 128}


class Prefix(msgspec.Struct, frozen=True, order=True):
    """`address` holds 4 or 16 octets with the bits past `length` zero; `path_id` is ADD-PATH's, 0 without it."""

    address: bytes
    length: int
    path_id: int = 0

    @property
    def afi(self) -> Afi:
        """The address family, told by the width of the address."""
        return Afi.IPV4 if len(self.address) == 4 else Afi.IPV6

    def __str__(self) -> str:
        return f"{address_text(self.address)}/{self.length}"


def mask(address: bytes, length: int) -> bytes:
    """Return `address` with every bit past `length` zero."""
    spare = 8 * len(address) - length
    return (int.from_bytes(address, "big") >> spare << spare).to_bytes(len(address), "big")


def address_text(address: bytes) -> str:
    """Return the text of 4 or 16 octets (RFC 5952 for IPv6)."""
    return str(ipaddress.ip_address(address))


def parse_address(text: str) -> bytes:
    """Return the octets of an address a user wrote; `TextError` where it is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise TextError(text, 0, "not an IPv4 or IPv6 address") from None
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        raise TextError(text, text.index("%"), "a zone index has no place in a route")
    return address.packed


def parse_prefix(text: str) -> Prefix:
    """Return the prefix a user wrote; a bare address is a host route; set bits past the length are refused."""
    head, slash, tail = text.partition("/")
    try:
        address = parse_address(head)
    except TextError as error:
        raise TextError(text, error.column, error.reason, error.hint) from None
    most = 8 * len(address)
    if not slash:
        return Prefix(address, most)
    if not (tail.isascii() and tail.isdigit() and len(tail) <= 3) or int(tail) > most:
        raise TextError(text, len(head) + 1, f"the prefix length is a number from 0 to {most}")
    length = int(tail)
    if mask(address, length) != address:
        inside = Prefix(mask(address, length), length)
        raise TextError(text, 0, "address bits are set past the prefix length", f"did you mean {inside}?")
    return Prefix(address, length)


def decode_prefix(reader: Reader, afi: Afi, *, with_path_id: bool = False) -> Prefix:
    """Read one prefix; bits past its length are cleared (RFC 4271 section 4.3 calls them irrelevant).

    `ValueError` where the length is over the family's, `DecodeError` where octets are missing.
    """
    path_id = reader.u32() if with_path_id else 0
    length = reader.u8()
    most = BITS[afi]
    if length > most:
        raise ValueError(f"prefix length {length} is over {most}")
    octets = reader.take((length + 7) // 8)
    return Prefix(mask(octets.ljust(most // 8, b"\0"), length), length, path_id)


class PrefixList(Sequence[Prefix]):
    """Checked octets of prefixes of one family, read one by one when somebody looks; equal to a tuple of the same."""

    __slots__ = ("_count", "afi", "octets", "with_path_id")

    def __init__(self, octets: bytes, afi: Afi, *, with_path_id: bool = False) -> None:
        """Check the octets: `ValueError` and `DecodeError` as of `decode_prefix`."""
        self.octets = octets
        self.afi = afi
        self.with_path_id = with_path_id
        self._count = sum(1 for _ in self._starts())

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Prefix]:
        reader = Reader(self.octets)
        while len(reader):
            yield decode_prefix(reader, self.afi, with_path_id=self.with_path_id)

    @overload
    def __getitem__(self, index: int) -> Prefix: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Prefix]: ...

    def __getitem__(self, index: int | slice) -> Prefix | Sequence[Prefix]:
        return tuple(self)[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(tuple(self))

    def parts(self, most: int) -> Iterator[PrefixList]:
        """Yield the prefixes in lists of `most` octets, or little more."""
        if len(self.octets) <= most:
            yield self
            return
        start = 0
        for place in self._starts():
            if place - start >= most:
                yield PrefixList(self.octets[start:place], self.afi, with_path_id=self.with_path_id)
                start = place
        yield PrefixList(self.octets[start:], self.afi, with_path_id=self.with_path_id)

    def _starts(self) -> Iterator[int]:
        """Yield where each prefix starts, checking it."""
        octets, most, head = self.octets, BITS[self.afi], 4 if self.with_path_id else 0
        place, end = 0, len(octets)
        while place < end:
            at = place + head
            if at >= end:
                raise DecodeError("truncated", place)
            length = octets[at]
            if length > most:
                raise ValueError(f"prefix length {length} is over {most}")
            after = at + 1 + (length + 7 >> 3)
            if after > end:
                raise DecodeError("truncated", at + 1)
            yield place
            place = after


def encode_prefix(prefix: Prefix) -> bytes:
    """Return the wire form of a prefix without path identifier; `EncodeError` where its parts do not agree."""
    if len(prefix.address) not in {4, 16} or not 0 <= prefix.length <= 8 * len(prefix.address):
        raise EncodeError(f"prefix length {prefix.length} does not fit {len(prefix.address)} octets of address")
    if mask(prefix.address, prefix.length) != prefix.address:
        raise EncodeError(f"{prefix} has bits set past its length")
    return bytes((prefix.length,)) + prefix.address[: (prefix.length + 7) // 8]
