"""Sections of a pcapng file: their byte order and the interfaces that packets refer to.

Answers for: draft-ietf-opsawg-pcapng sections 4.1 (section header), 4.2 (interface description) and 3.5 (options).
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from tidegate.kernel import I64, U8
from tidegate.wire.capture.frames import MOST_BLOCK

__all__ = ["Section"]

_MOST_INTERFACES = 4096
_SECTION_HEADER = b"\x0a\x0d\x0d\x0a"
_BYTE_ORDER = bytes.fromhex("1a2b3c4d")
_TSRESOL, _TSOFFSET = 9, 14
_FAR = 1 << 33  # seconds; an offset beyond is taken for damage and held there

Order = Literal["little", "big"]


class Section:
    """The section being read, before its header has been seen a little-endian one without interfaces."""

    def __init__(self) -> None:
        self.little = True
        self._table = np.zeros((_MOST_INTERFACES, 4), np.int64)
        self._count = 0

    @property
    def interfaces(self) -> I64:
        """The interfaces described so far: rows of link type, units a second, offset in seconds, snap length."""
        return self._table[: self._count]

    def read_block(self, data: U8, at: int) -> int:  # noqa: PLR0911 - a block can be wrong in five ways
        """Read the section header or interface description at `at`, of which 12 octets at least are there.

        Return its octets, 0 where `data` ends before it does, -1 where it makes no sense.
        """
        head = data[at : at + 12].tobytes()
        is_header = head[:4] == _SECTION_HEADER
        if is_header and head[8:12] not in {_BYTE_ORDER, _BYTE_ORDER[::-1]}:
            return -1
        little = head[8:12] != _BYTE_ORDER if is_header else self.little
        order: Order = "little" if little else "big"
        total = int.from_bytes(head[4:8], order)
        if total < (28 if is_header else 20) or total % 4 or total > MOST_BLOCK:
            return -1
        if at + total > len(data):
            return 0
        block = data[at : at + total].tobytes()
        if int.from_bytes(block[-4:], order) != total:
            return -1
        if is_header:
            self.little, self._count = little, 0
            return total if int.from_bytes(block[12:14], order) == 1 else -1
        if self._count == _MOST_INTERFACES:
            return -1
        self._table[self._count] = _interface(block, order)
        self._count += 1
        return total


def _interface(block: bytes, order: Order) -> tuple[int, int, int, int]:
    link_type = int.from_bytes(block[8:10], order)
    units, offset = 1_000_000, 0
    for code, value in _options(block[16:-4], order):
        if code == _TSRESOL and len(value) == 1:
            units = _units(value[0])
            if units < 0:
                link_type = -1  # times that cannot be told: count its packets, take none
        elif code == _TSOFFSET and len(value) == 8:
            offset = int.from_bytes(value, order, signed=True)
    return link_type, units, max(-_FAR, min(offset, _FAR)), int.from_bytes(block[12:16], order)


def _units(resolution: int) -> int:
    """Return the units a second of if_tsresol: 0 for 2^63, which does not fit, -1 for what is finer."""
    power = resolution & 0x7F
    if resolution & 0x80:
        return 0 if power == 63 else 1 << power if power < 63 else -1
    return 10**power if power <= 18 else -1


def _options(raw: bytes, order: Order) -> list[tuple[int, bytes]]:
    found = []
    at = 0
    while at + 4 <= len(raw):
        code = int.from_bytes(raw[at : at + 2], order)
        length = int.from_bytes(raw[at + 2 : at + 4], order)
        if code == 0 or at + 4 + length > len(raw):
            break
        found.append((code, raw[at + 4 : at + 4 + length]))
        at += 4 + (length + 3) // 4 * 4
    return found
