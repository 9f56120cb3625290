"""What one peer has announced, over its sessions: what is kept while it restarts, and what is removed when.

UPDATEs, refreshes and the ends of sessions go in; what people should read and which routes are gone come out. Routes
are stale from the end of a session until the peer has said them again, at most until a timer (graceful restart); and
from the begin of a refresh to its end. `deadline` tells when `tick` must be called.

Answers for: RFC 4724 section 4.2 (the receiving speaker), RFC 7313 section 4, RFC 8538 section 4.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any, Final

from tidegate.units import Asn, Seconds
from tidegate.wire.bgp.constants import Family, RefreshSubtype
from tidegate.wire.bgp.message import RouteRefresh
from tidegate.wire.bgp.open import Negotiated
from tidegate.wire.bgp.peer_news import Gone, News, Notice, NoticeKind, labels
from tidegate.wire.bgp.ribin import RibIn
from tidegate.wire.bgp.session import Down
from tidegate.wire.bgp.update import Update

__all__ = ["Inbound"]

_STOPPED: Final = "the session was stopped here"


class Inbound:
    """The routes of one peer. `stale_s` is the longest that routes are kept which the peer has not said again."""

    def __init__(self, *, stale_s: float, lock: AbstractContextManager[Any] | None = None) -> None:
        self.rib_in = RibIn(lock=lock)
        self.end_of_rib: dict[Family, Seconds] = {}  # when it came, in the session that is up
        self._stale_s = stale_s
        self.negotiated: Negotiated | None = None  # of the session that is up, as far as its effects are dealt with
        self._identity: tuple[Asn, int] | None = None
        self._stale: dict[Family, Seconds] = {}  # kept over a restart, at most until then
        self._refreshed: dict[Family, Seconds] = {}  # a refresh has begun; it ends at the latest then
        self._leaving: dict[Family, str] = {}  # what is stale goes, and why, once all is taken that came before

    def stale(self, family: Family) -> int:
        """Return how many routes of a family are stale."""
        rules = self.rib_in.rules.get(family)
        return self.rib_in.tables[family].stale if rules is None else rules.stale

    def up(self, negotiated: Negotiated, now: Seconds) -> list[News]:
        """Hear that a session is up: what the peer did not keep over its restart is removed."""
        news = self._identify(negotiated)
        self.negotiated = negotiated
        self.end_of_rib.clear()
        restart = negotiated.graceful_restart
        kept = negotiated.families & frozenset(restart.kept) if restart is not None else frozenset()
        lost = self._stale.keys() - kept
        news += self._clear(lost, "the peer has come back without them")
        self._stale = dict.fromkeys(self._stale.keys() & kept, Seconds(now + self._stale_s))
        return news

    def down(self, down: Down, now: Seconds) -> list[News]:
        """Hear that the session is over: its routes are kept for a while where both sides agreed to, or removed."""
        negotiated, self.negotiated = self.negotiated, None
        self._refreshed.clear()
        self.end_of_rib.clear()
        news = self._settle_now()
        again = "stale since the restart before"  # RFC 4724 4.2: consecutive restarts
        news += self._sweep(self._stale.keys(), again)
        self._stale.clear()
        restart = None if negotiated is None else negotiated.graceful_restart
        kept: frozenset[Family] = frozenset()
        if negotiated is not None and restart is not None and _may_keep(down, negotiated):
            kept = negotiated.families & frozenset(restart.families)
        news += self._clear(frozenset(Family) - kept, "the session is over")
        if not kept or restart is None:
            return news
        seconds = min(float(restart.restart_time_s), self._stale_s)
        self.rib_in.mark_stale(sorted(kept))
        self._stale = dict.fromkeys(kept, Seconds(now + seconds))
        count = sum(self.rib_in.count(family) for family in kept)
        text = f"{count} routes of {labels(kept)} are kept for {seconds:.0f} s while the peer restarts"
        return [*news, Notice(NoticeKind.STALE, text)] if count else news

    def forget(self) -> list[News]:
        """Remove everything: the peer is not to be helped over a restart."""
        self.negotiated = None
        self._identity = None
        self.end_of_rib.clear()
        return self._clear(Family, _STOPPED)

    def take(self, update: Update, now: Seconds) -> list[News]:
        """Take an UPDATE; End-of-RIB ends what was kept over a restart."""
        self.rib_in.take(update)
        family = update.end_of_rib
        if family is None:
            return []
        self.end_of_rib[family] = now
        if self._stale.pop(family, None) is not None:
            self._leaving[family] = "the peer has restarted and not announced them again"
        return self.settle()

    @property
    def busy(self) -> bool:
        """Whether `settle` has something to do once `rib_in` is no longer busy."""
        return bool(self._leaving)

    def settle(self) -> list[News]:
        """Remove what has turned out to be stale, where all is taken that came before; call it after `rib_in.work`."""
        return [] if self.rib_in.busy else self._settle_now()

    def _settle_now(self) -> list[News]:
        """Remove it behind what waits, and before what is marked or taken after this."""
        leaving, self._leaving = self._leaving, {}
        return [each for family, why in leaving.items() for each in self._sweep((family,), why)]

    def refresh(self, refresh: RouteRefresh, now: Seconds) -> list[News]:
        """Take the begin or the end of a refresh (RFC 7313 section 4)."""
        family = refresh.family
        if family is None or self.negotiated is None:
            return []
        if refresh.subtype == RefreshSubtype.BEGIN:
            if self.negotiated.graceful_restart is not None and family not in self.end_of_rib:
                text = f"a refresh of {family.label} began before End-of-RIB and is ignored"
                return [Notice(NoticeKind.REFRESH, text)]
            news = self._settle_now()
            self.rib_in.mark_stale((family,))
            self._refreshed[family] = Seconds(now + self._stale_s)
            return news
        if refresh.subtype == RefreshSubtype.END and self._refreshed.pop(family, None) is not None:
            self._leaving[family] = "the peer did not announce them again in a refresh"
        return self.settle()

    def tick(self, now: Seconds) -> list[News]:
        """Remove what has been stale for too long."""
        why = "the peer did not come back in time" if self.negotiated is None else "the peer sent no End-of-RIB in time"
        for table, reason in ((self._stale, why), (self._refreshed, "a refresh of the peer did not end in time")):
            due = [family for family, when in table.items() if when <= now]
            for family in due:
                del table[family]
                self._leaving[family] = reason
        return self.settle()

    def deadline(self) -> Seconds | None:
        """Return when `tick` must be called, or None where nothing runs."""
        return min((*self._stale.values(), *self._refreshed.values()), default=None)

    def _identify(self, negotiated: Negotiated) -> list[News]:
        """Compare who is there with who was: what another has announced is not kept."""
        before, self._identity = self._identity, (negotiated.peer_as, negotiated.router_id)
        if before in {None, self._identity}:
            return []
        was, now = (f"AS {asn} with identifier {_dotted(router_id)}" for asn, router_id in (before, self._identity))
        news = self._clear(self._stale.keys(), "the peer has come back as another")
        return [Notice(NoticeKind.IDENTITY, f"the peer is {now}, and was {was}"), *news]

    def _clear(self, families: Iterable[Family], why: str) -> list[News]:
        chosen = sorted(families)
        found = tuple(family for family in chosen if self.rib_in.count(family))
        count = sum(self.rib_in.count(family) for family in found)
        self.rib_in.clear(chosen)
        for family in chosen:
            self._stale.pop(family, None)
            self._refreshed.pop(family, None)
            self._leaving.pop(family, None)
        return [Gone(found, count, why)] if count else []

    def _sweep(self, families: Iterable[Family], why: str) -> list[News]:
        chosen = sorted(families)
        count = self.rib_in.sweep(chosen)
        return [Gone(tuple(chosen), count, why)] if count else []


def _may_keep(down: Down, negotiated: Negotiated) -> bool:
    """Tell whether a session that ended so leaves its routes behind for a while."""
    if down.notification is None:
        return True
    return negotiated.notification_restart and not down.notification.hard


def _dotted(router_id: int) -> str:
    return ".".join(str(octet) for octet in router_id.to_bytes(4, "big"))
