from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.data.pattern import Pattern

PIECES = st.sampled_from(["a", "b", ",", ".", ".*", ".+", "[ab]", "[^a]", r"\.", r"\d", "1", "|", "(?:ab)+", "b{1,2}"])
PATTERNS = st.lists(PIECES, max_size=8).map("".join)
TEXTS = st.text("ab1,.\n]", max_size=12)


@given(PATTERNS, TEXTS)
def test_it_matches_and_finds_what_other_engines_do(text: str, subject: str) -> None:
    pattern = Pattern(text)
    assert pattern.matches(subject) == (re.fullmatch(text, subject, re.DOTALL) is not None)
    assert pattern.found_in(subject) == (re.search(text, subject, re.DOTALL) is not None)


@given(st.text(max_size=20) | st.text("[]a-z&|~^\\d.*$(){}?<>=", max_size=12), st.text(max_size=20))
def test_any_text_is_a_pattern_or_an_error(text: str, subject: str) -> None:
    with contextlib.suppress(ValueError):
        Pattern(text).matches(subject)


@pytest.mark.parametrize("text", ["(a+)+x", "(a|aa)+x", "(a*)*b", "(.*)*x"])
def test_none_runs_away(text: str) -> None:
    assert not Pattern(text).matches("a" * 255)
    assert not Pattern(text).found_in("a" * 255)


@pytest.mark.parametrize(
    ("text", "reason", "part"),
    [("(a", "missing )", "(a"), ("a**", "bad repetition operator", "**"), ("(?=a)", "invalid perl operator", "(?=")],
)
def test_an_error_has_a_reason_and_the_part(text: str, reason: str, part: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)) as caught:
        Pattern(text)
    assert caught.value.args == (reason, part)


def test_half_a_surrogate_pair_is_an_error_in_a_pattern_and_matches_nothing_in_a_text() -> None:
    with pytest.raises(ValueError, match="surrogate"):
        Pattern("\ud800")
    assert not Pattern("a").matches("\ud800")
