from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.data.block import block_of
from tidegate.io.queue import BoundedQueue, QueueStatistics, WhenFull, octets_of_block


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


def test_drop_oldest_keeps_the_new() -> None:
    queue: BoundedQueue[str] = BoundedQueue("q", 2, when_full=WhenFull.DROP_OLDEST)
    assert all(queue.put(text) for text in ("a", "b", "c"))
    assert [queue.get(0), queue.get(0)] == ["b", "c"]
    assert queue.statistics().items_dropped == 1


def test_wait_blocks_until_there_is_room() -> None:
    queue: BoundedQueue[str] = BoundedQueue("q", 1, when_full=WhenFull.WAIT)
    queue.put("a")
    done = threading.Event()

    def produce() -> None:
        queue.put("b")
        done.set()

    producer = threading.Thread(target=produce)
    producer.start()
    assert not done.is_set()
    assert queue.get(5) == "a"
    assert done.wait(5)
    assert queue.get(5) == "b"
    producer.join()
    assert_nothing_lost(queue.statistics())


def test_closing_wakes_both_sides_and_leaves_what_waits() -> None:
    queue: BoundedQueue[str] = BoundedQueue("q", 1, when_full=WhenFull.WAIT)
    queue.put("a")
    refused: list[bool] = []
    producer = threading.Thread(target=lambda: refused.append(queue.put("b")))
    producer.start()
    queue.close()
    producer.join(5)
    assert refused == [False]
    assert queue.closed
    assert [queue.get(), queue.get()] == ["a", None]
    assert_nothing_lost(queue.statistics())


def test_a_reader_that_waits_gets_what_comes() -> None:
    queue: BoundedQueue[str] = BoundedQueue("q", 1)
    got: list[str | None] = []
    reader = threading.Thread(target=lambda: got.append(queue.get(10)))
    reader.start()
    queue.put("a")
    reader.join(5)
    assert got == ["a"]


def test_an_item_heavier_than_the_queue_passes_alone() -> None:
    for rule in WhenFull:
        queue: BoundedQueue[str] = BoundedQueue("q", 2, when_full=rule, weigh=len)
        assert queue.put("heavy")
        assert queue.get(0) == "heavy"
        assert queue.statistics().weight == 0


def test_a_queue_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="holds nothing"):
        BoundedQueue("q", 0)


def test_the_weight_of_a_block_covers_its_payloads() -> None:
    small, large = block_of([b"x"], [0]), block_of([b"x" * 5000], [0])
    assert octets_of_block(large) - octets_of_block(small) == 4999


@given(
    st.lists(st.one_of(st.text(min_size=0, max_size=5), st.none()), max_size=40),
    st.sampled_from([WhenFull.DROP_NEWEST, WhenFull.DROP_OLDEST]),
    st.integers(1, 8),
)
def test_the_counters_add_up_and_the_size_holds(steps: list[str | None], rule: WhenFull, size: int) -> None:
    queue: BoundedQueue[str] = BoundedQueue("q", size, when_full=rule, weigh=len)
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
