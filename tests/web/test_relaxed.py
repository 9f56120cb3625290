from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.errors import TextError
from tidegate.web.relaxed import MAX_NESTING, parse_relaxed_json

texts = st.text(st.characters(codec="utf-8"), max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


def relaxed_text(value: object) -> str:
    """Write a value with single quotes and a comma behind each last item."""
    if isinstance(value, str):
        return "'" + json.dumps(value)[1:-1].replace('\\"', '"').replace("'", "\\'") + "'"
    if isinstance(value, list):
        return "[" + "".join(relaxed_text(item) + " , " for item in value) + "]"
    if isinstance(value, dict):
        return "{" + "".join(f"{relaxed_text(name)}:{relaxed_text(item)},\n" for name, item in value.items()) + "}"
    return json.dumps(value)


@given(values, st.booleans(), st.sampled_from([None, 1]))
def test_strict_json_means_what_it_always_means(value: object, ascii_only: bool, indent: int | None) -> None:  # noqa: FBT001 - drawn
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)

    assert parse_relaxed_json(text) == json.loads(text)


@given(values)
def test_relaxed_json_means_the_same(value: object) -> None:
    assert parse_relaxed_json(relaxed_text(value)) == value


@given(st.text() | st.text("{}[]:,'\"\\u0123abtrue \n", max_size=40))
def test_any_text_is_read_or_refused_at_a_column(text: str) -> None:
    try:
        parse_relaxed_json(text)
    except TextError as error:
        column, where = error.column, error.text
    else:
        column, where = 0, text
    assert where == text
    assert 0 <= column <= len(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (
            "{keys:'ipsource',value:'bytes',filter:'ipprotocol=1'}",
            {"keys": "ipsource", "value": "bytes", "filter": "ipprotocol=1"},
        ),
        ("{'n':5,t:2.5,log:true,}", {"n": 5, "t": 2.5, "log": True}),
        ("{external:['0.0.0.0/0', '::/0'],}", {"external": ["0.0.0.0/0", "::/0"]}),
        ("{80:['web']}", {"80": ["web"]}),
        ("{fs:'\\'\"\\u00e9\\n'}", {"fs": "'\"é\n"}),
        ("{fs:'\\ud83d\\ude00'}", {"fs": "😀"}),
        ("[-1.5e3,]", [-1500.0]),
        ("{'':1,}", {"": 1}),
        ("{}", {}),
        ("{a:null}", {"a": None}),
        ("{a:1,a:2}", {"a": 2}),
    ],
)
def test_samples(text: str, value: object) -> None:
    assert parse_relaxed_json(text) == value


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("", 0),
        ("{", 1),
        ("{keys:ipsource}", 6),
        ("{keys 'ipsource'}", 6),
        ("{a:1 b:2}", 5),
        ("{a:'x}", 3),
        ("{,}", 1),
        ("[,]", 1),
        ("[1,,2]", 3),
        ("{a:1}}", 5),
        ("{a:NaN,}", 3),
        ("[NaN]", 1),
        ("[-Infinity]", 1),
        ("{a:+1,}", 3),
        ("{a:01}", 3),
        ("{a:'\\x'}", 4),
        ("{a:'\\u12'}", 4),
        ('{"a":"\\ud800"}', 6),
        ("[" * (MAX_NESTING + 1), MAX_NESTING),
        ("[" * 100_000, MAX_NESTING),
        ("{a:" + "1" * 5000 + "}", 3),
    ],
)
def test_errors_point_at_the_column(text: str, column: int) -> None:
    with pytest.raises(TextError) as caught:
        parse_relaxed_json(text)

    assert caught.value.column == column


def test_a_number_that_is_too_long_is_refused() -> None:
    with pytest.raises(TextError):
        parse_relaxed_json("1" * 5000)
