"""Columns as expressions make them, and what every function needs of them: equality, choice, texts.

A `Value` is a column of a batch, or one that a function made. Equal texts have equal words within one form, so that
comparing, grouping and counting never make text. Where a function has to see texts (`by_text`), it sees each different
one of a batch once, and what it gave is remembered.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np

from tidegate.data.batch import Column, FlowBatch
from tidegate.data.forms import FORMS, Form
from tidegate.data.hash import hash_text
from tidegate.engine.key_kernels import number_keys
from tidegate.engine.keys import number_rows
from tidegate.engine.texts import Texts
from tidegate.kernel import I32, U64, Flags

__all__ = [
    "Memo",
    "Value",
    "Wanted",
    "among",
    "as_text",
    "by_text",
    "choose",
    "column_value",
    "exact_words",
    "missing",
    "text_of",
    "text_value",
    "wanted",
]

_FEW = 8  # up to so many are compared one by one, which takes less than to look each row up
_MEMO_SIZE = 1 << 16


class Value(msgspec.Struct, frozen=True, eq=False):
    """Words and presence of n rows; `absent` is the text of rows that are not present, None where they are missing.

    `absent` is only set to a text that no word of the form has; other defaults are filled in as words.
    """

    form: Form
    words: U64  # (width of the form, n)
    present: Flags
    absent: str | None = None

    @property
    def known(self) -> Flags:
        """Return which rows have a text."""
        return self.present if self.absent is None else np.ones_like(self.present)


class Memo:
    """What a function gave for the words of a text, for as long as `Texts` keeps what it gave."""

    def __init__(self) -> None:
        self.turn = -1
        self.given: dict[tuple[int, ...], int | None] = {}

    def fresh(self, texts: Texts) -> dict[tuple[int, ...], int | None]:
        """Return what is remembered, after forgetting it where texts were forgotten or it has grown too large."""
        if self.turn != texts.turns or len(self.given) > _MEMO_SIZE:
            self.turn = texts.turns
            self.given = {}
        return self.given


def missing(count: int, form: Form = Form.TEXT) -> Value:
    """Return a value that no row has."""
    return Value(form, np.zeros((FORMS[form].width, count), np.uint64), np.zeros(count, np.bool_))


def column_value(batch: FlowBatch, column: Column, texts: Texts) -> Value:
    """Return a column as a value; octets of texts are kept."""
    texts.keep(column, batch.data)
    return Value(column.form, column.words, column.present)


def text_value(words: U64, present: Flags) -> Value:
    """Return a value of texts by their words."""
    return Value(Form.TEXT, words[np.newaxis], present)


def text_of(form: Form, words: tuple[int, ...], texts: Texts) -> str:
    """Return the text of one row's words."""
    traits = FORMS[form]
    if traits.spelling is None:
        return traits.format(words)
    octets = texts.octets(words[0])
    return traits.format(words) if octets is None else traits.spelling.text(octets)


class Wanted(msgspec.Struct, frozen=True, eq=False):
    """Texts to be found, as words of one form; read once, since a list may be as long as a feed of addresses."""

    texts: frozenset[str]
    words: U64  # (n, width of the form), all different
    index: I32  # where each is found, see number_keys


def wanted(form: Form, wanted_texts: tuple[str, ...], texts: Texts, *, exact: bool = False) -> Wanted:
    """Return texts to be found in values of a form: what means the same in it or, with `exact`, prints as the text."""
    read = (exact_words(form, text, texts) if exact else _words_of(form, text, texts) for text in wanted_texts)
    keys = np.array([words for words in read if words is not None], np.uint64).reshape(-1, FORMS[form].width)
    different, _, index = number_rows(keys, texts.seed)
    return Wanted(frozenset(wanted_texts), np.ascontiguousarray(different), index)


def among(value: Value, sought: Wanted, texts: Texts) -> Flags:
    """Return the rows that have one of the texts sought."""
    found = value.present & _found(value.words, sought, texts)
    return found if value.absent is None or value.absent not in sought.texts else found | ~value.present


def _found(words: U64, sought: Wanted, texts: Texts) -> Flags:
    rows = words.T
    if len(sought.words) <= _FEW:
        same = [np.logical_and.reduce(rows == one, axis=1) for one in sought.words]
        return np.logical_or.reduce(same) if same else np.zeros(len(rows), np.bool_)
    numbers = np.empty(len(rows), np.int64)
    full = np.array([len(sought.words)])  # no room: what is not there gets no number
    number_keys(np.ascontiguousarray(rows), sought.index, sought.words, np.uint64(texts.seed), full, numbers)
    return numbers >= 0


def exact_words(form: Form, text: str, texts: Texts) -> tuple[int, ...] | None:
    """Return the words that print as `text`, or None."""
    words = _words_of(form, text, texts)
    return words if words is None or FORMS[form].spelling or FORMS[form].format(words) == text else None


def _words_of(form: Form, text: str, texts: Texts) -> tuple[int, ...] | None:
    traits = FORMS[form]
    if traits.spelling is not None:
        octets = traits.spelling.octets(text)
        return None if octets is None else (hash_text(octets, texts.seed),)
    return traits.parse(text)


def choose(condition: Flags, first: Value, second: Value) -> Value:
    """Return `first` where the condition holds, else `second`; both of one form, without a text for absent rows."""
    present = np.where(condition, first.present, second.present)
    return Value(first.form, np.where(condition, first.words, second.words), present)


def as_text(value: Value, memo: Memo, texts: Texts) -> Value:
    """Return the value with its texts as plain strings."""
    if value.form is Form.TEXT and value.absent is None:
        return value
    return by_text([value], lambda parts: parts[0], memo, texts)


def by_text(values: list[Value], function: Callable[[list[str]], str | None], memo: Memo, texts: Texts) -> Value:
    """Return what a function gives for the texts of each row, missing where a text is or where it gives None."""
    known = np.logical_and.reduce([value.known for value in values])
    rows = np.flatnonzero(known)
    keys = np.vstack([part[rows] for value in values for part in (*value.words, value.present)]).T
    unique, inverse, _ = number_rows(keys, texts.seed)
    given = memo.fresh(texts)
    results = np.zeros(len(unique), np.uint64)
    found = np.zeros(len(unique), np.bool_)
    for place, key in enumerate(map(tuple, unique.tolist())):
        if key not in given:
            result = function(_texts_of(values, key, texts))
            given[key] = None if result is None else texts.add(result.encode(errors="replace"))
        word = given[key]
        if word is not None:
            results[place], found[place] = word, True
    words, present = np.zeros(len(known), np.uint64), np.zeros(len(known), np.bool_)
    words[rows], present[rows] = results[inverse], found[inverse]
    return text_value(words, present)


def _texts_of(values: list[Value], key: tuple[int, ...], texts: Texts) -> list[str]:
    parts: list[str] = []
    at = 0
    for value in values:
        width = len(value.words)
        words, present = key[at : at + width], key[at + width]
        parts.append(text_of(value.form, words, texts) if present else value.absent or "")
        at += width + 1
    return parts
