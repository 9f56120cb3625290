"""How many routes a peer may announce: a warning before the limit, and the end of the session beyond it.

Counts go in; a notice, once each time the count comes near the limit, or the family that is over it comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from tidegate.wire.bgp.constants import Family
from tidegate.wire.bgp.peer_news import Notice, NoticeKind

__all__ = ["PrefixLimits"]

_REARM: Final = 0.95  # of the warning: a count that swings around it is told once


class PrefixLimits:
    """The limit of each family, 0 for none, and which of them were warned of."""

    def __init__(self, most: Mapping[Family, int], *, warn_percent: int) -> None:
        self.most = most
        self._share = warn_percent / 100
        self._warned: set[Family] = set()

    def over(self, families: Iterable[Family], count: Callable[[Family], int]) -> Family | None:
        """Return a family with more routes than it may have, or None."""
        return next((family for family in families if 0 < self.most[family] < count(family)), None)

    def warnings(self, families: Iterable[Family], count: Callable[[Family], int]) -> list[Notice]:
        """Return a notice for each family that has come near its limit since it was last told."""
        notices = []
        for family in families:
            most, found = self.most[family], count(family)
            warn = most * self._share
            if found < warn * _REARM:
                self._warned.discard(family)
            elif most and found >= warn and family not in self._warned:
                self._warned.add(family)
                text = f"{found} routes of {family.label} have come, {100 * found // most} % of the {most} that may"
                notices.append(Notice(NoticeKind.PREFIX_WARNING, text))
        return notices
