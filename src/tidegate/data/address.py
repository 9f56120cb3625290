"""One 128-bit form for IPv4 and IPv6 addresses: two 64-bit words, IPv4 as ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2).

Text is the flow language's: IPv4 dotted, IPv6 compressed as RFC 5952 says but in upper case.
"""

from __future__ import annotations

import ipaddress

__all__ = [
    "MAPPED",
    "Words",
    "format_address",
    "is_mapped",
    "parse_address",
    "parse_prefix",
    "prefix_mask",
    "words_of_bytes",
]

Words = tuple[int, int]

MAPPED = 0xFFFF << 32  # what stands above the four octets of a mapped IPv4 address in the low word
_LOW = (1 << 64) - 1


def parse_address(text: str) -> Words:
    """Return the words of an address; `ValueError` where the text is none (zone indexes are refused)."""
    address = ipaddress.ip_address(text.strip())
    if isinstance(address, ipaddress.IPv4Address):
        return 0, MAPPED | int(address)
    if address.scope_id is not None:
        raise ValueError(f"{text!r} has a zone index")
    return int(address) >> 64, int(address) & _LOW


def parse_prefix(text: str) -> tuple[Words, int]:
    """Return the words and the length (0 to 128, IPv4 plus 96) of a CIDR or a single address.

    `ValueError` where the text is neither, or has bits beyond its length.
    """
    network = ipaddress.ip_network(text.strip())
    if isinstance(network, ipaddress.IPv4Network):
        return (0, MAPPED | int(network.network_address)), 96 + network.prefixlen
    value = int(network.network_address)
    return (value >> 64, value & _LOW), network.prefixlen


def prefix_mask(length: int) -> Words:
    """Return the words whose first `length` bits are set: 0 to 128, IPv4 plus 96."""
    mask = (1 << 128) - (1 << 128 - length)
    return mask >> 64, mask & _LOW


def words_of_bytes(octets: bytes) -> Words:
    """Return the words of 4 or 16 octets as they stand on the wire."""
    if len(octets) == 4:
        return 0, MAPPED | int.from_bytes(octets, "big")
    if len(octets) == 16:
        return int.from_bytes(octets[:8], "big"), int.from_bytes(octets[8:], "big")
    raise ValueError(f"an address has 4 or 16 octets, not {len(octets)}")


def is_mapped(high: int, low: int) -> bool:
    """Tell whether the words are those of an IPv4 address."""
    return high == 0 and low >> 32 == 0xFFFF


def format_address(high: int, low: int) -> str:
    """Return the text of an address."""
    if is_mapped(high, low):
        return f"{low >> 24 & 255}.{low >> 16 & 255}.{low >> 8 & 255}.{low & 255}"
    return str(ipaddress.IPv6Address(high << 64 | low)).upper()
