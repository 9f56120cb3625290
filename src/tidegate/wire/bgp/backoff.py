"""How long to wait before the next attempt to connect: twice as long after each failure, up to two minutes.

Answers for: RFC 4271 section 8.1.1 (IdleHoldTimer, DampPeerOscillations) and section 10 (jitter).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tidegate.units import Seconds

__all__ = ["Backoff"]

_FIRST_WAIT_S: Final = 1.0
_LONGEST_WAIT_S: Final = 120.0
_STABLE_S: Final = 120.0  # a session that lived shorter counts as a failure
_PATIENCE: Final = 3  # failures after which the peer's own connections are refused as well while waiting


class Backoff:
    """Failures in a row, and the time to wait for. `jitter` returns numbers from 0 up to 1."""

    def __init__(self, *, jitter: Callable[[], float]) -> None:
        self.failures = 0
        self.until: Seconds | None = None
        self._jitter = jitter

    def failed(self, now: Seconds, *, lived_s: float) -> None:
        """Hear of a failure, after a session that lived for so long; 0 for one that did not come up."""
        self.failures = 1 if lived_s >= _STABLE_S else self.failures + 1
        wait = min(_FIRST_WAIT_S * 2 ** min(self.failures - 1, 16), _LONGEST_WAIT_S)
        self.until = Seconds(now + wait * (0.75 + 0.25 * self._jitter()))

    def due(self, now: Seconds) -> bool:
        """Tell once that the time has come."""
        if self.until is None or now < self.until:
            return False
        self.until = None
        return True

    def patient(self, now: Seconds) -> bool:
        """Tell whether a connection of the peer's is welcome while this side waits."""
        return self.failures < _PATIENCE or self.until is None or now >= self.until
