"""A peer as it stands."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tidegate.units import Seconds
from tidegate.wire.bgp.constants import Family
from tidegate.wire.bgp.open import Negotiated
from tidegate.wire.bgp.routes import RouteKey
from tidegate.wire.bgp.session import State

__all__ = ["PeerStatus"]


class PeerStatus(msgspec.Struct, frozen=True):
    """A peer as it stands. Times are of the clock that `now` came from; `last_error` is in words, empty if none."""

    address: str
    state: State
    since: Seconds
    last_error: str
    failures: int
    negotiated: Negotiated | None
    received: Mapping[str, int]
    problems: Mapping[str, int]
    wanted: int
    sent: int  # of those wanted, in the session that is up
    waiting: int  # UPDATEs
    not_negotiated: int  # of those wanted, while a session is up: of families that the peer did not agree to
    held_back: Mapping[RouteKey, str]  # of those wanted, and why
    shut: str  # why the peer stays down until it is started again, or until a timer; empty if it does not
    restarting: bool  # this side has come back and the peer has not heard everything yet
    routes: Mapping[Family, int]  # that the peer has announced
    stale: Mapping[Family, int]  # of these, not said again since the peer restarted or began a refresh
    end_of_rib: Mapping[Family, Seconds]  # when it came, in the session that is up
