"""Datagrams held in memory as a block, and the registries of names."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tidegate.data.block import block_of, octets_of_block, part_of_block
from tidegate.data.names import DNS_TYPES, DROP_REASONS, IB_OPCODES, IB_TRANSPORTS, LAYERS, Layer


@given(st.lists(st.tuples(st.binary(max_size=20), st.integers(0, 1 << 62)), max_size=10))
def test_a_block_holds_the_datagrams_in_order(drawn: list[tuple[bytes, int]]) -> None:
    block = block_of([payload for payload, _ in drawn], [time for _, time in drawn])

    places = zip(block.offset.tolist(), block.length.tolist(), strict=True)
    assert [block.data[start : start + length].tobytes() for start, length in places] == [one for one, _ in drawn]
    assert block.time_ns.tolist() == [time for _, time in drawn]
    assert len(block) == len(drawn) == len(block.source_high) == len(block.source_low) == len(block.source_port)


def test_the_weight_of_a_block_covers_its_payloads() -> None:
    small, large = block_of([b"x"], [0]), block_of([b"x" * 5000], [0])
    assert octets_of_block(large) - octets_of_block(small) == 4999


def test_a_part_shares_the_memory_of_its_block() -> None:
    block = block_of([b"a", b"b", b"c"], [1, 2, 3])
    part = part_of_block(block, 1, 2)
    assert part.time_ns.tolist() == [2]
    assert part.data is block.data


def test_names_are_told_apart_from_each_other_and_from_numbers() -> None:
    for names in (DNS_TYPES, DROP_REASONS, IB_OPCODES, IB_TRANSPORTS, LAYERS):
        assert len(set(names.values())) == len(names)
        assert not any(name.isdigit() for name in names.values())


def test_layers_fit_in_five_bits_and_none_is_the_end_of_a_stack() -> None:
    assert all(0 < layer < 32 for layer in Layer)
    assert LAYERS[Layer.IP6] == "ip6"
