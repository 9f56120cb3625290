"""Graceful restart with real daemons, each side killed as a crash would: what is kept, for how long, and what goes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from interop.bird import Bird
from interop.daemons import Daemon, Setup
from interop.frr import Frr
from interop.gobgp import GoBgp
from interop.heard import expected
from interop.lab import THEIR_AS, THEIRS, Lab, SpeakerThread, need, open_lab, peer_config, wait_for, wait_to_hear
from interop.shown import (
    DAEMONS,
    ROUTES,
    WRITTEN_HOLES,
    WRITTEN_RULES,
    picture,
    shows,
    shows_holes,
    shows_no_holes,
    shows_no_rules,
    shows_none,
    shows_rules,
)
from interop.told import routes_of

pytestmark = [pytest.mark.netns, pytest.mark.peer]
HELPERS = (GoBgp, Bird)
EXTRA = {"prefix": "192.0.2.67", "nexthop": "192.0.2.254"}  # wanted before the crash, not after
_SPEAKER = str(Path(__file__).with_name("speaker.py"))


def speak(lab: Lab, *, restart_s: int, first: bool) -> subprocess.Popen[bytes]:
    """Start our side; the first time it is told what to announce, later it has that from its state file."""
    settings = structs.replace(peer_config(), graceful_restart_s=restart_s)
    told = {
        "peer": msgspec.to_builtins(settings),
        "state": str(lab.folder / "speaker.state"),
        "announce": [*WRITTEN_RULES, *WRITTEN_HOLES, EXTRA] if first else [],
        "withdraw": [] if first else [EXTRA],
    }
    return lab.spawn(sys.executable, _SPEAKER, json.dumps(told), log="speaker")


def hold(condition: Callable[[], bool], until: Callable[[], bool], what: str, *, show: Callable[[], str]) -> None:
    """Look again and again: `condition` must hold each time, until the other does."""

    def look() -> bool:
        done = until()
        assert done or condition(), f"{what}\n{show()}"
        return done

    wait_for(look, what, show=show)


def texts(daemon: Daemon, lab: Lab) -> str:
    prefixes = ("192.0.2.66/32", "192.0.2.67/32", "2001:db8::66/128")
    printed = [daemon.flow4(), daemon.flow6(), *(daemon.unicast(prefix) for prefix in prefixes)]
    return "\n".join([*printed, lab.printed("speaker")[-3000:]])


def has_extra(daemon: Daemon) -> bool:
    return "192.0.2.254" in daemon.unicast("192.0.2.67/32")


@pytest.mark.parametrize("kind", HELPERS)
def test_what_was_announced_outlives_a_crash_and_only_what_is_wanted_stays(kind: type[Daemon]) -> None:
    need(*kind.programs)
    with open_lab() as lab:
        daemon = kind(lab, Setup(restart_s=30))
        daemon.start()
        process = speak(lab, restart_s=30, first=True)
        wait_for(
            lambda: shows(daemon, DAEMONS[kind]) and has_extra(daemon), "all routes", show=lambda: texts(daemon, lab)
        )
        lab.kill(process)
        speak(lab, restart_s=30, first=False)
        hold(
            lambda: shows(daemon, DAEMONS[kind]),
            lambda: not has_extra(daemon),
            "all routes but the one that is wanted no more",
            show=lambda: texts(daemon, lab),
        )
        assert shows(daemon, DAEMONS[kind]), texts(daemon, lab)


@pytest.mark.parametrize("kind", HELPERS)
def test_what_was_announced_goes_when_the_crashed_side_does_not_come_back(kind: type[Daemon]) -> None:
    need(*kind.programs)
    with open_lab() as lab:
        daemon = kind(lab, Setup(restart_s=4))
        daemon.start()
        process = speak(lab, restart_s=4, first=True)
        wait_for(lambda: shows(daemon, DAEMONS[kind]), "all routes", show=lambda: texts(daemon, lab))
        lab.kill(process)
        killed = time.monotonic()
        hold(
            lambda: shows(daemon, DAEMONS[kind]) or time.monotonic() > killed + 3.0,
            lambda: shows_none(daemon),
            "all kept, then all gone",
            show=lambda: texts(daemon, lab),
        )
        assert time.monotonic() > killed + 3.0


def test_frr_keeps_unicast_routes_over_a_crash_but_no_rules() -> None:
    need(*Frr.programs)
    with open_lab() as lab:
        daemon = Frr(lab, Setup(restart_s=30))
        daemon.start()
        process = speak(lab, restart_s=30, first=True)
        wait_for(lambda: shows(daemon, DAEMONS[Frr]), "all routes", show=lambda: texts(daemon, lab))
        lab.kill(process)
        hold(
            lambda: shows_holes(daemon, DAEMONS[Frr]),
            lambda: shows_no_rules(daemon),
            "rules gone, routes kept",
            show=lambda: texts(daemon, lab),
        )
        speak(lab, restart_s=30, first=False)
        hold(
            lambda: shows_holes(daemon, DAEMONS[Frr]),
            lambda: shows_rules(daemon, DAEMONS[Frr]) and not has_extra(daemon),
            "rules again, routes kept all the while",
            show=lambda: texts(daemon, lab),
        )
        assert not shows_no_holes(daemon)


@pytest.mark.parametrize("kind", [GoBgp, Bird, Frr])
def test_we_keep_the_routes_of_a_daemon_that_crashed(kind: type[Daemon]) -> None:
    """The first time it comes back with less than before, the second time not at all."""
    need(*kind.programs)
    told = routes_of(kind)
    before = {expected(route, peer_as=THEIR_AS) for route in told}
    after = {expected(route, peer_as=THEIR_AS) for route in told[1:]}
    with open_lab() as lab:
        daemon = kind(lab, Setup(restart_s=8))
        daemon.announce(told)
        process = daemon.start()
        with SpeakerThread(lab, [peer_config()], port=None) as speaker:
            wait_to_hear(speaker, before, "all routes")
            lab.kill(process)
            wait_for(lambda: not speaker.is_up(), "loss noticed", show=speaker.neighbor)
            wait_for(lambda: sum(speaker.neighbor().stale.values()) == len(told), "all marked", show=speaker.neighbor)
            daemon.announce(told[1:])
            process = daemon.start(recovering=True)
            hold(
                lambda: kind is Frr or after <= speaker.held(THEIRS[4]),  # FRR ends its RIB first, then says its routes
                lambda: speaker.held(THEIRS[4]) == after and not speaker.neighbor().stale,
                "what is left, kept all the while",
                show=lambda: f"{speaker.held(THEIRS[4])}\n{speaker.neighbor()}",
            )
            assert speaker.is_up()

            lab.kill(process)
            killed = time.monotonic()
            wait_for(lambda: not speaker.is_up(), "loss noticed", show=speaker.neighbor)
            hold(
                lambda: speaker.held(THEIRS[4]) == after,
                lambda: not speaker.held(THEIRS[4]),
                "all kept, then all gone",
                show=lambda: str(speaker.neighbor()),
            )
            assert time.monotonic() > killed + 7.0


@pytest.mark.parametrize("kind", [GoBgp, Bird, Frr])
def test_nothing_outlives_a_stop_that_was_meant(kind: type[Daemon]) -> None:
    """Also where the daemon would keep routes over a NOTIFICATION (RFC 8538): the one that is sent forbids it."""
    need(*kind.programs)
    with open_lab() as lab:
        daemon = kind(lab, Setup(restart_s=120))
        daemon.start()
        with SpeakerThread(lab, [peer_config()], port=None) as speaker:
            speaker.announce(*ROUTES)
            wait_for(lambda: shows(daemon, DAEMONS[kind]), "all routes", show=lambda: picture(daemon, speaker))
            agreed = [words for words in speaker.neighbor().capabilities if words.startswith("graceful restart")]
            assert len(agreed) == 1
        wait_for(lambda: shows_none(daemon), "nothing left", show=daemon.flow4)
