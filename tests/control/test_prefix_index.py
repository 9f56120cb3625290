from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bgp_cases import prefixes
from flow_tables import PREFIXES
from tidegate.control.prefix_index import PrefixIndex
from tidegate.wire.bgp.constants import Afi
from tidegate.wire.bgp.prefix import Prefix, mask, parse_prefix


def overlap(one: Prefix, other: Prefix) -> bool:
    length = min(one.length, other.length)
    return one.afi is other.afi and mask(one.address, length) == mask(other.address, length)


SOME = PREFIXES | st.sampled_from(Afi).flatmap(prefixes)


@given(st.lists(st.tuples(st.booleans(), SOME, st.integers(0, 3))), SOME)
def test_it_finds_what_has_an_address_in_common(steps: list[tuple[bool, Prefix, int]], wanted: Prefix) -> None:
    index: PrefixIndex[tuple[Prefix, int]] = PrefixIndex()
    twin: set[tuple[Prefix, int]] = set()
    for come, prefix, number in steps:
        name = (prefix, number)
        if come:
            index.add(prefix, name)
            twin.add(name)
        elif name in twin:
            index.remove(prefix, name)
            twin.remove(name)
    found = list(index.overlapping(wanted))
    assert len(found) == len(set(found))
    assert set(found) == {name for name in twin if overlap(name[0], wanted)}


def test_what_is_not_filed_cannot_be_removed() -> None:
    index: PrefixIndex[int] = PrefixIndex()
    index.add(parse_prefix("10.0.0.0/8"), 1)
    with pytest.raises(KeyError):
        index.remove(parse_prefix("10.0.0.0/8"), 2)
    index.remove(parse_prefix("10.0.0.0/8"), 1)
    assert not list(index.overlapping(parse_prefix("0.0.0.0/0")))
    assert not index._lengths
