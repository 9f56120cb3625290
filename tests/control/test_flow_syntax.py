from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.control.flow_syntax import format_bits, format_numbers, parse_bits, parse_numbers
from tidegate.errors import TextError
from tidegate.wire.bgp.flowspec import (
    KINDS,
    BitmaskComponent,
    BitmaskOp,
    Comparison,
    ComponentType,
    NumericComponent,
    NumericOp,
)

PORT = ComponentType.SOURCE_PORT
EQ, GE, LE = Comparison.EQ, Comparison.GE, Comparison.LE
NUMERIC = [ComponentType.PROTOCOL, PORT, ComponentType.ICMP_TYPE, ComponentType.PACKET_LENGTH, ComponentType.DSCP]


@pytest.mark.parametrize(
    ("text", "ops"),
    [
        ("=17", (NumericOp(EQ, 17, 1),)),
        ("17", (NumericOp(EQ, 17, 1),)),
        ("==17", (NumericOp(EQ, 17, 1),)),
        (" > 300 ", (NumericOp(Comparison.GT, 300, 2),)),
        ("!=80", (NumericOp(Comparison.NE, 80, 1),)),
        (">=1024&<=2047", (NumericOp(GE, 1024, 2), NumericOp(LE, 2047, 2, conjunct=True))),
        ("10-20", (NumericOp(GE, 10, 1), NumericOp(LE, 20, 1, conjunct=True))),
        ("=53|=123", (NumericOp(EQ, 53, 1), NumericOp(EQ, 123, 1))),
        ("53,123", (NumericOp(EQ, 53, 1), NumericOp(EQ, 123, 1))),
        (
            "5&6-7|<9",
            (
                NumericOp(EQ, 5, 1),
                NumericOp(GE, 6, 1, conjunct=True),
                NumericOp(LE, 7, 1, conjunct=True),
                NumericOp(Comparison.LT, 9, 1),
            ),
        ),
    ],
)
def test_numbers(text: str, ops: tuple[NumericOp, ...]) -> None:
    assert parse_numbers(text, "port", PORT) == NumericComponent(PORT, ops)


def test_names_of_protocols_and_dscp() -> None:
    assert parse_numbers("UDP|tcp", "protocol", ComponentType.PROTOCOL).ops[0].value == 17
    assert [op.value for op in parse_numbers("ef,af41,le,cs7", "dscp", ComponentType.DSCP).ops] == [46, 34, 1, 56]


def test_flow_labels_take_four_octets() -> None:
    assert parse_numbers("=3", "flow-label", ComponentType.FLOW_LABEL).ops[0].width == 4


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("", 0),
        ("=", 0),
        ("=70000", 1),
        ("=53|=x", 5),
        ("=53|", 4),
        ("=53||=54", 4),
        ("&53", 0),
        ("=udp", 1),
        ("=-1", 0),
        ("20-10", 0),
        (">=10-20", 0),
        ("10-70000", 3),
        ("=53 =54", 0),
        ("=5٣", 0),
        ("=" + "9" * 50, 1),
    ],
)
def test_wrong_numbers_are_pointed_at(text: str, column: int) -> None:
    with pytest.raises(TextError, match="source-port") as caught:
        parse_numbers(text, "source-port", PORT)
    assert caught.value.column == column


def test_a_text_too_long_is_refused_before_it_is_read() -> None:
    with pytest.raises(TextError, match="characters"):
        parse_numbers("=1|" * 100_000, "port", PORT)


FLAGS, FRAGMENT = ComponentType.TCP_FLAGS, ComponentType.FRAGMENT


@pytest.mark.parametrize(
    ("text", "type_", "ops"),
    [
        ("S", FLAGS, (BitmaskOp(2, 1, match=True),)),
        ("sa", FLAGS, (BitmaskOp(0x12, 1, match=True),)),
        ("~SA", FLAGS, (BitmaskOp(0x12, 1),)),
        ("!SA", FLAGS, (BitmaskOp(0x12, 1, match=True, invert=True),)),
        ("!~SA", FLAGS, (BitmaskOp(0x12, 1, invert=True),)),
        ("!A", FLAGS, (BitmaskOp(0x10, 1, invert=True),)),
        ("S&!A", FLAGS, (BitmaskOp(2, 1, match=True), BitmaskOp(0x10, 1, invert=True, conjunct=True))),
        ("=SA", FLAGS, (BitmaskOp(0x12, 1, match=True), BitmaskOp(0xED, 1, invert=True, conjunct=True))),
        ("=N", FLAGS, (BitmaskOp(0x100, 2, match=True), BitmaskOp(0xFF, 2, invert=True, conjunct=True))),
        ("=", FLAGS, (BitmaskOp(0xFF, 1, invert=True),)),
        ("=FSRPAUEC", FLAGS, (BitmaskOp(0xFF, 1, match=True),)),
        ("=I", FRAGMENT, (BitmaskOp(2, 1, match=True),)),
        ("!I", FRAGMENT, (BitmaskOp(2, 1, invert=True),)),
        ("F|L", FRAGMENT, (BitmaskOp(4, 1, match=True), BitmaskOp(8, 1, match=True))),
        ("~DIFL", FRAGMENT, (BitmaskOp(15, 1),)),
    ],
)
def test_bits(text: str, type_: ComponentType, ops: tuple[BitmaskOp, ...]) -> None:
    assert parse_bits(text, "field", type_) == BitmaskComponent(type_, ops)


@pytest.mark.parametrize(
    ("text", "type_", "column"),
    [
        ("", FLAGS, 0),
        ("SX", FLAGS, 1),
        ("S&", FLAGS, 2),
        ("S|!=A", FLAGS, 2),
        ("~", FLAGS, 0),
        ("=", FRAGMENT, 0),
        ("S", FRAGMENT, 0),
        ("S A", FLAGS, 0),
    ],
)
def test_wrong_bits_are_pointed_at(text: str, type_: ComponentType, column: int) -> None:
    with pytest.raises(TextError, match="field") as caught:
        parse_bits(text, "field", type_)
    assert caught.value.column == column


@st.composite
def numeric_components(draw: st.DrawFn) -> NumericComponent:
    type_ = draw(st.sampled_from(NUMERIC))
    comparisons = [each for each in Comparison if each not in {Comparison.TRUE, Comparison.FALSE}]
    ops = []
    for place in range(draw(st.integers(1, 5))):
        value = draw(st.integers(0, KINDS[type_].most))
        joined = place > 0 and draw(st.booleans())
        ops.append(NumericOp(draw(st.sampled_from(comparisons)), value, 1 if value < 256 else 2, joined))
    return NumericComponent(type_, tuple(ops))


@given(numeric_components())
def test_numbers_come_back_from_their_text(component: NumericComponent) -> None:
    assert parse_numbers(format_numbers(component), "field", component.type) == component


@given(
    st.sampled_from([FLAGS, FRAGMENT]).flatmap(
        lambda type_: st.tuples(
            st.just(type_),
            st.lists(
                st.tuples(st.integers(1, 15 if type_ is FRAGMENT else 255), st.booleans(), st.booleans()), min_size=1
            ),
        )
    )
)
def test_bits_come_back_from_their_text(drawn: tuple[ComponentType, list[tuple[int, bool, bool]]]) -> None:
    type_, bits = drawn
    ops = tuple(
        BitmaskOp(value, 1, match=match and not (invert and value & (value - 1) == 0), invert=invert)
        for value, match, invert in bits
    )
    component = BitmaskComponent(type_, ops)
    assert parse_bits(format_bits(component), "field", type_) == component


def test_constants_have_a_text_that_means_the_same() -> None:
    ops = (NumericOp(Comparison.TRUE, 0, 1), NumericOp(Comparison.FALSE, 0, 1))
    assert format_numbers(NumericComponent(PORT, ops)) == ">=0|<0"


@given(st.text(max_size=30))
def test_any_text_is_a_component_or_an_error_with_a_column(text: str) -> None:
    for type_ in (PORT, FLAGS):
        parse = parse_numbers if type_ is PORT else parse_bits
        with suppress(TextError):
            assert parse(text, "field", type_).ops
