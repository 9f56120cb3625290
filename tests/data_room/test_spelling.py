"""Texts that stand in samples as octets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.data.spelling import (
    as_path_octets,
    as_path_text,
    communities_octets,
    communities_text,
    name_octets,
    name_text,
    string_octets,
    string_text,
)

labels = st.lists(st.binary(min_size=1, max_size=12), max_size=5)


def wire(parts: list[bytes]) -> bytes:
    return b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


@given(labels)
def test_a_name_is_spelled_and_found_again(parts: list[bytes]) -> None:
    assert name_octets(name_text(wire(parts))) == wire(parts)


@given(labels, labels)
def test_different_names_have_different_texts(first: list[bytes], second: list[bytes]) -> None:
    assert (name_text(wire(first)) == name_text(wire(second))) == (first == second)


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        (".", b"\0"),
        ("a.example", b"\1a\7example\0"),
        ("a\\.b", b"\3a.b\0"),
        ("\\009\\\\", b"\2\t\\\0"),
        ("", None),
        ("a.", None),
        ("a..b", None),
        (".a", None),
        ("\\a", None),
        ("\\999", None),
        ("a b", None),
        ("\u00e9", None),
        ("a" * 256, None),
    ],
)
def test_names(text: str, octets: bytes | None) -> None:
    assert name_octets(text) == octets


@given(st.binary(max_size=40))
def test_any_octets_have_a_text(octets: bytes) -> None:
    for spell in (name_text, string_text, communities_text, as_path_text):
        assert isinstance(spell(octets), str)


@given(st.lists(st.integers(0, (1 << 32) - 1), min_size=1, max_size=6))
def test_communities_are_found_again(words: list[int]) -> None:
    octets = b"".join(word.to_bytes(4, "big") for word in words)

    assert communities_octets(communities_text(octets)) == octets


@pytest.mark.parametrize("text", ["", "1", "1:2:3", "65536:1", "1:65536", "01:1", "1:1-", "a:b", "-1:1", "\u00b2:1"])
def test_texts_that_are_no_communities(text: str) -> None:
    assert communities_octets(text) is None


@given(st.lists(st.integers(0, (1 << 32) - 1), min_size=1, max_size=6))
def test_a_path_of_one_sequence_is_found_again(numbers: list[int]) -> None:
    octets = b"".join(word.to_bytes(4, "big") for word in (2, len(numbers), *numbers))

    assert as_path_text(octets) == "-".join(map(str, numbers))
    assert as_path_octets(as_path_text(octets)) == octets


def test_a_path_of_several_segments_is_joined() -> None:
    octets = b"".join(word.to_bytes(4, "big") for word in (2, 2, 64500, 64501, 1, 1, 64502))

    assert as_path_text(octets) == "64500-64501-64502"
    assert as_path_text(octets[:-2]) == "64500-64501-0"  # cut short: what is left of the number
    assert as_path_octets("") == b""


@pytest.mark.parametrize("text", ["a", "1--2", "4294967296", "01", "1-", "\u0663"])
def test_texts_that_are_no_path(text: str) -> None:
    assert as_path_octets(text) is None


@given(st.text())
def test_strings_are_utf8(text: str) -> None:
    octets = string_octets(text)

    assert octets is not None
    assert string_text(octets) == text
    assert string_octets(text + "\ud800") is None
