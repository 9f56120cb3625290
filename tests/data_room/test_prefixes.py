from __future__ import annotations

import ipaddress

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tidegate.data.address import Words, parse_address, parse_prefix
from tidegate.data.prefixes import PrefixTable

Row = tuple[Words, int, int]

ZERO = "0.0.0.0"  # noqa: S104 - an address, nothing is bound


def rows_of(*cidrs: str) -> list[Row]:
    return [(*parse_prefix(cidr), index) for index, cidr in enumerate(cidrs)]


def lookup(table: PrefixTable, addresses: list[Words]) -> list[int]:
    high = np.array([high for high, _ in addresses], np.uint64)
    low = np.array([low for _, low in addresses], np.uint64)
    return [int(label) for label in table.lookup(high, low)]


def labels_of(table: PrefixTable, *addresses: str) -> list[int]:
    return lookup(table, [parse_address(address) for address in addresses])


def network_of(words: Words, length: int) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """The naive twin's view: a mapped prefix is an IPv4 one."""
    high, low = words
    if high == 0 and low >> 32 == 0xFFFF and length >= 96:
        return ipaddress.IPv4Network((low & 0xFFFFFFFF, length - 96))
    return ipaddress.IPv6Network((high << 64 | low, length))


def address_of(words: Words) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    high, low = words
    return (
        ipaddress.IPv4Address(low & 0xFFFFFFFF)
        if high == 0 and low >> 32 == 0xFFFF
        else ipaddress.IPv6Address(high << 64 | low)
    )


def naive(rows: list[Row], address: Words) -> int:
    around = [
        (network_of(words, length).prefixlen, label)
        for words, length, label in rows
        if address_of(address) in network_of(words, length)
    ]
    return max(around)[1] if around else -1


# Few different addresses, so that prefixes nest, touch and meet at the ends of the address space.
octet = st.sampled_from([0, 1, 2, 127, 128, 254, 255])
ipv4 = st.lists(octet, min_size=4, max_size=4).map(lambda parts: 0xFFFF << 32 | int.from_bytes(bytes(parts), "big"))
edges = st.sampled_from([0, 1, 0xFFFF, 1 << 63, (1 << 64) - 1, (1 << 64) - 2, 0x20010DB8 << 32])
near_mapped = st.sampled_from([(0, 0xFFFE_FFFF_FFFF), (0, 0x1_0000_0000_0000), (0, 0xFFFF_0000_0000)])
addresses = st.one_of(ipv4.map(lambda low: (0, low)), st.tuples(edges, edges), near_mapped)


@st.composite
def prefixes(draw: st.DrawFn) -> tuple[Words, int]:
    high, low = draw(addresses)
    length = draw(st.integers(0, 128) | st.integers(96, 128) | st.sampled_from([0, 80, 95, 96, 128]))
    value = (high << 64 | low) >> (128 - length) << (128 - length)
    return (value >> 64, value & (1 << 64) - 1), length


@settings(deadline=None)  # the first call compiles the kernels
@given(st.lists(prefixes(), max_size=40, unique=True), st.lists(addresses, max_size=20))
@example([((0, 0), 0)], [(0, 0xFFFF << 32), (0, 0)])
def test_a_lookup_finds_the_longest_prefix(found: list[tuple[Words, int]], asked: list[Words]) -> None:
    rows = [(words, length, index) for index, (words, length) in enumerate(found)]
    ends = [words for words, _ in found]

    table = PrefixTable.build(rows)

    assert lookup(table, asked + ends) == [naive(rows, address) for address in asked + ends]


@settings(deadline=None)  # the first call compiles the kernels
@given(st.lists(prefixes(), min_size=1, max_size=20, unique=True), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(found: list[tuple[Words, int]], random: object) -> None:
    rows = [(words, length, index) for index, (words, length) in enumerate(found)]
    mixed = list(rows)
    random.shuffle(mixed)  # type: ignore[attr-defined]  # random.Random, made by Hypothesis

    tables = [PrefixTable.build(order) for order in (rows, mixed)]

    assert all(np.array_equal(tables[0].label, table.label) for table in tables)
    assert all(np.array_equal(tables[0].low, table.low) for table in tables)


def test_an_empty_table_knows_nothing() -> None:
    assert labels_of(PrefixTable.build([]), ZERO, "255.255.255.255", "::", "FFFF::") == [-1, -1, -1, -1]


def test_no_addresses_no_labels() -> None:
    assert lookup(PrefixTable.build(rows_of("0.0.0.0/0")), []) == []


def test_the_families_are_apart() -> None:
    table = PrefixTable.build(rows_of("0.0.0.0/0", "::/0"))

    assert labels_of(table, ZERO, "255.255.255.255") == [0, 0]
    assert labels_of(table, "::", "::fffe:ffff:ffff", "::1:0:0:0", "ffff:ffff::") == [1, 1, 1, 1]


def test_ipv6_alone_does_not_hold_ipv4() -> None:
    assert labels_of(PrefixTable.build(rows_of("::/0")), "192.0.2.1") == [-1]
    assert labels_of(PrefixTable.build(rows_of("0.0.0.0/0")), "2001:db8::1") == [-1]


def test_single_addresses_and_nesting() -> None:
    table = PrefixTable.build(rows_of("10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "0.0.0.0/0"))

    assert labels_of(table, "10.1.2.3", "10.1.2.4", "10.2.0.0", "11.0.0.0", "9.255.255.255") == [2, 1, 0, 3, 3]


def test_one_prefix_with_two_labels_is_refused_by_name() -> None:
    rows = [(*parse_prefix("10.0.0.0/8"), 0), (*parse_prefix("10.0.0.0/8"), 1)]

    with pytest.raises(ValueError, match=r"10\.0\.0\.0/8 has two labels, inside and outside"):
        PrefixTable.build(rows, ["inside", "outside"])


def test_the_same_row_twice_is_no_error() -> None:
    rows = [(*parse_prefix("10.0.0.0/8"), 0)] * 3 + [(*parse_prefix("10.0.0.0/9"), 1)] * 2

    assert labels_of(PrefixTable.build(rows), "10.127.0.0", "10.128.0.0", "11.0.0.0") == [1, 0, -1]


def test_bits_behind_the_length_do_not_count() -> None:
    table = PrefixTable.build([(parse_address("10.1.2.3"), 96 + 8, 0)])

    assert labels_of(table, "10.0.0.0", "10.255.255.255", "11.0.0.0") == [0, 0, -1]


@pytest.mark.parametrize("length", [-1, 129])
def test_a_length_beyond_128_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="0 to 128"):
        PrefixTable.build([((0, 0), length, 0)])


def test_all_lengths_nested_around_one_address() -> None:
    cidrs = [f"0.0.0.0/{length}" for length in range(33)] + [f"2001::/{length}" for length in range(16, 129)]

    table = PrefixTable.build(rows_of(*cidrs))

    assert labels_of(table, ZERO, "0.0.0.1", "128.0.0.0", "2001::", "2001::1") == [32, 31, 0, 145, 144]


def test_read_only_and_strided_addresses_are_taken() -> None:
    words = np.array([parse_address("10.0.0.1"), parse_address("11.0.0.1")], np.uint64)
    words.flags.writeable = False

    found = PrefixTable.build(rows_of("10.0.0.0/8")).lookup(words[:, 0], words[:, 1])

    assert found.tolist() == [0, -1]
