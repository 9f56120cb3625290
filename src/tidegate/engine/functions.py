"""The table of key functions: name, class, arguments; what the language offers is read, extended and documented here.

A row's `arguments` are in the order of the text and of the class's fields; the last may be repeated (`many`), those
behind the first `required` may be left out. An argument is one of `Argument`, or an Enum of the words it may be.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

import msgspec

from tidegate.engine.definition import (
    AsnAttribute,
    AsnOf,
    BitsOf,
    ConcatOf,
    CountryAttribute,
    CountryOf,
    EqOf,
    Expr,
    FirstOf,
    GroupOf,
    HostAttribute,
    HostOf,
    IfOf,
    LinkOf,
    MapOf,
    MaskOf,
    NullOf,
    OrOf,
    OuiAttribute,
    OuiOf,
    PrefixOf,
    RangeOf,
    SuffixOf,
    UriAttribute,
    UriOf,
)

__all__ = ["FUNCTIONS", "UNSUPPORTED", "Argument", "Function"]


class Argument(Enum):
    """Kinds of arguments; the value is what an error calls them."""

    EXPR = "a key or a function in brackets"
    NAME = "a text that is not empty"
    TEXT = "a text"
    COUNT = "a number from 1 to 1000"
    LENGTH = "a number of bits from 0 to 128"
    MASK = "a number from 0 to 18446744073709551615, decimal or 0x hexadecimal"
    BOUND = "a whole number, or nothing for no bound"


class Function(msgspec.Struct, frozen=True):
    """One key function."""

    name: str
    build: Callable[..., Expr]  # the class
    arguments: tuple[Argument | type[Enum], ...]
    required: int  # arguments that must be there; a repeated one counts as often as it must be
    about: str
    many: bool = False  # the last argument may be repeated


_E, _NAME, _TEXT = Argument.EXPR, Argument.NAME, Argument.TEXT

_ROWS = (
    Function("group", GroupOf, (_E, _NAME), 2, "label of the longest matching prefix in a group", many=True),
    Function("map", MapOf, (_E, _NAME), 2, "label of the value in a map"),
    Function("country", CountryOf, (_E, CountryAttribute), 1, "country of an address"),
    Function("asn", AsnOf, (_E, AsnAttribute), 1, "autonomous system of an address"),
    Function("oui", OuiOf, (_E, OuiAttribute), 1, "vendor part of a MAC"),
    Function("host", HostOf, (_E, HostAttribute), 2, "attribute of the host that owns the address"),
    Function("prefix", PrefixOf, (_E, _NAME, Argument.COUNT), 3, "first tokens, split at a delimiter"),
    Function("suffix", SuffixOf, (_E, _NAME, Argument.COUNT), 3, "last tokens, split at a delimiter"),
    Function("first", FirstOf, (_E, _NAME, _TEXT), 3, "first token that is one of those given", many=True),
    Function("mask", MaskOf, (_E, Argument.LENGTH), 2, "network of an address"),
    Function("null", NullOf, (_E, _TEXT), 1, "the value, or a text where it is missing"),
    Function("or", OrOf, (_E,), 2, "first that is present", many=True),
    Function("eq", EqOf, (_E, _E), 2, "whether two are equal"),
    Function("range", RangeOf, (_E, Argument.BOUND, Argument.BOUND), 2, "whether a number lies within bounds"),
    Function("if", IfOf, (_E, _TEXT, _E, _E), 4, "one of two, by the value of a third"),
    Function("concat", ConcatOf, (_TEXT, _E), 2, "texts joined by a separator", many=True),
    Function("bits", BitsOf, (_E, Argument.MASK), 2, "number AND mask"),
    Function("uri", UriOf, (_E, UriAttribute), 2, "part of a URL"),
    Function("link", LinkOf, (_E,), 1, "topology link of an interface (missing: no topology yet)"),
)

FUNCTIONS: dict[str, Function] = {row.name: row for row in _ROWS}
UNSUPPORTED: dict[str, str] = {"dns": "reverse DNS is not supported yet"}
