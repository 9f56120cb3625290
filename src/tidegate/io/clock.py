"""The clocks of the machine, as an argument: whoever waits or stamps takes a `Clock`, and tests pass a made-up one."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol

__all__ = ["Clock", "SystemClock", "format_time"]


class Clock(Protocol):
    """What a shell may ask of time; intervals come from `monotonic_ns`, which no clock step moves."""

    def monotonic_ns(self) -> int:
        """Return nanoseconds since some fixed moment; never goes back."""
        ...

    def time_ns(self) -> int:
        """Return nanoseconds since 1970 UTC; may step in either direction."""
        ...

    def sleep(self, seconds: float) -> None:
        """Return after at least `seconds`; at once where they are not positive."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def monotonic_ns(self) -> int:
        """Return the monotonic clock in nanoseconds."""
        return time.monotonic_ns()

    def time_ns(self) -> int:
        """Return the wall clock in nanoseconds since 1970 UTC."""
        return time.time_ns()

    def sleep(self, seconds: float) -> None:
        """Sleep; a resolution of some 60 µs is what the kernel's timer slack leaves."""
        if seconds > 0:
            time.sleep(seconds)


def format_time(time_ns: int) -> str:
    """Return a moment, in nanoseconds since 1970 UTC, to the millisecond (ISO 8601); as a number beyond year 9999."""
    seconds, rest = divmod(time_ns, 1_000_000_000)
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1_000_000:03}Z"
    except (OverflowError, ValueError, OSError):
        return f"{seconds}.{rest // 1_000_000:03}"
