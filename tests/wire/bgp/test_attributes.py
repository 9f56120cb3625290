from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bgp_cases import EXTERNAL, INTERNAL, LARGE, OLD, SESSIONS, U32, short_actions, wide_actions
from tidegate.errors import DecodeError, EncodeError, SessionReset
from tidegate.wire.bgp.attribute_values import Aggregator, MpReach, MpUnreach, Segment
from tidegate.wire.bgp.attributes import (
    ATTRIBUTES,
    Attributes,
    RawAttribute,
    Reaction,
    decode_attributes,
    encode_attributes,
)
from tidegate.wire.bgp.constants import AttributeCode, Origin, SegmentType
from tidegate.wire.bgp.open import Negotiated
from tidegate.wire.cursor import Reader

NUMBERS = st.lists(U32, max_size=4).map(tuple)
PUBLIC = (SegmentType.SET, SegmentType.SEQUENCE)  # outside of confederations
ASN = st.integers(1, (1 << 32) - 1)
U16_ASN = st.integers(1, 65535)


def paths(asns: st.SearchStrategy[int], kinds: Iterable[SegmentType]) -> st.SearchStrategy[tuple[Segment, ...]]:
    segment = st.builds(Segment, st.sampled_from(list(kinds)), st.lists(asns, min_size=1, max_size=5).map(tuple))
    return st.lists(segment, max_size=3).map(tuple)


def blocks(negotiated: Negotiated) -> st.SearchStrategy[Attributes]:
    """Attributes that this session may carry."""
    asns = ASN if negotiated.four_octet_as else U16_ASN
    address = st.binary(min_size=4, max_size=4)
    octets = st.binary(max_size=300)
    inside = negotiated.internal
    return st.builds(
        Attributes,
        origin=st.none() | st.sampled_from(Origin),
        as_path=st.none() | paths(asns, SegmentType if inside else PUBLIC),
        next_hop=st.none() | address,
        med=st.none() | U32,
        local_pref=st.none() | U32 if inside else st.none(),
        atomic_aggregate=st.booleans(),
        aggregator=st.none() | st.builds(Aggregator, asns, address),
        communities=NUMBERS,
        originator_id=st.none() | U32 if inside else st.none(),
        cluster_list=NUMBERS if inside else st.just(()),
        mp_reach=st.none()
        | st.builds(MpReach, st.integers(0, 65535), st.integers(0, 255), st.binary(max_size=32), octets),
        mp_unreach=st.none() | st.builds(MpUnreach, st.integers(0, 65535), st.integers(0, 255), octets),
        extended=st.lists(short_actions(), max_size=3).map(tuple),
        as4_path=st.none() | paths(ASN, PUBLIC).filter(bool),
        as4_aggregator=st.none() | st.builds(Aggregator, ASN, address),
        ipv6_extended=st.lists(wide_actions(), max_size=3).map(tuple),
        large=st.lists(LARGE, max_size=3).map(tuple),
        only_to_customer=st.none() | U32,
        unknown=st.lists(st.builds(RawAttribute, st.just(0xE0), st.just(99), st.binary(max_size=300)), max_size=1).map(
            tuple
        ),
    )


@given(st.sampled_from(SESSIONS).flatmap(lambda session: st.tuples(st.just(session), blocks(session))))
def test_decoding_undoes_encoding(drawn: tuple[Negotiated, Attributes]) -> None:
    negotiated, attributes = drawn
    found, problems = decode_attributes(Reader(encode_attributes(attributes, negotiated)), negotiated)
    assert problems == ()
    assert found == attributes


@given(st.binary(max_size=80), st.sampled_from(SESSIONS))
def test_any_octets_are_attributes_or_a_reset(octets: bytes, negotiated: Negotiated) -> None:
    with suppress(SessionReset):
        decode_attributes(Reader(octets), negotiated)


@given(blocks(INTERNAL), st.data())
def test_a_block_cut_anywhere_is_a_problem_or_a_shorter_block(attributes: Attributes, data: st.DataObject) -> None:
    octets = encode_attributes(attributes, INTERNAL)
    cut = data.draw(st.integers(0, max(0, len(octets) - 1)))
    found, problems = decode_attributes(Reader(octets, 0, cut), INTERNAL)
    if problems:
        assert [problem.reaction for problem in problems] == [Reaction.WITHDRAW]
    else:
        assert encode_attributes(found, INTERNAL) == octets[:cut]


# one bad value an attribute, and what RFC 7606 section 7 asks for
BAD = {
    "origin 3": ("400101 03", Reaction.WITHDRAW),
    "origin long": ("400102 0000", Reaction.WITHDRAW),
    "path segment 5": ("400206 05010000fde8", Reaction.WITHDRAW),
    "path segment empty": ("400202 0200", Reaction.WITHDRAW),
    "path cut": ("400205 02010000fd", Reaction.WITHDRAW),
    "next hop": ("400303 c00002", Reaction.WITHDRAW),
    "med": ("800403 000001", Reaction.WITHDRAW),
    "local pref": ("400503 000001", Reaction.WITHDRAW),
    "atomic": ("400601 00", Reaction.DISCARD),
    "aggregator": ("c00706 fde8c0000201", Reaction.DISCARD),
    "communities": ("c00803 000001", Reaction.WITHDRAW),
    "communities empty": ("c00800", Reaction.WITHDRAW),
    "originator": ("800903 000001", Reaction.WITHDRAW),
    "cluster list": ("800a05 0000000101", Reaction.WITHDRAW),
    "extended": ("c01007 80060000000000", Reaction.WITHDRAW),
    "as path with AS 0": ("40020a 0202 0000fde8 00000000", Reaction.WITHDRAW),
    "as4 path": ("c01103 020100", Reaction.DISCARD),
    "as4 path empty": ("c01100", Reaction.DISCARD),
    "as4 path with AS 0": ("c01106 0201 00000000", Reaction.DISCARD),
    "aggregator of AS 0": ("c00708 00000000 c0000201", Reaction.DISCARD),
    "as4 aggregator of AS 0": ("c01208 00000000 c0000201", Reaction.DISCARD),
    "as4 aggregator": ("c01204 00000001", Reaction.DISCARD),
    "ipv6 extended": ("c01908 000c000000000000", Reaction.WITHDRAW),
    "large": ("c02008 0000000100000002", Reaction.WITHDRAW),
    "large empty": ("c02000", Reaction.WITHDRAW),
    "only to customer": ("c02303 000001", Reaction.WITHDRAW),
    "flags of origin": ("c00101 00", Reaction.WITHDRAW),
    "flags of communities": ("800804 ffff029a", Reaction.WITHDRAW),
    "flags of atomic": ("c00600", Reaction.WITHDRAW),
    "lengths": ("400105 00", Reaction.WITHDRAW),
    "header cut": ("40", Reaction.WITHDRAW),
    "twice": ("400101 00 400101 01", Reaction.DISCARD),
}


@pytest.mark.parametrize(("octets", "reaction"), BAD.values(), ids=BAD.keys())
def test_reaction_to_a_bad_attribute(octets: str, reaction: Reaction) -> None:
    block = bytes.fromhex("800404 00000007" + octets)  # a good one before it stays
    if octets.startswith("8004"):
        block = bytes.fromhex(octets)
    _, problems = decode_attributes(Reader(block), INTERNAL)
    assert [problem.reaction for problem in problems] == [reaction]


@pytest.mark.parametrize(
    ("octets", "subcode"),
    [
        ("800e02 0001", 9),
        ("800e05 0001850400", 9),
        ("800f02 0001", 9),
        ("800f03 000101 800f03 000101", 1),
        ("400b00", 2),
    ],
)
def test_what_ends_the_session(octets: str, subcode: int) -> None:
    with pytest.raises(SessionReset) as caught:
        decode_attributes(Reader(bytes.fromhex(octets)), EXTERNAL)
    assert (caught.value.code, caught.value.subcode) == (3, subcode)


def test_routes_with_bad_flags_are_still_found_to_be_withdrawn() -> None:
    found, problems = decode_attributes(Reader(bytes.fromhex("c00f03 000101")), EXTERNAL)
    assert found.mp_unreach is not None
    assert problems[0].reaction is Reaction.WITHDRAW


@pytest.mark.parametrize("octets", ["400504 00000064", "800904 00000001", "800a04 00000001"])
def test_internal_attributes_of_an_external_peer_are_discarded(octets: str) -> None:
    found, problems = decode_attributes(Reader(bytes.fromhex(octets)), EXTERNAL)
    assert found == Attributes()
    assert [problem.reaction for problem in problems] == [Reaction.DISCARD]
    assert decode_attributes(Reader(bytes.fromhex(octets)), INTERNAL)[1] == ()


def test_unknown_attributes_are_kept_if_transitive() -> None:
    found, problems = decode_attributes(Reader(bytes.fromhex("c06301aa 806401bb")), EXTERNAL)
    assert found.unknown == (RawAttribute(0xE0, 99, b"\xaa"),)
    assert problems == ()


def test_every_code_has_a_row_and_every_row_a_field() -> None:
    assert set(ATTRIBUTES) == set(AttributeCode)
    fields = {field.name for field in msgspec.structs.fields(Attributes)}
    assert fields == {row.field for row in ATTRIBUTES.values()} | {"unknown"}


def test_an_as_of_four_octets_is_23456_to_an_old_speaker() -> None:
    path = (Segment(SegmentType.SEQUENCE, (4200000000, 65001)),)
    octets = encode_attributes(Attributes(as_path=path, aggregator=Aggregator(4200000000, bytes(4))), OLD)
    found, _ = decode_attributes(Reader(octets), OLD)
    assert found.as_path == (Segment(SegmentType.SEQUENCE, (23456, 65001)),)
    assert found.aggregator == Aggregator(23456, bytes(4))


def test_values_that_do_not_fit_are_not_cut() -> None:
    for attributes in (
        Attributes(med=1 << 32),
        Attributes(communities=(1 << 32,)),
        Attributes(as_path=(Segment(SegmentType.SEQUENCE, (1,) * 256),)),
        Attributes(mp_reach=MpReach(1, 133, bytes(256), b"")),
        Attributes(unknown=(RawAttribute(0xC0, 99, bytes(1 << 16)),)),
    ):
        with pytest.raises(EncodeError):
            encode_attributes(attributes, EXTERNAL)


def test_the_reader_of_one_value_never_reads_the_next() -> None:
    with pytest.raises(DecodeError):
        ATTRIBUTES[AttributeCode.ORIGIN].decode(Reader(b"\0\0"), EXTERNAL)
