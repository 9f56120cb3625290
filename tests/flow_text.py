"""The flow language the other way: from frozen types to a text that parses to them again, and one expression alone."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import assert_never, cast

import msgspec

from tidegate.engine.definition import And, Compare, Expr, FilterExpr, Key, Op, Or, Statistic, Unknown, ValueExpr
from tidegate.engine.expressions import parse_value, read_expr
from tidegate.engine.filters import parse_filter
from tidegate.engine.functions import FUNCTIONS
from tidegate.engine.scanner import Scanner
from tidegate.errors import TextError

_BY_CLASS = {row.build: row for row in FUNCTIONS.values()}
_OF_ARGUMENTS = ":[],&|()=~!\\"  # what means something to a list, a filter or a function
_OF_FILTERS = ",&|()=~!\\"
_SHORT_NAMES = ("bps", "fps", "requests")  # these mean something else at the start of a value


def parse_expr(text: str) -> Expr:
    """Return the key or key function that `text` is."""
    scan = Scanner(text)
    expr = read_expr(scan, "")
    scan.end("the end of the key")
    return expr


def format_expr(expr: Expr) -> str:
    """Return the text of a key or key function."""
    match expr:
        case Key(ref):
            return str(ref)
        case Unknown(name):
            return name
        case _:
            return _format_call(expr)


def _format_call(expr: Expr) -> str:
    row = _BY_CLASS[type(expr)]
    given = list(msgspec.structs.astuple(expr))
    if row.many:
        given[-1:] = given[-1]
    defaults = list(type(expr).__struct_defaults__)
    while len(given) > row.required and defaults and given[-1] == defaults[-1]:
        given.pop()
        defaults.pop()
    return ":".join([row.name, *map(_format_argument, given)])


def _format_argument(part: object) -> str:
    match part:
        case str():
            return _escape(part, _OF_ARGUMENTS)
        case int():
            return str(part)
        case None:
            return ""
        case Enum():
            return str(part.value)
        case _:
            return _format_operand(cast("Expr", part))


def _format_operand(expr: Expr) -> str:
    text = format_expr(expr)
    return text if isinstance(expr, Key | Unknown) else f"[{text}]"


def _escape(text: str, specials: str) -> str:
    return "".join(f"\\{letter}" if letter in specials or letter.isspace() else letter for letter in text)


def format_keys(keys: Iterable[Expr]) -> str:
    """Return the comma list of the keys."""
    return ",".join(format_expr(key) for key in keys)


def format_value(value: ValueExpr) -> str:
    """Return the text of a value."""
    if value == parse_value("bps"):
        return "bps"
    if value.statistic is Statistic.RATE and not (isinstance(value.of, Unknown) and value.of.name in _SHORT_NAMES):
        return format_expr(value.of)
    return f"{value.statistic.value}:{_format_operand(value.of)}"


def format_values(values: Iterable[ValueExpr]) -> str:
    """Return the comma list of the values."""
    return ",".join(format_value(value) for value in values)


def format_filter(parsed: FilterExpr | None) -> str:
    """Return the text of a filter, empty for None."""
    match parsed:
        case None:
            return ""
        case Compare(lhs, op, values):
            plain = op in (Op.EQUAL, Op.NOT_EQUAL)
            texts = [_escape(value, _OF_FILTERS) if plain else _format_regex(value) for value in values]
            return f"{format_expr(lhs)}{op.value}{','.join(texts)}"
        case And(terms):
            return "&".join(_format_term(term, (And, Or)) for term in terms)
        case Or(terms):
            return "|".join(_format_term(term, (Or,)) for term in terms)
        case _:
            assert_never(parsed)


def _format_term(term: FilterExpr, bracketed: tuple[type, ...]) -> str:
    text = format_filter(term)
    return f"({text})" if isinstance(term, bracketed) else text


def _format_regex(pattern: str) -> str:
    """Return the pattern, in a group of its own where it would end early in a filter."""
    try:
        found = parse_filter(f"stack~{pattern}")
    except TextError:
        found = None
    return pattern if isinstance(found, Compare) and found.values == (pattern,) else f"(?:{pattern})"
