"""Neighbours by prefix, and the self-test of what a neighbour is sent, with real daemons."""

from __future__ import annotations

import pytest
from msgspec import structs

from interop.bird import Bird
from interop.daemons import Daemon, Setup
from interop.exabgp import ExaBgp
from interop.frr import Frr
from interop.gobgp import GoBgp
from interop.heard import expected
from interop.lab import OUR_AS, THEIR_AS, THEIRS, SpeakerThread, need, open_lab, peer_config, wait_for, wait_to_hear
from interop.openbgpd import OpenBgpd
from interop.shown import DAEMONS, HOLES, picture, shows_holes, shows_no_holes
from interop.told import routes_of
from tidegate.io.bgp import PeerRange
from tidegate.wire.bgp.prefix import Prefix, mask, parse_address
from tidegate.wire.bgp.profile import PROFILES

pytestmark = [pytest.mark.netns, pytest.mark.peer]


@pytest.mark.parametrize(
    ("kind", "version", "md5"),
    [*((kind, 4, None) for kind in DAEMONS), (Bird, 6, None), (Bird, 4, "a-secret"), (Frr, 6, "a-secret")],
)
def test_who_connects_from_a_prefix_is_a_neighbour(kind: type[Daemon], version: int, md5: str | None) -> None:
    need(*kind.programs)
    told = routes_of(kind)
    peer = THEIRS[version]
    length = 29 if version == 4 else 64
    prefix = str(Prefix(mask(parse_address(peer), length), length))
    with open_lab() as lab:
        daemon = kind(lab, Setup({version: OUR_AS}, passive=False, md5=md5))
        daemon.announce(told)
        daemon.start()
        template = structs.replace(peer_config(version, md5=md5), address=prefix)
        with SpeakerThread(lab, [PeerRange(prefix, template)], port=1179) as speaker:
            speaker.announce(*HOLES)
            wait_for(lambda: bool(speaker.neighbors()), "somebody comes")
            wait_for(lambda: shows_holes(daemon, DAEMONS[kind]), "both routes", show=lambda: picture(daemon, speaker))
            wait_to_hear(speaker, {expected(route, peer_as=THEIR_AS) for route in told}, "theirs", peer)
            assert [status.address for status in speaker.neighbors()] == [peer]
            assert speaker.neighbor(peer).dynamic
        wait_for(lambda: shows_no_holes(daemon), "withdrawal at the end", show=lambda: daemon.unicast("192.0.2.66/32"))


def test_who_connects_from_elsewhere_is_refused() -> None:
    need(*Bird.programs)
    with open_lab() as lab:
        Bird(lab, Setup(passive=False)).start()
        template = structs.replace(peer_config(), address="127.0.0.8/29")
        with SpeakerThread(lab, [PeerRange("127.0.0.8/29", template)], port=1179) as speaker:
            wait_for(lambda: speaker.call(lambda core: core.refused) >= 2, "refusals")
            assert speaker.neighbors() == []


@pytest.mark.parametrize(
    ("kind", "profile"),
    [
        *((kind, "safe") for kind in DAEMONS),
        (Frr, "rfc8955"),
        (Bird, "bird-2.0"),
        (GoBgp, "gobgp-3"),
        (ExaBgp, "rfc8955"),
    ],
)
def test_a_harmless_rule_shows_whether_a_neighbour_stands_rules(kind: type[Daemon], profile: str) -> None:
    need(*kind.programs)
    with open_lab() as lab:
        daemon = kind(lab, Setup())
        daemon.start()
        settings = structs.replace(peer_config(), profile=PROFILES[profile])
        with SpeakerThread(lab, [settings], port=None) as speaker:
            wait_for(speaker.is_up, "established", show=speaker.neighbor)
            seen: list[str] = []
            test = speaker.begin(lambda core: core.self_test(THEIRS[4], wait_s=0.5))

            def look() -> bool:
                seen.append(daemon.flow4() + daemon.flow6())
                return test.done()

            wait_for(look, "the end of the test")
            result = test.result()
            status = speaker.neighbor()
            assert status.flaps == 0
            assert status.wanted == 0
            if kind is OpenBgpd:
                assert not result.passed
                assert "the peer did not agree to this family" in result.text
                return
            assert result.passed, result
            assert [one.passed for one in result.families] == [True, True]
            assert any("192.0.2.0/24" in text for text in seen)
            wait_for(
                lambda: "192.0.2.0/24" not in daemon.flow4() and "2001:db8::/32" not in daemon.flow6(),
                "both rules withdrawn",
                show=lambda: daemon.flow4() + daemon.flow6(),
            )
