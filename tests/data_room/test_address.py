"""Addresses as two words, and back."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.data.address import (
    MAPPED,
    format_address,
    is_mapped,
    parse_address,
    parse_prefix,
    prefix_mask,
    words_of_bytes,
)

ipv4 = st.integers(0, (1 << 32) - 1).map(ipaddress.IPv4Address)
ipv6 = st.integers(0, (1 << 128) - 1).filter(lambda value: value >> 32 != 0xFFFF).map(ipaddress.IPv6Address)


@given(ipv4 | ipv6)
def test_text_to_words_and_back(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    words = parse_address(str(address))

    assert format_address(*words) == str(address).upper()
    assert words == words_of_bytes(address.packed)
    assert is_mapped(*words) == (address.version == 4)
    assert all(0 <= word < 1 << 64 for word in words)


@given(ipv4)
def test_a_mapped_address_is_ipv4(address: ipaddress.IPv4Address) -> None:
    assert parse_address(f"::ffff:{address}") == parse_address(str(address)) == (0, MAPPED | int(address))


@pytest.mark.parametrize(
    "text", ["", "1.2.3", "1.2.3.4.5", "01.2.3.4", "::g", "fe80::1%eth0", "10.0.0.0/8", "\u0661.2.3.4"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        parse_address(text)


@pytest.mark.parametrize(
    ("text", "words", "length"),
    [
        ("0.0.0.0/0", (0, MAPPED), 96),
        ("10.0.0.0/8", (0, MAPPED | 10 << 24), 104),
        (" 10.1.2.3 ", (0, MAPPED | 0x0A010203), 128),
        ("::/0", (0, 0), 0),
        ("2001:db8::/32", (0x20010DB8 << 32, 0), 32),
        ("::1", (0, 1), 128),
    ],
)
def test_prefixes(text: str, words: tuple[int, int], length: int) -> None:
    assert parse_prefix(text) == (words, length)


@pytest.mark.parametrize("text", ["10.0.0.1/8", "10.0.0.0/33", "2001:db8::1/32", "x", "10.0.0.0/-1", ""])
def test_what_is_no_prefix(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        parse_prefix(text)


@pytest.mark.parametrize("length", range(129))
def test_the_mask_of_a_prefix(length: int) -> None:
    netmask = ipaddress.IPv6Network(("::", length)).netmask
    assert prefix_mask(length) == words_of_bytes(netmask.packed)


@pytest.mark.parametrize("size", [0, 3, 5, 15, 17])
def test_addresses_have_4_or_16_octets(size: int) -> None:
    with pytest.raises(ValueError, match=f"not {size}"):
        words_of_bytes(bytes(size))
