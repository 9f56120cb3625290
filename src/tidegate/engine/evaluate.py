"""Expressions and filters over the columns of a batch.

One `Evaluation` serves one batch: what several definitions have in common is computed once. `tests/naive.py` is the
plain twin, row by row on texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import assert_never

import numpy as np

from tidegate.data.address import prefix_mask
from tidegate.data.batch import FlowBatch
from tidegate.data.fields import FIELDS, FieldRef
from tidegate.data.forms import FORMS, Form
from tidegate.data.pattern import Pattern
from tidegate.engine.definition import (
    And,
    AsnOf,
    BitsOf,
    Compare,
    ConcatOf,
    CountryOf,
    EqOf,
    Expr,
    FilterExpr,
    FirstOf,
    GroupOf,
    HostOf,
    IfOf,
    Key,
    LinkOf,
    MapOf,
    MaskOf,
    NullOf,
    Op,
    Or,
    OrOf,
    OuiAttribute,
    OuiOf,
    PrefixOf,
    RangeOf,
    SuffixOf,
    Unknown,
    UriOf,
    form_of,
)
from tidegate.engine.lookups import Lookups, PrefixLabels, by_address, by_word
from tidegate.engine.routing import ROUTED, BatchRoutes
from tidegate.engine.texts import Texts
from tidegate.engine.uri import uri_part
from tidegate.engine.values import (
    Memo,
    Value,
    Wanted,
    among,
    as_text,
    by_text,
    choose,
    column_value,
    exact_words,
    missing,
    wanted,
)
from tidegate.kernel import U64, Flags

__all__ = ["Evaluation", "Memos", "numbers_of"]

_NUMERIC = {Form.NUMBER, Form.INTERFACE, Form.BITS2, Form.BITS3, Form.BITS8, Form.BITS9}
_ALL = (1 << 64) - 1


class Memos:
    """What functions of texts gave, by expression; one for an engine, bounded by its definitions."""

    def __init__(self) -> None:
        self._memos: dict[object, Memo] = {}
        self._wanted: dict[tuple[Form, bool, tuple[str, ...]], Wanted] = {}
        self._patterns: dict[tuple[str, ...], tuple[Pattern, ...]] = {}

    def of(self, node: object) -> Memo:
        """Return the memory of an expression or comparison."""
        return self._memos.setdefault(node, Memo())

    def wanted(self, form: Form, wanted_texts: tuple[str, ...], texts: Texts, *, exact: bool) -> Wanted:
        """Return the words of the texts of a comparison, read at its first batch."""
        place = (form, exact, wanted_texts)
        if place not in self._wanted:
            self._wanted[place] = wanted(form, wanted_texts, texts, exact=exact)
        return self._wanted[place]

    def patterns(self, texts: tuple[str, ...]) -> tuple[Pattern, ...]:
        """Return the regular expressions of a comparison, compiled at its first batch."""
        if texts not in self._patterns:
            self._patterns[texts] = tuple(Pattern(text) for text in texts)
        return self._patterns[texts]

    def forget(self) -> None:
        """Forget everything, when definitions or lookups have changed."""
        self._memos.clear()
        self._wanted.clear()
        self._patterns.clear()


class Evaluation:
    """One batch, and what was computed of it so far."""

    def __init__(self, batch: FlowBatch, lookups: Lookups, texts: Texts, memos: Memos) -> None:
        self._batch = batch
        self._lookups = lookups
        self._texts = texts
        self._memos = memos
        self._values: dict[Expr, Value] = {}
        self._masks: dict[FilterExpr, Flags] = {}
        self._routes = None if lookups.routing is None else BatchRoutes(batch, lookups.routing, texts)

    def value(self, expr: Expr) -> Value:
        """Return what an expression gives for each row."""
        if expr not in self._values:
            self._values[expr] = self._evaluate(expr)
        return self._values[expr]

    def routed(self) -> Iterator[tuple[FieldRef, Flags]]:
        """Yield the fields that routing tables were asked for, and which rows have them."""
        if self._routes is not None:
            for expr, value in self._values.items():
                if isinstance(expr, Key) and expr.field.name in ROUTED:
                    yield expr.field, value.present

    def mask(self, filter_expr: FilterExpr) -> Flags:
        """Return which rows a filter lets through."""
        if filter_expr not in self._masks:
            self._masks[filter_expr] = self._filter(filter_expr)
        return self._masks[filter_expr]

    def _filter(self, filter_expr: FilterExpr) -> Flags:
        match filter_expr:
            case And(terms):
                return np.asarray(np.logical_and.reduce([self.mask(term) for term in terms]))
            case Or(terms):
                return np.asarray(np.logical_or.reduce([self.mask(term) for term in terms]))
            case Compare():
                return self._compare(filter_expr)
            case _:
                assert_never(filter_expr)

    def _compare(self, compare: Compare) -> Flags:
        value = self.value(compare.lhs)
        match compare.op:
            case Op.EQUAL:
                return self._equals_any(compare.lhs, value, compare.values)
            case Op.NOT_EQUAL:
                return ~self._equals_any(compare.lhs, value, compare.values)
            case Op.MATCH:
                return self._matches(compare, value)
            case Op.NOT_MATCH:
                return ~self._matches(compare, value)
            case _:
                assert_never(compare.op)

    def _equals_any(self, lhs: Expr, value: Value, texts: tuple[str, ...]) -> Flags:
        exact = form_of(lhs) is not value.form  # forms that functions make inside print one way only
        sought = self._memos.wanted(value.form, texts, self._texts, exact=exact)
        found = among(value, sought, self._texts)
        return found | ~value.known if "null" in sought.texts else found

    def _matches(self, compare: Compare, value: Value) -> Flags:
        patterns = self._memos.patterns(compare.values)

        def matched(parts: list[str]) -> str | None:
            return "" if any(pattern.matches(parts[0]) for pattern in patterns) else None

        memo = self._memos.of((compare.lhs, Op.MATCH, compare.values))
        return by_text([value], matched, memo, self._texts).present

    def _evaluate(self, expr: Expr) -> Value:  # noqa: C901, PLR0911, PLR0912 - one case a function of the language
        match expr:
            case Key(ref):
                return self._column(ref)
            case Unknown() | LinkOf():
                return missing(len(self._batch))
            case GroupOf(of, groups):
                return self._labels(of, [self._lookups.groups.get(name) for name in groups])
            case CountryOf(of, country):
                return self._labels(of, [self._lookups.countries.get(country)])
            case AsnOf(of, system):
                return self._labels(of, [self._lookups.systems.get(system)])
            case MapOf(of, name):
                table = self._lookups.maps.get(name)
                return by_word(self.value(of), table, self._memos.of(expr), self._texts) if table else self._nothing()
            case MaskOf():
                return self._masked(expr)
            case NullOf(of, text):
                return self._or_text(self.value(of), text)
            case OrOf(of):
                return self._first_known(expr, of)
            case IfOf():
                return self._branch(expr)
            case EqOf():
                return self._equal(expr)
            case RangeOf():
                return self._within(expr)
            case BitsOf(of, mask):
                words, present = self.numbers(of)
                return Value(Form.NUMBER, np.where(present, words & np.uint64(mask), 0)[np.newaxis], present)
            case OuiOf():
                return self._vendor(expr)
            case ConcatOf(separator, parts):
                values = [self.value(part) for part in parts]
                return by_text(values, separator.join, self._memos.of(expr), self._texts)
            case HostOf() | PrefixOf() | SuffixOf() | FirstOf() | UriOf():
                return by_text([self.value(expr.of)], self._text_function(expr), self._memos.of(expr), self._texts)
            case _:
                assert_never(expr)

    def _nothing(self) -> Value:
        return missing(len(self._batch))

    def _column(self, ref: FieldRef) -> Value:
        column = self._batch.columns.get(ref)
        if column is None:
            value = missing(len(self._batch), FIELDS[ref.name].form)
        else:
            value = column_value(self._batch, column, self._texts)
        return value if self._routes is None or ref.name not in ROUTED else self._routes.fill(ref.name, value)

    def _labels(self, of: Expr, tables: list[PrefixLabels | None]) -> Value:
        found = self._nothing()
        for table in tables:
            if table is not None:
                found = choose(found.present, found, by_address(self._addresses(of), table, self._texts))
        return found

    def _addresses(self, of: Expr) -> Value:
        """Return a value as addresses, whatever its form."""
        value = self.value(of)
        if value.form is Form.ADDRESS:
            return value
        whole = by_text([value], _address_text, self._memos.of((of, Form.ADDRESS)), self._texts)
        unique, inverse = np.unique(whole.words[0], return_inverse=True)
        pairs = np.zeros((2, len(unique)), np.uint64)
        for place, word in enumerate(unique.tolist()):
            words = FORMS[Form.ADDRESS].parse((self._texts.octets(word) or b"").decode())
            pairs[:, place] = words or (0, 0)
        return Value(Form.ADDRESS, np.where(whole.present, pairs[:, inverse], np.uint64(0)), whole.present)

    def _masked(self, expr: MaskOf) -> Value:
        value = self._addresses(expr.of)
        high, low = value.words
        mapped = (high == 0) & (low >> np.uint64(32) == np.uint64(0xFFFF))
        masks = np.array([prefix_mask(96 + min(expr.bits, 32)), prefix_mask(min(expr.bits, 128))], np.uint64)
        lengths = np.where(mapped, 96 + min(expr.bits, 32), min(expr.bits, 128)).astype(np.uint64)
        words = np.array(
            [
                high & np.where(mapped, masks[0][0], masks[1][0]),
                low & np.where(mapped, masks[0][1], masks[1][1]),
                lengths,
            ]
        )
        return Value(Form.PREFIX, np.where(value.present, words, np.uint64(0)), value.present)

    def _or_text(self, value: Value, text: str) -> Value:
        words = exact_words(value.form, text, self._texts)
        if value.absent is not None:
            return value
        if FORMS[value.form].spelling is not None and words is not None:
            octets = FORMS[value.form].spelling
            self._texts.add((octets.octets(text) if octets else None) or b"")
        if words is None:
            return Value(value.form, value.words, value.present, absent=text)
        filled = [np.where(value.present, part, np.uint64(word)) for part, word in zip(value.words, words, strict=True)]
        return Value(value.form, np.array(filled), np.ones_like(value.present))

    def _same_form(self, node: Expr, values: list[Value]) -> list[Value]:
        """Return values of one form without a text for absent rows, as texts where they have not one form."""
        plain = all(value.absent is None for value in values) and len({value.form for value in values}) == 1
        if plain:
            return values
        return [as_text(value, self._memos.of((node, place)), self._texts) for place, value in enumerate(values)]

    def _first_known(self, node: Expr, of: tuple[Expr, ...]) -> Value:
        values = self._same_form(node, [self.value(part) for part in of])
        found = values[0]
        for value in values[1:]:
            found = choose(found.present, found, value)
        return found

    def _branch(self, expr: IfOf) -> Value:
        holds = self._equals_any(expr.condition, self.value(expr.condition), (expr.value,))
        then, otherwise = self._same_form(expr, [self.value(expr.then), self.value(expr.otherwise)])
        return choose(holds, then, otherwise)

    def _equal(self, expr: EqOf) -> Value:
        left, right = self._same_form(expr, [self.value(expr.left), self.value(expr.right)])
        present = left.present & right.present
        same = present & (left.words == right.words).all(axis=0)
        return Value(Form.BOOLEAN, same.astype(np.uint64)[np.newaxis], present)

    def _within(self, expr: RangeOf) -> Value:
        words, present = self.numbers(expr.of)
        low, high = expr.low or 0, _ALL if expr.high is None else expr.high
        within = present & (words >= np.uint64(max(low, 0))) & (words <= np.uint64(max(min(high, _ALL), 0)))
        if low > _ALL or high < 0:
            within = np.zeros_like(present)
        return Value(Form.BOOLEAN, within.astype(np.uint64)[np.newaxis], present)

    def numbers(self, of: Expr) -> tuple[U64, Flags]:
        """Return a value as numbers, and which rows have one."""
        return numbers_of(self.value(of), self._memos.of((of, Form.NUMBER)), self._texts)

    def _vendor(self, expr: OuiOf) -> Value:
        value = self.value(expr.of)
        if value.form is not Form.MAC:
            return self._nothing()
        digits = Value(Form.OUI, value.words >> np.uint64(24), value.present)
        if expr.attribute is OuiAttribute.NUMBER:
            return digits
        names = self._lookups.vendors
        return by_text([digits], lambda parts: names.get(parts[0]), self._memos.of(expr), self._texts)

    def _text_function(self, expr: HostOf | PrefixOf | SuffixOf | FirstOf | UriOf) -> Callable[[list[str]], str | None]:
        match expr:
            case HostOf(_, attribute):
                hosts = self._lookups.hosts
                return lambda parts: hosts.get(parts[0], {}).get(attribute)
            case PrefixOf(_, delimiter, count):
                return lambda parts: delimiter.join(parts[0].split(delimiter)[:count])
            case SuffixOf(_, delimiter, count):
                return lambda parts: delimiter.join(parts[0].split(delimiter)[-count:])
            case FirstOf(_, delimiter, tokens):
                return lambda parts: next((part for part in parts[0].split(delimiter) if part in tokens), None)
            case UriOf(_, uri):
                return lambda parts: uri_part(parts[0], uri)
            case _:
                assert_never(expr)


def numbers_of(value: Value, memo: Memo, texts: Texts) -> tuple[U64, Flags]:
    """Return a value's numbers, and which rows have one: decimal texts, and the bits of bit fields."""
    if value.form is Form.INTERFACE:
        plain = value.present & (value.words[0] < np.uint64(1 << 32))  # the names lie above
        return np.where(plain, value.words[0], np.uint64(0)), plain
    if value.form in _NUMERIC and value.absent is None:
        return value.words[0], value.present
    if value.form not in {*_NUMERIC, Form.TEXT}:
        return np.zeros(len(value.present), np.uint64), np.zeros_like(value.present)
    parse = FORMS[Form.NUMBER].parse
    decimal = by_text([value], lambda parts: parts[0] if parse(parts[0]) else None, memo, texts)
    unique, inverse = np.unique(decimal.words[0], return_inverse=True)
    parsed = [parse((texts.octets(word) or b"").decode()) for word in unique.tolist()]
    numbers = np.array([words[0] if words else 0 for words in parsed], np.uint64)
    return numbers[inverse], decimal.present


def _address_text(parts: list[str]) -> str | None:
    return parts[0] if FORMS[Form.ADDRESS].parse(parts[0]) else None
