"""How much processor time a thread of this process has used."""

from __future__ import annotations

import time

__all__ = ["thread_time_ns"]


def thread_time_ns(thread: int) -> int:
    """Return the processor time of a thread, by its `ident`, in nanoseconds; the thread must be alive."""
    return time.clock_gettime_ns(time.pthread_getcpuclockid(thread))
