from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.io.queue import BoundedQueue, QueueStatistics


def assert_nothing_lost(stats: QueueStatistics) -> None:
    assert stats.items_in == stats.items_out + stats.items_dropped + stats.items_waiting
    assert stats.rows_in == stats.rows_out + stats.rows_dropped + stats.rows_waiting


def test_items_come_out_in_order() -> None:
    queue: BoundedQueue[str] = BoundedQueue("q", 3)
    assert [queue.put(text) for text in ("a", "bb", "ccc")] == [True] * 3
    assert [queue.get(0) for _ in range(4)] == ["a", "bb", "ccc", None]
    assert queue.statistics().rows_out == 6


def test_drop_newest_keeps_the_old() -> None:
    queue: BoundedQueue[str] = BoundedQueue("q", 2)
    assert [queue.put(text) for text in ("a", "b", "ccc")] == [True, True, False]
    stats = queue.statistics()
    assert (stats.items_dropped, stats.rows_dropped, stats.items_waiting) == (1, 3, 2)
    assert queue.get(0) == "a"
    assert_nothing_lost(stats)


def test_closing_wakes_who_waits_and_leaves_what_waits() -> None:
    queue: BoundedQueue[str] = BoundedQueue("q", 1)
    got: list[str | None] = []
    reader = threading.Thread(target=lambda: got.append(queue.get()))
    reader.start()
    queue.close()
    reader.join(5)
    assert got == [None]
    other: BoundedQueue[str] = BoundedQueue("q", 2)
    other.put("a")
    other.close()
    assert other.closed
    assert not other.put("b")
    assert [other.get(), other.get()] == ["a", None]
    assert_nothing_lost(other.statistics())


def test_a_reader_that_waits_gets_what_comes() -> None:
    queue: BoundedQueue[str] = BoundedQueue("q", 1)
    got: list[str | None] = []
    reader = threading.Thread(target=lambda: got.append(queue.get(10)))
    reader.start()
    queue.put("a")
    reader.join(5)
    assert got == ["a"]


def test_an_item_heavier_than_the_queue_passes_alone() -> None:
    queue: BoundedQueue[str] = BoundedQueue("q", 2, weigh=len)
    assert queue.put("heavy")
    assert queue.get(0) == "heavy"
    assert queue.statistics().weight == 0


def test_a_queue_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="holds nothing"):
        BoundedQueue("q", 0)


@given(
    st.lists(st.one_of(st.text(min_size=0, max_size=5), st.none()), max_size=40),
    st.integers(1, 8),
)
def test_the_counters_add_up_and_the_size_holds(steps: list[str | None], size: int) -> None:
    queue: BoundedQueue[str] = BoundedQueue("q", size, weigh=len)
    for step in steps:
        if step is None:
            queue.get(0)
        else:
            queue.put(step)
        stats = queue.statistics()
        assert_nothing_lost(stats)
        assert stats.weight <= size or stats.items_waiting <= 1 + steps.count("")


def test_the_oldest_item_can_be_looked_at() -> None:
    queue: BoundedQueue[str] = BoundedQueue("q", 4)
    assert queue.oldest() is None
    queue.put("a")
    queue.put("b")
    assert queue.oldest() == "a"
    assert queue.statistics().items_out == 0
    assert [queue.get(), queue.oldest()] == ["a", "b"]
