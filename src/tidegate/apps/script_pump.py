"""Feeds the scripts of a live instance: what is new at the backend, and the time.

Runs on a thread of its own. It is woken when events or records were added, and some twenty times a second otherwise.
"""

from __future__ import annotations

import threading

from tidegate.apps.script_host import ScriptHost
from tidegate.io.clock import Clock
from tidegate.web.backend import Backend

__all__ = ["Feed", "pump_scripts"]

_TICK_S = 0.05
_MOST = 10_000  # at one time; what the backend has forgotten before that is counted as lost


class Feed:
    """Where in the backend's events and flow records the scripts are."""

    def __init__(self, host: ScriptHost, backend: Backend) -> None:
        self._host = host
        self._backend = backend
        self._event = -1
        self._record = -1

    def step(self, now_ns: int) -> None:
        """Deliver what is new, then let time go on."""
        events = self._backend.events(self._event, most=_MOST)[::-1]
        records = self._backend.flow_records(self._record, most=_MOST)[::-1]
        self._host.lost(
            events=_missing(self._event, events[0].event_id if events else None),
            records=_missing(self._record, records[0].flow_id if records else None),
        )
        self._event = events[-1].event_id if events else self._event
        self._record = records[-1].flow_id if records else self._record
        self._host.deliver(events, records)
        self._host.advance(now_ns)


def pump_scripts(host: ScriptHost, backend: Backend, clock: Clock, stopping: threading.Event) -> None:
    """Feed the scripts until `stopping` is set; what stopped it is noticed within a tick."""
    changed = threading.Event()
    unwatch = backend.watch(changed.set)
    feed = Feed(host, backend)
    try:
        while not stopping.is_set():
            changed.wait(_TICK_S)
            changed.clear()
            feed.step(clock.time_ns())
    finally:
        unwatch()


def _missing(last: int, first: int | None) -> int:
    """Return how many ids lie between; ids begin at 0 or 1, so that none is missed before the first one seen."""
    return 0 if first is None or last < 0 else first - last - 1
