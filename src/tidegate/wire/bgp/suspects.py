"""Which of the routes sent to a peer make it reset the session: those that were sent before each of several resets.

What was sent, and how sessions ended, go in; the routes to hold back come out, none until a peer has reset the session
three times in a row within a minute of something sent. Routes sent within that minute, each time, are suspect; the last
ones are held back, more of them if that did not help. Nothing here is kept beyond `_MOST` routes a session.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tidegate.units import Seconds
from tidegate.wire.bgp.constants import Cease, ErrorCode
from tidegate.wire.bgp.routes import RouteKey
from tidegate.wire.bgp.session import Down

__all__ = ["Suspects"]

_WINDOW_S: Final = 60.0
_RESETS: Final = 3
_STABLE_S: Final = 120.0  # a session that lives longer shows that what it was told at its start is harmless
_FIRST: Final = 1  # routes held back at once: the newest one is it nearly always; more as long as it does not help
_MORE: Final = 4  # times as many
_MOST: Final = 1024
_BLAMED: Final = frozenset(
    {(ErrorCode.CEASE, Cease.MAX_PREFIXES), (ErrorCode.CEASE, Cease.RESOURCES)}  # beside codes 1 and 3
)


class Suspects:
    """What one peer was sent last, over its sessions."""

    def __init__(self) -> None:
        self._sent: dict[RouteKey, Seconds] = {}  # the last one sent stands last
        self._resets: list[list[RouteKey]] = []  # what was sent before each
        self._most = _FIRST

    def sent(self, keys: Iterable[RouteKey], now: Seconds) -> None:
        """Hear what was sent."""
        for key in keys:
            self._sent.pop(key, None)
            self._sent[key] = now
        while len(self._sent) > _MOST:
            del self._sent[next(iter(self._sent))]

    def ended(self, down: Down, now: Seconds, *, lived_s: float) -> list[RouteKey]:
        """Hear how the session ended; return what is to be held back, the last one sent at the end."""
        recent = [key for key, when in self._sent.items() if now - when <= _WINDOW_S]
        self._sent.clear()
        if lived_s >= _STABLE_S:
            self._resets.clear()
            self._most = _FIRST
        if not recent or not _blamed(down):
            return []
        self._resets.append(recent)
        if len(self._resets) < _RESETS:
            return []
        first, *others = self._resets
        common = set(first).intersection(*others)
        self._resets.clear()
        held = [key for key in recent if key in common][-self._most :]
        self._most = min(_MORE * self._most, _MOST)
        return held


def _blamed(down: Down) -> bool:
    """Tell whether the peer ended the session, and may have done so over what it was sent."""
    if down.sent:
        return False
    if down.notification is None:
        return True  # a peer that a route makes crash says nothing
    code = down.notification.code
    return code in {ErrorCode.HEADER, ErrorCode.UPDATE} or (code, down.notification.subcode) in _BLAMED
