"""Lists of communities as people write them: `65535:666-65000:1`, `blackhole,no-export`, `128:6:0`.

Joined by `-`, `,` or blanks. Two numbers are a standard community, a name is a well-known one, three numbers are an
extended community: type, subtype, and a value of six octets (`128:6:0` is FlowSpec's drop).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from tidegate.errors import TextError
from tidegate.wire.bgp.communities import Action, RawCommunity, decode_action
from tidegate.wire.bgp.constants import WELL_KNOWN_COMMUNITIES

__all__ = ["format_communities", "parse_communities"]

# names first, longest first, because they have hyphens of their own
_NAME: Final = "|".join(sorted(WELL_KNOWN_COMMUNITIES, key=len, reverse=True))
_ITEM: Final = re.compile(rf"(?P<name>{_NAME})|(?P<numbers>\d{{1,15}}(?::\d{{1,15}})+)", re.IGNORECASE | re.ASCII)
_JOINT: Final = re.compile(r"\s*[-,\s]\s*")
_MOST: Final = 255  # communities in one list; more would not fit a short UPDATE


def parse_communities(text: str, field: str) -> tuple[tuple[int, ...], tuple[Action, ...]]:
    """Return the standard and the extended communities of a list; `TextError` points at the column."""
    standard: list[int] = []
    extended: list[Action] = []
    column = 0
    while column < len(text):
        item = _ITEM.match(text, column)
        if item is None or len(standard) + len(extended) >= _MOST:
            names = ", ".join(WELL_KNOWN_COMMUNITIES)
            raise TextError(text, column, f"{field}: a community is expected", f"such as 65535:666, or one of {names}")
        if item["name"] is not None:
            standard.append(WELL_KNOWN_COMMUNITIES[item["name"].lower()])
        else:
            _add(text, field, column, item["numbers"], standard, extended)
        column = item.end()
        if column == len(text):
            break
        joint = _JOINT.match(text, column)
        if joint is None or joint.end() == len(text):
            raise TextError(text, column, f"{field}: communities are joined by - or ,")
        column = joint.end()
    return tuple(standard), tuple(extended)


def _add(text: str, field: str, column: int, numbers: str, standard: list[int], extended: list[Action]) -> None:
    parts = [int(part) for part in numbers.split(":")]
    widths = {2: (16, 16), 3: (8, 8, 48)}.get(len(parts))
    if widths is None:
        raise TextError(text, column, f"{field}: two or three numbers are expected")
    for part, width in zip(parts, widths, strict=True):
        if part >= 1 << width:
            raise TextError(text, column, f"{field}: {part} is over {(1 << width) - 1}")
    if len(parts) == 2:
        standard.append(parts[0] << 16 | parts[1])
    else:
        extended.append(decode_action(bytes(parts[:2]) + parts[2].to_bytes(6, "big")))


def format_communities(standard: Iterable[int], extended: Iterable[RawCommunity] = ()) -> str:
    """Return the text of communities, extended ones of 8 octets included."""
    texts = [f"{number >> 16}:{number & 0xFFFF}" for number in standard]
    for raw in extended:
        kind, subtype = raw.octets[0], raw.octets[1]
        texts.append(f"{kind}:{subtype}:{int.from_bytes(raw.octets[2:], 'big')}")
    return "-".join(texts)
