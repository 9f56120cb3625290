from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.errors import TextError
from tidegate.web.keyfilter import parse_key_filter

PIECES = st.sampled_from(["a", "b", ",", ".", ".*", ".+", "[ab]", "[^a]", r"\.", r"\d", "1", "|", "[^]a]", "[]b]"])
PATTERNS = st.lists(PIECES, max_size=8).map("".join)
KEYS = st.text("ab1,.\n]", max_size=12)


@given(PATTERNS, KEYS)
def test_it_finds_what_a_regular_expression_finds(pattern: str, key: str) -> None:
    assert parse_key_filter(pattern)(key) == (re.search(pattern, key, re.DOTALL) is not None)


@given(st.text(max_size=20) | st.text("[]a-z&|~^\\d.*$", max_size=12), st.text(max_size=20))
def test_any_text_is_a_pattern_or_an_error(pattern: str, key: str) -> None:
    with contextlib.suppress(TextError):
        parse_key_filter(pattern)(key)


@pytest.mark.parametrize(
    ("pattern", "key", "found"),
    [
        ("", "anything", True),
        ("^10.1", "10.1.2.3,80", True),
        ("^10.1", "9,10.1", False),
        (",80$", "10.1.2.3,80", True),
        (",80$", "10.1.2.3,8080", False),
        ("^10.*,80$", "10.1.2.3,53,80", True),
        ("^udp|^tcp", "tcp,80", True),
        (r"1\.1", "121", False),
        (r"[\]x]y", "]y", True),
        (r"[\d,]z", "7z", True),
    ],
)
def test_anchors_and_alternatives(pattern: str, key: str, *, found: bool) -> None:
    assert parse_key_filter(pattern)(key) is found


@pytest.mark.parametrize(
    ("pattern", "column"),
    [("a+", 1), ("(a)", 0), ("a{2}", 1), ("a?", 1), ("[a", 0), ("a\\", 1), ("[z-a]", 0), ("[[a]", 0)],
)
def test_what_could_run_away_is_an_error_at_its_column(pattern: str, column: int) -> None:
    with pytest.raises(TextError) as caught:
        parse_key_filter(pattern)
    assert caught.value.column == column


def test_a_pattern_has_a_length() -> None:
    with pytest.raises(TextError):
        parse_key_filter("a" * 257)


def test_a_hostile_pattern_ends() -> None:
    assert not parse_key_filter(".*a" * 80 + "b")("a" * 2000)
