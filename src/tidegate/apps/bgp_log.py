"""What happened to BGP neighbours and BMP routers, in words: the latest lines of each, for people.

Each router has its own lines, so that one that flaps does not push out what was said of the others.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

import msgspec

__all__ = ["BgpLog", "BgpNotice"]

_EACH: Final = 200  # lines of one router
_ROUTERS: Final = 1024  # the one that was silent for longest makes room


class BgpNotice(msgspec.Struct, frozen=True, rename="camel"):
    """One line; `kind` is `change`, `warning` or `bmp`, `time` seconds since 1970 UTC."""

    notice_id: int = msgspec.field(name="noticeID")
    time: float
    router: str
    kind: str
    text: str


class BgpLog:
    """The lines; on one thread."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.total = 0
        self._now = now
        self._lines: OrderedDict[str, deque[BgpNotice]] = OrderedDict()

    def add(self, router: str, kind: str, text: str) -> None:
        """Keep one line."""
        self.total += 1
        if router not in self._lines and len(self._lines) >= _ROUTERS:
            self._lines.popitem(last=False)
        self._lines.setdefault(router, deque(maxlen=_EACH)).append(
            BgpNotice(self.total, self._now(), router, kind, text)
        )
        self._lines.move_to_end(router)

    def latest(self, router: str | None = None, *, most: int = 100) -> list[BgpNotice]:
        """Return the latest lines, of all routers or one, newest first."""
        chosen = self._lines.values() if router is None else [self._lines.get(router, deque())]
        found = sorted((line for lines in chosen for line in lines), key=lambda line: -line.notice_id)
        return found[:most]
