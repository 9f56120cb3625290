from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from tidegate.apps.record_log import RecordLog

Numbered = tuple[str, int]


def made(size: int) -> RecordLog[Numbered]:
    return RecordLog(size, lambda record, number: (record[0], number))


@given(st.integers(1, 8), st.lists(st.lists(st.sampled_from("abc"), max_size=5), max_size=6), st.integers(-1, 20))
def test_the_newest_are_kept_under_ids_that_grow_by_one(size: int, batches: list[list[str]], after: int) -> None:
    log = made(size)
    every: list[Numbered] = []
    for batch in batches:
        every += log.add((name, 0) for name in batch)
    assert [number for _, number in every] == list(range(1, len(every) + 1))
    assert log.total == len(every)
    kept = [one for one in every[-size:] if one[1] > after][::-1]
    assert log.since(after, 100, lambda _: True) == kept
    assert log.since(after, 2, lambda one: one[0] == "a") == [one for one in kept if one[0] == "a"][:2]


def test_memory_is_bounded() -> None:
    log = made(10)
    for _ in range(100):
        log.add([("a", 0)] * 100)
    assert len(log.since(-1, 1_000_000, lambda _: True)) == 10
    assert log.total == 10_000


def test_many_threads_get_each_id_once() -> None:
    log, seen = made(100_000), list[Numbered]()

    def add() -> None:
        for _ in range(200):
            seen.extend(log.add([("a", 0), ("b", 0)]))
            log.since(0, 5, lambda _: True)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(number for _, number in seen) == list(range(1, 1601))
