"""Route refresh with real daemons: who is asked says everything again, and nothing is lost on the way."""

from __future__ import annotations

import pytest

from interop.daemons import Daemon, Setup
from interop.gobgp import GoBgp
from interop.heard import expected
from interop.lab import THEIR_AS, THEIRS, SpeakerThread, need, open_lab, peer_config, wait_for, wait_to_hear
from interop.openbgpd import OpenBgpd
from interop.shown import DAEMONS, HOLES, ROUTES, picture, shows
from interop.told import routes_of
from tidegate.wire.bgp.routes import route_key

pytestmark = [pytest.mark.netns, pytest.mark.peer]
# GoBGP keeps what it was told and looks at that again: it never asks
ASKING = [kind for kind in DAEMONS if kind is not GoBgp]
# OpenBGPD 7.7 refuses requests for the very families that were negotiated (openbgpd-portable issue 46)
ANSWERING = [kind for kind in DAEMONS if kind is not OpenBgpd]


@pytest.mark.parametrize("kind", ASKING)
def test_all_is_said_again_when_the_peer_asks(kind: type[Daemon]) -> None:
    need(*kind.programs)
    with open_lab() as lab:
        daemon = kind(lab, Setup())
        daemon.start()
        with SpeakerThread(lab, [peer_config()], port=None) as speaker:
            ours = HOLES if kind is OpenBgpd else ROUTES
            speaker.announce(*ours)
            wait_for(lambda: shows(daemon, DAEMONS[kind]), "all of ours", show=lambda: picture(daemon, speaker))
            before = dict(speaker.sent)
            assert set(before) == {route_key(route) for route in ours}
            daemon.ask_again()
            wait_for(
                lambda: all(speaker.sent[key] > count for key, count in before.items()),
                "ours once more",
                show=lambda: f"{before}\n{speaker.sent}\n{speaker.neighbor()}",
            )
            wait_for(lambda: shows(daemon, DAEMONS[kind]), "all as before", show=lambda: picture(daemon, speaker))
            status = speaker.neighbor()
            assert status.received["route_refresh"] >= 2
            assert status.flaps == 0
            assert "route refresh" in status.capabilities


@pytest.mark.parametrize("kind", ANSWERING)
def test_the_peer_says_everything_again_when_it_is_asked(kind: type[Daemon]) -> None:
    need(*kind.programs)
    told = routes_of(kind)
    theirs = {expected(route, peer_as=THEIR_AS) for route in told}
    with open_lab() as lab:
        daemon = kind(lab, Setup())
        daemon.announce(told)
        daemon.start()
        with SpeakerThread(lab, [peer_config()], port=None) as speaker:
            wait_to_hear(speaker, theirs, "all of theirs")
            said = speaker.heard.said(THEIRS[4])
            families = speaker.call(lambda core: core.request_refresh(THEIRS[4]))
            assert len(families) == 4
            wait_for(
                lambda: speaker.heard.said(THEIRS[4]) >= said + len(told),
                "theirs once more",
                show=lambda: f"{said} {speaker.heard.said(THEIRS[4])} {speaker.neighbor()}",
            )
            wait_for(lambda: not speaker.neighbor().stale, "end of the refresh", show=speaker.neighbor)
            wait_to_hear(speaker, theirs, "the same as before")
            status = speaker.neighbor()
            assert ("enhanced route refresh" in status.capabilities) == (kind is not GoBgp)
            assert status.flaps == 0
            assert not status.problems
