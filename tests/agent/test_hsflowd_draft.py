from __future__ import annotations

import re
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.agent.hsflowd_draft import (
    Draft,
    Note,
    address_of,
    exact_number,
    glob_of,
    number_of,
    prefix_of,
    switch_of,
)
from tidegate.agent.hsflowd_syntax import Setting, Token
from tidegate.errors import TextError


def _token(text: str) -> Token:
    return Token(text, 7, 4, f"x = {text}")


def _setting(text: str) -> Setting:
    return Setting("x", text, _token(text))


@pytest.mark.parametrize(
    ("text", "number"), [("400", 400), ("10K", 10_000), ("1m", 1_000_000), ("2G", 2_000_000_000), ("1T", 10**12)]
)
def test_numbers_take_letters(text: str, number: int) -> None:
    assert exact_number(_token(text), least=0, most=10**15) == number


def test_a_number_out_of_bounds_becomes_the_nearest_with_a_note() -> None:
    draft = Draft()
    assert number_of(draft, _setting("200"), least=512, most=8192) == 512
    assert number_of(draft, _setting("9K"), least=512, most=8192) == 8192
    assert number_of(draft, _setting("1400"), least=512, most=8192) == 1400
    assert list(map(str, draft.notes)) == [
        "line 7: x = 200: 512 is taken: 512 to 8192 is possible here",
        "line 7: x = 9K: 8192 is taken: 512 to 8192 is possible here",
    ]
    with pytest.raises(TextError, match="line 7: 0 is not within 1 to 65535"):
        exact_number(_token("0"), least=1, most=65535)


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "10KB", "1" * 16, "٣"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(TextError, match="is no number"):
        exact_number(_token(text), least=0, most=10)


def test_switches_are_on_or_off() -> None:
    assert [switch_of(_setting(text)) for text in ("on", "OFF", "yes", "0")] == [True, False, True, False]
    with pytest.raises(TextError, match="maybe is neither on nor off"):
        switch_of(_setting("maybe"))


def test_addresses_and_prefixes_are_checked() -> None:
    assert [address_of(_token(text)) for text in ("192.0.2.1", "2001:DB8::1")] == ["192.0.2.1", "2001:db8::1"]
    assert [prefix_of(_token(text)) for text in ("10.1.2.3/8", "!2001:db8::/32")] == ["10.0.0.0/8", "!2001:db8::/32"]
    with pytest.raises(TextError, match=r"collector\.example is no IP address at column 5.*names of hosts"):
        address_of(_token("collector.example"))
    with pytest.raises(TextError, match=r"10\.0\.0\.0/33 is no prefix such as"):
        prefix_of(_token("10.0.0.0/33"))


@pytest.mark.parametrize(
    ("regex", "glob"),
    [
        ("enp.*", "*enp*"),
        ("^swp.*", "swp*"),
        ("^swp.*$", "swp*"),
        ("^eth0.100$", "eth0?100"),
        ("", "*"),
        ("swp[0-9]+", None),
        ("^(eth|enp)", None),
        ("eth*", None),
    ],
)
def test_patterns_are_kept_where_they_say_the_same(regex: str, glob: str | None) -> None:
    assert glob_of(_token(regex)) == glob


@given(st.from_regex(r"\^?([a-c]|\.|\.\*){0,4}\$?", fullmatch=True), st.text("abc", max_size=6))
def test_a_kept_pattern_matches_the_same_names(regex: str, name: str) -> None:
    glob = glob_of(_token(regex))
    assert glob is not None
    assert fnmatchcase(name, glob) == (re.search(regex, name) is not None)


def test_notes_are_one_line_each() -> None:
    assert str(Note(3, "tcp", "no")) == "line 3: tcp: no"
