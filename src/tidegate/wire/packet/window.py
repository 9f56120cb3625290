"""What one layer may read of a sampled header, and what it says comes next.

A window is the octets from a layer's first one to the end of the packet that encloses it. Octets that were not captured
read as None, because every field of a sampled header may be missing.
"""

from __future__ import annotations

import msgspec

from tidegate.data.address import words_of_bytes
from tidegate.data.names import Layer

__all__ = ["Field", "Fields", "Found", "Window", "present"]

Field = tuple[int, ...] | bytes  # words as in data/forms.py; text as its octets
Fields = dict[str, Field]


class Window(msgspec.Struct, frozen=True):
    """`header[start:end]`, where `end` is no further than what was captured."""

    header: bytes
    start: int
    end: int
    room: int  # layers that may still be listed behind this one

    def octets(self, at: int, count: int) -> bytes | None:
        """Return `count` octets, `at` counted from the start of the layer."""
        place = self.start + at
        return self.header[place : place + count] if place + count <= self.end else None

    def uint(self, at: int, count: int) -> int | None:
        """Return an unsigned number of `count` octets."""
        octets = self.octets(at, count)
        return None if octets is None else int.from_bytes(octets, "big")

    def bits(self, at: int, count: int, shift: int, mask: int) -> int | None:
        """Return some bits of a number of `count` octets."""
        value = self.uint(at, count)
        return None if value is None else value >> shift & mask

    def address(self, at: int, count: int) -> tuple[int, int] | None:
        """Return the words of an address of 4 or 16 octets."""
        octets = self.octets(at, count)
        return None if octets is None else words_of_bytes(octets)

    def ip(self, at: int) -> Layer | None:
        """Return which IP stands `at` octets into the layer, by its version nibble."""
        return {4: Layer.IP, 6: Layer.IP6}.get(self.bits(at, 1, 4, 15) or 0)


class Found(msgspec.Struct, frozen=True):
    """A layer's fields, the layer that follows it and how many octets on that starts."""

    fields: Fields
    following: Layer | None = None
    length: int = 0
    end: int | None = None  # where the packet ends that encloses what follows; None: as before

    def window(self, here: Window) -> Window:
        """Return the window of the layer that follows."""
        end = here.end if self.end is None else self.end
        return Window(here.header, here.start + self.length, end, here.room - 1)


def present(**values: int | Field | None) -> Fields:
    """Return the fields that were captured."""
    return {name: (value,) if isinstance(value, int) else value for name, value in values.items() if value is not None}
