"""The one bounded queue between threads: it has a name and a size; when full it drops what comes, and counts it.

Size is in the units of `weigh`: one an item, or octets where items differ in memory. An item heavier than the whole
queue passes when the queue is empty, so that nothing waits for ever. At any moment
`in == out + dropped + waiting`, in items and in rows (`len(item)`, for a block its datagrams).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sized
from typing import Generic, TypeVar

import msgspec

__all__ = ["BoundedQueue", "QueueStatistics"]

T = TypeVar("T", bound=Sized)


class QueueStatistics(msgspec.Struct, frozen=True):
    """Counters since the start; `weight` and `size` in units of the queue's `weigh`."""

    name: str
    size: int
    weight: int
    items_in: int
    items_out: int
    items_dropped: int
    items_waiting: int
    rows_in: int
    rows_out: int
    rows_dropped: int
    rows_waiting: int


class BoundedQueue(Generic[T]):
    """A queue for any number of producers and consumers."""

    def __init__(self, name: str, size: int, *, weigh: Callable[[T], int] | None = None) -> None:
        if size < 1:
            raise ValueError(f"queue {name}: a size of {size} holds nothing")
        self.name = name
        self._size = size
        self._weigh = weigh or _one
        self._items: deque[tuple[T, int]] = deque()
        self._weight = 0
        self._closed = False
        self._woken = False
        self._lock = threading.Lock()
        self._filled = threading.Condition(self._lock)
        self._items_in = self._items_out = self._items_dropped = 0
        self._rows_in = self._rows_out = self._rows_dropped = self._rows_waiting = 0

    @property
    def closed(self) -> bool:
        """Whether `close` has been called; items may still wait."""
        return self._closed

    def put(self, item: T) -> bool:
        """Queue an item; False where it was dropped: it does not fit, or the queue is closed."""
        weight = self._weigh(item)
        with self._lock:
            self._items_in += 1
            self._rows_in += len(item)
            if self._closed or (self._items and self._weight + weight > self._size):
                self._items_dropped += 1
                self._rows_dropped += len(item)
                return False
            self._items.append((item, weight))
            self._weight += weight
            self._rows_waiting += len(item)
            self._filled.notify()
            return True

    def get(self, timeout: float | None = None) -> T | None:
        """Take the oldest item; None after `timeout` seconds without one, after `wake`, or when closed and empty."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._lock:
            while not self._items:
                left = None if deadline is None else deadline - time.monotonic()
                if self._closed or self._woken or (left is not None and left <= 0):
                    self._woken = False
                    return None
                self._filled.wait(left)
            item, weight = self._items.popleft()
            self._weight -= weight
            self._rows_waiting -= len(item)
            self._items_out += 1
            self._rows_out += len(item)
            return item

    def oldest(self) -> T | None:
        """Return what `get` would take next and leave it there; None where nothing waits."""
        with self._lock:
            return self._items[0][0] if self._items else None

    def wake(self) -> None:
        """Make one `get` that finds nothing return at once, now or later."""
        with self._lock:
            self._woken = True
            self._filled.notify()

    def close(self) -> None:
        """Drop further items and wake who waits for one; what waits can still be taken."""
        with self._lock:
            self._closed = True
            self._filled.notify_all()

    def statistics(self) -> QueueStatistics:
        """Return all counters as of one moment."""
        with self._lock:
            return QueueStatistics(
                name=self.name,
                size=self._size,
                weight=self._weight,
                items_in=self._items_in,
                items_out=self._items_out,
                items_dropped=self._items_dropped,
                items_waiting=len(self._items),
                rows_in=self._rows_in,
                rows_out=self._rows_out,
                rows_dropped=self._rows_dropped,
                rows_waiting=self._rows_waiting,
            )


def _one(_item: Sized) -> int:
    return 1
