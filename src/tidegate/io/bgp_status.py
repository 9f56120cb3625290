"""One BGP peer as people want to see it: what the core says, with what the sockets and the log know beside it."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterator, Mapping

import msgspec

from tidegate.io.bgp_link import Link
from tidegate.wire.bgp.open import Negotiated
from tidegate.wire.bgp.peer_news import labels
from tidegate.wire.bgp.session import State

__all__ = ["NeighborStatus", "status_of"]


class NeighborStatus(msgspec.Struct, frozen=True):
    """How things stand; `since` is wall-clock seconds of the last change up or down. Ports are 0 when unconnected."""

    address: str
    state: str
    since: float
    peer_as: int | None
    router_id: str | None
    families: tuple[str, ...]
    received: Mapping[str, int]
    problems: Mapping[str, int]
    wanted: int
    sent: int
    waiting: int
    not_negotiated: int
    failures: int
    last_error: str
    uptime_s: float = 0.0  # of the session that is up
    local_as: int = 0
    hold_time_s: int | None = None
    capabilities: tuple[str, ...] = ()  # that both sides have, in words
    prefixes: Mapping[str, int] = {}  # routes and rules that the peer has announced, each family
    stale: Mapping[str, int] = {}  # of these, kept over its restart and not said again yet; none where 0
    held_back: int = 0  # of those wanted, not sent because the session fell over them
    shut: str = ""  # why the peer stays down, if it does
    restarting: bool = False  # this side is back from a crash, and the peer has not heard everything yet
    flaps: int = 0  # how often an established session has ended
    notification_sent: str = ""  # the last ones, in words
    notification_received: str = ""
    octets_in: int = 0
    octets_out: int = 0
    messages_in: int = 0
    messages_out: int = 0
    local_address: str = ""
    local_port: int = 0
    remote_port: int = 0
    dynamic: bool = False  # made from a prefix


def status_of(link: Link, *, dynamic: bool) -> NeighborStatus:
    """Return how things stand with one peer."""
    peer = link.peer
    status = peer.status()
    agreed = status.negotiated
    age = time.monotonic() - status.since
    here, local_port, _, remote_port = link.ends() or ("", 0, "", 0)
    return NeighborStatus(
        address=status.address,
        state=status.state.value,
        since=time.time() - age,
        peer_as=None if agreed is None else agreed.peer_as,
        router_id=None if agreed is None else str(ipaddress.IPv4Address(agreed.router_id)),
        families=() if agreed is None else tuple(family.label for family in sorted(agreed.families)),
        received=dict(status.received),
        problems=dict(status.problems),
        wanted=status.wanted,
        sent=status.sent,
        waiting=status.waiting,
        not_negotiated=status.not_negotiated,
        failures=status.failures,
        last_error=status.last_error,
        uptime_s=age if status.state is State.ESTABLISHED else 0.0,
        local_as=peer.config.local_as,
        hold_time_s=None if agreed is None else agreed.hold_time_s,
        capabilities=() if agreed is None else tuple(_capabilities(agreed)),
        prefixes={family.label: count for family, count in sorted(status.routes.items())},
        stale={family.label: count for family, count in sorted(status.stale.items()) if count},
        held_back=len(status.held_back),
        shut=status.shut,
        restarting=status.restarting,
        flaps=link.teller.flaps,
        notification_sent=link.teller.notified,
        notification_received=link.teller.told,
        octets_in=link.octets_in,
        octets_out=link.octets_out,
        messages_in=sum(status.received.values()),
        messages_out=link.messages_out,
        local_address=here,
        local_port=local_port,
        remote_port=remote_port,
        dynamic=dynamic,
    )


def _capabilities(agreed: Negotiated) -> Iterator[str]:
    """Yield what both sides can do beside the families."""
    for has, words in (
        (agreed.four_octet_as, "four-octet AS numbers"),
        (agreed.extended_message, "extended messages"),
        (agreed.route_refresh, "route refresh"),
        (agreed.enhanced_refresh, "enhanced route refresh"),
        (agreed.add_path_receive, f"several paths received of {labels(agreed.add_path_receive)}"),
        (agreed.extended_next_hop, f"IPv6 next hops of {labels(agreed.extended_next_hop)}"),
    ):
        if has:
            yield words
    restart = agreed.graceful_restart
    if restart is not None:
        notified = ", also after a NOTIFICATION" if agreed.notification_restart else ""
        families = labels(restart.families) or "no family"
        yield f"graceful restart of {families} within {restart.restart_time_s} s{notified}"
