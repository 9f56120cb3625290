"""Words and texts of every form: two texts are equal exactly when their words are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.data.fields import FIELDS, MAX_LAYER, FieldRef, field_ref
from tidegate.data.forms import FORMS, INTERNAL, Form, Interface
from tidegate.data.hash import hash_octets, hash_text
from tidegate.data.names import DNS_TYPES, DROP_REASONS, IB_OPCODES, IB_TRANSPORTS, LAYERS

U16, U32, U64 = st.integers(0, 65535), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)


def bits(width: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.integers(0, 2**width - 1).map(lambda word: (word,))


def named(names: dict[int, str]) -> st.SearchStrategy[tuple[int, ...]]:
    return st.one_of(st.sampled_from(sorted(names)), st.integers(0, 600), U32).map(lambda word: (word,))


addresses = st.one_of(
    st.tuples(U64, U64),
    U32.map(lambda word: (0, 0xFFFF << 32 | word)),
    st.sampled_from([(0, 0), (0, 1), (0, 0xFFFF << 32), (0xFE80 << 48, 1), (0, 0xFFFE << 32)]),
)


def prefix(words: tuple[int, int], length: int) -> tuple[int, ...]:
    whole = (words[0] << 64 | words[1]) & ~((1 << (128 - length)) - 1)
    return whole >> 64, whole & (2**64 - 1), length


def stack(codes: list[int]) -> tuple[int]:
    return (sum(code << 5 * place for place, code in enumerate(codes)),)


def headers(numbers: list[int]) -> tuple[int]:
    return (len(numbers) << 56 | sum(number << 8 * place for place, number in enumerate(numbers)),)


# What words a form can have
WORDS: dict[Form, st.SearchStrategy[tuple[int, ...]]] = {
    Form.NUMBER: U64.map(lambda word: (word,)),
    Form.ADDRESS: addresses,
    Form.PREFIX: st.one_of(
        st.builds(prefix, U32.map(lambda word: (0, 0xFFFF << 32 | word)), st.integers(96, 128)),
        st.builds(
            prefix, st.tuples(st.integers(1, 2**64 - 1).map(lambda word: word | 1 << 63), U64), st.integers(1, 128)
        ),
    ),
    Form.OUI: bits(24),
    Form.MAC: bits(48),
    Form.BOOLEAN: bits(1),
    Form.BITS2: bits(2),
    Form.BITS3: bits(3),
    Form.BITS8: bits(8),
    Form.BITS9: bits(9),
    Form.INTERFACE: st.one_of(
        st.sampled_from([INTERNAL, Interface.DISCARD, Interface.MULTIPLE, Interface.UNKNOWN, 0]), U32
    ).map(lambda word: (word,)),
    Form.DIRECTION: bits(1),
    Form.REASON: named(DROP_REASONS),
    Form.DSCP: bits(6),
    Form.DNS_TYPE: named(DNS_TYPES),
    Form.IB_OPCODE: named(IB_OPCODES),
    Form.IB_TRANSPORT: named(IB_TRANSPORTS),
    Form.STACK: st.lists(st.sampled_from(sorted(LAYERS)), max_size=12).map(stack),
    Form.HEADERS: st.lists(st.integers(0, 255), min_size=1, max_size=7).map(headers),
}
SPELLED = [form for form in Form if FORMS[form].spelling]
pairs = st.sampled_from(sorted(WORDS, key=str)).flatmap(lambda form: st.tuples(st.just(form), WORDS[form], WORDS[form]))


def test_every_form_has_words_or_a_spelling() -> None:
    assert set(FORMS) == set(Form) == {*WORDS, *SPELLED}


@given(pairs)
def test_texts_are_equal_exactly_when_words_are(drawn: tuple[Form, tuple[int, ...], tuple[int, ...]]) -> None:
    form, first, second = drawn
    traits = FORMS[form]

    assert len(first) == traits.width
    assert (traits.format(first) == traits.format(second)) == (first == second)


@given(pairs)
def test_a_text_is_parsed_to_its_words(drawn: tuple[Form, tuple[int, ...], tuple[int, ...]]) -> None:
    form, words, _ = drawn

    assert FORMS[form].parse(FORMS[form].format(words)) == words


texts = st.one_of(
    st.text(max_size=30),
    st.text("0123456789abcdefABCDEF.:-/() ", max_size=30),
    st.sampled_from(
        [
            "yes",
            "No",
            "TRUE",
            "00",
            "1.2.3",
            "::ffff:1.2.3.4",
            "1.2.3.4/33",
            "10.0.0.1/8",
            "eth..ip",
            "\u00b2",
            "\u0663:1",
            "\\\u00b2\u00b2\u00b2",
            "\ud800",
            "9" * 5000,
            "1:" + "9" * 5000,
        ]
    ),
)


@given(st.sampled_from(sorted(Form, key=str)), texts)
def test_any_text_has_words_that_fit_or_none(form: Form, text: str) -> None:
    traits = FORMS[form]

    words = traits.parse(text)

    if words is not None:
        assert len(words) == traits.width
        assert all(0 <= word < 1 << 64 for word in words)
        assert traits.parse(traits.format(words)) == words


@given(st.sampled_from(SPELLED), st.binary(max_size=60))
def test_octets_that_a_text_is_spelled_by_are_found_again(form: Form, octets: bytes) -> None:
    spelling = FORMS[form].spelling
    assert spelling is not None
    text = spelling.text(octets)

    again = spelling.octets(text)

    if again is not None:
        assert spelling.text(again) == text


@given(st.sampled_from(SPELLED), texts)
def test_a_text_that_has_octets_is_printed_as_written(form: Form, text: str) -> None:
    spelling = FORMS[form].spelling
    assert spelling is not None

    octets = spelling.octets(text)

    if octets is not None:
        assert spelling.text(octets) == text


@pytest.mark.parametrize(
    ("form", "text", "words"),
    [
        (Form.BOOLEAN, "yes", (1,)),
        (Form.BOOLEAN, "No", (0,)),
        (Form.NUMBER, "01", None),
        (Form.NUMBER, "18446744073709551616", None),
        (Form.NUMBER, "-1", None),
        (Form.MAC, "02:ab:10:00:0c:01", (0x02AB10000C01,)),
        (Form.ADDRESS, "fe80::0:1", (0xFE80 << 48, 1)),
        (Form.ADDRESS, "fe80::1%eth0", None),
        (Form.PREFIX, "10.0.0.0/8", (0, 0xFFFF0A000000, 104)),
        (Form.PREFIX, "10.0.0.0", None),
        (Form.INTERFACE, "internal", (INTERNAL,)),
        (Form.INTERFACE, str(Interface.DISCARD), None),
        (Form.DSCP, "be(0)", (0,)),
        (Form.STACK, "", (0,)),
        (Form.REASON, "258", None),  # prints as acl
        (Form.BITS2, "1", None),
    ],
)
def test_texts_of_forms(form: Form, text: str, words: tuple[int, ...] | None) -> None:
    assert FORMS[form].parse(text) == words


@given(st.binary(max_size=40), U64)
def test_the_hash_of_the_kernel_is_that_of_python(octets: bytes, seed: int) -> None:
    data = np.frombuffer(b"\1" + octets + b"\2", np.uint8)

    assert int(hash_octets(data, 1, 1 + len(octets), np.uint64(seed))) == hash_text(octets, seed)


# The catalogue


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_every_field_is_found_by_its_name(name: str) -> None:
    field = FIELDS[name]

    assert field.name == name
    assert field.about
    assert field_ref(name) == FieldRef(name)
    assert field_ref(f"{name}.1") == (FieldRef(name, 1) if field.layered else None)
    assert field_ref(f"{name}.{MAX_LAYER + 1}") is None
    assert field_ref(f"{name}.") is None
    assert field_ref(f"{name}.x") is None


@pytest.mark.parametrize("name", ["custom", "", ".", "ipsource.\u00b2", "ipsource.\u0663", "ipsource." + "1" * 5000])
def test_names_that_are_no_fields(name: str) -> None:
    assert field_ref(name) is None


def test_references_print_as_they_are_written() -> None:
    assert str(FieldRef("ipsource", 2)) == "ipsource.2"
    assert str(FieldRef("ipsource")) == "ipsource"
