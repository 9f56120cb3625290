"""The last events or flow records: numbered, bounded, and told to whoever watches."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

__all__ = ["RecordLog"]

T = TypeVar("T")


class RecordLog(Generic[T]):
    """Keeps the newest `size` records; may be used from any thread. Ids start at 1 and grow by one."""

    def __init__(self, size: int, number: Callable[[T, int], T]) -> None:
        self.total = 0  # records ever added
        self._number = number
        self._records: deque[tuple[int, T]] = deque(maxlen=size)
        self._lock = threading.Lock()

    def add(self, records: Iterable[T]) -> list[T]:
        """Keep records under new ids; return them with their ids."""
        numbered = []
        with self._lock:
            for record in records:
                self.total += 1
                known = self._number(record, self.total)
                self._records.append((self.total, known))
                numbered.append(known)
        return numbered

    def since(self, after: int, most: int, wanted: Callable[[T], bool]) -> list[T]:
        """Return wanted records with an id above `after`, newest first, at most so many."""
        found: list[T] = []
        with self._lock:
            for number, record in reversed(self._records):
                if number <= after or len(found) >= most:
                    break
                if wanted(record):
                    found.append(record)
        return found
