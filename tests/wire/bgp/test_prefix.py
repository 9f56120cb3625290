from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bgp_cases import prefixes
from tidegate.errors import DecodeError, EncodeError, TextError
from tidegate.wire.bgp.constants import Afi
from tidegate.wire.bgp.prefix import (
    Prefix,
    PrefixList,
    address_text,
    decode_prefix,
    encode_prefix,
    parse_address,
    parse_prefix,
)
from tidegate.wire.cursor import Reader


@given(st.sampled_from(Afi).flatmap(prefixes))
def test_wire_and_text_forms_are_exact(prefix: Prefix) -> None:
    assert decode_prefix(Reader(encode_prefix(prefix)), prefix.afi) == prefix
    assert parse_prefix(str(prefix)) == prefix


def test_bits_past_the_length_are_cleared_on_receipt() -> None:
    assert str(decode_prefix(Reader(bytes.fromhex("17c00003")), Afi.IPV4)) == "192.0.2.0/23"


def test_path_identifier_stands_before_the_prefix() -> None:
    prefix = decode_prefix(Reader(bytes.fromhex("00000007 18 c00002")), Afi.IPV4, with_path_id=True)
    assert (str(prefix), prefix.path_id) == ("192.0.2.0/24", 7)


def test_length_over_the_family_and_missing_octets() -> None:
    with pytest.raises(ValueError, match="33 is over 32"):
        decode_prefix(Reader(bytes.fromhex("21c000020100")), Afi.IPV4)
    with pytest.raises(DecodeError, match="truncated"):
        decode_prefix(Reader(bytes.fromhex("18c000")), Afi.IPV4)


@pytest.mark.parametrize(
    "prefix", [Prefix(b"\1\2\3", 8), Prefix(bytes(4), 33), Prefix(bytes(4), -1), Prefix(b"\1\2\3\4", 8)]
)
def test_what_is_no_prefix_is_not_written(prefix: Prefix) -> None:
    with pytest.raises(EncodeError):
        encode_prefix(prefix)


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("", 0),
        ("192.0.2", 0),
        ("192.0.2.0/33", 10),
        ("192.0.2.0/x", 10),
        ("192.0.2.0/", 10),
        ("192.0.2.1/24", 0),
        ("192.0.2.0/" + "1" * 5000, 10),
        ("192.0.2.x/24", 0),
    ],
)
def test_errors_point_at_the_column(text: str, column: int) -> None:
    with pytest.raises(TextError) as caught:
        parse_prefix(text)
    assert (caught.value.text, caught.value.column) == (text, column)


def test_set_bits_get_a_hint_and_zones_are_refused() -> None:
    with pytest.raises(TextError, match=r"did you mean 192\.0\.2\.0/24"):
        parse_prefix("192.0.2.1/24")
    with pytest.raises(TextError, match="zone"):
        parse_address("fe80::1%eth0")


def test_a_bare_address_is_a_host_route() -> None:
    assert str(parse_prefix("2001:db8::1")) == "2001:db8::1/128"
    assert address_text(parse_address("2001:DB8::0:1")) == "2001:db8::1"


def _read_all(octets: bytes, afi: Afi, *, with_path_id: bool) -> list[Prefix] | str:
    """Return the prefixes one by one, or what is wrong with them."""
    reader, found = Reader(octets), []
    try:
        while len(reader):
            found.append(decode_prefix(reader, afi, with_path_id=with_path_id))
    except (DecodeError, ValueError) as error:
        return type(error).__name__
    return found


@given(data=st.data(), afi=st.sampled_from(Afi), with_path_id=st.booleans(), most=st.integers(1, 20))
def test_a_list_of_prefixes_is_what_they_are_one_by_one(
    data: st.DataObject, afi: Afi, most: int, *, with_path_id: bool
) -> None:
    drawn = data.draw(st.lists(prefixes(afi), max_size=8))
    head = b"\0\0\0\7" * with_path_id
    octets = b"".join(head + encode_prefix(prefix) for prefix in drawn)
    if data.draw(st.booleans()):
        octets = octets[: data.draw(st.integers(0, len(octets)))] + data.draw(st.binary(max_size=4))
    expected = _read_all(octets, afi, with_path_id=with_path_id)
    if isinstance(expected, str):
        with pytest.raises((DecodeError, ValueError)) as caught:
            PrefixList(octets, afi, with_path_id=with_path_id)
        assert type(caught.value).__name__ == expected
        return
    listed = PrefixList(octets, afi, with_path_id=with_path_id)
    assert (list(listed), len(listed)) == (expected, len(expected))
    assert listed == PrefixList(octets, afi, with_path_id=with_path_id)
    assert tuple(expected) == listed
    assert hash(listed) == hash(tuple(expected))
    assert listed[:2] == tuple(expected[:2])
    parts = list(listed.parts(most))
    assert [prefix for part in parts for prefix in part] == expected
    assert all(len(part.octets) < most + 21 for part in parts)
