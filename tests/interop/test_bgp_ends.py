"""How sessions with real daemons end, and what both sides say of it: shut down, reset, too many routes, bad rules."""

from __future__ import annotations

import time

import pytest
from msgspec import structs

from interop.bird import Bird
from interop.daemons import Daemon, Setup
from interop.exabgp import ExaBgp
from interop.frr import Frr
from interop.gobgp import GoBgp
from interop.heard import expected
from interop.lab import THEIR_AS, THEIRS, SpeakerThread, need, open_lab, peer_config, wait_for, wait_to_hear
from interop.openbgpd import OpenBgpd
from interop.shown import DAEMONS, HOLES, shows_holes
from interop.told import routes_of, table
from tidegate.control.flowspec import parse_flow
from tidegate.control.unicast import parse_unicast
from tidegate.wire.bgp.profile import RFC8955
from tidegate.wire.bgp.routes import route_key

pytestmark = [pytest.mark.netns, pytest.mark.peer]
RESET_SEEN: dict[type[Daemon], str] = {
    GoBgp: "notification-received code 6(cease) subcode 4(administrative reset)",
    Frr: "Notification received (Cease/Administrative Reset)",
    Bird: "Received: Administrative reset",
    OpenBgpd: "received notification: Cease, administrative reset",
    ExaBgp: "notification received (6,4)",
}


@pytest.mark.parametrize("kind", DAEMONS)
def test_resets_and_shutdowns_are_explained_on_both_sides(kind: type[Daemon]) -> None:
    need(*kind.programs)
    reason = "Administrative Shutdown" if kind is ExaBgp else "maintenance until 22:00"
    with open_lab() as lab:
        daemon = kind(lab, Setup())
        daemon.start()
        with SpeakerThread(lab, [peer_config()], port=None) as speaker:
            wait_for(speaker.is_up, "established", show=speaker.neighbor)
            speaker.call(lambda core: core.reset_peer(THEIRS[4], "new profile"))
            wait_for(lambda: RESET_SEEN[kind] in daemon.last_error(), "the reset told", show=daemon.last_error)
            if kind in {Bird, GoBgp, OpenBgpd}:  # those that show it
                wait_for(lambda: "new profile" in daemon.last_error(), "our words", show=daemon.last_error)
            assert "administrative reset (6/4)" in speaker.neighbor().notification_sent
            wait_for(speaker.is_up, "established again", show=speaker.neighbor)
            assert speaker.neighbor().flaps == 1

            daemon.shut(reason)
            wait_for(lambda: not speaker.is_up(), "shut down", show=speaker.neighbor)
            told = speaker.neighbor().notification_received
            assert "administrative shutdown (6/2)" in told
            assert f'"{reason}"' in told


@pytest.mark.parametrize("kind", [GoBgp, Bird, OpenBgpd])
def test_a_peer_with_too_many_routes_is_shut_out_until_somebody_lets_it_in(kind: type[Daemon]) -> None:
    need(*kind.programs)
    told = routes_of(kind)
    with open_lab() as lab:
        daemon = kind(lab, Setup())
        daemon.announce(told[:2])
        daemon.start()
        settings = structs.replace(peer_config(), max_prefixes=2)
        with SpeakerThread(lab, [settings], port=None) as speaker:
            wait_to_hear(speaker, {expected(route, peer_as=THEIR_AS) for route in told[:2]}, "as many as may be")
            daemon.announce(told)
            wait_for(lambda: speaker.neighbor().shut, "shut out", show=speaker.neighbor)
            status = speaker.neighbor()
            assert status.state == "idle"
            assert "more than 2 routes of ipv4-unicast" in status.shut
            assert "maximum number of prefixes reached (6/1)" in status.notification_sent
            assert sum(status.prefixes.values()) == 0
            daemon.announce(told[:2])
            until = time.monotonic() + 3.0  # dialling takes a second, where it is done at all
            wait_for(lambda: time.monotonic() > until or speaker.neighbor().state != "idle", "time passes")
            assert speaker.neighbor().state == "idle"
            assert speaker.neighbor().flaps == 1
            speaker.call(lambda core: core.reset_peer(THEIRS[4]))
            wait_to_hear(speaker, {expected(route, peer_as=THEIR_AS) for route in told[:2]}, "let in again")


def test_a_peer_that_was_shut_out_for_a_time_is_let_in_after_it() -> None:
    need(*Bird.programs)
    told = table(40)
    with open_lab() as lab:
        daemon = Bird(lab, Setup())
        daemon.announce(told)
        daemon.start()
        settings = structs.replace(peer_config(), max_prefixes=20, max_prefixes_restart_s=2)
        with SpeakerThread(lab, [settings], port=None) as speaker:
            wait_for(lambda: speaker.neighbor().shut, "shut out", show=speaker.neighbor)
            wait_for(lambda: speaker.neighbor().flaps > 1, "shut out once more", show=speaker.neighbor)
            daemon.announce(told[:20])
            wait_to_hear(speaker, {expected(route, peer_as=THEIR_AS) for route in told[:20]}, "let in")


@pytest.mark.parametrize("kind", [GoBgp, Frr, Bird, OpenBgpd])
def test_a_peer_that_takes_no_more_routes_is_not_asked_all_the_time(kind: type[Daemon]) -> None:
    need(*kind.programs)
    more = [parse_unicast({"prefix": f"198.51.100.{host}", "nexthop": "192.0.2.254"}) for host in range(6)]
    with open_lab() as lab:
        daemon = kind(lab, Setup(most=4))
        daemon.start()
        with SpeakerThread(lab, [peer_config()], port=None) as speaker:
            speaker.announce(*HOLES)
            wait_for(lambda: shows_holes(daemon, DAEMONS[kind]), "both routes", show=speaker.neighbor)
            speaker.announce(*more)
            wait_for(lambda: speaker.neighbor().flaps, "the peer ends the session", show=speaker.neighbor)
            first = time.monotonic()
            assert "maximum number of prefixes reached (6/1)" in speaker.neighbor().notification_received
            wait_for(lambda: time.monotonic() > first + 5.0, "time passes")
            assert speaker.neighbor().flaps <= 4  # it waits 1, 2, then 4 s
            for route in more:
                assert speaker.withdraw(route_key(route))
            if kind is Bird:  # the others stay down until their operator acts
                wait_for(lambda: shows_holes(daemon, DAEMONS[kind]), "both routes again", show=speaker.neighbor)


def test_what_a_session_falls_over_again_and_again_is_held_back() -> None:
    """FRR ends the session over a component with `!=`, which the profile of this peer lets through."""
    need(*Frr.programs)
    bad = parse_flow({"match": {"destination": "192.0.2.77", "protocol": "udp", "destination-port": "!=443"}})
    with open_lab() as lab:
        daemon = Frr(lab, Setup())
        daemon.start()
        settings = structs.replace(peer_config(), profile=RFC8955)
        with SpeakerThread(lab, [settings], port=None) as speaker:
            speaker.announce(*HOLES)
            wait_for(lambda: shows_holes(daemon, DAEMONS[Frr]), "both routes", show=speaker.neighbor)
            speaker.announce(bad)
            wait_for(lambda: speaker.neighbor().held_back, "the rule is held back", show=speaker.neighbor)
            wait_for(speaker.is_up, "up without it", show=speaker.neighbor)
            status = speaker.neighbor()
            assert status.flaps == 3
            assert "optional attribute error (3/9)" in status.notification_received
            assert "profile" in status.last_error
            keys = speaker.call(lambda core: set(core._link(THEIRS[4]).peer.rib.held))
            assert route_key(bad) in keys
            until = time.monotonic() + 3.0
            wait_for(lambda: time.monotonic() > until or not speaker.is_up(), "time passes")
            assert speaker.is_up()
            assert "192.0.2.77" not in daemon.flow4()
