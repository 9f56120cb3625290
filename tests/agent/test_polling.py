from __future__ import annotations

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tidegate.agent.polling import HOST, Polled, Polling
from tidegate.wire.netlink.link import Link

SECOND = 1_000_000_000
T0 = 77 * SECOND


def eth(index: int, **changes: object) -> Link:
    return Link(index, f"eth{index}", **changes)  # type: ignore[arg-type]


def source(index: int) -> Polled:
    return Polled(index, f"eth{index}")


def polling(links: list[Link], interval_s: int = 30, seed: int = 1) -> Polling:
    made = Polling(interval_s * SECOND, seed=seed)
    made.update(links, T0)
    return made


def run(made: Polling, start_ns: int, end_ns: int) -> list[tuple[int, Polled]]:
    """Return when what was due, asking at every deadline."""
    found: list[tuple[int, Polled]] = []
    while (due := made.deadline()) is not None and due < end_ns:
        assert due >= start_ns
        sources = made.step(due)
        assert sources
        found += [(due, one) for one in sources]
    return found


def times(found: list[tuple[int, Polled]], of: Polled) -> list[int]:
    return [at for at, one in found if one == of]


def test_each_source_is_due_once_an_interval_at_even_distances() -> None:
    found = run(polling([eth(1), eth(2)]), T0, T0 + 300 * SECOND)
    for one in (HOST, source(1), source(2)):
        at = times(found, one)
        assert len(at) == 10
        assert T0 <= at[0] < T0 + 30 * SECOND
        assert {later - earlier for earlier, later in pairwise(at)} == {30 * SECOND}


def test_sources_are_spread_over_the_interval() -> None:
    made = polling([eth(index) for index in range(1, 3001)])
    per_second = Counter((at - T0) // SECOND for at, _ in run(made, T0, T0 + 30 * SECOND))
    assert len(per_second) == 30
    assert max(per_second.values()) < 150  # of 100


def test_the_seed_decides() -> None:
    links = [eth(index) for index in range(1, 20)]
    first, again, other = (run(polling(links, seed=seed), T0, T0 + 30 * SECOND) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_nothing_is_due_before_its_time() -> None:
    made = polling([eth(1)])
    due = made.deadline()
    assert due is not None
    assert made.step(due - 1) == ()
    assert len(made.step(due)) == 1


def test_what_was_missed_is_not_made_up_for() -> None:
    made = polling([])
    first = made.deadline()
    assert first is not None
    assert made.step(first + 95 * SECOND) == (HOST,)
    assert made.deadline() == first + 120 * SECOND


def test_members_are_polled_with_their_bond_behind_it() -> None:
    bond = Link(9, "bond0", kind="bond")
    links = [eth(1, master=9, master_kind="bond"), eth(2, master=9, master_kind="bond"), bond, eth(3)]
    for at, _ in (found := run(polling(links), T0, T0 + 90 * SECOND)):
        together = [one for when, one in found if when == at]
        if source(1) in together:
            assert together == [Polled(9, "bond0"), source(1), source(2)]
    assert len(times(found, source(1))) == 3


def test_a_member_whose_bond_is_not_polled_and_a_port_of_a_bridge_stand_alone() -> None:
    links = [
        eth(1, master=9, master_kind="bond"),
        eth(2, master=8, master_kind="bridge"),
        Link(8, "br0", kind="bridge"),
    ]
    found = run(polling(links), T0, T0 + 30 * SECOND)
    assert len({at for at, _ in found}) == 4


def test_interfaces_come_and_go() -> None:
    made = polling([eth(1), eth(2)])
    before = run(made, T0, T0 + 30 * SECOND)
    made.update([eth(1), eth(3)], T0 + 30 * SECOND)
    after = run(made, T0 + 30 * SECOND, T0 + 60 * SECOND)
    assert {one for _, one in after} == {HOST, source(1), source(3)}
    assert times(after, source(1)) == [at + 30 * SECOND for at in times(before, source(1))]


def test_an_index_under_another_name_is_another_source() -> None:
    made = polling([eth(1)])
    run(made, T0, T0 + 30 * SECOND)
    made.update([Link(1, "lan0")], T0 + 45 * SECOND)
    found = run(made, T0 + 30 * SECOND, T0 + 75 * SECOND)
    assert {one for _, one in found} == {HOST, Polled(1, "lan0")}
    assert all(at >= T0 + 45 * SECOND for at in times(found, Polled(1, "lan0")))


@given(st.integers(0, 2**32), st.integers(1, 29))
def test_no_source_waits_longer_than_an_interval_when_it_joins_or_leaves_a_bond(seed: int, at_s: int) -> None:
    bond = Link(9, "bond0", kind="bond")
    apart, joined = [eth(1), eth(2), bond], [eth(1, master=9, master_kind="bond"), eth(2), bond]
    made = polling(apart, seed=seed)
    found = run(made, T0, T0 + 30 * SECOND)
    for turn, links in enumerate((joined, apart, joined), start=1):
        now = T0 + (30 * turn + at_s) * SECOND
        found += run(made, T0, now)
        made.update(links, now)
    found += run(made, T0, T0 + 200 * SECOND)
    for one in (source(1), source(2), Polled(9, "bond0")):
        at = times(found, one)
        assert max(later - earlier for earlier, later in pairwise(at)) <= 30 * SECOND


@given(st.integers(0, 2**32), st.integers(1, 300), st.integers(0, 100))
def test_a_changed_interval(seed: int, interval_s: int, at_s: int) -> None:
    made = polling([eth(1), eth(2)], seed=seed)
    now = T0 + at_s * SECOND
    run(made, T0, now)
    made.set_interval(interval_s * SECOND, now)
    found = run(made, now, now + 1000 * SECOND)
    for one in (HOST, source(1), source(2)):
        at = times(found, one)
        assert at[0] <= now + max(30, interval_s) * SECOND
        assert {later - earlier for earlier, later in pairwise(at)} == {interval_s * SECOND}


def test_off_and_on() -> None:
    made = polling([eth(1)], interval_s=0)
    assert made.deadline() is None
    assert made.step(T0 + 99 * SECOND) == ()
    made.set_interval(10 * SECOND, T0 + 99 * SECOND)
    found = run(made, T0 + 99 * SECOND, T0 + 109 * SECOND)
    assert {one for _, one in found} == {HOST, source(1)}
    made.set_interval(0, T0 + 109 * SECOND)
    assert made.deadline() is None
    made.set_interval(0, T0 + 110 * SECOND)
    assert made.step(T0 + 999 * SECOND) == ()
