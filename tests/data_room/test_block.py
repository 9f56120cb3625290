"""Datagrams held in memory as a block, and the registries of names."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tidegate.data.block import block_of
from tidegate.data.names import DNS_TYPES, DROP_REASONS, IB_OPCODES, IB_TRANSPORTS, LAYERS, Layer


@given(st.lists(st.tuples(st.binary(max_size=20), st.integers(0, 1 << 62)), max_size=10))
def test_a_block_holds_the_datagrams_in_order(drawn: list[tuple[bytes, int]]) -> None:
    block = block_of([payload for payload, _ in drawn], [time for _, time in drawn])

    places = zip(block.offset.tolist(), block.length.tolist(), strict=True)
    assert [block.data[start : start + length].tobytes() for start, length in places] == [one for one, _ in drawn]
    assert block.time_ns.tolist() == [time for _, time in drawn]
    assert len(block) == len(drawn) == len(block.source_high) == len(block.source_low) == len(block.source_port)


def test_names_are_told_apart_from_each_other_and_from_numbers() -> None:
    for names in (DNS_TYPES, DROP_REASONS, IB_OPCODES, IB_TRANSPORTS, LAYERS):
        assert len(set(names.values())) == len(names)
        assert not any(name.isdigit() for name in names.values())


def test_layers_fit_in_five_bits_and_none_is_the_end_of_a_stack() -> None:
    assert all(0 < layer < 32 for layer in Layer)
    assert LAYERS[Layer.IP6] == "ip6"
