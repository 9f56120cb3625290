"""Big-endian reader and writer with the bounds check: the only slicing of raw bytes in the readable codecs.

A `Reader` is a window on one buffer. Offsets in its errors count from the start of that buffer, so that an error deep
inside a record still names the octet of the datagram.
"""

from __future__ import annotations

import struct

from tidegate.errors import DecodeError, EncodeError

__all__ = ["Reader", "Writer"]


class Reader:
    """Reads numbers and octets from `data[start:end]`, front to back."""

    __slots__ = ("_data", "end", "offset")

    def __init__(self, data: bytes, start: int = 0, end: int | None = None) -> None:
        self._data = data
        self.offset = start
        self.end = len(data) if end is None else end
        if not 0 <= start <= self.end <= len(data):
            raise DecodeError("outside the buffer", start)

    def __len__(self) -> int:
        return self.end - self.offset

    def take(self, count: int) -> bytes:
        """Return the next `count` octets; `DecodeError("truncated")` where fewer are left."""
        start = self.offset
        if count < 0 or count > self.end - start:
            raise DecodeError("truncated", start)
        self.offset = start + count
        return self._data[start : start + count]

    def peek(self, count: int) -> bytes:
        """Return up to `count` octets without moving on."""
        return self._data[self.offset : min(self.offset + count, self.end)]

    def rest(self) -> bytes:
        """Return all octets that are left."""
        return self.take(len(self))

    def skip(self, count: int) -> None:
        """Pass over `count` octets."""
        self.take(count)

    def window(self, count: int) -> Reader:
        """Return a reader of the next `count` octets and pass over them here."""
        start = self.offset
        if count < 0 or count > self.end - start:
            raise DecodeError("truncated", start)
        self.offset = start + count
        return Reader(self._data, start, start + count)

    def uint(self, width: int) -> int:
        """Read an unsigned number of `width` octets."""
        return int.from_bytes(self.take(width), "big")

    def u8(self) -> int:
        """Read one octet."""
        return self.take(1)[0]

    def u16(self) -> int:
        """Read two octets."""
        return int.from_bytes(self.take(2), "big")

    def u32(self) -> int:
        """Read four octets."""
        return int.from_bytes(self.take(4), "big")

    def u64(self) -> int:
        """Read eight octets."""
        return int.from_bytes(self.take(8), "big")

    def i32(self) -> int:
        """Read four octets, two's complement."""
        return int.from_bytes(self.take(4), "big", signed=True)

    def f32(self) -> float:
        """Read an IEEE 754 single."""
        return float(struct.unpack(">f", self.take(4))[0])


class Writer:
    """Collects octets; a number that does not fit its width raises `EncodeError` and is never cut."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts = bytearray()

    def __len__(self) -> int:
        return len(self._parts)

    def put(self, octets: bytes) -> None:
        """Append octets as they are."""
        self._parts += octets

    def uint(self, value: int, width: int) -> None:
        """Append an unsigned number of `width` octets."""
        if not 0 <= value < 1 << (8 * width):
            raise EncodeError(f"{value} does not fit {width} octets")
        self._parts += value.to_bytes(width, "big")

    def u8(self, value: int) -> None:
        """Append one octet."""
        self.uint(value, 1)

    def u16(self, value: int) -> None:
        """Append two octets."""
        self.uint(value, 2)

    def u32(self, value: int) -> None:
        """Append four octets."""
        self.uint(value, 4)

    def u64(self, value: int) -> None:
        """Append eight octets."""
        self.uint(value, 8)

    def i32(self, value: int) -> None:
        """Append four octets, two's complement."""
        if not -(1 << 31) <= value < 1 << 31:
            raise EncodeError(f"{value} does not fit a signed word")
        self._parts += value.to_bytes(4, "big", signed=True)

    def f32(self, value: float) -> None:
        """Append an IEEE 754 single."""
        try:
            self._parts += struct.pack(">f", value)
        except OverflowError:
            raise EncodeError(f"{value} does not fit a single") from None

    def bytes(self) -> bytes:
        """Return what was written."""
        return bytes(self._parts)
