"""What waits for a script: bounded for each kind, the most urgent kind first, and counted when it is lost.

A flood of flow records delays or displaces no event.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from types import MappingProxyType

from tidegate.apps.script_desk import Job, Kind

__all__ = ["SIZES", "Inbox"]

SIZES: Mapping[Kind, int] = MappingProxyType(
    {Kind.BGP_UP: 1_000, Kind.BGP_DOWN: 1_000, Kind.EVENT: 10_000, Kind.HTTP: 100, Kind.FLOW: 10_000}
)


class Inbox:
    """Jobs in order of urgency, then of arrival; `received` and `lost` count by kind. Not for several threads."""

    def __init__(self, sizes: Mapping[Kind, int] = SIZES) -> None:
        self.received: Counter[Kind] = Counter()
        self.lost: Counter[Kind] = Counter()
        self._sizes = sizes
        self._waiting: dict[Kind, deque[Job]] = {kind: deque() for kind in Kind}

    def put(self, job: Job) -> bool:
        """Keep a job, or count it as lost where its kind is full."""
        if len(self._waiting[job.kind]) >= self._sizes[job.kind]:
            self.lost[job.kind] += 1
            return False
        self.received[job.kind] += 1
        self._waiting[job.kind].append(job)
        return True

    def take(self) -> Job | None:
        """Return the next job."""
        return next((jobs.popleft() for jobs in self._waiting.values() if jobs), None)

    def __bool__(self) -> bool:
        return any(self._waiting.values())
