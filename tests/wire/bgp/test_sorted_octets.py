from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from tidegate.wire.bgp.sorted_octets import SortedOctets


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=3))))
def test_it_is_a_set_in_order(steps: list[tuple[bool, bytes]]) -> None:
    found, twin = SortedOctets(), set[bytes]()
    for come, octets in steps:
        if come and octets not in twin:
            found.add(octets)
            twin.add(octets)
        elif not come and octets in twin:
            found.remove(octets)
            twin.remove(octets)
        assert list(found) == sorted(twin)


@given(st.sets(st.binary(max_size=2), max_size=40), st.binary(max_size=2), st.binary(max_size=2))
def test_a_range_has_both_its_ends(octets: set[bytes], low: bytes, high: bytes) -> None:
    found = SortedOctets()
    for one in octets:
        found.add(one)
    assert list(found.between(low, high)) == sorted(one for one in octets if low <= one <= high)


def test_a_range_goes_over_pieces() -> None:
    found = SortedOctets()
    strings = [number.to_bytes(2, "big") for number in range(5000)]
    for octets in strings:
        found.add(octets)
    assert list(found.between(strings[100], strings[4000])) == strings[100:4001]
    assert list(found.between(b"", b"\xff")) == strings
    for octets in strings[1000:3000]:
        found.remove(octets)
    assert list(found.between(strings[2000], strings[3005])) == strings[3000:3006]


def test_many_come_and_go() -> None:
    drawn = random.Random(7)  # noqa: S311 - a test
    found = SortedOctets()
    strings = [number.to_bytes(4, "big") for number in range(10_000)]
    for octets in drawn.sample(strings, len(strings)):
        found.add(octets)
    assert list(found) == strings
    assert max(map(len, found._pieces)) <= 1024
    gone = set(drawn.sample(strings, 9_990))
    for octets in drawn.sample(sorted(gone), len(gone)):
        found.remove(octets)
    assert list(found) == [octets for octets in strings if octets not in gone]
    assert len(found._pieces) <= 10
    for octets in list(found):
        found.remove(octets)
    assert list(found) == []
    found.add(b"\0")
    assert list(found) == [b"\0"]
    found.clear()
    assert list(found) == []
