"""How a column's words become text and text becomes words; two texts are equal exactly when their words are.

A form is one member of `Form`; `FORMS` is the table of what each does. Words are what kernels hash and compare, text is
made only when somebody reads. Section numbers are those of the sFlow version 5 documents and the IANA registries.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

import msgspec

from tidegate.data.address import format_address, is_mapped, parse_address, parse_prefix
from tidegate.data.names import DNS_TYPES, DROP_REASONS, IB_OPCODES, IB_TRANSPORTS, LAYERS
from tidegate.data.spelling import (
    as_path_octets,
    as_path_text,
    communities_octets,
    communities_text,
    name_octets,
    name_text,
    string_octets,
    string_text,
)

__all__ = ["FORMS", "INTERNAL", "Form", "FormTraits", "Interface", "Spelling"]


class Form(Enum):
    """What the words of a column mean."""

    NUMBER = "number"
    ADDRESS = "address"
    MAC = "mac"
    BOOLEAN = "boolean"
    BITS2 = "bits2"
    BITS3 = "bits3"
    BITS8 = "bits8"
    BITS9 = "bits9"
    INTERFACE = "interface"
    DIRECTION = "direction"
    REASON = "reason"
    DSCP = "dscp"
    DNS_TYPE = "dns-type"
    IB_OPCODE = "ib-opcode"
    IB_TRANSPORT = "ib-transport"
    STACK = "stack"
    HEADERS = "headers"
    PREFIX = "prefix"
    OUI = "oui"
    TEXT = "text"
    DNS_NAME = "dns-name"
    AS_PATH = "as-path"
    COMMUNITIES = "communities"


class Interface:
    """Words of interface fields: `format << 32 | value`, made canonical so that equal text means equal words."""

    DISCARD = 1 << 32
    MULTIPLE = 2 << 32
    UNKNOWN = 4 << 32


INTERNAL = 3 << 32  # format 3 is not used on the wire (sFlow version 5, section 5.3)

_INTERFACE_NAMES = {
    INTERNAL: "internal",
    Interface.DISCARD: "discard",
    Interface.MULTIPLE: "multiple",
    Interface.UNKNOWN: "unknown",
}
_DSCP_NAMES = {
    0: "be", 1: "le", 8: "cs1", 10: "af11", 12: "af12", 14: "af13", 16: "cs2", 18: "af21", 20: "af22", 22: "af23",
    24: "cs3", 26: "af31", 28: "af32", 30: "af33", 32: "cs4", 34: "af41", 36: "af42", 38: "af43", 40: "cs5",
    44: "va", 46: "ef", 48: "cs6", 56: "cs7",
}  # fmt: skip


class Spelling(msgspec.Struct, frozen=True):
    """How the octets of a text are spelled, and back (None: no octets are spelled so)."""

    text: Callable[[bytes], str]
    octets: Callable[[str], bytes | None]


class FormTraits(msgspec.Struct, frozen=True):
    """One row of `FORMS`: how many words, words to text, and text to words (None: no value has this text)."""

    width: int
    format: Callable[[tuple[int, ...]], str]
    parse: Callable[[str], tuple[int, ...] | None]
    numeric: bool = False
    spelling: Spelling | None = None  # of forms whose word is a hash of octets


def _number(text: str) -> tuple[int] | None:
    plain = text.isascii() and text.isdigit() and (text == "0" or text[0] != "0")
    value = int(text) if plain and len(text) <= 20 else -1
    return (value,) if 0 <= value < 1 << 64 else None


def _address(text: str) -> tuple[int, ...] | None:
    try:
        return parse_address(text)
    except ValueError:
        return None


def _prefix_text(words: tuple[int, ...]) -> str:
    high, low, length = words
    return f"{format_address(high, low)}/{length - 96 if is_mapped(high, low) else length}"


def _prefix(text: str) -> tuple[int, ...] | None:
    try:
        words, length = parse_prefix(text)
    except ValueError:
        return None
    return (*words, length) if "/" in text else None


def _mac(text: str) -> tuple[int] | None:
    digits = text.replace(":", "").replace("-", "").replace(".", "")
    try:
        return (int(digits, 16),) if len(digits) == 12 and digits.isascii() and digits.isalnum() else None
    except ValueError:
        return None


def _oui(text: str) -> tuple[int] | None:
    try:
        return (int(text, 16),) if len(text) == 6 and text.isascii() and text.isalnum() else None
    except ValueError:
        return None


def _boolean(text: str) -> tuple[int] | None:
    word = {"true": 1, "yes": 1, "false": 0, "no": 0}.get(text.lower())
    return None if word is None else (word,)


def _bits(width: int) -> FormTraits:
    def parse(text: str) -> tuple[int] | None:
        return (int(text, 2),) if len(text) == width and set(text) <= {"0", "1"} else None

    return FormTraits(1, lambda words: f"{words[0]:0{width}b}", parse)


def _named(names: dict[int, str]) -> FormTraits:
    """Return a form that prints a number's name, or the number where it has none."""
    words = {name: number for number, name in names.items()}

    def parse(text: str) -> tuple[int] | None:
        if text in words:
            return (words[text],)
        word = _number(text)
        return None if word is None or word[0] in names else word

    return FormTraits(1, lambda value: names.get(value[0], str(value[0])), parse)


def _dscp_text(words: tuple[int, ...]) -> str:
    return f"{_DSCP_NAMES.get(words[0], 'unknown')}({words[0]})"


def _dscp(text: str) -> tuple[int] | None:
    return next(((value,) for value in range(64) if _dscp_text((value,)) == text), None)


# A stack is up to twelve layers of five bits each, the outermost in the lowest bits; 0 ends it.
def _stack_text(words: tuple[int, ...]) -> str:
    codes = [words[0] >> shift & 31 for shift in range(0, 60, 5)]
    return ".".join(LAYERS[code] for code in codes if code)


def _stack(text: str) -> tuple[int] | None:
    codes = {name: code for code, name in LAYERS.items()}
    names = text.split(".") if text else []
    if len(names) > 12 or any(name not in codes for name in names):
        return None
    return (sum(codes[name] << (5 * place) for place, name in enumerate(names)),)


# IPv6 extension headers: a count in the top octet, then up to seven header numbers, the first in the lowest octet.
def _headers_text(words: tuple[int, ...]) -> str:
    return "-".join(str(words[0] >> (8 * place) & 255) for place in range(words[0] >> 56))


def _headers(text: str) -> tuple[int] | None:
    numbers = [_number(part) for part in text.split("-")]
    values = [number[0] for number in numbers if number is not None and number[0] < 256]
    if len(values) != len(numbers) or len(values) > 7:
        return None
    return (len(values) << 56 | sum(value << (8 * place) for place, value in enumerate(values)),)


def _no_text(words: tuple[int, ...]) -> str:
    return f"#{words[0]:016x}"  # shown where a text's octets are no longer held


def _spelled(text: Callable[[bytes], str], octets: Callable[[str], bytes | None]) -> FormTraits:
    return FormTraits(1, _no_text, lambda _: None, spelling=Spelling(text, octets))


FORMS: dict[Form, FormTraits] = {
    Form.NUMBER: FormTraits(1, lambda words: str(words[0]), _number, numeric=True),
    Form.ADDRESS: FormTraits(2, lambda words: format_address(words[0], words[1]), _address),
    Form.PREFIX: FormTraits(3, _prefix_text, _prefix),  # words of the address, then its length (IPv4 plus 96)
    Form.OUI: FormTraits(1, lambda words: f"{words[0]:06X}", _oui),
    Form.MAC: FormTraits(1, lambda words: f"{words[0]:012X}", _mac),
    Form.BOOLEAN: FormTraits(1, lambda words: "true" if words[0] else "false", _boolean),
    Form.BITS2: _bits(2),
    Form.BITS3: _bits(3),
    Form.BITS8: _bits(8),
    Form.BITS9: _bits(9),
    Form.INTERFACE: _named(_INTERFACE_NAMES),
    Form.DIRECTION: _named({0: "ingress", 1: "egress"}),
    Form.REASON: _named(DROP_REASONS),
    Form.DSCP: FormTraits(1, _dscp_text, _dscp),
    Form.DNS_TYPE: _named(DNS_TYPES),
    Form.IB_OPCODE: _named(IB_OPCODES),
    Form.IB_TRANSPORT: _named(IB_TRANSPORTS),
    Form.STACK: FormTraits(1, _stack_text, _stack),
    Form.HEADERS: FormTraits(1, _headers_text, _headers),
    # words are hashes of octets: see engine/texts.py
    Form.TEXT: _spelled(string_text, string_octets),
    Form.DNS_NAME: _spelled(name_text, name_octets),
    Form.AS_PATH: _spelled(as_path_text, as_path_octets),
    Form.COMMUNITIES: _spelled(communities_text, communities_octets),
}
