from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bgp_cases import rules, vectors
from tidegate.control.flow_json import rule_from_json, rule_to_json
from tidegate.errors import DecodeError, EncodeError
from tidegate.wire.bgp.constants import Afi
from tidegate.wire.bgp.flowspec import (
    BitmaskComponent,
    BitmaskOp,
    Comparison,
    ComponentType,
    FlowRule,
    NumericComponent,
    NumericOp,
    OffsetForm,
    PrefixComponent,
    decode_rule,
    encode_rule,
)
from tidegate.wire.bgp.prefix import Prefix, parse_prefix
from tidegate.wire.cursor import Reader

HOST = PrefixComponent(ComponentType.DESTINATION, parse_prefix("192.0.2.1"))


def numeric(type_: ComponentType, *ops: NumericOp) -> FlowRule:
    return FlowRule(Afi.IPV4, (NumericComponent(type_, ops),))


@pytest.mark.parametrize("case", vectors("nlri") + vectors("nlri_random"))
def test_vector_means_its_components_and_they_write_it(case: dict[str, Any]) -> None:
    reader = Reader(bytes.fromhex(case["nlri"]))
    rule = decode_rule(reader, Afi(case["afi"]))
    assert not len(reader)
    assert rule_to_json(rule) == case["components"]
    assert encode_rule(rule_from_json(case["components"], Afi(case["afi"]))).hex() == case["nlri"]


@pytest.mark.parametrize("case", vectors("malformed"))
def test_malformed_never_becomes_a_rule(case: dict[str, Any]) -> None:
    reader = Reader(bytes.fromhex(case["nlri"]))
    if case["id"] == "len-underrun-trailing":  # here a good rule stands before the bad one
        decode_rule(reader, Afi(case["afi"]))
    with pytest.raises(DecodeError):
        decode_rule(reader, Afi(case["afi"]))


@pytest.mark.parametrize("case", vectors("tolerated"))
def test_tolerated_is_read(case: dict[str, Any]) -> None:
    assert rule_to_json(decode_rule(Reader(bytes.fromhex(case["nlri"])), Afi(case["afi"]))) == case["components"]


@given(rules(), st.sampled_from(OffsetForm))
def test_decoding_undoes_encoding(rule: FlowRule, offsets: OffsetForm) -> None:
    reader = Reader(encode_rule(rule, offsets=offsets))
    assert decode_rule(reader, rule.afi, offsets=offsets) == rule
    assert not len(reader)


# what BIRD 2.0.12 and GoBGP 3.10.0 sent for these prefixes, and ExaBGP 4.2.25 as it is written
OFFSETS = [
    ("::1234:5678:9a00:0/104", 65, OffsetForm.RFC8956, "08 0168412468acf134"),
    ("::1234:5678:9a00:0/104", 65, OffsetForm.OCTETS, "08 016841123456789a"),
    ("::1234:5678:9a00:0/104", 65, OffsetForm.WHOLE, "10 0168410000000000000000123456789a"),
    ("::1234:5678:9a00:0/104", 64, OffsetForm.OCTETS, "08 016840123456789a"),
    ("::1234:5678:9a00:0/104", 64, OffsetForm.WHOLE, "10 0168400000000000000000123456789a"),
    ("::1234:5678:9800:0/101", 67, OffsetForm.OCTETS, "08 0165431234567898"),
    ("0:800::/22", 20, OffsetForm.OCTETS, "04 01161408"),
    ("0:800::/22", 20, OffsetForm.WHOLE, "06 011614000008"),
    ("2001:db8::/32", 0, OffsetForm.WHOLE, "07 01200020010db8"),
    ("2001:db8::/32", 0, OffsetForm.OCTETS, "07 01200020010db8"),
]


@pytest.mark.parametrize(("prefix", "offset", "offsets", "octets"), OFFSETS)
def test_offsets_are_written_as_the_peer_does(prefix: str, offset: int, offsets: OffsetForm, octets: str) -> None:
    component = PrefixComponent(ComponentType.DESTINATION, parse_prefix(prefix), offset)
    assert encode_rule(FlowRule(Afi.IPV6, (component,)), offsets=offsets) == bytes.fromhex(octets)


def test_bits_outside_of_offset_and_length_are_ignored_on_receipt() -> None:
    octets = bytes.fromhex("10 016841 ffffffffffffffff 923456789a")
    rule = decode_rule(Reader(octets), Afi.IPV6, offsets=OffsetForm.WHOLE)
    component = PrefixComponent(ComponentType.DESTINATION, parse_prefix("::1234:5678:9a00:0/104"), 65)
    assert rule.components == (component,)


@given(rules())
def test_json_is_exact(rule: FlowRule) -> None:
    assert rule_from_json(rule_to_json(rule), rule.afi) == rule


@given(st.binary(max_size=64), st.sampled_from(Afi), st.sampled_from(OffsetForm))
def test_any_octets_are_a_rule_or_a_decode_error(octets: bytes, afi: Afi, offsets: OffsetForm) -> None:
    with suppress(DecodeError):
        assert decode_rule(Reader(octets), afi, offsets=offsets).components


@given(rules(), st.data())
def test_a_rule_cut_anywhere_is_truncated(rule: FlowRule, data: st.DataObject) -> None:
    octets = encode_rule(rule)
    cut = data.draw(st.integers(0, len(octets) - 1))
    with pytest.raises(DecodeError, match="truncated"):
        decode_rule(Reader(octets, 0, cut), rule.afi)


@pytest.mark.parametrize(("octets", "width"), [(238, 1), (239, 1), (240, 2), (241, 2), (4095, 2)])
def test_length_takes_a_second_octet_from_240_on(octets: int, width: int) -> None:
    pairs = octets - 1
    ops = tuple(NumericOp(Comparison.EQ, 7, 1) for _ in range(pairs // 2))
    if pairs % 2:  # one value of two octets makes the sum odd
        ops = (*ops[:-1], NumericOp(Comparison.EQ, 7, 2))
    written = encode_rule(numeric(ComponentType.PORT, *ops))
    assert len(written) == octets + width
    assert len(decode_rule(Reader(written), Afi.IPV4).components[0].ops) == len(ops)  # type: ignore[union-attr]


def test_a_rule_over_4095_octets_is_refused() -> None:
    with pytest.raises(EncodeError, match="over 4095"):
        encode_rule(numeric(ComponentType.PORT, *[NumericOp(Comparison.EQ, 7, 1)] * 2048))


EQ = Comparison.EQ
STRICT = {
    "no component": FlowRule(Afi.IPV4, ()),
    "wrong order": FlowRule(Afi.IPV4, (NumericComponent(ComponentType.PROTOCOL, (NumericOp(EQ, 6, 1),)), HOST)),
    "twice": FlowRule(Afi.IPV4, (HOST, HOST)),
    "label in IPv4": numeric(ComponentType.FLOW_LABEL, NumericOp(EQ, 6, 4)),
    "no operator": numeric(ComponentType.PORT),
    "value over its width": numeric(ComponentType.PORT, NumericOp(EQ, 256, 1)),
    "width of the type": numeric(ComponentType.PROTOCOL, NumericOp(EQ, 6, 2)),
    "DSCP over six bits": numeric(ComponentType.DSCP, NumericOp(EQ, 64, 1)),
    "negative": numeric(ComponentType.PORT, NumericOp(EQ, -1, 1)),
    "AND at first": numeric(ComponentType.PORT, NumericOp(EQ, 6, 1, conjunct=True)),
    "family of the prefix": FlowRule(Afi.IPV6, (HOST,)),
    "host bits": FlowRule(Afi.IPV4, (PrefixComponent(ComponentType.SOURCE, Prefix(bytes([192, 0, 2, 1]), 24)),)),
    "IPv4 offset": FlowRule(Afi.IPV4, (PrefixComponent(ComponentType.SOURCE, parse_prefix("192.0.2.1"), 8),)),
    "offset at length": FlowRule(Afi.IPV6, (PrefixComponent(ComponentType.SOURCE, parse_prefix("::/32"), 32),)),
    "bits before offset": FlowRule(Afi.IPV6, (PrefixComponent(ComponentType.SOURCE, parse_prefix("2001::/32"), 16),)),
    "don't fragment in IPv6": FlowRule(
        Afi.IPV6, (BitmaskComponent(ComponentType.FRAGMENT, (BitmaskOp(1, 1, match=True),)),)
    ),
    "no bit": FlowRule(Afi.IPV4, (BitmaskComponent(ComponentType.TCP_FLAGS, (BitmaskOp(0, 1),)),)),
    "data offset bits": FlowRule(Afi.IPV4, (BitmaskComponent(ComponentType.TCP_FLAGS, (BitmaskOp(0x1000, 2),)),)),
    "numbers as bits": FlowRule(Afi.IPV4, (BitmaskComponent(ComponentType.PORT, (BitmaskOp(1, 1),)),)),
}


@pytest.mark.parametrize("rule", STRICT.values(), ids=STRICT.keys())
def test_the_encoder_is_strict(rule: FlowRule) -> None:
    with pytest.raises(EncodeError):
        encode_rule(rule)


def test_an_error_names_the_component() -> None:
    with pytest.raises(DecodeError, match="destination_port: truncated at octet 3"):
        decode_rule(Reader(bytes.fromhex("02 05 91")), Afi.IPV4)


def test_reserved_bits_and_host_bits_are_ignored_on_receipt() -> None:
    rule = decode_rule(Reader(bytes.fromhex("08 01 17 c00003 03 89 06")), Afi.IPV4)
    assert encode_rule(rule) == bytes.fromhex("08 01 17 c00002 03 81 06")
