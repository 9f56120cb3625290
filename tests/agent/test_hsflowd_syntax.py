from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.agent.hsflowd_syntax import Block, Item, Setting, parse_blocks, parse_lines
from tidegate.errors import TextError

WORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#={};"), min_size=1, max_size=9)
Drawn = list[tuple[str, "str | Drawn"]]
GAPS = st.sampled_from([" ", "\t", "\n", " = ", ";", "=\n", " # remark = { }\n", "\r\n"])


def _written(items: Drawn, draw: st.DrawFn) -> str:
    text = ""
    for name, value in items:
        inner = value if isinstance(value, str) else f"{{{draw(GAPS)}{_written(value, draw)}{draw(GAPS)}}}"
        written = draw(st.sampled_from([name, name.lower(), name.upper()]))
        text += f"{written}{draw(GAPS)}{inner}{draw(GAPS)}"
    return text


def _items(depth: int) -> st.SearchStrategy[Drawn]:
    value = st.one_of(WORDS, _items(depth - 1)) if depth else WORDS
    return st.lists(st.tuples(WORDS, value), max_size=3)


@st.composite
def texts(draw: st.DrawFn) -> tuple[Drawn, str]:
    items = draw(_items(3))
    return items, _written(items, draw)


def _plain(items: tuple[Item, ...]) -> Drawn:
    return [(one.name, one.value if isinstance(one, Setting) else _plain(one.items)) for one in items]


def _lower(items: Drawn) -> Drawn:
    return [(name.lower(), value if isinstance(value, str) else _lower(value)) for name, value in items]


@given(texts())
def test_separators_case_and_remarks_make_no_difference(drawn: tuple[Drawn, str]) -> None:
    items, text = drawn
    assert _plain(parse_blocks(text)) == _lower(items)


@given(st.text(alphabet=st.sampled_from("ab ={};#\n"), max_size=60))
def test_any_text_is_taken_apart_or_refused_where_it_is_wrong(text: str) -> None:
    for parse in (parse_blocks, parse_lines):
        error = _refusal(parse, text)
        if error is not None:
            assert error.text in text.splitlines()
            assert 0 <= error.column <= len(error.text)
            assert error.reason.startswith("line ")


def _refusal(parse: Callable[[str], object], text: str) -> TextError | None:
    try:
        parse(text)
    except TextError as error:
        return error
    return None


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("sflow {\n  polling\n}", "line 2: polling has no value at column 3:   ⟶polling"),
        ("sflow {\n  tcp {\n}", "line 1: this { is never closed at column 7: sflow ⟶{"),
        ("sflow { } }", "line 1: } closes nothing at column 11: sflow { } ⟶}"),
        ("{ }", "line 1: { without a name at column 1: ⟶{ }"),
        ("a {" * 9 + "}" * 9, "line 1: more than 8 blocks within each other"),
        ("a {" * 100_000, "line 1: more than 8 blocks within each other"),
    ],
)
def test_wrong_syntax_is_shown_with_its_line(text: str, line: str) -> None:
    with pytest.raises(TextError) as caught:
        parse_blocks(text)
    assert str(caught.value).startswith(line)


def test_every_name_knows_its_place() -> None:
    (block,) = parse_blocks("# first\n sflow {\n\tPolling=20 }")
    assert isinstance(block, Block)
    (setting,) = block.items
    assert (block.at.line, block.at.column) == (2, 1)
    assert isinstance(setting, Setting)
    assert (setting.name, setting.value, setting.at.line, setting.at.column) == ("polling", "20", 3, 9)


def test_lines_are_names_and_values() -> None:
    found = parse_lines("# made by a daemon\nrev_start=1\n\n agentIP = 10.0.0.1 # here\ncollector=10.0.0.2 6344\nx=\n")
    assert [(one.name, one.value) for one in found] == [
        ("rev_start", "1"),
        ("agentip", "10.0.0.1"),
        ("collector", "10.0.0.2 6344"),
        ("x", ""),
    ]
    for text in ("polling 20", "=20"):
        with pytest.raises(TextError, match=r"line 2: not name=value"):
            parse_lines(f"x=1\n{text}")
