"""How many routes a peer may announce: a warning before the limit, and the end of the session beyond it.

Counts go in; a notice, once each time the count comes near the limit, or the family that is over it comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from tidegate.wire.bgp.constants import Family
from tidegate.wire.bgp.peer_news import Notice, NoticeKind

__all__ = ["PrefixLimits"]

_REARM: Final = 0.95  # of the warning: a count that swings around it is told once


class PrefixLimits:
    """The limit of each family, 0 for none, and which of them were warned of."""

    def __init__(self, most: int, *, warn_percent: int) -> None:
        self.most = most
        self._warn = most * warn_percent / 100
        self._warned: set[Family] = set()

    def over(self, families: Iterable[Family], count: Callable[[Family], int]) -> Family | None:
        """Return a family with more routes than it may have, or None."""
        return next((family for family in families if self.most and count(family) > self.most), None)

    def warnings(self, families: Iterable[Family], count: Callable[[Family], int]) -> list[Notice]:
        """Return a notice for each family that has come near its limit since it was last told."""
        if not self.most:
            return []
        notices = []
        for family in families:
            found = count(family)
            if found < self._warn * _REARM:
                self._warned.discard(family)
            elif found >= self._warn and family not in self._warned:
                self._warned.add(family)
                percent = 100 * found // self.most
                text = f"{found} routes of {family.label} have come, {percent} % of the {self.most} that may"
                notices.append(Notice(NoticeKind.PREFIX_WARNING, text))
        return notices
