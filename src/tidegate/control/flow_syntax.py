"""The text forms of FlowSpec component values, as scripts and REST write them.

Numbers: `=17`, `17`, `>=1024&<=2047|=8080`, `1024-2047`, `!=80`; `&` binds tighter than `|` and `,`.
Bits: letters; `SA` all of these are set, `~SA` any of them, `!` turns a term round. For TCP flags `=SA` is SYN and ACK
and no other flag of the header's fourteenth octet; for fragments `=` adds nothing (`=I` is any but the first).

Every error is a `TextError` that points at the column.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from tidegate.errors import TextError
from tidegate.wire.bgp.flowspec import (
    KINDS,
    BitmaskComponent,
    BitmaskOp,
    Comparison,
    ComponentType,
    NumericComponent,
    NumericOp,
)

__all__ = [
    "DSCP_NAMES",
    "PROTOCOL_NAMES",
    "format_bits",
    "format_numbers",
    "parse_bits",
    "parse_number",
    "parse_numbers",
]

PROTOCOL_NAMES: Final[Mapping[str, int]] = MappingProxyType(
    {"icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "ipv6": 41, "gre": 47, "esp": 50, "ah": 51, "icmp6": 58, "sctp": 132}
)
DSCP_NAMES: Final[Mapping[str, int]] = MappingProxyType(
    {"le": 1, "ef": 46, "va": 44}
    | {f"cs{level}": 8 * level for level in range(8)}
    | {f"af{level}{drop}": 8 * level + 2 * drop for level in range(1, 5) for drop in range(1, 4)}
)
_LETTERS: Final[Mapping[ComponentType, Mapping[str, int]]] = MappingProxyType(
    {
        ComponentType.TCP_FLAGS: {letter: 1 << bit for bit, letter in enumerate("FSRPAUECN")},
        ComponentType.FRAGMENT: {letter: 1 << bit for bit, letter in enumerate("DIFL")},
    }
)
_FLAGS_OCTET: Final = 0xFF
_TERM: Final = re.compile(r"\s*(?P<op>==|=|!=|>=|<=|>|<)?\s*(?P<low>[A-Za-z0-9]+)\s*(?:-\s*(?P<high>[A-Za-z0-9]+))?\s*")
_BITS: Final = re.compile(r"\s*(?P<not>!)?(?P<kind>=|~)?(?P<letters>[A-Za-z]*)\s*")
_LONGEST: Final = 4096  # characters; a rule has at most 4095 octets


def parse_number(text: str, field: str, *, most: int, column: int = 0, names: Mapping[str, int] | None = None) -> int:
    """Return the whole number in `text[column:]`, from 0 to `most`, in decimal or one of `names`."""
    word = text[column:].strip()
    if names is not None and word.lower() in names:
        return names[word.lower()]
    if not (word.isascii() and word.isdigit()) or len(word) > 20:
        raise TextError(text, column, f"{field}: a whole number is expected")
    value = int(word)
    if value > most:
        raise TextError(text, column, f"{field}: {value} is over {most}")
    return value


def parse_numbers(text: str, field: str, type_: ComponentType) -> NumericComponent:
    """Return the component of a numeric expression."""
    ops: list[NumericOp] = []
    for column, piece, conjunct in _terms(text, field):
        term = _TERM.fullmatch(piece)
        if term is None:
            raise TextError(text, column, f"{field}: an operator and a number are expected", "such as =53 or >=1024")
        ops += _comparisons(text, field, column, term, type_, conjunct)
    return NumericComponent(type_, tuple(ops))


def _terms(text: str, field: str) -> Iterator[tuple[int, str, bool]]:
    """Yield the column and text of each term, and whether AND stands before it."""
    if len(text) > _LONGEST:
        raise TextError(text[:64], 63, f"{field}: {len(text)} characters are more than a rule can hold")
    column, conjunct = 0, False
    for piece in re.split(r"([&|,])", text):
        if piece in {"&", "|", ","}:
            conjunct = piece == "&"
        else:
            yield column, piece, conjunct
        column += len(piece)


def _comparisons(
    text: str,
    field: str,
    column: int,
    term: re.Match[str],
    type_: ComponentType,
    conjunct: bool,  # noqa: FBT001
) -> Iterator[NumericOp]:
    low = _value(text, field, column, term, "low", type_)
    if term["high"] is None:
        sign = "==" if term["op"] in {None, "="} else term["op"]
        yield _numeric(Comparison(sign), low, type_, conjunct=conjunct)
        return
    high = _value(text, field, column, term, "high", type_)
    if term["op"] not in {None, "=", "=="} or high < low:
        raise TextError(text, column, f"{field}: a range goes from low to high, with no operator")
    yield _numeric(Comparison.GE, low, type_, conjunct=conjunct)
    yield _numeric(Comparison.LE, high, type_, conjunct=True)


def _value(text: str, field: str, column: int, term: re.Match[str], part: str, type_: ComponentType) -> int:
    names = {ComponentType.PROTOCOL: PROTOCOL_NAMES, ComponentType.DSCP: DSCP_NAMES}.get(type_)
    at = column + term.start(part)
    return parse_number(text[: column + term.end(part)], field, most=KINDS[type_].most, column=at, names=names)


def _numeric(comparison: Comparison, value: int, type_: ComponentType, *, conjunct: bool) -> NumericOp:
    widths = (4,) if type_ is ComponentType.FLOW_LABEL else KINDS[type_].widths  # RFC 8956 3.7: should be four
    width = next(width for width in widths if value < 1 << 8 * width)
    return NumericOp(comparison, value, width, conjunct)


def parse_bits(text: str, field: str, type_: ComponentType) -> BitmaskComponent:
    """Return the component of a bit expression."""
    ops: list[BitmaskOp] = []
    for column, piece, conjunct in _terms(text, field):
        term = _BITS.fullmatch(piece)
        if term is None:
            raise TextError(text, column, f"{field}: letters of {''.join(_LETTERS[type_])} are expected")
        ops += _tests(text, field, column, term, type_, conjunct)
    return BitmaskComponent(type_, tuple(ops))


def _tests(
    text: str,
    field: str,
    column: int,
    term: re.Match[str],
    type_: ComponentType,
    conjunct: bool,  # noqa: FBT001
) -> Iterator[BitmaskOp]:
    value = 0
    for place, letter in enumerate(term["letters"], column + term.start("letters")):
        bit = _LETTERS[type_].get(letter.upper())
        if bit is None:
            raise TextError(text, place, f"{field}: unknown letter, known are {''.join(_LETTERS[type_])}")
        value |= bit
    exact = term["kind"] == "=" and type_ is ComponentType.TCP_FLAGS
    invert = term["not"] is not None
    if exact and invert:
        raise TextError(text, column, f"{field}: != has no exact form", "write the flags that matter, such as S&!A")
    if not value and not exact:
        raise TextError(text, column, f"{field}: at least one letter of {''.join(_LETTERS[type_])} is expected")
    width = 1 if value <= _FLAGS_OCTET else 2
    if value:
        lone = value & (value - 1) == 0
        every = term["kind"] != "~" and not (invert and lone)  # "not any" is the usual spelling for a lone bit
        yield BitmaskOp(value, width, match=every, invert=invert, conjunct=conjunct)
    rest = (_FLAGS_OCTET if width == 1 else 0x1FF) & ~value
    if exact and rest:
        yield BitmaskOp(rest, width, invert=True, conjunct=conjunct or bool(value))


def format_numbers(component: NumericComponent) -> str:
    """Return the text of a numeric component; `parse_numbers` gives the component back, true and false aside."""
    parts = []
    for place, op in enumerate(component.ops):
        joint = "" if not place else "&" if op.conjunct else "|"
        sign = "=" if op.comparison is Comparison.EQ else op.comparison.value
        constant = {Comparison.TRUE: ">=0", Comparison.FALSE: "<0"}.get(op.comparison)
        parts.append(joint + (constant or f"{sign}{op.value}"))
    return "".join(parts)


def format_bits(component: BitmaskComponent) -> str:
    """Return the text of a bitmask component; `parse_bits` gives back one that means the same."""
    parts = []
    for place, op in enumerate(component.ops):
        joint = "" if not place else "&" if op.conjunct else "|"
        letters = "".join(letter for letter, bit in _LETTERS[component.type].items() if op.value & bit)
        unnamed = op.value & ~sum(_LETTERS[component.type].values())
        lone = op.value & (op.value - 1) == 0
        kind = "" if op.match or (op.invert and lone) else "~"
        parts.append(f"{joint}{'!' if op.invert else ''}{kind}{letters}{hex(unnamed) if unnamed else ''}")
    return "".join(parts)
