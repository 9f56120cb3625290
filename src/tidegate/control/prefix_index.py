"""Names filed under prefixes, found again by any prefix that has an address in common with theirs."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

from tidegate.wire.bgp.prefix import Prefix, mask
from tidegate.wire.bgp.sorted_octets import SortedOctets

__all__ = ["PrefixIndex"]

K = TypeVar("K", bound=Hashable)


class PrefixIndex(Generic[K]):
    """What is filed under a prefix; of both families."""

    def __init__(self) -> None:
        self._filed: dict[bytes, set[K]] = {}
        self._order = SortedOctets()
        self._lengths: dict[tuple[int, int], int] = {}  # (octets of the address, length) -> how many prefixes

    def add(self, prefix: Prefix, name: K) -> None:
        """File a name under a prefix."""
        place = _place(prefix.address, prefix.length)
        if place not in self._filed:
            self._filed[place] = set()
            self._order.add(place)
            kind = (len(prefix.address), prefix.length)
            self._lengths[kind] = self._lengths.get(kind, 0) + 1
        self._filed[place].add(name)

    def remove(self, prefix: Prefix, name: K) -> None:
        """Take out a name that was filed."""
        place = _place(prefix.address, prefix.length)
        names = self._filed[place]
        names.remove(name)
        if names:
            return
        del self._filed[place]
        self._order.remove(place)
        kind = (len(prefix.address), prefix.length)
        self._lengths[kind] -= 1
        if not self._lengths[kind]:
            del self._lengths[kind]

    def overlapping(self, prefix: Prefix) -> Iterator[K]:
        """Yield what is filed under prefixes that cover `prefix` or lie inside it, each once."""
        octets = len(prefix.address)
        for size, length in self._lengths:
            if size == octets and length < prefix.length:
                yield from self._filed.get(_place(mask(prefix.address, length), length), ())
        last = int.from_bytes(prefix.address, "big") | (1 << 8 * octets - prefix.length) - 1
        first = _place(prefix.address, prefix.length)
        for place in self._order.between(first, _place(last.to_bytes(octets, "big"), 8 * octets)):
            yield from self._filed[place]


def _place(address: bytes, length: int) -> bytes:
    """Return octets by which prefixes sort, those inside one behind it."""
    return bytes((len(address),)) + address + bytes((length,))
