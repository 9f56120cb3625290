"""What functions of texts share: each different text is seen once, and remembered within bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.data.forms import FORMS, Form
from tidegate.engine.evaluate import Memos
from tidegate.engine.texts import Texts
from tidegate.engine.values import (
    Memo,
    Value,
    among,
    as_text,
    by_text,
    choose,
    exact_words,
    missing,
    text_of,
    wanted,
)


def numbers(*words: int | None, absent: str | None = None) -> Value:
    """Return a column of numbers, None where it is not present."""
    return Value(
        Form.NUMBER,
        np.array([[word or 0 for word in words]], np.uint64),
        np.array([word is not None for word in words], np.bool_),
        absent,
    )


def shown(value: Value, texts: Texts) -> list[str | None]:
    rows = zip(*(part.tolist() for part in value.words), value.present.tolist(), strict=True)
    return [text_of(value.form, tuple(row[:-1]), texts) if row[-1] else value.absent for row in rows]


class Seen:
    """A function of texts that remembers what it was called with."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def __call__(self, parts: list[str]) -> str | None:
        self.calls.append(parts)
        return None if "9" in parts else "-".join(parts)


def test_a_function_sees_each_different_text_once() -> None:
    texts, memo, seen = Texts(), Memo(), Seen()

    found = by_text([numbers(1, 2, 1, None, 9, 2)], seen, memo, texts)
    again = by_text([numbers(2, 1, 3, 9)], seen, memo, texts)

    assert shown(found, texts) == ["1", "2", "1", None, None, "2"]
    assert shown(again, texts) == ["2", "1", "3", None]
    assert sorted(seen.calls) == [["1"], ["2"], ["3"], ["9"]]


def test_a_row_that_lacks_one_of_several_texts_is_missing() -> None:
    texts = Texts()

    found = by_text([numbers(1, 2, None), numbers(3, None, None, absent="x")], Seen(), Memo(), texts)

    assert shown(found, texts) == ["1-3", "2-x", None]


def test_no_rows_and_no_texts() -> None:
    texts = Texts()

    assert shown(by_text([numbers()], Seen(), Memo(), texts), texts) == []
    assert shown(by_text([numbers(None, None)], Seen(), Memo(), texts), texts) == [None, None]
    assert shown(missing(2), texts) == [None, None]


def test_what_is_remembered_is_forgotten_with_the_texts() -> None:
    texts, memo, seen = Texts(slots=2, octets=64), Memo(), Seen()
    by_text([numbers(1)], seen, memo, texts)
    for number in range(6):
        texts.add(bytes([number]))

    found = by_text([numbers(1)], seen, memo, texts)

    assert shown(found, texts) == ["1"]
    assert seen.calls == [["1"], ["1"]]


def test_memory_of_a_function_is_bounded() -> None:
    texts, memo = Texts(), Memo()
    for start in range(0, 200_000, 40_000):
        by_text([numbers(*range(start, start + 40_000))], lambda _: None, memo, texts)

    assert len(memo.given) <= (1 << 16) + 40_000


def test_texts_of_any_form_as_plain_texts() -> None:
    texts = Texts()
    plain = Value(Form.TEXT, np.array([[texts.add(b"a")]], np.uint64), np.ones(1, np.bool_))

    assert as_text(plain, Memo(), texts) is plain
    assert shown(as_text(numbers(7, None, absent="none"), Memo(), texts), texts) == ["7", "none"]
    assert as_text(numbers(7), Memo(), texts).form is Form.TEXT


@pytest.mark.parametrize(
    ("text", "exact", "found"),
    [
        ("7", False, [True, False, False]),
        ("x", False, [False, False, True]),
        ("07", False, [False] * 3),
        ("7", True, [True, False, False]),
    ],
)
def test_equality_with_a_text(text: str, *, exact: bool, found: list[bool]) -> None:
    texts = Texts()
    sought = wanted(Form.NUMBER, (text,), texts, exact=exact)
    assert among(numbers(7, 8, None, absent="x"), sought, texts).tolist() == found


def test_exact_words_print_as_the_text() -> None:
    texts = Texts(seed=2)

    assert exact_words(Form.BOOLEAN, "true", texts) == (1,)
    assert exact_words(Form.BOOLEAN, "yes", texts) is None
    assert exact_words(Form.DNS_NAME, "a..b", texts) is None
    assert exact_words(Form.TEXT, "a", texts) == (texts.add(b"a"),)


@given(st.lists(st.tuples(st.booleans(), st.none() | st.integers(0, 9), st.none() | st.integers(0, 9)), max_size=20))
def test_choice_is_by_row(rows: list[tuple[bool, int | None, int | None]]) -> None:
    condition = np.array([row[0] for row in rows], np.bool_)
    first, second = numbers(*(row[1] for row in rows)), numbers(*(row[2] for row in rows))

    found = shown(choose(condition, first, second), Texts())

    expected = [row[1] if row[0] else row[2] for row in rows]
    assert found == [None if number is None else str(number) for number in expected]
    assert FORMS[Form.NUMBER].width == 1


@given(st.lists(st.integers(0, 40), max_size=30), st.lists(st.integers(0, 60) | st.just("x"), max_size=40))
def test_those_of_many_texts_are_found(rows: list[int], sought: list[int | str]) -> None:
    texts = Texts()
    found = among(numbers(*rows, None, absent="x"), wanted(Form.NUMBER, tuple(map(str, sought)), texts), texts)
    assert found.tolist() == [row in sought for row in [*rows, "x"]]


def test_a_long_list_is_read_once() -> None:
    memos, texts = Memos(), Texts()
    names = tuple(f"10.0.{number // 256}.{number % 256}" for number in range(1000))
    first = memos.wanted(Form.ADDRESS, names, texts, exact=False)
    assert memos.wanted(Form.ADDRESS, names, texts, exact=False) is first
    assert first.words.shape == (1000, 2)
    memos.forget()
    assert memos.wanted(Form.ADDRESS, names, texts, exact=False) is not first
