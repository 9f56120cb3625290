"""Keys and values of flow definitions: text to frozen types.

    keys  := expr { ',' expr }
    expr  := name | function ':' argument { ':' argument } | '[' expr ']'
    value := 'bps' | 'fps' | 'requests' | expr | statistic ':' operand         statistic: rate avg min max count

An argument that is itself a function stands in square brackets. A backslash makes the next character an ordinary one.
Spaces around keys do not count; inside the texts of a function they do. Nothing but `TextError` is raised for any text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from typing import TypeVar, assert_never

from tidegate.data.fields import FIELDS, MAX_LAYER, FieldRef, field_ref
from tidegate.engine.definition import Expr, GroupOf, Key, OrOf, Statistic, Unknown, ValueExpr
from tidegate.engine.functions import FUNCTIONS, UNSUPPORTED, Argument, Function
from tidegate.engine.scanner import Scanner, nearest
from tidegate.errors import TextError

__all__ = ["MAX_KEYS", "parse_keys", "parse_value", "parse_values", "read_expr"]

MAX_KEYS = 32

_LIST_STOPS = ","
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*")
_SHORT_VALUES = {
    "bps": ValueExpr(Statistic.RATE, Key(FieldRef("bytes")), 8),
    "fps": ValueExpr(Statistic.RATE, Key(FieldRef("frames"))),
    "requests": ValueExpr(Statistic.RATE, Key(FieldRef("frames"))),  # one sample, one request
}
_LEGACY: dict[str, Expr] = {  # of old clients: labels in the group that was put without a name
    "sourcegroup": GroupOf(OrOf((Key(FieldRef("ipsource")), Key(FieldRef("ip6source")))), ("default",)),
    "destinationgroup": GroupOf(OrOf((Key(FieldRef("ipdestination")), Key(FieldRef("ip6destination")))), ("default",)),
}
_STATISTICS = {statistic.value: statistic for statistic in Statistic}

T = TypeVar("T")


def _key(scan: Scanner, word: str, column: int) -> Expr:
    name = word.strip()
    if not name:
        raise scan.fail(
            "a key is missing", column, "&& and || are written & and |" if scan.peek() in ("&", "|") else ""
        )
    match = _NAME.match(name)
    if match is None or match.end() != len(name):
        bad = match.end() if match else 0
        raise scan.fail(f"{name[bad]!r} cannot stand in the name of a key", min(column + bad, len(scan.text)))
    if name in _LEGACY:
        return _LEGACY[name]
    ref = field_ref(name)
    if ref is not None:
        return Key(ref)
    base, dot, _ = name.partition(".")
    if dot and base in FIELDS:
        layers = f"it has layers .0 to .{MAX_LAYER}" if FIELDS[base].layered else f"{base} has no layers"
        raise scan.fail(f"{name} is no layer of {base}", column, layers)
    return Unknown(name)


def _operand(scan: Scanner, stops: str) -> Expr:
    """Read a key, or anything in square brackets."""
    if scan.skip_spaces() == "[":
        return scan.nested(lambda: read_expr(scan, ""), "]")
    column = scan.at
    return _key(scan, scan.word(stops), column)


def read_expr(scan: Scanner, stops: str) -> Expr:
    """Read a key, a function, or anything in square brackets, up to one of the stops."""
    if scan.skip_spaces() == "[":
        return _operand(scan, stops)
    column = scan.at
    word = scan.word(stops)
    if scan.peek() != ":":
        return _key(scan, word, column)
    name = word.strip()
    row = FUNCTIONS.get(name)
    if row is not None:
        return _call(scan, row, column, stops)
    if name in UNSUPPORTED:
        raise scan.fail(UNSUPPORTED[name], column)
    if name in _STATISTICS:
        raise scan.fail(f"{name} can stand only at the start of a value", column)
    raise scan.fail(f"unknown function {name[:64]!r}", column, nearest(name, FUNCTIONS))


def _call(scan: Scanner, row: Function, column: int, stops: str) -> Expr:
    given: list[object] = []
    while scan.peek() == ":":
        place = min(len(given), len(row.arguments) - 1) if row.many else len(given)
        if place >= len(row.arguments):
            hint = f"{_usage(row)}; a function inside another stands in square brackets, \\: is a plain colon"
            raise scan.fail(f"{row.name} has too many arguments", hint=hint)
        scan.at += 1
        given.append(_argument(scan, row.arguments[place], stops))
    if len(given) < row.required:
        raise scan.fail(f"{row.name} has too few arguments", column, _usage(row))
    if row.many:
        fixed = len(row.arguments) - 1
        given = [*given[:fixed], tuple(given[fixed:])]
    return row.build(*given)


def _usage(row: Function) -> str:
    kinds = [
        kind.name.lower() if isinstance(kind, Argument) else "|".join(word.value for word in kind)
        for kind in row.arguments
    ]
    optional = [f"[:{kind}]" for kind in kinds[row.required :]]
    return "".join([":".join([row.name, *kinds[: row.required]]), *optional, "..." if row.many else ""])


def _argument(scan: Scanner, kind: Argument | type[Enum], stops: str) -> object:
    if kind is Argument.EXPR:
        return _operand(scan, stops)
    column = scan.at
    word = scan.word(stops)
    if scan.peek() == "[":
        raise scan.fail("a function cannot stand here", hint="\\[ is a plain bracket")
    if isinstance(kind, Argument):
        return _literal(scan, kind, word, column)
    words = {member.value: member for member in kind}
    name = word.strip()
    if name not in words:
        raise scan.fail(f"{name[:64]!r} is none of the words known here", column, nearest(name, words))
    return words[name]


def _literal(scan: Scanner, kind: Argument, word: str, column: int) -> object:
    bad = scan.fail(f"expected {kind.value}, found {word[:64]!r}", column)
    match kind:
        case Argument.TEXT:
            return word
        case Argument.NAME:
            if not word:
                raise bad
            return word
        case Argument.COUNT:
            return _number(word, bad, 1, 1000)
        case Argument.LENGTH:
            return _number(word, bad, 0, 128)
        case Argument.MASK:
            return _number(word, bad, 0, (1 << 64) - 1)
        case Argument.BOUND:
            return _number(word, bad, -(1 << 64), 1 << 64) if word.strip() else None
        case Argument.EXPR:  # pragma: no cover - read by _argument
            raise bad
        case _:
            assert_never(kind)


_NUMBER = re.compile(r"-?[0-9]{1,20}|0[xX][0-9a-fA-F]{1,16}")


def _number(word: str, bad: TextError, low: int, high: int) -> int:
    text = word.strip()
    if not _NUMBER.fullmatch(text):
        raise bad
    value = int(text, 16) if text[:2] in ("0x", "0X") else int(text)
    if not low <= value <= high:
        raise bad
    return value


def _list(text: str, item: Callable[[Scanner], T]) -> tuple[T, ...]:
    """Return the items of a comma list; none for an empty text."""
    scan = Scanner(text)
    if not scan.skip_spaces():
        return ()
    items = [item(scan)]
    while scan.skip_spaces() and scan.take(","):
        items.append(item(scan))
        if len(items) > MAX_KEYS:
            raise scan.fail(f"a list has at most {MAX_KEYS} items")
    scan.end("a comma or the end of the list")
    return tuple(items)


def parse_keys(text: str) -> tuple[Expr, ...]:
    """Return the keys of a comma list."""
    return _list(text, lambda scan: read_expr(scan, _LIST_STOPS))


def _value(scan: Scanner) -> ValueExpr:
    scan.skip_spaces()
    start = scan.at
    word = scan.word(_LIST_STOPS)
    if scan.peek() != ":" and word in _SHORT_VALUES:
        return _SHORT_VALUES[word]
    if scan.peek() == ":" and word.strip() in _STATISTICS:
        scan.at += 1
        value = ValueExpr(_STATISTICS[word.strip()], _operand(scan, _LIST_STOPS))
        if scan.peek() == ":":
            raise scan.fail("a statistic has one argument", hint=f"put a function in brackets: {word.strip()}:[...]")
        return value
    scan.at = start
    return ValueExpr(Statistic.RATE, read_expr(scan, _LIST_STOPS))


def parse_value(text: str) -> ValueExpr:
    """Return the one value that `text` is."""
    scan = Scanner(text)
    value = _value(scan)
    if scan.skip_spaces() == ",":
        raise scan.fail("a definition has one value", hint="more go into the attribute values")
    scan.end("the end of the value")
    return value


def parse_values(text: str) -> tuple[ValueExpr, ...]:
    """Return the values of a comma list."""
    return _list(text, _value)
