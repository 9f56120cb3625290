"""How many packets stand for one that is sent, so that no flood makes more samples than the agent may send.

In go numbers of packets and moments, nanoseconds on a clock that never goes back; out comes M. It rises at once where
more than `most` a second came since the last look, and falls where a whole second would have done with less.
"""

from __future__ import annotations

__all__ = ["Shedding"]

_SECOND = 1_000_000_000
_LOOK = _SECOND // 20


class Shedding:
    """Counts packets and decides on M."""

    def __init__(self, most: int) -> None:
        self.most = most  # samples a second
        self.every = 1
        self._since = self._calm_since = -1
        self._came, self._greatest = 0, 1

    def step(self, came: int, now_ns: int) -> int:
        """Enter packets that came up to now and return M for them."""
        if self._since < 0:
            self._since = self._calm_since = now_ns
            return self.every  # nobody knows in what time these came
        self._came += came
        passed = now_ns - self._since
        if passed < _LOOK:
            return self.every
        needed = max(1, -(-self._came * _SECOND // (passed * self.most)))
        self._since, self._came = now_ns, 0
        if needed >= self.every:
            self.every, self._greatest = needed, 1
            self._calm_since = now_ns
            return self.every
        self._greatest = max(self._greatest, needed)
        if now_ns - self._calm_since >= _SECOND:
            self.every, self._greatest = self._greatest, 1
            self._calm_since = now_ns
        return self.every
