"""Routing tables against a plain dict, for drawn histories; addresses are few and bits long, so that prefixes nest."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from route_changes import Change, Key, is_mapped, longest, naive_longest, take, tired_after
from tidegate.data import route_kernels
from tidegate.data.route_table import RouteTable
from tidegate.kernel import compile_kernels


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    list(compile_kernels(route_kernels.KERNELS))


def prefixes(width: int) -> st.SearchStrategy[tuple[int, int]]:
    bits = 8 * width
    few = st.integers(0, 31).map(lambda value: value << bits - 5)  # the first five bits
    ends = st.integers(0, 31).map(lambda value: (1 << bits) - 1 - value)
    starts = st.one_of(few, ends, st.integers(0, (1 << bits) - 1))
    lengths = st.one_of(st.integers(0, 6), st.integers(bits - 6, bits), st.integers(0, bits), st.just(min(64, bits)))

    def cut(address: int, length: int) -> tuple[int, int]:
        return address >> bits - length << bits - length, length

    return st.builds(cut, starts, lengths)


def histories(width: int) -> st.SearchStrategy[list[list[Change]]]:
    rank = st.one_of(st.none(), st.integers(0, 3))
    change = st.tuples(prefixes(width), st.integers(0, 2), rank).map(lambda drawn: (*drawn[0], drawn[1], drawn[2]))
    return st.lists(st.lists(change, min_size=1, max_size=12), max_size=12)


@pytest.mark.parametrize("with_path_id", [False, True])
@pytest.mark.parametrize("steps", [1, 7, 20_000])
@pytest.mark.parametrize("width", [4, 16])
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_table_is_what_a_dict_is(width: int, steps: int, data: st.DataObject, *, with_path_id: bool) -> None:
    table, known = RouteTable(width), dict[Key, int]()
    for changes in data.draw(histories(width)):
        with tired_after(steps):
            take(table, changes, with_path_id=with_path_id)
            table.finish()
        for address, length, path_id, rank in changes:
            key = (address, length, path_id if with_path_id else 0)
            if rank is None:
                known.pop(key, None)
            else:
                known[key] = rank
        held = [((one.prefix, one.length, one.path_id), one.attributes[0]) for one in table.held()]
        assert dict(held) == known
        assert len(held) == len(table) == len(known)
        assert [key[:2] for key, _ in held] == sorted(key[:2] for key in known)
        assert held == sorted(held, key=lambda one: (one[0][:2], one[1], one[0][2])), "of one prefix the best first"
        assert table.prefixes == len({key[:2] for key in known})
        assert len(table.sets) == len(set(known.values())), "attributes that nobody has are forgotten"
        asked = [address for address, _, _, _ in changes] + data.draw(
            st.lists(st.integers(0, (1 << 8 * width) - 1), max_size=8)
        )
        asked = [address for address in asked if not is_mapped(address, width)]
        assert longest(table, asked) == [naive_longest(known, address, width) for address in asked]
        for address, length, _, _ in changes:
            routes = [one for one in table.held() if (one.prefix, one.length) == (address, length)]
            assert list(table.routes_to(address, length)) == routes
            outer = [key for key in known if key[1] < length and routes]
            assert table.around(address, length) == naive_longest(outer, address, width)


@pytest.mark.parametrize("width", [4, 16])
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_between_pieces_of_work_each_address_matches_as_before_or_as_after(width: int, data: st.DataObject) -> None:
    table, known = RouteTable(width), dict[Key, int]()
    history = data.draw(histories(width))
    for changes in history:
        for change in changes:
            take(table, [change])
            before = dict(known)
            if change[3] is None:
                known.pop((*change[:2], 0), None)
            else:
                known[*change[:2], 0] = change[3]
            asked = [one[0] for one in changes if not is_mapped(one[0], width)]
            busy = True
            while busy:
                with tired_after(1):
                    busy = table.work()
                for address, found in zip(asked, longest(table, asked), strict=True):
                    assert found in {naive_longest(before, address, width), naive_longest(known, address, width)}


@pytest.mark.parametrize("with_path_id", [False, True])
@pytest.mark.parametrize("width", [4, 16])
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_what_was_not_said_again_is_swept(width: int, data: st.DataObject, *, with_path_id: bool) -> None:
    table = RouteTable(width)
    first, again, late = (data.draw(histories(width)) for _ in range(3))
    for changes in first:
        take(table, changes, with_path_id=with_path_id)
    table.mark_stale()
    for changes in again:
        take(table, changes, with_path_id=with_path_id)
    table.sweep()
    for changes in late:
        take(table, changes, with_path_id=with_path_id)
    table.finish()
    kept = RouteTable(width)
    for changes in (*again, *late):
        take(kept, changes, with_path_id=with_path_id)
    kept.finish()
    assert list(map(str, table.held())) == list(map(str, _renumbered(table, kept)))
    assert table.stale == 0


def _renumbered(table: RouteTable, kept: RouteTable) -> Iterator[object]:
    """Yield the routes of `kept` with the numbers that `table` gives to their attributes."""
    numbers = {one.attributes: one.number for one in table.held()}
    for one in kept.held():
        yield type(one)(one.prefix, one.length, one.path_id, one.attributes, numbers[one.attributes], stale=False)


def test_a_cleared_table_is_empty_and_can_be_filled_again() -> None:
    table = RouteTable(4)
    take(table, [(10 << 24, 8, 0, 1)])
    table.finish()
    take(table, [(11 << 24, 8, 0, 1)])
    table.clear()
    table.finish()
    assert (len(table), list(table.held()), table.busy) == (0, [], False)
    take(table, [(12 << 24, 8, 0, 1)])
    table.finish()
    assert [one.prefix for one in table.held()] == [12 << 24]


def test_a_withdrawal_of_what_is_not_there_is_counted() -> None:
    table = RouteTable(4)
    take(table, [(10 << 24, 8, 0, None), (10 << 24, 9, 0, 1), (10 << 24, 8, 0, None)])
    table.finish()
    assert (table.unknown_withdrawals, len(table)) == (2, 1)


def test_the_route_with_the_next_hop_asked_for_is_chosen_else_the_best() -> None:
    table = RouteTable(4)
    take(table, [(10 << 24, 8, 1, 2), (10 << 24, 8, 2, 1), (10 << 24, 8, 3, 3)], with_path_id=True)
    table.finish()
    rows = np.zeros(3, np.int64)
    hops = np.array([[0, 0, 0], [2, 3, 9]], np.uint64)
    assert table.sets.rows["rank"][table.chosen(rows, hops)].tolist() == [2, 3, 1]
    assert table.sets.rows["rank"][table.chosen(rows, None)].tolist() == [1, 1, 1]


def test_many_routes_come_and_go_and_leave_no_memory() -> None:
    table = RouteTable(16)
    for _ in range(5):
        for start in range(0, 40_000, 1000):
            take(table, [(one << 80, 48, 0, one % 200) for one in range(start, start + 1000)])
            table.finish()
        full = table.memory
        take(table, [(one << 80, 48, 0, None) for one in range(40_000)])
        table.finish()
        assert (len(table), table.prefixes, len(table.sets)) == (0, 0, 0)
    assert table.memory == full


def test_a_flapping_default_route_is_done_in_bounded_pieces() -> None:
    table = RouteTable(4)
    take(table, [(one << 8, 24, 0, 1) for one in range(1 << 16, (1 << 16) + 30_000)])
    table.finish()
    take(table, [(0, 0, 0, 2), (0, 0, 0, None)] * 3)
    pieces = 0
    with tired_after(1000):
        while table.work():
            pieces += 1
    assert pieces >= 6 * 30
    assert (len(table), table.prefixes) == (30_000, 30_000)
    assert longest(table, [1 << 24]) == [(1 << 24, 24)]
