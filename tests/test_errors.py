from __future__ import annotations

from tidegate.errors import DecodeError, TextError


def test_a_decode_error_says_where_it_is_from_the_outside_in() -> None:
    error = DecodeError("truncated", 7).within("record").within("sample")
    assert str(error) == "sample > record: truncated at octet 7"


def test_a_text_error_names_its_field_and_keeps_the_rest() -> None:
    error = TextError("a b", 2, "not here", "such as a").under("value").under("flow")
    assert (error.text, error.column) == ("a b", 2)
    assert str(error) == "flow: value: not here at column 3: a ⟶b (such as a)"
