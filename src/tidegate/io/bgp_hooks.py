"""What happens to BGP peers, told to people: one line in the log for each thing, and the hooks of whoever is to know.

Effects of `wire.bgp` go in, in the order in which they came. A hook that raises is logged and ends nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

import msgspec

from tidegate.wire.bgp.peer_news import Gone, Notice, NoticeKind, labels
from tidegate.wire.bgp.routes import RouteKey
from tidegate.wire.bgp.session import Changed, Down, Notified, Routes, State, Up
from tidegate.wire.bgp.update import Update
from tidegate.wire.bgp.update_scan import UpdateRun

__all__ = ["Hooks", "News", "Teller"]

News = Up | Down | Routes | Changed | Notified | Gone | Notice
_LOG: Final = logging.getLogger("tidegate.bgp")
_MOST_FAILURES: Final = 16
_WARNINGS: Final = frozenset(
    {NoticeKind.PREFIX_WARNING, NoticeKind.PREFIX_LIMIT, NoticeKind.IDENTITY, NoticeKind.HELD_BACK}
)


def _nothing(*_: object) -> None:
    return


class Hooks(msgspec.Struct, frozen=True):
    """What to call on the event loop; each has the peer's address first.

    `sent` has the route's key and wall-clock nanoseconds of the write. `changed` has in words each change of state,
    each NOTIFICATION and whatever else happened to the peer's routes; `warned` what somebody should look at.
    """

    up: Callable[[str], object] = _nothing
    down: Callable[[str], object] = _nothing
    sent: Callable[[str, RouteKey, int], object] = _nothing
    update: Callable[[str, Update], object] = _nothing
    changed: Callable[[str, str], object] = _nothing
    warned: Callable[[str, str], object] = _nothing


class Teller:
    """Tells of one peer, and remembers what its status shows: how often it fell, and the last NOTIFICATIONs."""

    def __init__(self, address: str, hooks: Hooks) -> None:
        self.flaps = 0
        self.notified = ""  # the last one sent, in words
        self.told = ""  # the last one that came
        self.ending = False  # on purpose: that a session goes down is no cause for concern then
        self._address = address
        self._hooks = hooks
        self._failures: set[str] = set()  # that were logged since the session was last up

    def _tell_routes(self, routes: Routes) -> None:
        if self._hooks.update is _nothing:
            return  # to read each by itself takes far longer than the run did
        for update in routes.update.updates() if isinstance(routes.update, UpdateRun) else (routes.update,):
            self._call(self._hooks.update, self._address, update)

    def tell(self, news: News) -> None:
        """Log one effect and call the hooks it is for."""
        match news:
            case Up():
                self._failures.clear()
                self._call(self._hooks.up, self._address)
            case Down(was_up=True):
                self.flaps += 1
                self._call(self._hooks.down, self._address)
            case Down(reason=reason):
                self._failed(reason)
            case Routes():
                self._tell_routes(news)
            case Changed():
                self._changed(self._level(news), f"{news.before.value} to {news.after.value}: {news.why}")
            case Notified(sent=sent, why=why):
                self.notified, self.told = (why, self.told) if sent else (self.notified, why)
                self._changed(logging.DEBUG, f"NOTIFICATION {'sent' if sent else 'received'}: {why}")
            case Gone() | Notice():
                self._note(news)

    def sent(self, key: RouteKey, wall_ns: int) -> None:
        """Tell that a route's UPDATE was written."""
        self._call(self._hooks.sent, self._address, key, wall_ns)

    def _note(self, news: Gone | Notice) -> None:
        if isinstance(news, Gone):
            self._changed(logging.INFO, f"{news.routes} routes of {labels(news.families)} removed: {news.why}")
        elif news.kind in _WARNINGS:
            _LOG.warning("%s: %s", self._address, news.text)
            self._call(self._hooks.warned, self._address, news.text)
        else:
            self._changed(logging.INFO, news.text)

    def _failed(self, reason: str) -> None:
        """Log why there is no session; a peer that fails again and again is no news."""
        level = logging.DEBUG if reason in self._failures else logging.INFO
        if len(self._failures) < _MOST_FAILURES:
            self._failures.add(reason)
        _LOG.log(level, "%s: not established: %s", self._address, reason)

    def _changed(self, level: int, text: str) -> None:
        _LOG.log(level, "%s: %s", self._address, text)
        self._call(self._hooks.changed, self._address, text)

    def _call(self, hook: Callable[..., object], *arguments: object) -> None:
        try:
            hook(*arguments)
        except Exception:  # noqa: BLE001 - a hook is a user's code: whatever it raises must not end a session
            _LOG.exception("a BGP hook failed")

    def _level(self, change: Changed) -> int:
        if change.before is State.ESTABLISHED and not self.ending:
            return logging.WARNING
        return logging.INFO if State.ESTABLISHED in {change.before, change.after} else logging.DEBUG
