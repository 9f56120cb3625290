"""What real routers make of what is sent to them, read from their own output."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from interop.daemons import Daemon, Setup
from interop.frr import Frr
from interop.lab import OUR_AS, Lab, SpeakerThread, need, open_lab, peer_config, wait_for
from interop.shown import DAEMONS, ROUTES, picture, shows, shows_none
from tidegate.control.flowspec import parse_flow
from tidegate.wire.bgp.routes import route_key

pytestmark = [pytest.mark.netns, pytest.mark.peer]


@pytest.fixture
def lab() -> Iterator[Lab]:
    need("ip")
    with open_lab() as lab:
        yield lab


@pytest.mark.parametrize(("version", "we_dial"), [(4, True), (4, False), (6, True), (6, False)])
@pytest.mark.parametrize("kind", DAEMONS, ids=lambda kind: kind.__name__)
def test_routes_arrive_as_sent_and_vanish_on_withdrawal(
    lab: Lab, kind: type[Daemon], version: int, *, we_dial: bool
) -> None:
    need(*kind.programs)
    daemon = kind(lab, Setup({version: OUR_AS}, passive=we_dial))
    daemon.start()
    with SpeakerThread(lab, [peer_config(version, passive=not we_dial)], port=None if we_dial else 1179) as speaker:
        speaker.announce(*ROUTES)
        wait_for(lambda: shows(daemon, DAEMONS[kind]), "all routes as sent", show=lambda: picture(daemon, speaker))
        for route in ROUTES:
            assert speaker.withdraw(route_key(route))
        wait_for(lambda: shows_none(daemon), "withdrawal", show=lambda: picture(daemon, speaker))
        assert speaker.neighbor().state == "established"


@pytest.mark.parametrize("router_id", ["10.0.0.1", "10.200.0.1"], ids=["lower", "higher"])
@pytest.mark.parametrize("kind", DAEMONS, ids=lambda kind: kind.__name__)
def test_one_session_stands_when_both_sides_dial(lab: Lab, kind: type[Daemon], router_id: str) -> None:
    need(*kind.programs)
    daemon = kind(lab, Setup(passive=False, port=179))
    both = msgspec.structs.replace(peer_config(), router_id=router_id)
    with SpeakerThread(lab, [both], port=179) as speaker:
        daemon.start()
        speaker.announce(*ROUTES)
        wait_for(lambda: shows(daemon, DAEMONS[kind]), "all routes as sent", show=lambda: picture(daemon, speaker))
        assert speaker.neighbor().state == "established"
        for route in ROUTES:
            speaker.withdraw(route_key(route))
        wait_for(lambda: shows_none(daemon), "withdrawal", show=lambda: picture(daemon, speaker))


@pytest.mark.parametrize("kind", DAEMONS, ids=lambda kind: kind.__name__)
def test_everything_is_announced_again_after_the_peer_was_restarted(lab: Lab, kind: type[Daemon]) -> None:
    need(*kind.programs)
    daemon = kind(lab, Setup())
    process = daemon.start()
    with SpeakerThread(lab, [peer_config()], port=None) as speaker:
        speaker.announce(*ROUTES)
        wait_for(lambda: shows(daemon, DAEMONS[kind]), "first time", show=lambda: picture(daemon, speaker))
        lab.kill(process)
        wait_for(lambda: speaker.neighbor().state != "established", "loss noticed", show=speaker.neighbor)
        daemon.start()
        wait_for(lambda: shows(daemon, DAEMONS[kind]), "second time", show=lambda: picture(daemon, speaker))


@pytest.mark.parametrize("kind", DAEMONS, ids=lambda kind: kind.__name__)
def test_the_peer_forgets_at_once_when_the_speaker_ends(lab: Lab, kind: type[Daemon]) -> None:
    need(*kind.programs)
    daemon = kind(lab, Setup(passive=False))
    daemon.start()
    with SpeakerThread(lab, [peer_config(4, passive=True)], port=1179) as speaker:
        speaker.announce(*ROUTES)
        wait_for(lambda: shows(daemon, DAEMONS[kind]), "all routes", show=lambda: picture(daemon, speaker))
    wait_for(lambda: shows_none(daemon), "flushed after Cease", show=daemon.flow4)


def test_rules_too_wide_for_frr_are_split_and_its_session_stays(lab: Lab) -> None:
    need(*Frr.programs)
    daemon = Frr(lab, Setup())
    daemon.start()
    wide = parse_flow(
        {
            "match": {
                "destination": "192.0.2.77",
                "protocol": "udp",
                "source-port": "=19|=53|=123|=389|=1900|=5353|=11211",
                "destination-port": "!=443",
            },
            "then": {"traffic-rate": 0},
        }
    )
    with SpeakerThread(lab, [peer_config()], port=None) as speaker:
        speaker.announce(wide)
        wait_for(lambda: "Displayed  2 flowspec entries" in daemon.flow4(), "two rules", show=daemon.flow4)
        printed = daemon.flow4()
        assert "Source Port = 19 , = 53 , = 123 , = 389 , = 1900" in printed
        assert "Source Port = 5353 , = 11211" in printed
        assert "Destination Port <= 442 , >= 444" in printed
        assert speaker.withdraw(route_key(wide))
        wait_for(lambda: "192.0.2.77" not in daemon.flow4(), "withdrawal of both", show=daemon.flow4)
        assert speaker.neighbor().failures == 0
